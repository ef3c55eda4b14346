"""The published tree as MoSAPI's daily reports: which days there are, and each day's report ready to send.

Between the repository on disk and ``serve/mosapi``. A day is a UTC day; its report is the newest snapshot whose ``to``
lies in it (``by_day``). Counts are the snapshot's own signed figures (aggregates.json); names come from records.sql,
read only as far as its sightings. Each snapshot is read once, in a thread, and kept within a bound.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import json
import logging
import os
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import msgspec
import trio

from panopticond.model import THREATS
from panopticond.shared import mosapi, snapshot
from panopticond.shared.errors import PanopticonError, RefusedError
from panopticond.shared.records import open_records, read_records
from panopticond.shared.snapshot import parse_manifest
from panopticond.shared.tables import FeedRow, HostRow, SightingRow, SnapshotRow, UriRow

CACHE_BYTES = 64 << 20
"""Bodies kept, plain and packed together; the newest report of a TLD is a few kilobytes as a rule."""
_AGGREGATES_LIMIT_BYTES = 16 << 20
_SURROGATE = ".withheld.invalid"
"""Names the licence of a feed withholds are counted, not named."""
_log = logging.getLogger(__name__)


class Page(msgspec.Struct, frozen=True):
    """A body ready to send: plain, and packed with gzip."""

    body: bytes
    packed: bytes

    @classmethod
    def of(cls, body: bytes) -> Page:
        """The page of a body."""
        return cls(body, gzip.compress(body, 6, mtime=0))


class Figures(msgspec.Struct, frozen=True):
    """What a snapshot says of our own service, for ``monitoring/state``."""

    snapshot: SnapshotRow
    expires: dt.datetime
    feeds: tuple[FeedRow, ...]
    carried: tuple[SightingRow, ...]
    """One sighting a feed and threat: what each feed reports."""
    total: int
    """Unique domains listed; -1 when nobody can say."""


class Dated(msgspec.Struct, frozen=True):
    """A snapshot as the days know it: its interval, when it was issued."""

    serial: int
    start: dt.datetime
    to: dt.datetime
    issued: dt.datetime


class Report(msgspec.Struct, frozen=True):
    """One day's report: when it was made, as METRICA, under DAAR-era names, and the figures beside it."""

    issued: dt.datetime
    metrica: Page
    daar: Page
    figures: Figures

    @property
    def size_bytes(self) -> int:
        """What it holds of the cache."""
        return sum(len(page.body) + len(page.packed) for page in (self.metrica, self.daar)) + 4096


class Published:
    """The reports below a published root. ``counts`` is ``validated`` or ``listed`` ([publish] mosapi_counts)."""

    def __init__(self, root: Path, *, counts: str, cache_bytes: int = CACHE_BYTES) -> None:
        self._root = root
        self._counts = counts
        self._cache_bytes = cache_bytes
        self._reports: OrderedDict[tuple[str, int], Report] = OrderedDict()
        self._held_bytes = 0
        self._dated: dict[str, dict[int, Dated | None]] = {}
        self._one_reader = trio.Lock()

    async def latest(self, tld: str) -> Report | None:
        """The report of the snapshot ``latest`` points at; None when there is none yet."""
        serial = self._newest(tld)
        return await self._report(tld, serial) if serial else None

    async def on(self, tld: str, day: dt.date) -> Report | None:
        """The report of a UTC day; None when there is none."""
        dated = (await self.days(tld)).get(day)
        return None if dated is None else await self._report(tld, dated.serial)

    async def days(self, tld: str) -> dict[dt.date, Dated]:
        """The snapshot that is each day's report, oldest first."""
        async with self._one_reader:
            return await trio.to_thread.run_sync(self._days, tld)

    def _days(self, tld: str) -> dict[dt.date, Dated]:
        """Up to ``latest``: a newer serial was never published, and after a crash another may take its place."""
        directory, newest = self._root / tld, self._newest(tld)
        known = self._dated.get(tld, {})
        found: dict[int, Dated | None] = {}
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for name in os.listdir(directory):  # noqa: PTH208 - names alone: no path is made for a thousand snapshots
                if len(name) == 10 and name.isascii() and name.isdigit() and int(name) <= newest:
                    found[int(name)] = known[int(name)] if int(name) in known else _dated(directory / name)
        self._dated[tld] = found
        return by_day([dated for _, dated in sorted(found.items()) if dated is not None])

    def _newest(self, tld: str) -> int:
        """The serial ``latest`` points at, 0 when it points nowhere."""
        try:
            return int(os.readlink(self._root / tld / snapshot.LATEST))  # noqa: PTH115 - every request: half the cost
        except (OSError, ValueError):
            return 0

    async def _report(self, tld: str, serial: int) -> Report | None:
        if (report := self._kept(tld, serial)) is not None:
            return report
        async with self._one_reader:  # whoever waited finds it read
            if (report := self._kept(tld, serial)) is not None:
                return report
            directory = self._root / tld / str(serial)
            try:
                report = await trio.to_thread.run_sync(read_report, directory, self._counts)
            except FileNotFoundError:
                return None  # retention removed it since it was found
            except (OSError, ValueError) as error:
                raise PanopticonError(f"snapshot {serial} of .{tld} cannot be read: {error}") from error
            self._keep(tld, serial, report)
            return report

    def _kept(self, tld: str, serial: int) -> Report | None:
        report = self._reports.get((tld, serial))
        if report is not None:
            self._reports.move_to_end((tld, serial))
        return report

    def _keep(self, tld: str, serial: int, report: Report) -> None:
        self._reports[tld, serial] = report
        self._held_bytes += report.size_bytes
        while self._held_bytes > self._cache_bytes and len(self._reports) > 1:
            _, dropped = self._reports.popitem(last=False)
            self._held_bytes -= dropped.size_bytes


