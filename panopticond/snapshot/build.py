"""Everything known of a TLD as the tables of records.sql: judged again at the interval's end, licensed, counted.

After the rounds, before the files: reads the store's standings one by one, never holds more than the rows of the
smaller tables (observations go to a spool on disk), and lets other tasks run between any two indicators. States are
judged from exactly the observations that are published, so that a reader can judge them again.
"""

from __future__ import annotations

import datetime as dt
import functools
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
import trio

from panopticond.config import Tld
from panopticond.judge.aggregate import aggregates
from panopticond.judge.listing import as_at, listing_of
from panopticond.judge.look import answered
from panopticond.judge.registration import since_registration
from panopticond.judge.verdict import validated
from panopticond.model import THREATS, Absence, Incident, Licence, Round, Sighting, Trust
from panopticond.snapshot import rows
from panopticond.snapshot.conclude import Counts, Terms, advanced, classes, tables_of
from panopticond.snapshot.licences import FeedFacts, Veil, exported, licence_of
from panopticond.snapshot.rows import Judged, Known
from panopticond.snapshot.spool import Spool
from panopticond.store.interface import Standing, Store

_BATCH = 250
"""Indicators read and judged at a time: some ten thousand observations in memory."""


class Built(msgspec.Struct, frozen=True):
    """The tables, ready to be written, and the incidents to be recorded back."""

    tables: dict[str, Any]
    incidents: tuple[Incident, ...]
    redistributable: frozenset[str]
    """Public ids that may be passed on to anyone (misp.json)."""


class _Sources:
    """The feeds' terms by name."""

    def __init__(self, feeds: Sequence[FeedFacts]) -> None:
        self.licences: dict[str, Licence] = {feed.name: feed.licence for feed in feeds}
        self.trusts: dict[str, Trust] = {feed.name: feed.trust for feed in feeds if feed.licence != "verdict-only"}
        self.absences: dict[str, Absence] = {feed.name: feed.absence for feed in feeds}


class _Desk:
    """Where standings, rounds and domain records become judged indicators and observation rows, a batch at a time.

    The work is done in a thread: the daemon's probes go on meanwhile.
    """

    def __init__(
        self, tld: Tld, terms: Terms, sources: _Sources, watched: Collection[int], veil: Veil, spool: Spool
    ) -> None:
        self._tld, self._terms, self._sources = tld, terms, sources
        self._watched, self.veil, self.spool = watched, veil, spool
        self.counts = Counts()
        self.records: dict[str, Known] = {}
        self.by_domain: dict[tuple[str, bool], list[Judged]] = defaultdict(list)

    async def take(self, store: Store, batch: Sequence[Standing]) -> None:
        """Everything the store knows of a batch, judged and spooled."""
        rounds = await store.rounds_of_many([standing.subject.id for standing in batch])
        new = {standing.subject.domain for standing in batch} - self.records.keys()
        known = await store.domains_of_many(sorted(new))
        self.records |= {name: Known.of(known.get(name)) for name in new}
        await trio.to_thread.run_sync(self._take, batch, rounds)

    def _take(self, batch: Sequence[Standing], rounds_of: Mapping[int, Sequence[Round]]) -> None:
        terms, veil = self._terms, self.veil
        for standing in batch:
            number, domain = standing.subject.id, standing.subject.domain
            rounds = _whole_seconds(rounds_of[number], terms.end)
            rounds = since_registration(rounds, self.records[domain].began)
            item = _judged(standing, rounds, self.records[domain], self._tld, self._sources, terms)
            if item is None:
                continue
            self.by_domain[domain, item.veiled].append(item)
            _count(self.counts, standing, rounds, terms, watched=number in self._watched)
            self.spool.add(rows.observation_texts(item.id(veil), rounds, veil if item.veiled else None))


async def build(
    store: Store,
    tld: Tld,
    feeds: Sequence[FeedFacts],
    terms: Terms,
    *,
    veil: Veil,
    spool: Spool,
    lookalike: Callable[[str], str | None] = lambda _name: None,
) -> Built:
    """The tables of one snapshot; ``spool`` receives the observations and stands in the tables as their rows.

    ``lookalike`` names what a domain resembles, or None. Nothing is written to the store. Raises ``StoreError``.
    """
    watched = {watch.id for watch in await store.watches() if watch.check}
    desk = _Desk(tld, terms, _Sources(feeds), watched, veil, spool)
    batch: list[Standing] = []
    async for standing in store.standings(str(tld.name)):
        if standing.recorded <= terms.end:
            batch.append(standing)
        if len(batch) == _BATCH:
            await desk.take(store, batch)
            batch = []
    await desk.take(store, batch)
    previous = await store.incidents(str(tld.name))
    return await trio.to_thread.run_sync(_concluded, desk, tld, feeds, terms, previous, lookalike)


