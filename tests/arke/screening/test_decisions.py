"""arke.screening.decisions: what people decided stays, and the precision that follows from it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arke.screening.decisions import FILE, decide, decisions, precision_at, wilson
from panopticond.shared.errors import StoreError

NOW = dt.datetime(2026, 8, 20, tzinfo=dt.UTC)


def test_the_last_word_counts(tmp_path: Path) -> None:
    """A name's last decision stands; a line cut short is passed over; nothing decided is no fault."""
    assert decisions(tmp_path) == {}
    decide(tmp_path, "paypa1.zz", "confirm", 1, NOW)
    decide(tmp_path, "paypa1.zz", "dismiss", 1, NOW)
    with (tmp_path / FILE).open("a") as file:
        file.write("2026-08-20T00:00:00Z,half")
    made = decisions(tmp_path)
    assert {name: item.word for name, item in made.items()} == {"paypa1.zz": "clear"}
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_precision(tmp_path: Path) -> None:
    """Only decisions about the first N count; the interval is Wilson's; before the first it is everything."""
    for rank in range(1, 11):
        decide(tmp_path, f"a{rank}.zz", "confirm" if rank <= 8 else "dismiss", rank, NOW)
    decide(tmp_path, "unlisted.zz", "dismiss", 0, NOW)
    made = decisions(tmp_path).values()
    figures = precision_at(made, 100)
    assert (figures.decided, figures.abuse, figures.precision) == (10, 8, 0.8)
    assert (figures.low, figures.high) == pytest.approx((0.4902, 0.9433), abs=1e-3)
    assert precision_at(made, 5).precision == 1.0
    assert precision_at([], 5).precision is None


@given(st.integers(0, 1000), st.integers(0, 1000))
def test_interval_holds_the_share(hits: int, misses: int) -> None:
    """The interval lies between 0 and 1 and holds the share."""
    low, high = wilson(hits, hits + misses)
    assert 0 <= low <= high <= 1
    if hits + misses:
        assert low - 1e-9 <= hits / (hits + misses) <= high + 1e-9


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """A state directory that is a file is said in one sentence."""
    (tmp_path / "state").write_text("")
    with pytest.raises(StoreError):
        decide(tmp_path / "state", "a.zz", "confirm", 0, NOW)
