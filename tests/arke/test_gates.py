"""arke.gates: an odd snapshot waits for a person, and the stop file holds every mail."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from arke.cases.ledger import Ledger
from arke.config import Config
from arke.desk import Desk
from arke.gates import plausible, stopped, unless_stopped, whole_zone
from arke.mail.smtp import Reply
from arke.model import Notice
from arke.rooms import Rooms
from arke.watch import Snapshot
from panopticond.shared.clock import Clock, rfc3339
from panopticond.shared.snapshot import Manifest
from panopticond.shared.zone import Zone
from tests.arke.made import NOW, tables
from tests.arke.mail.cases import compose


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    config = Config(tld="zz", keys=["x"], records="x", state=str(tmp_path))
    async with Ledger.open(tmp_path) as ledger:
        none: Any = None
        rooms = Rooms(
            config=config, clock=Clock(), ledger=ledger, source=None, follower=none, outbox=none, mailer=None,
            snapshots={}, zones={},
        )  # fmt: skip
        yield Desk(rooms)


def snapshot(serial: int, names: int) -> Snapshot:
    end = rfc3339(NOW)
    manifest = Manifest(
        1, "zz", serial, None, None, end, end, end, rfc3339(NOW + dt.timedelta(hours=36)), False, (), ()
    )
    return Snapshot(manifest, tables(serial, [f"n{at}" for at in range(names)]), new=True)


async def test_a_snapshot_of_an_odd_size_waits_for_a_person(desk: Desk) -> None:
    """The first passes; five times the rows, or a fifth of them, wait in the queue until approved; small ones may leap."""
    for serial, names, passes in ((1, 2, True), (2, 60, True), (3, 400, False), (4, 10, False), (5, 70, True)):
        desk.snapshots["zz"] = snapshot(serial, names)
        assert await plausible(desk, "zz") is passes, serial
        assert ("size .zz" in desk.problems) is not passes
    queue = await desk.rooms.ledger.queue()
    assert [(entry.case_id, entry.reason) for entry in queue] == [
        ("snapshot-zz-3", "row-counts"),
        ("snapshot-zz-4", "row-counts"),
    ]
    await desk.rooms.ledger.decide("snapshot-zz-3", "approve", NOW)
    desk.snapshots["zz"] = snapshot(3, 400)
    assert await plausible(desk, "zz")


async def test_a_zone_that_shrank_waits_for_a_person_also_after_a_restart(desk: Desk) -> None:
    """Less than half the names of the last zone used: not used, by this process or the next, until approved."""

    def zone(serial: int, names: int) -> Zone:
        return Zone("zz", serial, {f"n{at}.zz": ("ns.n.zz",) for at in range(names)})

    assert await whole_zone(desk, "zz", zone(1, 300))
    again = Desk(desk.rooms)  # what a restart has: the ledger and nothing else
    assert not await whole_zone(again, "zz", zone(2, 120))
    assert "shrank from 300 names to 120" in again.problems["zone .zz"]
    assert await whole_zone(again, "zz", zone(3, 200))
    again = Desk(desk.rooms)
    assert not await whole_zone(again, "zz", zone(4, 90))
    waiting = await desk.rooms.ledger.queue(waiting_only=True)
    assert [(entry.case_id, entry.reason) for entry in waiting] == [
        ("zone-zz-2-120", "zone-shrank"), ("zone-zz-4-90", "zone-shrank"),
    ]  # fmt: skip
    await desk.rooms.ledger.decide("zone-zz-4-90", "approve", NOW)
    assert await whole_zone(again, "zz", zone(4, 90))
    assert await whole_zone(again, "zz", zone(5, 10)), "a zone that is small may shrink as it likes"


async def test_nothing_leaves_while_the_stop_file_is_there(desk: Desk, tmp_path: Path) -> None:
    """A notice on its way meets it too, and stays due; status says so until the file is gone."""
    sent: list[Notice] = []

    class Mailer:
        async def send(self, notice: Notice) -> Reply:
            sent.append(notice)
            return Reply(250, "ok", "sent")

    mailer: Any = Mailer()
    (tmp_path / "stop").touch()
    assert stopped(desk)
    assert (await unless_stopped(desk, mailer, compose())).phase == "connect"
    assert "stop" in desk.problems
    (tmp_path / "stop").unlink()
    assert (await unless_stopped(desk, mailer, compose())).code == 250
    assert len(sent) == 1
    assert "stop" not in desk.problems
    other = msgspec.structs.replace(desk.rooms.config, stop_file=str(tmp_path / "halt"))
    desk.rooms = msgspec.structs.replace(desk.rooms, config=other)
    (tmp_path / "halt").touch()
    assert stopped(desk)
