"""Both stores, SQLite and PostgreSQL: what is recorded is read back the same, listings end and resume."""

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from panopticond.model import (
    DomainRecord,
    Incident,
    Indicator,
    Observation,
    Round,
    Sighting,
    State,
    Threat,
    Verdict,
    public_id,
)
from panopticond.shared.errors import StoreError
from panopticond.store.interface import FeedHealth, Publication, Store, Watch
from panopticond.store.methods import SqlStore
from panopticond.store.postgres import open_postgres
from panopticond.store.sqlite import open_store
from tests.panopticond.store.known import know

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def indicator(number: int = 1, *, threat: Threat = "phishing", tld: str = "zz", **other: Any) -> Indicator:
    domain = f"d{number}.{tld}"
    return Indicator(f"http://www.{domain}/a", f"www.{domain}", domain, tld, "registered", threat, **other)


def a_round(at: dt.datetime = NOW, outcome: str = "live") -> Round:
    detail = {"title": "a=b & c%d\n\u00e9\u4e00 'x' \\", "status": "200", "final": "http://d1.zz/?a=b&c=%20"}
    return Round(
        at,
        (
            Observation("delegation", "www.d1.zz", "direct", at, "delegated"),
            Observation("web", "http://www.d1.zz/a", "one", at + dt.timedelta(microseconds=7), outcome, detail),
            Observation("web", "http://www.d1.zz/a", "two", at, "indeterminate", {"reason": ""}),
        ),
    )


def verdict(state: State = "active", at: dt.datetime = NOW, **other: Any) -> Verdict:
    return Verdict(state, "live-at-a-vantage", at, at, flags=("listed",), evidence=(at,), **other)


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlStore]:
    """An empty store of each kind in turn."""
    if request.param == "sqlite":
        opened: SqlStore = await open_store(tmp_path / "p.db")
    else:
        opened = await open_postgres(request.getfixturevalue("schema"))
    async with opened:
        yield opened


async def one(store: SqlStore, item: Indicator | None = None, feed: str = "f") -> int:
    (watch,) = await store.record_listing(feed, NOW, [item or indicator()])
    return watch.id


async def test_it_is_a_store(store: SqlStore) -> None:
    """The class has every method of the interface."""
    opened: Store = store
    missing = [name for name in vars(Store) if not name.startswith("_") and not hasattr(opened, name)]
    assert missing == []


async def test_a_listing_returns_the_watches_of_new_indicators_only(store: SqlStore) -> None:
    """The second time nothing is new; a second feed makes no second indicator."""
    batch = [indicator(1), indicator(2), indicator(1)]
    first = await store.record_listing("f", NOW, batch)
    assert {watch.recorded for watch in first} == {NOW}
    assert len(first) == 2
    assert all(watch.check and watch.last_round is None for watch in first)
    assert await store.record_listing("f", NOW + HOUR, batch) == []
    assert await store.record_listing("g", NOW + HOUR, batch) == []
    assert await store.watches() == sorted(first, key=lambda watch: watch.id)


async def test_sightings_run_end_and_resume(store: SqlStore) -> None:
    """A row missed by a whole body ends when it was missed; seen again, it goes on from its first day."""
    number = await one(store)
    await store.record_listing("f", NOW, [indicator(2)])
    await store.record_listing("f", NOW + HOUR, [indicator(2)])
    assert await store.end_listing("f", NOW + HOUR) == 1
    assert (await store.standing(number)).sightings == (Sighting("f", "phishing", NOW, NOW, NOW + HOUR),)
    assert await store.end_listing("f", NOW + HOUR) == 0
    await store.record_listing("f", NOW + 2 * HOUR, [indicator(1)])
    assert (await store.standing(number)).sightings == (Sighting("f", "phishing", NOW, NOW + 2 * HOUR),)


async def test_the_same_body_again_is_seen_again_and_leaves_ended_rows_alone(store: SqlStore) -> None:
    """touch_listing moves last of unended sightings of that feed only, and an end keeps the last touch."""
    number = await one(store)
    other = await one(store, indicator(2), feed="g")
    await store.touch_listing("f", NOW + HOUR)
    assert (await store.standing(number)).sightings[0].last == NOW + HOUR
    assert (await store.standing(other)).sightings[0].last == NOW
    await store.end_listing("f", NOW + 2 * HOUR)
    await store.touch_listing("f", NOW + 3 * HOUR)
    (sighting,) = (await store.standing(number)).sightings
    assert (sighting.last, sighting.ended) == (NOW + HOUR, NOW + 2 * HOUR)


