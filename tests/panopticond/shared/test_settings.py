"""Every fault of a configuration file is told at once, with its path."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from panopticond.shared.errors import ConfigurationError
from panopticond.shared.settings import convert, read_json, read_secret, read_toml, seconds


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    size: int
    name: str = "x"


class Outer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    inner: Inner
    many: tuple[Inner, ...] = ()
    maybe: Inner | None = None


def test_every_fault_is_told_with_its_path() -> None:
    """Unknown keys, missing keys and wrong types, however deep, in one go."""
    data = {"inner": {"size": "big", "nmae": 1}, "many": [{"size": 1}, {"name": 2}], "maybe": 3, "other": 1}
    with pytest.raises(ConfigurationError) as caught:
        convert(data, Outer)
    told = "\n".join(caught.value.problems)
    for path in (
        "inner.size",
        "inner.nmae: unknown key",
        "many[1].size: missing",
        "many[1].name",
        "maybe",
        "other: unknown key",
    ):
        assert path in told


def test_rules_between_keys_come_after_types() -> None:
    """The check runs on a whole value only."""
    with pytest.raises(ConfigurationError, match="too small"):
        convert({"inner": {"size": 1}}, Outer, lambda value: ["inner.size: too small"] if value.inner.size < 2 else [])


def test_rules_are_held_against_what_is_sound() -> None:
    """A fault in one key hides no broken rule elsewhere; of the faulty key itself, or what it holds, nothing more."""

    def check(value: Outer) -> list[str]:
        assert len(value.many) == 3  # indices stay
        return ["many[2].size: too small", "many[1]: is odd", "inner.size: too small", "other, maybe: give both"]

    data = {"inner": {"size": "big"}, "many": [{"size": 1}, {"size": "x"}, {"size": 3}], "maybe": 3}
    with pytest.raises(ConfigurationError) as caught:
        convert(data, Outer, check)
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "inner.size",
        "many[1].size",
        "maybe",
        "many[2].size",
    ]


def test_a_doubled_json_key_is_refused(tmp_path: Path) -> None:
    """The parser's habit of taking the last is a trap."""
    path = tmp_path / "a.json"
    path.write_text('{"a": 1, "b": {"c": 1, "c": 2}}')
    with pytest.raises(ConfigurationError, match="c: given twice"):
        read_json(path)


@pytest.mark.parametrize("text", ["[1]", "{", "", "\x00", '{"a": 1e}'])
def test_what_is_no_json_object_names_its_file(tmp_path: Path, text: str) -> None:
    """One sentence with the file, never a traceback."""
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"a\.json"):
        read_json(path)


def test_a_missing_or_broken_file_names_itself(tmp_path: Path) -> None:
    """Missing, not UTF-8, not TOML."""
    broken = tmp_path / "b.toml"
    broken.write_bytes(b"a = \xff")
    wrong = tmp_path / "w.toml"
    wrong.write_text("a = [1,")
    for path in (tmp_path / "none.toml", broken, wrong):
        with pytest.raises(ConfigurationError, match=re.escape(path.name)):
            read_toml(path)


def test_a_secret_is_one_line_of_a_file(tmp_path: Path) -> None:
    """Stripped; empty or missing is said without showing anything."""
    path = tmp_path / "s"
    path.write_text("hunter2\nrest\n")
    assert read_secret(path) == "hunter2"
    path.write_text("\n")
    with pytest.raises(ConfigurationError, match="empty"):
        read_secret(path)
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_secret(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "expected"), [("250ms", 0.25), ("90s", 90), ("5m", 300), ("1.5h", 5400), ("2d", 172800)]
)
def test_durations_carry_their_unit(text: str, expected: float) -> None:
    """A number without a unit is no duration."""
    assert seconds(text) == expected


@given(st.text(max_size=12))
def test_other_texts_are_no_durations(text: str) -> None:
    """Either it reads as one, or it is a ValueError; nothing else."""
    try:
        assert seconds(text) >= 0
    except ValueError:
        assert not text.rstrip("smhd").isdigit() or text.isdigit() or text
