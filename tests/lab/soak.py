"""``python -m tests.lab soak``: the collector's loop over four windows and more, on real sockets, and what it grew by.

The window, the schedule's step, every probe, the judge and the store as ``assemble`` makes them from a configuration
file; the lab's internet (DNS over UDP and TCP, two proxies, web servers with and without TLS, Web Risk, Tranco, RDAP) as
a process beside it. Policy time leaps to whatever is due next, so that four days take as long as their checks do and a
busy machine changes nothing. Pages die, move, come back and hide from a country meanwhile.

Good is: every check of every indicator at both vantages made, four in each window, none early by more than its jitter,
none unanswered; memory and descriptors after the last window as after the second. Memory is told in two figures. What
Python holds must not grow at all. What is resident grows to two known bounds and no further: SQLite's page cache (32 MiB,
full after 12,000 rounds or so), and the eight days of rounds that each check under way holds (docs/reference/sizing.md).
"""

from __future__ import annotations

import datetime as dt
import gc
import signal
import subprocess
import sys
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import msgspec
import trio

from panopticond.config import read
from panopticond.feeds.formats.row import Row
from panopticond.feeds.normalise import normalise
from panopticond.model import Indicator
from panopticond.schedule import Checked, Duty, check_once
from panopticond.shared.names import Names
from panopticond.wiring import Parts, assemble, policy
from tests.lab.configure import Places, configure, prepare
from tests.lab.hands import Hands
from tests.lab.model import Ports, World
from tests.lab.processes import REPOSITORY, LabError
from tests.lab.world import make_world

START = dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)
WINDOW = dt.timedelta(hours=24)
FIRST = dt.timedelta(minutes=5)
BEHAVIOURS = (
    *("alive", "dies", "several-uris", "cloaked", "redirecting", "soft-404", "parked-later", "changing"),
    *("reopened", "undelegated-later", "tls-self-signed", "connection-refused", "third-level", "malicious"),
)
"""What answers at once: a page that keeps a probe waiting costs real time and shows nothing here."""
LATE = dt.timedelta(minutes=3)
"""What is due within so long is checked side by side: less than the least jitter, so nothing is late for it."""
READY_SECONDS = 60.0


class Figures(msgspec.Struct):
    """What a run came to; the JSON line."""

    indicators: int
    windows: int
    rounds: int = 0
    observations: int = 0
    wrong_windows: int = 0
    """Windows of an indicator and vantage, one from each check on, that hold other than four checks (or, by the drift
    of the jitter, five)."""
    early: int = 0
    """Checks that came earlier after the last than an interval less the jitter."""
    unchecked: int = 0
    states: dict[str, int] = {}
    rss_mib: list[float] = []
    """Resident after each window ..."""
    blocks: list[int] = []
    """... what Python's allocator has given out and not got back ..."""
    descriptors: list[int] = []
    """... and open descriptors."""
    tasks: list[int] = []
    store_mib: float = 0.0
    cpu_seconds: float = 0.0
    whole: float | None = None
    """Coverage at the end: the share of indicators that missed nothing."""

    def good(self) -> bool:
        """Nothing grew after the second window; nothing was missed, early or unanswered."""
        flat = self.rss_mib[-1] <= self.rss_mib[1] * 1.05 + 2 and self.descriptors[-1] <= self.descriptors[1] + 2
        flat = flat and self.blocks[-1] <= self.blocks[1] * 1.02
        return (
            flat and self.tasks[-1] <= self.tasks[1] and not self.wrong_windows and not self.early and self.whole == 1
        )


async def soak(indicators: int, windows: int, out: Path, tell: Callable[[str], None] = lambda _: None) -> Figures:
    """Run it with everything under ``out``; LabError when the lab's internet does not come up."""
    world = make_world(indicators, indicators, start=START, publications=(), days=float(windows), only=BEHAVIOURS)
    places = prepare(out, START, 1.0)
    clock = Hands(places.root / "clock", START)
    beside = await internet(world, places)
    try:
        async with assemble(read(places.panopticond_toml)) as parts:
            listed = _listed(world, parts, indicators)
            for watch in await parts.store.record_listing("openlist", START, listed):
                parts.window.add(watch, START)
            if parts.tranco is not None:
                await parts.tranco.refresh(START)
            figures = Figures(len(listed), windows)
            await _Run(parts, clock, figures, tell).windows()
            figures.store_mib = round(
                sum(one.stat().st_size for one in places.panopticon_state.iterdir()) / (1 << 20), 1
            )
            return figures
    finally:
        beside.send_signal(signal.SIGTERM)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(beside.wait)


