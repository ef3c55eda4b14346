"""An accelerated run of several windows: ``python -m tests.panopticond.soak [INDICATORS [WINDOWS]]`` prints one JSON line.

The real store, window, round, judge and schedule step under a clock that jumps to whatever is due next; the probes
answer from memory, half of the indicators dying and some coming back. Exit 1 when memory or descriptors grew, a window
of an indicator and vantage holds other than four checks, or a check came early by more than its jitter.
"""

from __future__ import annotations

import datetime as dt
import gc
import json
import sys
import tempfile
from array import array
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import msgspec
import trio

from panopticond.judge.verdict import Listing, judge
from panopticond.model import Indicator, Observation
from panopticond.probe.guard import must_not_fetch
from panopticond.probe.round import Prober, Probes, TldPlan
from panopticond.schedule import Checked, Duty, check_once
from panopticond.store.sqlite import open_store
from panopticond.window import Window

START = dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)
WINDOW = dt.timedelta(hours=24)
VANTAGES = ("near", "far")
AT_ONCE = 64


class Clock:
    """Policy time moved by the run."""

    scale = 1.0

    def __init__(self) -> None:
        self.at = START

    def now(self) -> dt.datetime:
        return self.at


class Answers:
    """Every probe of a round, from memory: about half of the pages die in the second day, a tenth come back."""

    async def check(
        self,
        target: str,
        _about: object,
        vantage_or_now: object,
        now: dt.datetime | None = None,
        *,
        hold_pages: Sequence[str] = (),
    ) -> object:
        del hold_pages
        await trio.lowlevel.checkpoint()
        if isinstance(vantage_or_now, dt.datetime):
            return Observation("delegation", target, "direct", vantage_or_now, "delegated", {"owner": "d.zz"})
        assert now is not None
        number = sum(target.encode())
        day = (now - START).days
        dead = number % 2 and day >= 1 and not (number % 10 == 1 and day >= 3)
        page = {"status": "200", "title": "Sign in", "fingerprint": f"d.zz;2xx;{number % 97};9;aa", "size": "900"}
        detail = {"status": "404", "reason": "status-404"} if dead else page
        seen = Observation("web", target, str(vantage_or_now), now, "gone" if dead else "live", detail)
        return (seen, Observation("web", "https" + target[4:], str(vantage_or_now), now, "failed", {"twin": "1"}))

    async def address(self, host: str, tld: str, now: dt.datetime) -> Observation:
        del tld
        return Observation("address", host, "direct", now, "resolves", {"addresses": "192.0.2.7"})

    async def blocked(self, host: str, now: dt.datetime) -> Observation:
        return Observation("quad9", host, "direct", now, "not-blocked", {"signals": "ra soa"})

    async def apex(self, domain: str, vantage: str, now: dt.datetime, *, hold_pages: Sequence[str] = ()) -> Observation:
        del hold_pages
        return Observation("apex", domain, vantage, now, "live", {"status": "200"})


class Figures(msgspec.Struct):
    """What a run came to."""

    indicators: int
    windows: int
    rounds: int = 0
    wrong_windows: int = 0
    early: int = 0
    rss_mib: list[float] = []
    descriptors: list[int] = []
    store_mib: float = 0.0

    def good(self) -> bool:
        """Nothing grew after the second window, nothing was missed and nothing came early."""
        flat = self.rss_mib[-1] <= self.rss_mib[1] * 1.05 + 2 and self.descriptors[-1] <= self.descriptors[1]
        return flat and not self.wrong_windows and not self.early


async def soak(duty: Duty, clock: Clock, indicators: int, windows: int, store: Path) -> Figures:
    """Run the windows and count; ``duty`` must have every indicator in its window already."""
    made: dict[int, array[float]] = defaultdict(lambda: array("d"))
    figures = Figures(indicators, windows)

    async def one(number: int) -> None:
        checked: Checked | None = await check_once(duty, number)
        assert checked is not None
        assert {seen.vantage for seen in checked.round.of("web")} == set(VANTAGES)
        made[number].append(checked.round.at.timestamp())
        figures.rounds += 1

    # A first window begins once every first check was made: minutes.
    for number in range(windows):
        end = START + dt.timedelta(minutes=5) + (number + 1) * WINDOW
        while (due := duty.window.next_due()) is not None and due <= end:
            clock.at = max(clock.at, due)
            async with trio.open_nursery() as nursery:
                for taken in duty.window.due(clock.at, AT_ONCE):
                    nursery.start_soon(one, taken)
        gc.collect()
        figures.rss_mib.append(round(int(Path("/proc/self/statm").read_text().split()[1]) / 256, 1))
        figures.descriptors.append(len(list(Path("/proc/self/fd").iterdir())))
        print(f"window {number + 1}: {figures.rounds} rounds, {figures.rss_mib[-1]} MiB", file=sys.stderr)
    figures.store_mib = round(sum(path.stat().st_size for path in store.parent.iterdir()) / (1 << 20), 1)
    day, last = WINDOW.total_seconds(), (START + dt.timedelta(minutes=5) + windows * WINDOW).timestamp()
    for number, times in made.items():
        earliest = day / 4 - duty.window.jitter_seconds(number) - 0.001
        figures.early += sum(later - earlier < earliest for earlier, later in pairwise(times))
        # Every rolling window that begins with a check and ends within the run: four, or a fifth by the jitter's drift.
        for begin in (at for at in times if at + day <= last):
            figures.wrong_windows += sum(begin <= at < begin + day for at in times) not in (4, 5)
    return figures


async def run(indicators: int, windows: int) -> Figures:
    """Indicators of five URIs a domain, all listed at the start."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        path = Path(folder) / "p.db"
        async with await open_store(path) as store:
            answers, clock, window = Answers(), Clock(), Window(WINDOW.total_seconds(), 4, 300.0)
            probes = Probes(answers, answers, answers, answers)  # type: ignore[arg-type]
            prober = Prober(probes, {"zz": TldPlan(VANTAGES)}, must_not_fetch=must_not_fetch)
            listed = [
                Indicator(f"http://www.d{at // 5}.zz/{at}", f"www.d{at // 5}.zz", f"d{at // 5}.zz", "zz", "registered", "phishing")
                for at in range(indicators)
            ]  # fmt: skip
            for watch in await store.record_listing("f", START, listed):
                window.add(watch, START)
            duty = Duty(window, store, prober, clock, judge, lambda _: Listing(listed=True))
            return await soak(duty, clock, indicators, windows, path)


def main(arguments: list[str]) -> int:
    """Run and print; 1 when something is not as it should be."""
    indicators = int(arguments[0]) if arguments else 5000
    figures = trio.run(run, indicators, int(arguments[1]) if len(arguments) > 1 else 4)
    print(json.dumps(msgspec.to_builtins(figures) | {"good": figures.good()}))
    return 0 if figures.good() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
