"""The outbox's table: notices as rows, and every statement that reads or changes one.

Below ``outbox``, which says when; each function is a part of the caller's transaction. A row is an intent until a reply
settles it; then the recipient, the envelope and the body are erased.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Any, Literal

import apsw
import msgspec

from arke.mail.smtp import Reply
from arke.model import Notice
from panopticond.shared.clock import parse_rfc3339, rfc3339

State = Literal["queued", "sending", "retry", "unknown", "accepted", "failed", "withdrawn", "bounced"]

SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
  seq INTEGER PRIMARY KEY,
  message_id TEXT NOT NULL UNIQUE,
  digest TEXT NOT NULL,
  case_ids TEXT NOT NULL,
  template TEXT NOT NULL,
  rung INTEGER NOT NULL,
  role TEXT NOT NULL,
  recipient TEXT,
  envelope_sender TEXT,
  message BLOB,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0,
  plain INTEGER NOT NULL DEFAULT 0,
  queued_at TEXT NOT NULL,
  checked_at TEXT NOT NULL,
  due_at TEXT NOT NULL,
  first_at TEXT,
  settled_at TEXT,
  reply_code INTEGER,
  reply_text TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS outbox_due ON outbox (due_at, seq) WHERE recipient IS NOT NULL;
CREATE INDEX IF NOT EXISTS outbox_digest ON outbox (digest);
"""


class Queued(msgspec.Struct, frozen=True):
    """A row on its way out."""

    notice: Notice
    attempts: int
    plain: bool
    queued_at: dt.datetime
    checked_at: dt.datetime
    seq: int
    first_at: dt.datetime | None
    """When it was first tried; None before that."""


def enqueue(connection: apsw.Connection, notice: Notice, now: dt.datetime) -> bool:
    """Write the intent inside the caller's transaction; False when this Message-ID is known, whatever its state."""
    known = connection.execute("SELECT 1 FROM outbox WHERE message_id = ?", (notice.message_id,)).fetchone()
    if known is not None:
        return False
    at = rfc3339(now)
    connection.execute(
        "INSERT INTO outbox (message_id, digest, case_ids, template, rung, role, recipient, envelope_sender, message,"
        " state, queued_at, checked_at, due_at) VALUES (?,?,?,?,?,?,?,?,?,'queued',?,?,?)",
        (
            notice.message_id,
            digest_of(notice.message_id),
            json.dumps(notice.case_ids),
            notice.template,
            notice.rung,
            notice.role,
            notice.recipient,
            notice.envelope_sender,
            notice.message,
            at,
            at,
            at,
        ),
    )
    return True


def migrate(connection: apsw.Connection) -> None:
    """Add what the table of an older ledger lacks."""
    if "first_at" not in {str(row[1]) for row in connection.execute("PRAGMA table_info(outbox)")}:
        connection.execute("ALTER TABLE outbox ADD COLUMN first_at TEXT")


def digest_of(message_id: str) -> str:
    """The part of a Message-ID that its VERP token repeats."""
    match = re.search(r"\.([0-9a-f]{20})@", message_id)
    return match[1] if match else message_id


def next_due(connection: apsw.Connection, now: dt.datetime, after: int) -> Queued | None:
    """The first due row behind ``after`` that nobody is sending."""
    rows = connection.execute(
        "SELECT message_id, case_ids, template, rung, role, recipient, envelope_sender, message, attempts, plain,"
        " queued_at, checked_at, seq, first_at FROM outbox WHERE recipient IS NOT NULL AND due_at <= ?"
        " AND state <> 'sending' AND seq > ? ORDER BY seq LIMIT 1",
        (rfc3339(now), after),
    )
    row = rows.fetchone()
    return _queued(row) if row is not None else None


def _queued(row: tuple[Any, ...]) -> Queued:
    return Queued(
        Notice(
            str(row[0]), tuple(json.loads(row[1])), row[2], int(row[3]), row[4], str(row[5]), str(row[6]), bytes(row[7])
        ),
        int(row[8]), bool(row[9]), parse_rfc3339(str(row[10])), parse_rfc3339(str(row[11])), int(row[12]),
        parse_rfc3339(str(row[13])) if row[13] else None,
    )  # fmt: skip


def claim(connection: apsw.Connection, message_id: str, now: dt.datetime) -> bool:
    """Mark a row as being sent; False when it was settled meanwhile, or another sender has it."""
    connection.execute(
        "UPDATE outbox SET state = 'sending', first_at = coalesce(first_at, ?)"
        " WHERE message_id = ? AND state <> 'sending' AND recipient IS NOT NULL",
        (rfc3339(now), message_id),
    )
    return connection.changes() > 0


def checked(connection: apsw.Connection, queued: Queued, now: dt.datetime) -> None:
    """Write down when a notice was last looked at again."""
    connection.execute(
        "UPDATE outbox SET checked_at = ? WHERE message_id = ?", (rfc3339(now), queued.notice.message_id)
    )


def plain(connection: apsw.Connection, notice: Notice) -> None:
    """From now on this notice goes as plain text."""
    connection.execute(
        "UPDATE outbox SET plain = 1, message = ? WHERE message_id = ?", (notice.message, notice.message_id)
    )


def again(connection: apsw.Connection, message_id: str, state: State, due: dt.datetime, reply: Reply) -> None:
    """One attempt more was made, and the next is due then."""
    connection.execute(
        "UPDATE outbox SET state = ?, attempts = attempts + 1, due_at = ?, reply_code = ?, reply_text = ?"
        " WHERE message_id = ? AND recipient IS NOT NULL",
        (state, rfc3339(due), reply.code, reply.text, message_id),
    )


def settle(
    connection: apsw.Connection, message_id: str, state: State, now: dt.datetime, reply: Reply, *, again: bool = False
) -> None:
    """The row is done: the address, the envelope and the body are erased."""
    connection.execute(
        "UPDATE outbox SET state = ?, attempts = attempts + 1, settled_at = ?, reply_code = ?, reply_text = ?,"
        " recipient = NULL, envelope_sender = NULL, message = NULL"
        " WHERE message_id = ? AND (? OR recipient IS NOT NULL)",
        (state, rfc3339(now), reply.code, reply.text, message_id, again),
    )
