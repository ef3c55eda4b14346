"""``python -m tests.lab demo|score|replay|soak|month|internet``: what the ``make`` targets of these names call.

Progress goes to standard error; the last line of standard output is the JSON line of design.md section 10.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path

import msgspec
import trio

from panopticond.shared.errors import PanopticonError
from tests.lab.collect import collect
from tests.lab.demo import clear, gather, moments, run_demo, tell
from tests.lab.internet.smtp import AGAIN
from tests.lab.month import DAYS, run_month
from tests.lab.pace import pace
from tests.lab.processes import LabError
from tests.lab.run import Kill, Outcome, run_world
from tests.lab.score import score
from tests.lab.soak import soak
from tests.lab.standing import run_internet
from tests.lab.world import make_world

SCORE_HOURS = 70
"""Policy hours from the start to the third and last publication."""
LEAST_SCORE_SECONDS = 140.0
SCORE_SECONDS_PER_DOMAIN = 0.85
"""Real seconds on an idle machine like ours; `pace` stretches them elsewhere."""
SECONDS_PER_KILL = 2.5
"""Of these arke needs about one to start."""
KILLED_MAIL_SECONDS = 0.3


def main() -> int:
    """Run what the command line asks for; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="the main job on a small world")
    demo.add_argument("--out", type=Path, default=Path("demo-out"))
    scored = commands.add_parser("score", help="a world of a seed, and how right the daemons were")
    scored.add_argument("--seed", type=int, required=True)
    scored.add_argument("--domains", type=int, default=200)
    scored.add_argument("--seconds", type=float, help="real seconds; by default by the number of domains")
    scored.add_argument("--only", action="append", help="plant only this behaviour; may be repeated")
    scored.add_argument("--kills", type=int, default=0, help="kill -9 arke at so many random points")
    scored.add_argument(
        "--hosters", action=argparse.BooleanOptionalAction, default=True, help="who hosts is told beside the first rung"
    )
    scored.add_argument("--out", type=Path, default=Path("lab-out"))
    replay = commands.add_parser("replay", help="captured feeds and a real zone")
    replay.add_argument("--data", type=Path, required=True)
    replay.add_argument("--tld", required=True)
    replay.add_argument("--out", type=Path, default=Path("replay-out"))
    standing = commands.add_parser("internet", help="the lab's internet by itself, in real time")
    standing.add_argument("--seed", type=int, default=2026)
    standing.add_argument("--out", type=Path, default=Path("internet-out"))
    soaked = commands.add_parser("soak", help="the collector's loop over whole windows, and what it grew by")
    soaked.add_argument("--indicators", type=int, default=5000)
    soaked.add_argument("--windows", type=int, default=4)
    soaked.add_argument("--out", type=Path, default=Path("soak-out"))
    lived = commands.add_parser("month", help="thirty days published day by day, for the reports")
    lived.add_argument("--seed", type=int, default=2026)
    lived.add_argument("--days", type=int, default=DAYS)
    lived.add_argument("--out", type=Path, default=Path("month-out"))
    arguments = parser.parse_args()
    try:
        if arguments.command == "demo":
            return run_demo(arguments.out)
        if arguments.command == "score":
            return run_score(
                arguments.seed,
                arguments.domains,
                arguments.seconds,
                arguments.only,
                arguments.out,
                arguments.kills,
                hosters=arguments.hosters,
            )
        if arguments.command == "internet":
            return run_internet(arguments.out, arguments.seed)
        if arguments.command == "soak":
            return run_soak(arguments.indicators, arguments.windows, arguments.out)
        if arguments.command == "month":
            clear(arguments.out)
            return run_month(arguments.out, arguments.seed, arguments.days, tell)
        from tests.lab.replay import run_replay

        return run_replay(arguments.data, arguments.tld.lower(), arguments.out)
    except (LabError, PanopticonError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def run_score(
    seed: int,
    domains: int,
    seconds: float | None,
    only: list[str] | None,
    out: Path,
    kills: int = 0,
    *,
    hosters: bool = True,
) -> int:
    """One scored world; 1 when a notice was wrong or duplicated or anything personal leaked.

    With ``kills`` the SMTP server takes its time between keeping a mail and saying so, so that many meet one in doubt.
    """
    clear(out)
    least = max(LEAST_SCORE_SECONDS, domains * SCORE_SECONDS_PER_DOMAIN, kills * SECONDS_PER_KILL)
    real_seconds = seconds or pace() * least
    start, clock = moments(real_seconds, SCORE_HOURS)
    world = make_world(seed, domains, start=start, only=only, hosters=hosters)
    if kills:
        world = msgspec.structs.replace(world, mail_seconds=KILLED_MAIL_SECONDS)
    points = random.Random(seed)
    killed = [Kill("arke", points.uniform(0.02, 0.99)) for _ in range(kills)]
    tell(f"seed {seed}: {domains} domains; the run takes about {real_seconds + 20:.0f} seconds")

    async def run() -> Outcome:
        return await run_world(world, out, real_seconds=real_seconds, on_stage=tell, clock=clock, kills=killed)

    outcome = trio.run(run)
    found = collect(world, outcome.places)
    line, faults = score(world, found)
    gather(outcome.places, found.tables)
    (out / "faults.txt").write_text("".join(f"{fault}\n" for fault in faults), encoding="utf-8")
    for name, status in outcome.exits.items():
        if status:
            tell(f"{name} ended with status {status}; see {outcome.places.logs}/{name}.log")
    if kills:
        again = outcome.places.mails.with_name(AGAIN)
        repeats = again.read_bytes().count(b"\n") if again.is_file() else 0
        done = outcome.places.kills.read_text(encoding="ascii").count("arke ") if outcome.places.kills.is_file() else 0
        tell(f"arke was killed {done} times; {repeats} mails came twice, each under its one Message-ID")
    tell(f"{len(faults)} faults, each a line of {out}/faults.txt; {outcome.real_seconds:.0f} s")
    print(msgspec.json.encode(line).decode(), flush=True)
    return 0 if line.harmless else 1


def run_soak(indicators: int, windows: int, out: Path) -> int:
    """One soak; 1 when something grew, was missed or came early."""
    clear(out)
    figures = trio.run(soak, indicators, windows, out, tell)
    figures.cpu_seconds = round(time.process_time(), 1)
    print(json.dumps(msgspec.to_builtins(figures) | {"good": figures.good()}), flush=True)
    return 0 if figures.good() else 1


if __name__ == "__main__":
    sys.exit(main())
