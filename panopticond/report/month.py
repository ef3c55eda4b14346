"""What the monthly report says, as data: medians over the days, cases and their ends, from what was published alone.

First half of the monthly report; ``monthly`` sets it in HTML, JSON and CSV. Reads the TLD's directory of the
repository: the last snapshot of each local day, and the tables of the month's last. Deterministic: no clock, no store.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import statistics
import zoneinfo
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from panopticond.judge.aggregate import CLASSES, UNKNOWN, poisson_interval
from panopticond.judge.survival import Step, kaplan_meier, spell
from panopticond.model import THREATS
from panopticond.shared import snapshot
from panopticond.shared.errors import RefusedError
from panopticond.shared.records import open_records, read_records
from panopticond.shared.tables import AggregateRow, IncidentRow, SnapshotRow

_TABLES = ("snapshot", "incident", "aggregate")


class Day(msgspec.Struct, frozen=True):
    """One local day by its last snapshot; a figure of None was unknown that day."""

    date: str
    serial: int
    late: bool
    listed: int | None
    validated: int | None
    coverage: float
    values: dict[str, float]
    """``listed_domains/phishing`` and so on, unknown ones left out."""


class Median(msgspec.Struct, frozen=True):
    """A figure's median over the days it is known, beside the month before."""

    threat: str
    listed: float | None
    validated: float | None
    low: int | None
    """Least and most validated in a day."""
    high: int | None
    days_known: int
    before: float | None
    """Median of validated in the month before."""
    change: str
    """``higher``, ``lower``, or ``no clear change`` where the 95 % Poisson intervals of both medians overlap."""


class Duration(msgspec.Struct, frozen=True):
    """Kaplan-Meier median hours to mitigation, between earliest and latest, with the interval."""

    what: str
    cases: int
    earliest: float | None
    latest: float | None
    low: float | None
    high: float | None


class Month(msgspec.Struct, frozen=True):
    """Everything in the report."""

    tld: str
    month: str
    timezone: str
    software: str
    start: str
    end: str
    days: tuple[Day, ...]
    days_missing: tuple[str, ...]
    medians: tuple[Median, ...]
    rate: tuple[float, float, float] | None
    """Median validated domains per 10,000 names, with the interval of the median count."""
    zone_size: int | None
    cases: dict[str, int]
    matrix: dict[str, dict[str, int]]
    """Cases opened in the month: threat -> class -> how many."""
    durations: tuple[Duration, ...]
    shares: tuple[AggregateRow, ...]
    ages: dict[str, int]
    registrars: tuple[Duration, ...]
    feeds: tuple[tuple[str, int, int], ...]
    """(feed, days it worked, days it stood in a report)."""
    clean_but_listed: tuple[tuple[str, ...], ...]
    curve: tuple[tuple[Step, ...], tuple[Step, ...]]
    """Earliest and latest."""


def month_of(directory: Path, month: str, timezone: str) -> Month | None:
    """The month ``YYYY-MM`` of the TLD whose published snapshots lie in ``directory``; None without a snapshot of it.

    RefusedError for a snapshot that cannot be read.
    """
    zone = zoneinfo.ZoneInfo(timezone)
    manifests = _manifests(directory)
    days = _days(directory, manifests, month, zone)
    if not days:
        return None
    before = _days(directory, manifests, _previous(month), zone)
    path = directory / str(days[-1].serial)
    tables = _tables(path / snapshot.RECORDS)
    last: SnapshotRow = tables["snapshot"][0]
    start = manifests[days[0].serial].start
    aggregates = {(row.name, row.threat, row.dimension): row for row in tables["aggregate"]}
    medians = tuple(_median(days, before, threat) for threat in ("", *THREATS))
    reports = [_json(directory / str(day.serial) / snapshot.REPORT_JSON) for day in days]
    spells = [spell(row, last.to_at) for row in tables["incident"] if _opened(row) >= start]
    return Month(
        tld=last.tld,
        month=month,
        timezone=timezone,
        software=last.software,
        start=start,
        end=last.to_at,
        days=tuple(days),
        days_missing=_missing(days),
        medians=medians,
        rate=_rate(medians[0].validated, last.zone_size),
        zone_size=last.zone_size,
        cases=_cases(tables["incident"], start),
        matrix=_matrix([row for row in tables["incident"] if row.opened > start]),
        durations=tuple(_duration(aggregates, "mitigation_hours_median", way) for way in ("", "dns", "content")),
        shares=tuple(row for row in tables["aggregate"] if row.name == "unmitigated_share_after"),
        ages={row.dimension: int(row.value) for row in tables["aggregate"] if row.name == "open_incidents_by_age"},
        registrars=_registrars(aggregates),
        feeds=_feeds(reports),
        clean_but_listed=tuple(tuple(one) for one in reports[-1].get("clean_but_listed", ())),
        curve=(
            tuple(kaplan_meier([(one.earliest, one.how is not None) for one in spells])),
            tuple(kaplan_meier([(one.latest, one.how is not None) for one in spells])),
        ),
    )


def _manifests(directory: Path) -> dict[int, snapshot.Manifest]:
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(directory.iterdir()):
            if entry.name.isdigit() and entry.is_dir() and not entry.is_symlink():
                with contextlib.suppress(OSError):
                    found[int(entry.name)] = snapshot.parse_manifest((entry / snapshot.MANIFEST).read_bytes())
    return found


def _days(
    directory: Path, manifests: Mapping[int, snapshot.Manifest], month: str, zone: zoneinfo.ZoneInfo
) -> list[Day]:
    """The last snapshot of each local day: the day it was issued, for one made up for later the day it is about."""
    last: dict[str, int] = {}
    for serial in sorted(manifests):
        manifest = manifests[serial]
        when = manifest.ended_at if manifest.late else manifest.issued_at
        day = f"{when.astimezone(zone):%Y-%m-%d}"
        if day.startswith(month):
            last[day] = serial
    return [_day(directory, day, serial, manifests[serial].late) for day, serial in sorted(last.items())]


