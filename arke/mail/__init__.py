"""Notices: composed from a case and a template, queued, sent over SMTP, and their bounces read (design section 9)."""
