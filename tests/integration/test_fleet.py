"""A world over five hosts and a PostgreSQL: killed hosts and a restarted database cost nothing of the score."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from pathlib import Path

import pytest

from tests import postgres
from tests.integration.test_lab_run import STEADY
from tests.lab.collect import collect
from tests.lab.demo import moments
from tests.lab.fleet import Blow, busiest, run_fleet
from tests.lab.score import score
from tests.lab.world import make_world

pytestmark = pytest.mark.lab

SEED = 20
"""The world one host has in test_lab_run, with the same perfect score."""
REAL_SECONDS = 46.0
RATE = 20.0
BLOWS = (Blow("probe-1", 0.3), Blow("database", 0.5), Blow("probe-3", 0.62))


async def test_four_probing_hosts_two_killed_and_the_database_restarted_score_as_one(tmp_path: Path) -> None:
    """Every state, class and notice is right, no check was made early, and no TLD server was asked above the budget."""
    try:
        postgres.program("postgres")
    except postgres.MissingError as missing:
        pytest.skip(str(missing))
    start, clock = moments(REAL_SECONDS, 46)
    publications = [start + hours * dt.timedelta(hours=1) for hours in (22, 46)]
    world = make_world(SEED, len(STEADY), start=start, publications=publications, only=STEADY)
    stages: list[str] = []
    with postgres.cluster("fsync=off") as database:
        found = await run_fleet(
            world, tmp_path, database, real_seconds=REAL_SECONDS, clock=clock, on_stage=stages.append,
            blows=BLOWS, rate_per_server=RATE,
        )  # fmt: skip
    line, faults = score(world, collect(world, found.places))
    assert faults == []
    assert found.exits == dict.fromkeys(("panopticond", "probe-2", "probe-4", "arke", "internet"), 0)
    assert (line.state_accuracy, line.delegation_accuracy, line.class_accuracy) == (1.0, 1.0, 1.0)
    assert line.notices_due == line.notices_right > 0
    assert (line.notices_wrong, line.notices_duplicate, line.pii_bytes) == (0, 0, 0)
    gaps = [later - earlier for times in found.rounds.values() for earlier, later in pairwise(times)]
    assert min(gaps) >= 0.95 * dt.timedelta(hours=6), "a check made twice, by two hosts or by one"
    for times in found.arrivals:
        assert len(times) > 100
        assert busiest(sorted(times), 1.0) <= RATE + 1, (
            "one more than the rate where a stretch begins and ends with one"
        )
    probing = {name: status for name, status in found.status.items() if name != "panopticond"}
    assert all(status["rounds"] > 20 for status in probing.values())
    assert len(found.status["panopticond"]["fleet"]["hosts"]) >= 3
