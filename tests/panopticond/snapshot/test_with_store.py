"""Publication from the embedded store itself: what was recorded is what is published, and the chain is kept there."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec

from panopticond.judge.mistrial import Mistrials
from panopticond.judge.verdict import judge
from panopticond.model import DomainRecord, Indicator, Observation, public_id
from panopticond.shared.records import read_tables
from panopticond.snapshot.publish import Today, publish_tld
from panopticond.snapshot.replay import replay
from panopticond.store.interface import FeedHealth
from panopticond.store.sqlite import open_store
from tests.panopticond.snapshot.ledger import FEEDS, HOUR, NOW, TLD, day, press
from tests.panopticond.store.known import know

URI = "http://shop.bank-login.zz/wp-content/x"


async def test_what_the_store_holds_is_published(tmp_path: Path) -> None:
    """A listing, four rounds and a domain record become an active, validated indicator with its incident."""
    begin = NOW - 30 * HOUR
    indicator = Indicator(URI, "shop.bank-login.zz", "bank-login.zz", "zz", "subordinate", "phishing")
    registered = Observation(
        "registration", "bank-login.zz", "direct", begin, "registered", {"registered": "2020-01-01T00:00:00Z"}
    )
    async with await open_store(tmp_path / "p.db") as store:
        (watch,) = await store.record_listing("open", begin, [indicator])
        await store.record_feed_health(FeedHealth("open", state="OK", since=begin))
        subject = await store.subject(watch.id)
        rounds = []
        for round_ in day(URI, "shop.bank-login.zz", "bank-login.zz", title="Bänk \\ 'quoted'"):
            shifted = msgspec.structs.replace(round_, at=round_.at + dt.timedelta(microseconds=123_456))
            rounds.append(shifted)
            await store.record_round(watch.id, shifted, judge(subject, rounds))
        await know(store, DomainRecord("bank-login.zz", "zz", registration=registered))
        first = await publish_tld(press(tmp_path / "root"), store, TLD, Today(FEEDS), NOW)
        second = await publish_tld(press(tmp_path / "root"), store, TLD, Today(FEEDS), NOW + HOUR)
        incidents = await store.incidents("zz")
        assert await store.last_publication("zz") == second
    assert second.serial == first.serial + 1
    path = tmp_path / f"root/zz/{second.serial}/records.sql"
    tables = read_tables(path)
    (row,) = tables["uri"]
    assert (row.indicator, row.uri, row.state, row.validated) == (public_id(URI), URI, "active", 1)
    assert [one.id for one in incidents] == [line.id for line in tables["incident"]]
    assert tables["domain"][0].registered_at == "2020-01-01T00:00:00Z"
    assert len(tables["observation"]) == 16
    assert list(replay(path)) == []


async def test_a_bug_in_the_assessment_stops_no_publication(tmp_path: Path) -> None:
    """The domain is published with its class undetermined and the reason, its neighbour is assessed; status says so."""
    begin = NOW - 30 * HOUR
    bad, good = "bank-login.zz", "bakery.zz"
    nets = Mistrials(judge)

    def lookalike(name: str) -> str | None:
        if name == bad:
            raise ZeroDivisionError(name)
        return None

    async with await open_store(tmp_path / "p.db") as store:
        found = [
            Indicator(f"http://www.{name}/x", f"www.{name}", name, "zz", "registered", "phishing")
            for name in (bad, good)
        ]
        for watch, indicator in zip(await store.record_listing("open", begin, found), found, strict=True):
            subject, rounds = await store.subject(watch.id), []
            for round_ in day(indicator.key, indicator.host, indicator.domain):
                rounds.append(round_)
                await store.record_round(watch.id, round_, judge(subject, rounds))
        await store.record_feed_health(FeedHealth("open", state="OK", since=begin))
        printing = msgspec.structs.replace(
            press(tmp_path / "root"), lookalike=lookalike, judge=nets, assess=nets.assess
        )
        published = await publish_tld(printing, store, TLD, Today(FEEDS), NOW)
    tables = read_tables(tmp_path / f"root/zz/{published.serial}/records.sql")
    reasons = {row.name: (row.abuse_class, row.class_missing) for row in tables["domain"]}
    assert reasons[bad] == ("undetermined", "our own assessment, which failed by a bug of ours")
    assert "bug" not in reasons[good][1]
    assert {row.validated for row in tables["uri"]} == {1}
    assert len(tables["incident"]) == 2
    assert len(nets.wrong()) == 1


async def test_a_day_without_the_registry_counts_nothing(tmp_path: Path) -> None:
    """All rounds made, pages live, but no TLD server answered: -1 for every threat, never a day without abuse."""
    begin = NOW - 30 * HOUR
    indicator = Indicator(URI, "shop.bank-login.zz", "bank-login.zz", "zz", "subordinate", "phishing")
    async with await open_store(tmp_path / "p.db") as store:
        (watch,) = await store.record_listing("open", begin, [indicator])
        await store.record_feed_health(FeedHealth("open", state="OK", since=begin))
        subject = await store.subject(watch.id)
        rounds = []
        for round_ in day(URI, "shop.bank-login.zz", "bank-login.zz"):
            blind = tuple(
                msgspec.structs.replace(seen, outcome="indeterminate", detail={"reason": "timeout"})
                if seen.kind == "delegation"
                else seen
                for seen in round_.observations
            )
            rounds.append(msgspec.structs.replace(round_, observations=blind))
            await store.record_round(watch.id, rounds[-1], judge(subject, rounds))
        published = await publish_tld(press(tmp_path / "root"), store, TLD, Today(FEEDS), NOW)
    tables = read_tables(tmp_path / f"root/zz/{published.serial}/records.sql")
    (snapshot,) = tables["snapshot"]
    assert snapshot.checks_due > 0
    assert snapshot.checks_done == 0
    counted = {(row.name, row.threat): row.value for row in tables["aggregate"] if row.threat == "phishing"}
    assert {counted[name, "phishing"] for name in ("validated_domains", "listed_domains")} == {-1.0}
