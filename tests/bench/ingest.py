"""Benchmarks of collection: ingest, ingest-served, ingest-store and ingest-large, each beside its peer in the same run.

``python -m tests.bench.ingest [NAME...]`` prints one JSON line each (design section 11). Ours, IntelMQ's parser and csv.reader
take turns on the same file, each run in a process of its own; the medians count. IntelMQ is installed into its own
environment below ``.venv/peers``; if it cannot be, its figures are null and the line says so.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, BinaryIO, cast

ROWS = 200_000
PEER_ROWS = 20_000
LARGE_ROWS = 10_000_000
ROUNDS = 3
SERVED = ("ee", "tl", "in")
PEERS = Path(".venv") / "peers"
INTELMQ = "intelmq==3.5.0"
NAMES = ("ingest", "ingest-served", "ingest-store", "ingest-large")
SUFFIXES = [
    "com",
    "net",
    "org",
    "ru",
    "cn",
    "info",
    "ee",
    "tl",
    "in",
    "br",
    "xyz",
    "top",
    "shop",
    "io",
    "co.uk",
    "com.br",
    "pl",
    "de",
    "fr",
    "nl",
    "it",
    "es",
    "vn",
    "id",
    "tr",
    "us",
]


def write_urlhaus(path: Path, rows: int, seed: int = 1) -> None:
    """A URLhaus export of made-up rows: half of them address hosts, half names under 26 suffixes."""
    dice = random.Random(seed)
    letters, digits = "abcdefghijklmnopqrstuvwxyz", "0123456789"
    start = dt.datetime(2026, 4, 21, tzinfo=dt.UTC)

    def word(low: int, high: int, alphabet: str = letters + digits) -> str:
        return "".join(dice.choices(alphabet, k=dice.randint(low, high)))

    with path.open("w", encoding="ascii") as file:
        file.write("# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter\r\n")
        for at in range(rows):
            if dice.random() < 0.5:
                host = ".".join(str(dice.randint(1, 254)) for _ in range(4)) + f":{dice.randint(1024, 65535)}"
                tail = dice.choice(("i", "bin.sh", "Mozi.m", "Mozi.a"))
            else:
                host = dice.choice(("", "", "www.", "cdn.")) + word(5, 14) + "." + dice.choice(SUFFIXES)
                folders = [word(3, 10, letters) for _ in range(dice.randint(0, 3))]
                tail = "/".join(
                    [*folders, word(4, 10, letters + letters.upper()) + dice.choice((".exe", ".zip", ".php?id=7", ""))]
                )
            when = (start - dt.timedelta(seconds=40 * at)).strftime("%Y-%m-%d %H:%M:%S")
            number = 4_000_000 - at
            url = f"{dice.choice(('http', 'https'))}://{host}/{tail}"
            file.write(
                f'"{number}","{when}","{url}","online","{when}","malware_download","32-bit,elf,mips,Mozi",'
                f'"https://urlhaus.example/url/{number}/","reporter"\r\n'
            )


# -- one run, in a process of its own: python -m tests.bench.ingest --child KIND FILE


def child(kind: str, path: str) -> dict[str, float]:
    """One timed run; rows a second and the peak of the process's memory."""
    rows, seconds, extra = {"csv": run_csv, "store": run_store, "large": run_large}.get(kind, run_ingest)(kind, path)
    return {"rate": rows / seconds, "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, **extra}


def run_ingest(kind: str, path: str) -> tuple[int, float, dict[str, float]]:
    """Everything normalised to indicators in memory; with ``served`` those of three ccTLDs."""
    from panopticond.feeds.formats import FORMATS
    from panopticond.feeds.inflate import Body
    from panopticond.feeds.ingest import Ingest
    from panopticond.shared.names import Names, TldPolicy

    names = Names([TldPolicy(tld) for tld in SERVED] if kind == "served" else None)
    started = time.perf_counter()
    kept = []
    with Path(path).open("rb") as file:
        ingest = Ingest(Body(cast("BinaryIO", file), 1 << 40), FORMATS["urlhaus-csv"], names)
        while not ingest.finished:
            kept += ingest.take(5000)
    return ingest.tally.rows, time.perf_counter() - started, {"kept": len(kept)}


def run_csv(_: str, path: str) -> tuple[int, float, dict[str, float]]:
    """The limit: csv.reader and nothing else."""
    import csv

    started = time.perf_counter()
    with Path(path).open(newline="") as file:
        rows = sum(1 for _ in csv.reader(file))
    return rows, time.perf_counter() - started, {}


def run_store(_: str, path: str) -> tuple[int, float, dict[str, float]]:
    """Nine tenths known, one tenth new, recorded as ``follow`` does; the second listing is what is timed."""
    import trio

    return trio.run(_store, path)


async def _store(path: str) -> tuple[int, float, dict[str, float]]:
    import sqlite3

    from panopticond.feeds.visit import RECORDED_TOGETHER
    from panopticond.model import Indicator
    from panopticond.store.sqlite import open_store

    rows = 100_000
    step = RECORDED_TOGETHER
    listed = [
        Indicator(
            f"http://h{at % 50021}.zz/{at:x}", f"h{at % 50021}.zz", f"h{at % 50021}.zz", "zz", "registered", "phishing"
        )
        for at in range(rows + rows // 10)
    ]
    first = dt.datetime(2026, 4, 21, tzinfo=dt.UTC)
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
        async with await open_store(Path(folder) / "panopticon.db") as store:
            for at in range(0, rows, step):
                await store.record_listing("bench", first, listed[at : at + step])
            started = time.perf_counter()
            for at in range(rows // 10, rows + rows // 10, step):
                await store.record_listing("bench", first + dt.timedelta(hours=1), listed[at : at + step])
            await store.end_listing("bench", first + dt.timedelta(hours=1))
            seconds = time.perf_counter() - started
        append = sqlite3.connect(Path(folder) / "append.db")
        append.execute("PRAGMA journal_mode=wal")
        append.execute("CREATE TABLE t (uri, host, domain, tld, scope, threat)")
        started = time.perf_counter()
        for at in range(0, rows, 5000):
            batch = [(row.uri, row.host, row.domain, row.tld, row.scope, row.threat) for row in listed[at : at + 5000]]
            with append:
                append.executemany("INSERT INTO t VALUES (?,?,?,?,?,?)", batch)
        append_rate = rows / (time.perf_counter() - started)
        append.close()
    return rows, seconds, {"append_rate": append_rate}


def run_large(_: str, path: str) -> tuple[int, float, dict[str, float]]:
    """Ten million rows from a pipe, three ccTLDs kept and dropped; memory after the first tenth and at the end."""
    from panopticond.feeds.formats import FORMATS
    from panopticond.feeds.inflate import Body
    from panopticond.feeds.ingest import Ingest
    from panopticond.shared.names import Names

    reading, writing = os.pipe()
    if os.fork() == 0:
        os.close(reading)
        block = Path(path).read_bytes()
        with os.fdopen(writing, "wb") as pipe:
            for _ in range(LARGE_ROWS // ROWS):
                pipe.write(block)
        os._exit(0)
    os.close(writing)
    early = 0.0
    started = time.perf_counter()
    with os.fdopen(reading, "rb") as pipe:
        ingest = Ingest(Body(cast("BinaryIO", pipe), 1 << 60), FORMATS["urlhaus-csv"], Names(None))
        while not ingest.finished:
            ingest.take(5000)
            if not early and ingest.tally.rows >= LARGE_ROWS // 10:
                early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    os.wait()
    return ingest.tally.rows, time.perf_counter() - started, {"early_rss_mib": early}


# -- the runner


def run_child(kind: str, path: Path) -> dict[str, float]:
    """A child's figures."""
    output = subprocess.run(
        [sys.executable, "-m", "tests.bench.ingest", "--child", kind, str(path)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return cast("dict[str, float]", json.loads(output))


def intelmq() -> str | None:
    """IntelMQ's own Python, installed on first use; None where it cannot be."""
    python = PEERS / "intelmq" / "bin" / "python"
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(PEERS / "intelmq")], check=True, capture_output=True)
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", INTELMQ]
            subprocess.run(pip, check=True, capture_output=True, timeout=600)
        subprocess.run([str(python), "-c", "import intelmq"], check=True, capture_output=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return str(python)


def run_peer(python: str, path: Path) -> float:
    """IntelMQ's generic CSV parser in its library mode: rows a second."""
    script = Path(__file__).with_name("peer_intelmq.py")
    output = subprocess.run([python, str(script), str(path)], check=True, capture_output=True, text=True).stdout
    return cast("float", json.loads(next(text for text in output.splitlines() if text.startswith("{")))["rate"])


def line(name: str, value: float, rss: float, **more: Any) -> dict[str, Any]:
    """One line of bench.jsonl."""
    fields = {
        "peer": None,
        "peer_value": None,
        "peer_n": None,
        "ratio": None,
        "limit": None,
        "limit_value": None,
        **more,
    }
    return {"name": name, "value": round(value), "unit": "rows/s", **fields, "rss_mib": round(rss, 1)}


def measure(name: str, folder: Path) -> dict[str, Any]:
    """One benchmark's line."""
    path = folder / "urlhaus.csv"
    if not path.exists():
        write_urlhaus(path, ROWS)
    if name == "ingest-large":
        figures = run_child("large", path)
        return line(name, figures["rate"], figures["rss_mib"], early_rss_mib=round(figures["early_rss_mib"], 1))
    if name == "ingest-store":
        runs = [run_child("store", path) for _ in range(ROUNDS)]
        append = statistics.median(run["append_rate"] for run in runs)
        rate, rss = statistics.median(run["rate"] for run in runs), max(run["rss_mib"] for run in runs)
        return line(name, rate, rss, limit="sqlite3 append", limit_value=round(append))
    python = intelmq()
    sample = folder / "sample.csv"
    with path.open() as whole, sample.open("w") as part:
        part.writelines(text for at, text in enumerate(whole) if at <= PEER_ROWS)
    ours, limits, peers = [], [], []
    for _ in range(ROUNDS):
        ours.append(run_child("served" if name == "ingest-served" else "ingest", path))
        limits.append(run_child("csv", path)["rate"])
        if python is not None:
            peers.append(run_peer(python, sample))
    value = statistics.median(run["rate"] for run in ours)
    peer = statistics.median(peers) if peers else None
    return line(
        name,
        value,
        max(run["rss_mib"] for run in ours),
        peer=f"{INTELMQ} parser_csv, in process" if peers else f"missing: {INTELMQ} cannot be installed here",
        peer_value=None if peer is None else round(peer),
        peer_n=PEER_ROWS,
        ratio=None if peer is None else round(value / peer, 1),
        limit="csv.reader",
        limit_value=round(statistics.median(limits)),
    )


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, all by default, a JSON line each on standard output."""
    if arguments[:1] == ["--child"]:
        print(json.dumps(child(arguments[1], arguments[2])))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments or NAMES:
            print(json.dumps(measure(name, Path(folder))), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
