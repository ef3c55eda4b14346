"""One whole lab run: the internet as a process, both daemons as real processes, time by the clock's scale, an end.

Between ``make_world`` (what will happen) and ``score`` (what came of it). Started by ``python -m tests.lab`` and by the
integration tests, which may have a daemon killed and started again on the way, or another command in its place.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import trio

from panopticond.shared.clock import UTC, Clock, parse_rfc3339
from panopticond.shared.control import ask
from panopticond.shared.errors import PanopticonError
from tests.lab.configure import Places, configure, prepare
from tests.lab.model import Ports, World
from tests.lab.world import write_zone, zone_changes

WARM_UP_SECONDS = 5.0
"""Real seconds between deciding the clock and the world's start: time for the processes to load."""
QUIET_SECONDS = 4.0
"""Real seconds without a new mail after which arke is taken to be done, when its status does not say."""
TELL_SECONDS = 10.0
STOP_SECONDS = 10.0
"""A daemon that has not ended so long after SIGTERM has failed."""
PUBLISH_SECONDS = 90.0
DRAIN_SECONDS = 120.0
REPOSITORY = Path(__file__).parents[2]

Stage = Callable[[str], None]


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


class LabError(Exception):
    """The run itself failed; the sentence says which process, and where its log is."""


def lab_clock(world: World, real_seconds: float, *, end: dt.datetime | None = None) -> Clock:
    """A clock that starts the world after the warm-up and reaches ``end`` (its last publication) ``real_seconds`` later.

    Policy time equals real time at the epoch; where that instant lies follows from both.
    """
    epoch, scale = clock_settings(world.start, end or world.end, real_seconds)
    return Clock(epoch, scale)


def clock_settings(
    start: dt.datetime, end: dt.datetime, real_seconds: float, *, begins: float | None = None
) -> tuple[dt.datetime, float]:
    """(epoch, scale): policy time is ``start`` at real ``begins`` and ``end`` ``real_seconds`` later."""
    begins = time.time() + WARM_UP_SECONDS if begins is None else begins
    scale = (end - start).total_seconds() / real_seconds
    epoch = (scale * begins - start.timestamp()) / (scale - 1)
    return dt.datetime.fromtimestamp(epoch, UTC), scale


