"""A world over several hosts: one that collects and publishes, others that only probe, and a PostgreSQL between them.

Used by ``tests/integration/test_fleet.py``. Hosts are processes with configuration files
of their own; some are killed on the way and not started again, and the database is restarted once.
"""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import trio

from panopticond.shared.http import Http
from tests import postgres
from tests.lab.configure import Places, prepare, toml
from tests.lab.model import World
from tests.lab.processes import LabRun, Stage

LEASE = "3s"
"""Real time: short, because a policy hour takes under a second."""


class Blow(msgspec.Struct, frozen=True):
    """What is done to the fleet at a fraction of the run: a host's name is killed, ``database`` restarted."""

    target: str
    fraction: float


class Findings(msgspec.Struct, frozen=True):
    """What a run left behind beside its snapshots."""

    places: Places
    exits: dict[str, int]
    arrivals: tuple[tuple[float, ...], ...]
    """Real seconds at which each of the TLD's servers was asked by the hosts; arke asks them at ports of its own."""
    status: dict[str, dict[str, Any]]
    """What each host that lived to the end said of itself."""
    rounds: dict[int, tuple[dt.datetime, ...]]
    """When the recorded rounds of each indicator began, policy time."""


async def run_fleet(
    world: World,
    out: Path,
    database: postgres.Cluster,
    *,
    real_seconds: float,
    clock: tuple[dt.datetime, float],
    on_stage: Stage,
    probes: int = 4,
    blows: Sequence[Blow] = (),
    rate_per_server: float = 5000.0,
) -> Findings:
    """Run a world over ``probes`` hosts that probe and one that does the rest; LabError as ``run_world``."""
    places = prepare(out, *clock)
    url = await trio.to_thread.run_sync(database.schema)
    names = ["panopticond", *(f"probe-{number}" for number in range(1, probes + 1))]
    command = ["-m", "panopticond", "run", "-c"]
    run = LabRun(world, places, on_stage=on_stage)
    python = run.commands["panopticond"][0]
    run.commands |= {name: [python, *command, str(places.root / f"{name}.toml")] for name in names}
    try:
        await run.start_internet()
        for name in names:
            _configure(places, name, url, rate_per_server)
        for name in [*names, "arke"]:
            run.start(name)
        on_stage(f"{len(names)} hosts and arke are started")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.rewrite_zone)
            for blow in blows:
                nursery.start_soon(_strike, run, database, blow, real_seconds)
            await run.follow()
            nursery.cancel_scope.cancel()
        await run.drained()
        await run.keep_status()
        status = {name: await run._status(f"{name}.sock") or {} for name in names if name in run.processes}
        arrivals = await _arrivals(run)
        for name in ["arke", *(name for name in names if name in run.processes), "internet"]:
            await run.stop(name)
    finally:
        run.end_all()
    rounds = await trio.to_thread.run_sync(_rounds, url)
    return Findings(places, run.exits, arrivals, status, rounds)


def _configure(places: Places, name: str, url: str, rate: float) -> None:
    """The host's own file: the world's configuration with a shared store and its roles."""
    config = tomllib.loads(places.panopticond_toml.read_text(encoding="utf-8"))
    if name == "panopticond":
        config |= {"roles": ["collect", "publish", "serve"]}
    else:
        config |= {"roles": ["probe"]}
    config["store"] = {"url": url, "lease": LEASE}
    config["status"] = {"socket": str(places.sockets / f"{name}.sock")}
    config["dns"]["rate_per_server"] = rate
    config["validation"]["concurrency"] = 16
    target = places.root / f"{name}.toml"
    target.write_text(toml(config), encoding="utf-8")


async def _strike(run: LabRun, database: postgres.Cluster, blow: Blow, real_seconds: float) -> None:
    begins = (run.world.start - run.clock.now()).total_seconds() / run.clock.scale
    await trio.sleep(max(0.0, begins + blow.fraction * real_seconds))
    run.on_stage(f"{blow.target} is struck")
    if blow.target == "database":
        await trio.to_thread.run_sync(database.stop)
        await trio.to_thread.run_sync(database.start)
    else:
        process = run.processes.pop(blow.target)
        process.kill()
        await trio.to_thread.run_sync(process.wait)


async def _arrivals(run: LabRun) -> tuple[tuple[float, ...], ...]:
    reply = await Http("lab").get(
        f"http://127.0.0.1:{run.ports.control}/arrivals", limit_bytes=64 << 20, deadline_seconds=30.0
    )
    return tuple(tuple(times) for _, times in sorted(json.loads(reply.body).items()))


def _rounds(url: str) -> dict[int, tuple[dt.datetime, ...]]:
    found: dict[int, list[dt.datetime]] = {}
    with psycopg.connect(url) as connection:
        for number, at in connection.execute("SELECT DISTINCT indicator_id, round_at FROM observation ORDER BY 1, 2"):
            found.setdefault(number, []).append(dt.datetime.fromtimestamp(at / 1e6, dt.UTC))
    return {number: tuple(times) for number, times in found.items()}


def busiest(times: Sequence[float], seconds: float) -> int:
    """The most questions that fell into any stretch of so many seconds."""
    most = first = 0
    for at, when in enumerate(times):
        while when - times[first] >= seconds:
            first += 1
        most = max(most, at - first + 1)
    return most
