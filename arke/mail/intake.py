"""What comes back to ``bounce+...``: bounces are noted, people's replies forwarded to the manager, nothing answered.

Beside the flow: the daemon looks into a Maildir, or the mail server pipes each mail to ``arke bounce``. The VERP token
is checked before anything is believed. A mail that was dealt with is erased, for it holds addresses; one that could not
be read or forwarded stays, in ``cur``, for a person.
"""

from __future__ import annotations

import datetime as dt
import email.policy
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from pathlib import Path
from typing import Literal

import trio

from arke.mail.assemble import usable_address
from arke.mail.bounce import SIZE_LIMIT_BYTES, Bounce, NotABounce, parse
from arke.mail.outbox import Outbox
from arke.mail.smtp import Reply
from arke.model import Notice
from panopticond.shared.errors import PanopticonError

log = logging.getLogger(__name__)

Fate = Literal["bounced", "delayed", "forwarded", "automatic", "foreign", "kept", "again"]
"""bounced, delayed: noted; forwarded: a person's; automatic: neither; foreign: no mail of ours; kept: a person's that
cannot be forwarded, or may or may not have been; again: try it later."""
LOOK_LIMIT = 1000  # mails taken from a Maildir in one look
LOOP_MARK = "X-Arke-Forwarded"
_BULK = frozenset({"bulk", "junk", "list", "auto_reply"})
Send = Callable[[Notice], Awaitable[Reply]]


class Intake:
    """Takes mails one by one; ``send`` None or no manager: replies are kept for a person instead of forwarded."""

    def __init__(self, outbox: Outbox, key: bytes, *, sender: str, manager: str | None, send: Send | None) -> None:
        self._outbox = outbox
        self._key = key
        self._sender = sender
        self._manager = manager
        self._send = send

    async def take(self, message: bytes, now: dt.datetime, *, recipient: str | None = None) -> Fate:
        """What one mail was; ``recipient`` is its envelope's where the mail server tells it."""
        found = await trio.to_thread.run_sync(_parsed, message, self._key, recipient)
        if isinstance(found, Bounce):
            if not found.final:
                return "delayed"
            message_id = await self._outbox.bounced(found.digest, found.status, now)
            log.info("notice %s bounced with %s", message_id or "of an erased case", found.status)
            return "bounced"
        if isinstance(found, NotABounce) and found.reason not in {"reply", "no-status"}:
            log.info("a mail to the bounce address was not taken: %s", found.reason)
            return "foreign"
        try:
            automatic = is_automatic(message)
        except Exception:  # noqa: BLE001 - as in _parsed
            return "foreign"
        if automatic:
            return "automatic"
        return await self._forward(message, now)

    async def _forward(self, message: bytes, now: dt.datetime) -> Fate:
        if self._send is None or self._manager is None:
            return "kept"
        reply = await self._send(forwarded(message, self._sender, self._manager, now))
        if 200 <= reply.code < 300 and reply.phase == "sent":
            log.info("a reply was forwarded to the manager")
            return "forwarded"
        if reply.phase == "unknown" or (500 <= reply.code < 600 and reply.phase in {"mail", "rcpt", "data"}):
            log.warning("a reply could not be forwarded to the manager: %s %d", reply.phase, reply.code)
            return "kept"
        return "again"


def _parsed(message: bytes, key: bytes, recipient: str | None) -> Bounce | NotABounce:
    """What a mail says; on one made to break them the library's readers may raise anything."""
    try:
        return parse(message, key, envelope_recipient=recipient)
    except Exception as error:  # noqa: BLE001 - one hostile mail must not end the daemon
        log.info("a mail to the bounce address cannot be read: %s", type(error).__name__)
        return NotABounce("unreadable")


def is_automatic(message: bytes) -> bool:
    """Whether a machine wrote it: RFC 3834's header, the older ones, or our own forwarding coming back."""
    mail = BytesHeaderParser(policy=email.policy.compat32).parsebytes(message)
    submitted = str(mail.get("Auto-Submitted", "no")).split(";")[0].strip().lower()
    precedence = str(mail.get("Precedence", "")).strip().lower()
    marks = ("X-Autoreply", "X-Autorespond", LOOP_MARK, "List-Id")
    return submitted != "no" or precedence in _BULK or any(mail.get(name) is not None for name in marks)


def forwarded(message: bytes, sender: str, manager: str, now: dt.datetime) -> Notice:
    """The mail to the manager with the reply attached as it came; its subject says nothing of who wrote (pure).

    The reply is opaque bytes: nothing a stranger wrote is parsed and written anew. The Message-ID is a function of it,
    so that one forwarded twice, after a connection lost at the wrong moment, is known for the same.
    """
    digest = hashlib.sha256(message).hexdigest()[:20]
    message_id = f"<reply.{digest}@{(usable_address(sender) or sender).rpartition('@')[2]}>"
    mail = EmailMessage(policy=email.policy.SMTP)
    mail["From"], mail["To"], mail["Date"], mail["Message-ID"] = sender, manager, now, message_id
    mail["Subject"] = "[arke] A reply to a notice"
    mail["Auto-Submitted"], mail[LOOP_MARK] = "auto-forwarded", "1"
    mail.set_content("Somebody answered a notice. The answer is attached as it came; please write to them yourself.\n")
    part = EmailMessage(policy=email.policy.SMTP)
    part.set_content(message, maintype="application", subtype="octet-stream", cte="base64", filename="reply.eml")
    del part["MIME-Version"]
    mail.make_mixed()
    mail.attach(part)
    return Notice(message_id, (), "manager", 0, "manager", manager, sender, mail.as_bytes())


async def look_into(maildir: Path, intake: Intake, now: Callable[[], dt.datetime]) -> Counter[str]:
    """Take every new mail of a Maildir; PanopticonError when there is no Maildir to look into."""
    names = await trio.to_thread.run_sync(_names, maildir)
    fates: Counter[str] = Counter()
    for name in names:
        path = maildir / "new" / name
        message = await trio.to_thread.run_sync(_read, path)
        if message is None:
            continue
        fate = await intake.take(message, now())
        fates[fate] += 1
        await trio.to_thread.run_sync(_put_away, path, fate)
    return fates


def _names(maildir: Path) -> list[str]:
    try:
        with os.scandir(maildir / "new") as found:
            names = sorted(entry.name for entry in found if entry.is_file(follow_symlinks=False))
    except OSError as error:
        raise PanopticonError(f"{maildir}: no Maildir can be read here: {error.strerror}; check bounces") from error
    return names[:LOOK_LIMIT]


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(SIZE_LIMIT_BYTES + 1)
    except OSError:
        return None  # another reader was faster


def _put_away(path: Path, fate: Fate) -> None:
    try:
        if fate in ("foreign", "kept"):
            path.rename(path.parent.parent / "cur" / f"{path.name.partition(':')[0]}:2,")
        elif fate != "again":
            path.unlink(missing_ok=True)
    except OSError as error:
        raise PanopticonError(f"{path.parent}: a mail cannot be put away: {error.strerror}") from error
