"""Benchmark ``screen``: how long a registry waits for an opinion on one name over the status socket.

``python -m tests.bench.screen`` prints the JSON line of design section 11: milliseconds at the 99th percentile, one name a question
on one connection, with 10,000 protected names. Server and client are processes of their own. ``inside_p99_ms`` is the
opinion alone, without socket and JSON, in processor time.
"""

from __future__ import annotations

import functools
import json
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import trio

from tests.bench.screening_names import brands, names

QUESTIONS, WARM = 5000, 200
ROUNDS = 3
PIECE = 1000  # questions on one connection: the socket's server gives each ten seconds


async def serve(folder: Path) -> None:
    """Answer on ``folder/s`` as the daemon's desk does."""
    from arke.config import Config
    from arke.screening.counter import Counter
    from arke.screening.settings import Screen
    from panopticond.shared.control import serve_control

    protect = folder / "protect"
    protect.write_text("\n".join(brands()))
    counter = Counter(
        Config(tld="zz", keys=["x"], records="x", state=str(folder), screen=Screen(protect=(str(protect),)))
    )

    async def answer(request: dict[str, Any]) -> dict[str, Any]:
        return dict(await counter.answer(request["names"], request.get("tld")))

    await answer({"names": ["first"]})
    inside = []
    for name in _sample(2, QUESTIONS):
        started = time.process_time()
        await answer({"names": [name]})
        inside.append((time.process_time() - started) * 1000)
    figures = {"inside_p99_ms": _p99(inside), "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    (folder / "figures").write_text(json.dumps(figures))
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, str(folder / "s"), 0o600, answer)
        print("ready", flush=True)
        await trio.sleep_forever()


def ask(folder: Path, seed: int) -> list[float]:
    """Milliseconds of every question."""
    took = []
    asked = _sample(seed, QUESTIONS)
    for start in range(0, len(asked), PIECE):
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(str(folder / "s"))
            answers = stream.makefile("rb")
            for name in asked[start : start + PIECE]:
                question = json.dumps({"do": "screen", "names": [name]}).encode() + b"\n"
                started = time.perf_counter()
                stream.sendall(question)
                answer = answers.readline()
                took.append((time.perf_counter() - started) * 1000)
                if b'"opinions"' not in answer:
                    raise SystemExit(answer.decode()[:200])
    return took[WARM:]


def _sample(seed: int, number: int) -> list[str]:
    """Registered names and, one in ten, a protected one with a word or another letter."""
    chance = random.Random(seed)
    registered, protect = names()[0], brands()
    return [
        chance.choice(registered)
        if chance.random() < 0.9
        else chance.choice(protect) + chance.choice(["-login", "online", "s", "1"])
        for _ in range(number)
    ]


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def main() -> None:
    """Start a server, ask it, print the line."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [sys.executable, "-m", "tests.bench.screen", "--serve", str(folder)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            if server.stdout is None or not server.stdout.readline():
                raise SystemExit("the server did not start")
            runs = [ask(folder, seed) for seed in range(ROUNDS)]
            server.terminate()
        figures = json.loads((folder / "figures").read_text())
    line = {
        "name": "screen",
        "value": round(statistics.median(map(_p99, runs)), 3),
        "unit": "ms p99",
        "peer": None,
        "peer_value": None,
        "peer_n": None,
        "ratio": None,
        "limit": None,
        "limit_value": None,
        "rss_mib": round(figures["rss_mib"], 1),
        "median_ms": round(statistics.median(statistics.median(run) for run in runs), 3),
        "inside_p99_ms": round(figures["inside_p99_ms"], 3),
        "protected": len(brands()),
        "questions": ROUNDS * (QUESTIONS - WARM),
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        trio.run(functools.partial(serve, Path(sys.argv[2])))
    else:
        main()
