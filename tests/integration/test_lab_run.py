"""Both daemons as real processes in a small world: killed at any moment, ended by SIGTERM, made wrong on purpose."""

from __future__ import annotations

import csv
import datetime as dt
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.lab.behaviours import RECIPES
from tests.lab.collect import collect
from tests.lab.configure import Places
from tests.lab.demo import moments
from tests.lab.model import World
from tests.lab.run import Kill, run_world
from tests.lab.score import Score, score
from tests.lab.world import make_world

pytestmark = pytest.mark.lab

STEADY = tuple(name for name, recipe in RECIPES.items() if not recipe.changes)
"""What does not change while a daemon is down: here a policy hour takes a third of a second, a restart several hours."""
QUICK = ("alive", "compromised", "malicious", "cloaked", "several-uris", "nonexistent", "host-only", "supporting-once")
"""What is settled after the first day."""


async def run_small(
    root: Path,
    seed: int,
    behaviours: Sequence[str],
    *,
    hours: Sequence[float],
    real_seconds: float,
    domains: int | None = None,
    kills: Sequence[Kill] = (),
    hosters: bool = False,
    **options: Any,
) -> tuple[World, Places, dict[str, int], Score, list[str]]:
    """One scored run of a world whose publications are ``hours`` after its start."""
    start, clock = moments(real_seconds, hours[-1])
    publications = [start + hour * dt.timedelta(hours=1) for hour in hours]
    number = domains or len(behaviours)
    world = make_world(seed, number, start=start, publications=publications, only=behaviours, hosters=hosters)
    stages: list[str] = []
    outcome = await run_world(
        world, root, real_seconds=real_seconds, on_stage=stages.append, clock=clock, kills=kills, **options
    )
    line, faults = score(world, collect(world, outcome.places))
    return world, outcome.places, outcome.exits, line, faults


async def test_kill_9_at_any_moment_and_the_score_is_perfect(tmp_path: Path) -> None:
    """Each daemon killed three times and started again: nothing lost, nothing twice; SIGTERM ends both with 0 in time.

    Whose RDAP answer has no usable address gets no mail and stands on arke's list with the reason.
    """
    seed = 20
    rng = random.Random(seed)
    kills = [
        Kill(daemon, rng.uniform(low, high))
        for daemon in ("panopticond", "arke")
        for low, high in ((0.02, 0.4), (0.45, 0.65), (0.7, 0.97))
    ]
    world, places, exits, line, faults = await run_small(
        tmp_path, seed, STEADY, hours=(22, 46), real_seconds=38.0, kills=kills
    )
    assert faults == []
    assert exits == {"panopticond": 0, "arke": 0, "internet": 0}
    killed = sorted(line.split()[0] for line in places.kills.read_text().splitlines())
    assert killed == ["arke"] * 3 + ["panopticond"] * 3
    assert (line.state_accuracy, line.delegation_accuracy, line.class_accuracy) == (1.0, 1.0, 1.0)
    assert line.notices_due == line.notices_right > 0
    assert (line.notices_wrong, line.notices_duplicate, line.pii_bytes) == (0, 0, 0)
    with (places.arke_state / "no-contact.csv").open(newline="", encoding="utf-8") as file:
        listed = {row["domain"]: row for row in csv.DictReader(file)}
    for behaviour in ("contacts-redacted", "contacts-placeholder", "contacts-missing", "contact-inside-domain"):
        (name,) = [domain.name for domain in world.domains if domain.behaviour == behaviour]
        assert listed[name]["reason"], behaviour


async def test_the_score_falls_when_a_daemon_is_made_wrong(tmp_path: Path) -> None:
    """One small world four times: honest daemons are perfect, each wrong one fails in the figure that is about it.

    Who hosts is told beside the holders, wherever its network has an abuse desk; one of every kind of network is asked.
    """
    found: dict[str, Score] = {}

    async def one(how: str, daemon: str | None) -> None:
        root = tmp_path / how
        config = {"panopticond": root / "panopticond.toml", "arke": root / "arke.json"}
        wrong = [sys.executable, "-m", "tests.lab.sabotage", how, "run", "-c"]
        commands = {daemon: [*wrong, str(config[daemon])]} if daemon else None
        *_, found[how], _ = await run_small(
            root, 7, QUICK, hours=(22,), real_seconds=22.0, domains=12, commands=commands, hosters=True
        )

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one, "honest", None)
        nursery.start_soon(one, "flipped-verdict", "panopticond")
        nursery.start_soon(one, "wrong-recipient", "arke")
        nursery.start_soon(one, "nothing-sent", "arke")
    honest, due = found["honest"], found["honest"].notices_due
    assert honest.harmless
    assert (honest.state_accuracy, honest.notices_right, honest.notices_missing) == (1.0, due, 0)
    assert due > 5
    assert found["flipped-verdict"].state_accuracy < 0.1
    assert found["wrong-recipient"].state_accuracy == 1.0
    assert found["wrong-recipient"].notices_wrong > 0
    assert found["wrong-recipient"].notices_right <= 1
    assert not found["wrong-recipient"].harmless
    assert found["nothing-sent"].state_accuracy == 1.0
    assert (found["nothing-sent"].notices_right, found["nothing-sent"].notices_missing) == (0, due)
