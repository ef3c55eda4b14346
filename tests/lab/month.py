"""``python -m tests.lab month``: thirty days of the lab's internet, visited, probed, judged and published day by day.

The real thing without waiting for it, as in ``soak``: feed visits, window, schedule's step, every probe, the judge, the
store and the publication as ``assemble`` and ``press`` make them from a configuration file; the lab's internet as a
process beside it. Policy time leaps to whatever comes next. Every day a few new domains appear, so that on any day some
are found, some live on, some leave by the registry or by their pages, and some come back.

What is left under ``--out`` is a registry's published tree of a whole month with the monthly report; ``make
report-check`` looks at it in a browser.
"""

from __future__ import annotations

import datetime as dt
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import msgspec
import trio

from panopticond.config import read
from panopticond.feeds.visit import Memory, visit
from panopticond.schedule import Duty, check_once
from panopticond.snapshot.press import press
from panopticond.snapshot.publish import publish_tld
from panopticond.store.interface import Watch
from panopticond.wiring import Parts, assemble
from tests.lab.configure import prepare
from tests.lab.hands import Hands
from tests.lab.model import World
from tests.lab.soak import internet
from tests.lab.world import make_world

START = dt.datetime(2026, 3, 31, 21, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
DAYS = 31
"""Thirty days of April, and the first of May, which writes the month's report."""
A_DAY = 6
"""New domains a day."""
STALE_AFTER = "4d"
"""Of the feeds, whose noise is the same all month; one that nothing joins is STALE nevertheless."""
VISIT_EVERY = dt.timedelta(hours=3)
BEHAVIOURS = (
    *("alive", "dies", "several-uris", "cloaked", "cloaked-then-dark", "redirecting", "soft-404", "parked-later"),
    *("changing", "reopened", "undelegated-later", "held-ns", "host-only", "botnet-uri", "altered-alive", "malware"),
    *("third-level", "malicious", "compromised", "popular", "critical", "shared-service", "supporting-once"),
    *("withdrawn-while-live", "unsubscribe-uri", "sick-feed"),
)
"""What answers at once: a page that keeps a probe waiting costs real time and shows nothing here."""


class Line(msgspec.Struct, frozen=True):
    """What a month came to; the JSON line."""

    domains: int
    rounds: int
    snapshots: int
    late: int
    """Checks later than their deadline, of the last day."""
    states: dict[str, int]
    published: str


def month_world(seed: int, days: int = DAYS) -> World:
    """A world in which every day a few domains begin, each with its change 32 hours later; behaviours take turns."""
    turns = list(islice(cycle(BEHAVIOURS), A_DAY * days))
    made = [
        make_world(seed + day, A_DAY, start=START + day * DAY, publications=(), only=turns[day * A_DAY :][:A_DAY])
        for day in range(days)
    ]
    domains = {domain.name: domain for world in reversed(made) for domain in world.domains}
    return msgspec.structs.replace(
        made[0],
        end=START + (days + 1) * DAY,
        domains=tuple(domains.values()),
        shared_services=tuple(name for world in made for name in world.shared_services if name in domains),
        feeds=tuple(msgspec.structs.replace(feed, stale_after=STALE_AFTER) for feed in made[0].feeds),
        quiet_names=tuple(sorted({name for world in made for name in world.quiet_names} - domains.keys())),
    )


async def month(out: Path, seed: int, *, days: int = DAYS, tell: Callable[[str], None] = lambda _: None) -> Line:
    """Live it under ``out``; LabError when the lab's internet does not come up."""
    world = month_world(seed, days)
    places = prepare(out, START, 1.0)
    clock = Hands(places.root / "clock", START)
    beside = await internet(world, places)
    try:
        async with assemble(read(places.panopticond_toml)) as parts:
            if parts.tranco is not None:
                await parts.tranco.refresh(START)
            run = _Run(parts, clock)
            for day in range(1, days + 1):
                await run.day(START + day * DAY)
                tell(f"day {day} of {days}: {len(parts.window)} indicators watched, {run.rounds} rounds")
            return Line(
                len(world.domains), run.rounds, days, parts.window.coverage(clock.now()).late,
                dict(Counter(run.states.values())), str(places.published),
            )  # fmt: skip
    finally:
        beside.send_signal(signal.SIGTERM)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(beside.wait)


class _Run:
    """The days one after another."""

    def __init__(self, parts: Parts, clock: Hands) -> None:
        self._parts, self._clock, self._press = parts, clock, press(parts.config)
        self._duty = Duty(parts.window, parts.store, parts.prober, clock, parts.judge, parts.listing_of)
        self._memories = {spec.name: Memory() for spec in parts.feeds}
        self.rounds = 0
        self.states: dict[int, str] = {}

    async def day(self, end: dt.datetime) -> None:
        """Visits and checks until ``end``, and the publication then."""
        parts = self._parts
        while self._clock.now() < end:
            await self._visit_all()
            await self._check_until(min(self._clock.now() + VISIT_EVERY, end))
        for tld in parts.tlds:
            await publish_tld(self._press, parts.store, tld, await parts.today(tld), end)

    async def _visit_all(self) -> None:
        parts, now = self._parts, self._clock.now()

        def on_new(watch: Watch) -> None:
            parts.window.add(watch, now)

        for spec in parts.feeds:
            memory = self._memories[spec.name]
            await visit(spec, parts.store, parts.http, parts.names_of(spec.name), now, on_new, memory)

    async def _check_until(self, end: dt.datetime) -> None:
        window, clock = self._parts.window, self._clock
        while (due := window.next_due()) is not None and due <= end:
            clock.move(max(clock.now(), due))
            async with trio.open_nursery() as nursery:
                for number in window.due(clock.now(), self._parts.config.validation.concurrency):
                    nursery.start_soon(self._one, number)
        clock.move(end)

    async def _one(self, number: int) -> None:
        checked = await check_once(self._duty, number)
        assert checked is not None
        self.rounds += 1
        self.states[number] = checked.verdict.state


def run_month(out: Path, seed: int, days: int, tell: Callable[[str], None]) -> int:
    """The command: prints the line; 1 when a check was late."""
    line = trio.run(partial(month, out, seed, days=days, tell=tell))
    print(msgspec.json.encode(line).decode(), flush=True)
    return int(line.late > 0)