def read_report(directory: Path, counts: str) -> Report:
    """The report of a snapshot on disk. OSError, ValueError or RefusedError when a file is missing or not ours."""
    manifest = parse_manifest((directory / snapshot.MANIFEST).read_bytes())
    with (directory / snapshot.AGGREGATES).open("rb") as file:
        figures = _figures(file.read(_AGGREGATES_LIMIT_BYTES), counts)
    head = _Head.of(directory / snapshot.RECORDS, counts)
    row = head.snapshot
    lists = tuple(
        mosapi.ThreatList(threat, count, tuple(sorted(head.named[threat])) if count >= 0 else ())
        for threat in THREATS
        for count in (figures.get(threat, mosapi.UNKNOWN),)
    )
    total = figures.get("", mosapi.UNKNOWN)
    message = mosapi.DomainList(
        mosapi.VERSION,
        manifest.tld,
        manifest.ended_at.date().isoformat(),
        total,
        lists,
        msgspec.UNSET if row.zone_size is None else row.zone_size,
    )
    return Report(
        issued=manifest.issued_at,
        metrica=Page.of(mosapi.encode(message)),
        daar=Page.of(mosapi.encode(mosapi.as_daar(message))),
        figures=Figures(row, manifest.expires_at, tuple(head.feeds), tuple(head.carried.values()), total),
    )


def _figures(data: bytes, counts: str) -> dict[str, int]:
    """Unique domains by threat type from aggregates.json, all types under the empty name."""
    try:
        rows = json.loads(data)["aggregates"]
        wanted = f"{counts}_domains"
        return {row["threat"]: int(row["value"]) for row in rows if row["name"] == wanted and not row["dimension"]}
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{snapshot.AGGREGATES} is not one of ours") from error


class _Head:
    """What is kept of records.sql up to its sightings, which come before the mass of observations, as it streams by.

    Left at the first observation: the text is our own, whole since its last rename, and the rest says nothing to us.
    """

    def __init__(self, snapshot_row: SnapshotRow, *, listed: bool) -> None:
        self.snapshot = snapshot_row
        self.feeds: list[FeedRow] = []
        self.carried: dict[tuple[str, str], SightingRow] = {}
        self.named: dict[str, set[str]] = {threat: set() for threat in THREATS}
        """The domains that count, by threat type, as ``judge/aggregate`` counts them."""
        self._listed = listed
        self._waiting: dict[str, tuple[str, str]] = {}

    @classmethod
    def of(cls, path: Path, counts: str) -> _Head:
        """The head of a records.sql; OSError or RefusedError when it cannot be read."""
        with contextlib.closing(open_records(path)) as file:
            rows = read_records(file)
            _, first = next(rows, ("", None))
            if not isinstance(first, SnapshotRow):
                raise RefusedError(f"{path.name} does not begin with its table snapshot")
            head = cls(first, listed=counts == "listed")
            for table, row in rows:
                if table in ("uri", "host"):
                    head._indicator(row)
                elif table == "sighting":
                    head._sighting(row)
                elif table == "feed":
                    head.feeds.append(row)
                elif table != "domain":
                    break
        return head

    def _indicator(self, row: UriRow | HostRow) -> None:
        if row.indicator is None or row.domain.endswith(_SURROGATE):
            return
        counts = "listed" in (row.flags or "").split() if self._listed else row.validated == 1
        if counts:
            self._name(row.domain, row.threats or "")
        elif self._listed:
            self._waiting[row.indicator] = (row.domain, row.threats or "")

    def _sighting(self, row: SightingRow) -> None:
        self.carried.setdefault((row.feed, row.threat), row)
        if row.last >= self.snapshot.from_at and (seen := self._waiting.pop(row.indicator, None)):
            self._name(*seen)

    def _name(self, domain: str, threats: str) -> None:
        for threat in threats.split():
            self.named.setdefault(threat, set()).add(domain)


def by_day(snapshots: Iterable[Dated]) -> dict[dt.date, Dated]:
    """The newest of each day; one without an interval of its own, as checks that stand still give, replaces none."""
    found: dict[dt.date, Dated] = {}
    for one in snapshots:
        if one.start < one.to or one.to.date() not in found:
            found[one.to.date()] = one
    return dict(sorted(found.items()))


def _dated(directory: Path) -> Dated | None:
    """A snapshot's dates from its manifest; None, said in the log, for one that is not ours."""
    try:
        manifest = parse_manifest((directory / snapshot.MANIFEST).read_bytes())
    except (OSError, RefusedError) as error:
        _log.warning("mosapi: snapshot %s left out: %s", directory.name, error)
        return None
    return Dated(manifest.serial, manifest.started_at, manifest.ended_at, manifest.issued_at)
