"""The ledger's judgement, pure: an attempt and the feed's own history into a state."""

from __future__ import annotations

import datetime as dt

import pytest

from panopticond.feeds.catalogue import FeedSpec
from panopticond.feeds.health import Attempt, assess, may_end_sightings
from panopticond.feeds.ingest import Tally
from panopticond.store.interface import FeedHealth

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
SPEC = FeedSpec("lab", "/x", "url-list", stale_after=86400.0)
USUAL = FeedHealth("lab", "OK", NOW, last_change=NOW, last_success=NOW, rows=100, history_rows=(90, 100, 110, 100))


def whole(rows: int, rejected: int = 0, newest: str | None = None) -> Attempt:
    reasons = {"no-valid-uri": rejected} if rejected else {}
    tally = Tally(rows, rows - rejected, 0, reasons, newest)
    return Attempt(NOW, "body", "", 1, tally, body_sha256="x", etag='"x"')


@pytest.mark.parametrize(
    ("attempt", "state", "ends"),
    [
        (whole(100), "OK", True),
        (whole(100, 50), "OK", True),
        (whole(100, 51), "PARSE", False),
        (whole(51), "OK", True),
        (whole(49), "SHRUNK", False),
        (whole(0), "EMPTY", False),
        (Attempt(NOW, "partial", "stopped half-way", tally=Tally(9, 9)), "UNREACHABLE", False),
        (Attempt(NOW, "partial", "the zip is encrypted", tally=Tally()), "PARSE", False),
        (Attempt(NOW, "unchanged"), "OK", False),
        (Attempt(NOW, "auth", "x"), "AUTH", False),
        (Attempt(NOW, "rate-limited", "x"), "RATE-LIMITED", False),
        (Attempt(NOW, "unreachable", "x"), "UNREACHABLE", False),
    ],
)
def test_states(attempt: Attempt, state: str, ends: bool) -> None:
    """Only a whole, plausible body is OK and may end what it does not list; every other state says why."""
    health = assess(USUAL, SPEC, attempt)
    assert health.state == state
    assert may_end_sightings(health, attempt) is ends
    assert bool(health.reason) is (state != "OK")


def test_a_bad_body_leaves_no_validators() -> None:
    """What was no good is asked for again; what was good before is still known."""
    health = assess(USUAL, SPEC, whole(0))
    assert (health.etag, health.body_sha256, health.last_success, health.history_rows) == (
        None,
        None,
        NOW,
        USUAL.history_rows,
    )
    assert assess(USUAL, SPEC, whole(95)).etag == '"x"'


def test_a_list_that_stays_short_becomes_usual() -> None:
    """SHRUNK does not last for ever: the history learns."""
    health, hours = USUAL, 0
    while (health := assess(health, SPEC, whole(40))).state == "SHRUNK":
        hours += 1
        assert hours < 10
    assert health.state == "OK"


def test_stale_by_time() -> None:
    """The same list is fresh for a while and STALE after it, until something changes."""
    later = NOW + dt.timedelta(days=2)
    assert assess(USUAL, SPEC, Attempt(NOW + dt.timedelta(hours=23), "unchanged")).state == "OK"
    stale = assess(USUAL, SPEC, Attempt(later, "unchanged"))
    assert (stale.state, stale.since) == ("STALE", later)
    again = assess(stale, SPEC, Attempt(later + dt.timedelta(hours=1), "unchanged"))
    assert (again.state, again.since) == ("STALE", later)


def test_a_row_from_the_future_says_nothing() -> None:
    """The newest time in a feed is never later than the visit."""
    assert assess(USUAL, SPEC, whole(100, newest="2031-01-01T00:00:00Z")).newest_row == NOW


@pytest.mark.parametrize("newest", ["2026-01-01T10:10+01Z", "9999-12-31T23:59:59+99:00", "soon", ""])
def test_a_time_that_is_none_is_no_time(newest: str) -> None:
    """Whatever a parser took for the newest row's time, the ledger reads it or leaves what it knew."""
    assert assess(USUAL, SPEC, whole(100, newest=newest)).newest_row is None


def test_rows_left_alone_on_purpose_are_no_broken_format() -> None:
    """A list that is mostly child abuse material was read as it should be."""
    tally = Tally(100, 10, 0, {"child-abuse-material": 80, "no-valid-uri": 10})
    assert assess(USUAL, SPEC, Attempt(NOW, "body", "", 1, tally)).state == "OK"
