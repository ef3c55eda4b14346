"""A small soak on every run; the full one is ``make soak``."""

from __future__ import annotations

import datetime as dt
import struct
from pathlib import Path

import pytest

from tests.lab.hands import Hands
from tests.lab.soak import BEHAVIOURS, START, Figures, soak


@pytest.mark.lab
async def test_four_windows_on_real_sockets_hold_four_checks_each_and_nothing_grows(tmp_path: Path) -> None:
    """One domain of each behaviour: none missed, none early by more than its jitter, every one answered, no socket more."""
    figures = await soak(len(BEHAVIOURS), 4, tmp_path)
    assert figures.rounds >= figures.indicators * 16
    assert (figures.wrong_windows, figures.early, figures.unchecked, figures.whole) == (0, 0, 0, 1.0)
    assert figures.descriptors[-1] <= figures.descriptors[1] + 2
    assert figures.tasks[-1] <= figures.tasks[1]
    assert {"active", "mitigated-content", "mitigated-dns"} <= figures.states.keys()


def test_a_clock_moved_by_hand_is_seen_by_whoever_maps_it(tmp_path: Path) -> None:
    """To the microsecond, at once, and by a second reader."""
    first = Hands(tmp_path / "clock", START)
    second = Hands(tmp_path / "clock")
    assert second.now() == START
    later = START + dt.timedelta(days=4, microseconds=7)
    first.move(later)
    assert second.now() == later
    assert len((tmp_path / "clock").read_bytes()) == struct.calcsize("<q")


@pytest.mark.parametrize(
    "changes",
    [
        {"wrong_windows": 1},
        {"early": 1},
        {"whole": 0.99},
        {"rss_mib": [100.0, 100.0, 104.0, 108.0]},
        {"blocks": [200_000, 250_000, 253_000, 256_000]},
        {"descriptors": [40, 40, 40, 43]},
        {"tasks": [30, 30, 30, 31]},
    ],
)
def test_each_fault_fails_the_soak(changes: dict[str, object]) -> None:
    """Whatever was missed, early, unanswered or grew makes the run a bad one."""
    good: dict[str, object] = {
        "rss_mib": [90.0, 100.0, 101.0, 101.0],
        "blocks": [200_000, 250_000, 249_000, 252_000],
        "descriptors": [40] * 4,
        "tasks": [30] * 4,
        "whole": 1.0,
    }
    assert Figures(1, 4, **good).good()  # type: ignore[arg-type]
    assert not Figures(1, 4, **(good | changes)).good()  # type: ignore[arg-type]
