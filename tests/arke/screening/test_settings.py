"""arke.screening: the rules between the keys of ``screen``."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from arke.commands.everyday import on_this_host
from arke.config import Config
from arke.screening.settings import Screen, screen_faults


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


def test_files_are_what_they_are_named_for(tmp_path: Path) -> None:
    """A popular list, layout or policy that is there and is none is found before anything starts."""
    for name, text in (("top", "nothing\n"), ("rows", "q w\n"), ("policy", '{"kinds": {"odd": "hold"}}')):
        (tmp_path / name).write_text(text)
    screen = Screen(popular=str(tmp_path / "top"), keyboards=(str(tmp_path / "rows"),), policy=str(tmp_path / "policy"))
    config = Config(tld="zz", keys=["RWx"], records="x", state=str(tmp_path), screen=screen)
    told = [fault.partition(":")[0] for fault in on_this_host(config)]
    assert [key for key in told if key.startswith("screen")] == [
        "screen.keyboards[0]",
        "screen.popular",
        "screen.policy",
    ]


@pytest.mark.parametrize("text", ['{"lookups": 1001}', '{"popular_top": 0}', '{"lookups": -1}', '{"keyboards": [1]}'])
def test_numbers_have_bounds(text: str) -> None:
    """Budgets and lengths out of bounds are refused by type."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Screen)
