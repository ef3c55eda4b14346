"""How the checks of the last 24 hours went: on time or late, and made but with nothing seen. Pure; ``now`` is given.

Kept by ``window`` for as long as the process runs, shown by ``status``. Counts stand in buckets of a quarter of an
hour; of single indicators only those are remembered that missed something: a million good ones cost nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import msgspec

_BUCKETS = 96


class Coverage(msgspec.Struct, frozen=True):
    """Checks whose deadline lay in the window that ends now: ``due`` = ``on_time`` + ``late`` (late or not made)."""

    due: int
    on_time: int
    late: int
    unchecked: int = 0
    """Of the rounds made, those in which something could not be checked: made, but no word on the indicator."""
    indicators: int = 0
    """Watched now."""
    whole: int = 0
    """Of these, the ones with every check of the window made on time, and checked."""
    causes: Mapping[str, int] = {}
    """Why indicators are not whole, by how many: what could not be checked last, or ``late``."""

    @property
    def share(self) -> float | None:
        """Share of indicators with all checks on time and checked; None while none is watched."""
        return self.whole / self.indicators if self.indicators else None


class Tally:
    """Counts the checks of one window length; what is older is dropped."""

    def __init__(self, window_seconds: float, checks: int) -> None:
        self._window_s, self._checks = window_seconds, checks
        self._interval_s = window_seconds / checks
        self._bucket_s = window_seconds / _BUCKETS
        self._buckets: dict[int, list[int]] = {}
        """Bucket of time -> due, on time, unchecked."""
        self._missed: dict[int, tuple[float, str]] = {}
        """Indicator -> when it last missed something, and what; in order of that time."""
        self._causes: Counter[str] = Counter()

    def made(self, indicator_id: int, deadline: float, at: float, cause: str) -> None:
        """A check made, and with it every deadline that passed before; ``cause``: why it saw nothing, if it did not."""
        overdue = int((at - deadline) // self._interval_s) if at > deadline else -1
        if overdue < 0:
            self._bucket(deadline, 1, on_time=1)
        for back in range(min(self._checks, 1 + overdue)):
            self._bucket(deadline + self._interval_s * (overdue - back), 1, on_time=0)
        if cause:
            self._bucket(at, 0, unchecked=1)
        if cause or overdue >= 0:
            self._miss(indicator_id, at, cause or "late")

    def forget(self, indicator_id: int) -> None:
        """It is watched no more."""
        before = self._missed.pop(indicator_id, None)
        if before is not None:
            self._causes[before[1]] -= 1

    def coverage(self, at: float, watched: int, waiting: Collection[tuple[int, float]]) -> Coverage:
        """The figures at ``at``; ``waiting`` are (indicator, deadline) of checks overdue now.

        A check not made yet counts once for every interval it was missed.
        """
        self._drop(at)
        first, last = int((at - self._window_s) // self._bucket_s) + 1, int(at // self._bucket_s)
        counted = [bucket for number, bucket in self._buckets.items() if first <= number <= last]
        due, on_time, unchecked = (sum(bucket[place] for bucket in counted) for place in range(3))
        due += sum(min(self._checks, 1 + int((at - deadline) // self._interval_s)) for _, deadline in waiting)
        newly = len({number for number, _ in waiting} - self._missed.keys())
        causes = Counter({cause: count for cause, count in self._causes.items() if count > 0})
        if newly:
            causes["late"] += newly
        whole = max(0, watched - len(self._missed) - newly)
        return Coverage(due, on_time, due - on_time, unchecked, watched, whole, dict(causes.most_common()))

    def _miss(self, indicator_id: int, at: float, cause: str) -> None:
        self.forget(indicator_id)
        self._missed[indicator_id] = (at, cause)
        self._causes[cause] += 1
        self._drop(at)

    def _drop(self, at: float) -> None:
        """What was missed longer than a window ago counts no more."""
        while self._missed:
            oldest = next(iter(self._missed))
            if self._missed[oldest][0] > at - self._window_s:
                return
            self.forget(oldest)

    def _bucket(self, when: float, due: int, *, on_time: int = 0, unchecked: int = 0) -> None:
        bucket = self._buckets.setdefault(int(when // self._bucket_s), [0, 0, 0])
        bucket[0] += due
        bucket[1] += on_time
        bucket[2] += unchecked
        if len(self._buckets) > 4 * _BUCKETS:
            oldest = max(self._buckets) - 2 * _BUCKETS
            self._buckets = {known: counts for known, counts in self._buckets.items() if known >= oldest}
