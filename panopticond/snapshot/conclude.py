"""From judged indicators to conclusions and tables: classes, incidents, and the rows of every small table. Pure.

Second half of build: what was judged one by one is put together by domain.
"""

from __future__ import annotations

import datetime as dt
import importlib.metadata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from panopticond.config import Tld
from panopticond.judge.classify import Classification, Facts, classify
from panopticond.judge.incident import Member, advance
from panopticond.judge.resemblance import looks_generated
from panopticond.judge.verdict import judge
from panopticond.model import THREATS, Incident, Round, Sighting, Verdict
from panopticond.shared.clock import rfc3339
from panopticond.shared.tables import FORMAT, SnapshotRow
from panopticond.snapshot import rows
from panopticond.snapshot.licences import FeedFacts, Veil
from panopticond.snapshot.rows import Judged, Known

Assess = Callable[[str, Callable[[], Classification]], Classification]
"""Makes the class of a domain by calling what it is given; :meth:`.Mistrials.assess` with a net."""


def unguarded(_: str, assessed: Callable[[], Classification]) -> Classification:
    """Without a net: what is raised goes through."""
    return assessed()


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
    assess: Assess = unguarded


class Counts:
    """What is counted while the observations pass by."""

    def __init__(self) -> None:
        self.due = self.done = 0
        self.unchecked: Counter[str] = Counter()
        self.vantage_answers = self.vantage_failures = 0

    def take(self, round_: Round) -> bool:
        """One round of the interval; whether anything in it could not be checked."""
        doubtful = False
        for seen in round_.observations:
            if seen.outcome == "indeterminate":
                doubtful = True
                self.unchecked[f"{seen.kind}:{seen.detail.get('reason', 'unknown')[:40]}"] += 1
            if seen.kind == "web":
                self.vantage_failures += seen.outcome == "indeterminate"
                self.vantage_answers += seen.outcome not in ("indeterminate", "not-probed")
        return doubtful

    @property
    def vantage_worked(self) -> bool:
        """Whether any vantage had an answer, unless none was asked."""
        return self.vantage_answers > 0 or self.vantage_failures == 0


def classes(
    by_domain: Mapping[tuple[str, bool], Sequence[Judged]],
    records: Mapping[str, Known],
    lookalike: Callable[[str], str | None],
    assess: Assess = unguarded,
) -> dict[tuple[str, bool], Classification]:
    """What each domain is held to be, with reasons; a veiled one is told apart and never classified."""
    batches = Counter(batch for domain, veiled in by_domain if not veiled and (batch := _batch(records[domain])))
    found: dict[tuple[str, bool], Classification] = {}
    for (domain, veiled), items in by_domain.items():
        if veiled:  # reasons may hold words of the name
            found[domain, veiled] = Classification("undetermined", (), ("withheld by a feed's licence",))
        else:
            found[domain, veiled] = assess(domain, partial(_class, domain, items, records[domain], lookalike, batches))
    return found


def _class(
    domain: str,
    items: Sequence[Judged],
    known: Known,
    lookalike: Callable[[str], str | None],
    batches: Mapping[tuple[dt.date, str], int],
) -> Classification:
    """One domain's class; ``batches`` counts the names of each burst."""
    batch = _batch(known)
    return classify(
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
            lookalike_of=lookalike(domain),
            generated=known.began is not None and looks_generated(domain),
            burst_siblings=batches[batch] - 1 if batch else 0,
        )
    )


def _first_reported(items: Sequence[Judged], began: dt.datetime | None) -> dt.datetime | None:
    """The first report of this registration; a listing that goes back to an earlier one says nothing of it."""
    seen: list[Sighting] = [sighting for item in items for sighting in item.sightings]
    return min((sighting.first for sighting in seen if began is None or sighting.first >= began), default=None)


def _batch(known: Known) -> tuple[dt.date, str] | None:
    """(registration day, name servers): what names registered in one burst share."""
    return (known.began.date(), known.servers) if known.began is not None and known.servers else None


def advanced(
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
        for incident in advance(
            latest.get((domain, host)),
            members,
            tld=tld,
            domain=domain,
            host=host,
            registration=records[domain].began,
            now=now,
        ):
            found[incident.id] = incident
    return [found[identifier] for identifier in sorted(found)]


def tables_of(
    by_domain: Mapping[tuple[str, bool], Sequence[Judged]],
    records: Mapping[str, Known],
    assessed: Mapping[tuple[str, bool], Classification],
    incidents: Sequence[Incident],
    tld: Tld,
    feeds: Sequence[FeedFacts],
    terms: Terms,
    counts: Counts,
    veil: Veil,
) -> dict[str, Any]:
    """Every table but the observations and the figures, sorted."""
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
