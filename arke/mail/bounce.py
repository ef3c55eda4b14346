"""Bounces: a delivery status notification (RFC 3464) and the VERP address it came to, into what became of a notice.

Beside the flow: whatever delivers mail for ``bounce+...`` hands the bytes here, the outbox is told the result. The
token in the envelope address is trusted (it is keyed); the body is foreign text of which only the status is read. Pure.
"""

from __future__ import annotations

import base64
import binascii
import email.policy
import hmac
import re
from email import message_from_bytes
from email.message import Message
from typing import Literal

import msgspec

from arke.mail.assemble import envelope_token

SIZE_LIMIT_BYTES = 1 << 20
PART_LIMIT = 50
Action = Literal["failed", "delayed", "delivered", "relayed", "expanded"]
_ACTIONS: tuple[Action, ...] = ("failed", "delayed", "delivered", "relayed", "expanded")
_TOKEN = re.compile(r"\bbounce\+([a-z2-7]{26})@", re.IGNORECASE)


class Bounce(msgspec.Struct, frozen=True):
    """What a bounce says: ``digest`` names the notice (:func:`arke.mail.rows.digest_of`)."""

    digest: str
    action: Action
    status: str
    """The enhanced status code, as ``5.1.1`` (RFC 3463)."""

    @property
    def final(self) -> bool:
        """The notice will not arrive."""
        return self.action == "failed"


class NotABounce(msgspec.Struct, frozen=True):
    """Why the mail tells nothing: ``too-large``, ``no-token``, ``bad-token``, ``no-status`` or ``reply``."""

    reason: str


def parse(message: bytes, key: bytes, *, envelope_recipient: str | None = None) -> Bounce | NotABounce:
    """What a mail to a VERP address says; ``envelope_recipient`` where the mail server tells it.

    Without it the headers are searched. A mail that is no DSN is a person's reply (``reply``) and is for the manager
    to read; nothing is ever answered.
    """
    if len(message) > SIZE_LIMIT_BYTES:
        return NotABounce("too-large")
    mail = message_from_bytes(message, policy=email.policy.compat32)
    places = [envelope_recipient or ""] + [
        str(value)
        for name in ("Delivered-To", "X-Original-To", "Envelope-To", "To")
        for value in mail.get_all(name, [])
    ]
    tokens = [match[1].lower() for place in places for match in _TOKEN.finditer(place[:1000])]
    if not tokens:
        return NotABounce("no-token")
    digest = next((found for token in tokens if (found := check_token(token, key)) is not None), None)
    if digest is None:
        return NotABounce("bad-token")
    if mail.get_content_type() != "multipart/report":
        return NotABounce("reply")
    for at, part in enumerate(mail.walk()):
        if at > PART_LIMIT:
            break
        if part.get_content_type() in {"message/delivery-status", "message/global-delivery-status"}:
            return _status(part, digest)
    return NotABounce("no-status")


def check_token(token: str, key: bytes) -> str | None:
    """The message digest in a VERP token, or None when the token is not ours."""
    try:
        raw = base64.b32decode(token.upper() + "=" * (-len(token) % 8))
    except (binascii.Error, ValueError):
        return None
    digest = raw[:10].hex()
    return digest if len(raw) == 16 and hmac.compare_digest(envelope_token(digest, key), token.lower()) else None


def _status(part: Message, digest: str) -> Bounce | NotABounce:
    """The worst of the per-recipient blocks: we write to one recipient, an expanded list may speak of more."""
    payload = part.get_payload()
    blocks = [block for block in payload if isinstance(block, Message)] if isinstance(payload, list) else []
    found: list[Bounce] = []
    for block in blocks[:PART_LIMIT]:
        said = str(block.get("Action", "")).strip().lower()
        action = next((known for known in _ACTIONS if known == said), None)
        code = re.match(r"\s*([245]\.\d{1,3}\.\d{1,3})\b", str(block.get("Status", "")))
        if action is not None:
            found.append(Bounce(digest, action, code[1] if code else "5.0.0" if action == "failed" else "0.0.0"))
    return min(found, key=lambda bounce: _ACTIONS.index(bounce.action)) if found else NotABounce("no-status")
