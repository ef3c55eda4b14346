"""Whether this host works by itself or beside others: the one place where the two differ.

Between the configuration and ``wiring``. With the embedded store the window is this process's own and everything is its
turn; with a PostgreSQL the window is made of leases, rates are shared, and some things only one host does at a time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import msgspec
import trio

from panopticond.config import Config
from panopticond.schedule import Records
from panopticond.shared.clock import Clock
from panopticond.shared.ratelimit import Rate
from panopticond.shared.settings import seconds
from panopticond.store.interface import Watch
from panopticond.store.methods import SqlStore
from panopticond.window import Window

SPARE = 4
"""One check more on lease for so many that may run, so that a free slot need not wait for the database."""


class Alone(Protocol):
    """How a task is run that only one host may run; until cancelled."""

    async def __call__(self, name: str, task: Any, *, task_status: trio.TaskStatus[None] = ...) -> None:
        """Run ``task`` while it is this host's turn to do what ``name`` says."""
        ...


class Fellowship(Protocol):
    """``panopticond.fleet.host.Fleet``, as far as ``main`` and ``status`` need it."""

    async def keep(
        self, ring: Callable[[], None], tell: Callable[[str, str], None], *, task_status: trio.TaskStatus[None] = ...
    ) -> None:
        """Be a host among the others until cancelled."""
        ...

    def table(self) -> dict[str, Any]:
        """Who lives and who does what."""
        ...

    def wrong(self) -> list[str]:
        """What an operator should know first."""
        ...

    def away(self) -> bool:
        """Whether the database did not answer when it was last asked."""
        ...


class Sharing(msgspec.Struct, frozen=True):
    """What is this host's own, and what it shares."""

    window: Window
    records: Records
    """The store as the schedule uses it."""
    alone: Alone
    to_plan: Callable[[], Awaitable[list[Watch]]]
    """What the window has to be filled with at the start."""
    surrogates: Callable[[], Awaitable[bytes | None]]
    """The key of surrogate names where hosts share it."""
    rate: Callable[[str, float], Rate | None]
    """What keeps a rate of this name; None: the asker's own buckets."""
    pace: Callable[[str, float, float], Rate] | None = None
    spend: Callable[[dt.date, int], Awaitable[bool]] | None = None
    """Takes one Web Risk call of a day's budget."""
    fleet: Fellowship | None = None


def sharing(config: Config, store: SqlStore, clock: Clock) -> Sharing:
    """What a configuration means for this host."""
    return _by_itself(config, store) if config.store.url is None else _beside_others(config, store, clock)


async def here(name: str, task: Any, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """On a host by itself it is always its turn; who waits for the start is told by the task."""
    del name
    await (task() if task_status is trio.TASK_STATUS_IGNORED else task(task_status=task_status))


def _by_itself(config: Config, store: SqlStore) -> Sharing:
    async def no_key() -> None:
        return None

    window = Window(*_rhythm(config))
    return Sharing(window, store, here, store.watches, no_key, lambda _name, _rate: None)


def _beside_others(config: Config, store: Any, clock: Clock) -> Sharing:
    from panopticond.fleet.budget import DatabaseClock, SharedBuckets, spend  # noqa: PLC0415 - a host by itself loads none of these
    from panopticond.fleet.host import Fleet  # noqa: PLC0415
    from panopticond.fleet.leases import LeasedStore, Leases  # noqa: PLC0415

    room = config.validation.concurrency + max(1, config.validation.concurrency // SPARE)
    lease_seconds = seconds(config.store.lease)
    leases = Leases(*_rhythm(config), store=store, clock=clock, room=room, lease_seconds=lease_seconds)
    store.planner = leases.first_plan
    server_clock = DatabaseClock()
    fleet = Fleet(store, clock, config.roles, leases if "probe" in config.roles else None)

    async def nothing() -> list[Watch]:
        return []

    return Sharing(
        leases,
        LeasedStore(store, leases),
        fleet.alone,
        nothing,
        partial(store.secret, "surrogates"),
        rate=partial(SharedBuckets, store, server_clock),
        pace=lambda name, a_second, _burst: SharedBuckets(store, server_clock, name, a_second),
        spend=partial(spend, store, "webrisk"),
        fleet=fleet,
    )


def _rhythm(config: Config) -> tuple[float, int, float]:
    validation = config.validation
    return seconds(validation.window), validation.checks_per_window, seconds(validation.first_check_within)