async def test_one_uri_may_be_listed_for_two_threats(store: SqlStore) -> None:
    """The subject has the threats of all sightings, sorted; each ends on its own."""
    number = await one(store)
    await store.record_listing("g", NOW, [indicator(threat="malware", source_id="x1"), indicator(threat="botnetCc")])
    subject = await store.subject(number)
    assert subject.threats == ("botnetCc", "malware", "phishing")
    assert {one.source_id for one in (await store.standing(number)).sightings} == {None, "x1"}
    await store.record_listing("g", NOW + HOUR, [indicator(threat="malware")])
    assert await store.end_listing("g", NOW + HOUR) == 1


async def test_a_changed_suffix_policy_and_a_mask_reach_stored_indicators(store: SqlStore) -> None:
    """Domain, scope and altered follow what the newest listing says; altered is never taken back."""
    number = await one(store)
    moved = Indicator("http://www.d1.zz/a", "www.d1.zz", "www.d1.zz", "zz", "shared", "phishing", altered=True)
    await store.record_listing("f", NOW + HOUR, [moved])
    await store.record_listing("f", NOW + HOUR, [Indicator(*(getattr(moved, n) for n in moved.__struct_fields__[:6]))])
    subject = await store.subject(number)
    assert (subject.domain, subject.scope, subject.altered) == ("www.d1.zz", "shared", True)


async def test_rounds_and_verdict_are_read_back_equal(store: SqlStore) -> None:
    """Microseconds, order, hostile titles and an empty detail survive; so does every field of the verdict."""
    number = await one(store)
    said = verdict(first_active=NOW, last_active=NOW, fingerprint="f", last_known="active", last_known_at=NOW, rounds=3)
    await store.record_round(number, a_round(), said)
    assert await store.rounds(number) == [a_round()]
    standing = await store.standing(number)
    assert standing.verdict == said
    assert standing.first_validated == NOW
    assert standing.recorded == NOW
    assert await store.watches() == [Watch(number, NOW, NOW, check=True)]


async def test_a_lone_surrogate_in_a_title_does_not_stop_the_store(store: SqlStore) -> None:
    """What has no UTF-8 is replaced, the round is kept."""
    number = await one(store)
    odd = Round(NOW, (Observation("web", "http://d1.zz/", "one", NOW, "live", {"title": "x\udc80"}),))
    await store.record_round(number, odd, verdict())
    assert (await store.rounds(number))[0].observations[0].detail == {"title": "x?"}


