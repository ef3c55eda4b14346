"""The figures of a snapshot, DAAR-style, from its own table rows: how many, of what, and how sure. Pure.

After build has judged every indicator: unique domains, hosts and URIs by threat, listed against validated; by
delegation and class; incidents by what became of them and how long they lasted (``survival``); rates with exact Poisson
intervals where the zone size is known.
-1 means "nobody can say": a threat without a working feed, or a day without its checks. Never 0 for that.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from panopticond.judge.survival import mitigation
from panopticond.model import STATES, THREATS
from panopticond.shared.tables import AggregateRow, FeedRow, HostRow, IncidentRow, SightingRow, SnapshotRow, UriRow

UNKNOWN = -1.0
UNSOUND_COVERAGE = 0.5
"""Below this share of the due checks a day's figures are unknown."""
_PASSING_TROUBLE = frozenset({"RATE-LIMITED", "UNREACHABLE", "AUTH"})
CLASSES = ("malicious", "compromised", "shared-service", "undetermined")
DELEGATIONS = ("delegated", "held", "undelegated", "nonexistent", "not-in-zone", "indeterminate")


class _Item:
    """One indicator as the counts want it."""

    __slots__ = ("domain", "flags", "host", "id", "last_known", "state", "threats", "uri", "validated")

    def __init__(self, row: UriRow | HostRow, uri: bool) -> None:
        self.id = row.indicator or ""
        self.host = row.host if isinstance(row, UriRow) else row.name
        self.domain = row.domain
        self.uri = uri
        self.threats = _words(row.threats or "")
        self.flags = _words(row.flags or "")
        self.state = row.state or "indeterminate"
        self.last_known = row.last_known
        self.validated = row.validated == 1


@functools.lru_cache(maxsize=1024)
def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def healthy_threats(feeds: Sequence[FeedRow], sightings: Sequence[SightingRow], start: str) -> frozenset[str]:
    """The threat types at least one working feed reports: OK now, or in passing trouble but read since ``start``."""
    carried: dict[str, set[str]] = {}
    for sighting in sightings:
        carried.setdefault(sighting.feed, set()).add(sighting.threat)
    found: set[str] = set()
    for feed in feeds:
        recent = feed.state in _PASSING_TROUBLE and feed.last_success is not None and feed.last_success >= start
        if feed.state == "OK" or recent:
            found |= {feed.threat} if feed.threat else carried.get(feed.name, set())
    return frozenset(found)


def aggregates(
    tables: Mapping[str, Sequence[Any]], *, vantage_worked: bool, unchecked: Mapping[str, int]
) -> list[AggregateRow]:
    """Every figure of a snapshot from its tables; ``unchecked`` counts reasons as ``kind:reason``, by observation."""
    snapshot: SnapshotRow = tables["snapshot"][0]
    healthy = healthy_threats(tables["feed"], tables["sighting"], snapshot.from_at)
    sound = vantage_worked and snapshot.checks_done >= UNSOUND_COVERAGE * snapshot.checks_due
    items = [_Item(row, uri=True) for row in tables["uri"]]
    items += [_Item(row, uri=False) for row in tables["host"] if row.indicator is not None]
    listed_ids = {row.indicator for row in tables["sighting"] if row.last >= snapshot.from_at}
    listed = [item for item in items if item.id in listed_ids or "listed" in item.flags]
    validated = [item for item in items if item.validated]
    rows: list[AggregateRow] = []
    for name, chosen in (("listed", listed), ("validated", validated)):
        rows += _unique(name, chosen, healthy, sound=sound)
    rows += _rates(validated, healthy, snapshot.zone_size, sound=sound)
    rows += _by_domain(tables, listed, validated)
    rows += _by_state(items)
    rows += _incidents(tables["incident"], snapshot)
    rows += mitigation(tables["incident"], tables["domain"], snapshot)
    rows += [_figure("could_not_check", count, dimension=reason) for reason, count in sorted(unchecked.items())]
    coverage = snapshot.checks_done / snapshot.checks_due if snapshot.checks_due else 1.0
    return [*rows, _figure("coverage", round(coverage, 6))]


def _figure(name: str, value: float, *, threat: str = "", dimension: str = "") -> AggregateRow:
    return AggregateRow(name, threat, dimension, float(value), None, None)


def _unique(name: str, chosen: Sequence[_Item], healthy: frozenset[str], *, sound: bool) -> Iterator[AggregateRow]:
    for threat in ("", *THREATS):
        known = sound and (threat in healthy if threat else bool(healthy))
        concerned = [item for item in chosen if not threat or threat in item.threats]
        counts = {
            "domains": len({item.domain for item in concerned}),
            "hosts": len({item.host for item in concerned}),
            "uris": sum(item.uri for item in concerned),
        }
        for unit, count in counts.items():
            yield _figure(f"{name}_{unit}", count if known else UNKNOWN, threat=threat)