class LabRun:
    """The processes of one run and what is done to them."""

    def __init__(
        self,
        world: World,
        places: Places,
        *,
        on_stage: Stage,
        commands: Mapping[str, Sequence[str]] | None = None,
        arke_changes: Mapping[str, Any] | None = None,
    ) -> None:
        self.world, self.places, self.on_stage = world, places, on_stage
        self.clock = Clock(places.clock_epoch, places.clock_scale)
        self.ports = Ports()
        self.arke_changes = arke_changes
        self.commands = {
            "panopticond": [sys.executable, "-m", "panopticond", "run", "-c", str(places.panopticond_toml)],
            "arke": [sys.executable, "-m", "arke", "run", "-c", str(places.arke_json)],
        } | {name: list(command) for name, command in (commands or {}).items()}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.exits: dict[str, int] = {}

    def start(self, name: str, command: Sequence[str] | None = None) -> None:
        """Start a process with its standard error appended to its log."""
        with (self.places.logs / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                list(command or self.commands[name]),
                cwd=REPOSITORY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )

    async def start_internet(self) -> None:
        """Start the lab's internet and wait until it has told its ports."""
        world_file, ports_file = self.places.root / "world.json", self.places.root / "ports.json"
        world_file.write_bytes(msgspec.json.encode(self.world))
        ports_file.unlink(missing_ok=True)
        self.places.mails.write_bytes(b"")
        command = [sys.executable, "-m", "tests.lab.internet", str(world_file), str(ports_file)]
        command += ["--epoch", self.places.clock_epoch.isoformat(), "--scale", repr(self.places.clock_scale)]
        command += ["--certs", str(self.places.root / "certs"), "--mails", str(self.places.mails)]
        self.start("internet", command)
        with trio.move_on_after(60) as waiting:
            while not ports_file.exists():
                self.check_alive()
                await trio.sleep(0.05)
        if waiting.cancelled_caught:
            raise LabError(f"the lab's internet was not ready within a minute; see {self.places.logs}/internet.log")
        self.ports = msgspec.json.decode(ports_file.read_bytes(), type=Ports)
        configure(self.world, self.ports, self.places, changes=self.arke_changes)

    def check_alive(self) -> None:
        """LabError when a process has ended by itself."""
        for name, process in self.processes.items():
            if (status := process.poll()) is not None:
                raise LabError(f"{name} ended by itself with status {status}; see {self.places.logs}/{name}.log")

    async def stop(self, name: str) -> None:
        """SIGTERM, and its exit status; a process that does not end in time is killed and counts as -9."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        with trio.move_on_after(STOP_SECONDS):
            while process.poll() is None:  # noqa: ASYNC110 - a child of another process group tells nobody
                await trio.sleep(0.02)
        if process.poll() is None:
            process.kill()
        self.exits[name] = process.wait()

    async def kill(self, name: str) -> None:
        """Kill -9 and start again at once."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()
        self.start(name)

    def end_all(self) -> None:
        """End whatever still runs; for the way out of an error."""
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.processes.clear()

    def snapshots(self) -> list[Path]:
        """Every published snapshot's directory of the first TLD, oldest first."""
        folder = self.places.published / self.world.tlds[0]
        return sorted(path for path in folder.glob("[0-9]*") if (path / "manifest.json.minisig").is_file())

    async def rewrite_zone(self) -> None:
        """Export the registry's zone again whenever a delegation changes."""
        for when in zone_changes(self.world):
            await self.clock.sleep_until(when)
            write_zone(self.world, self.places.zone, self.clock.now())

    async def follow(self) -> None:
        """Tell each publication's hour as it comes, then wait for the last snapshot."""
        for at, when in enumerate(self.world.publications, 1):
            await self._until(when)
            self.on_stage(
                f"policy time {when:%Y-%m-%d %H:%M}: publication {at} of {len(self.world.publications)} is due"
            )
        with trio.move_on_after(PUBLISH_SECONDS):
            while not self.published_since(self.world.publications[-1]):
                self.check_alive()
                await trio.sleep(0.1)

    def published_since(self, when: dt.datetime) -> bool:
        """Whether the newest snapshot was issued at or after a policy time."""
        found = self.snapshots()
        if not found:
            return False
        manifest = json.loads((found[-1] / "manifest.json").read_bytes())
        return parse_rfc3339(manifest["issued"]) >= when

    async def _until(self, when: dt.datetime) -> None:
        while self.clock.now() < when:
            self.check_alive()
            left = (when - self.clock.now()).total_seconds() / self.clock.scale
            await trio.sleep(min(max(left, 0.0), 0.5))

    async def drained(self) -> None:
        """Wait until arke has taken the last snapshot and has nothing more to send, or goes quiet."""
        last = int(self.snapshots()[-1].name) if self.snapshots() else 0
        quiet_since, size = trio.current_time(), self.places.mails.stat().st_size
        with trio.move_on_after(DRAIN_SECONDS):
            while True:
                self.check_alive()
                await trio.sleep(0.25)
                if (now_size := self.places.mails.stat().st_size) != size:
                    quiet_since, size = trio.current_time(), now_size
                status = await self.arke_status()
                busy = status is None or _busy(status, last)
                if not busy and trio.current_time() - quiet_since >= QUIET_SECONDS / 2:
                    return

    async def arke_status(self) -> dict[str, Any] | None:
        """Arke's answer on its socket, or None while it cannot answer."""
        try:
            return await ask(str(self.places.sockets / "ar.sock"), {"do": "status"}, 2.0)
        except (PanopticonError, OSError):
            return None


def _busy(status: Mapping[str, Any], last_serial: int) -> bool:
    """Whether arke still has the last snapshot, or a mail, before it."""
    text = json.dumps(status)
    if last_serial and str(last_serial) not in text:
        return True
    outbox = status.get("outbox")
    pending = outbox.get("waiting", outbox.get("pending", 0)) if isinstance(outbox, Mapping) else 0
    return bool(pending) or bool(status.get("working"))


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
    """Both daemons for the length of the block; stopped in the order of the flow, the internet last."""
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
