"""What the daily report says, as data: the day's counts, cases, feeds and gaps, from the tables alone.

First half of the report; ``daily`` sets it in HTML and JSON. Pure and deterministic: no clock, no look-up.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from panopticond.judge.aggregate import UNKNOWN, incident_counts
from panopticond.model import THREATS
from panopticond.shared.clock import parse_rfc3339, rfc3339
from panopticond.shared.tables import AggregateRow, DomainRow, FeedRow, IncidentRow, SnapshotRow

CLEAN_FOR = dt.timedelta(hours=24)
CASES_SHOWN = 300
"""More are in uris.csv and domains.csv; the report says so."""
_GONE = ("mitigated-dns", "mitigated-content")


class Case(msgspec.Struct, frozen=True):
    """One incident as a line of the report."""

    id: str
    name: str
    """Defanged."""
    threats: tuple[str, ...]
    abuse_class: str
    what: str
    """new, reopened, still active, mitigated by DNS, mitigated by content, lapsed."""
    opened: str
    hours_open: int
    reasons: str
    registrar: str
    popular: bool
    critical: bool
    review: bool
    addresses: int
    """How many indicators it has."""
    examples: tuple[str, ...]
    """At most three, defanged."""


class ThreatCount(msgspec.Struct, frozen=True):
    """Domains of one threat type; None where no working feed reports it or the day is unknown."""

    threat: str
    listed: int | None
    validated: int | None


class Rate(msgspec.Struct, frozen=True):
    """Validated domains per 10,000 names with the 95 % interval."""

    value: float
    low: float
    high: float


class Figures(msgspec.Struct, frozen=True):
    """Everything in the report."""

    snapshot: SnapshotRow
    counts: dict[str, int]
    """Incidents by what became of them."""
    flags: dict[str, int]
    states: dict[str, int]
    threats: tuple[ThreatCount, ...]
    total: ThreatCount
    before: ThreatCount
    """The total of the snapshot before; None where it was unknown, or there was none."""
    classes: dict[str, int]
    delegations: dict[str, int]
    rate: Rate | None
    coverage: float
    sound: bool
    """Whether the day's checks allow figures at all."""
    apart: int
    """Indicators last seen active that could not be checked."""
    cases: tuple[Case, ...]
    """All of them; the report shows ``CASES_SHOWN``."""
    feeds: tuple[FeedRow, ...]
    unchecked: tuple[tuple[str, str, int], ...]
    """(kind, reason, observations)."""
    clean_but_listed: tuple[tuple[str, str, str], ...]
    """(defanged name, a feed that still lists it, where to ask that feed)."""


def figures(tables: Mapping[str, Sequence[Any]]) -> Figures:
    """The figures of one snapshot's tables; table ``observation`` is not needed."""
    snapshot: SnapshotRow = tables["snapshot"][0]
    rows: Sequence[AggregateRow] = tables["aggregate"]
    value = {(row.name, row.threat, row.dimension): row.value for row in rows}
    total = _threat(value, "")
    cases = _cases(tables, snapshot)
    rate = next((row for row in rows if row.name == "validated_domains_per_10000" and not row.threat), None)
    return Figures(
        snapshot=snapshot,
        counts=incident_counts(tables["incident"], snapshot),
        flags=_by_dimension(rows, "indicators_by_flag"),
        states=_by_dimension(rows, "indicators_by_state"),
        threats=tuple(_threat(value, threat) for threat in THREATS),
        total=total,
        before=_threat(value, "", "_before"),
        classes=_by_dimension(rows, "validated_domains_by_class"),
        delegations=_by_dimension(rows, "listed_domains_by_delegation"),
        rate=None if rate is None else Rate(rate.value, rate.low or 0.0, rate.high or 0.0),
        coverage=value.get(("coverage", "", ""), 1.0),
        sound=total.validated is not None,
        apart=int(value.get(("last_seen_active_now_unchecked", "", ""), 0)),
        cases=tuple(cases),
        feeds=tuple(tables["feed"]),
        unchecked=tuple(
            (*row.dimension.partition(":")[::2], int(row.value)) for row in rows if row.name == "could_not_check"
        ),
        clean_but_listed=_clean_but_listed(tables, snapshot),
    )


