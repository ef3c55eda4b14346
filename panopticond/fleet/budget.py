"""Rates that all hosts share: a server is asked no faster by ten hosts than by one.

Beside every probe, in the place of ``shared.ratelimit.Buckets`` when the store is a PostgreSQL. Moments are reserved in
the database, as many at once as there are waiters, and belong to this host alone; one that was not used in time is
let go, so that lateness here never adds up with punctuality elsewhere. Without the database nobody is asked.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import trio

from panopticond.shared.errors import StoreError
from panopticond.store import hosts

if TYPE_CHECKING:
    from panopticond.store.postgres import PostgresStore

TOGETHER_SECONDS = 1.0
"""What is reserved at once spans no more than this."""
LATE_SECONDS = 0.1
"""A moment missed by more is let go; the moments of a rate lie apart by as much more as this may crowd them."""
MOST_LEAD_SECONDS = 2.0
"""Moments are reserved so far ahead as the last answer took twice, and no further: else a slow one comes too late."""
DRIFT = 1e-4
"""How far two clocks part in a second at worst."""
_AGAIN_SECONDS = 1.0
log = logging.getLogger(__name__)


class DatabaseClock:
    """The database's clock as this process's: the difference, from above, by the quickest answers of late.

    An answer that says it is ``c`` there came between ``asked`` and ``answered`` here. The greatest ``c - answered``
    puts a moment of the database never too early and, once one answer was quick, hardly too late.
    """

    def __init__(self) -> None:
        self._ahead: float | None = None
        self._since = 0.0
        self.wait_seconds = 0.0
        """How long the last answer took."""

    def heard(self, said: float, asked: float, answered: float) -> None:
        """An answer came."""
        self.wait_seconds = answered - asked
        known = None if self._ahead is None else self._ahead - DRIFT * (answered - self._since)
        # above what this answer allows, the clock was set, or it is another server's
        if known is None or known < said - answered or known > said - asked:
            known = said - answered
        self._ahead, self._since = known, answered

    def here(self, moment: float) -> float:
        """A moment of the database in trio's time."""
        return moment - (self._ahead or 0.0)


class SharedBuckets:
    """``shared.ratelimit.Rate`` for all hosts: ``rate_per_second`` moments a second and key, none saved up."""

    def __init__(self, store: PostgresStore, clock: DatabaseClock, name: str, rate_per_second: float) -> None:
        """``name`` keeps the keys of one rate apart from another's; ``clock`` is one for all of a process."""
        if not rate_per_second > 0:
            raise ValueError("a rate must be above 0")
        self._store, self._clock, self._name = store, clock, name
        # wider by what a moment may be late: however late each is used, no second sees more than the rate
        self._interval_s = (1.0 + LATE_SECONDS) / rate_per_second
        self._most = int(max(1.0, min(1000.0, TOGETHER_SECONDS * rate_per_second)))
        self._queues: dict[str, _Queue] = {}

    async def take(self, key: str) -> None:
        """Wait for a moment of one's own and for its time; a cancelled wait loses at most that moment."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._interval_s:
            return
        queue = self._queues.setdefault(key, _Queue())
        me = _Waiter()
        queue.waiting.append(me)
        try:
            while True:
                async with queue.lock:
                    if me.due is None:
                        await self._reserve(key, queue, me)
                assert me.due is not None  # noqa: S101 - reserved just above, or by who stood before
                await trio.sleep_until(me.due)
                if trio.current_time() - me.due <= LATE_SECONDS:
                    return
                me.due = None
                queue.waiting.appendleft(me)
        finally:
            if me in queue.waiting:
                queue.waiting.remove(me)
            if not queue.waiting and not queue.lock.locked() and self._queues.get(key) is queue:
                del self._queues[key]

    async def _reserve(self, key: str, queue: _Queue, me: _Waiter) -> None:
        """Moments for those who wait now, this one first; tried until the database gives them."""
        queue.waiting.remove(me)
        queue.waiting.appendleft(me)
        while True:
            count = min(len(queue.waiting), self._most)
            asked = trio.current_time()
            work = partial(
                hosts.reserve,
                key=f"{self._name} {key}",
                interval_seconds=self._interval_s,
                count=count,
                lead_seconds=min(MOST_LEAD_SECONDS, 2 * self._clock.wait_seconds),
            )
            try:
                moment, said = await self._store.engine.transact(work)
            except StoreError as error:
                log.debug("%s waits for the shared rate: %s", self._name, error)
                await trio.sleep(_AGAIN_SECONDS)
                continue
            self._clock.heard(said, asked, trio.current_time())
            begins = self._clock.here(moment)
            for place in range(count):
                if queue.waiting:
                    queue.waiting.popleft().due = begins + place * self._interval_s
            return


async def spend(store: PostgresStore, name: str, day: dt.date, limit: int) -> bool:
    """Take one of the ``limit`` calls all hosts have together on a policy day; False when none is left."""
    while True:
        try:
            work = partial(hosts.spend, key=f"day {day.isoformat()} {name}", limit=limit)
            return await store.engine.transact(work)
        except StoreError as error:
            log.debug("%s waits for the shared budget: %s", name, error)
            await trio.sleep(_AGAIN_SECONDS)


class _Waiter:
    """Somebody who waits for a moment; ``due`` once one is reserved, in trio's time."""

    __slots__ = ("due",)

    def __init__(self) -> None:
        self.due: float | None = None


class _Queue:
    """Who waits for one key; one of them reserves for all."""

    def __init__(self) -> None:
        self.lock = trio.Lock()
        self.waiting: deque[_Waiter] = deque()