def _concluded(
    desk: _Desk,
    tld: Tld,
    feeds: Sequence[FeedFacts],
    terms: Terms,
    previous: Sequence[Incident],
    lookalike: Callable[[str], str | None],
) -> Built:
    """Classes, incidents, tables and figures of what lies on the desk."""
    by_domain, records, counts, veil = desk.by_domain, desk.records, desk.counts, desk.veil
    assessed = classes(by_domain, records, lookalike, terms.assess)
    incidents = advanced(previous, by_domain, records, str(tld.name), terms.end)
    tables = tables_of(by_domain, records, assessed, incidents, tld, feeds, terms, counts, veil)
    tables["observation"] = desk.spool
    tables["aggregate"] = aggregates(tables, vantage_worked=counts.vantage_worked, unchecked=counts.unchecked)
    everyone = [item for items in by_domain.values() for item in items]
    return Built(
        tables=tables,
        incidents=tuple(incidents),
        redistributable=frozenset(item.id(veil) for item in everyone if item.licence == "redistributable"),
    )


def _whole_seconds(rounds: Sequence[Round], end: dt.datetime) -> list[Round]:
    """The rounds until ``end``, dated as they are published: rules about hours must not hang on a microsecond."""
    return [Round(round_.at.replace(microsecond=0), round_.observations) for round_ in rounds if round_.at <= end]


def _judged(
    standing: Standing,
    rounds: Sequence[Round],
    known: Known,
    tld: Tld,
    sources: _Sources,
    terms: Terms,
) -> Judged | None:
    """One indicator judged from its published rounds, or None where the licences leave nothing to publish."""
    seen = as_at(standing.sightings, terms.end)
    licence = licence_of(seen, sources.licences)
    if licence == "no-store":
        return None
    sightings = exported(seen, sources.licences, licence)
    threats = tuple(threat for threat in THREATS if any(sighting.threat == threat for sighting in sightings))
    subject = msgspec.structs.replace(
        standing.subject, threats=_one(threats), tld=_one(standing.subject.tld), scope=_one(standing.subject.scope)
    )
    critical = any(name.lower() in (subject.domain, subject.host) for name in tld.critical)
    listing = listing_of(sightings, sources.absences, decision=standing.decision, critical=critical)
    verdict = terms.judge(subject, rounds, listing, popular_rank=terms.popular_rank)
    if (
        standing.verdict is not None
        and standing.verdict.state == verdict.state
        and verdict.since
        and standing.verdict.since
    ):
        # Rounds that no state needs are thinned out in time; what they showed stays in the stored verdict.
        verdict = msgspec.structs.replace(verdict, since=min(verdict.since, standing.verdict.since))
    now_validated = licence != "verdict-only" and validated(
        verdict,
        sightings,
        sources.trusts,
        registration_began=known.began,
        to=terms.end,
        decision=standing.decision,
    )
    first_validated = standing.first_validated
    if first_validated is None or (known.began is not None and first_validated < known.began):
        first_validated = verdict.first_active if now_validated else None
    return Judged(
        subject=subject,
        licence=licence,
        recorded=standing.recorded,
        verdict=msgspec.structs.replace(verdict, evidence=(), delegation=sys.intern(verdict.delegation)),
        sightings=_shared(sightings),
        validated=now_validated,
        first_validated=first_validated,
        decision=standing.decision,
    )


def _shared(sightings: Sequence[Sighting]) -> tuple[Sighting, ...]:
    """The same, with one object for every name, word and time: there are as many as indicators."""
    return tuple(
        Sighting(_one(seen.feed), _one(seen.threat), _one(seen.first), _one(seen.last), _one(seen.ended))
        for seen in sightings
    )


@functools.lru_cache(maxsize=4096)
def _one(value: Any) -> Any:
    return value


def _count(counts: Counts, standing: Standing, rounds: Sequence[Round], terms: Terms, *, watched: bool) -> None:
    recent = [round_ for round_ in rounds if round_.at > terms.start]
    made = 0
    for round_ in recent:
        made += not counts.take(round_) or answered(standing.subject, round_)
    if watched:
        due = int((terms.end - max(terms.start, standing.recorded)) / terms.check_interval)
        counts.due += due
        counts.done += min(due, made)
