"""Benchmark ``window``: what one check costs to schedule with 10,000 and with 1,000,000 indicators resident.

``python -m tests.bench.window`` prints one JSON line (design section 11): microseconds a check at 10⁶, the same at 10⁴,
and bytes a resident indicator. Each size runs in a process of its own; runs take turns and the medians count. A check is
one ``due`` and one ``done`` of the window as the schedule calls them; the thread's own CPU time is counted, not what it
waited for a core.
"""

from __future__ import annotations

import datetime as dt
import gc
import hashlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from panopticond.store.interface import Watch
from panopticond.window import Window

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
INTERVAL = dt.timedelta(hours=6)
SMALL, LARGE = 10_000, 1_000_000
CHECKS = 200_000
ROUNDS = 5
LIMIT_BYTES = 400


def _rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def _watch(number: int) -> Watch:
    """An indicator checked within the last six hours; ids are 63 bits of a hash, as the store's."""
    identity = int.from_bytes(hashlib.blake2b(str(number).encode(), digest_size=8).digest(), "big") >> 1
    ago = dt.timedelta(microseconds=identity % 21_600_000_000)
    return Watch(identity, START - dt.timedelta(days=30), START - ago, check=True)


def measure(indicators: int) -> dict[str, float]:
    """Seconds a check and bytes an indicator with so many resident."""
    gc.collect()
    before = _rss_bytes()
    window = Window(86_400.0, 4, 300.0)
    for number in range(indicators):
        window.add(_watch(number), START)
    gc.collect()
    resident = _rss_bytes() - before
    now, made, spent = START, 0, 0.0
    step = INTERVAL / max(1, indicators // 32)
    while made < CHECKS:
        now += step
        began = time.thread_time()
        taken = window.due(now, 64)
        for identity in taken:
            window.done(identity, now)
        spent += time.thread_time() - began
        made += len(taken)
    return {"us": spent / made * 1e6, "bytes": resident / indicators, "rss_mib": _rss_bytes() / (1 << 20)}


def main(arguments: list[str]) -> int:
    """The runner, or with ``--child SIZE`` one timed run."""
    if arguments[:1] == ["--child"]:
        print(json.dumps(measure(int(arguments[1]))))
        return 0
    runs: dict[int, list[dict[str, float]]] = {SMALL: [], LARGE: []}
    for _ in range(ROUNDS):
        for size, found in runs.items():
            command = [sys.executable, "-m", "tests.bench.window", "--child", str(size)]
            found.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    small, large = (statistics.median(run["us"] for run in runs[size]) for size in (SMALL, LARGE))
    line = {
        "name": "window", "value": round(large, 2), "unit": "µs a check at 10⁶ indicators",
        "peer": "the same at 10⁴ indicators", "peer_value": round(small, 2), "peer_n": CHECKS,
        "ratio": round(large / small, 2), "limit": "bytes a resident indicator, at most 400",
        "limit_value": round(statistics.median(run["bytes"] for run in runs[LARGE])),
        "rss_mib": round(max(run["rss_mib"] for run in runs[LARGE]), 1),
    }  # fmt: skip
    print(json.dumps(line, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
