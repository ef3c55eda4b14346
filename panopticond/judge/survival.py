"""How long abuse lasts: Kaplan-Meier estimates over incidents, and how old the open ones are. Pure.

Beside ``aggregate``, from the published incidents alone. Nobody sees the moment of a mitigation: it lies between the
last round in which abuse was active and the first in which it was gone (interval censoring), so every curve is drawn
twice, at the earliest and at the latest possible times. Cases still open, and lapsed ones since their last active
round, are only known to have lasted so long (right censoring). With one way of mitigation looked at, the other censors.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from panopticond.shared.clock import parse_rfc3339
from panopticond.shared.tables import AggregateRow, DomainRow, IncidentRow, SnapshotRow

PERIOD = dt.timedelta(days=90)
"""Cases opened (or opened again) so long before the snapshot's end count."""
REGISTRAR_FLOOR = 10
"""Cases a registrar needs before a figure of its own is printed; below it chance says more than conduct."""
REST = "(registrars below the floor)"
UNKNOWN_REGISTRAR = "(unknown)"
WAYS = ("", "dns", "content")
AFTER_HOURS = (24, 72, 168)
AGES = (("under 24 h", 24.0), ("1 to 3 days", 72.0), ("3 to 7 days", 168.0), ("7 to 30 days", 720.0))
OLDEST = "over 30 days"
_Z = 1.959963984540054


class Step(msgspec.Struct, frozen=True):
    """The curve from ``time`` on: how many were at risk and ended there, the share left, its Greenwood error."""

    time: float
    at_risk: int
    events: int
    survival: float
    error: float

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the share, on the logarithm's scale; (0, 1) once nothing is left."""
        if self.survival <= 0:
            return 0.0, 1.0
        spread = _Z * self.error / self.survival
        return self.survival * math.exp(-spread), min(1.0, self.survival * math.exp(spread))


class Spell(msgspec.Struct, frozen=True):
    """One case from its opening, in hours: it ended between ``earliest`` and ``latest``, or was seen that long."""

    earliest: float
    latest: float
    how: str | None
    """``dns`` or ``content``; None while it is not mitigated."""


def kaplan_meier(spells: Sequence[tuple[float, bool]]) -> list[Step]:
    """The product-limit estimate of (duration, ended) pairs; at equal times ends come before what is censored."""
    events = Counter(time for time, ended in spells if ended)
    leaving = Counter(time for time, _ in spells)
    at_risk, survival, spread = len(spells), 1.0, 0.0
    steps = []
    for time in sorted(leaving):
        if ended := events[time]:
            survival *= 1 - ended / at_risk
            spread += ended / (at_risk * (at_risk - ended)) if at_risk > ended else 0.0
            steps.append(Step(time, at_risk, ended, survival, survival * math.sqrt(spread)))
        at_risk -= leaving[time]
    return steps


def median(steps: Sequence[Step]) -> tuple[float | None, float | None, float | None]:
    """The median with its 95 % interval: the first times at which share and interval reach one half; None if never."""

    def reached(values: Sequence[float]) -> float | None:
        return next((step.time for step, value in zip(steps, values, strict=True) if value <= 0.5 + 1e-12), None)

    intervals = [step.interval for step in steps]
    shares = [step.survival for step in steps]
    return reached(shares), reached([low for low, _ in intervals]), reached([high for _, high in intervals])


def share_at(steps: Sequence[Step], hours: float) -> tuple[float, float, float]:
    """The share that lasted longer than ``hours``, with its 95 % interval; (1, 1, 1) before the first end."""
    before = [step for step in steps if step.time <= hours]
    return (before[-1].survival, *before[-1].interval) if before else (1.0, 1.0, 1.0)


def spell(row: IncidentRow, to_at: str) -> Spell:
    """A published incident since its last opening; ``to_at`` is the snapshot's end."""
    opened = _opened(row)
    if row.state == "mitigated":
        gone = parse_rfc3339(row.first_gone or row.closed or to_at)
        earliest = min(gone, max(opened, parse_rfc3339(row.last_active)))
        return Spell(_hours(earliest - opened), _hours(gone - opened), row.how)
    until = parse_rfc3339(row.last_active if row.state == "lapsed" else to_at)
    return Spell(_hours(until - opened), _hours(until - opened), None)


