"""One whole lab run: the internet as a process, both daemons as real processes, time by the clock's scale, an end.

Between ``make_world`` (what will happen) and ``score`` (what came of it). Started by ``python -m tests.lab`` and by the
integration tests, which may have a daemon killed and started again on the way, or another command in its place.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import trio

from panopticond.shared.clock import UTC
from tests.lab.configure import Places, prepare
from tests.lab.model import World
from tests.lab.processes import LabError, LabRun, Stage

WARM_UP_SECONDS = 5.0
"""Real seconds between deciding the clock and the world's start: time for the processes to load."""


class Kill(msgspec.Struct, frozen=True):
    """Kill -9 a daemon (``panopticond`` or ``arke``) at a fraction of the run and start it again at once."""

    daemon: str
    fraction: float


class Outcome(msgspec.Struct, frozen=True):
    """What a run left behind: where, how each process ended, and how long it took in real seconds."""

    places: Places
    exits: dict[str, int]
    real_seconds: float
    snapshots: int


def clock_settings(
    start: dt.datetime, end: dt.datetime, real_seconds: float, *, begins: float | None = None
) -> tuple[dt.datetime, float]:
    """(epoch, scale): policy time is ``start`` at real ``begins`` and ``end`` ``real_seconds`` later."""
    begins = time.time() + WARM_UP_SECONDS if begins is None else begins
    scale = (end - start).total_seconds() / real_seconds
    epoch = (scale * begins - start.timestamp()) / (scale - 1)
    return dt.datetime.fromtimestamp(epoch, UTC), scale


async def run_world(
    world: World,
    out: Path,
    *,
    real_seconds: float,
    on_stage: Stage,
    clock: tuple[dt.datetime, float] | None = None,
    kills: Sequence[Kill] = (),
    commands: Mapping[str, Sequence[str]] | None = None,
    arke_changes: Mapping[str, Any] | None = None,
    while_running: Callable[[LabRun], Awaitable[None]] | None = None,
) -> Outcome:
    """Run a world from its start past its last publication in about ``real_seconds``, and stop everything cleanly.

    ``clock`` is (epoch, scale) when the caller has decided it; ``while_running`` is called once arke has drained and
    before anything stops. LabError when a process fails on the way; ``exits`` tells how each ended.
    """
    began = time.monotonic()
    last = world.publications[-1] if world.publications else world.end
    epoch, scale = clock or clock_settings(world.start, last, real_seconds)
    run = LabRun(world, prepare(out, epoch, scale), on_stage=on_stage, commands=commands, arke_changes=arke_changes)
    try:
        await run.start_internet()
        on_stage(
            f"the lab's internet is up: {len(world.domains)} domains, {len(world.feeds)} feeds, {scale:.0f} times real time"
        )
        async with _daemons(run):
            async with trio.open_nursery() as nursery:
                if not world.zone_files:
                    nursery.start_soon(run.rewrite_zone, name="rewrite zone")
                nursery.start_soon(run.narrate, name="narrate")
                for kill in kills:
                    nursery.start_soon(_kill_at, run, kill, real_seconds, name=f"kill {kill.daemon}")
                await run.follow()
                nursery.cancel_scope.cancel()
            on_stage(f"{len(run.snapshots())} snapshots are published; waiting for arke to finish")
            await run.drained()
            await run.keep_status()
            if while_running is not None:
                await while_running(run)
        on_stage("every daemon has stopped: " + ", ".join(f"{name} {code}" for name, code in sorted(run.exits.items())))
    except BaseExceptionGroup as group:
        failed, rest = group.split(LabError)
        if failed is None or rest is not None:
            raise
        raise LabError("; ".join(str(error) for error in _leaves(failed))) from group
    finally:
        run.end_all()
    return Outcome(run.places, run.exits, time.monotonic() - began, len(run.snapshots()))


def _leaves(group: BaseExceptionGroup[LabError]) -> list[BaseException]:
    return [
        leaf
        for error in group.exceptions
        for leaf in (_leaves(error) if isinstance(error, BaseExceptionGroup) else [error])
    ]


@contextlib.asynccontextmanager
async def _daemons(run: LabRun) -> AsyncIterator[None]:
    """Both daemons for the length of the block; stopped in the order of the flow, the internet last.

    Not before yesterday's hour of publication has passed: an empty snapshot would be the first, and the next an odd one.
    """
    if run.world.publications:
        yesterday = run.world.publications[0] - dt.timedelta(days=1) + dt.timedelta(minutes=1)
        await trio.sleep(max(0.0, (yesterday - run.clock.now()).total_seconds() / run.clock.scale))
    run.start("panopticond")
    run.start("arke")
    run.on_stage("panopticond and arke are started")
    yield
    for name in ("arke", "panopticond", "internet"):
        await run.stop(name)


async def _kill_at(run: LabRun, kill: Kill, real_seconds: float) -> None:
    begins = (run.world.start - run.clock.now()).total_seconds() / run.clock.scale
    await trio.sleep(max(0.0, begins + kill.fraction * real_seconds))
    await run.kill(kill.daemon)
