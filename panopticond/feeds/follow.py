"""One loop a feed: due -> fetch -> parse -> normalise -> store -> health. The source at the head of the whole flow.

Started by ``main`` in the nursery of sources. Visits keep the provider's interval by the policy clock; parsing runs
in a thread in bounded steps, so a long list neither stops the other tasks nor delays the end of the daemon.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
from collections.abc import Callable

import trio
from msgspec.structs import replace

from panopticond.feeds.catalogue import FeedSpec
from panopticond.feeds.health import Attempt, assess
from panopticond.feeds.visit import Memory, visit
from panopticond.shared.clock import Clock
from panopticond.shared.errors import StoreError
from panopticond.shared.http import Http
from panopticond.shared.names import Names
from panopticond.store.interface import FeedHealth, Store, Watch

JITTER_SHARE = 0.05
"""Of the interval: so that a hundred followers do not ask a provider in the same second."""
FIRST_RETRY_SECONDS = 300.0

log = logging.getLogger(__name__)


async def follow(
    spec: FeedSpec,
    store: Store,
    http: Http,
    names: Names,
    clock: Clock,
    on_new: Callable[[Watch], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Visit a feed for ever; ``on_new`` gets the watch of every new indicator.

    Nothing that goes wrong in a visit ends the others: it is a state of the feed. StoreError escapes at the start only.
    """
    health = await store.feed_health(spec.name)
    wait, failures, memory, bell = 0.0, 0, Memory(), _Bell()
    async with trio.open_nursery() as nursery:
        if spec.notify is not None:
            from panopticond.feeds.notify import heed_notify  # noqa: PLC0415 - dnspython, which few feeds need

            await nursery.start(heed_notify, spec, bell.ring, name=f"notify {spec.name}")
        task_status.started()
        while True:
            await bell.sleep_until(
                clock, due(health, spec, wait, failures, clock.now()), soonest(health, spec, wait, clock.now())
            )
            now = clock.now()
            try:
                health, wait = await visit(spec, store, http, names, now, on_new, memory)
            except Exception as error:  # noqa: BLE001 - one feed's body must not end the daemon
                health, wait = await _failed(health, spec, store, now, error), 0.0
            failures = failures + 1 if health.state == "UNREACHABLE" else 0


async def _failed(health: FeedHealth, spec: FeedSpec, store: Store, now: dt.datetime, error: Exception) -> FeedHealth:
    """The last resort: the store would not write, or no reader of ours foresaw this body; the next visit tries again.

    A defect of ours is logged whole and stands in the ledger as PARSE.
    """
    try:
        if isinstance(error, StoreError):
            raise error
        log.error("feed %s: a visit met a defect of ours", spec.name, exc_info=error)
        sentence = f"a defect of ours: {type(error).__name__} in reading it; the log has the rest, please report it"
        health = assess(await store.feed_health(spec.name), spec, Attempt(now, "defect", sentence))
        await store.record_feed_health(health)
    except StoreError as unwritten:
        log.warning("feed %s: a visit is lost and will be made again: %s", spec.name, unwritten)
        return replace(health, state="UNREACHABLE", reason=str(unwritten), last_attempt=now)
    return health


class _Bell:
    """Wakes a follower before its time."""

    def __init__(self) -> None:
        self._rung = trio.Event()

    def ring(self) -> None:
        """Wake whoever sleeps, or whoever sleeps next."""
        self._rung.set()

    async def sleep_until(self, clock: Clock, when: dt.datetime, soonest: dt.datetime) -> None:
        """Until ``when``, or until the bell rings but never before ``soonest``."""
        with trio.CancelScope() as sleep:
            async with trio.open_nursery() as nursery:

                async def listen() -> None:
                    await self._rung.wait()
                    sleep.cancel()

                nursery.start_soon(listen)
                await clock.sleep_until(when)
                nursery.cancel_scope.cancel()
        await clock.sleep_until(min(when, soonest))
        self._rung = trio.Event()


def soonest(health: FeedHealth, spec: FeedSpec, retry_after: float, now: dt.datetime) -> dt.datetime:
    """The first moment the provider allows another visit."""
    if health.last_attempt is None:
        return now
    return health.last_attempt + dt.timedelta(seconds=max(spec.least, retry_after))


def due(health: FeedHealth, spec: FeedSpec, retry_after: float, failures: int, now: dt.datetime) -> dt.datetime:
    """When the next visit is: at once for a new feed, else after its interval, sooner when it merely failed.

    ``retry_after`` is what the server asked for, policy seconds; it and the provider's least interval always hold.
    """
    if health.last_attempt is None:
        return now
    interval = spec.every * (1 + JITTER_SHARE * _fraction(spec.name, health.last_attempt))
    if failures > 0:
        interval = min(interval, FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 16))
    return health.last_attempt + dt.timedelta(seconds=max(interval, spec.least, retry_after))


def _fraction(name: str, at: dt.datetime) -> float:
    """A number from 0 to 1 that a feed and a time always give: jitter that a test can repeat."""
    return hashlib.sha256(f"{name} {at.isoformat()}".encode()).digest()[0] / 255
