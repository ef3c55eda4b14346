"""The daily publication: what is known of a TLD as tables (build), as signed files (files, publish)."""
