"""The bytes of a notice: RFC 5322 headers, the text, the feedback report and its XARF parts; Message-ID and VERP token.

Used by ``notice``; ``outbox`` uses :func:`without_attachments`, ``bounce`` the token. Pure and deterministic: the
boundary comes from the Message-ID, the Message-ID from what is said to whom.
"""

from __future__ import annotations

import base64
import datetime as dt
import email.policy
import hashlib
import hmac
import re
from collections.abc import Sequence
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage

import msgspec

from arke.mail import xarf
from arke.mail.defang import one_line
from arke.model import Case, Contact, Notice, Place, Template

ATTACHMENT_LIMIT = 50  # reports attached to one mail
_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_UTF8_ADDRESS = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*")
_ATTACHED = re.compile(r"JSON\b.*\(XARF\s+\S+\s+4\)", re.DOTALL)
_INDENTED = re.compile(r"^ ", re.MULTILINE)
_HOST = re.compile(r"(?=.{4,253}\Z)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_POLICY = email.policy.SMTP
_UTF8_POLICY = email.policy.SMTPUTF8


class Envelope(msgspec.Struct, frozen=True):
    """Who writes, when, and what makes the mail's identity; the same for every notice of a run but for ``occasion``."""

    sender: str
    organisation: str
    now: dt.datetime
    host_id: str
    key: bytes
    occasion: str = ""
    in_reply_to: str | None = None


def usable_address(text: str) -> str | None:
    """The mail address in a form SMTP takes (domain as A-labels, lower case), or None when it is none.

    RFC 5321 dot-atoms only; a local part outside ASCII is kept for SMTPUTF8 (RFC 6531). Quoted local parts, address
    literals and anything with white space or controls are refused: nobody's contact looks so by honest means.
    """
    local, at, host = text.strip().rpartition("@")
    if not at or len(local.encode()) > 64:
        return None
    try:
        name = host.rstrip(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    pattern = _ADDRESS if local.isascii() else _UTF8_ADDRESS
    return f"{local}@{name}" if pattern.fullmatch(local) and _HOST.fullmatch(name) else None


def message_digest(
    cases: Sequence[Case], template: Template, rung: int, recipient: str, occasion: str, key: bytes
) -> str:
    """20 hex digits that stand for what is said to whom: keyed, so that nobody can try addresses against it."""
    said = [
        [case.id, *(f"{item.id}={','.join(sorted(item.threats))}" for item in case.indicators if item.validated)]
        for case in cases
    ]
    told = "\n".join("\t".join([parts[0], *sorted(parts[1:])]) for parts in sorted(said))
    text = "\n".join((template, str(rung), recipient.lower(), occasion, told))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()[:20]


def envelope_token(digest: str, key: bytes) -> str:
    """The VERP token of a message: its digest and a keyed check, 26 letters and digits that survive lower-casing."""
    raw = bytes.fromhex(digest)
    check = hmac.new(key, b"verp" + raw, hashlib.sha256).digest()[:6]
    return base64.b32encode(raw + check).decode().rstrip("=").lower()


def without_attachments(message: bytes) -> bytes:
    """The same mail (same Message-ID) with its text alone: for a server that refused the content (5.7.x).

    The paragraph about the attachments goes with them: in every language it is the one that names their format, and
    not indented as what a page says of itself is, which a stranger words.
    """
    parsed = message_from_bytes(message, policy=_POLICY)
    text = parsed.get_body(("plain",)) if isinstance(parsed, EmailMessage) else None
    if text is None or not parsed.is_multipart():
        return message
    plain = EmailMessage(policy=parsed.policy)
    for name, value in parsed.items():
        if name.lower() not in {"content-type", "content-transfer-encoding", "mime-version"}:
            plain[name] = str(value)
    paragraphs = str(text.get_content()).replace("\r\n", "\n").split("\n\n")
    left = "\n\n".join(text for text in paragraphs if _INDENTED.search(text) or not _ATTACHED.search(text))
    plain.set_content(left, charset="utf-8", cte="quoted-printable")
    return plain.as_bytes()


def assemble(
    cases: Sequence[Case],
    contact: Contact,
    kind: Template,
    rung: int,
    text: tuple[str, str],
    envelope: Envelope,
    *,
    attach: bool,
) -> Notice:
    """The finished notice; ``text`` is (subject, body). ValueError when an address cannot be used."""
    recipient, author = usable_address(contact.address), usable_address(envelope.sender)
    if author is None:
        raise ValueError("the sender's address cannot be used")
    if recipient is None:
        raise ValueError("the recipient's address cannot be used")
    domain = author.rpartition("@")[2]
    digest = message_digest(cases, kind, rung, recipient, envelope.occasion, envelope.key)
    label = cases[0].id if len(cases) == 1 else f"digest-{len(cases)}"
    message_id = f"<{re.sub(r'[^A-Za-z0-9-]', '-', label)}.{digest}@{domain}>"
    mail = EmailMessage(policy=_POLICY if recipient.isascii() and author.isascii() else _UTF8_POLICY)
    mail["From"] = _address(author, one_line(envelope.organisation, 60))
    mail["To"] = _address(recipient)
    mail["Subject"] = one_line(text[0], 400)
    mail["Date"] = envelope.now
    mail["Message-ID"] = message_id
    if envelope.in_reply_to is not None and re.fullmatch(r"<[A-Za-z0-9.@-]+>", envelope.in_reply_to):
        mail["In-Reply-To"] = envelope.in_reply_to
        mail["References"] = envelope.in_reply_to
    mail["Reply-To"] = _address(author)
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail["X-Arke-Case"] = " ".join(re.sub(r"[^A-Za-z0-9-]", "-", case.id) for case in cases)
    mail.set_content(text[1], charset="utf-8", cte="quoted-printable")
    if attach:
        _attach(mail, cases, digest, author, envelope, contact.places)
    return Notice(
        message_id=message_id,
        case_ids=tuple(case.id for case in cases),
        template=kind,
        rung=rung,
        role=contact.role,
        recipient=recipient,
        envelope_sender=f"bounce+{envelope_token(digest, envelope.key)}@{domain}",
        message=mail.as_bytes(),
    )


def _address(address: str, display_name: str = "") -> Address:
    local, _, domain = address.rpartition("@")
    return Address(display_name=display_name, username=local, domain=domain)


def _attach(
    mail: EmailMessage, cases: Sequence[Case], digest: str, contact: str, envelope: Envelope, places: Sequence[Place]
) -> None:
    """The layout XARF has by mail: text, ``message/feedback-report``, one JSON part per URI (RFC 6522, RFC 5965)."""
    organisation = one_line(envelope.organisation, 200)
    found = (
        xarf.reports(case, organisation=organisation, contact=contact, now=envelope.now, places=places)
        for case in cases
    )
    reports = [report for of_case in found for report in of_case][:ATTACHMENT_LIMIT]
    if not reports:
        return
    boundary = f"arke-{digest}"
    mail.make_mixed(boundary=boundary)
    mail.replace_header("Content-Type", f'multipart/report; report-type=feedback-report; boundary="{boundary}"')
    feedback = EmailMessage(policy=mail.policy)
    feedback["Content-Type"] = "message/feedback-report"
    host = re.sub(r"[^A-Za-z0-9.-]", "-", envelope.host_id)[:253]
    feedback.set_payload(f"Feedback-Type: xarf\r\nUser-Agent: Arke/1.0\r\nVersion: 1\r\nReporting-MTA: dns; {host}\r\n")
    mail.attach(feedback)
    for at, report in enumerate(reports, 1):
        name = "xarf.json" if len(reports) == 1 else f"xarf-{at}.json"
        part = EmailMessage(policy=mail.policy)
        part.set_content(
            xarf.encode(report), maintype="application", subtype="json", filename=name, params={"name": name}
        )
        del part["MIME-Version"]
        mail.attach(part)
