"""Case and step in, finished mail out: one incident and one recipient, or a digest (design section 9).

Between the ladder, which decides, and the outbox, which sends. Pure: the same arguments give the same bytes. What goes
in is foreign (page titles, RDAP texts), so every text is one line without controls before it reaches a template.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from arke.mail.assemble import Envelope, assemble, usable_address, without_attachments
from arke.mail.facts import case_facts, mail_facts
from arke.mail.template import Templates
from arke.model import Case, Contact, Notice, Recheck, Role, Step, Template

__all__ = ["compose", "compose_digest", "effective_template", "usable_address", "without_attachments"]


def effective_template(template: Template, role: Role) -> Template:
    """The template a role really gets: registrar, abuse desk and manager have their own first notices."""
    if template in {"new", "malicious"}:
        if role in {"registrar", "abuse"}:
            return "registrar"
        if role == "manager":
            return "manager"
    return template


def compose(
    case: Case,
    contact: Contact,
    step: Step,
    *,
    templates: Templates,
    sender: str,
    organisation: str,
    verify_page: str | None,
    now: dt.datetime,
    recheck: Recheck,
    host_id: str,
    envelope_key: bytes,
    language: str | None = None,
    deadline: dt.timedelta = dt.timedelta(hours=24),
    occasion: str = "",
    earlier: dt.datetime | None = None,
    in_reply_to: str | None = None,
) -> Notice:
    """The notice of one case to one contact; ValueError when sender or recipient is no usable address.

    ``occasion`` goes into the Message-ID (say, the time of a reopening); ``earlier`` is when the contacts were first
    told; ``in_reply_to`` the Message-ID of the case's first notice to this recipient; ``host_id`` names this arke in
    the feedback report. ``deadline`` counts from ``now``.
    """
    kind = effective_template(step.template, contact.role)
    discreet = kind == "malicious"
    attach = not discreet and kind != "resolved"
    facts = mail_facts(
        [case],
        contact,
        organisation=organisation,
        sender=sender,
        verify_page=verify_page,
        now=now,
        deadline=now + deadline,
        recheck=recheck,
        earlier=earlier,
        attached=attach,
        discreet=discreet,
    )
    subject, body = templates.select(kind, language).render(facts | case_facts(case, discreet=discreet))
    envelope = Envelope(sender, organisation, now, host_id, envelope_key, occasion, in_reply_to)
    return assemble([case], contact, kind, step.rung, (subject, body), envelope, attach=attach)


def compose_digest(
    cases: Sequence[Case],
    contact: Contact,
    step: Step,
    *,
    templates: Templates,
    sender: str,
    organisation: str,
    verify_page: str | None,
    now: dt.datetime,
    recheck: Recheck,
    host_id: str,
    envelope_key: bytes,
    language: str | None = None,
    deadline: dt.timedelta = dt.timedelta(hours=24),
    occasion: str = "",
) -> Notice:
    """One notice about several cases to one recipient, as :func:`compose`; the cases stand in the order given."""
    if not cases:
        raise ValueError("a digest needs cases")
    kind = effective_template(step.template, contact.role)
    discreet = kind == "malicious"
    attach = not discreet and kind != "resolved"
    facts = mail_facts(
        cases,
        contact,
        organisation=organisation,
        sender=sender,
        verify_page=verify_page,
        now=now,
        deadline=now + deadline,
        recheck=recheck,
        earlier=None,
        attached=attach,
        discreet=discreet,
    )
    subject, body = templates.select("digest", language).render(case_facts(cases[0], discreet=discreet) | facts)
    envelope = Envelope(sender, organisation, now, host_id, envelope_key, occasion)
    return assemble(cases, contact, kind, step.rung, (subject, body), envelope, attach=attach)
