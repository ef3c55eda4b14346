"""``panopticond explain``: the whole case on one page."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from panopticond.commands.explain import RULES, explain
from panopticond.config import Config, StoreSettings, Tld
from panopticond.judge.verdict import _RULES
from panopticond.model import DomainRecord, Incident, Indicator, Observation, Round, Verdict
from panopticond.shared.errors import PanopticonError
from panopticond.store.sqlite import open_store

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
URI = "http://www.d1.zz/a"


def test_every_rule_has_its_sentence() -> None:
    """No state is given without a reason a registry could repeat."""
    assert {name for name, _, _ in _RULES} <= set(RULES)


async def test_it_holds_sightings_rounds_rule_class_and_incident(tmp_path: Path) -> None:
    """Asked for by its URI or its domain, an indicator comes with all that its state rests on."""
    config = Config(tld=(Tld(name="zz"),), store=StoreSettings(str(tmp_path / "p.db")))
    async with await open_store(tmp_path / "p.db") as store:
        item = Indicator(URI, "www.d1.zz", "d1.zz", "zz", "registered", "phishing")
        (watch,) = await store.record_listing("feed-one", NOW, [item])
        seen = Observation("web", URI, "near", NOW, "live", {"status": "200", "title": "Sign in"})
        verdict = Verdict("active", "live-at-a-vantage", NOW, NOW, flags=("listed",), last_active=NOW, evidence=(NOW,))
        await store.record_round(watch.id, Round(NOW, (seen,)), verdict)
        await store.record_domain(DomainRecord("d1.zz", "zz"))
        await store.record_incidents([Incident("zz-2026-abcdef", "zz", "d1.zz", None, None, NOW, "open", NOW)])
        await store.decide(watch.id, "confirm", NOW)
    for asked in (URI, "d1.zz"):
        page = await explain(config, asked)
        wanted = ("sighting: feed-one", "state: active since 2026-03-01T12:00:00Z", "title=Sign in", "decision: confirm",
                  "class (an assessment): undetermined", "missing: registration date", "incident zz-2026-abcdef: open")  # fmt: skip
        assert [text for text in wanted if text not in page] == []
    with pytest.raises(PanopticonError, match="nothing is known"):
        await explain(config, "http://other.zz/")


async def test_it_says_where_the_referral_and_the_suffixes_disagree(tmp_path: Path) -> None:
    """An indicator kept under a referral's owner is found by that name, and the page says why it is not the suffixes'."""
    config = Config(tld=(Tld(name="zz"),), store=StoreSettings(str(tmp_path / "p.db")))
    async with await open_store(tmp_path / "p.db") as store:
        item = Indicator(URI, "www.d1.zz", "d1.zz", "zz", "registered", "phishing")
        (watch,) = await store.record_listing("feed-one", NOW, [item])
        await store.regroup(watch.id, "www.d1.zz", "registered")
        await store.record_domain(DomainRecord("www.d1.zz", "zz"))
    page = await explain(config, "www.d1.zz")
    assert "the referral's owner is www.d1.zz; by the suffixes alone the domain would be d1.zz" in page
