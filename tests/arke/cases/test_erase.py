"""arke.cases.erase: forgetting people and names, objections that outlive it, and retention."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arke.cases.erase import forget_address, forget_name, prune, remember_size, remembered_size
from arke.cases.ledger import Ledger
from arke.model import Contact, Contacts
from tests.arke.cases.test_follow import Room
from tests.arke.made import NOW

HOLDER = "holder@bad.zz.isp.zz"


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with Ledger.open(tmp_path) as ledger:
        yield Room(ledger)


async def test_a_forgotten_address_leaves_no_byte_behind(room: Room, tmp_path: Path) -> None:
    """A waiting mail is withdrawn and erased, the hash is gone, and the case is not told anew because of it."""
    await room.through()
    assert HOLDER.encode() in b"".join(path.read_bytes() for path in tmp_path.glob("arke.db*"))
    found = await forget_address(room.ledger, HOLDER.upper(), NOW, objection=False)
    assert found == {"waiting_mails": 1, "notices": 1}
    left = b"".join(path.read_bytes() for path in tmp_path.glob("arke.db*"))
    assert HOLDER.encode() not in left
    assert room.ledger.party(HOLDER).encode() not in left
    assert await room.deliver() == []
    assert await room.through(serial=2) == {}


async def test_an_objection_outlives_forget_and_retention(room: Room) -> None:
    """Once objected, never again: neither another forgetting nor the retention job takes it back."""
    await forget_address(room.ledger, HOLDER, NOW, objection=True)
    await forget_address(room.ledger, HOLDER, NOW, objection=False)
    await prune(room.ledger, NOW + dt.timedelta(days=1000))
    assert (await room.through())["bad.zz"] == ("suppressed", "on the suppression list")


async def test_a_forgotten_name_is_not_written_about_again(room: Room) -> None:
    """Cases, notices and outcomes of the name are gone; the other name of a digest or pass stays."""
    await room.through("bad", "other")
    await room.deliver()
    assert await forget_name(room.ledger, "bad.zz", NOW) == {"cases": 1, "mails": 1}
    room.again()
    assert await room.through("bad", "other", serial=2) == {}
    rows = await room.ledger.run(lambda c: list(c.execute("SELECT domain FROM notices")))
    assert rows == [("other.zz",)]


async def test_retention_erases_what_is_over_and_old_and_nothing_else(room: Room) -> None:
    """A case settled before the cut is erased; one whose mail still waits, or a later one, is kept."""
    room.book.known["bad"] = Contacts("bad.zz", (Contact("registrant", "a@isp.zz", "rdap"),))
    await room.through("bad")
    await room.deliver()
    await room.through("bad", "other", serial=2)
    assert await prune(room.ledger, NOW) == 0
    assert await prune(room.ledger, NOW + dt.timedelta(days=1)) == 1
    rows = await room.ledger.run(lambda c: list(c.execute("SELECT domain FROM notices")))
    assert rows == [("other.zz",)]


async def test_the_last_size_is_remembered(room: Room) -> None:
    """What the size gate compares with is what passed last."""
    assert await remembered_size(room.ledger, "zz") is None
    await remember_size(room.ledger, "zz", 1, 10)
    await remember_size(room.ledger, "zz", 2, 20)
    assert await remembered_size(room.ledger, "zz") == 20
