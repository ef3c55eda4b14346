"""Everything known of a TLD as the tables of records.sql: judged again at the interval's end, licensed, counted.

After the rounds, before the files: reads the store's standings one by one, never holds more than the rows of the
smaller tables (observations go to a spool on disk), and lets other tasks run between any two indicators. States are
judged from exactly the observations that are published, so that a reader can judge them again.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
import trio

from panopticond.config import Tld
from panopticond.judge.aggregate import aggregates
from panopticond.judge.classify import Classification, Facts, classify
from panopticond.judge.incident import Member, advance
from panopticond.judge.listing import as_at, listing_of
from panopticond.judge.verdict import judge, validated
from panopticond.model import THREATS, Absence, Incident, Licence, Round, Sighting, Trust, Verdict
from panopticond.shared.clock import rfc3339
from panopticond.shared.tables import FORMAT, SnapshotRow
from panopticond.snapshot import rows
from panopticond.snapshot.licences import FeedFacts, Veil, exported, licence_of
from panopticond.snapshot.rows import Judged, Known
from panopticond.snapshot.spool import Spool
from panopticond.store.interface import Standing, Store


_BATCH = 250
"""Indicators read and judged at a time: some ten thousand observations in memory."""


class Terms(msgspec.Struct, frozen=True):
    """What a publication is told from outside: its interval, its number, and what was configured."""

    start: dt.datetime
    end: dt.datetime
    issued: dt.datetime
    serial: int
    late: bool = False
    check_interval: dt.timedelta = dt.timedelta(hours=6)
    """The window over the checks in it."""
    zone_size: int | None = None
    vantages: tuple[tuple[str, str], ...] = ()
    """(name, country)."""
    tranco_list: str | None = None
    popular_rank: int = 100_000
    judge: Callable[..., Verdict] = judge


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


class _Counts:
    """What is counted while the observations pass by."""

    def __init__(self) -> None:
        self.due = self.done = 0
        self.unchecked: Counter[str] = Counter()
        self.vantage_answers = self.vantage_failures = 0

    def take(self, round_: Round) -> None:
        for seen in round_.observations:
            if seen.outcome == "indeterminate":
                self.unchecked[f"{seen.kind}:{seen.detail.get('reason', 'unknown')[:40]}"] += 1
            if seen.kind == "web":
                self.vantage_failures += seen.outcome == "indeterminate"
                self.vantage_answers += seen.outcome not in ("indeterminate", "not-probed")

    @property
    def vantage_worked(self) -> bool:
        return self.vantage_answers > 0 or self.vantage_failures == 0


class _Desk:
    """Where standings, rounds and domain records become judged indicators and observation rows, a batch at a time.

    The work is done in a thread: the daemon's probes go on meanwhile.
    """

    def __init__(
        self, tld: Tld, terms: Terms, sources: _Sources, watched: Collection[int], veil: Veil, spool: Spool
    ) -> None:
        self._tld, self._terms, self._sources = tld, terms, sources
        self._watched, self._veil, self._spool = watched, veil, spool
        self.counts = _Counts()
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
        terms, veil = self._terms, self._veil
        for standing in batch:
            number, domain = standing.subject.id, standing.subject.domain
            rounds = _whole_seconds(rounds_of[number], terms.end)
            item = _judged(standing, rounds, self.records[domain], self._tld, self._sources, terms)
            if item is None:
                continue
            self.by_domain[domain, item.veiled].append(item)
            _count(self.counts, standing, rounds, terms, watched=number in self._watched)
            identifier = item.id(veil)
            self._spool.add(
                [
                    rows.observation_text(identifier, round_.at, veil.observation(seen) if item.veiled else seen)
                    for round_ in rounds
                    for seen in round_.observations
                ]
            )


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
    by_domain, records, counts = desk.by_domain, desk.records, desk.counts
    assessed = _classes(by_domain, records, lookalike)
    previous = await store.incidents(str(tld.name))
    incidents = _incidents(previous, by_domain, records, str(tld.name), terms.end)
    tables = _tables(by_domain, records, assessed, incidents, tld, feeds, terms, counts, veil)
    tables["observation"] = spool
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
    subject = msgspec.structs.replace(standing.subject, threats=threats)
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
    first_validated = standing.first_validated or (verdict.first_active if now_validated else None)
    return Judged(
        subject=subject,
        licence=licence,
        recorded=standing.recorded,
        verdict=verdict,
        sightings=sightings,
        validated=now_validated,
        first_validated=first_validated,
        decision=standing.decision,
    )


def _count(counts: _Counts, standing: Standing, rounds: Sequence[Round], terms: Terms, *, watched: bool) -> None:
    recent = [round_ for round_ in rounds if round_.at > terms.start]
    for round_ in recent:
        counts.take(round_)
    if watched:
        due = int((terms.end - max(terms.start, standing.recorded)) / terms.check_interval)
        counts.due += due
        counts.done += min(due, len(recent))


def _classes(
    by_domain: Mapping[tuple[str, bool], Sequence[Judged]],
    records: Mapping[str, Known],
    lookalike: Callable[[str], str | None],
) -> dict[tuple[str, bool], Classification]:
    batches = Counter(batch for domain, veiled in by_domain if not veiled and (batch := _batch(records[domain])))
    found = {}
    for (domain, veiled), items in by_domain.items():
        known = Known() if veiled else records[domain]
        batch = _batch(known)
        found[domain, veiled] = classify(
            Facts(
                domain=domain,
                scopes=frozenset(item.subject.scope for item in items),
                uris=tuple(item.subject.uri for item in items if item.subject.uri is not None),
                hosts=tuple(sorted({item.subject.host for item in items})),
                first_reported=_first_reported(items, known.began),
                registered=known.began,
                apex_outcome=known.apex_outcome,
                apex_page=known.apex_page,
                abuse_pages=tuple(sorted({item.verdict.fingerprint for item in items if item.verdict.fingerprint})),
                rank=known.rank,
                lookalike_of=None if veiled else lookalike(domain),
                burst_siblings=batches[batch] - 1 if batch else 0,
            )
        )
        if veiled:  # reasons may hold words of the name
            found[domain, veiled] = Classification("undetermined", (), ("withheld by a feed's licence",))
    return found


def _first_reported(items: Sequence[Judged], began: dt.datetime | None) -> dt.datetime | None:
    seen: list[Sighting] = [sighting for item in items for sighting in item.sightings]
    return min((sighting.first for sighting in seen if began is None or sighting.last >= began), default=None)


def _batch(known: Known) -> tuple[dt.date, str] | None:
    """(registration day, name servers): what names registered in one burst share."""
    return (known.began.date(), known.servers) if known.began is not None and known.servers else None


def _incidents(
    previous: Sequence[Incident],
    by_domain: Mapping[tuple[str, bool], Sequence[Judged]],
    records: Mapping[str, Known],
    tld: str,
    now: dt.datetime,
) -> list[Incident]:
    """Every incident after this snapshot, by id; those nobody advanced stay as they were."""
    latest: dict[tuple[str, str | None], Incident] = {}
    for incident in sorted(previous, key=lambda one: one.opened):
        latest[incident.domain, incident.host] = incident
    groups: dict[tuple[str, str | None], list[Judged]] = defaultdict(list)
    for (domain, veiled), items in by_domain.items():
        for item in items if not veiled else ():
            groups[domain, item.subject.host if item.subject.scope == "shared" else None].append(item)
    found = {incident.id: incident for incident in previous}
    for (domain, host), items in groups.items():
        members = [
            Member(item.verdict, item.first_validated, item.validated) for item in items if item.decision != "dismiss"
        ]
        advanced = advance(
            latest.get((domain, host)),
            members,
            tld=tld,
            domain=domain,
            host=host,
            registration=records[domain].began,
            now=now,
        )
        if advanced is not None:
            found[advanced.id] = advanced
    return [found[identifier] for identifier in sorted(found)]


def _tables(
    by_domain: Mapping[tuple[str, bool], Sequence[Judged]],
    records: Mapping[str, Known],
    assessed: Mapping[tuple[str, bool], Classification],
    incidents: Sequence[Incident],
    tld: Tld,
    feeds: Sequence[FeedFacts],
    terms: Terms,
    counts: _Counts,
    veil: Veil,
) -> dict[str, Any]:
    snapshot = SnapshotRow(
        tld=str(tld.name),
        serial=terms.serial,
        format=FORMAT,
        from_at=rfc3339(terms.start),
        to_at=rfc3339(terms.end),
        issued=rfc3339(terms.issued),
        late=int(terms.late),
        checks_due=counts.due,
        checks_done=counts.done,
        zone_size=terms.zone_size,
        software=f"panopticon {importlib.metadata.version('panopticon')}",
        timezone=tld.timezone,
        vantages=" ".join(f"{name}:{country}" for name, country in terms.vantages),
        tranco_list=terms.tranco_list,
    )
    everyone = [item for items in by_domain.values() for item in items]
    domains = [
        rows.domain_row(
            items[0].domain(veil), items, records[domain], assessed[domain, veiled], popular_rank=terms.popular_rank
        )
        for (domain, veiled), items in by_domain.items()
    ]
    uris = [rows.uri_row(item, veil) for item in everyone if item.subject.uri is not None]
    return {
        "snapshot": [snapshot],
        "feed": [
            rows.feed_row(feed) for feed in sorted(feeds, key=lambda feed: feed.name) if feed.licence != "no-store"
        ],
        "domain": sorted(domains, key=lambda row: row.name),
        "host": _host_rows(everyone, veil),
        "uri": sorted(uris, key=lambda row: (row.domain, row.host, row.uri or "", row.indicator)),
        "sighting": [
            row for item in sorted(everyone, key=lambda item: item.id(veil)) for row in rows.sighting_rows(item, veil)
        ],
        "incident": _incident_rows(incidents, by_domain, assessed),
    }


def _host_rows(everyone: Sequence[Judged], veil: Veil) -> list[Any]:
    hosts: dict[tuple[str, str], tuple[Judged, Judged | None]] = {}
    for item in everyone:
        key = item.domain(veil), item.host(veil)
        own = item if item.subject.uri is None else hosts.get(key, (item, None))[1]
        hosts[key] = item, own
    return [
        rows.host_row(host, domain, item.subject.scope, own, veil)
        for (domain, host), (item, own) in sorted(hosts.items())
    ]


def _incident_rows(
    incidents: Sequence[Incident],
    by_domain: Mapping[tuple[str, bool], Sequence[Judged]],
    assessed: Mapping[tuple[str, bool], Classification],
) -> list[Any]:
    found = []
    for incident in incidents:
        items = by_domain.get((incident.domain, False), ())
        concerned = [item for item in items if incident.host is None or item.subject.host == incident.host]
        if not concerned:
            continue  # every source of it is gone or may not be named any more
        threats = {threat for item in concerned if item.first_validated for threat in item.subject.threats}
        abuse_class = assessed[incident.domain, False].abuse_class
        found.append(rows.incident_row(incident, [threat for threat in THREATS if threat in threats], abuse_class))
    return found
