"""Benchmark ``scale``: what one whole check costs with 10,000, 100,000 and 1,000,000 indicators in the embedded store.

``python -m tests.bench.scale`` prints one JSON line (design section 11): microseconds of CPU a check at 10⁶, the same at
10⁴, and bytes an indicator on disk at each size. A check is what the daemon does but for the sockets: the window gives
an indicator, its standing, rounds and domain are read, a round of eight observations is judged and recorded, the
window plans the next. The checked ones are drawn from all of the store, as ids are hashes. Every indicator has one
round before; each size runs in a process of its own, the sizes take turns, and the medians count.
"""

from __future__ import annotations

import datetime as dt
import gc
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import apsw
import trio

from panopticond.judge.verdict import Listing, judge
from panopticond.model import DomainRecord, Indicator, Observation, Round, Subject
from panopticond.probe.round import Extras
from panopticond.schedule import Duty, check_once
from panopticond.store.interface import Standing
from panopticond.store.rows import identity, micros, observation_rows, to_json
from panopticond.store.sqlite import open_store
from panopticond.window import Window
from tests.bench.snapshot_build import indicator, rounds_of

SIZES = (10_000, 100_000, 1_000_000)
CHECKS, WARM = 3_000, 1_000
TURNS = 3
LIMIT_RATIO = 1.3
BATCH = 10_000
NOW = dt.datetime(2026, 11, 21, 6, 0, tzinfo=dt.UTC)
INTERVAL = dt.timedelta(hours=6)


class Clock:
    """Policy time by hand."""

    scale = 1.0

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> dt.datetime:
        return self.at


class Prober:
    """Answers at once, as a live site does."""

    def serves(self, tld: str) -> bool:
        """The benchmark's own."""
        return tld == "zz"

    async def check(
        self, subject: Subject, known: DomainRecord | None, due: Extras, now: Callable[[], dt.datetime]
    ) -> tuple[Round, DomainRecord]:
        """A round of eight observations of this host and URI."""
        del due
        await trio.lowlevel.checkpoint()
        seen = _as_of(subject.uri or "", subject.host, now())
        return seen, known or DomainRecord(subject.domain, subject.tld)


_PATTERN = rounds_of(indicator(7), 7)[0].observations


def _as_of(uri: str, host: str, at: dt.datetime) -> Round:
    return Round(
        at,
        tuple(
            Observation(one.kind, uri if one.kind == "web" else host, one.vantage, at, one.outcome, one.detail)
            for one in _PATTERN
        ),
    )


def fill(path: Path, count: int) -> None:
    """A store in which every indicator was checked once in the last six hours."""
    trio.run(_empty, path)
    connection = apsw.Connection(str(path))
    connection.pragma("synchronous", "OFF")
    connection.pragma("cache_size", -256 * 1024)
    secret: bytes = connection.execute("SELECT secret FROM identity").get
    connection.execute("INSERT INTO feed (id, name) VALUES (1, 'open')")
    said = _verdict()
    numbered = sorted((identity(secret, str(indicator(at).uri)), at) for at in range(count))
    for start in range(0, count, BATCH):
        with connection:
            _write(connection, numbered[start : start + BATCH], said)
    connection.pragma("wal_checkpoint", "TRUNCATE")
    connection.close()


async def _empty(path: Path) -> None:
    async with await open_store(path):
        pass


def _verdict() -> str:
    one = indicator(7)
    subject = Subject(7, one.uri, one.host, one.domain, "zz", one.scope, ("phishing",))
    return to_json(judge(subject, [_as_of(str(one.uri), one.host, NOW - INTERVAL)], Listing(listed=True)))


