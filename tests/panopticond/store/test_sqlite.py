"""The embedded store alone: other processes, backups, databases that are refused, and nothing committed is lost."""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest
import trio

from panopticond.shared.errors import StoreError
from panopticond.store.sqlite import SqliteStore, open_store
from tests.panopticond.store.test_methods import NOW, a_round, one, verdict


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with await open_store(tmp_path / "p.db") as opened:
        yield opened


async def test_another_process_may_write_meanwhile(store: SqliteStore, tmp_path: Path) -> None:
    """A command opens the same database while the daemon holds it open; both see each other's commits."""
    number = await one(store)
    async with await open_store(tmp_path / "p.db") as command:
        await command.decide(number, "confirm", NOW)
        assert (await store.standing(number)).decision == "confirm"
        await store.record_round(number, a_round(), verdict())
        assert len(await command.rounds(number)) == 1


async def test_a_backup_is_a_whole_database_and_overwrites_nothing(store: SqliteStore, tmp_path: Path) -> None:
    """The copy opens and holds the same; a second one to the same place is refused."""
    number = await one(store)
    await store.backup(tmp_path / "copy.db")
    async with await open_store(tmp_path / "copy.db") as copy:
        assert await copy.subject(number) == await store.subject(number)
    with pytest.raises(StoreError, match="exists already"):
        await store.backup(tmp_path / "copy.db")


async def test_newer_foreign_and_damaged_databases_are_refused(tmp_path: Path) -> None:
    """Each with a sentence of its own; none is touched."""
    async with await open_store(tmp_path / "new.db"):
        pass
    for name, statement in (
        ("new.db", "INSERT INTO schema_version VALUES (999)"),
        ("odd.db", "CREATE TABLE t (x)"),
    ):
        connection = apsw.Connection(str(tmp_path / name))
        connection.execute(statement)
        connection.close()
    (tmp_path / "junk.db").write_bytes(b"no database at all " * 100)
    for name, word in (("new.db", "newer version"), ("odd.db", "another program"), ("junk.db", "not a database")):
        with pytest.raises(StoreError, match=word):
            await open_store(tmp_path / name)
    with pytest.raises(StoreError, match="cannot be opened"):
        await open_store(tmp_path / "missing" / "p.db")


async def test_no_committed_listing_or_round_is_lost_by_kill_9(tmp_path: Path) -> None:
    """A process killed in the middle of writing: all it had acknowledged is there, and the rest is whole or absent."""
    script = textwrap.dedent(
        """
        import datetime as dt, sys, trio
        from pathlib import Path
        from panopticond.model import Indicator, Observation, Round, Verdict
        from panopticond.store.sqlite import open_store

        NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)

        async def main():
            store = await open_store(Path(sys.argv[1]))
            for n in range(100000):
                batch = [Indicator(f"http://d{n}.zz/{m}", f"d{n}.zz", f"d{n}.zz", "zz", "registered", "phishing")
                         for m in range(5)]
                new = await store.record_listing("f", NOW, batch)
                seen = Observation("web", batch[0].uri, "one", NOW, "live", {"status": "200"})
                await store.record_round(new[0].id, Round(NOW, (seen,)), Verdict("active", "r", NOW, NOW))
                print(new[0].id, flush=True)

        trio.run(main)
        """
    )
    path = tmp_path / "k.db"
    child = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220 - it must be killed, not awaited
    assert child.stdout is not None
    acknowledged = [int(await trio.to_thread.run_sync(child.stdout.readline)) for _ in range(200)]
    os.kill(child.pid, signal.SIGKILL)
    acknowledged += [int(line) for line in child.stdout.read().split("\n")[:-1]]
    child.wait()
    child.stdout.close()
    async with await open_store(path) as store:
        watches = await store.watches()
        assert len(watches) % 5 == 0
        assert len(watches) >= 5 * len(acknowledged)
        for number in acknowledged:
            assert len(await store.rounds(number)) == 1
