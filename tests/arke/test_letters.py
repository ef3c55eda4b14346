"""arke.letters and arke.effects: the outcome table adds up, the letters name nobody and go out once each."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from arke.cases.ledger import Ledger
from arke.config import Config, Smtp
from arke.effects import Effects, Told, effects, record_fixes, told
from arke.letters import write_letters
from arke.mail.outbox import Outbox
from arke.report import today
from tests.arke.cases.test_follow import Room
from tests.arke.made import NOW, case

HOUR = dt.timedelta(hours=1)
EPOCH = NOW - dt.timedelta(days=9999)


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with Ledger.open(tmp_path) as ledger:
        yield Room(ledger)


def test_the_table_counts_every_case_once() -> None:
    """24 h, 72 h, 16 d, later and still open add up to the cases told; bounced ones were told nothing."""
    waits = [None, 1, 24, 25, 72, 100, 16 * 24, 17 * 24, -5]
    openings = [
        Told(f"c{at}", NOW, 1, 0, 0, None if wait is None else NOW + wait * HOUR) for at, wait in enumerate(waits)
    ]
    found = effects([*openings, Told("b", None, 0, 2, 1, None)], EPOCH, NOW + HOUR)
    assert found == Effects(9, 3, 2, 2, 1, 1, 9, 2, 1)
    assert found.fixed_24h + found.fixed_72h + found.fixed_16d + found.fixed_later + found.still_open == found.told
    assert effects(openings, NOW + HOUR, NOW + 2 * HOUR) == Effects()


async def test_the_ledger_knows_when_a_told_case_was_gone(room: Room) -> None:
    """Accepted, then mitigated by a later snapshot: the time between stands in the table, also once the snapshot forgets."""
    await room.through("bad", "other")
    await room.deliver()
    first = (await told(room.ledger))[0]
    assert first.gone is None
    matched = case(id=first.case_id)
    (opening, *_) = [row[0] for row in await room.ledger.run(lambda c: list(c.execute("SELECT opening FROM notices")))]
    await record_fixes(
        room.ledger,
        [
            msgspec.structs.replace(
                matched, state="mitigated", opened=dt.datetime.fromisoformat(opening), gone=NOW + 30 * HOUR
            )
        ],
    )
    found = effects(await told(room.ledger), EPOCH, NOW + HOUR)
    assert (found.told, found.fixed_72h, found.still_open, found.mails_accepted) == (2, 1, 1, 2)


async def test_letters_name_nobody_and_go_out_once(room: Room, tmp_path: Path) -> None:
    """Daily and monthly text hold case numbers and counts, no domain and no address; each is mailed once for its period."""
    await room.through("bad")
    await room.deliver()
    config = Config(
        tld="zz", keys=["x"], records="x", state=str(tmp_path), manager="boss@nic.zz",
        smtp=Smtp(host="localhost", sender="abuse@nic.zz"),
    )  # fmt: skip
    figures = today(NOW, [case()], {case().id: (1, "no-contact", "redacted")}, [], {"accepted": 1}, {"zz": 1}, [])
    listed = {
        "names": 3,
        "new": 1,
        "already_listed": ["bad.zz"],
        "warnings": [],
        "registrations": {"known": 2, "none": 1},
    }
    figures["review"] = {"lists": {"zz": listed}}
    later = NOW + dt.timedelta(days=30)
    for now in (NOW, NOW + HOUR, later, later + HOUR):
        await write_letters(config, room.ledger, now, [case()], figures, mail=True)
    rows = await Outbox(room.ledger.run).states()
    assert [row.message_id.split(".")[0] for row in rows if row.message_id.startswith("<report")] == [
        "<report-daily-2026-03-05",
        "<report-daily-2026-04-04",
        "<report-monthly-2026-03",
    ]
    texts = (tmp_path / "daily.txt").read_text() + (tmp_path / "monthly-2026-03.txt").read_text()
    assert case().id in texts
    assert "told for the first time in this month: 1" in texts
    assert (
        "Review list of .zz: 3 names, 1 of them new, 1 more in a feed already; registrations: 2 known, 1 none" in texts
    )
    assert "bad.zz" not in texts
    assert "@" not in texts
    room.clock.at = later + 2 * HOUR
    await room.deliver()
    assert [notice.recipient for notice in room.sent[1:]] == ["boss@nic.zz"] * 3


async def test_nothing_is_mailed_without_a_mailer_or_when_not_wanted(room: Room, tmp_path: Path) -> None:
    """A dry run writes the texts and mails nothing."""
    config = Config(tld="zz", keys=["x"], records="x", state=str(tmp_path), manager="boss@nic.zz")
    figures = today(NOW, [], {}, [], {}, {}, [])
    await write_letters(config, room.ledger, NOW, [], figures, mail=False)
    assert await Outbox(room.ledger.run).states() == []
    assert (tmp_path / "daily.txt").stat().st_mode & 0o777 == 0o600
