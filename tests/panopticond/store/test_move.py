"""A store moved from SQLite into PostgreSQL is the same store: every value, every number, every name in public."""

from pathlib import Path

import pytest

from panopticond.commands.upgrade import migrate
from panopticond.config import Config, StoreSettings, Tld
from panopticond.model import DomainRecord, Incident, Indicator
from panopticond.shared.errors import StoreError
from panopticond.store.interface import FeedHealth, Publication
from panopticond.store.methods import SqlStore
from panopticond.store.postgres import open_postgres
from panopticond.store.sqlite import open_store
from tests.panopticond.store.known import know
from tests.panopticond.store.test_methods import HOUR, NOW, a_round, indicator, verdict


async def fill(store: SqlStore) -> None:
    watches = await store.record_listing("f", NOW, [indicator(n) for n in range(30)] + [indicator(1, tld="yy")])
    await store.record_listing("g", NOW, [Indicator(None, "c2.d1.zz", "d1.zz", "zz", "subordinate", "botnetCc")])
    await store.end_listing("f", NOW)
    for watch in watches[:9]:
        for hours in (0, 6):
            await store.record_round(watch.id, a_round(NOW + hours * HOUR), verdict("active", NOW + hours * HOUR))
    await know(store, DomainRecord("d1.zz", "zz"))
    await store.record_incidents([Incident("zz-2026-00000a", "zz", "d1.zz", None, None, NOW, "open", NOW)])
    await store.record_publication(Publication("zz", 2026010201, "ab" * 32, NOW, NOW + HOUR, NOW + HOUR))
    await store.record_feed_health(FeedHealth("f", "OK", since=NOW, rows=31))
    await store.decide(watches[0].id, "confirm", NOW)


async def contents(store: SqlStore) -> tuple[object, ...]:
    standings = [standing async for standing in store.standings("zz")]
    return (
        await store.watches(),
        standings,
        await store.rounds_of_many([standing.subject.id for standing in standings]),
        await store.incidents("zz"),
        await store.last_publication("zz"),
        await store.all_feed_health(),
        await store.domain("d1.zz"),
        await store.threats_listed("zz"),
    )


def config(url: str | None) -> Config:
    return Config(tld=(Tld(name="zz"),), store=StoreSettings(url=url))


async def test_everything_is_there_and_goes_on(tmp_path: Path, schema: str) -> None:
    """The same listing afterwards makes nothing new; a new feed gets a number of its own; surrogates stay the same."""
    path = tmp_path / "p.db"
    async with await open_store(path) as old:
        await fill(old)
        before = await contents(old)
    (tmp_path / "surrogates.key").write_bytes(b"k" * 32)
    said: list[str] = []
    done = await migrate(config(schema), path, said.append)
    assert "rows went to the store in PostgreSQL" in done
    assert "observation: 54 rows" in said
    async with await open_postgres(schema) as new:
        assert await contents(new) == before
        assert await new.record_listing("f", NOW + HOUR, [indicator(n) for n in range(30)]) == []
        assert len(await new.record_listing("h", NOW + HOUR, [indicator(99)])) == 1
        assert await new.secret("surrogates") == b"k" * 32


async def test_what_cannot_be_moved_is_refused_and_nothing_changes(tmp_path: Path, schema: str) -> None:
    """Into a store that holds something, from no file, without a url, from an old schema."""
    path = tmp_path / "p.db"
    async with await open_store(path) as old:
        await fill(old)
    with pytest.raises(StoreError, match="needs"):
        await migrate(config(None), path)
    with pytest.raises(StoreError, match="no store to move"):
        await migrate(config(schema), tmp_path / "none.db")
    async with await open_postgres(schema) as new:
        await new.record_listing("f", NOW, [indicator(1)])
        watches = await new.watches()
        with pytest.raises(StoreError, match="holds data already"):
            await migrate(config(schema), path)
        assert await new.watches() == watches
