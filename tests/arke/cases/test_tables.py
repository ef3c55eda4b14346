"""The ledger's versions: an older one comes along with all it knew, after a backup; a newer one is refused."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import apsw
import pytest

from arke.cases.ledger import Ledger
from arke.cases.tables import SCHEMA_VERSION
from arke.commands.upkeep import restore
from arke.config import Config, Status
from panopticond.shared.errors import StoreError

BEFORE = Path(__file__).parent.parent.parent / "data" / "databases" / "ledger-schema-0.sql"
"""A ledger from before its schema had a number: a snapshot accepted, a case on its first rung, a decision."""
NOW = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)


def older(state: Path) -> None:
    """That ledger, in a state directory."""
    state.mkdir()
    connection = apsw.Connection(str(state / "arke.db"))
    connection.execute(BEFORE.read_text())
    connection.close()
    (state / "recipients.key").write_bytes(b"k" * 32)


def version(ledger: Path) -> int:
    connection = apsw.Connection(str(ledger), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(connection.pragma("user_version"))
    finally:
        connection.close()


async def remembered(state: Path) -> None:
    """All that ledger knew, asked of this software."""
    async with Ledger.open(state) as ledger:
        assert await ledger.accepted("zz") == (2026010101, "ab" * 32)
        history = await ledger.history("zz-bad.zz-1", NOW)
        assert (history.rung, history.rung_at, history.said) == (1, NOW, frozenset({"phishing"}))
        assert history.decisions == {"popular": "approved"}
        assert (await ledger.counts())["outbox"] == {}


async def test_an_older_ledger_comes_along_and_the_old_one_is_kept(tmp_path: Path) -> None:
    """What was accepted, told and decided stands; once at the new version no further backup is made."""
    older(tmp_path / "state")
    await remembered(tmp_path / "state")
    await remembered(tmp_path / "state")
    assert version(tmp_path / "state" / "arke.db") == SCHEMA_VERSION
    kept = list((tmp_path / "state").glob("*.tar"))
    assert [path.name for path in kept] == [f"arke.db.before-schema-{SCHEMA_VERSION}.tar"]
    assert kept[0].stat().st_mode & 0o777 == 0o600
    # and back: what was kept is the ledger as it was, with its key
    settings = Config(
        tld="zz", keys=["x"], records="x", state=str(tmp_path / "back"), status=Status(socket=str(tmp_path / "s"))
    )
    await restore(settings, kept[0], replace=False)
    assert version(tmp_path / "back" / "arke.db") == 0
    assert (tmp_path / "back" / "recipients.key").read_bytes() == b"k" * 32
    await remembered(tmp_path / "back")


async def test_a_new_ledger_is_at_this_version_without_a_backup(tmp_path: Path) -> None:
    """There was nothing to lose."""
    async with Ledger.open(tmp_path):
        pass
    assert version(tmp_path / "arke.db") == SCHEMA_VERSION
    assert list(tmp_path.glob("*.tar")) == []


def test_a_newer_ledger_is_refused_and_left_alone(tmp_path: Path) -> None:
    """The sentence names both versions and what to do."""
    older(tmp_path / "state")
    connection = apsw.Connection(str(tmp_path / "state" / "arke.db"))
    connection.pragma("user_version", 99)
    connection.close()
    before = (tmp_path / "state" / "arke.db").read_bytes()
    with pytest.raises(StoreError, match=r"has schema 99, this software knows up to \d+; install the newer version"):
        Ledger.open(tmp_path / "state")
    assert (tmp_path / "state" / "arke.db").read_bytes()[100:] == before[100:]
