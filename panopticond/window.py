"""The rolling 24 hours: which indicators are due for a round, which rounds came in time. Pure; ``now`` is given.

The store fills it at start and the feeds as they find something new; ``schedule`` takes what is due and says what is
done. With four checks a window no gap between two rounds may exceed six hours, and then every rolling 24 hours hold
four. An indicator therefore comes due early by its own jitter, 1 to 5 % of those six hours, a function of its id: the
lateness of a busy hour disappears in it, and indicators that came in one body drift apart instead of returning as one
burst for ever. A first check is due within minutes, at a moment of the id's own.

Four gaps of six hours less a jitter are less than a day, and the rule for what is gone by content wants a whole one.
While a page is dark its checks therefore come at whole intervals from the first dark round on (:meth:`Window.done`
with ``even``): none is early, each is later by its jitter at most, and the fifth dark round completes the day.

After downtime whatever is overdue is spread over the next half interval (what was never checked: over the minutes of a
first check), at most three times the ordinary load; its deadline stays where it was, so the gap shows in the coverage.

Plans of (due, id, deadline) stand in a diary with a page a second: putting one in is an append, a page is sorted when
its time comes, so a check costs the same with a thousand indicators as with a million (about 250 bytes each).
"""

from __future__ import annotations

import datetime as dt
import heapq
import math
from collections.abc import Iterator

from panopticond.model import Verdict
from panopticond.status.coverage import Coverage, Tally
from panopticond.store.interface import Watch

ASK_NO_MORE_AFTER = dt.timedelta(days=90)
"""Mitigated and unlisted for so long, an indicator is asked no more: an incident reopens within 90 days, not later."""
_MITIGATED = ("mitigated-dns", "mitigated-content")
_EARLIEST, _LEAST = 0.05, 0.01
_PAGES = 21_600
_Plan = tuple[float, int, float]


