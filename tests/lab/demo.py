"""``make demo``: the main job end to end on a small world, in about a minute, with everything it made under one folder.

The clock is set so that policy time meets real time just as the run ends: the last snapshot is then issued within the
hour before, and ``arke verify`` by the real clock accepts it.
"""

from __future__ import annotations

import base64
import datetime as dt
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import trio

from panopticond.shared.clock import UTC
from tests.lab.collect import collect
from tests.lab.configure import Places
from tests.lab.model import World
from tests.lab.processes import LabError
from tests.lab.run import WARM_UP_SECONDS, Outcome, run_world
from tests.lab.score import score
from tests.lab.world import make_world

DOMAINS = 62
REAL_SECONDS = 62.0
LAST_PUBLICATION_BEFORE_END = dt.timedelta(minutes=56)
WORLD_HOURS = 46
"""Hours from the world's start to its second and last publication."""


class Line(msgspec.Struct, frozen=True):
    """The last line of standard output."""

    rows: int
    indicators: int
    validated: int
    notices_sent: int
    notices_wrong: int
    review_names: int
    snapshot_serial: int


def tell(sentence: str) -> None:
    """One progress line on standard error."""
    print(f"lab: {sentence}", file=sys.stderr, flush=True)


def moments(real_seconds: float, hours: float) -> tuple[dt.datetime, tuple[dt.datetime, float]]:
    """(the world's start, (epoch, scale)) for a run that meets real time at its end, ``hours`` of policy time long.

    The last publication is on a whole minute, under an hour before that end, because configurations know minutes.
    """
    begins = time.time() + WARM_UP_SECONDS
    ends = dt.datetime.fromtimestamp(begins + real_seconds, UTC)
    last = (ends - LAST_PUBLICATION_BEFORE_END).replace(second=0, microsecond=0)
    start = last - dt.timedelta(hours=hours)
    return start, (ends, (ends - start).total_seconds() / real_seconds)


def run_demo(out: Path) -> int:
    """Run it; the exit status is 0 when every count is as it must be."""
    clear(out)
    start, clock = moments(REAL_SECONDS, WORLD_HOURS)
    world = make_world(2026, DOMAINS, start=start, days=2.2)
    tell(f"a world of {len(world.domains)} domains is made; the run takes about {REAL_SECONDS + 15:.0f} seconds")
    outcome = trio.run(_run, world, out, clock)
    found = collect(world, outcome.places)
    result, faults = score(world, found)
    gather(outcome.places, found.tables)
    line = Line(
        **counts(found.tables),
        notices_sent=len(found.mails),
        notices_wrong=result.notices_wrong + result.notices_duplicate,
        review_names=review_names(out),
        snapshot_serial=found.tables["snapshot"][0].serial if found.tables else 0,
    )
    for fault in (fault for fault in faults if fault.startswith(("notice", "personal"))):
        tell(f"FAULT {fault}")
    where_to_look(out, world, outcome)
    print(msgspec.json.encode(line).decode(), flush=True)
    good = line.notices_wrong == 0 and all(
        value > 0 for key, value in msgspec.to_builtins(line).items() if key != "notices_wrong"
    )
    return 0 if good and not any(outcome.exits.values()) else 1


async def _run(world: World, out: Path, clock: tuple[dt.datetime, float]) -> Outcome:
    return await run_world(world, out, real_seconds=REAL_SECONDS, on_stage=tell, clock=clock)


def counts(tables: Mapping[str, Sequence[Any]]) -> dict[str, int]:
    """rows, indicators and validated, from a snapshot's tables."""
    judged = [*tables.get("uri", ()), *(row for row in tables.get("host", ()) if row.indicator is not None)]
    return {
        "rows": sum(row.row_count for row in tables.get("feed", ())),
        "indicators": len(judged),
        "validated": sum(bool(row.validated) for row in judged),
    }


def gather(places: Places, tables: Mapping[str, Sequence[Any]]) -> None:
    """Put accepted mails under ``mail/`` and the review list beside the configuration."""
    folder = places.root / "mail"
    folder.mkdir(exist_ok=True)
    entries = [msgspec.json.decode(line) for line in places.mails.read_bytes().splitlines()]
    for number, entry in enumerate(entries, 1):
        (folder / f"{number:04d}.eml").write_bytes(base64.b64decode(entry["bytes_b64"]))
    lists = sorted(places.arke_state.rglob("review.csv"))
    if lists:
        shutil.copyfile(lists[-1], places.root / "review.csv")
    tell(f"{len(entries)} mails accepted; {len(tables.get('incident', ()))} incidents in the last snapshot")


def review_names(out: Path) -> int:
    """Names on arke's review list."""
    path = out / "review.csv"
    return max(0, len(path.read_text(encoding="utf-8").splitlines()) - 1) if path.is_file() else 0


def where_to_look(out: Path, world: World, outcome: Outcome) -> None:
    """Tell where everything lies."""
    latest = out / "published" / world.tlds[0] / "latest"
    tell(f"done in {outcome.real_seconds:.0f} s; look at")
    for what, path in (
        ("the report for the ccTLD manager", latest / "report.html"),
        ("the signed snapshot and its raw data", latest / "records.sql"),
        ("the notices that were sent", out / "mail"),
        ("look-alike names nobody has reported", out / "review.csv"),
        ("both configurations", out / "panopticond.toml"),
    ):
        tell(f"  {what}: {path}")


def clear(out: Path) -> None:
    """Empty an output directory of an earlier run; LabError when it holds anything else."""
    if out.is_dir() and any(out.iterdir()):
        if not (out / "world.json").is_file() and not (out / "panopticond.toml").is_file():
            raise LabError(f"{out} holds something else; name another directory with --out")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
