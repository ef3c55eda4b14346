"""The processes of one lab run and what is done to them: started, watched, asked, killed, ended.

Used by ``run.run_world``, which knows the order of things.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import trio

from panopticond.shared.clock import Clock, parse_rfc3339, rfc3339
from panopticond.shared.control import ask
from panopticond.shared.errors import PanopticonError
from tests.lab.configure import Places, configure
from tests.lab.model import Ports, World
from tests.lab.world import write_zone, zone_changes

QUIET_SECONDS = 2.0
"""Real seconds without a new mail before arke is believed to be done."""
STOP_SECONDS = 10.0
"""A daemon that has not ended so long after SIGTERM has failed."""
PUBLISH_SECONDS = 90.0
DRAIN_SECONDS = 120.0
"""Real seconds without any new mail after which arke is waited for no longer, though it still has some."""
TELL_SECONDS = 10.0
REPOSITORY = Path(__file__).parents[2]

Stage = Callable[[str], None]


class LabError(Exception):
    """The run itself failed; the sentence says which process, and where its log is."""


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
        """Kill -9 and start again at once; noted with its time, because each of arke may leave one mail in doubt."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()
        with self.places.kills.open("a", encoding="ascii") as noted:
            noted.write(f"{name} {rfc3339(self.clock.now())}\n")
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
        with trio.move_on_after(DRAIN_SECONDS) as waiting:
            while True:
                self.check_alive()
                await trio.sleep(0.25)
                if (now_size := self.places.mails.stat().st_size) != size:
                    quiet_since, size = trio.current_time(), now_size
                    waiting.deadline = quiet_since + DRAIN_SECONDS
                status = await self.arke_status()
                busy = status is None or _busy(status, last)
                if not busy and trio.current_time() - quiet_since >= QUIET_SECONDS:
                    return

    async def arke_status(self) -> dict[str, Any] | None:
        """What arke answers on its socket, or None while it cannot answer."""
        return await self._status("ar.sock")

    async def _status(self, socket: str) -> dict[str, Any] | None:
        try:
            return await ask(str(self.places.sockets / socket), {"do": "status"}, 2.0)
        except (PanopticonError, OSError):
            return None

    async def narrate(self) -> None:
        """Tell now and then how far the daemons are, in their own figures."""
        while True:
            await trio.sleep(TELL_SECONDS)
            status = await self._status("pd.sock")
            if status is not None:
                mails = self.places.mails.read_bytes().count(b"\n")
                told = f"{status['indicators']} indicators, {status['rounds']} rounds of checks, {mails} mails accepted"
                self.on_stage(f"policy time {self.clock.now():%Y-%m-%d %H:%M}: {told}")

    async def keep_status(self) -> None:
        """Write down what both daemons say of themselves, for the reader and for the search for personal data."""
        for socket, name in (("pd.sock", "panopticond-status.json"), ("ar.sock", "arke-status.json")):
            answer = await self._status(socket)
            (self.places.root / name).write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")


def _busy(status: Mapping[str, Any], last_serial: int) -> bool:
    """Whether arke still has the last snapshot, or a mail, before it."""
    text = json.dumps(status)
    if last_serial and str(last_serial) not in text:
        return True
    outbox = status.get("outbox")
    pending = outbox.get("waiting", outbox.get("pending", 0)) if isinstance(outbox, Mapping) else 0
    return bool(pending) or bool(status.get("working"))