class _Diary:
    """Plans by when they are due. What was replaced meanwhile stays until it is read: the reader asks who still stands.

    The page being read is sorted, the latest first; a plan for it, or for an earlier time, is sorted in when read.
    """

    def __init__(self, page_seconds: float) -> None:
        self._page_s = page_seconds
        self._pages: dict[int, list[_Plan]] = {}
        self._numbers: list[int] = []
        self._open: list[_Plan] = []
        self._open_number = 0
        self.size = 0

    def put(self, plan: _Plan) -> None:
        self.size += 1
        number = int(plan[0] // self._page_s)
        page = self._pages.get(number)
        if page is None:
            self._pages[number] = [plan]
            heapq.heappush(self._numbers, number)
        else:
            page.append(plan)

    def top(self) -> _Plan | None:
        """The earliest plan, standing or not."""
        while self._numbers and (not self._open or self._numbers[0] <= self._open_number):
            number = heapq.heappop(self._numbers)
            self._open_number = max(number, self._open_number) if self._open else number
            self._open += self._pages.pop(number)
            self._open.sort(reverse=True)
        return self._open[-1] if self._open else None

    def drop(self) -> None:
        """Take the top away."""
        self._open.pop()
        self.size -= 1

    def until(self, at: float) -> Iterator[_Plan]:
        """Every plan due by ``at``, standing or not, in no order."""
        pages = [self._pages[number] for number in self._numbers if number * self._page_s <= at]
        return (plan for page in (self._open, *pages) for plan in page if plan[0] <= at)


class Window:
    """What is due when; ids handed out by :meth:`due` are in flight until :meth:`done` or :meth:`forget`."""

    def __init__(self, window_seconds: float, checks_per_window: int, first_check_within_seconds: float) -> None:
        self._window_s = window_seconds
        self._checks = checks_per_window
        self._interval_s = window_seconds / checks_per_window
        self._first_s = min(first_check_within_seconds, self._interval_s)
        self._watched: set[int] = set()
        self._flights: dict[int, _Plan] = {}
        self._diary = _Diary(self._interval_s / _PAGES)
        self._tally = Tally(window_seconds, checks_per_window)
        self._behind: dict[int, _Plan] = {}
        # Plans the diary still holds though they were replaced or forgotten, as counts, and what stands instead: both
        # are small, so that an ordinary check touches its own plan and nothing else of the million.
        self._stale: dict[int, int] = {}
        self._latest: dict[int, _Plan | None] = {}

    def __len__(self) -> int:
        """How many indicators are watched, in flight ones included."""
        return len(self._watched)

    @property
    def in_flight(self) -> int:
        """How many rounds are under way."""
        return len(self._flights)

    def __contains__(self, indicator_id: object) -> bool:
        return indicator_id in self._watched

    def add(self, watch: Watch, now: dt.datetime) -> None:
        """Plan an indicator that is not planned yet; nothing happens for one nobody asks any more."""
        if not watch.check or watch.id in self._watched:
            return
        self.hold(watch.id, *self.first_plan(watch, now), now)

    def hold(self, indicator_id: int, due: float, deadline: float, now: dt.datetime) -> None:
        """Watch an indicator that is not watched yet by a plan made elsewhere (seconds since 1970)."""
        plan = self._plan(indicator_id, due, deadline)
        self._watched.add(indicator_id)
        if deadline < now.timestamp():
            self._behind[indicator_id] = plan

    def first_plan(self, watch: Watch, now: dt.datetime) -> tuple[float, float]:
        """(due, deadline) of an indicator's next check by what the store knows of it; overdue ones are spread."""
        at = now.timestamp()
        if watch.last_round is None:
            recorded = watch.recorded.timestamp()
            deadline, spread = recorded + self._first_s, self._first_s
            due = recorded + _fraction(watch.id) * spread
        else:
            last = watch.last_round.timestamp()
            deadline, spread = last + self._interval_s, self._interval_s / 2
            due = deadline - self.jitter_seconds(watch.id)
        return (at + _fraction(watch.id) * spread if deadline < at else due), deadline

    def next_plan(self, indicator_id: int, at: dt.datetime, even: dt.datetime | None = None) -> tuple[float, float]:
        """(due, deadline) of the check after a round that began ``at``; ``even`` as for :meth:`done`."""
        made, jitter = at.timestamp(), self.jitter_seconds(indicator_id)
        due = made + self._interval_s - jitter
        if even is not None:
            grid = even.timestamp() + self._interval_s * math.ceil((due - even.timestamp()) / self._interval_s)
            due = grid if grid - due <= jitter + 0.001 else due
        return due, due + jitter

    def due(self, now: dt.datetime, limit: int) -> list[int]:
        """At most ``limit`` ids due by now, the longest due first; they are in flight from here on."""
        at = now.timestamp()
        taken: list[int] = []
        while len(taken) < limit and (plan := self._top()) is not None and plan[0] <= at:
            self._diary.drop()
            self._flights[plan[1]] = plan
            taken.append(plan[1])
        return taken

    def done(self, indicator_id: int, at: dt.datetime, *, unchecked: str = "", even: dt.datetime | None = None) -> None:
        """A round of it began at ``at``: count it and plan the next; nothing for one forgotten meanwhile.

        ``unchecked`` is why the round saw nothing of it, empty when it did. ``even`` asks for whole intervals from that
        time on: a rule of the judge turns on the time between two rounds. The next check then comes later than it
        would have, by its jitter at most, and its deadline with it; never earlier.
        """
        flight = self._flights.pop(indicator_id, None)
        if flight is None and indicator_id not in self._watched:
            return
        self._behind.pop(indicator_id, None)
        made = at.timestamp()
        plan = self._plan(indicator_id, *self.next_plan(indicator_id, at, even))
        self._tally.made(indicator_id, flight[2] if flight is not None else made, made, unchecked)
        if flight is None:  # out of turn: what stands in the diary is replaced
            self._strike(indicator_id, plan)

    def postpone(self, indicator_id: int, until: dt.datetime) -> None:
        """A check in flight came to nothing and is due again at ``until``; its deadline stays where it was."""
        flight = self._flights.pop(indicator_id, None)
        if flight is None or indicator_id not in self._watched:
            return
        plan = self._plan(indicator_id, until.timestamp(), flight[2])
        if flight[2] < until.timestamp():
            self._behind[indicator_id] = plan

    def forget(self, indicator_id: int) -> None:
        """Plan it no more; a round in flight is not counted."""
        if indicator_id not in self._watched:
            return
        self._watched.discard(indicator_id)
        self._tally.forget(indicator_id)
        self._behind.pop(indicator_id, None)
        if self._flights.pop(indicator_id, None) is None:
            self._strike(indicator_id, None)

    def next_due(self) -> dt.datetime | None:
        """When the next planned check is due, maybe in the past; None when nothing is planned."""
        plan = self._top()
        return None if plan is None else dt.datetime.fromtimestamp(plan[0], dt.UTC)

    def coverage(self, now: dt.datetime) -> Coverage:
        """How the checks went whose deadline lay in the window ending now, from what this process knows.

        Touches only what is overdue.
        """
        at = now.timestamp()
        waiting = [(plan[1], plan[2]) for plan in self._overdue(at)]
        waiting += [(plan[1], plan[2]) for plan in self._flights.values() if plan[2] < at]
        return self._tally.coverage(at, len(self._watched), waiting)

    def jitter_seconds(self, indicator_id: int) -> float:
        """How long before its deadline an indicator comes due; stable, 1 to 5 % of the interval."""
        return self._interval_s * (_LEAST + (_EARLIEST - _LEAST) * _fraction(indicator_id))

    def _plan(self, indicator_id: int, due: float, deadline: float) -> _Plan:
        # Whole milliseconds survive the way into a datetime and back; upwards, so that none comes before its time.
        plan = (math.ceil(due * 1000) / 1000, indicator_id, deadline)
        self._diary.put(plan)
        if indicator_id in self._latest:
            self._latest[indicator_id] = plan
        if self._diary.size > 2 * len(self._watched) + 1024:
            self._sweep()
        return plan

    def _strike(self, indicator_id: int, instead: _Plan | None) -> None:
        """One more plan of this indicator that holds no longer; ``instead`` does, None when it is watched no more."""
        self._stale[indicator_id] = self._stale.get(indicator_id, 0) + 1
        self._latest[indicator_id] = instead

    def _stands(self, plan: _Plan) -> bool:
        return self._latest.get(plan[1], plan) is plan

    def _sweep(self) -> None:
        """Leave out of the diary what holds no longer, once that is most of it."""
        standing = [plan for plan in self._diary.until(math.inf) if self._stands(plan)]
        self._diary = _Diary(self._interval_s / _PAGES)
        for plan in standing:
            self._diary.put(plan)
        self._stale.clear()
        self._latest.clear()

    def _top(self) -> _Plan | None:
        """The next plan that still stands; the others are dropped on the way."""
        while (plan := self._diary.top()) is not None and self._stale and not self._stands(plan):
            self._diary.drop()
            left = self._stale.pop(plan[1]) - 1
            if left:
                self._stale[plan[1]] = left
            else:
                del self._latest[plan[1]]
        return plan

    def _overdue(self, at: float) -> list[_Plan]:
        """Standing plans whose deadline passed: of those due, and of those spread at start."""
        found = [plan for plan in self._diary.until(at) if plan[2] < at and self._stands(plan)]
        return found + [plan for plan in self._behind.values() if plan[0] > at and plan[2] < at]


def worth_asking(verdict: Verdict, recorded: dt.datetime, *, listed: bool) -> bool:
    """False once an indicator is mitigated, in no feed, and was last active (else recorded) 90 days before.

    An altered one can never be mitigated by content: it is asked no more when it was only indeterminate for so long.
    """
    over = verdict.state in _MITIGATED or (verdict.state == "indeterminate" and "altered" in verdict.flags)
    if listed or not over or verdict.at is None:
        return True
    return verdict.at - (verdict.last_active or recorded) < ASK_NO_MORE_AFTER


def checks_expected(
    recorded: dt.datetime, start: dt.datetime, end: dt.datetime, *, window_seconds: float, checks_per_window: int
) -> int:
    """How many rounds one indicator should have had in ``start..end``: one an interval, and its first one."""
    if recorded >= end:
        return 0
    interval = dt.timedelta(seconds=window_seconds / checks_per_window)
    return (end - max(start, recorded)) // interval + (1 if recorded >= start else 0)


def _fraction(indicator_id: int) -> float:
    """A stable number in [0, 1) that tells neighbouring ids apart (Knuth's multiplicative hash)."""
    return (indicator_id * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF) / 2**64