def _rates(
    validated: Sequence[_Item], healthy: frozenset[str], zone_size: int | None, *, sound: bool
) -> Iterator[AggregateRow]:
    """Validated domains per 10,000 names of the zone, with the exact 95 % Poisson interval, where the size is known."""
    for threat in ("", *THREATS) if zone_size and sound else ():
        if threat in healthy or (not threat and healthy):
            count = len({item.domain for item in validated if not threat or threat in item.threats})
            low, high = (round(bound * 10_000 / (zone_size or 1), 6) for bound in poisson_interval(count))
            value = round(count * 10_000 / (zone_size or 1), 6)
            yield AggregateRow("validated_domains_per_10000", threat, "", value, low, high)


def _by_domain(
    tables: Mapping[str, Sequence[Any]], listed: Sequence[_Item], validated: Sequence[_Item]
) -> Iterator[AggregateRow]:
    in_list, in_validated = {item.domain for item in listed}, {item.domain for item in validated}
    delegations = Counter(row.delegation for row in tables["domain"] if row.name in in_list)
    classes = Counter(row.abuse_class for row in tables["domain"] if row.name in in_validated)
    for delegation in DELEGATIONS:
        yield _figure("listed_domains_by_delegation", delegations[delegation], dimension=delegation)
    for abuse_class in CLASSES:
        yield _figure("validated_domains_by_class", classes[abuse_class], dimension=abuse_class)


def _by_state(items: Sequence[_Item]) -> Iterator[AggregateRow]:
    states = Counter(item.state for item in items)
    for state in STATES:
        yield _figure("indicators_by_state", states[state], dimension=state)
    for flag in ("cloak_suspect", "review", "popular", "critical"):
        yield _figure("indicators_by_flag", sum(flag in item.flags for item in items), dimension=flag)
    apart = sum(item.state == "indeterminate" and item.last_known == "active" for item in items)
    yield _figure("last_seen_active_now_unchecked", apart)


def _incidents(incidents: Sequence[IncidentRow], snapshot: SnapshotRow) -> Iterator[AggregateRow]:
    for dimension, count in incident_counts(incidents, snapshot).items():
        yield _figure("incidents", count, dimension=dimension)


def incident_counts(incidents: Sequence[IncidentRow], snapshot: SnapshotRow) -> dict[str, int]:
    """How many incidents are open, and of these new or reopened since ``from``; how many ended since, and how."""
    start = snapshot.from_at
    is_open = [row for row in incidents if row.state == "open"]
    ended = [row for row in incidents if row.closed is not None and row.closed > start]
    reopened = [row for row in is_open if row.reopened and row.reopened.split()[-1] > start]
    new = [row for row in is_open if row.opened > start and row not in reopened]
    return {
        "open": len(is_open),
        "new": len(new),
        "reopened": len(reopened),
        "still-active": len(is_open) - len(new) - len(reopened),
        "mitigated-dns": sum(row.state == "mitigated" and row.how == "dns" for row in ended),
        "mitigated-content": sum(row.state == "mitigated" and row.how == "content" for row in ended),
        "lapsed": sum(row.state == "lapsed" for row in ended),
    }


def poisson_interval(count: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact (Garwood) interval of a Poisson mean from one count: chi-square quantiles, found by bisection."""
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else _solve(count, tail)
    return low, _solve(count + 1, 1 - tail)


def _solve(shape: int, probability: float) -> float:
    """The x at which the regularised lower incomplete gamma function P(shape, x) reaches ``probability``."""
    low, high = 0.0, shape + 12 * math.sqrt(shape) + 12
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _gamma_p(shape, middle) < probability else (low, middle)
    return (low + high) / 2


def _gamma_p(shape: float, x: float) -> float:
    """P(shape, x) by its series below shape + 1, by the continued fraction above (Numerical Recipes, 6.2)."""
    if x <= 0:
        return 0.0
    front = math.exp(-x + shape * math.log(x) - math.lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        step = shape
        while term > total * 1e-15:
            step += 1
            term *= x / step
            total += term
        return front * total
    tiny = 1e-300
    b = x + 1 - shape
    c, d = 1 / tiny, 1 / b
    fraction = d
    for at in range(1, 100_000):
        a = -at * (at - shape)
        b += 2
        d = 1 / (a * d + b or tiny)
        c = b + a / c or tiny
        fraction *= c * d
        if abs(c * d - 1) < 1e-14:
            break
    return 1 - front * fraction
