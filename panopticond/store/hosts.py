"""The SQL of hosts among themselves: who is alive, who alone does what, and how fast all together may ask a server.

PostgreSQL only; synchronous. Times are real, by the database's clock. A budget is kept by virtual scheduling (the
generic cell rate algorithm), one row a key: whoever reserves gets the next free moments for itself alone, so
that hosts may come, go and die without the sum ever passing the rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from panopticond.store.sql import Sql, first

ALIVE_SECONDS = 15.0
"""A host that was not heard of for so long is shown no more; its leases end by themselves."""
_FORGET_SECONDS = 3600.0


class HostState(msgspec.Struct, frozen=True):
    """One living host as the others see it."""

    id: int
    name: str
    roles: tuple[str, ...]
    figures: Mapping[str, float] = {}


_FIGURES = msgspec.json.Decoder(dict[str, float])


def enter(sql: Sql, name: str, roles: Sequence[str]) -> int:
    """A new host's number."""
    sql.change(
        "DELETE FROM host WHERE seen < clock_timestamp() - make_interval(secs => ?::double precision)",
        (str(_FORGET_SECONDS),),
    )
    return int(
        first(
            sql,
            "INSERT INTO host (name, roles, seen, state) VALUES (?, ?, clock_timestamp(), '{}') RETURNING id",
            (name, " ".join(roles)),
        )
    )


def beat(sql: Sql, host: int, figures: Mapping[str, float]) -> list[HostState]:
    """Say that a host lives and how it fares; every host that lives, by number."""
    sql.change(
        "UPDATE host SET seen = clock_timestamp(), state = ?2 WHERE id = ?1",
        (host, msgspec.json.encode(figures).decode()),
    )
    rows = sql.rows(
        "SELECT id, name, roles, state FROM host "
        "WHERE seen > clock_timestamp() - make_interval(secs => ?::double precision) ORDER BY id",
        (str(ALIVE_SECONDS),),
    )
    return [HostState(number, name, tuple(roles.split()), _FIGURES.decode(text)) for number, name, roles, text in rows]


def leave(sql: Sql, host: int) -> None:
    """The host ends as it should."""
    sql.change("DELETE FROM host WHERE id = ?", (host,))


def reserve(sql: Sql, key: str, interval_seconds: float, count: int, lead_seconds: float) -> tuple[float, float]:
    """Reserve ``count`` moments ``interval_seconds`` apart for a key, none sooner than ``lead_seconds`` from now.

    Returns the first of them and now, both in seconds since 1970 by the database's clock.
    """
    rows = sql.rows(
        "INSERT INTO budget (key, next) "
        "VALUES (?1, extract(epoch FROM clock_timestamp()) + ?3::double precision + ?2::double precision) "
        "ON CONFLICT (key) DO UPDATE SET next = "
        "greatest(budget.next, extract(epoch FROM clock_timestamp()) + ?3::double precision) + ?2::double precision "
        "RETURNING next - ?2::double precision, extract(epoch FROM clock_timestamp())::double precision",
        (key, str(interval_seconds * count), str(lead_seconds)),
    )
    begins, now = rows[0]
    return float(begins), float(now)


def spend(sql: Sql, key: str, limit: int) -> bool:
    """Take one of the ``limit`` units a key (a day's, say) has in all; False when none is left."""
    rows = sql.rows(
        "INSERT INTO budget (key, next) VALUES (?1, 1) "
        "ON CONFLICT (key) DO UPDATE SET next = budget.next + 1 WHERE budget.next < ?2 RETURNING next",
        (key, limit),
    )
    return bool(rows)


def sweep(sql: Sql) -> None:
    """Forget budgets that are full again; those counted by the day, told by their keys, go after forty."""
    sql.change(
        "DELETE FROM budget WHERE (key NOT LIKE 'day %' AND next < extract(epoch FROM clock_timestamp()) - 60) "
        "OR (key LIKE 'day %' AND key < 'day ' || to_char(clock_timestamp() - interval '40 days', 'YYYY-MM-DD'))"
    )


def shared_secret(sql: Sql, name: str, fresh: bytes) -> bytes:
    """A secret all hosts share; ``fresh`` is it from now on when there was none."""
    sql.change("INSERT INTO shared_secret VALUES (?, ?) ON CONFLICT DO NOTHING", (name, fresh))
    return bytes(first(sql, "SELECT value FROM shared_secret WHERE name = ?", (name,)))
