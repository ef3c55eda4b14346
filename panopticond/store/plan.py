"""The SQL of checks shared by many hosts: what is due when, who has it on lease, and whose result still counts.

PostgreSQL only; synchronous, in a transaction. One row of ``plan`` is one watched indicator. Due and deadline are
policy time; a lease ends by the database's own clock, which every host shares. Every taking draws a token, and a result
is recorded only under the token its check was taken with: what a host brings back after its lease went to another is
dropped. Tokens are drawn and not counted: a server that took over and forgot the last takings never gives out one
that somebody still works under. A token stays after its result, so that a transaction made again finds its own work
done and not refused.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence

import msgspec

from panopticond.model import DomainRecord, Round, Verdict
from panopticond.store import history, lookup
from panopticond.store.rows import micros
from panopticond.store.sql import Sql, first

WAKE = "panopticond_due"
"""The channel on which collectors tell that something new is planned."""


class Lease(msgspec.Struct, frozen=True, gc=False):
    """One check taken by this host: its plan in seconds since 1970, policy time, and the token it was taken with."""

    indicator_id: int
    due: float
    deadline: float
    token: int


class Finished(msgspec.Struct, frozen=True):
    """A round made under a lease, and when the next one is due."""

    lease: Lease
    round: Round
    verdict: Verdict
    began: dt.datetime | None
    due: float
    deadline: float
    domain: DomainRecord | None = None
    """What is known of its domain after it."""


class Taken(msgspec.Struct, frozen=True):
    """What a host got, and when the next check nobody has is due (seconds since 1970, policy time)."""

    leases: tuple[Lease, ...]
    next_due: float | None


def add(sql: Sql, plans: Sequence[tuple[int, float, float]]) -> int:
    """Plan indicators (id, due, deadline) that have no plan yet, and wake the hosts; returns how many were new."""
    rows = [(number, _whole(due), _whole(deadline)) for number, due, deadline in sorted(plans)]
    statement = "INSERT INTO plan (indicator_id, due, deadline) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
    added = sql.change_each(statement, rows) if rows else 0
    if added:
        sql.rows(f"NOTIFY {WAKE}")
    return added


def unplanned(sql: Sql, limit: int) -> Sequence[Sequence[int]]:
    """Watched indicators without a plan, as a store moved from elsewhere has them: rows a watch is made of."""
    return sql.rows(
        "SELECT id, recorded, last_round, watched FROM indicator WHERE watched = 1 AND NOT EXISTS "
        "(SELECT 1 FROM plan WHERE indicator_id = indicator.id) LIMIT ?",
        (limit,),
    )


def take(sql: Sql, host: int, now: float, limit: int, lease_seconds: float) -> Taken:
    """Lease at most ``limit`` checks due by ``now`` that no living lease holds, the longest due first."""
    rows = sql.rows(
        # The ids as one array: planned without the limit's value, a join would read the whole table for eighty rows.
        "UPDATE plan SET holder = ?3, token = ?5, "
        "leased_until = clock_timestamp() + make_interval(secs => ?4::double precision) "
        "WHERE indicator_id = ANY (ARRAY(SELECT indicator_id FROM plan WHERE due <= ?1 AND (leased_until IS NULL OR "
        "leased_until < clock_timestamp()) ORDER BY due LIMIT ?2 FOR UPDATE SKIP LOCKED)) "
        "RETURNING indicator_id, due, deadline, token",
        (_whole(now), limit, host, str(lease_seconds), secrets.randbits(63)),
    )
    leases = sorted((Lease(number, due / 1e6, deadline / 1e6, token) for number, due, deadline, token in rows),
                    key=lambda lease: lease.due)  # fmt: skip
    following = None
    if len(leases) < limit:
        following = first(
            sql,
            "SELECT due FROM plan WHERE leased_until IS NULL OR leased_until < clock_timestamp() ORDER BY due LIMIT 1",
        )
    return Taken(tuple(leases), None if following is None else following / 1e6)


def renew(sql: Sql, host: int, leases: Sequence[Lease], lease_seconds: float) -> set[int]:
    """Prolong this host's leases; returns the indicators whose lease another host has by now."""
    kept = sql.each(
        "UPDATE plan SET leased_until = clock_timestamp() + make_interval(secs => ?3::double precision) "
        "WHERE indicator_id = ?1 AND token = ?2 AND holder = ?4 RETURNING indicator_id",
        [(one.indicator_id, one.token, str(lease_seconds), host) for one in _in_order(leases)],
    )
    return {lease.indicator_id for lease in leases} - {number for (number,) in kept}


