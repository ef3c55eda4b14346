"""Every method of the store's interface as one transaction, whichever engine runs it: SQLite's or PostgreSQL's.

Between ``interface`` and the rooms of SQL. An engine gives a transaction that commits whole or not at all, and a view
that does not change while it is read; nothing here knows which one it is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Protocol, Self, TypeVar

import msgspec

from panopticond.model import DomainRecord, Incident, Indicator, Round, Scope, Subject, Threat, Verdict
from panopticond.store import history, listing, lookup
from panopticond.store.interface import FeedHealth, Publication, Standing, Watch
from panopticond.store.rows import identity, sightings_of, standings_of, subject_of, to_json
from panopticond.store.sql import Sql, first

T = TypeVar("T")
_BATCH = 500
_PUBLICATION = msgspec.json.Decoder(Publication)


class Engine(Protocol):
    """What runs the transactions; StoreError is the only error of its own that leaves it."""

    async def transact(self, work: Callable[[Sql], T], *, synced: bool = False) -> T:
        """Run ``work`` in a writing transaction; ``synced``: it must outlive a loss of power."""
        ...

    async def read(self, work: Callable[[Sql], T]) -> T:
        """Run ``work`` on one unchanging view."""
        ...

    async def close(self) -> None:
        """End what is under way and let go of the database."""
        ...


class SqlStore:
    """``panopticond.store.interface.Store`` over an engine; an async context manager that closes it."""

    def __init__(self, engine: Engine, secret: bytes) -> None:
        self.engine = engine
        self._secret = secret

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Flush and close; waits for running transactions, even when cancelled."""
        await self.engine.close()

    # feeds -> store
    async def record_listing(self, feed: str, seen: dt.datetime, batch: Sequence[Indicator]) -> list[Watch]:
        """Upsert indicators and their sightings; returns the watches of those new, or watched again, for the window."""
        return await self.engine.transact(lambda sql: listing.record_listing(sql, self._secret, feed, seen, batch))

    async def end_listing(self, feed: str, seen: dt.datetime) -> int:
        """After a whole body: sightings of this feed not seen at ``seen`` get ``ended``; returns how many."""
        return await self.engine.transact(lambda sql: listing.end_listing(sql, feed, seen))

    async def touch_listing(self, feed: str, seen: dt.datetime) -> None:
        """The same body again: every unended sighting of this feed was seen at ``seen``."""
        await self.engine.transact(lambda sql: listing.touch_listing(sql, feed, seen))

    async def feed_health(self, feed: str) -> FeedHealth:
        """The ledger line, a NEW one when there is none yet."""
        return await self.engine.read(lambda sql: listing.feed_health(sql, feed))

    async def record_feed_health(self, health: FeedHealth) -> None:
        """Replace the ledger line; a change of state is kept in the history too."""
        await self.engine.transact(lambda sql: listing.record_feed_health(sql, health))

    async def all_feed_health(self) -> list[FeedHealth]:
        """Every ledger line, by name."""
        return await self.engine.read(listing.all_feed_health)

    # store <-> window
    async def watches(self) -> list[Watch]:
        """Every indicator, for the window at start."""
        return await self.engine.read(lookup.watches)

    async def subject(self, indicator_id: int) -> Subject:
        """One indicator with the threats of all its sightings; StoreError when there is none of this id."""
        return await self.engine.read(lambda sql: _subject(sql, indicator_id))

    async def standing(self, indicator_id: int) -> Standing:
        """One indicator as it stands; StoreError when there is none of this id."""
        return await self.engine.read(lambda sql: standings_of(sql, [lookup.row(sql, indicator_id)])[0])

    async def rounds(self, indicator_id: int, since: dt.datetime | None = None) -> list[Round]:
        """Its retained rounds, oldest first; the first validated round is always among them."""
        return (await self.rounds_of_many([indicator_id], since))[indicator_id]

    async def rounds_of_many(
        self, indicator_ids: Sequence[int], since: dt.datetime | None = None
    ) -> dict[int, list[Round]]:
        """The same for several indicators at once, as the snapshot reads them: one transaction, one thread."""
        return await self.engine.read(lambda sql: history.rounds(sql, indicator_ids, since))

    async def record_round(
        self,
        indicator_id: int,
        round_: Round,
        verdict: Verdict,
        began: dt.datetime | None = None,
        domain: DomainRecord | None = None,
    ) -> None:
        """One round, its verdict and its domain, whole or not at all; sets ``first_validated`` once active."""

        def work(sql: Sql) -> None:
            history.record_round(sql, indicator_id, round_, verdict, began)
            lookup.record_domains(sql, [domain] if domain is not None else [])

        await self.engine.transact(work)

    async def regroup(self, indicator_id: int, domain: str, scope: Scope) -> None:
        """Keep an indicator under the registered domain a referral proved; no listing by policy takes that back."""
        await self.engine.transact(lambda sql: listing.regroup(sql, indicator_id, domain, scope))

    # domains and incidents
    async def domain(self, domain: str) -> DomainRecord | None:
        """What is known of a registered domain."""
        return await self.engine.read(lambda sql: lookup.domain(sql, domain))

    async def domains_of_many(self, domains: Sequence[str]) -> dict[str, DomainRecord]:
        """The same for several at once; those never looked at are left out."""
        return await self.engine.read(lambda sql: lookup.domains(sql, domains))

    async def incidents(self, tld: str) -> list[Incident]:
        """Every incident of a TLD, by id."""
        return await self.engine.read(lambda sql: lookup.incidents(sql, tld))

    async def record_incidents(self, incidents: Sequence[Incident]) -> None:
        """Insert or replace."""
        rows = [(incident.id, incident.tld, to_json(incident)) for incident in incidents]
        await self.engine.transact(lambda sql: lookup.replace(sql, "incident", rows))

    async def decide(self, indicator_id: int, decision: str, at: dt.datetime) -> None:
        """Keep an operator's ``confirm`` or ``dismiss``; StoreError when there is no indicator of this id."""
        await self.engine.transact(lambda sql: lookup.decide(sql, indicator_id, decision, at), synced=True)

    # store -> snapshot, explain
    async def standings(self, tld: str) -> AsyncIterator[Standing]:
        """Every indicator of a TLD as it stands, by key, in batches of 500: eight bytes each are held for the order."""
        numbers = await self.engine.read(lambda sql: lookup.numbers(sql, tld))
        for start in range(0, len(numbers), _BATCH):
            for standing in await self.engine.read(partial(lookup.standings, numbers=numbers[start : start + _BATCH])):
                yield standing

    async def find(self, text: str) -> list[Standing]:
        """Indicators whose URI, host, domain or public id is ``text``, by key; a public id reads every indicator."""
        return await self.engine.read(lambda sql: lookup.find(sql, identity(self._secret, text), text))

    async def last_publication(self, tld: str) -> Publication | None:
        """The newest published snapshot of a TLD."""
        statement = "SELECT value FROM publication WHERE tld = ? ORDER BY serial DESC LIMIT 1"
        text = await self.engine.read(lambda sql: first(sql, statement, (tld,)))
        return None if text is None else _PUBLICATION.decode(text)

    async def record_publication(self, publication: Publication) -> None:
        """Remember what was published."""
        row = (publication.tld, publication.serial, to_json(publication))
        await self.engine.transact(lambda sql: lookup.replace(sql, "publication", [row]), synced=True)

    async def threats_listed(self, tld: str) -> dict[Threat, int]:
        """How many domains are listed now, by threat; every threat is there."""
        return await self.engine.read(lambda sql: lookup.threats_listed(sql, tld))

    async def thin(self, before: dt.datetime) -> int:
        """Drop observations before ``before``, but of first validated and of the last two rounds; returns how many.

        The one method of several transactions, so that probing goes on meanwhile; it can be repeated at any time.
        """
        dropped, after = 0, -1
        while True:
            stretch = await self.engine.transact(partial(history.thin, before=before, after=after, size=1000))
            dropped += stretch.dropped
            if stretch.last is None:
                return dropped
            after = stretch.last


def _subject(sql: Sql, number: int) -> Subject:
    return subject_of(lookup.row(sql, number), sightings_of(sql, [number])[number])
