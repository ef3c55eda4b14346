"""``panopticond explain``: the whole case on one page."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from panopticond.commands.explain import RULES, explain
from panopticond.config import Config, Feed, StoreSettings, Tld
from panopticond.judge.verdict import _RULES
from panopticond.model import DomainRecord, Incident, Indicator, Observation, Round, Verdict
from panopticond.shared.errors import PanopticonError
from panopticond.store.sqlite import open_store
from tests.panopticond.store.known import know

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
        await know(store, DomainRecord("d1.zz", "zz"))
        await store.record_incidents([Incident("zz-2026-abcdef", "zz", "d1.zz", None, None, NOW, "open", NOW)])
        await store.decide(watch.id, "confirm", NOW)
    for asked in (URI, "d1.zz"):
        page = await explain(config, asked)
        wanted = ("sighting: feed-one (phishing, not counted)", "validated: no, no reputable feed", "state: active since 2026-03-01T12:00:00Z", "title=Sign in", "decision: confirm",
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
        await know(store, DomainRecord("www.d1.zz", "zz"))
    page = await explain(config, "www.d1.zz")
    assert "the referral's owner is www.d1.zz; by the suffixes alone the domain would be d1.zz" in page


async def test_a_class_comes_with_the_facts_it_rests_on(tmp_path: Path) -> None:
    """Age, resemblance and how, the other names of the burst, the front page: what a registry is asked about."""
    config = Config(tld=(Tld(name="zz"),), store=StoreSettings(str(tmp_path / "p.db")))
    registered = {"registered": "2026-02-20T00:00:00Z"}
    async with await open_store(tmp_path / "p.db") as store:
        for name in ("paypa1.zz", "paypal-login.zz", "amaz0n.zz", "elsewhere.zz"):
            item = Indicator(f"http://{name}/", name, name, "zz", "registered", "phishing")
            (watch,) = await store.record_listing("feed-one", NOW, [item])
            verdict = Verdict("active", "live-at-a-vantage", NOW, NOW, last_active=NOW, fingerprint="d;2xx;1;9;aa")
            await store.record_round(watch.id, Round(NOW, ()), verdict)
            servers = {"ns": "ns1.other.example" if name == "elsewhere.zz" else "ns1.host.example ns2.host.example"}
            record = DomainRecord(
                name,
                "zz",
                delegation=Observation("delegation", name, "direct", NOW, "delegated", servers),
                registration=Observation("registration", name, "direct", NOW, "registered", registered),
                apex=Observation("apex", name, "near", NOW, "live", {"fingerprint": "d;2xx;1;9;aa"}),
            )
            await know(store, record)
    page = await explain(config, "paypa1.zz")
    wanted = (
        "class (an assessment): malicious",
        "because resembles paypal",
        "because 2 reported names of the same day and name servers",
        "fact: first reported 2026-03-01T12:00:00Z; registered 2026-02-20T00:00:00Z, 9 days before",
        "fact: resembles paypal by homoglyph, score ",
        "fact: 2 other reported names were registered on 2026-02-20 with the name servers "
        "ns1.host.example ns2.host.example: amaz0n.zz paypal-login.zz",
        "fact: reported: http://paypa1.zz/ (registered)",
        "fact: front page: live, the same page as the reported one",
        "fact: in no popularity list",
    )
    assert [text for text in wanted if text not in page] == []


@pytest.mark.parametrize(
    ("decision", "last_active", "feeds", "told"),
    [
        (None, NOW, ("openphish",), "validated: yes, by trusted feeds and by our own checks"),
        ("dismiss", NOW, ("openphish",), "validated: no, a person dismissed it"),
        ("claim", NOW, ("openphish",), "no notice until a person decides"),
        (None, None, ("openphish",), "validated: no, it was never seen active"),
        (
            None,
            NOW - dt.timedelta(days=2),
            ("openphish",),
            "validated: no, it was not seen active in the last 24 hours",
        ),
        (None, NOW, ("one",), "validated: no, no reputable feed, nor two supporting ones"),
        (None, NOW, ("one", "two"), "validated: yes"),
    ],
)
async def test_it_says_whether_a_notice_may_go_and_why_not(
    decision: str | None, last_active: dt.datetime | None, feeds: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    """Each condition of the design by its own words, with the trust of every feed beside its listing."""
    own: dict[str, Any] = {"url": "/feeds/x", "format": "url-list", "threat": "phishing", "licence": "remediation"}
    config = Config(
        tld=(Tld(name="zz"),),
        feed=(
            Feed("openphish", **own, trust="reputable"),
            *(Feed(one, **own, trust="supporting") for one in ("one", "two")),
        ),
        store=StoreSettings(str(tmp_path / "p.db")),
    )
    now = dt.datetime.now(dt.UTC)
    async with await open_store(tmp_path / "p.db") as store:
        item = Indicator(URI, "www.d1.zz", "d1.zz", "zz", "registered", "phishing")
        for feed in feeds:
            for watch in await store.record_listing(feed, now, [item]):
                number = watch.id
        active = None if last_active is None else now - (NOW - last_active)
        flags = ("review",) if decision == "claim" else ()
        verdict = Verdict("active", "live-at-a-vantage", now, now, flags=flags, last_active=active)  # type: ignore[arg-type]
        await store.record_round(number, Round(now, ()), verdict)
        if decision is not None:
            await store.decide(number, decision, now)
    page = await explain(config, URI)
    assert told in page
    assert f"sighting: {feeds[0]} (phishing, {'reputable' if feeds[0] == 'openphish' else 'supporting'})" in page
