"""arke.cases.ledger: what is remembered, and how."""

from __future__ import annotations

import datetime as dt
import sqlite3
import stat
from pathlib import Path

import apsw
import pytest

from arke.cases.ledger import FORGOTTEN, KEY_FILE, Ledger
from panopticond.shared.errors import StoreError
from tests.arke.made import NOW, OPENED


async def test_an_accepted_serial_never_goes_back(tmp_path: Path) -> None:
    """A lower serial does not overwrite a higher one; a restart knows it still."""
    async with Ledger.open(tmp_path) as ledger:
        assert await ledger.accepted("zz") is None
        await ledger.accept("zz", 2, "b", NOW)
        await ledger.accept("zz", 1, "a", NOW)
    async with Ledger.open(tmp_path) as ledger:
        assert await ledger.accepted("zz") == (2, "b")


async def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    """What was written before the error is rolled back; SQL errors become StoreError."""
    async with Ledger.open(tmp_path) as ledger:

        def work(connection: apsw.Connection) -> None:
            connection.execute("INSERT INTO suppressed VALUES ('x', 'now')")
            raise ValueError("after the write")

        with pytest.raises(ValueError, match="after the write"):
            await ledger.run(work)
        assert await ledger.suppressed() == frozenset()
        with pytest.raises(StoreError):
            await ledger.run(lambda connection: connection.execute("SELECT nothing FROM nowhere"))


async def test_the_queue_takes_each_reason_once_an_opening_and_keeps_the_word(tmp_path: Path) -> None:
    """Asking again does not undo a decision; a new opening asks anew; an unknown entry changes nothing."""
    async with Ledger.open(tmp_path) as ledger:
        await ledger.wait_for_person("c", OPENED, "popular", NOW)
        (entry,) = await ledger.decide("1", "withhold", NOW)
        assert entry.state == "withheld"
        await ledger.wait_for_person("c", OPENED, "popular", NOW)
        assert (await ledger.history("c", OPENED)).decisions == {"popular": "withheld"}
        await ledger.wait_for_person("c", NOW, "popular", NOW)
        assert (await ledger.history("c", NOW)).decisions == {"popular": "waiting"}
        assert len(await ledger.queue(waiting_only=True)) == 1
        for unknown in ("99", "²", "9" * 30, ""):  # nor digits that are no number of ours
            assert await ledger.decide(unknown, "approve", NOW) == []
        await ledger.settle_queue("c", NOW, "popular")
        await ledger.settle_queue("c", OPENED, "popular")
        assert [item.state for item in await ledger.queue()] == ["withheld"]


async def test_a_case_number_speaks_of_what_is_open_in_the_newest_opening(tmp_path: Path) -> None:
    """Approving by case number undoes no withhold and wakes no earlier opening; the entry's own number undoes a word."""
    async with Ledger.open(tmp_path) as ledger:
        await ledger.wait_for_person("c", OPENED, "recheck", NOW)
        await ledger.wait_for_person("c", NOW, "popular", NOW)
        await ledger.wait_for_person("c", NOW, "recheck", NOW)
        await ledger.decide("2", "withhold", NOW)
        assert [entry.id for entry in await ledger.decide("c", "approve", NOW)] == [3]
        assert [entry.state for entry in await ledger.queue()] == ["waiting", "withheld", "approved"]
        assert await ledger.decide("c", "approve", NOW) == []
        assert [entry.state for entry in await ledger.decide("2", "reject", NOW)] == ["rejected"]
        assert await ledger.decide("1", "approve", NOW) == [], "an opening that is over"


async def test_nobody_approves_what_its_holder_objected_to(tmp_path: Path) -> None:
    """The entry an objection leaves cannot be decided, by its number neither."""
    async with Ledger.open(tmp_path) as ledger:
        await ledger.wait_for_person("c", OPENED, FORGOTTEN, NOW)
        assert await ledger.decide("1", "approve", NOW) == []


async def test_recipients_are_keyed_hashes_and_the_key_is_guarded(tmp_path: Path) -> None:
    """The same address however written; another ledger's key gives another hash; files are the owner's alone."""
    async with Ledger.open(tmp_path / "a") as one, Ledger.open(tmp_path / "b") as two:
        assert one.party("A@isp.zz ") == one.party("a@ISP.zz")
        assert one.party("a@isp.zz") != two.party("a@isp.zz")
        assert one.secret("envelope") != one.secret("other")
        for name in (KEY_FILE, "arke.db"):
            assert stat.S_IMODE((tmp_path / "a" / name).stat().st_mode) == 0o600
    (tmp_path / "a" / KEY_FILE).write_bytes(b"short")
    with pytest.raises(StoreError, match="32 bytes"):
        Ledger.open(tmp_path / "a")


async def test_a_step_counts_for_its_opening_only(tmp_path: Path) -> None:
    """After a reopening the ladder begins at the bottom; a withdrawn notice opens the step again."""
    async with Ledger.open(tmp_path) as ledger:
        await ledger.complete("c", OPENED, 1, frozenset({"host:x"}), NOW)
        history = await ledger.history("c", OPENED)
        assert (history.rung, history.rung_at, history.said) == (1, NOW, {"host:x"})
        assert (await ledger.history("c", OPENED + dt.timedelta(days=1))).rung == 0
        await ledger.reopen_step(["c"])
        assert (await ledger.history("c", OPENED)).rung == 0


async def test_the_file_is_plain_sqlite_and_refuses_to_open_on_rubbish(tmp_path: Path) -> None:
    """Readable by any SQLite; a file that is no database is a StoreError."""
    async with Ledger.open(tmp_path / "a"):
        pass
    with sqlite3.connect(tmp_path / "a" / "arke.db") as database:
        assert {row[0] for row in database.execute("SELECT name FROM sqlite_master")} >= {"outbox", "queue", "notices"}
    database.close()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "arke.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError):
        Ledger.open(tmp_path / "b")
