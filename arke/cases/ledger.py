"""arke's memory: accepted serials, cases, notices, what waits for a person; one SQLite file in the state directory.

Beside the whole flow: the ladder reads History from it; intent is written to it before a mail may leave, the outbox
keeps its own table in the same file so that both are one transaction. Recipients stand here as keyed hashes only; the
key is a file of its own (mode 0600). Every call is one transaction, run in a thread behind a one-slot limiter.
"""

from __future__ import annotations

import datetime as dt
import functools
import hmac
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self, TypeVar

import apsw
import msgspec
import trio

from arke.cases.ladder import History
from arke.cases.parties import Told
from arke.cases.tables import migrate
from panopticond.shared.clock import parse_rfc3339, rfc3339
from panopticond.shared.errors import StoreError
from panopticond.shared.keyfile import own_key

T = TypeVar("T")
FILE = "arke.db"
KEY_FILE = "recipients.key"
BUSY_MS = 10_000
DECISIONS = {"approve": "approved", "reject": "rejected", "hold": "held", "withhold": "withheld"}
"""What a person may say of a queue entry, and the state it takes."""
FORGOTTEN = "forgotten"
"""The reason of an entry that an objection left: nobody's word but the holder's own undoes it."""


class Intent(msgspec.Struct, frozen=True):
    """What is written before a mail may leave: one for each case a notice speaks of."""

    message_id: str
    case_id: str
    domain: str
    template: str
    rung: int
    role: str
    party: str
    opening: dt.datetime
    said: frozenset[str]
    at: dt.datetime


class QueueEntry(msgspec.Struct, frozen=True):
    """One thing that waits for a person, or what the person said."""

    id: int
    case_id: str
    reason: str
    state: str
    at: str
    decided_at: str | None = None


class Sent(msgspec.Struct, frozen=True):
    """How much was intended in the last day and hour, for the ceilings: notices, not cases."""

    hour: int
    domains: dict[str, int]
    parties: dict[str, int]