def _day(directory: Path, day: str, serial: int, late: bool) -> Day:
    rows = _json(directory / str(serial) / snapshot.AGGREGATES).get("aggregates", ())
    values = {
        "/".join(part for part in (row["name"], row["threat"], row["dimension"]) if part): float(row["value"])
        for row in rows
        if row["value"] != UNKNOWN
    }

    def known(name: str) -> int | None:
        return int(values[name]) if name in values else None

    return Day(
        day, serial, late, known("listed_domains"), known("validated_domains"), values.get("coverage", 1.0), values
    )


def _median(days: Sequence[Day], before: Sequence[Day], threat: str) -> Median:
    validated, listed = _series(days, "validated_domains", threat), _series(days, "listed_domains", threat)
    now, then = _middle(validated), _middle(_series(before, "validated_domains", threat))
    return Median(
        threat=threat,
        listed=_middle(listed),
        validated=now,
        low=int(min(validated)) if validated else None,
        high=int(max(validated)) if validated else None,
        days_known=len(validated),
        before=then,
        change=_change(now, then),
    )


def _series(days: Iterable[Day], name: str, threat: str) -> list[float]:
    key = f"{name}/{threat}" if threat else name
    return [day.values[key] for day in days if key in day.values]


def _middle(values: Sequence[float]) -> float | None:
    return float(statistics.median(values)) if values else None


def _change(now: float | None, then: float | None) -> str:
    if now is None or then is None:
        return ""
    own, other = poisson_interval(round(now)), poisson_interval(round(then))
    if own[0] > other[1]:
        return "higher"
    return "lower" if own[1] < other[0] else "no clear change"


def _rate(median: float | None, zone_size: int | None) -> tuple[float, float, float] | None:
    if median is None or not zone_size:
        return None
    low, high = poisson_interval(round(median))
    return median * 10_000 / zone_size, low * 10_000 / zone_size, high * 10_000 / zone_size


def _cases(incidents: Sequence[IncidentRow], start: str) -> dict[str, int]:
    ended = [row for row in incidents if row.closed is not None and row.closed > start]
    return {
        "opened": sum(row.opened > start for row in incidents),
        "reopened": sum(when > start for row in incidents for when in row.reopened.split()),
        "mitigated-dns": sum(row.state == "mitigated" and row.how == "dns" for row in ended),
        "mitigated-content": sum(row.state == "mitigated" and row.how == "content" for row in ended),
        "lapsed": sum(row.state == "lapsed" for row in ended),
        "open-at-the-end": sum(row.state == "open" for row in incidents),
    }


def _matrix(opened: Sequence[IncidentRow]) -> dict[str, dict[str, int]]:
    counts = Counter((threat, row.abuse_class) for row in opened for threat in row.threats.split())
    return {threat: {name: counts[threat, name] for name in CLASSES} for threat in THREATS}


def _duration(
    aggregates: Mapping[tuple[str, str, str], AggregateRow], name: str, dimension: str, *, cases: int | None = None
) -> Duration:
    late, early = aggregates.get((name, "", dimension)), aggregates.get((f"{name}_earliest", "", dimension))
    counted = [
        aggregates.get(("mitigation_cases", "", way)) for way in ([dimension] if dimension else ["dns", "content"])
    ]
    return Duration(
        what=dimension or "either way",
        cases=sum(int(row.value) for row in counted if row is not None) if cases is None else cases,
        earliest=early.value if early else None,
        latest=late.value if late else None,
        low=late.low if late else None,
        high=late.high if late else None,
    )


def _registrars(aggregates: Mapping[tuple[str, str, str], AggregateRow]) -> tuple[Duration, ...]:
    return tuple(
        _duration(aggregates, "mitigation_hours_median_by_registrar", dimension, cases=int(row.value))
        for (name, _, dimension), row in aggregates.items()
        if name == "incidents_by_registrar"
    )


def _feeds(reports: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, int, int], ...]:
    stood: Counter[str] = Counter()
    worked: Counter[str] = Counter()
    for report in reports:
        for feed in report.get("feeds", ()):
            stood[feed["name"]] += 1
            worked[feed["name"]] += feed["state"] == "OK"
    return tuple((name, worked[name], stood[name]) for name in sorted(stood))


def _missing(days: Sequence[Day]) -> tuple[str, ...]:
    """Local days between the first and the last of which nothing was published."""
    have = {day.date for day in days}
    first, last = (dt.date.fromisoformat(day.date) for day in (days[0], days[-1]))
    every = ((first + dt.timedelta(days=at)).isoformat() for at in range((last - first).days + 1))
    return tuple(day for day in every if day not in have)


def _opened(row: IncidentRow) -> str:
    return row.reopened.split()[-1] if row.reopened else row.opened


def _previous(month: str) -> str:
    return f"{dt.date.fromisoformat(f'{month}-01') - dt.timedelta(days=1):%Y-%m}"


def _tables(path: Path) -> dict[str, list[Any]]:
    tables: dict[str, list[Any]] = {name: [] for name in _TABLES}
    try:
        with contextlib.closing(open_records(path)) as stream:
            for table, row in read_records(stream):
                if table in tables:
                    tables[table].append(row)
    except (OSError, EOFError) as error:
        raise RefusedError(f"{path}: cannot be read: {error}") from error
    return tables


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RefusedError(f"{path}: cannot be read: {error}") from error
    return found if isinstance(found, dict) else {}
