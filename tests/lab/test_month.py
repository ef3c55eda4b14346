"""The month of ``make report-check``: its world, and one day of it lived."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from panopticond.shared.minisign import PublicKey
from panopticond.shared.snapshot import verify_tree
from tests.lab.month import A_DAY, BEHAVIOURS, DAY, DAYS, START, month, month_world


def test_every_behaviour_comes_all_month_long() -> None:
    """A few domains a day, each behaviour every few days, nothing listed before its day; a seed is a world."""
    world = month_world(7)
    counts = Counter(domain.behaviour for domain in world.domains)
    assert sum(counts.values()) > DAYS * A_DAY * 0.98
    assert set(counts) == set(BEHAVIOURS)
    assert min(counts.values()) >= DAYS * A_DAY // len(BEHAVIOURS) - 1
    days = {(listing.start - START) // DAY for domain in world.domains for listing in domain.listings}
    assert days == set(range(DAYS))
    assert month_world(7) == world


@pytest.mark.lab
async def test_a_day_is_visited_checked_judged_and_published(tmp_path: Path) -> None:
    """On real sockets: what the feeds list that day is found, checked in time, and stands in a signed snapshot."""
    line = await month(tmp_path, 7, days=1)
    assert (line.domains, line.snapshots, line.late) == (A_DAY, 1, 0)
    assert line.rounds >= 4 * A_DAY - 6
    key = PublicKey.parse((tmp_path / "keys" / "panopticon.pub").read_text())
    manifest = verify_tree(Path(line.published) / "zz" / "latest", [key], tld="zz")
    assert manifest.ended_at <= START + DAY
