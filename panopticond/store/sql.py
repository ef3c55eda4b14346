"""What the SQL of the rooms beside this one is written against: one transaction of whichever store runs it.

Statements are written once, in what SQLite and PostgreSQL both understand (but for :data:`SIGHTINGS_OF_ONE`), with
``?`` marks in order or ``?1`` by number (not mixed). Each store brings its own ``Sql``; no statement leaves the
transaction it was given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import Any, Literal, Protocol

Dialect = Literal["sqlite", "postgresql"]
Row = Sequence[Any]
_MARK = re.compile(r"\?(\d*)")
SIGHTINGS_OF_ONE: Mapping[Dialect, str] = {
    "sqlite": "feed CROSS JOIN sighting ON feed_id = feed.id AND indicator_id = ?",
    "postgresql": "feed JOIN sighting ON feed_id = feed.id AND feed_id = ANY (ARRAY(SELECT id FROM feed)) "
    "AND indicator_id = ?",
}
"""From what to select the sightings of an indicator, one seek a feed. SQLite is told so by the order of the join.
PostgreSQL would read the whole table, for every round, while it has no statistics of ``feed``, and a table of a dozen
rows has none for long."""


class Sql(Protocol):
    """The statements of one transaction; values are int, str, bytes, bool or None."""

    dialect: Dialect

    def rows(self, statement: str, values: Sequence[Any] = ()) -> Sequence[Row]:
        """Every row of one statement."""
        ...

    def each(self, statement: str, many: Iterable[Sequence[Any]]) -> Iterator[Row]:
        """The rows of one statement run for each of many values, in their order."""
        ...

    def change(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Run a statement; how many rows it changed."""
        ...

    def change_each(self, statement: str, many: Iterable[Sequence[Any]]) -> int:
        """Run a statement for each of many values; how many rows they changed together."""
        ...


def first(sql: Sql, statement: str, values: Sequence[Any] = ()) -> Any:
    """The first column of the first row, None when there is none."""
    rows = sql.rows(statement, values)
    return rows[0][0] if rows else None


@lru_cache(maxsize=512)
def numbered(statement: str) -> str:
    """The statement with PostgreSQL's own marks, ``$1``."""
    order = count(1)
    return _MARK.sub(lambda mark: f"${mark[1] or next(order)}", statement)
