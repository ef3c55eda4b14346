"""The embedded store: SQLite in WAL mode through apsw, one connection, every method one transaction in a worker thread.

Between collection and validation, and under publication. One thread at a time holds the connection, so methods never
meet half a change; commands of another process (``explain``, ``publish``) use the same file and wait their turn.
``synchronous=NORMAL`` keeps every commit through ``kill -9``; publications and an operator's decisions, which nobody
could work out again, are also synced against loss of power.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import apsw
import msgspec
import trio

from panopticond.model import DomainRecord, Incident, Indicator, Round, Scope, Subject, Threat, Verdict
from panopticond.shared.errors import StoreError
from panopticond.store import history, listing, lookup
from panopticond.store.interface import FeedHealth, Publication, Standing, Watch
from panopticond.store.rows import (
    identity,
    sightings_of,
    standing_of,
    subject_of,
    to_json,
)
from panopticond.store.schema import migrate

T = TypeVar("T")
_BUSY_MILLISECONDS = 15_000
_BATCH = 500
_PUBLICATION = msgspec.json.Decoder(Publication)


async def open_store(path: Path) -> SqliteStore:
    """Open or make the database at ``path``; StoreError when it cannot be used (newer, foreign, damaged, no right)."""
    return await trio.to_thread.run_sync(_open, path)


def _open(path: Path) -> SqliteStore:
    try:
        connection = apsw.Connection(str(path))
        try:
            connection.set_busy_timeout(_BUSY_MILLISECONDS)
            connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
            connection.pragma("journal_mode", "wal")
            connection.pragma("synchronous", "NORMAL")
            connection.pragma("cache_size", -32 * 1024)
            connection.pragma("wal_autocheckpoint", 4000)
            migrate(connection)
            secret = connection.execute("SELECT secret FROM identity").get
        except BaseException:
            connection.close()
            raise
    except apsw.Error as error:
        raise StoreError(f"{path}: the database cannot be opened: {error}; check [store] path") from error
    return SqliteStore(connection, path, secret)


class SqliteStore:
    """``panopticond.store.interface.Store`` in one file; an async context manager that closes it. See open_store."""

    def __init__(self, connection: apsw.Connection, path: Path, secret: bytes) -> None:
        self._connection = connection
        self._path = path
        self._secret = secret
        self._limiter = trio.CapacityLimiter(1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Flush the log into the file and close; waits for the running transaction, even when cancelled."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._connection.close, limiter=self._limiter)

    async def _transact(self, work: Callable[[apsw.Connection], T], *, synced: bool = False) -> T:
        """Run ``work`` in a writing transaction in the worker thread; commits whole or not at all."""
        return await trio.to_thread.run_sync(self._transact_sync, work, synced, limiter=self._limiter)

    def _transact_sync(self, work: Callable[[apsw.Connection], T], synced: bool) -> T:
        try:
            if synced:
                self._connection.pragma("synchronous", "FULL")
            try:
                return self._within("BEGIN IMMEDIATE", work)
            finally:
                if synced:
                    self._connection.pragma("synchronous", "NORMAL")
        except apsw.Error as error:
            raise StoreError(f"{self._path}: the database cannot be written: {error}") from error

    def _within(self, begin: str, work: Callable[[apsw.Connection], T]) -> T:
        self._connection.execute(begin)
        try:
            result = work(self._connection)
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return result

    async def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run ``work`` on one unchanging view of the database in the worker thread."""
        return await trio.to_thread.run_sync(self._read_sync, work, limiter=self._limiter)

    def _read_sync(self, work: Callable[[apsw.Connection], T]) -> T:
        try:
            return self._within("BEGIN DEFERRED", work)
        except (apsw.Error, msgspec.DecodeError, ValueError) as error:
            raise StoreError(f"{self._path}: the database cannot be read: {error}") from error

    # feeds -> store
    async def record_listing(self, feed: str, seen: dt.datetime, batch: Sequence[Indicator]) -> list[Watch]:
        """Upsert indicators and their sightings; returns the watches of those new, or watched again, for the window."""
        return await self._transact(lambda c: listing.record_listing(c, self._secret, feed, seen, batch))

    async def end_listing(self, feed: str, seen: dt.datetime) -> int:
        """After a whole body: sightings of this feed not seen at ``seen`` get ``ended``; returns how many."""
        return await self._transact(lambda c: listing.end_listing(c, feed, seen))

    async def touch_listing(self, feed: str, seen: dt.datetime) -> None:
        """The same body again: every unended sighting of this feed was seen at ``seen``."""
        await self._transact(lambda c: listing.touch_listing(c, feed, seen))

    async def feed_health(self, feed: str) -> FeedHealth:
        """The ledger line, a NEW one when there is none yet."""
        return await self._read(lambda c: listing.feed_health(c, feed))

    async def record_feed_health(self, health: FeedHealth) -> None:
        """Replace the ledger line; a change of state is kept in the history too."""
        await self._transact(lambda c: listing.record_feed_health(c, health))

    async def all_feed_health(self) -> list[FeedHealth]:
        """Every ledger line, by name."""
        return await self._read(listing.all_feed_health)

    # store <-> window
    async def watches(self) -> list[Watch]:
        """Every indicator, for the window at start."""
        return await self._read(lookup.watches)

    async def subject(self, indicator_id: int) -> Subject:
        """One indicator with the threats of all its sightings; StoreError when there is none of this id."""
        return await self._read(lambda c: subject_of(lookup.row(c, indicator_id), sightings_of(c, indicator_id)))

    async def standing(self, indicator_id: int) -> Standing:
        """One indicator as it stands; StoreError when there is none of this id."""
        return await self._read(lambda c: standing_of(c, lookup.row(c, indicator_id)))

    async def rounds(self, indicator_id: int, since: dt.datetime | None = None) -> list[Round]:
        """Its retained rounds, oldest first; the first validated round is always among them."""
        return (await self.rounds_of_many([indicator_id], since))[indicator_id]

    async def rounds_of_many(
        self, indicator_ids: Sequence[int], since: dt.datetime | None = None
    ) -> dict[int, list[Round]]:
        """The same for several indicators at once, as the snapshot reads them: one transaction, one thread."""
        return await self._read(lambda c: history.rounds(c, indicator_ids, since))

    async def record_round(
        self, indicator_id: int, round_: Round, verdict: Verdict, began: dt.datetime | None = None
    ) -> None:
        """One round with all its observations, and the verdict it led to; sets ``first_validated`` once active."""
        await self._transact(lambda c: history.record_round(c, indicator_id, round_, verdict, began))

    async def regroup(self, indicator_id: int, domain: str, scope: Scope) -> None:
        """Keep an indicator under the registered domain a referral proved; no listing by policy takes that back."""
        await self._transact(lambda c: listing.regroup(c, indicator_id, domain, scope))

    # domains and incidents
    async def domain(self, domain: str) -> DomainRecord | None:
        """What is known of a registered domain."""
        return await self._read(lambda c: lookup.domain(c, domain))

    async def domains_of_many(self, domains: Sequence[str]) -> dict[str, DomainRecord]:
        """The same for several at once; those never looked at are left out."""
        return await self._read(lambda c: {name: known for name in domains if (known := lookup.domain(c, name))})

    async def record_domain(self, record: DomainRecord) -> None:
        """Replace what is known of a registered domain."""
        await self._transact(lambda c: lookup.replace(c, "domain", [(record.domain, to_json(record))]))

    async def incidents(self, tld: str) -> list[Incident]:
        """Every incident of a TLD, by id."""
        return await self._read(lambda c: lookup.incidents(c, tld))

    async def record_incidents(self, incidents: Sequence[Incident]) -> None:
        """Insert or replace."""
        rows = [(incident.id, incident.tld, to_json(incident)) for incident in incidents]
        await self._transact(lambda c: lookup.replace(c, "incident", rows))

    async def decide(self, indicator_id: int, decision: str, at: dt.datetime) -> None:
        """Keep an operator's ``confirm`` or ``dismiss``; StoreError when there is no indicator of this id."""
        await self._transact(lambda c: lookup.decide(c, indicator_id, decision, at), synced=True)

    # store -> snapshot, explain
    async def standings(self, tld: str) -> AsyncIterator[Standing]:
        """Every indicator of a TLD as it stands, by key, in batches of 500: eight bytes each are held for the order."""
        numbers = await self._read(lambda c: lookup.numbers(c, tld))
        for start in range(0, len(numbers), _BATCH):
            for standing in await self._read(partial(lookup.standings, numbers=numbers[start : start + _BATCH])):
                yield standing

    async def find(self, text: str) -> list[Standing]:
        """Indicators whose URI, host, domain or public id is ``text``, by key; a public id reads every indicator."""
        return await self._read(lambda c: lookup.find(c, identity(self._secret, text), text))

    async def last_publication(self, tld: str) -> Publication | None:
        """The newest published snapshot of a TLD."""
        statement = "SELECT value FROM publication WHERE tld = ? ORDER BY serial DESC LIMIT 1"
        text = await self._read(lambda c: c.execute(statement, (tld,)).get)
        return None if text is None else _PUBLICATION.decode(text)

    async def record_publication(self, publication: Publication) -> None:
        """Remember what was published."""
        row = (publication.tld, publication.serial, to_json(publication))
        await self._transact(lambda c: lookup.replace(c, "publication", [row]), synced=True)

    async def threats_listed(self, tld: str) -> dict[Threat, int]:
        """How many domains are listed now, by threat; every threat is there."""
        return await self._read(lambda c: lookup.threats_listed(c, tld))

    async def thin(self, before: dt.datetime) -> int:
        """Drop observations before ``before``, but of first validated and of the last two rounds; returns how many.

        The one method of several transactions, so that probing goes on meanwhile; it can be repeated at any time.
        """
        dropped, after = 0, -1
        while True:
            stretch = await self._transact(partial(history.thin, before=before, after=after, size=1000))
            dropped += stretch.dropped
            if stretch.last is None:
                return dropped
            after = stretch.last

    async def backup(self, target: Path) -> None:
        """A copy of the whole database as of now in a new file; StoreError when ``target`` exists."""
        if await trio.Path(target).exists():
            raise StoreError(f"{target}: exists already; a backup never overwrites a file")
        await trio.to_thread.run_sync(self._backup_sync, target, limiter=self._limiter)

    def _backup_sync(self, target: Path) -> None:
        try:
            self._connection.execute("VACUUM INTO ?", (str(target),))
        except apsw.Error as error:
            raise StoreError(f"{target}: the backup failed: {error}") from error
