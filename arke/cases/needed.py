"""What of a snapshot the cases rest on, kept while it is read: of millions of observations a few an indicator (pure).

Between ``watch``, which reads records.sql row by row, and ``match``, which gives the same cases from what is kept here
as from everything: the answers of the round in which an indicator was last active, one a vantage; the newest look at
the front page; one answer for every page it showed.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from panopticond.shared.records import decode_detail
from panopticond.shared.tables import TABLES, HostRow, ObservationRow, SightingRow, UriRow

T = TypeVar("T", bound=msgspec.Struct)
PAGES_AN_INDICATOR = 8
"""Different pages of one indicator that are remembered: more say nothing more."""
_SHARED_CHARACTERS = 200
"""Longer texts are seldom the same."""


def needed(rows: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    """The tables of a snapshot whole, but of its observations only those that a case can rest on.

    An indicator's observations stand together in records.sql; where they do not, more of them are kept.
    """
    tables: dict[str, list[Any]] = {table: [] for table in TABLES}
    indicators: dict[str, UriRow | HostRow] = {}
    of: _Seen | None = None
    for table, row in rows:
        if table != "observation":
            kept = _lean(row, indicators)
            tables[table].append(kept)
            if table in ("uri", "host") and kept.indicator is not None and kept.decision != "dismiss":
                indicators[kept.indicator] = kept
        elif (indicator := indicators.get(row.indicator)) is not None:
            if of is None or of.indicator is not indicator:
                tables["observation"] += of.rows() if of is not None else ()
                of = _Seen(indicator)
            of.take(row)
    tables["observation"] += [*of.rows()] if of is not None else ()
    tables["observation"] = [_lean(row, indicators) for row in tables["observation"]]
    return tables


def weight(row: ObservationRow, detail: dict[str, str]) -> int:
    """Which of a vantage's answers is shown: the live one, and the URI's own before its twin's."""
    return 2 * (row.outcome in ("live", "resolves")) + ("twin" not in detail)


class _Seen:
    """What is kept of one indicator's observations."""

    def __init__(self, row: UriRow | HostRow) -> None:
        self.indicator = row
        self._kind = "web" if isinstance(row, UriRow) else "address"
        self._shown: dict[str, tuple[int, ObservationRow]] = {}
        self._pages: dict[str, ObservationRow] = {}
        self._front: ObservationRow | None = None

    def take(self, row: ObservationRow) -> None:
        """Look at one observation, in the order of the file."""
        if row.kind == "apex" and row.outcome != "indeterminate":
            if self._front is None or row.at >= self._front.at:
                self._front = row
            return
        shown = row.kind == self._kind and row.round_at == self.indicator.last_active
        live = row.kind == "web" and row.outcome == "live"
        if not shown and not live:
            return
        detail = decode_detail(row.detail)
        if shown:
            self._show(row, weight(row, detail))
        if live and (page := detail.get("fingerprint")) and len(self._pages) < PAGES_AN_INDICATOR:
            self._pages.setdefault(page, row)

    def _show(self, row: ObservationRow, rank: int) -> None:
        if row.vantage not in self._shown or rank > self._shown[row.vantage][0]:
            self._shown[row.vantage] = rank, row

    def rows(self) -> list[ObservationRow]:
        """What was kept, each row once; a page that a shown answer has needs no other."""
        found = [row for _, row in self._shown.values()]
        there = {decode_detail(row.detail).get("fingerprint") for row in found if row.outcome == "live"}
        found += [row for page, row in self._pages.items() if page not in there]
        return [*found, self._front] if self._front is not None else found


def _lean(row: T, indicators: Mapping[str, UriRow | HostRow]) -> T:
    """The row with one object for every text that other rows have too."""
    values = [
        _one(value) if type(value) is str and len(value) <= _SHARED_CHARACTERS else value
        for value in msgspec.structs.astuple(row)
    ]
    if isinstance(row, SightingRow | ObservationRow) and (known := indicators.get(row.indicator)) is not None:
        values[0] = known.indicator
    return type(row)(*values)


@functools.lru_cache(maxsize=1 << 14)
def _one(text: str) -> str:
    return text
