"""Whether our clock is right, by what servers say of the time."""

from __future__ import annotations

import datetime as dt
from email.utils import format_datetime

import pytest

from panopticond.shared.otherclocks import REMEMBERED, OtherClocks

NOW = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)


def told(ahead_minutes: float) -> str:
    """The Date of a right server when our clock is so far ahead."""
    return format_datetime(NOW - dt.timedelta(minutes=ahead_minutes), usegmt=True)


@pytest.mark.parametrize(
    ("ahead", "says"),
    [
        (60, "is 60 minutes ahead of the time of 3 servers"),
        (-60, "is 60 minutes behind the time of 3 servers"),
        (4, ""),
        (-4, ""),
    ],
)
def test_an_hour_off_is_said_and_minutes_are_not(ahead: float, says: str) -> None:
    """Ahead and behind are told apart; a few minutes are no matter."""
    clocks = OtherClocks()
    for server in ("a.example", "b.example", "c.example"):
        clocks.hear(server, told(ahead), None, NOW.timestamp())
    assert says in clocks.wrong()
    assert bool(clocks.wrong()) == bool(says)


def test_one_server_of_three_that_is_wrong_says_nothing() -> None:
    """Most must disagree with us; each counts by its last answer."""
    clocks = OtherClocks()
    clocks.hear("a.example", told(900), None, NOW.timestamp())
    assert "the one server that tells it" in clocks.wrong()
    for server in ("b.example", "c.example"):
        clocks.hear(server, told(0), None, NOW.timestamp())
    assert clocks.wrong() == ""
    clocks.hear("b.example", told(900), None, NOW.timestamp())
    assert clocks.wrong() != ""


def test_what_a_cache_held_is_reckoned_in() -> None:
    """An answer an hour old out of a cache says the hour of its making, and its age beside it."""
    clocks = OtherClocks()
    clocks.hear("a.example", told(60), "3600", NOW.timestamp())
    assert clocks.ahead_seconds() == 0


@pytest.mark.parametrize("date", [None, "", "yesterday", "Mon, 99 Foo 2026 00:00:00 GMT", "\x00" * 300])
def test_a_server_without_a_date_tells_nothing(date: str | None) -> None:
    """Garbage and silence leave no trace, and so does an age that is no number."""
    clocks = OtherClocks()
    clocks.hear("a.example", date, None, NOW.timestamp())
    clocks.hear("a.example", told(60), "old", NOW.timestamp())
    assert clocks.ahead_seconds() is None


def test_servers_are_remembered_in_bounds() -> None:
    """However many are asked."""
    clocks = OtherClocks()
    for number in range(3 * REMEMBERED):
        clocks.hear(f"{number}.example", told(60), None, NOW.timestamp())
    assert f"of {REMEMBERED} servers" in clocks.wrong()
