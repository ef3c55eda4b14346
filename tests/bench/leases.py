"""Benchmark ``leases``: checks a second through PostgreSQL with four workers.

``python -m tests.bench.leases`` prints one JSON line (design section 11). Four processes take due checks of a plan of
100,000 and settle them under their tokens with the next due times, by the very functions the daemon calls, in batches of
the size its room and its writer have. A server of the benchmark's own keeps every default of durability; each commit is
on disk before it is answered. Every check must be leased to one worker at a time. ``rounds_per_second`` is the same with
a whole round of eight observations recorded in the transaction that settles it.
"""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import time
from itertools import pairwise

from panopticond.model import Indicator, Round, Verdict
from panopticond.store import listing, plan
from panopticond.store.plan import Finished, Lease
from panopticond.store.postgres import PostgresSql
from panopticond.store.schema import migrate
from panopticond.store.servers import Servers
from tests import postgres
from tests.bench.snapshot_build import indicator, rounds_of

CHECKS, ROUNDS = 100_000, 4_000
WORKERS = 4
BATCH, TOGETHER = 80, 64
INTERVAL_SECONDS = 21_600.0
LEASE_SECONDS = 60.0
LIMIT = 10_000
NOW = dt.datetime(2026, 11, 21, 6, 0, tzinfo=dt.UTC)


def fill(url: str, checks: int) -> None:
    """A plan of so many checks due now, with their indicators."""
    link = Servers(url).connect()
    connection = link.connection
    sql = PostgresSql(connection)
    migrate(sql)
    for start in range(0, checks, 5_000):
        batch: list[Indicator] = [indicator(at) for at in range(start, min(checks, start + 5_000))]
        connection.execute("BEGIN")
        watches = listing.record_listing(sql, b"k" * 32, "open", NOW, batch)
        plan.add(sql, [(watch.id, NOW.timestamp(), NOW.timestamp() + 300) for watch in watches])
        connection.execute("COMMIT")
    connection.execute("VACUUM ANALYZE")
    link.close()


def work(url: str, number: int, *, recording: bool) -> dict[str, object]:
    """One worker: says that it is ready, waits for a line, then takes and settles until nothing is due.

    Answers when it began and ended, in Unix seconds, and what it made, in order.
    """
    link = Servers(url).connect()
    connection = link.connection
    sql = PostgresSql(connection)
    made: list[tuple[int, int]] = []
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.time()
    while True:
        connection.execute("BEGIN")
        leases = plan.take(sql, number, NOW.timestamp(), BATCH, LEASE_SECONDS).leases
        connection.execute("COMMIT")
        if not leases:
            break
        for start in range(0, len(leases), TOGETHER):
            done = [_finished(lease) for lease in leases[start : start + TOGETHER]]
            connection.execute("BEGIN")
            kept = plan.record(sql, done) if recording else plan.settle(sql, done)
            connection.execute("COMMIT")
            made += [(one.lease.indicator_id, one.lease.token) for one in done if one.lease.indicator_id in kept]
    link.close()
    return {"began": began, "ended": time.time(), "made": made}


_ROUND = rounds_of(indicator(7), 7)[0]


def _finished(lease: Lease) -> Finished:
    due = NOW.timestamp() + INTERVAL_SECONDS
    round_ = Round(NOW, tuple(_ROUND.observations))
    return Finished(lease, round_, Verdict("active", "live-at-a-vantage", NOW, NOW), None, due, due + 300)


def run(url: str, checks: int, *, recording: bool) -> float:
    """Checks a second of all workers together; RuntimeError when one was made twice or left out."""
    fill(url, checks)
    command = [sys.executable, "-m", "tests.bench.leases", "--worker", url, "1" if recording else "0"]
    workers = [
        subprocess.Popen([*command, str(at)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for at in range(WORKERS)
    ]
    for worker in workers:
        assert worker.stdout is not None
        if worker.stdout.readline() != "ready\n":
            raise RuntimeError("a worker ended before it began")
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    told = [json.loads(worker.communicate()[0]) for worker in workers]
    made = sorted(tuple(one) for answer in told for one in answer["made"])
    if len(made) != checks or any(one[0] == other[0] for one, other in pairwise(made)):
        raise RuntimeError(f"{len(made)} checks made of {checks}, or one twice")
    return checks / (max(one["ended"] for one in told) - min(one["began"] for one in told))


def main(arguments: list[str]) -> int:
    """The runner, or with ``--worker URL RECORDING NUMBER`` one worker."""
    if arguments[:1] == ["--worker"]:
        print(json.dumps(work(arguments[1], int(arguments[3]), recording=arguments[2] == "1")))
        return 0
    try:
        with postgres.cluster("synchronous_commit=on", "shared_buffers=256MB", "max_wal_size=2GB") as database:
            rates = sorted(run(database.schema(), CHECKS, recording=False) for _ in range(3))
            with_rounds = run(database.schema(), ROUNDS, recording=True)
    except postgres.MissingError as missing:
        print(missing, file=sys.stderr)
        return 1
    line = {
        "name": "leases", "value": round(rates[1]), "unit": "checks/s", "peer": None, "peer_value": None,
        "peer_n": CHECKS, "ratio": None, "limit": f"at least, {WORKERS} workers, synchronous_commit=on",
        "limit_value": LIMIT, "rss_mib": None, "rounds_per_second": round(with_rounds),
        "observations_per_round": len(_ROUND.observations), "all": [round(rate) for rate in rates],
    }  # fmt: skip
    print(json.dumps(line))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