async def internet(world: World, places: Places) -> subprocess.Popen[bytes]:
    """The lab's internet on the clock moved by hand; both configuration files are written once its ports are known."""
    world_file, ports_file = places.root / "world.json", places.root / "ports.json"
    world_file.write_bytes(msgspec.json.encode(world))
    ports_file.unlink(missing_ok=True)
    running = _start(places, world_file, ports_file)
    with trio.move_on_after(READY_SECONDS):
        while not ports_file.exists() and running.poll() is None:  # noqa: ASYNC110 - another process tells by a file
            await trio.sleep(0.05)
    if not ports_file.exists():
        running.kill()
        running.wait()
        raise LabError(f"the lab's internet did not come up; see {places.logs}/internet.log")
    configure(world, msgspec.json.decode(ports_file.read_bytes(), type=Ports), places)
    return running


def _start(places: Places, world_file: Path, ports_file: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.lab.internet", str(world_file), str(ports_file)]
    command += ["--hands", str(places.root / "clock"), "--certs", str(places.root / "certs")]
    command += ["--mails", str(places.mails)]
    with (places.logs / "internet.log").open("wb") as log:
        return subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _listed(world: World, parts: Parts, count: int) -> list[Indicator]:
    """The world's URIs as a feed would give them; a domain may have several, and the count is kept."""
    names = Names([policy(tld) for tld in parts.tlds])
    keys = [truth.key for domain in world.domains for truth in domain.indicators][:count]
    found = [normalise(Row(key), names, "phishing") for key in keys]
    return [one for one in found if isinstance(one, Indicator)]


class _Run:
    """The windows one after another, and what is counted on the way."""

    def __init__(self, parts: Parts, clock: Hands, figures: Figures, tell: Callable[[str], None]) -> None:
        self._parts, self._clock, self._figures, self._tell = parts, clock, figures, tell
        self._duty = Duty(parts.window, parts.store, parts.prober, clock, parts.judge, parts.listing_of)
        self._vantages = tuple(vantage.name for vantage in parts.config.vantage)
        self._at_once = parts.config.validation.concurrency
        self._made: dict[tuple[int, str], array[float]] = defaultdict(lambda: array("d"))
        self._states: dict[int, str] = {}

    async def windows(self) -> None:
        """Every window; a first one begins once every first check was made, which takes minutes."""
        window, figures = self._parts.window, self._figures
        for number in range(figures.windows):
            end = START + FIRST + (number + 1) * WINDOW
            while (due := window.next_due()) is not None and due <= end:
                self._clock.move(min(max(self._clock.now(), due + LATE), end))
                async with trio.open_nursery() as nursery:
                    for taken in window.due(self._clock.now(), self._at_once):
                        nursery.start_soon(self._one, taken)
            self._weigh(number)
        self._count()

    async def _one(self, number: int) -> None:
        checked: Checked | None = await check_once(self._duty, number)
        assert checked is not None
        self._figures.rounds += 1
        self._figures.observations += len(checked.round.observations)
        self._states[number] = checked.verdict.state
        gone = checked.verdict.state == "mitigated-dns"
        for vantage in self._vantages:
            if gone or any(seen.vantage == vantage for seen in checked.round.of("web")):
                self._made[number, vantage].append(checked.round.at.timestamp())

    def _weigh(self, number: int) -> None:
        gc.collect()
        figures = self._figures
        figures.rss_mib.append(round(int(Path("/proc/self/statm").read_text().split()[1]) / 256, 1))
        figures.blocks.append(sys.getallocatedblocks())
        figures.descriptors.append(len(list(Path("/proc/self/fd").iterdir())))
        figures.tasks.append(trio.lowlevel.current_statistics().tasks_living)
        self._tell(
            f"window {number + 1}: {figures.rounds} rounds, {figures.rss_mib[-1]} MiB, {figures.descriptors[-1]} "
            f"descriptors"
        )

    def _count(self) -> None:
        figures, window = self._figures, self._parts.window
        day, last = WINDOW.total_seconds(), self._clock.now().timestamp()
        for number in self._states:
            earliest = day / 4 - window.jitter_seconds(number) - 0.001
            for vantage in self._vantages:
                times = self._made[number, vantage]
                figures.early += sum(later - earlier < earliest for earlier, later in pairwise(times))
                for begin in (at for at in times if at + day <= last):
                    figures.wrong_windows += sum(begin <= at < begin + day for at in times) not in (4, 5)
                figures.wrong_windows += len(times) < 4 * figures.windows
        figures.states = dict(Counter(self._states.values()))
        coverage = window.coverage(self._clock.now())
        figures.unchecked, figures.whole = coverage.unchecked, coverage.share
