"""Token buckets by key, in real seconds: how fast one server, host or service may be asked.

Beside every probe: a caller takes a token for its key before each packet or request. Bookings are by virtual scheduling
(the generic cell rate algorithm), so a key costs one float and no task, and waiters are served in the order they came.
"""

from __future__ import annotations

from typing import Protocol

import trio

_SWEEP_FLOOR = 1024


class Rate(Protocol):
    """How fast each key may be asked: these buckets, or those that several hosts share."""

    async def take(self, key: str) -> None:
        """Wait until a token for ``key`` is due and take it."""
        ...


class Buckets:
    """One bucket a key: ``rate_per_second`` tokens a real second, at most ``burst`` saved up; memory is bounded.

    ``rate_per_second`` may be ``inf``: nothing waits and nothing is kept.
    """

    def __init__(self, rate_per_second: float, burst: float = 1.0) -> None:
        if not rate_per_second > 0 or not burst >= 1:
            raise ValueError("a bucket needs a rate above 0 and a burst of at least 1")
        self._interval_seconds = 1.0 / rate_per_second
        self._saved_seconds = (burst - 1.0) * self._interval_seconds
        self._next: dict[str, float] = {}
        self._sweep_at = _SWEEP_FLOOR

    def __len__(self) -> int:
        """How many keys are remembered now."""
        return len(self._next)

    async def take(self, key: str) -> None:
        """Wait until a token for ``key`` is due and take it; a cancelled wait gives its token back."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._interval_seconds:
            return
        now = trio.current_time()
        due = max(self._next.get(key, 0.0), now - self._saved_seconds)
        self._next[key] = due + self._interval_seconds
        if len(self._next) > self._sweep_at:
            self._sweep(now)
        if due > now:
            try:
                await trio.sleep_until(due)
            except trio.Cancelled:
                # Those behind keep their places; the average rate holds because this place stays unused.
                if key in self._next:
                    self._next[key] -= self._interval_seconds
                raise

    def wait_seconds(self, key: str) -> float:
        """How long a take of ``key`` would wait now, in real seconds."""
        return max(0.0, self._next.get(key, 0.0) - trio.current_time())

    def _sweep(self, now: float) -> None:
        """Forget keys whose bucket is full again: they say no more than a key never seen."""
        self._next = {key: due for key, due in self._next.items() if due > now - self._saved_seconds}
        self._sweep_at = max(_SWEEP_FLOOR, 2 * len(self._next))
