"""arke.cases.needed: what is kept of a snapshot gives the same cases as all of it, and does not grow with the looks."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from arke.cases.match import match
from arke.cases.needed import PAGES_AN_INDICATOR, needed
from panopticond.shared.records import encode_detail
from panopticond.shared.tables import TABLES, ObservationRow
from tests.arke.made import tables

ROUNDS = [f"2026-03-0{day}T{hour:02}:00:00Z" for day in (3, 4) for hour in (0, 6, 12, 18)]


def _rows(found: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(table, row) for table in TABLES for row in found[table]]


def _looked_at(found: dict[str, list[Any]], dice: random.Random) -> dict[str, list[Any]]:
    """The same with random rounds of every kind of look, the last active one among them."""
    found["observation"] = []
    for at, row in enumerate(found["uri"]):
        active = dice.choice([None, *ROUNDS])
        found["uri"][at] = msgspec.structs.replace(row, last_active=active)
        for when in ROUNDS:
            for _ in range(dice.randrange(8)):
                kind = dice.choice(["web", "apex", "address", "delegation"])
                outcome = dice.choice(["live", "gone", "indeterminate", "resolves"])
                said = {"fingerprint": f"{row.host};2xx;{dice.randrange(4)};1;c"} if outcome == "live" else {}
                said |= {"twin": "1"} if dice.random() < 0.3 else {"title": f"page {dice.randrange(3)}"}
                vantage, seen_at = dice.choice(["near", "far"]), when.replace(":00Z", f":{dice.randrange(60):02}Z")
                found["observation"].append(
                    ObservationRow(row.indicator, when, kind, row.host, vantage, seen_at, outcome, encode_detail(said))
                )
    return found


def test_the_cases_are_the_same_as_from_everything() -> None:
    """Two hundred snapshots with random looks: evidence, front page, pages and class facts come out equal."""
    for seed in range(200):
        found = _looked_at(tables(), random.Random(seed))
        assert match(needed(_rows(found)), None) == match(found, None), f"seed {seed}"


def test_observations_that_do_not_stand_together_lose_nothing() -> None:
    """A publisher that sorts them otherwise costs memory, no evidence."""
    for seed in range(50):
        dice = random.Random(seed)
        found = _looked_at(tables(), dice)
        found["observation"].sort(key=lambda row: (row.round_at, row.at))
        kept, whole = match(needed(_rows(found)), None), match(found, None)
        assert [[item.evidence for item in one.case.indicators] for one in kept] == [
            [item.evidence for item in one.case.indicators] for one in whole
        ]
        assert [one.facts.abuse_pages for one in kept] == [one.facts.abuse_pages for one in whole]


def test_a_thousand_looks_weigh_no_more_than_a_few() -> None:
    """One answer a vantage, one front page, eight pages: a bound, whatever a publisher says."""
    found = tables()
    row = found["uri"][0]
    found["observation"] = [
        ObservationRow(
            row.indicator, row.last_active, "web", row.uri, f"v{at % 2}", row.last_active, "live",
            encode_detail({"fingerprint": f"{row.host};2xx;{at};1;c"}),
        )
        for at in range(1000)
    ]  # fmt: skip
    assert len(needed(_rows(found))["observation"]) <= PAGES_AN_INDICATOR + 2
    strangers = [msgspec.structs.replace(one, indicator="iffffffffffffffff") for one in found["observation"]]
    assert needed(_rows(found | {"observation": strangers}))["observation"] == []
