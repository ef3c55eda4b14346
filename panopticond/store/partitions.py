"""Observations by day: PostgreSQL's partitions, cut ahead of time and dropped whole when their day is thinned.

Declarative is where a row goes and which days a query reads; ours are the cutting of days to come and what outlives its
day. A row of a day nobody cut lies in ``observation_rest`` and is found just the same. Thinning a day moves what must
be kept (rounds first validated, last rounds) there and drops the rest as one table: no row is deleted, nothing to
vacuum. Synchronous, in a transaction; the locks are held while the catalogue is changed and what is kept is copied.
"""

from __future__ import annotations

import datetime as dt
import re

from panopticond.store.rows import micros, moment
from panopticond.store.sql import Sql, first

AHEAD_DAYS = 3
_DAY = dt.timedelta(days=1)
_NAME = re.compile(r"observation_(\d{4})(\d{2})(\d{2})\Z")


def cut(sql: Sql, now: dt.datetime) -> int:
    """Make the partitions of today and the days to come that are not there; returns how many were made."""
    sql.rows("SELECT pg_advisory_xact_lock(hashtextextended('panopticon partitions', 0))::text")
    there = set(days(sql))
    today = now.astimezone(dt.UTC).date()
    made = 0
    for day in (today + ahead * _DAY for ahead in range(AHEAD_DAYS + 1)):
        start, end = _bounds(day)
        if day in there or sql.rows(
            "SELECT 1 FROM observation_rest WHERE round_at >= ? AND round_at < ? LIMIT 1", (start, end)
        ):
            continue  # a day that has begun without one keeps to the rest
        sql.change(f"CREATE TABLE {_name(day)} PARTITION OF observation FOR VALUES FROM ({start}) TO ({end})")
        made += 1
    return made


def days(sql: Sql) -> list[dt.date]:
    """The days that have a partition, oldest first."""
    rows = sql.rows(
        "SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid "
        "WHERE inhparent = 'observation'::regclass"
    )
    found = (_NAME.match(name) for (name,) in rows)
    return sorted(dt.date(*map(int, match.groups())) for match in found if match)


def drop(sql: Sql, day: dt.date, before: dt.datetime) -> int:
    """Drop a day that ended by ``before`` but for what thinning keeps; returns how many observations went.

    The rule is ``history.thin``'s: an indicator keeps the round it was first validated in and its last two.
    """
    table, cutoff = _name(day), micros(before)
    sql.change(f"ALTER TABLE observation DETACH PARTITION {table}")
    total = int(first(sql, f"SELECT count(*) FROM {table}"))  # noqa: S608 - a name of ours
    kept = sql.change(
        f"INSERT INTO observation SELECT old.* FROM {table} AS old JOIN indicator ON indicator.id = old.indicator_id "  # noqa: S608
        "WHERE indicator.previous_round IS NULL OR old.round_at >= least(?1, indicator.previous_round) "
        "OR old.round_at IS NOT DISTINCT FROM indicator.first_validated",
        (cutoff,),
    )
    sql.change(f"DROP TABLE {table}")
    return total - kept


def over(sql: Sql, before: dt.datetime) -> list[dt.date]:
    """The days with a partition that ended by ``before``."""
    return [day for day in days(sql) if moment(_bounds(day)[1]) <= before]


def _name(day: dt.date) -> str:
    return f"observation_{day:%Y%m%d}"


def _bounds(day: dt.date) -> tuple[int, int]:
    start = dt.datetime.combine(day, dt.time(), dt.UTC)
    return micros(start), micros(start + _DAY)
