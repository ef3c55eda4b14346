"""arke.screening: the rules between the keys of ``screen``."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from arke.screening import Screen, screen_faults


def test_every_fault_has_its_path(tmp_path: Path) -> None:
    """Files that are not there and keyboards that are none are named; layouts by name, file and rows are taken."""
    (tmp_path / "rows").write_text("qwe\nasd\n")
    good = Screen(keyboards=("azerty", str(tmp_path / "rows"), ("qwe", "asd")), popular=str(tmp_path / "rows"))
    assert screen_faults(good) == []
    wrong = Screen(protect=("a",), exclude=("b",), popular="c", policy="d", keyboards=("dvorak", ("q w",)))
    keys = [fault.partition(":")[0] for fault in screen_faults(wrong)]
    assert keys == [
        "screen.popular", "screen.policy", "screen.protect[0]", "screen.exclude[0]", "screen.keyboards[0]",
        "screen.keyboards[1]",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ['{"lookups": 1001}', '{"popular_top": 0}', '{"lookups": -1}', '{"keyboards": [1]}'])
def test_numbers_have_bounds(text: str) -> None:
    """Budgets and lengths out of bounds are refused by type."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Screen)
