"""A small soak on every run; the full one is ``python -m tests.panopticond.soak``."""

from __future__ import annotations

from tests.panopticond.soak import run


async def test_four_windows_hold_four_checks_each_and_nothing_grows() -> None:
    """150 indicators over four windows: none missed, none early by more than its jitter, no descriptor more."""
    figures = await run(150, 4)
    assert figures.rounds >= 150 * 16
    assert (figures.wrong_windows, figures.early) == (0, 0)
    assert figures.descriptors[-1] <= figures.descriptors[0]
