"""Which mails that came twice are the client's fault: those it could know of."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import pytest

from panopticond.shared.clock import rfc3339
from tests.lab.collect import unexcused
from tests.lab.configure import Places
from tests.lab.internet.smtp import AGAIN

START = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)


def at(hour: float) -> str:
    return rfc3339(START + dt.timedelta(hours=hour))


@pytest.mark.parametrize(
    ("kept", "killed", "again", "fault"),
    [
        ({"a": (1, False)}, [("arke", 2)], [("a", 3)], ()),
        ({"a": (1, False)}, [], [("a", 3)], ("a",)),
        ({"a": (1, False)}, [("panopticond", 2)], [("a", 3)], ("a",)),
        ({"a": (3, False)}, [("arke", 2)], [("a", 4)], ("a",)),
        ({"a": (1, False), "b": (1, False)}, [("arke", 2)], [("a", 3), ("b", 3)], ("b",)),
        ({"a": (1, False)}, [("arke", 2)], [("a", 3), ("a", 4)], ("a",)),
        ({"a": (1, True)}, [], [("a", 3)], ()),
        ({"a": (1, True)}, [], [("a", 3), ("a", 4)], ("a",)),
    ],
)
def test_a_repeat_needs_a_kill_or_a_doubt(
    tmp_path: Path,
    kept: dict[str, tuple[int, bool]],
    killed: list[tuple[str, int]],
    again: list[tuple[str, int]],
    fault: tuple[str, ...],
) -> None:
    """Kept before a kill of arke and again after it, one mail a kill; or kept without a clear answer, once."""
    places = Places(tmp_path, tmp_path, START, 60.0)
    lines = [{"message_id": name, "at": at(when), "doubtful": doubt} for name, (when, doubt) in kept.items()]
    places.mails.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    places.kills.write_text("".join(f"{name} {at(when)}\n" for name, when in killed))
    repeats = [{"message_id": name, "at": at(when)} for name, when in again]
    places.mails.with_name(AGAIN).write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in repeats))
    assert unexcused(places) == fault
