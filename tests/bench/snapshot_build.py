"""Benchmark ``snapshot-build``: 100,000 indicators with 32 observations each built, signed and published.

``python -m tests.bench.snapshot_build [INDICATORS]`` prints one JSON line (design section 11). A child process fills a
store of the embedded kind, another publishes from it while a task beside it wakes every 10 ms as the daemon's probes
would: ``stall_ms`` is the longest it was kept waiting. Memory is the publishing process's peak.
"""

from __future__ import annotations

import datetime as dt
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import apsw
import trio

from panopticond.config import Tld
from panopticond.judge.fingerprint import fingerprint
from panopticond.judge.verdict import Listing, judge
from panopticond.model import DomainRecord, Indicator, Observation, Round, Subject
from panopticond.shared.minisign import SecretKey
from panopticond.snapshot.licences import FeedFacts, Veil
from panopticond.snapshot.press import Press
from panopticond.snapshot.publish import Today, publish_tld
from panopticond.store.interface import FeedHealth
from panopticond.store.rows import observation_rows, to_json
from panopticond.store.sqlite import open_store

INDICATORS = 100_000
LIMIT_SECONDS, LIMIT_MIB = 90.0, 400.0
ROUNDS = 4
BATCH = 5_000
NOW = dt.datetime(2026, 11, 21, 6, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
ZZ = Tld(name="zz", zone_size=1_000_000)


def indicator(at: int) -> Indicator:
    """The ``at``-th of them: two URIs a domain, every tenth below a host its holder made."""
    domain = f"name{at // 2:06d}.zz"
    host = f"shop.{domain}" if at % 10 == 0 else domain
    scope = "subordinate" if at % 10 == 0 else "registered"
    return Indicator(f"http://{host}/wp-content/{at:x}/login.php?id=1", host, domain, "zz", scope, "phishing")  # type: ignore[arg-type]


def rounds_of(one: Indicator, number: int) -> list[Round]:
    """Four rounds of eight observations, evenly over the last day; one indicator in three is gone in all of them."""
    uri, title = str(one.uri), "Sign in to your account"
    page = fingerprint(one.domain, 200, title, 9_000, b"<html><form><input><input></form></html>")
    live = {"status": "200", "title": title, "size": "9000", "fingerprint": page, "final": uri, "elapsed_ms": "412"}
    gone = {"reason": "status-404", "status": "404", "size": "512", "elapsed_ms": "120"}
    outcome, detail = ("gone", gone) if number % 3 == 0 else ("live", live)
    found = []
    for hours in (24, 18, 12, 6):
        at = NOW - hours * HOUR + dt.timedelta(microseconds=number * 997 % 1_000_000, seconds=number * 7919 % 21_599)
        servers = {"owner": one.domain, "ns": "ns1.host.example ns2.host.example", "agreeing": "2"}
        seen = [
            Observation("delegation", one.domain, "direct", at, "delegated", servers),
            Observation("address", one.host, "direct", at, "resolves", {"addresses": "192.0.2.7 192.0.2.8"}),
            Observation("quad9", one.host, "direct", at, "not-blocked", {"agreeing": "2"}),
            Observation("webrisk", uri, "direct", at, "clean", {}),
        ]
        for vantage in ("near", "far"):
            seen += [
                Observation("web", uri, vantage, at, outcome, detail),
                Observation("web", uri.replace("http:", "https:"), vantage, at, outcome, detail | {"twin": "1"}),
            ]
        found.append(Round(at, tuple(seen)))
    return found


async def fill(path: Path, count: int) -> None:
    """A store that has followed ``count`` indicators for a day, written past the daily transactions."""
    async with await open_store(path) as store:
        await store.record_feed_health(FeedHealth("open", state="OK", since=NOW, last_success=NOW))
        for start in range(0, count, BATCH):
            batch = [indicator(at) for at in range(start, min(count, start + BATCH))]
            await store.record_listing("open", NOW - 25 * HOUR, batch)
    connection = apsw.Connection(str(path))
    connection.pragma("synchronous", "OFF")
    numbers = dict(connection.execute("SELECT key, id FROM indicator"))
    for start in range(0, count, BATCH):
        with connection:
            for at in range(start, min(count, start + BATCH)):
                _write(connection, numbers, at)
    connection.pragma("wal_checkpoint", "TRUNCATE")
    connection.close()


def _write(connection: apsw.Connection, numbers: dict[str, int], at: int) -> None:
    one = indicator(at)
    number = numbers[str(one.uri)]
    rounds = rounds_of(one, at)
    subject = Subject(number, one.uri, one.host, one.domain, "zz", one.scope, ("phishing",))
    verdict = judge(subject, rounds, Listing(listed=True))
    for round_ in rounds:
        connection.executemany(
            "INSERT INTO observation VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", list(observation_rows(number, round_))
        )
    last = int(rounds[-1].at.timestamp() * 1e6)
    connection.execute(
        "UPDATE indicator SET verdict = ?, last_round = ?, first_validated = ? WHERE id = ?",
        (to_json(verdict), last, last - 18 * 3_600_000_000 if verdict.state == "active" else None, number),
    )
    said = {"registered": f"2026-0{at % 9 + 1}-01T00:00:00Z", "registrar": f"Registrar {at % 40}"}
    registration = Observation("registration", one.domain, "direct", NOW, "registered", said)
    record = to_json(DomainRecord(one.domain, "zz", registration=registration))
    connection.execute("INSERT OR REPLACE INTO domain VALUES (?, ?)", (one.domain, record))


def printing(root: Path) -> tuple[Press, Today]:
    """A press on ``root``, and its one feed."""
    press = Press(
        root=root, key=SecretKey(b"12345678", b"s" * 32), veil=Veil(b"k" * 32), expires=36 * HOUR, keep=3,
        check_interval=6 * HOUR, popular_rank=100_000, vantages=(("near", "NZ"), ("far", "DE")),
    )  # fmt: skip
    health = FeedHealth("open", state="OK", last_success=NOW)
    return press, Today(
        (FeedFacts("open", "url-list", "redistributable", "reputable", "aged-out", "phishing", health),)
    )


async def publish(folder: Path) -> dict[str, float]:
    """Seconds, and the longest a task beside it was late, in milliseconds."""
    press, today = printing(folder / "root")
    stalls = [0.0]
    async with await open_store(folder / "p.db") as store, trio.open_nursery() as nursery:
        nursery.start_soon(watch_stalls, stalls)
        started = time.perf_counter()
        await publish_tld(press, store, ZZ, today, NOW)
        seconds = time.perf_counter() - started
        nursery.cancel_scope.cancel()
    records = (folder / "root" / "zz" / "latest" / "records.sql").stat().st_size
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "stall_ms": max(stalls) * 1000, "rss_mib": rss, "records_mib": records / (1 << 20)}


