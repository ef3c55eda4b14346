"""Benchmarks ``idle-arke`` and ``idle-panopticond``: how soon each daemon is ready, and what it holds when idle.

``python -m tests.bench.idle [name ...]`` starts ``panopticond run`` and ``arke run`` as an operator does, each in a
process of its own from a small configuration: one TLD, a signed snapshot on disk for arke (no zone loaded), 10,000
indicators in panopticond's store of which none is due, one feed that is a file, the repository served on loopback. Time
is from the start of the process to ``READY=1`` on ``$NOTIFY_SOCKET`` (sd_notify(3)); memory is ``VmRSS`` some seconds
later, when the first feed visit and the first pass over the cases are done. Medians of five runs. No peer.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import trio

from panopticond.judge.verdict import Listing, judge
from panopticond.model import Indicator, Observation, Round
from panopticond.shared.minisign import SecretKey
from panopticond.store.sqlite import open_store
from tests.integration.made import publish

NAMES = ("idle-arke", "idle-panopticond")
LIMITS_MIB = {"idle-arke": 64.0, "idle-panopticond": 150.0}
READY_LIMIT_SECONDS = 0.8
INDICATORS = 10_000
RUNS = 5
SETTLE_SECONDS = 3.0
NOBODY = "127.0.0.1:9"
"""The discard port, where nobody listens: whoever asks there is refused at once."""

TOML = """
[[tld]]
name = "zz"
suffixes = ["zz", "com.zz"]
servers = ["{nobody}"]

[[feed]]
name = "own"
url = "{root}/feed.txt"
format = "url-list"
threat = "phishing"
trust = "reputable"
licence = "redistributable"
absence = "aged-out"

[[vantage]]
name = "near"
country = "NZ"

[[vantage]]
name = "far"
country = "DE"
proxy = "http://{nobody}"

[quad9]
filtered = ["{nobody}"]
unfiltered = ["{nobody}"]

[tranco]
enabled = false

[store]
path = "{root}/store.db"

[publish]
root = "{root}/repository"
secret_key_file = "{root}/key"

[serve]
bind = "127.0.0.1:0"

[status]
socket = "{root}/status.sock"
"""


async def fill(path: Path, now: dt.datetime, indicators: int = INDICATORS) -> None:
    """A store of indicators that were each looked at within the hour, so that nothing is due for five hours."""
    async with await open_store(path) as store:
        for start in range(0, indicators, 500):
            batch = []
            for at in range(start, min(start + 500, indicators)):
                name = f"name-{at:06}.zz"
                batch.append(Indicator(f"http://{name}/kit/", name, name, "zz", "registered", "phishing"))
            for watch in await store.record_listing("own", now, batch):
                at_ = now - dt.timedelta(seconds=watch.id % 3000)
                seen = Observation("delegation", "zz", "direct", at_, "delegated")
                round_ = Round(at_, (seen,))
                subject = await store.subject(watch.id)
                await store.record_round(watch.id, round_, judge(subject, [round_], Listing(listed=True)))


def until_ready(command: list[str], folder: Path) -> tuple[float, subprocess.Popen[bytes]]:
    """Seconds from the start of a process to its READY=1, and the process; ends with what it said if there is none."""
    address = folder / "notify.sock"
    address.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear, (folder / "log").open("wb") as log:
        ear.bind(str(address))
        ear.settimeout(30)
        began = time.perf_counter()
        process = subprocess.Popen(command, env=os.environ | {"NOTIFY_SOCKET": str(address)}, stderr=log)
        try:
            while b"READY=1" not in ear.recv(4096):
                pass
        except TimeoutError:
            process.kill()
            process.wait()
            sys.exit(f"{command[3]}: not ready in 30 s: {(folder / 'log').read_text()[-500:]}")
        return time.perf_counter() - began, process


def rss_mib(pid: int) -> float:
    """``VmRSS`` of a process, MiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def measure(command: list[str], folder: Path, runs: int = RUNS) -> tuple[float, float]:
    """(seconds to ready, MiB when idle), medians of some runs, each ended by SIGTERM."""
    ready, held = [], []
    for _ in range(runs):
        seconds, process = until_ready(command, folder)
        try:
            time.sleep(SETTLE_SECONDS)
            ready.append(seconds)
            held.append(rss_mib(process.pid))
        finally:
            process.send_signal(signal.SIGTERM)
            if process.wait(20) != 0:
                sys.exit(f"{command[2]}: ended with {process.returncode}: {(folder / 'log').read_text()[-500:]}")
    return statistics.median(ready), statistics.median(held)


def arke(root: Path) -> list[str]:
    """A published snapshot and an arke.json on it; the command that runs arke there."""
    key = SecretKey.generate()
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    trio.run(publish, root, key, now)
    (root / "arke.json").write_text(
        json.dumps(
            {
                "tld": "zz",
                "keys": [key.public.text],
                "records": str(root / "repository" / "zz" / "latest" / "records.sql"),
                "state": str(root / "arke"),
                "status": {"socket": str(root / "arke.sock")},
                "recheck": {"servers": [NOBODY], "resolver": [NOBODY]},
            }
        )
    )
    return [sys.executable, "-m", "arke", "run", "-c", str(root / "arke.json")]


def panopticond(root: Path) -> list[str]:
    """A store of 10,000 indicators and a panopticond.toml on it; the command that runs panopticond there."""
    key = SecretKey.generate()
    key.write(root / "key")
    (root / "feed.txt").write_text("".join(f"http://name-{at:06}.zz/kit/\n" for at in range(INDICATORS)))
    trio.run(fill, root / "store.db", dt.datetime.now(dt.UTC))
    (root / "panopticond.toml").write_text(TOML.format(root=root, nobody=NOBODY))
    return [sys.executable, "-m", "panopticond", "run", "-c", str(root / "panopticond.toml")]


MAKERS: dict[str, Callable[[Path], list[str]]] = {"idle-arke": arke, "idle-panopticond": panopticond}


def main() -> int:
    """Print a line for each name asked for."""
    for name in sys.argv[1:] or NAMES:
        with tempfile.TemporaryDirectory(prefix="idle-") as folder:
            seconds, mib = measure(MAKERS[name](Path(folder)), Path(folder))
        line = {"name": name, "value": round(seconds, 3), "unit": "seconds to ready", "limit": "ready within"}
        limits = {"limit_value": READY_LIMIT_SECONDS, "rss_mib": round(mib, 1), "rss_limit_mib": LIMITS_MIB[name]}
        print(json.dumps(line | limits), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