class Ledger:
    """The open ledger; make one by :meth:`open` in ``async with``."""

    def __init__(self, connection: apsw.Connection, key: bytes) -> None:
        self._connection = connection
        self._key = key
        self._slot = trio.CapacityLimiter(1)
        self._durable = True

    @classmethod
    def open(cls, state: Path) -> Ledger:
        """Open or make the ledger, and the outbox's table beside it, in a state directory.

        An older ledger is backed up beside itself and brought to this schema. Raises StoreError naming the directory
        when it cannot be made, opened or written, and for a ledger of newer software.
        """
        try:
            state.mkdir(parents=True, exist_ok=True, mode=0o700)
            key = _key(state / KEY_FILE)
            path = state / FILE
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            connection = apsw.Connection(str(path))
            connection.set_busy_timeout(BUSY_MS)
            for setting in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
                connection.execute(f"PRAGMA {setting}").fetchall()
            migrate(connection, path, state / KEY_FILE)
        except (OSError, apsw.Error) as error:
            raise StoreError(f"{state}: the ledger cannot be opened: {error}; check the directory's owner") from error
        return cls(connection, key)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._connection.close()

    async def run(self, work: Callable[[apsw.Connection], T], *, durable: bool = True) -> T:
        """One transaction in the ledger's thread; it is finished even when the caller is cancelled meanwhile.

        What is not ``durable`` outlives a kill, but a power cut may undo it: nobody waits for the disk.
        """

        def transaction() -> T:
            connection = self._connection
            if durable != self._durable:
                connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")
            return result

        try:
            return await trio.to_thread.run_sync(transaction, limiter=self._slot)
        except apsw.Error as error:
            raise StoreError(f"the ledger failed: {error}") from error

    async def tidy(self) -> None:
        """Fold the write-ahead log into the file and empty it: what was erased is gone from the disk too."""
        try:
            await trio.to_thread.run_sync(
                lambda: self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall(), limiter=self._slot
            )
        except apsw.Error as error:
            raise StoreError(f"the ledger failed: {error}") from error

    def party(self, address: str) -> str:
        """The keyed hash a recipient is known by: the same address, however written, gives the same one."""
        return hmac.digest(self._key, address.strip().lower().encode(), "sha256").hex()

    def secret(self, purpose: str) -> bytes:
        """A key of 32 bytes for another room (the VERP token's, say), derived from the ledger's own."""
        return hmac.digest(self._key, b"purpose:" + purpose.encode(), "sha256")

    async def accepted(self, tld: str) -> tuple[int, str] | None:
        """(serial, SHA-256 of the manifest) of the newest snapshot accepted, or None."""
        rows = await self.run(lambda c: list(c.execute("SELECT serial, sha256 FROM accepted WHERE tld = ?", (tld,))))
        return (int(rows[0][0]), str(rows[0][1])) if rows else None

    async def accept(self, tld: str, serial: int, sha256: str, now: dt.datetime) -> None:
        """Persist that a snapshot was accepted, before anything is done with it; an older one never overwrites."""
        await self.run(
            lambda c: c.execute(
                "INSERT INTO accepted VALUES (?, ?, ?, ?) ON CONFLICT (tld) DO UPDATE SET serial = excluded.serial, "
                "sha256 = excluded.sha256, at = excluded.at WHERE excluded.serial > accepted.serial",
                (tld, serial, sha256, rfc3339(now)),
            )
        )

    async def history(self, case_id: str, opening: dt.datetime) -> History:
        """All the ladder needs to know of a case in its present opening."""
        return await self.run(functools.partial(_history, case_id=case_id, opening=opening))

    async def complete(
        self, case_id: str, opening: dt.datetime, rung: int, said: frozenset[str], now: dt.datetime
    ) -> None:
        """Every notice of a step is in the outbox: only now the ladder may stand on this rung."""
        text = _time(opening)
        await self.run(
            lambda c: c.execute(
                "INSERT INTO cases VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET opening = excluded.opening, "
                "rung = excluded.rung, rung_at = excluded.rung_at, said = excluded.said",
                (case_id, text, rung, _time(now), json.dumps(sorted(said))),
            )
        )

    async def reopen_step(self, case_ids: Iterable[str]) -> None:
        """A notice was withdrawn before it left: the step stands open again for those who were not told."""
        await self.run(lambda c: reopen(c, tuple(case_ids)))

    async def wait_for_person(self, case_id: str, opening: dt.datetime, reason: str, now: dt.datetime) -> None:
        """Put a case in the queue for a reason, once an opening; a decision taken is never undone by this."""
        await self.run(
            lambda c: c.execute(
                "INSERT INTO queue (case_id, opening, reason, state, at) VALUES (?, ?, ?, 'waiting', ?) "
                "ON CONFLICT DO NOTHING",
                (case_id, _time(opening), reason, rfc3339(now)),
            )
        )

    async def queue(self, *, waiting_only: bool = False) -> list[QueueEntry]:
        """The queue, oldest first."""
        rows = await self.run(
            lambda c: list(c.execute("SELECT id, case_id, reason, state, at, decided_at FROM queue ORDER BY id"))
        )
        entries = [QueueEntry(*row) for row in rows]
        return [entry for entry in entries if entry.state in ("waiting", "held")] if waiting_only else entries

    async def decide(self, entry: str, word: str, now: dt.datetime) -> list[QueueEntry]:
        """Write a person's word on a queue entry (its number) or on all open ones of a case (its case number).

        A case number speaks of the newest opening and undoes no decision; an entry's number changes that entry, so
        that a decision can be taken back, unless the case has reopened since or its holder objected. Returns the
        entries changed; none means that there is no such entry, or that it may not be decided.
        """
        return await self.run(functools.partial(_decide, entry=entry, state=DECISIONS[word], now=rfc3339(now)))

    async def settle_queue(self, case_id: str, opening: dt.datetime, reason: str) -> None:
        """Take back an entry nobody has decided, once its reason is gone."""
        await self.run(
            lambda c: c.execute(
                "DELETE FROM queue WHERE case_id = ? AND opening = ? AND reason = ? AND state = 'waiting'",
                (case_id, _time(opening), reason),
            )
        )

    async def note(self, case_id: str, serial: int, what: str, reason: str, now: dt.datetime) -> None:
        """Remember how the last pass over a case ended (``sent``, ``no-contact``, ``cancelled`` ...) for the report."""
        await self.run(
            lambda c: c.execute(
                "INSERT OR REPLACE INTO outcomes VALUES (?, ?, ?, ?, ?)", (case_id, serial, what, reason, rfc3339(now))
            )
        )

    async def outcomes(self) -> dict[str, tuple[int, str, str]]:
        """Case number to (serial, what, reason) of the last pass over each case."""
        rows = await self.run(lambda c: list(c.execute("SELECT case_id, serial, what, reason FROM outcomes")))
        return {str(row[0]): (int(row[1]), str(row[2]), str(row[3])) for row in rows}

    async def suppressed(self) -> frozenset[str]:
        """Hashes of the recipients who must never be written to again."""
        return frozenset(
            str(row[0]) for row in await self.run(lambda c: list(c.execute("SELECT party FROM suppressed")))
        )

    async def sent(self, now: dt.datetime) -> Sent:
        """What was intended within the last day and hour of policy time."""
        return await self.run(functools.partial(_sent, now=now))

    async def counts(self) -> dict[str, dict[str, int]]:
        """Rows by state of notices and queue, for status; no names in it."""

        def count(connection: apsw.Connection) -> dict[str, dict[str, int]]:
            return {
                "outbox": _by_state(connection, "SELECT state, COUNT(*) FROM outbox GROUP BY state"),
                "queue": _by_state(connection, "SELECT state, COUNT(*) FROM queue GROUP BY state"),
            }

        return await self.run(count)


