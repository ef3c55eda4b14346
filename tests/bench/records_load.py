"""Benchmark ``records-load``: arke's reader of records.sql beside the ``sqlite3`` shell's ``.read`` of the same file.

``python -m tests.bench.records_load [ROWS]`` prints one JSON line (design section 11). The file is made up here, as a
publication makes it: eight observations to an indicator. Runs take turns, each in a process of its own; the medians
count. Both read every row: ours leaves with structs of what cases rest on, the shell with an in-memory database.
"""

from __future__ import annotations

import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from arke.cases.needed import needed
from panopticond.shared.records import read_tables, write_records
from panopticond.shared.tables import ObservationRow, SightingRow, SnapshotRow, UriRow

ROWS = 600_000
ROUNDS = 3
LIMIT_RATE = 150_000.0
AT = "2026-11-21T05:00:00Z"


def write(path: Path, rows: int) -> int:
    """A records.sql of about ``rows`` rows; how many it has."""
    count = rows // 34
    snapshot = SnapshotRow(
        tld="zz", serial=2026112101, format=1, from_at=AT, to_at=AT, issued=AT, late=0, checks_due=4, checks_done=4,
        zone_size=1_000_000, software="bench", timezone="UTC", vantages="near:NZ far:DE", tranco_list=None,
    )  # fmt: skip
    tables: dict[str, Iterator[object]] = {
        "snapshot": iter([snapshot]),
        "uri": (_uri(at) for at in range(count)),
        "sighting": (SightingRow(f"i{at:016x}", "open", "phishing", AT, AT, None) for at in range(count)),
        "observation": (row for at in range(count) for row in _observations(at)),
    }
    with path.open("wb") as file:
        file.writelines(write_records(tables))  # type: ignore[arg-type]
    return 1 + count * 34


def _uri(at: int) -> UriRow:
    name = f"name{at // 2:06d}.zz"
    return UriRow(
        indicator=f"i{at:016x}", uri=f"http://{name}/wp-content/{at:x}/login.php?id=1&it''s=1", host=name, domain=name,
        scope="registered", altered=0, threats="phishing", state="active", rule="live-at-a-vantage", since=AT,
        last_known="active", last_known_at=AT, flags="listed", validated=1, recorded=AT, first_active=AT,
        last_active=AT, first_gone=None, round_count=4, decision=None,
    )  # fmt: skip


def _observations(at: int) -> Iterator[ObservationRow]:
    name = f"name{at // 2:06d}.zz"
    uri = f"http://{name}/wp-content/{at:x}/login.php?id=1"
    said = (
        f"elapsed_ms=412&final={uri.replace('=', '%3D')}&fingerprint={name};2xx;a472fb999bdb;14;8df4e04dc5f4&size=9000"
    )
    for hour in (1, 7, 13, 19):
        when = f"2026-11-20T{hour:02d}:00:00Z"
        yield ObservationRow(f"i{at:016x}", when, "delegation", name, "direct", when, "delegated", f"owner={name}")
        yield ObservationRow(f"i{at:016x}", when, "address", name, "direct", when, "resolves", "addresses=192.0.2.7")
        yield ObservationRow(f"i{at:016x}", when, "quad9", name, "direct", when, "not-blocked", "agreeing=2")
        yield ObservationRow(f"i{at:016x}", when, "webrisk", uri, "direct", when, "clean", "")
        for vantage in ("near", "far"):
            yield ObservationRow(f"i{at:016x}", when, "web", uri, vantage, when, "live", said)
            yield ObservationRow(f"i{at:016x}", when, "web", uri, vantage, when, "live", said + "&twin=1")


def ours(path: Path) -> dict[str, float]:
    """Seconds of arke's reader, which keeps what cases rest on, and the process's peak memory."""
    started = time.perf_counter()
    tables = read_tables(path, kept=needed)
    seconds = time.perf_counter() - started
    kept = sum(len(found) for found in tables.values())
    return {"seconds": seconds, "kept": kept, "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def shell(sqlite3: str, path: Path) -> float:
    """Seconds of the shell."""
    started = time.perf_counter()
    subprocess.run([sqlite3, ":memory:", f".read {path}"], check=True, capture_output=True)
    return time.perf_counter() - started


def main(arguments: list[str]) -> int:
    """The runner, or with ``--child FILE`` one timed run of ours."""
    if arguments[:1] == ["--child"]:
        print(json.dumps(ours(Path(arguments[1]))))
        return 0
    wanted = next((int(text) for text in arguments if text.isdigit()), ROWS)
    sqlite3 = shutil.which("sqlite3")
    runs: list[dict[str, float]] = []
    peers: list[float] = []
    with tempfile.TemporaryDirectory(prefix="records-load-") as folder:
        path = Path(folder) / "records.sql"
        rows = write(path, wanted)
        command = [sys.executable, "-m", "tests.bench.records_load", "--child", str(path)]
        for _ in range(ROUNDS):
            runs.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
            if sqlite3 is not None:
                peers.append(shell(sqlite3, path))
    rate = rows / statistics.median(run["seconds"] for run in runs)
    peer = rows / statistics.median(peers) if peers else None
    line = {
        "name": "records-load", "value": round(rate), "unit": "rows/s",
        "peer": "sqlite3 .read" if peer else "sqlite3 .read: not installed", "peer_value": peer and round(peer),
        "peer_n": rows, "ratio": peer and round(rate / peer, 2), "limit": "rows/s; ratio at least 0.5",
        "limit_value": LIMIT_RATE, "rss_mib": round(max(run["rss_mib"] for run in runs), 1),
        "kept": round(runs[0]["kept"]),
    }  # fmt: skip
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
