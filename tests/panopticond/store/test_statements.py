"""What PostgreSQL makes of the statements of a check: each finds its rows by an index, whatever it knows of the tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import psycopg
import pytest
from psycopg.sql import Literal

from panopticond.model import DomainRecord
from panopticond.store import history, lookup, plan
from panopticond.store.plan import Finished
from panopticond.store.postgres import PostgresSql
from panopticond.store.rows import sightings_of
from panopticond.store.schema import migrate
from panopticond.store.servers import Link, Servers
from panopticond.store.sql import Row, numbered
from tests.panopticond.store.test_methods import HOUR, NOW, a_round, verdict

COUNT = 20_000
_LARGE = re.compile(r"Seq Scan on (?:plan|indicator|sighting|observation_rest|domain)\b")


class Explaining(PostgresSql):
    """Runs statements, and keeps how the server runs each of them when it does not know the values."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection)
        self.plans: dict[str, list[str]] = {}

    def _explain(self, statement: str, values: Sequence[Any]) -> None:
        if statement.startswith(("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")) and statement not in self.plans:
            connection = self._connection
            connection.execute(f"PREPARE explained AS {numbered(statement)}".encode())
            given = ", ".join(Literal(value).as_string(connection) for value in values)
            lines = connection.execute(f"EXPLAIN EXECUTE explained ({given})".encode()).fetchall()
            self.plans[statement] = [line for (line,) in lines]
            connection.execute("DEALLOCATE explained")

    def rows(self, statement: str, values: Sequence[Any] = ()) -> Sequence[Row]:
        if values:
            self._explain(statement, values)
        return super().rows(statement, values)

    def each(self, statement: str, many: Iterable[Sequence[Any]]) -> Iterator[Row]:
        many = list(many)
        self._explain(statement, many[0])
        return super().each(statement, many)

    def change(self, statement: str, values: Sequence[Any] = ()) -> int:
        self._explain(statement, values)
        return super().change(statement, values)

    def change_each(self, statement: str, many: Iterable[Sequence[Any]]) -> int:
        many = list(many)
        if many:
            self._explain(statement, many[0])
        return super().change_each(statement, many)


@pytest.fixture
def link(schema: str) -> Iterator[Link]:
    """A database with many indicators, each in some of fifteen feeds, and no statistics of any table."""
    found = Servers(schema).connect()
    migrate(PostgresSql(found.connection))
    now = int(NOW.timestamp() * 1e6)
    for statement in (
        "INSERT INTO feed (name) SELECT 'f' || n FROM generate_series(1, 15) n",
        "INSERT INTO indicator (id, key, is_uri, host, domain, tld, scope, altered, recorded) "  # noqa: S608 - ours
        f"SELECT n, 'http://h' || n || '.zz/', 1, 'h' || n || '.zz', 'h' || n || '.zz', 'zz', 'registered', 0, {now} "
        f"FROM generate_series(1, {COUNT}) n",
        "INSERT INTO sighting SELECT 1 + id % 15, id, 'phishing', 1, 1, NULL, NULL FROM indicator",
        f"INSERT INTO observation SELECT id, {now}, 0, 'web', key, 'direct', {now}, 'live', '' FROM indicator",  # noqa: S608
        "INSERT INTO domain SELECT domain, '{}' FROM indicator",
        f"INSERT INTO plan (indicator_id, due, deadline) SELECT id, {now} + id, {now} + id FROM indicator",  # noqa: S608
    ):
        found.connection.execute(statement.encode())
    yield found
    found.close()


def one_check(sql: Explaining) -> None:
    """Everything the store does for a check, from its lease to its next due time."""
    leases = plan.take(sql, 1, NOW.timestamp() + 1, 64, 60.0).leases
    assert len(leases) == 64
    assert plan.renew(sql, 1, leases, 60.0) == set()
    number = leases[0].indicator_id
    lookup.row(sql, number)
    sightings_of(sql, [number])
    history.rounds(sql, [number], NOW - HOUR)
    lookup.domains(sql, ["none.zz"])
    made = [
        Finished(lease, a_round(NOW + HOUR), verdict(), None, NOW.timestamp() + 9e4, NOW.timestamp() + 9e4,
                 DomainRecord(f"d{lease.indicator_id}.zz", "zz"))
        for lease in leases[:8]
    ]  # fmt: skip
    assert len(plan.record(sql, made)) == 8
    plan.give_back(sql, [(lease, None) for lease in leases[8:16]])
    plan.drop(sql, leases[16:24])
    assert plan.take(sql, 1, NOW.timestamp() - HOUR.total_seconds(), 64, 60.0).leases == ()


def test_every_statement_of_a_check_finds_its_rows_by_an_index(link: Link) -> None:
    """Before the server has statistics and after; no table of many rows is read through."""
    for statement in ("SELECT 1", "ANALYZE"):
        link.connection.execute(statement.encode())
        link.connection.execute("BEGIN")
        sql = Explaining(link.connection)
        one_check(sql)
        link.connection.execute("ROLLBACK")
        assert len(sql.plans) > 15
        read = {text: lines for text, lines in sql.plans.items() if any(_LARGE.search(line) for line in lines)}
        assert read == {}, "read through"
