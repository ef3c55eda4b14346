"""``panopticond review``: what waits for a person and why, and decisions that stay."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from panopticond.commands.review import decide, matters, table, why
from panopticond.config import Config, StoreSettings, Tld
from panopticond.model import Indicator, Round, Sighting, Subject, Verdict, public_id
from panopticond.shared.errors import PanopticonError
from panopticond.store.interface import Standing
from panopticond.store.sqlite import open_store

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
URI = "http://www.d1.zz/a"


def standing(state: Any, flags: Any = (), *, host: bool = False, ended: dt.datetime | None = None) -> Standing:
    subject = Subject(1, None if host else URI, "www.d1.zz", "d1.zz", "zz", "registered", ("phishing",))
    seen = Sighting("f", "phishing", NOW - 90 * DAY, ended or NOW, ended)
    return Standing(subject, NOW, Verdict(state, "r", NOW, NOW, flags=flags), (seen,))


@pytest.mark.parametrize(
    ("given", "reasons"),
    [
        (standing("active", ("listed",)), ()),
        (standing("changed", ("review",)), ("changed",)),
        (standing("active", ("review",), ended=NOW - 2 * DAY), ("withdrawn",)),
        (standing("active", ("review",), ended=NOW - 40 * DAY), ("withdrawn",)),
        (standing("active", ("review",), host=True, ended=NOW - 40 * DAY), ("unlisted for 30 days",)),
        (standing("active", ("popular", "critical", "listed")), ("popular", "critical")),
        (standing("mitigated-dns", ("popular",)), ()),
    ],
)
def test_why_a_person_should_look(given: Standing, reasons: tuple[str, ...]) -> None:
    """Each reason of the design has its word; what is ordinary or over waits for nobody."""
    assert why(given) == reasons


async def test_a_decision_is_kept_and_leaves_the_list(tmp_path: Path) -> None:
    """Dismissed by its id, an indicator no longer waits, is still there, and shows among the decided."""
    config = Config(tld=(Tld(name="zz"),), store=StoreSettings(str(tmp_path / "p.db")))
    async with await open_store(tmp_path / "p.db") as store:
        found = [
            Indicator(f"http://www.d1.zz/{path}", "www.d1.zz", "d1.zz", "zz", "registered", "phishing") for path in "ab"
        ]
        for watch in await store.record_listing("f", NOW, found):
            await store.record_round(watch.id, Round(NOW, ()), Verdict("changed", "r", NOW, NOW, flags=("review",)))
    assert [one.target for one in await matters(config)] == [one.uri for one in found]
    assert "changed" in table(await matters(config))
    said = await decide(config, public_id(URI), "dismiss")
    assert said.startswith(public_id(URI))
    assert [one.target for one in await matters(config)] == ["http://www.d1.zz/b"]
    assert {one.target: one.decision for one in await matters(config, decided=True)}[URI] == "dismiss"
    with pytest.raises(PanopticonError, match="2 indicators"):
        await decide(config, "d1.zz", "confirm")
    with pytest.raises(PanopticonError, match="no such indicator"):
        await decide(config, "i0000000000000000", "confirm")
    assert table([]) == "nothing waits for a person"