def mitigation(
    incidents: Sequence[IncidentRow], domains: Sequence[DomainRow], snapshot: SnapshotRow
) -> Iterator[AggregateRow]:
    """Time to mitigation over the last ninety days, whole, by way and by registrar; and the ages of what is open."""
    start = parse_rfc3339(snapshot.to_at) - PERIOD
    recent = [row for row in incidents if _opened(row) >= start]
    spells = [spell(row, snapshot.to_at) for row in recent]
    counts = Counter(one.how or "none" for one in spells)
    for dimension in ("dns", "content", "none"):
        yield AggregateRow("mitigation_cases", "", dimension, float(counts[dimension]), None, None)
    for way in WAYS:
        yield from _curve(spells, way)
    yield from _registrars(recent, spells, {row.name: row.registrar for row in domains})
    yield from _ages([row for row in incidents if row.state == "open"], snapshot)


def _curve(spells: Sequence[Spell], way: str) -> Iterator[AggregateRow]:
    late = kaplan_meier([(one.latest, _ended(one, way)) for one in spells])
    early = kaplan_meier([(one.earliest, _ended(one, way)) for one in spells])
    if not late:
        return
    yield from _medians("mitigation_hours_median", way, early, late)
    for hours in AFTER_HOURS if not way else ():
        share, low, high = (round(value, 6) for value in share_at(late, hours))
        yield AggregateRow("unmitigated_share_after", "", f"{hours} h", share, low, high)


def _medians(name: str, dimension: str, early: Sequence[Step], late: Sequence[Step]) -> Iterator[AggregateRow]:
    """``name`` at the latest possible times and ``name_earliest``; the interval spans both curves' own."""
    value, _, high = median(late)
    first, low, _ = median(early)
    if value is not None:
        yield AggregateRow(name, "", dimension, round(value, 3), _rounded(low), _rounded(high))
    if value is not None and first is not None:
        yield AggregateRow(f"{name}_earliest", "", dimension, round(first, 3), _rounded(low), _rounded(high))


def _registrars(
    recent: Sequence[IncidentRow], spells: Sequence[Spell], registrars: Mapping[str, str | None]
) -> Iterator[AggregateRow]:
    """By registrar in the order of their names, never of their figures: this ranks nobody."""
    names = [registrars.get(row.domain) or UNKNOWN_REGISTRAR for row in recent]
    counts = Counter(names)
    named = sorted(name for name, count in counts.items() if count >= REGISTRAR_FLOOR)
    for name in named:
        yield AggregateRow("incidents_by_registrar", "", name, float(counts[name]), None, None)
        own = [one for one, of in zip(spells, names, strict=True) if of == name]
        early = kaplan_meier([(one.earliest, one.how is not None) for one in own])
        late = kaplan_meier([(one.latest, one.how is not None) for one in own])
        yield from _medians("mitigation_hours_median_by_registrar", name, early, late)
    if rest := sum(count for name, count in counts.items() if name not in named):
        yield AggregateRow("incidents_by_registrar", "", REST, float(rest), None, None)


def _ages(opened: Sequence[IncidentRow], snapshot: SnapshotRow) -> Iterator[AggregateRow]:
    ages = Counter(_age(_hours(parse_rfc3339(snapshot.to_at) - _opened(row))) for row in opened)
    for label in (*(label for label, _ in AGES), OLDEST):
        yield AggregateRow("open_incidents_by_age", "", label, float(ages[label]), None, None)


def _age(hours: float) -> str:
    return next((label for label, limit in AGES if hours < limit), OLDEST)


def _ended(one: Spell, way: str) -> bool:
    return one.how is not None and (not way or one.how == way)


def _opened(row: IncidentRow) -> dt.datetime:
    return parse_rfc3339(row.reopened.split()[-1] if row.reopened else row.opened)


def _hours(span: dt.timedelta) -> float:
    return max(0.0, span.total_seconds() / 3600)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
