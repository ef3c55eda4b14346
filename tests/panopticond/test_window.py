"""The rolling window: four checks in every 24 hours, minutes to a first check, no burst after downtime."""

import datetime as dt
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panopticond.model import Verdict
from panopticond.status.coverage import Coverage
from panopticond.store.interface import Watch
from panopticond.window import Window, checks_expected, worth_asking

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
MINUTE = dt.timedelta(minutes=1)


def window() -> Window:
    return Window(86400, 4, 300)


def fresh(number: int, recorded: dt.datetime = NOW) -> Watch:
    return Watch(number, recorded, None, check=True)


def run(planned: Window, start: dt.datetime, end: dt.datetime) -> dict[int, list[dt.datetime]]:
    """Every round made from start to end by a schedule that is never busy."""
    made: dict[int, list[dt.datetime]] = {}
    now = start
    while (due := planned.next_due()) is not None and max(now, due) <= end:
        now = max(now, due)
        for number in planned.due(now, 1000):
            made.setdefault(number, []).append(now)
            planned.done(number, now)
    return made


def test_new_indicators_are_due_within_the_first_minutes_and_not_all_at_once() -> None:
    """A first body of 1,000 is spread over the five minutes of a first check."""
    planned = window()
    for number in range(1000):
        planned.add(fresh(number), NOW)
    assert len(planned.due(NOW + dt.timedelta(seconds=150), 1000)) in range(400, 600)
    planned.due(NOW + 5 * MINUTE, 1000)
    assert planned.next_due() is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(min_value=0, max_value=2**62), min_size=1, max_size=20, unique=True))
def test_every_rolling_24_hours_hold_four_checks(numbers: list[int]) -> None:
    """From the first check on, any 24 hours contain four rounds, and no two are nearer than the jitter allows."""
    planned = window()
    for number in numbers:
        planned.add(fresh(number), NOW)
    made = run(planned, NOW, NOW + 100 * HOUR)
    for number in numbers:
        times = made[number]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert max(gaps) <= 6 * HOUR
        early = dt.timedelta(seconds=planned.jitter_seconds(number))
        assert min(gaps) >= 6 * HOUR - early - dt.timedelta(milliseconds=2)
        for start in times[:-5]:
            assert sum(start < at <= start + 24 * HOUR for at in times) >= 4


def test_the_jitter_is_stable_and_at_most_five_percent() -> None:
    """An id's jitter is the same in every process and never above 18 minutes of six hours."""
    jitters = [window().jitter_seconds(number) for number in range(1000)]
    assert jitters == [window().jitter_seconds(number) for number in range(1000)]
    assert min(jitters) >= 216
    assert max(jitters) <= 1080


def test_what_is_due_longest_comes_first_and_no_more_than_asked() -> None:
    """due() hands out in the order of the deadlines, up to the limit, and nothing twice."""
    planned = window()
    for hours in (3, 9, 6):
        planned.add(Watch(hours, NOW, NOW - hours * MINUTE, check=True), NOW)
    later = NOW + 6 * HOUR
    assert planned.due(later, 2) == [9, 6]
    assert planned.due(later, 2) == [3]
    assert planned.due(later, 2) == []
    assert len(planned) == 3


def test_next_due_is_exactly_when_something_is_due() -> None:
    """Sleeping until next_due() never wakes a moment too early."""
    planned = window()
    for number in range(200):
        planned.add(fresh(number), NOW)
    while (due := planned.next_due()) is not None:
        assert planned.due(due, 1)