async def watch_stalls(stalls: list[float]) -> None:
    """For ever: how late a task that wakes every 10 ms was each time, in seconds."""
    while True:
        due = trio.current_time() + 0.01
        await trio.sleep_until(due)
        stalls.append(trio.current_time() - due)


def main(arguments: list[str]) -> int:
    """The runner, or with ``--child`` one of its steps."""
    if arguments[:1] == ["--child"]:
        step, place = arguments[1], Path(arguments[2])
        if step == "fill":
            trio.run(fill, place / "p.db", int(arguments[3]))
        else:
            print(json.dumps(trio.run(publish, place)))
        return 0
    count = next((int(text) for text in arguments if text.isdigit()), INDICATORS)
    with tempfile.TemporaryDirectory(prefix="snapshot-build-") as folder:
        child = [sys.executable, "-m", "tests.bench.snapshot_build", "--child"]
        subprocess.run([*child, "fill", folder, str(count)], check=True)
        output = subprocess.run([*child, "publish", folder], check=True, capture_output=True, text=True).stdout
    figures = json.loads(output)
    line = {
        "name": "snapshot-build", "value": round(figures["seconds"], 1), "unit": "s",
        "peer": None, "peer_value": None, "peer_n": None, "ratio": None,
        "limit": f"{LIMIT_SECONDS:.0f} s and {LIMIT_MIB:.0f} MiB", "limit_value": LIMIT_SECONDS,
        "rss_mib": round(figures["rss_mib"], 1), "indicators": count, "observations": count * ROUNDS * 8,
        "stall_ms": round(figures["stall_ms"], 1), "records_mib": round(figures["records_mib"], 1),
    }  # fmt: skip
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