def reopen(connection: apsw.Connection, case_ids: tuple[str, ...]) -> None:
    """What :meth:`Ledger.reopen_step` does, inside the caller's transaction (the one that withdraws the notice)."""
    connection.executemany("DELETE FROM cases WHERE id = ?", [(case_id,) for case_id in case_ids])


def write_intents(connection: apsw.Connection, intents: Iterable[Intent]) -> None:
    """Write what is about to be sent, inside the caller's transaction (the outbox's own row stands in the same one)."""
    connection.executemany(
        "INSERT OR IGNORE INTO notices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                *(item.message_id, item.case_id, item.domain, item.template, item.rung, item.role, item.party),
                *(_time(item.opening), json.dumps(sorted(item.said)), _time(item.at)),
            )
            for item in intents
        ],
    )


def _history(connection: apsw.Connection, case_id: str, opening: dt.datetime) -> History:
    told = tuple(
        Told(
            opening=parse_rfc3339(row[0]),
            party=row[1],
            template=row[2],
            rung=row[3],
            said=frozenset(json.loads(row[4])),
            state=row[5],
            accepted=parse_rfc3339(row[6]) if row[5] in ("accepted", "bounced") and row[6] else None,
            settled=parse_rfc3339(row[6]) if row[6] else None,
        )
        for row in connection.execute(
            "SELECT opening, party, n.template, n.rung, said, state, settled_at "
            "FROM notices n JOIN outbox USING (message_id) WHERE case_id = ? ORDER BY intent_at, message_id",
            (case_id,),
        )
    )
    decisions = dict(
        connection.execute(
            "SELECT reason, state FROM queue WHERE case_id = ? AND opening = ?", (case_id, _time(opening))
        )
    )
    rows = list(connection.execute("SELECT opening, rung, rung_at, said FROM cases WHERE id = ?", (case_id,)))
    if not rows or parse_rfc3339(rows[0][0]) != opening:
        return History(told=told, opening=opening, decisions=decisions)
    _, rung, rung_at, said = rows[0]
    return History(
        told, opening, rung, parse_rfc3339(rung_at) if rung_at else None, frozenset(json.loads(said)), decisions
    )


def _decide(connection: apsw.Connection, entry: str, state: str, now: str) -> list[QueueEntry]:
    number = entry.isascii() and entry.isdigit() and len(entry) < 19  # more is no id, and no integer of SQLite's
    newest = "case_id = ?1 AND reason <> ?4 AND state IN ('waiting', 'held')"
    newest += " AND opening = (SELECT max(opening) FROM queue WHERE case_id = ?1)"
    latest = "id = ?1 AND reason <> ?4"
    latest += " AND opening = (SELECT max(opening) FROM queue AS q WHERE q.case_id = queue.case_id)"
    rows = connection.execute(
        f"UPDATE queue SET state = ?2, decided_at = ?3 WHERE {latest if number else newest} "  # noqa: S608 - our own words
        "RETURNING id, case_id, reason, state, at, decided_at",
        (int(entry) if number else entry, state, now, FORGOTTEN),
    )
    return [QueueEntry(*row) for row in rows]


def _sent(connection: apsw.Connection, now: dt.datetime) -> Sent:
    day, hour = _time(now - dt.timedelta(days=1)), _time(now - dt.timedelta(hours=1))
    recent = "FROM notices JOIN outbox USING (message_id) WHERE state <> 'withdrawn' AND intent_at > ?"
    (within_hour,) = next(iter(connection.execute(f"SELECT COUNT(DISTINCT message_id) {recent}", (hour,))))
    return Sent(
        hour=int(within_hour),
        domains=dict(connection.execute(f"SELECT domain, COUNT(DISTINCT message_id) {recent} GROUP BY domain", (day,))),
        parties=dict(connection.execute(f"SELECT party, COUNT(DISTINCT message_id) {recent} GROUP BY party", (day,))),
    )


def _by_state(connection: apsw.Connection, query: str) -> dict[str, int]:
    return {str(state): int(number) for state, number in connection.execute(query)}


def _key(path: Path) -> bytes:
    """The key of the hashes, made at the first start; never printed, never anywhere else."""
    try:
        return own_key(path)
    except ValueError:
        raise StoreError(
            f"{path}: not a key of 32 bytes; restore it from the backup, or no repeat is noticed"
        ) from None


def _time(when: dt.datetime) -> str:
    """UTC to the microsecond, sortable as text and exact to compare."""
    return when.astimezone(dt.UTC).isoformat(timespec="microseconds")