def test_after_downtime_overdue_checks_are_spread_over_half_an_interval() -> None:
    """After two days of downtime 1,200 overdue indicators come back at an even rate, each within three hours."""
    planned = window()
    for number in range(1200):
        planned.add(Watch(number, NOW - 90 * HOUR, NOW - 48 * HOUR, check=True), NOW)
    per_half_hour = Counter((at[0] - NOW) // (30 * MINUTE) for at in run(planned, NOW, NOW + 3 * HOUR).values())
    assert sum(per_half_hour.values()) == 1200
    assert set(per_half_hour) == set(range(6))
    assert max(per_half_hour.values()) <= 260


def test_what_is_not_overdue_after_a_restart_keeps_its_time() -> None:
    """A restart of an hour plans as if nothing had happened."""
    planned = window()
    planned.add(Watch(7, NOW - 90 * HOUR, NOW - HOUR, check=True), NOW)
    due = planned.next_due()
    assert due is not None
    assert 5 * HOUR - 18 * MINUTE <= due - NOW <= 5 * HOUR


def test_adding_twice_and_unwatched_changes_nothing() -> None:
    """An id planned or in flight is not planned again; what nobody asks any more is not planned at all."""
    planned = window()
    planned.add(fresh(1), NOW)
    planned.add(fresh(1), NOW)
    planned.add(Watch(2, NOW, NOW, check=False), NOW)
    assert planned.due(NOW + HOUR, 9) == [1]
    planned.add(fresh(1), NOW)
    assert planned.next_due() is None
    assert 1 in planned
    assert 2 not in planned


def test_a_forgotten_indicator_never_comes_back() -> None:
    """forget() holds for planned ones and for those in flight."""
    planned = window()
    for number in (1, 2):
        planned.add(fresh(number), NOW)
    (flying,) = planned.due(NOW + HOUR, 1)
    planned.forget(1)
    planned.forget(2)
    planned.done(flying, NOW)
    assert planned.next_due() is None
    assert len(planned) == 0


def test_coverage_of_a_day_without_trouble_is_whole() -> None:
    """When every check was made in time, due equals on time."""
    planned = window()
    for number in range(50):
        planned.add(fresh(number), NOW)
    run(planned, NOW, NOW + 48 * HOUR)
    coverage = planned.coverage(NOW + 48 * HOUR)
    assert coverage.due == coverage.on_time
    assert coverage.due in range(190, 215)
    assert coverage.late == 0


def test_coverage_counts_checks_never_made_once_for_every_interval() -> None:
    """An indicator nobody asked for a day was due four times and checked never, planned or in flight."""
    planned = window()
    planned.add(fresh(1), NOW)
    planned.add(fresh(2), NOW)
    planned.due(NOW + HOUR, 1)
    assert planned.coverage(NOW + HOUR) == Coverage(2, 0, 2, 0, 2, 0, {"late": 2})
    assert planned.coverage(NOW + 30 * HOUR) == Coverage(8, 0, 8, 0, 2, 0, {"late": 2})


def test_coverage_counts_a_late_check_late_with_all_it_missed() -> None:
    """A check 13 hours after its deadline stands for three that were due."""
    planned = window()
    planned.add(fresh(1), NOW)
    planned.due(NOW + 14 * HOUR, 1)
    planned.done(1, NOW + 13 * HOUR + 10 * MINUTE)
    assert planned.coverage(NOW + 14 * HOUR) == Coverage(3, 0, 3, 0, 1, 0, {"late": 1})


def test_coverage_shows_downtime_before_the_process_began() -> None:
    """Overdue at start stays overdue: the spreading hides no gap."""
    planned = window()
    for number in range(10):
        planned.add(Watch(number, NOW - 90 * HOUR, NOW - 7 * HOUR, check=True), NOW)
    assert planned.coverage(NOW) == Coverage(10, 0, 10, 0, 10, 0, {"late": 10})


def test_coverage_forgets_what_is_older_than_the_window() -> None:
    """A bad day is out of the coverage a day later."""
    planned = window()
    planned.add(fresh(1), NOW)
    planned.due(NOW + 14 * HOUR, 1)
    planned.done(1, NOW + 14 * HOUR)
    run(planned, NOW + 14 * HOUR, NOW + 60 * HOUR)
    coverage = planned.coverage(NOW + 60 * HOUR)
    assert coverage.late == 0
    assert coverage.due in (3, 4, 5)


def test_the_diary_does_not_grow_with_replanning() -> None:
    """A check outside the plan (an operator's) replaces the plan; what it replaced is swept."""
    planned = window()
    planned.add(fresh(1), NOW)
    for minute in range(5000):
        planned.done(1, NOW + minute * MINUTE)
    assert planned._diary.size < 2000
    assert len(planned) == 1


@given(st.lists(st.tuples(st.sampled_from("afdot"), st.integers(0, 5), st.integers(0, 400)), max_size=120))
@settings(deadline=None)
def test_whatever_happens_an_indicator_has_one_plan(steps: list[tuple[str, int, int]]) -> None:
    """Added, forgotten, checked in and out of turn in any order: nothing is handed out twice in a row nor too early."""
    planned, now = window(), NOW
    watched, flying, made = set[int](), set[int](), dict[int, dt.datetime]()
    for step, number, minutes in steps:
        now += minutes * MINUTE
        if step == "a":
            planned.add(Watch(number, NOW, made.get(number), check=True), now)
            watched.add(number)
        elif step == "f":
            planned.forget(number)
            watched.discard(number)
            flying.discard(number)
        elif step == "t":
            for taken in planned.due(now, 100):
                assert taken in watched - flying
                assert taken not in made or now - made[taken] >= 0.95 * 6 * HOUR
                flying.add(taken)
        elif step == "o" or number in flying:
            planned.done(number, now)
            if number in watched:
                made[number] = now
            flying.discard(number)
        assert len(planned) == len(watched)
    handed = planned.due(now + 7 * HOUR, 1000)
    assert sorted(handed) == sorted(watched - flying)


@pytest.mark.parametrize(
    ("state", "idle_days", "listed", "worth"),
    [
        ("mitigated-dns", 91, False, False),
        ("mitigated-content", 91, False, False),
        ("mitigated-dns", 89, False, True),
        ("mitigated-dns", 91, True, True),
        ("unreachable", 400, False, True),
    ],
)
def test_only_long_mitigated_and_unlisted_indicators_are_asked_no_more(
    state: Any, idle_days: int, listed: bool, worth: bool
) -> None:
    """Ninety days after its last activity a mitigated, unlisted indicator leaves the window, nothing else does."""
    verdict = Verdict(state, "rule", NOW, NOW, last_active=NOW - dt.timedelta(days=idle_days))
    assert worth_asking(verdict, NOW - dt.timedelta(days=500), listed=listed) is worth


def test_an_altered_indicator_is_not_asked_for_ever() -> None:
    """It can never be mitigated by content; 90 days unlisted and only indeterminate are enough."""
    for days, worth in ((89, True), (91, False)):
        verdict = Verdict("indeterminate", "no-rule", NOW, NOW, flags=("altered",), last_active=NOW - days * 24 * HOUR)
        assert worth_asking(verdict, NOW, listed=False) is worth
    assert worth_asking(verdict, NOW, listed=True)


def test_checks_expected_counts_intervals_and_the_first_check() -> None:
    """A whole day of an old indicator is four checks; a new one has its first and one an interval."""
    day = {"window_seconds": 86400, "checks_per_window": 4}
    assert checks_expected(NOW - 99 * HOUR, NOW, NOW + 24 * HOUR, **day) == 4
    assert checks_expected(NOW + 20 * HOUR, NOW, NOW + 24 * HOUR, **day) == 1
    assert checks_expected(NOW + 10 * HOUR, NOW, NOW + 24 * HOUR, **day) == 3
    assert checks_expected(NOW + 30 * HOUR, NOW, NOW + 24 * HOUR, **day) == 0


def dark_run(number: int, lateness: list[float]) -> tuple[Window, list[dt.datetime]]:
    """The rounds of an indicator that is dark from its first one on, each made so many seconds after it came due."""
    planned = window()
    planned.add(fresh(number), NOW)
    made: list[dt.datetime] = []
    for seconds in lateness:
        due = planned.next_due()
        assert due is not None
        now = due + dt.timedelta(seconds=seconds)
        assert planned.due(now, 9) == [number]
        made.append(now)
        planned.done(number, now, even=made[0] if now - made[0] < 24 * HOUR else None)
    return planned, made


@given(
    st.integers(min_value=0, max_value=2**62),
    st.lists(st.floats(min_value=0, max_value=216), min_size=10, max_size=10),
)
def test_five_even_rounds_span_a_day_and_none_is_early(number: int, lateness: list[float]) -> None:
    """However late each is made within its jitter: the fifth is a whole day after the first, and on time."""
    planned, made = dark_run(number, lateness)
    early = dt.timedelta(seconds=planned.jitter_seconds(number))
    assert dt.timedelta(hours=24) <= made[4] - made[0] <= 24 * HOUR + dt.timedelta(seconds=217)
    assert min(later - earlier for earlier, later in pairwise(made)) >= 6 * HOUR - early - dt.timedelta(milliseconds=2)
    assert max(later - earlier for earlier, later in pairwise(made)) <= 6 * HOUR + early + dt.timedelta(seconds=217)
    coverage = planned.coverage(made[-1])
    assert (coverage.late, coverage.whole) == (0, 1)


def test_an_even_round_made_too_late_is_followed_in_its_turn() -> None:
    """A round an hour late is followed by one an interval later, not five hours later, nor eleven."""
    _, made = dark_run(7, [0, 3600, 0, 0])
    assert 5 * HOUR < made[2] - made[1] < 6 * HOUR


def test_coverage_tells_made_from_checked_and_names_the_cause() -> None:
    """A round that saw nothing was made on time; its indicator is not whole until a window later."""
    planned = window()
    for number in range(4):
        planned.add(fresh(number), NOW)
    at = NOW + 5 * MINUTE
    for number in planned.due(at, 9):
        planned.done(number, at, unchecked="vantage near: proxy-407" if number < 2 else "")
    coverage = planned.coverage(at)
    assert (coverage.on_time, coverage.late, coverage.unchecked) == (4, 0, 2)
    assert (coverage.indicators, coverage.whole, coverage.share) == (4, 2, 0.5)
    assert coverage.causes == {"vantage near: proxy-407": 2}
    run(planned, at, at + 23 * HOUR)
    assert planned.coverage(at + 23 * HOUR).whole == 2
    run(planned, at + 23 * HOUR, at + 25 * HOUR)
    assert planned.coverage(at + 25 * HOUR).whole == 4
    assert planned.coverage(at + 25 * HOUR).causes == {}


def test_what_is_forgotten_leaves_the_coverage() -> None:
    """An indicator watched no more is neither whole nor missing."""
    planned = window()
    for number in range(2):
        planned.add(fresh(number), NOW)
    for number in planned.due(NOW + 5 * MINUTE, 9):
        planned.done(number, NOW + 5 * MINUTE, unchecked="Quad9: timeout")
    planned.forget(0)
    coverage = planned.coverage(NOW + 5 * MINUTE)
    assert (coverage.indicators, coverage.whole, coverage.causes) == (1, 0, {"Quad9: timeout": 1})
    planned.forget(1)
    assert planned.coverage(NOW + 5 * MINUTE).share is None


def test_a_check_that_came_to_nothing_is_due_again_and_stays_missed() -> None:
    """Postponed, it is due at the time given under its old deadline, and is counted as missed until it is made."""
    planned = window()
    planned.add(fresh(1), NOW)
    at = NOW + 5 * MINUTE
    assert planned.due(at, 1) == [1]
    planned.postpone(1, at + 2 * MINUTE)
    assert planned.due(at + MINUTE, 1) == []
    assert planned.coverage(at + MINUTE) == Coverage(1, 0, 1, 0, 1, 0, {"late": 1})
    assert planned.due(at + 2 * MINUTE, 1) == [1]
    assert planned.coverage(at + 3 * MINUTE) == Coverage(1, 0, 1, 0, 1, 0, {"late": 1})
    planned.done(1, at + 2 * MINUTE)
    assert planned.coverage(at + 3 * MINUTE).due == 1
    planned.postpone(1, at)  # not in flight: nothing happens
    assert planned.due(at + HOUR, 1) == []
