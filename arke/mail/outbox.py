"""The outbox: every notice is written down before it is sent, and its reply after; never twice, never lost.

Between ``notice`` and ``smtp``, in the ledger's database. A row is an intent until a reply settles it. Delivery is at
least once with one Message-ID: when the connection dies after DATA and before the reply, nobody can know, so the row
stands as ``unknown`` and goes out again under the same Message-ID, by which the receiving server or reader knows it for
the same mail; a second Message-ID is never made. Recipient, envelope and body are erased once a row is settled.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol, TypeVar, cast

import apsw
import msgspec
import trio

from arke.mail import rows
from arke.mail.assemble import without_attachments
from arke.mail.rows import Queued, State
from arke.mail.smtp import Reply
from arke.model import Notice
from panopticond.shared.clock import Clock, parse_rfc3339, rfc3339

T = TypeVar("T")
DUE_STATES = ("queued", "sending", "retry", "unknown")
BACKOFF_MINUTES = (5, 15, 30, 60, 120, 240)  # policy time; the first is what greylisting servers ask for
GIVE_UP_AFTER = dt.timedelta(hours=48)
RECHECK_AFTER = dt.timedelta(hours=1)  # design section 9: a look within the hour before each mail
REPLY_LIMIT = 200
NO_SERVER = frozenset({"connect", "tls", "auth"})
"""Phases that say nothing of a mail: every other one would fail as well."""


class Run(Protocol):
    """The ledger's way to run a function on its connection as one transaction."""

    async def __call__(self, fn: Callable[[apsw.Connection], T], /, *, durable: bool = True) -> T:
        """``fn``'s value, committed; or its exception, rolled back. Not ``durable``: a power cut may undo it."""
        ...


class Sent(msgspec.Struct, frozen=True):
    """What became of one attempt: for the ladder's history, the report and the log. No address in it."""

    message_id: str
    case_ids: tuple[str, ...]
    template: str
    rung: int
    role: str
    state: State
    at: dt.datetime
    reply_code: int
    reply_text: str
    attempts: int = 1
    reached: bool = True
    """False when the server itself could not be used: no connection, no TLS, no AUTH, or it said that it closes."""


Look = Callable[[Notice], Awaitable[bool]]
"""Whether a notice that waited more than an hour is still right by a look at the network; False withdraws it."""
Standing = Literal["go", "wait", "withdraw"]
Stands = Callable[[Notice], Awaitable[Standing]]
"""Whether a notice may go by what is known here, asked before every attempt; ``wait`` leaves it due."""
Withdrawn = Callable[[apsw.Connection, tuple[str, ...]], None]
"""Told of the cases of a notice that was withdrawn, inside the transaction that settles it."""