def record(sql: Sql, finished: Sequence[Finished]) -> set[int]:
    """Record rounds made under leases, each with its next plan; returns those whose lease still stood.

    An indicator nobody need ask any more leaves the plan. What is not returned left no trace.
    """
    by_id = {one.lease.indicator_id: one for one in finished}
    standing = settle(sql, finished)
    for number in sorted(standing):
        one = by_id[number]
        history.record_round(sql, number, one.round, one.verdict, one.began)
    kept = [one.domain for one in sorted(finished, key=lambda one: one.round.at) if one.lease.indicator_id in standing]
    lookup.record_domains(sql, [domain for domain in kept if domain is not None])
    sql.change_each(
        "DELETE FROM plan WHERE indicator_id = ?1 AND EXISTS (SELECT 1 FROM indicator WHERE id = ?1 AND watched = 0)",
        [(number,) for number in sorted(standing)],
    )
    return standing


def settle(sql: Sql, finished: Sequence[Finished]) -> set[int]:
    """End leases and plan what follows; returns the indicators whose lease still stood."""
    ids, tokens, dues, deadlines = [], [], [], []
    for one in sorted(finished, key=lambda one: one.lease.indicator_id):
        ids.append(one.lease.indicator_id)
        tokens.append(one.lease.token)
        dues.append(_whole(one.due))
        deadlines.append(_whole(one.deadline))
    rows = sql.rows(
        "UPDATE plan SET due = done.due, deadline = done.deadline, holder = NULL, leased_until = NULL "
        "FROM unnest(?1::bigint[], ?2::bigint[], ?3::bigint[], ?4::bigint[]) AS done (id, token, due, deadline) "
        "WHERE plan.indicator_id = done.id AND plan.token = done.token RETURNING plan.indicator_id",
        tuple(_array(values) for values in (ids, tokens, dues, deadlines)),
    )
    return {number for (number,) in rows}


def give_back(sql: Sql, leases: Sequence[tuple[Lease, float | None]]) -> None:
    """Let others have checks that were not made, due again at the time beside each (None: as before)."""
    sql.change_each(
        "UPDATE plan SET due = coalesce(?3, due), holder = NULL, leased_until = NULL "
        "WHERE indicator_id = ?1 AND token = ?2",
        sorted((one.indicator_id, one.token, None if due is None else _whole(due)) for one, due in leases),
    )


def drop(sql: Sql, leases: Sequence[Lease]) -> None:
    """Plan these indicators no more."""
    sql.change_each(
        "DELETE FROM plan WHERE indicator_id = ? AND token = ?",
        [(one.indicator_id, one.token) for one in _in_order(leases)],
    )


def overdue(sql: Sql, now: float, limit: int) -> tuple[int, Sequence[tuple[int, float]]]:
    """How many indicators are planned, and (id, deadline) of the checks most overdue at ``now``."""
    total = int(first(sql, "SELECT count(*) FROM plan"))
    rows = sql.rows(
        "SELECT indicator_id, deadline FROM plan WHERE due < ?1 AND deadline < ?1 ORDER BY due LIMIT ?2",
        (_whole(now), limit),
    )
    return total, [(number, deadline / 1e6) for number, deadline in rows]


def _in_order(leases: Sequence[Lease]) -> list[Lease]:
    """By id: two hosts that lock rows in one order never wait for each other in a circle."""
    return sorted(leases, key=lambda lease: lease.indicator_id)


def _whole(seconds: float) -> int:
    """Seconds since 1970 as a column's microseconds."""
    return micros(dt.datetime.fromtimestamp(seconds, dt.UTC))


def _array(values: Sequence[int]) -> str:
    return "{" + ",".join(map(str, values)) + "}"
