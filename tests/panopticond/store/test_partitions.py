"""Observations by day: cut ahead, read as one table, and dropped whole but for what a state may rest on."""

import datetime as dt
from functools import partial
from typing import Any

import pytest

from panopticond.store import partitions
from panopticond.store.postgres import PostgresStore, open_postgres
from panopticond.store.sql import first
from tests.panopticond.store.test_methods import HOUR, NOW, a_round, one, verdict

DAY = 24 * HOUR


@pytest.fixture
async def store(schema: str) -> Any:
    async with await open_postgres(schema) as opened:
        yield opened


async def count(store: PostgresStore, table: str) -> int:
    return int(await store.engine.read(lambda sql: first(sql, f"SELECT count(*) FROM {table}")))  # noqa: S608


async def test_days_are_cut_once_and_rows_find_their_own(store: PostgresStore) -> None:
    """Today and three days ahead; another host that cuts too finds them there; what has no day lies in the rest."""
    assert await store.engine.transact(partial(partitions.cut, now=NOW)) == 4
    assert await store.engine.transact(partial(partitions.cut, now=NOW)) == 0
    number = await one(store)
    for at in (NOW - 9 * DAY, NOW, NOW + DAY):
        await store.record_round(number, a_round(at), verdict("active", at))
    assert await count(store, f"observation_{NOW:%Y%m%d}") == 3
    assert await count(store, "observation_rest") == 3
    assert [one.at for one in await store.rounds(number)] == [NOW - 9 * DAY, NOW, NOW + DAY]
    assert [one.at for one in await store.rounds(number, since=NOW)] == [NOW - 9 * DAY, NOW, NOW + DAY]


async def test_a_day_that_began_uncut_stays_with_the_rest(store: PostgresStore) -> None:
    """Cutting it would have to move rows; the days after it are cut."""
    number = await one(store)
    await store.record_round(number, a_round(), verdict())
    assert await store.engine.transact(partial(partitions.cut, now=NOW)) == 3
    await store.record_round(number, a_round(NOW + HOUR), verdict())
    assert await count(store, "observation_rest") == 6


async def test_thinning_drops_days_and_keeps_what_thinning_rows_would_keep(store: PostgresStore) -> None:
    """The same rounds stay, and the same count goes, with partitions and without."""
    await store.cut_days(NOW)
    kept = await _thinned(store, await one(store))
    async with await open_postgres_again(store) as bare:
        assert await _thinned(bare, await one(bare)) == kept
    assert await store.engine.read(partitions.days) == [(NOW + ahead * DAY).date() for ahead in (2, 3)]


async def open_postgres_again(store: PostgresStore) -> PostgresStore:
    """Another, empty schema beside the first, whose days nobody cut."""
    await store.engine.transact(lambda sql: sql.change("CREATE SCHEMA IF NOT EXISTS uncut"))
    head, _, _ = store.engine.servers.url.partition("&options=")
    return await open_postgres(f"{head}&options=-csearch_path%3Duncut")


async def _thinned(store: PostgresStore, number: int) -> tuple[list[dt.datetime], int]:
    for hours in range(0, 78, 6):
        state = "active" if hours >= 6 else "unreachable"
        at = NOW + hours * HOUR
        await store.record_round(number, a_round(at), verdict(state, at))
    dropped = await store.thin(NOW + 50 * HOUR)
    return [one.at for one in await store.rounds(number)], dropped
