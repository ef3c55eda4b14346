"""``make internet``: the lab's little internet by itself, in real time, for trying commands and following tutorials.

Beside ``run``: nothing is started on it. It writes both daemons' configuration files for its world, as an operator and a
registry would have them, and goes on until it is interrupted.
"""

from __future__ import annotations

import datetime as dt
import shutil
import signal
import sys
from pathlib import Path

import trio

from panopticond.shared.clock import UTC
from tests.lab.configure import prepare
from tests.lab.processes import LabRun
from tests.lab.world import make_world

DOMAINS = 62
LIVED = dt.timedelta(hours=6)
"""How long the world has been going when it begins: its feeds have something to say."""


async def stand(out: Path, seed: int, *, task_status: trio.TaskStatus[LabRun] = trio.TASK_STATUS_IGNORED) -> None:
    """Serve a world until cancelled or interrupted; ``started`` gives the run with its places and ports."""
    now = dt.datetime.now(UTC).replace(microsecond=0)
    world = make_world(seed, DOMAINS, start=now - LIVED, days=14)
    run = LabRun(world, prepare(out, now, 1.0), on_stage=lambda _: None)
    try:
        await run.start_internet()
        task_status.started(run)
        await trio.sleep_forever()
    finally:
        run.end_all()


async def _until_interrupted(out: Path, seed: int) -> None:
    async with trio.open_nursery() as nursery:
        run = await nursery.start(stand, out, seed)
        tell = f"the internet of .{run.world.tlds[0]} is up; its files are under {out}; Ctrl-C ends it"
        print(tell, file=sys.stderr, flush=True)
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                nursery.cancel_scope.cancel()
                return


def run_internet(out: Path, seed: int) -> int:
    """The command; 0 when it was ended by a signal."""
    if out.exists():
        shutil.rmtree(out)
    trio.run(_until_interrupted, out, seed)
    return 0
