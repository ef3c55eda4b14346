"""Benchmark ``publish-deadlines``: no check is late because 100,000 indicators are being published.

``python -m tests.bench.publish_deadlines [INDICATORS]`` prints one JSON line (design section 11). A store holds a full
day of every indicator, four rounds of eight observations evenly over it. The daemon's own loop (``schedule.probe_due``:
window, store, judge, store) checks what is due at the pace of real time, with probes that answer from memory after half
a second; once it has caught up with the store's age it runs alone for a while, and then beside the publication of that
day. ``value`` counts checks begun later than their deadline and deadlines passed without a check, while publishing: it
has to be 0. Beside it: the most a check began after it came due, the least time that was left to its deadline, the
longest a task that wakes every 10 ms was kept waiting; ``quiet_`` are the same without a publication.
"""

from __future__ import annotations

import datetime as dt
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio

from panopticond.judge.verdict import Listing, judge
from panopticond.model import DomainRecord, Round, Subject
from panopticond.probe.round import Extras
from panopticond.schedule import Bell, Checked, Duty, probe_due
from panopticond.snapshot.publish import publish_tld
from panopticond.store.interface import Standing
from panopticond.store.sqlite import SqliteStore, open_store
from panopticond.window import Window
from tests.bench.scale import Prober
from tests.bench.snapshot_build import INDICATORS, NOW, ZZ, printing, watch_stalls

CONCURRENCY = 64
ANSWER_SECONDS = 0.5
QUIET_SECONDS = 20.0


class Clock:
    """Policy time at the pace of real time, from NOW on."""

    scale = 1.0

    def __init__(self) -> None:
        self._began = trio.current_time()

    def now(self) -> dt.datetime:
        return NOW + dt.timedelta(seconds=trio.current_time() - self._began)


class SlowProber(Prober):
    """Answers from memory after half a second, as a network would; says which check began when."""

    def __init__(self, begun: Callable[[int], None]) -> None:
        self._begun = begun

    async def check(
        self, subject: Subject, known: DomainRecord | None, due: Extras, now: Callable[[], dt.datetime]
    ) -> tuple[Round, DomainRecord]:
        self._begun(subject.id)
        await trio.sleep(ANSWER_SECONDS)
        return await super().check(subject, known, due, now)


class Punctuality:
    """When checks began against when they were due; one per part of the run."""

    def __init__(self) -> None:
        self.checks = self.late = 0
        self.behind_s, self.left_s = 0.0, 86_400.0

    def take(self, due: float, deadline: float, at: float) -> None:
        """A check begun ``at``."""
        self.checks += 1
        self.late += at > deadline
        self.behind_s = max(self.behind_s, at - due)
        self.left_s = min(self.left_s, deadline - at)


class _Run:
    """The loop over one store, and what is being counted now."""

    def __init__(self, store: SqliteStore) -> None:
        self.clock, self.window, self.part = Clock(), Window(86_400.0, 4, 300.0), Punctuality()
        self._store = store
        self._plans: dict[int, tuple[float, float]] = {}
        self.duty = Duty(
            self.window, store, SlowProber(self._begun), self.clock, partial(judge, popular_rank=100_000),
            _listing, self._made,
        )  # fmt: skip

    async def load(self) -> None:
        """Every indicator into the window, with the plan it gives."""
        for watch in await self._store.watches():
            self._plans[watch.id] = self.window.first_plan(watch, NOW)
            self.window.add(watch, NOW)

    def _begun(self, number: int) -> None:
        self.part.take(*self._plans[number], self.clock.now().timestamp())

    async def _made(self, checked: Checked) -> None:
        number = checked.before.subject.id
        self._plans[number] = self.window.next_plan(number, checked.round.at)

    def unmade(self) -> int:
        """Checks whose deadline is over now and that are not made."""
        now = self.clock.now().timestamp()
        return sum(deadline < now for _, deadline in self._plans.values())


def _listing(_: Standing) -> Listing:
    return Listing(listed=True)


async def measure(folder: Path) -> dict[str, float]:
    """The loop catching up, alone, and beside the publication."""
    press, today = printing(folder / "root")
    stalls, quiet_stalls = [0.0], [0.0]
    async with await open_store(folder / "p.db") as store, trio.open_nursery() as nursery:
        run = _Run(store)
        await run.load()
        nursery.start_soon(partial(probe_due, run.duty, concurrency=CONCURRENCY, bell=Bell()))
        while (due := run.window.next_due()) is not None and due <= run.clock.now():  # noqa: ASYNC110 - nobody rings
            await trio.sleep(1)  # what came due by its jitter before the store was opened
        run.part = quiet = Punctuality()
        with trio.move_on_after(QUIET_SECONDS):
            await watch_stalls(quiet_stalls)
        run.part = busy = Punctuality()
        nursery.start_soon(watch_stalls, stalls)
        started = trio.current_time()
        publication = await publish_tld(press, store, ZZ, today, run.clock.now())
        seconds = trio.current_time() - started
        late = busy.late + run.unmade()
        nursery.cancel_scope.cancel()
    assert (folder / "root" / "zz" / str(publication.serial) / "manifest.json.minisig").is_file()
    return {
        "late": late, "checks": busy.checks, "seconds": round(seconds, 1),
        "behind_ms": round(busy.behind_s * 1000), "left_s": round(busy.left_s), "stall_ms": round(max(stalls) * 1000),
        "quiet_checks": quiet.checks, "quiet_behind_ms": round(quiet.behind_s * 1000),
        "quiet_stall_ms": round(max(quiet_stalls) * 1000),
        "rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }  # fmt: skip


def main(arguments: list[str]) -> int:
    """The runner, or with ``--child FOLDER`` the measuring process; 1 when a check was late."""
    if arguments[:1] == ["--child"]:
        print(json.dumps(trio.run(measure, Path(arguments[1]))))
        return 0
    count = next((int(text) for text in arguments if text.isdigit()), INDICATORS)
    with tempfile.TemporaryDirectory(prefix="publish-deadlines-") as folder:
        fill = [sys.executable, "-m", "tests.bench.snapshot_build", "--child", "fill", folder, str(count)]
        subprocess.run(fill, check=True)
        child = [sys.executable, "-m", "tests.bench.publish_deadlines", "--child", folder]
        figures = json.loads(subprocess.run(child, check=True, capture_output=True, text=True).stdout)
    late = figures.pop("late")
    line = {
        "name": "publish-deadlines", "value": late, "unit": "checks late while publishing",
        "peer": None, "peer_value": None, "peer_n": None, "ratio": None,
        "limit": "none", "limit_value": 0, "rss_mib": figures.pop("rss_mib"), "indicators": count, **figures,
    }  # fmt: skip
    print(json.dumps(line))
    return int(late > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
