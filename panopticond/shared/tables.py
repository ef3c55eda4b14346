"""records.sql, format 1: the tables and columns of a published snapshot, as data and as frozen rows.

The contract between panopticond's ``snapshot/build`` (writes), ``report`` (reads its own output) and arke (reads it as
hostile text). Documented table by table in docs/reference/records.md. New columns come last, types never change.
Times are RFC 3339 UTC text; text is printable ASCII without a backslash; NULL is "unknown"; lists are joined by spaces;
an observation's detail is ``key=value`` pairs, percent-encoded, sorted, joined by ``&``.
"""

from __future__ import annotations

from typing import Any, get_type_hints

import msgspec

FORMAT = 1


class SnapshotRow(msgspec.Struct, frozen=True, gc=False):
    """Table ``snapshot``: one row, the interval and what was done in it."""

    tld: str
    serial: int
    format: int
    from_at: str
    to_at: str
    issued: str
    late: int
    checks_due: int
    """Checks (rounds) due in the interval ..."""
    checks_done: int
    """... and those made."""
    zone_size: int | None
    software: str
    timezone: str
    """Of the publication's hour, as ``Pacific/Auckland``."""
    vantages: str
    """``name:CC`` pairs."""
    tranco_list: str | None


class FeedRow(msgspec.Struct, frozen=True, gc=False):
    """Table ``feed``: the health ledger of every feed that serves the TLD, as at ``to_at``."""

    name: str
    format: str
    licence: str
    trust: str
    absence: str
    threat: str | None
    state: str
    since: str | None
    reason: str
    last_success: str | None
    last_change: str | None
    row_count: int
    indicator_count: int
    rejected_count: int
    newest_row: str | None
    delisting: str | None = None
    """Where a holder asks to be taken off the list."""


class DomainRow(msgspec.Struct, frozen=True, gc=False):
    """Table ``domain``: one registered domain with what public sources say of it."""

    name: str
    scope_hint: str
    """``domain``, or ``shared`` when every indicator below it is of scope shared."""
    delegation: str
    delegation_at: str | None
    registered_at: str | None
    registration_status: str | None
    """EPP status as RDAP words, joined by commas."""
    registrar: str | None
    abuse_class: str
    class_reasons: str
    class_missing: str
    tranco_rank: int | None
    flags: str


class HostRow(msgspec.Struct, frozen=True, gc=False):
    """Table ``host``: every host concerned; the judged columns are NULL unless it is itself an indicator."""

    name: str
    domain: str
    scope: str
    indicator: str | None
    """Public id of the host-level indicator, else NULL."""
    threats: str | None
    state: str | None
    rule: str | None
    since: str | None
    last_known: str | None
    last_known_at: str | None
    flags: str | None
    validated: int | None
    recorded: str | None
    first_active: str | None
    last_active: str | None
    first_gone: str | None
    round_count: int | None
    decision: str | None


class UriRow(msgspec.Struct, frozen=True, gc=False):
    """Table ``uri``: every URI-level indicator with its state and the rule that held."""

    indicator: str
    uri: str | None
    """NULL for a verdict-only surrogate."""
    host: str
    domain: str
    scope: str
    altered: int
    threats: str
    state: str
    rule: str
    since: str | None
    last_known: str | None
    last_known_at: str | None
    flags: str
    validated: int
    recorded: str
    first_active: str | None
    last_active: str | None
    first_gone: str | None
    round_count: int
    decision: str | None


class SightingRow(msgspec.Struct, frozen=True, gc=False):
    """Table ``sighting``: a feed listed an indicator from first to last; ``ended`` once it was missed."""

    indicator: str
    feed: str
    threat: str
    first: str
    last: str
    ended: str | None


class ObservationRow(msgspec.Struct, frozen=True, gc=False):
    """Table ``observation``: one probe's answer within the round that began at ``round_at``."""

    indicator: str
    round_at: str
    kind: str
    target: str
    vantage: str
    at: str
    outcome: str
    detail: str


class IncidentRow(msgspec.Struct, frozen=True, gc=False):
    """Table ``incident``: what concerns one registered domain and one registration, or one shared host."""

    id: str
    domain: str
    host: str | None
    registered_at: str | None
    opened: str
    state: str
    last_active: str
    first_gone: str | None
    closed: str | None
    how: str | None
    reopened: str
    threats: str
    abuse_class: str


class AggregateRow(msgspec.Struct, frozen=True, gc=False):
    """Table ``aggregate``: one figure; ``value`` -1 means no healthy feed, ``low``/``high`` a 95 % interval."""

    name: str
    threat: str
    dimension: str
    value: float
    low: float | None
    high: float | None


TABLES: dict[str, type[msgspec.Struct]] = {
    "snapshot": SnapshotRow,
    "feed": FeedRow,
    "domain": DomainRow,
    "host": HostRow,
    "uri": UriRow,
    "sighting": SightingRow,
    "observation": ObservationRow,
    "incident": IncidentRow,
    "aggregate": AggregateRow,
}
"""The tables in the order they stand in records.sql."""

_SQL_TYPES = {str: "TEXT", int: "INTEGER", float: "DOUBLE PRECISION"}


def columns(row: type[msgspec.Struct]) -> tuple[tuple[str, str, bool], ...]:
    """(name, SQL type, nullable) of each column of a table's row struct, in order."""
    found = []
    for name, hint in get_type_hints(row).items():
        options: tuple[Any, ...] = getattr(hint, "__args__", (hint,))
        base = next(option for option in options if option is not type(None))
        found.append((name, _SQL_TYPES[base], type(None) in options))
    return tuple(found)