class Outbox:
    """The queue of notices; one instance a process, its rows in the ledger's database."""

    def __init__(self, run: Run, *, withdrawn: Withdrawn | None = None) -> None:
        self._run = run
        self._withdrawn = withdrawn

    async def recover(self) -> int:
        """Free what a sender that is no more was sending: nobody knows what became of it, so it is due again.

        Only for the one process that holds the state directory's lock, before it sends. How many there were.
        """

        def free(connection: apsw.Connection) -> int:
            connection.execute("UPDATE outbox SET state = 'unknown' WHERE state = 'sending' AND recipient IS NOT NULL")
            return connection.changes()

        return await self._run(free)

    async def put(self, notice: Notice, now: dt.datetime) -> bool:
        """Write the intent as its own transaction; see :func:`arke.mail.rows.enqueue`."""
        return await self._run(lambda connection: rows.enqueue(connection, notice, now))

    async def states(self, case_id: str | None = None) -> list[Sent]:
        """Every row (of a case), oldest first, as it stands."""
        told = await self._run(lambda connection: connection.execute(_SELECT_SENT).fetchall())
        found = [_sent(row) for row in told]
        return [sent for sent in found if case_id is None or case_id in sent.case_ids]

    async def withdraw(self, message_id: str, now: dt.datetime, reason: str) -> bool:
        """Take a notice back that has not been settled; its address and body go with it."""

        def take(connection: apsw.Connection) -> bool:
            return self._withdraw(connection, message_id, now, Reply(0, reason, "withdrawn"))

        return await self._run(take)

    async def bounced(self, digest: str, status: str, now: dt.datetime) -> str | None:
        """A bounce with a good token came in: the row becomes ``bounced``; its Message-ID, or None when unknown."""

        def mark(connection: apsw.Connection) -> str | None:
            row = connection.execute("SELECT message_id FROM outbox WHERE digest = ?", (digest,)).fetchone()
            if row is None:
                return None
            rows.settle(connection, str(row[0]), "bounced", now, Reply(0, f"bounced {status}", "bounce"), again=True)
            return str(row[0])

        return await self._run(mark)

    async def next_due(self, after: dt.datetime | None = None) -> dt.datetime | None:
        """When the earliest unsettled notice is due, of those due later than ``after``; None when there is none."""
        since = rfc3339(after) if after is not None else ""
        row = await self._run(
            lambda connection: connection.execute(
                "SELECT min(due_at) FROM outbox WHERE recipient IS NOT NULL AND due_at > ?", (since,)
            ).fetchone()
        )
        return parse_rfc3339(str(row[0])) if row is not None and row[0] is not None else None

    async def send_due(
        self,
        send: Callable[[Notice], Awaitable[Reply]],
        clock: Clock,
        *,
        look: Look | None = None,
        stands: Stands | None = None,
        limit: int = 1000,
    ) -> list[Sent]:
        """One pass over what is due, in the order it was queued: one SMTP attempt each, its reply recorded at once.

        A server that cannot be reached at all ends the pass: the rest stays due. ``stands`` is asked before every
        attempt, ``look`` for a notice whose last look is more than an hour old. What another sender holds is left to
        it. ``limit`` counts attempts.
        """
        done: list[Sent] = []
        after = 0
        while len(done) < limit:
            queued = await self._run(lambda connection, after=after: rows.next_due(connection, clock.now(), after))  # type: ignore[misc]
            if queued is None:
                break
            after = queued.seq
            standing = await self._stands(queued, clock, stands, look)
            if standing == "withdraw":
                reply = Reply(0, "no longer right when looked at again", "withdrawn")
                done.append(await self._record(queued, "withdrawn", clock.now(), reply))
            # A claim undone by a power cut leaves the row due, as it was: no need to wait for the disk.
            if standing != "go" or not await self._run(
                lambda connection, q=queued: rows.claim(connection, q.notice.message_id, clock.now()),  # type: ignore[misc]
                durable=False,
            ):
                continue
            reply = await self._attempt(queued, send)
            state = _state_after(queued, reply, clock.now())
            done.append(await self._record(queued, state, clock.now(), reply))
            if reply.phase in NO_SERVER:
                break
        return done

    async def _stands(self, queued: Queued, clock: Clock, stands: Stands | None, look: Look | None) -> Standing:
        """What is known here first, then, after an hour, the look at the network, which is written down."""
        standing = await stands(queued.notice) if stands is not None else "go"
        if standing == "go" and look is not None and clock.now() - queued.checked_at > RECHECK_AFTER:
            if not await look(queued.notice):
                return "withdraw"
            await self._run(lambda connection: rows.checked(connection, queued, clock.now()))
        return standing

    def _withdraw(self, connection: apsw.Connection, message_id: str, now: dt.datetime, reply: Reply) -> bool:
        """Settle a notice as withdrawn and tell whose cases it spoke of; False when it was settled before."""
        row = connection.execute(
            "SELECT case_ids FROM outbox WHERE message_id = ? AND recipient IS NOT NULL", (message_id,)
        ).fetchone()
        if row is None:
            return False
        rows.settle(connection, message_id, "withdrawn", now, reply)
        if self._withdrawn is not None:
            self._withdrawn(connection, tuple(json.loads(str(row[0]))))
        return True

    async def _attempt(self, queued: Queued, send: Callable[[Notice], Awaitable[Reply]]) -> Reply:
        """Send a claimed row; content refused, or too large, goes once more as plain text under the same id."""
        reply = await send(queued.notice)
        refused = reply.code >= 500 and reply.phase == "data"
        if refused and any(word in f" {reply.text}" for word in (" 5.7.", " 5.3.4")) and not queued.plain:
            plain = msgspec.structs.replace(queued.notice, message=without_attachments(queued.notice.message))
            await self._run(lambda connection: rows.plain(connection, plain))
            reply = await send(plain)
        return reply

    async def _record(self, queued: Queued, state: State, now: dt.datetime, reply: Reply) -> Sent:
        """The reply is written down in its own transaction, whatever cancels us meanwhile: the server has answered."""
        notice = queued.notice
        scrubbed = Reply(reply.code, scrub(reply.text), reply.phase)
        with trio.CancelScope(shield=True):
            if state in DUE_STATES:
                due = now + dt.timedelta(minutes=BACKOFF_MINUTES[min(queued.attempts, len(BACKOFF_MINUTES) - 1)])
                await self._run(lambda connection: rows.again(connection, notice.message_id, state, due, scrubbed))
            elif state == "withdrawn":
                await self._run(lambda connection: self._withdraw(connection, notice.message_id, now, scrubbed))
            else:
                await self._run(lambda connection: rows.settle(connection, notice.message_id, state, now, scrubbed))
        return Sent(
            notice.message_id, notice.case_ids, notice.template, notice.rung, notice.role, state, now, reply.code,
            scrubbed.text, queued.attempts + 1, reply.phase not in NO_SERVER and reply.code != 421,
        )  # fmt: skip


def scrub(text: str) -> str:
    """A server's reply without mail addresses, one line, at most 200 characters."""
    line = " ".join(re.sub(r"[^\x20-\x7e]+", " ", text).split())
    line = re.sub(r"<[^<>]*@[^<>]*>|[^\s<>\"'(),;:=]+@[^\s<>\"'(),;:]+", "<address>", line)
    return line[:REPLY_LIMIT]


def _state_after(queued: Queued, reply: Reply, now: dt.datetime) -> State:
    """What one reply means (RFC 5321 section 4.2.1): 2xx for the whole mail accepted, 5xx final, else again.

    Given up two days after the first attempt, and never before it was tried as often as there are pauses: also when
    each attempt ended in doubt, for then the party may have it as often as it was tried.
    """
    if 200 <= reply.code < 300 and reply.phase == "sent":
        return "accepted"
    if 500 <= reply.code < 600 and reply.phase in {"mail", "rcpt", "data"}:
        return "failed"
    tried_for = now - queued.first_at if queued.first_at is not None else dt.timedelta(0)
    if tried_for > GIVE_UP_AFTER and queued.attempts + 1 >= len(BACKOFF_MINUTES):
        return "failed"
    return "unknown" if reply.phase == "unknown" else "retry"


_SELECT_SENT = (
    "SELECT message_id, case_ids, template, rung, role, state, coalesce(settled_at, due_at), coalesce(reply_code, 0),"
    " coalesce(reply_text, ''), attempts FROM outbox ORDER BY seq"
)


def _sent(row: tuple[Any, ...]) -> Sent:
    return Sent(
        str(row[0]), tuple(json.loads(row[1])), str(row[2]), int(row[3]), str(row[4]), cast("State", row[5]),
        parse_rfc3339(str(row[6])), int(row[7]), str(row[8]), int(row[9]),
    )  # fmt: skip