async def test_the_first_validated_round_is_always_among_the_rounds(store: SqlStore) -> None:
    """Asked for the last hours only, the round first active is there too, first."""
    number = await one(store)
    for hours, state in ((0, "unreachable"), (6, "active"), (12, "active"), (240, "unreachable")):
        await store.record_round(number, a_round(NOW + hours * HOUR), verdict(state, NOW + hours * HOUR))
    found = await store.rounds(number, since=NOW + 100 * HOUR)
    assert [(one.at - NOW) // HOUR for one in found] == [6, 240]
    many = await store.rounds_of_many([number, 12345])
    assert [len(rounds) for rounds in many.values()] == [4, 0]


async def test_the_same_round_twice_is_one_round(store: SqlStore) -> None:
    """Recording is idempotent by its start."""
    number = await one(store)
    await store.record_round(number, a_round(), verdict())
    await store.record_round(number, a_round(), verdict())
    assert await store.rounds(number) == [a_round()]


async def test_thinning_keeps_the_first_validated_and_the_last_two_rounds(store: SqlStore) -> None:
    """Everything else before the date goes, nothing after it does, and a second time there is nothing to drop."""
    number, idle = await one(store), await one(store, indicator(2))
    for hours in range(0, 60, 6):
        state = "active" if hours >= 6 else "unreachable"
        await store.record_round(number, a_round(NOW + hours * HOUR), verdict(state, NOW + hours * HOUR))
    await store.record_round(idle, a_round(), verdict("unreachable"))
    assert await store.thin(NOW + 30 * HOUR) == 4 * 3
    hours = [(one.at - NOW) // HOUR for one in await store.rounds(number)]
    assert hours == [6, 30, 36, 42, 48, 54]
    assert await store.thin(NOW + 999 * HOUR) == 3 * 3
    assert [(one.at - NOW) // HOUR for one in await store.rounds(number)] == [6, 48, 54]
    assert await store.thin(NOW + 999 * HOUR) == 0
    assert len(await store.rounds(idle)) == 1


async def test_what_nobody_asks_any_more_goes_altogether(store: SqlStore) -> None:
    """90 days mitigated and unlisted, then the retention: indicator, sightings, rounds and domain go; decisions stay."""
    gone, decided = await one(store), await one(store, indicator(2))
    await store.end_listing("f", NOW + HOUR)
    late = NOW + 24 * 91 * HOUR
    for number, name in ((gone, "d1.zz"), (decided, "d2.zz")):
        await store.record_round(number, a_round(late), verdict("mitigated-dns", late, last_active=NOW))
        await know(store, DomainRecord(name, "zz"))
    await store.decide(decided, "dismiss", late)
    assert await store.thin(late) == 0
    assert await store.thin(late + HOUR) == 3
    assert [watch.id for watch in await store.watches()] == [decided]
    assert await store.domain("d1.zz") is None
    assert await store.domain("d2.zz") is not None
    assert await store.rounds(gone) == []
    again = await store.record_listing("f", late + HOUR, [indicator()])
    assert again == [Watch(gone, late + HOUR, None, check=True)]
    assert (await store.standing(gone)).sightings[0].first == late + HOUR


async def test_long_mitigated_indicators_are_watched_again_when_listed_again(store: SqlStore) -> None:
    """A watch goes out with check False after 90 days without activity, and comes back with a new listing."""
    number = await one(store)
    await store.end_listing("f", NOW + HOUR)
    late = NOW + 24 * 91 * HOUR
    await store.record_round(number, a_round(late), verdict("mitigated-dns", late, last_active=NOW))
    assert await store.watches() == [Watch(number, NOW, late, check=False)]
    assert await store.record_listing("f", late + HOUR, [indicator()]) == [Watch(number, NOW, late, check=True)]
    assert (await store.watches())[0].check


async def test_standings_come_by_key_across_batches(store: SqlStore) -> None:
    """1,200 indicators of one TLD stream in the order of their keys; another TLD's are not among them."""
    await store.record_listing("f", NOW, [indicator(n) for n in range(1200)] + [indicator(1, tld="yy")])
    keys = [standing.subject.key async for standing in store.standings("zz")]
    assert len(keys) == 1200
    assert keys == sorted(keys)


async def test_find_by_uri_host_domain_and_public_id(store: SqlStore) -> None:
    """Explain finds an indicator by whatever name it was asked for, and nothing by a part of a name."""
    await store.record_listing(
        "f", NOW, [indicator(1), Indicator(None, "c2.d1.zz", "d1.zz", "zz", "subordinate", "botnetCc")]
    )
    for text, count in (
        ("http://www.d1.zz/a", 1),
        ("www.d1.zz", 1),
        ("d1.zz", 2),
        ("c2.d1.zz", 1),
        (public_id("http://www.d1.zz/a"), 1),
        ("i0000000000000000", 0),
        ("zz", 0),
        ("", 0),
    ):
        assert len(await store.find(text)) == count, text


async def test_feed_health_keeps_its_line_and_its_history(store: SqlStore) -> None:
    """A feed nobody heard of is NEW; each change of state leaves a line in the history, and a listing none."""
    assert await store.feed_health("f") == FeedHealth("f")
    await one(store)
    assert await store.all_feed_health() == []
    good = FeedHealth("f", "OK", since=NOW, rows=5, rejected={"no-host": 2}, etag='"x"', history_rows=(1, 2))
    for health in (good, good, FeedHealth("f", "STALE", since=NOW + HOUR, reason="no change"), good):
        await store.record_feed_health(health)
    assert await store.feed_health("f") == good
    await store.record_feed_health(FeedHealth("a"))
    assert [line.feed for line in await store.all_feed_health()] == ["a", "f"]
    states = await store.engine.read(lambda sql: [row[0] for row in sql.rows("SELECT state FROM feed_history")])
    assert sorted(states) == ["OK", "OK", "STALE"]


async def test_domains_incidents_publications_and_decisions(store: SqlStore) -> None:
    """Each is replaced by its key and read back equal."""
    number = await one(store)
    assert await store.domain("d1.zz") is None
    seen = Observation("registration", "d1.zz", "direct", NOW, "registered", {"registered": "2020-01-01T00:00:00Z"})
    for record in (DomainRecord("d1.zz", "zz"), DomainRecord("d1.zz", "zz", registration=seen, absent_since=NOW)):
        await know(store, record)
        assert await store.domain("d1.zz") == record
    incident = Incident("zz-2026-00000a", "zz", "d1.zz", None, None, NOW, "open", NOW, reopened=(NOW,))
    await store.record_incidents([incident, Incident("yy-2026-00000a", "yy", "d.yy", None, None, NOW, "open", NOW)])
    assert await store.incidents("zz") == [incident]
    assert await store.last_publication("zz") is None
    for serial in (2026010201, 2026010301, 2026010202):
        await store.record_publication(Publication("zz", serial, "ab" * 32, NOW, NOW + HOUR, NOW + HOUR))
    newest = await store.last_publication("zz")
    assert newest is not None
    assert newest.serial == 2026010301
    await store.decide(number, "dismiss", NOW)
    assert (await store.standing(number)).decision == "dismiss"
    with pytest.raises(StoreError):
        await store.decide(4, "dismiss", NOW)


async def test_threats_listed_counts_domains_not_rows(store: SqlStore) -> None:
    """Two URIs of one domain are one; an ended sighting is none; every threat has a figure."""
    same = Indicator("http://d1.zz/b", "d1.zz", "d1.zz", "zz", "registered", "phishing")
    await store.record_listing("f", NOW, [indicator(1), same, indicator(2), indicator(3, threat="spam")])
    await store.record_listing("g", NOW, [indicator(4, threat="malware")])
    await store.end_listing("g", NOW + HOUR)
    assert await store.threats_listed("zz") == {"phishing": 2, "malware": 0, "botnetCc": 0, "spam": 1}


async def test_an_unknown_id_is_an_error_not_an_empty_answer(store: SqlStore) -> None:
    """subject, standing and record_round of an id that is not there say so."""
    for asked in (store.subject(9), store.standing(9), store.record_round(9, a_round(), verdict())):
        with pytest.raises(StoreError):
            await asked


async def test_a_failed_batch_leaves_nothing_behind(store: SqlStore) -> None:
    """A transaction is whole or not at all."""
    bad = Indicator("http://x.zz/", "x.zz", "x.zz", "zz", "registered", object())  # type: ignore[arg-type]
    with pytest.raises((TypeError, StoreError)):
        await store.record_listing("f", NOW, [indicator(1), bad])
    assert await store.watches() == []
    assert len(await store.record_listing("f", NOW, [indicator(1)])) == 1


async def test_many_tasks_share_one_store(store: SqlStore) -> None:
    """Concurrent callers take turns; nobody meets another's transaction."""

    async def record(number: int) -> None:
        found = await one(store, indicator(number), feed=f"f{number % 3}")
        await store.record_round(found, a_round(), verdict())

    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(record, number)
    assert len(await store.watches()) == 40


async def test_a_cancelled_caller_leaves_the_store_usable(store: SqlStore) -> None:
    """Cancelled in a call, the transaction ends and the next one works."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.record_listing("f", NOW, [indicator(1)])
    assert len(await store.watches()) in (0, 1)


async def test_a_domain_that_a_referral_proved_is_not_taken_back_by_a_listing(store: SqlStore) -> None:
    """The feed lists it by the suffix policy at every visit; the owner stays, once something is known of it."""
    (watch,) = await store.record_listing("f", NOW, [indicator()])
    await store.regroup(watch.id, "www.d1.zz", "registered")
    await store.record_listing("f", NOW + HOUR, [indicator()])
    assert (await store.subject(watch.id)).domain == "d1.zz"
    await store.regroup(watch.id, "www.d1.zz", "registered")
    await know(store, DomainRecord("www.d1.zz", "zz"))
    assert await store.record_listing("f", NOW + 2 * HOUR, [indicator(altered=True)]) == []
    found = await store.subject(watch.id)
    assert (found.domain, found.scope, found.altered) == ("www.d1.zz", "registered", True)
    assert [one.subject.id for one in await store.find("www.d1.zz")] == [watch.id]
