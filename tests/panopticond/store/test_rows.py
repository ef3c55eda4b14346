"""Between values and columns: what is read equals what was written, and weighs no more than it says."""

from __future__ import annotations

import datetime as dt

from panopticond.model import Observation, Round
from panopticond.store.rows import observation_rows, rounds_of

NOW = dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)
STEP = dt.timedelta(hours=6)


def round_at(number: int, *, size: str = "512") -> Round:
    at = NOW + number * STEP
    page = {"status": "200", "title": "Sign in to your account", "sha256": "a" * 64, "size": size}
    return Round(
        at,
        (
            Observation("delegation", "shop.zz", "direct", at, "delegated", {"servers": "192.0.2.2:53 192.0.2.3:53"}),
            Observation("web", "http://shop.zz/kit/", "near", at, "live", page | {"elapsed_ms": str(number)}),
            Observation("tranco", "shop.zz", "direct", NOW, "unranked"),
        ),
    )


def test_what_rounds_have_in_common_is_one_object() -> None:
    """Rounds come back equal; an observation repeated, an equal detail and an equal text are kept once."""
    rounds = [round_at(number) for number in range(33)]
    read = rounds_of(tuple(row[1:2]) + tuple(row[3:]) for round_ in rounds for row in observation_rows(1, round_))
    assert read == rounds
    assert len({id(round_.observations[2]) for round_ in read}) == 1
    assert len({id(round_.observations[0]) for round_ in read}) == 33
    assert len({id(round_.observations[0].detail) for round_ in read}) == 1
    assert len({id(round_.observations[1].detail["sha256"]) for round_ in read}) == 1
    assert len({id(round_.observations[1].target) for round_ in read}) == 1


def test_what_differs_is_kept_apart() -> None:
    """A round that says something else says it, whatever its neighbours share."""
    rounds = [round_at(0), round_at(1, size="9"), round_at(2)]
    read = rounds_of(tuple(row[1:2]) + tuple(row[3:]) for round_ in rounds for row in observation_rows(1, round_))
    assert read == rounds
    assert [round_.observations[1].detail["size"] for round_ in read] == ["512", "9", "512"]
