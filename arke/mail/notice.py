"""Case and step in, finished mail out: one incident and one recipient, or a digest (design section 9).

Between the ladder, which decides, and the outbox, which sends. Pure: the same arguments give the same bytes. What goes
in is foreign (page titles, RDAP texts), so every text is one line without controls before it reaches a template.
"""

from __future__ import annotations

from collections.abc import Sequence

from arke.mail.assemble import Envelope, assemble, usable_address, without_attachments
from arke.mail.facts import Letterhead, Sending, case_facts, mail_facts
from arke.mail.template import Templates
from arke.model import Case, Contact, Notice, Role, Step, Template

__all__ = ["Letterhead", "Sending", "compose", "effective_template", "usable_address", "without_attachments"]


def effective_template(template: Template, role: Role) -> Template:
    """The template a role really gets: the registrar's and the hoster's are their own, the manager's first is."""
    if template == "resolved":
        return template
    if role in {"registrar", "abuse"}:
        return "registrar"
    if role == "hoster" or (role == "manager" and template in {"new", "malicious"}):
        return role
    return template


def compose(
    cases: Sequence[Case],
    contact: Contact,
    step: Step,
    templates: Templates,
    letterhead: Letterhead,
    sending: Sending,
    *,
    language: str | None = None,
) -> Notice:
    """The notice of one case to one contact, or of several as a digest in the order given.

    ValueError when sender or recipient is no usable address, or there is no case.
    """
    if not cases:
        raise ValueError("a notice needs a case")
    kind = effective_template(step.template, contact.role)
    shown: str = kind
    if len(cases) > 1:
        shown = {"resolved": "resolved-digest", "hoster": "hoster-digest"}.get(kind, "digest")
    template = templates.select(shown, language)
    words = templates.words(template.language)
    discreet = kind == "malicious"
    attach = not discreet and kind != "resolved"
    facts = mail_facts(cases, contact, letterhead, sending, words=words, attached=attach, discreet=discreet)
    subject, body = template.render(case_facts(cases[0], words=words, discreet=discreet, places=contact.places) | facts)
    envelope = Envelope(
        letterhead.sender,
        letterhead.organisation,
        sending.now,
        letterhead.host_id,
        letterhead.key,
        sending.occasion,
        sending.in_reply_to,
    )
    return assemble(cases, contact, kind, step.rung, (subject, body), envelope, attach=attach)
