"""The SQL of the window and the judge: rounds with their observations, verdicts, and what of them is kept.

Synchronous, called within a transaction. A round and the verdict it led to are written together; thinning never takes
the round an indicator was first validated in (``changed`` compares with it) nor its last two, until nobody asks any
more: then it goes altogether, so that the store grows with what is open and not with the years.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

import msgspec

from panopticond.model import Round, Verdict
from panopticond.shared.errors import StoreError
from panopticond.store.rows import micros, moment, observation_rows, rounds_of, to_json
from panopticond.store.sql import SIGHTINGS_OF_ONE, Sql, first
from panopticond.window import worth_asking

# Two halves, so that PostgreSQL reads only the days each is about.
_COLUMNS = "indicator_id, round_at, kind, target, vantage, at, outcome, detail, place"
_SELECT = (
    f"SELECT {_COLUMNS} FROM observation WHERE indicator_id = ?1 AND round_at >= ?2 UNION ALL "  # noqa: S608
    f"SELECT {_COLUMNS} FROM observation WHERE indicator_id = ?1 AND round_at < ?2 "
    "AND round_at = (SELECT first_validated FROM indicator WHERE id = ?1) ORDER BY round_at, place"
)


def rounds(sql: Sql, numbers: Sequence[int], since: dt.datetime | None) -> dict[int, list[Round]]:
    """The retained rounds of indicators, oldest first, from ``since`` on, and the first validated one always."""
    start = -(1 << 62) if since is None else micros(since)
    found: dict[int, list[Round]] = {number: [] for number in numbers}
    rows = sql.each(_SELECT, [(number, start) for number in numbers])
    for number, group in groupby(rows, key=itemgetter(0)):
        found[number] = rounds_of(row[1:8] for row in group)
    return found


def record_round(sql: Sql, number: int, round_: Round, verdict: Verdict, began: dt.datetime | None = None) -> None:
    """One round and its verdict; the first active one since ``began`` is the first validated one."""
    at = micros(round_.at)
    rows = sql.rows("SELECT recorded FROM indicator WHERE id = ?", (number,))
    if not rows:
        raise StoreError(f"indicator {number} is not in the store; a round of it cannot be kept")
    sql.change("DELETE FROM observation WHERE indicator_id = ? AND round_at = ?", (number, at))
    sql.change_each(
        "INSERT INTO observation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", list(observation_rows(number, round_))
    )
    watched = worth_asking(verdict, moment(rows[0][0]), listed=_is_listed(sql, number))
    sql.change(
        "UPDATE indicator SET verdict = ?2, watched = ?3, "
        "previous_round = CASE WHEN last_round IS DISTINCT FROM ?4 THEN last_round ELSE previous_round END, "
        "last_round = ?4, "
        "first_validated = CASE WHEN ?5 = 1 AND coalesce(first_validated, ?6) <= ?6 THEN ?4 ELSE first_validated END "
        "WHERE id = ?1",
        (
            number,
            to_json(verdict),
            watched,
            at,
            verdict.state == "active",
            -(1 << 62) if began is None else micros(began),
        ),
    )


def _is_listed(sql: Sql, number: int) -> bool:
    return bool(
        sql.rows(
            f"SELECT 1 FROM {SIGHTINGS_OF_ONE[sql.dialect]} AND ended IS NULL LIMIT 1",  # noqa: S608 - a constant
            (number,),
        )
    )


class Stretch(msgspec.Struct, frozen=True):
    """What one step of thinning did: how many observations it dropped and the last row number it looked at."""

    dropped: int
    last: int | None


def thin(sql: Sql, before: dt.datetime, after: int, size: int) -> Stretch:
    """Thin the ``size`` indicators whose row numbers follow ``after``; ``last`` is None at the end.

    An indicator nobody asks any more, whose last round is older than ``before``, goes altogether; its incident stays.
    """
    rows = sql.rows(
        "SELECT id, CASE WHEN previous_round < ?1 THEN previous_round WHEN previous_round IS NOT NULL THEN ?1 END, "
        "first_validated, watched = 0 AND decision IS NULL AND last_round < ?1 "
        "FROM indicator WHERE id > ?2 ORDER BY id LIMIT ?3",
        (micros(before), after, size),
    )
    dropped = sql.change_each(
        "DELETE FROM observation WHERE indicator_id = ? AND round_at < ? AND round_at IS DISTINCT FROM ?",
        [row[:3] for row in rows if row[1] is not None],
    )
    over = [(row[0],) for row in rows if row[3]]
    dropped += sql.change_each("DELETE FROM observation WHERE indicator_id = ?", over)
    _forget(sql, [number for (number,) in over])
    return Stretch(dropped, rows[-1][0] if len(rows) == size else None)


def _forget(sql: Sql, numbers: Sequence[int]) -> None:
    """Take indicators out of the store, ended sightings with them, and domains nobody else names."""
    for number in numbers:
        domain = first(sql, "DELETE FROM indicator WHERE id = ? RETURNING domain", (number,))
        sql.change("DELETE FROM sighting WHERE indicator_id = ? AND feed_id IN (SELECT id FROM feed)", (number,))
        sql.change(
            "DELETE FROM domain WHERE name = ?1 AND NOT EXISTS (SELECT 1 FROM indicator WHERE domain = ?1)", (domain,)
        )