def defang(text: str) -> str:
    """A URI or name that no program makes a link of: ``hxxp://host[.]zz/path``."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text.replace(".", "[.]")
    host, slash, path = rest.partition("/")
    return f"{scheme.replace('tt', 'xx')}://{host.replace('.', '[.]')}{slash}{path}"


def _threat(value: Mapping[tuple[str, str, str], float], threat: str, suffix: str = "") -> ThreatCount:
    def known(name: str) -> int | None:
        found = value.get((name + suffix, threat, ""), UNKNOWN)
        return None if found == UNKNOWN else int(found)

    return ThreatCount(threat, known("listed_domains"), known("validated_domains"))


def _by_dimension(rows: Sequence[AggregateRow], name: str) -> dict[str, int]:
    return {row.dimension: int(row.value) for row in rows if row.name == name}


def _cases(tables: Mapping[str, Sequence[Any]], snapshot: SnapshotRow) -> list[Case]:
    domains: dict[str, DomainRow] = {row.name: row for row in tables["domain"]}
    texts: dict[str, list[tuple[str, str]]] = defaultdict(list)
    review: Counter[str] = Counter()
    for row in tables["uri"]:
        texts[row.domain].append((row.host, row.uri or row.host))
        review[row.domain] += "review" in row.flags.split()
    for row in tables["host"]:
        if row.indicator is not None:
            texts[row.domain].append((row.name, row.name))
            review[row.domain] += "review" in (row.flags or "").split()
    found = []
    for row in tables["incident"]:
        if row.state != "open" and (row.closed or "") <= snapshot.from_at:
            continue
        own = sorted({text for host, text in texts[row.domain] if row.host is None or host == row.host})
        found.append(_case(row, domains.get(row.domain), own, snapshot, review=review[row.domain] > 0))
    order = ("new", "reopened", "still active", "mitigated by DNS", "mitigated by content", "lapsed")
    return sorted(found, key=lambda case: (order.index(case.what), not case.critical, not case.popular, case.name))


def _case(
    row: IncidentRow, domain: DomainRow | None, own: Sequence[str], snapshot: SnapshotRow, *, review: bool
) -> Case:
    until = row.closed or snapshot.to_at
    span = parse_rfc3339(until) - parse_rfc3339(row.reopened.split()[-1] if row.reopened else row.opened)
    flags = domain.flags.split() if domain else []
    return Case(
        id=row.id,
        name=defang(row.host or row.domain),
        threats=tuple(row.threats.split()),
        abuse_class=row.abuse_class,
        what=_what(row, snapshot),
        opened=row.opened,
        hours_open=max(0, int(span.total_seconds() // 3600)),
        reasons=domain.class_reasons if domain else "",
        registrar=(domain.registrar or "") if domain else "",
        popular="popular" in flags,
        critical="critical" in flags,
        review=review,
        addresses=len(own),
        examples=tuple(defang(text)[:160] for text in own[:3]),
    )


def _what(row: IncidentRow, snapshot: SnapshotRow) -> str:
    if row.state == "mitigated":
        return "mitigated by DNS" if row.how == "dns" else "mitigated by content"
    if row.state == "lapsed":
        return "lapsed"
    if row.reopened and row.reopened.split()[-1] > snapshot.from_at:
        return "reopened"
    return "new" if row.opened > snapshot.from_at else "still active"


def _clean_but_listed(tables: Mapping[str, Sequence[Any]], snapshot: SnapshotRow) -> tuple[tuple[str, str, str], ...]:
    """Domains whose every indicator has been clean for 24 hours while a feed still lists one."""
    before = rfc3339(parse_rfc3339(snapshot.to_at) - CLEAN_FOR)
    clean: dict[str, bool] = {}
    of: dict[str, str] = {}
    for row in (*tables["uri"], *(host for host in tables["host"] if host.indicator is not None)):
        if not row.domain.endswith(".withheld.invalid"):
            gone = row.state in _GONE and (row.first_gone or row.since or "") <= before
            clean[row.domain] = clean.get(row.domain, True) and gone
            of[row.indicator] = row.domain
    addresses: dict[str, str] = {feed.name: feed.delisting or "" for feed in tables["feed"]}
    listing = {
        (of[row.indicator], row.feed)
        for row in tables["sighting"]
        if row.ended is None and row.indicator in of and clean[of[row.indicator]]
    }
    return tuple((defang(domain), feed, addresses.get(feed, "")) for domain, feed in sorted(listing))