def _write(connection: apsw.Connection, numbered: list[tuple[int, int]], verdict: str) -> None:
    items: list[tuple[int, Indicator]] = [(number, indicator(at)) for number, at in numbered]
    recorded = micros(NOW - dt.timedelta(hours=20))
    connection.executemany(
        "INSERT INTO indicator (id, key, is_uri, host, domain, tld, scope, altered, recorded, last_round, "
        "first_validated, verdict) VALUES (?, ?, 1, ?, ?, 'zz', ?, 0, ?, ?, ?, ?)",
        [
            (number, it.uri, it.host, it.domain, it.scope, recorded, _last(number), _last(number), verdict)
            for number, it in items
        ],
    )
    connection.executemany(
        "INSERT INTO sighting (feed_id, indicator_id, threat, first, last) VALUES (1, ?, 'phishing', ?, ?)",
        [(number, recorded, recorded) for number, _ in items],
    )
    for number, it in items:
        at = dt.datetime.fromtimestamp(_last(number) / 1e6, dt.UTC)
        rows = observation_rows(number, _as_of(str(it.uri), it.host, at))
        connection.executemany("INSERT INTO observation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", list(rows))
    domains = [(it.domain, to_json(DomainRecord(it.domain, "zz"))) for _, it in items]
    connection.executemany("INSERT OR REPLACE INTO domain VALUES (?, ?)", domains)


def _last(number: int) -> int:
    """Some time in the last six hours, the same for an id always."""
    return micros(NOW) - number % micros_of(INTERVAL)


def micros_of(span: dt.timedelta) -> int:
    """A span in microseconds."""
    return span // dt.timedelta(microseconds=1)


async def measure(path: Path) -> dict[str, float]:
    """Microseconds of CPU a check, bytes an indicator on disk, and this process's peak."""
    clock, window = Clock(), Window(86_400.0, 4, 300.0)
    size = path.stat().st_size  # before the checks: a round each, whatever the size
    async with await open_store(path) as store:
        for watch in await store.watches():
            window.add(watch, NOW)
        indicators = len(window)
        duty = Duty(window, store, Prober(), clock, partial(judge, popular_rank=100_000), _listing)
        gc.collect()
        step = INTERVAL / indicators
        await _check(duty, clock, WARM, step)
        began = time.process_time()
        await _check(duty, clock, CHECKS, step)
        spent = time.process_time() - began
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"us": spent / CHECKS * 1e6, "bytes": size / indicators, "rss_mib": rss}


def _listing(_: Standing) -> Listing:
    return Listing(listed=True)


async def _check(duty: Duty, clock: Clock, count: int, step: dt.timedelta) -> None:
    """So many checks, each when its time has come."""
    made = 0
    while made < count:
        taken = duty.window.due(clock.now(), 64)
        if not taken:
            clock.at += step * 32
        for number in taken:
            await check_once(duty, number)
        made += len(taken)


def main(arguments: list[str]) -> int:
    """The runner, or with ``--child STEP PATH [SIZE]`` one of its steps."""
    if arguments[:1] == ["--child"]:
        if arguments[1] == "fill":
            fill(Path(arguments[2]), int(arguments[3]))
        else:
            print(json.dumps(trio.run(measure, Path(arguments[2]))))
        return 0
    child = [sys.executable, "-m", "tests.bench.scale", "--child"]
    sizes = [int(text) for text in arguments if text.isdigit()] or list(SIZES)
    found: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        paths = {size: str(Path(folder) / f"{size}.db") for size in sizes}
        for size, path in paths.items():
            subprocess.run([*child, "fill", path, str(size)], check=True)
        for _ in range(TURNS):
            for size, path in paths.items():
                done = subprocess.run([*child, "measure", path], check=True, capture_output=True, text=True)
                found[size].append(json.loads(done.stdout))
    cost = {size: statistics.median(run["us"] for run in runs) for size, runs in found.items()}
    weight = {size: round(found[size][0]["bytes"]) for size in sizes}
    line = {
        "name": "scale", "value": round(cost[sizes[-1]]), "unit": f"µs of CPU a check at {sizes[-1]:,} indicators",
        "peer": f"the same at {sizes[0]:,}", "peer_value": round(cost[sizes[0]]), "peer_n": CHECKS,
        "ratio": round(cost[sizes[-1]] / cost[sizes[0]], 2), "limit": "cost and bytes an indicator, most by least",
        "limit_value": LIMIT_RATIO, "rss_mib": round(found[sizes[-1]][0]["rss_mib"], 1),
        "us": {str(size): round(us) for size, us in cost.items()}, "bytes": {str(size): n for size, n in weight.items()},
        "bytes_ratio": round(max(weight.values()) / min(weight.values()), 2),
    }  # fmt: skip
    print(json.dumps(line, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
