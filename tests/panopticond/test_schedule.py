"""The loop checks what is due, judges it and records it; wakes for what is new; loses only the round cut short."""

import datetime as dt
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from panopticond.judge.mistrial import Mistrials
from panopticond.judge.verdict import Listing
from panopticond.model import DomainRecord, Indicator, Observation, Round, Sighting, State, Subject, Verdict
from panopticond.probe.round import Extras
from panopticond.schedule import Bell, Checked, Duty, FeedMeta, carry_over, check_once, dark_day, listing_of, probe_due
from panopticond.shared.clock import Clock
from panopticond.shared.errors import StoreError
from panopticond.store.interface import Standing, Watch
from panopticond.store.sqlite import SqliteStore, open_store
from panopticond.window import Window
from tests.panopticond.store.known import know

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = 24 * HOUR


class Probe:
    """Answers delegated and live at once; remembers what it was asked and how many asked together."""

    def __init__(self) -> None:
        self.checked: list[tuple[str, Extras]] = []
        self.running = self.most = 0
        self.gate: trio.Event | None = None
        self.asked = trio.Event()

    def serves(self, tld: str) -> bool:
        return tld == "zz"

    async def check(
        self, subject: Subject, known: DomainRecord | None, due: Extras, now: Callable[[], dt.datetime]
    ) -> tuple[Round, DomainRecord]:
        at = now()
        self.checked.append((subject.key, due))
        self.asked.set()
        self.running += 1
        self.most = max(self.most, self.running)
        await trio.sleep(0.001)
        if self.gate is not None:
            await self.gate.wait()
        self.running -= 1
        seen = Observation("delegation", subject.host, "direct", at, "delegated")
        risk = Observation("webrisk", subject.key, "direct", at, "not-listed")
        return Round(at, (seen, risk)), known or DomainRecord(subject.domain, subject.tld, delegation=seen)


class Judge:
    def __init__(self, state: State = "active") -> None:
        self.state: State = state
        self.lengths: list[int] = []
        self.listings: list[Listing] = []

    def __call__(self, subject: Subject, rounds: Sequence[Round], listing: Listing) -> Verdict:
        assert subject.tld == "zz"
        self.lengths.append(len(rounds))
        self.listings.append(listing)
        at = rounds[-1].at
        return Verdict(
            self.state, "rule", at, at, last_active=at if self.state == "active" else None, rounds=len(rounds)
        )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with await open_store(tmp_path / "p.db") as opened:
        yield opened


def listing(standing: Standing) -> Listing:
    return listing_of(standing, {"f": FeedMeta("withdrawn", "reputable")}, frozenset({"d0.zz"}))


class Clockwork:
    """Policy time by hand."""

    scale = 1.0

    def __init__(self, now: dt.datetime = NOW) -> None:
        self.time = now

    def now(self) -> dt.datetime:
        return self.time


async def fill(store: SqliteStore, window: Window, count: int, now: dt.datetime, tld: str = "zz") -> list[Watch]:
    batch = [Indicator(None, f"d{n}.{tld}", f"d{n}.{tld}", tld, "registered", "malware") for n in range(count)]
    watches = await store.record_listing("f", now, batch)
    for watch in watches:
        window.add(watch, now)
    return watches


async def test_everything_is_checked_four_times_a_day_and_recorded(store: SqliteStore) -> None:
    """A day in about a second: each indicator has its rounds in the store, none waits, no more at once than allowed."""
    clock, window, probe, judge = Clock(dt.datetime.now(dt.UTC), 60_000.0), Window(86400, 4, 300), Probe(), Judge()
    start = clock.now()
    watches = await fill(store, window, 6, start)
    done: list[Checked] = []

    async def note(checked: Checked) -> None:
        done.append(checked)
        if len(done) >= 24:
            scope.cancel()

    with trio.move_on_after(20) as scope:
        await probe_due(Duty(window, store, probe, clock, judge, listing, note), concurrency=2, bell=Bell())
    assert len(done) >= 24
    assert probe.most <= 2
    for watch in watches:
        rounds = await store.rounds(watch.id)
        assert len(rounds) in (3, 4, 5)
        standing = await store.standing(watch.id)
        assert standing.verdict is not None
        assert standing.verdict.rounds == len(rounds)
        assert standing.first_validated == rounds[0].at
        domain = await store.domain(standing.subject.domain)
        assert domain is not None
        assert domain.delegation is not None


async def test_a_judge_that_fails_on_one_indicator_holds_up_no_other(store: SqliteStore) -> None:
    """Its round is recorded, its verdict says so and keeps what was last known; the next is judged, and it is planned."""
    clock, window, judge = Clockwork(), Window(86400, 4, 300), Judge()
    watches = await fill(store, window, 3, NOW)
    broken = False

    def sometimes(subject: Subject, rounds: Sequence[Round], given: Listing) -> Verdict:
        if broken and subject.host == "d1.zz":
            raise KeyError("a bug of ours")
        return judge(subject, rounds, given)

    duty = Duty(window, store, Probe(), clock, Mistrials(sometimes), listing)
    for hour in (0, 6):
        broken, clock.time = hour > 0, NOW + hour * HOUR
        for watch in watches:
            await check_once(duty, watch.id)
    standings = {one.subject.host: one for one in [await store.standing(watch.id) for watch in watches]}
    verdicts = {host: one.verdict for host, one in standings.items() if one.verdict is not None}
    failed = verdicts["d1.zz"]
    assert (verdicts["d0.zz"].state, failed.state, verdicts["d2.zz"].state) == ("active", "indeterminate", "active")
    assert (failed.rule, failed.last_known, failed.last_known_at) == ("could-not-judge", "active", NOW)
    assert len(await store.rounds(standings["d1.zz"].subject.id)) == 2
    assert len(window.due(NOW + 12 * HOUR, 9)) == 3


def test_the_rounds_of_a_dark_day_come_evenly_from_the_first() -> None:
    """While a dark page is not yet a day dark, its checks keep to the first dark round; no other state asks for that."""
    dark = Verdict("unreachable", "dark-this-round", NOW, NOW + 6 * HOUR)
    assert dark_day(dark) == NOW
    assert dark_day(msgspec.structs.replace(dark, rule="no-address-this-round")) == NOW
    assert dark_day(msgspec.structs.replace(dark, at=NOW + DAY)) is None
    for rule in ("live-at-a-vantage", "dark-four-rounds-one-day", "no-rule", "gone-from-zone"):
        assert dark_day(msgspec.structs.replace(dark, rule=rule)) is None


def test_what_was_last_known_survives_a_verdict_that_failed() -> None:
    """A verdict that could not be reached shows the last one that was, from however many rounds before."""
    known = Verdict("active", "live-at-a-vantage", NOW, NOW, last_active=NOW)
    failed = carry_over(known, Verdict("indeterminate", "could-not-judge", NOW + HOUR, NOW + HOUR))
    assert (failed.last_known, failed.last_known_at, failed.last_active) == ("active", NOW, NOW)
    again = carry_over(failed, Verdict("indeterminate", "could-not-judge", NOW + 2 * HOUR, NOW + 2 * HOUR))
    assert (again.last_known, again.last_known_at) == ("active", NOW)
    assert carry_over(failed, known).last_known is None


async def test_something_new_wakes_the_loop(store: SqliteStore) -> None:
    """With nothing planned the loop sleeps; a ring after an addition has it checked at once."""
    window, probe, bell = Window(86400, 4, 0.001), Probe(), Bell()
    duty = Duty(window, store, probe, Clock(), Judge(), listing)

    async with trio.open_nursery() as nursery:

        async def loop(task_status: trio.TaskStatus[None]) -> None:
            await probe_due(duty, concurrency=4, bell=bell, task_status=task_status)

        await nursery.start(loop)
        await trio.testing.wait_all_tasks_blocked()
        await fill(store, window, 1, duty.clock.now())
        bell.ring()
        with trio.fail_after(5):
            await probe.asked.wait()
        nursery.cancel_scope.cancel()
    assert [key for key, _ in probe.checked] == ["d0.zz"]


async def test_a_round_cut_short_is_lost_and_only_that(store: SqliteStore) -> None:
    """Cancelled while probing: the round recorded before is there, the one under way is not, its watch is as it was."""
    window, probe, clock = Window(86400, 4, 300), Probe(), Clockwork()
    (watch,) = await fill(store, window, 1, NOW)
    duty = Duty(window, store, probe, clock, Judge(), listing)
    clock.time = NOW + HOUR
    window.due(clock.time, 1)
    await check_once(duty, watch.id)
    probe.gate = trio.Event()
    clock.time = NOW + 8 * HOUR
    with trio.move_on_after(0.1):
        await probe_due(duty, concurrency=2, bell=Bell())
    assert len(probe.checked) == 2
    assert [round_.at for round_ in await store.rounds(watch.id)] == [NOW + HOUR]


async def test_the_judge_sees_eight_days_and_the_first_validated_round(store: SqliteStore) -> None:
    """Older rounds are left out, the first validated one is not; the last Web Risk answer goes to the prober."""
    window, probe, clock, judge = Window(86400, 4, 300), Probe(), Clockwork(), Judge()
    (watch,) = await fill(store, window, 1, NOW)
    duty = Duty(window, store, probe, clock, judge, listing)
    for days in (0, 1, 2, 9, 9.5):
        clock.time = NOW + days * DAY
        await check_once(duty, watch.id)
    assert judge.lengths == [1, 2, 3, 4, 4]
    assert probe.checked[0][1] == Extras()
    last = probe.checked[-1][1].webrisk
    assert last is not None
    assert last.at == NOW + 9 * DAY
    assert judge.listings[0] == Listing(listed=True, last_listed=NOW, critical=True)


async def test_what_is_long_mitigated_and_unlisted_leaves_the_window(store: SqliteStore) -> None:
    """After 90 days without activity the store and the window agree that nobody asks any more."""
    window, clock, judge = Window(86400, 4, 300), Clockwork(), Judge("mitigated-dns")
    (watch,) = await fill(store, window, 1, NOW)
    duty = Duty(window, store, Probe(), clock, judge, listing)
    await store.end_listing("f", NOW + HOUR)
    clock.time = NOW + 89 * DAY
    await check_once(duty, watch.id)
    assert len(window) == 1
    clock.time = NOW + 91 * DAY
    await check_once(duty, watch.id)
    assert len(window) == 0
    assert [one.check for one in await store.watches()] == [False]


async def test_an_indicator_of_a_tld_served_no_more_is_forgotten_not_probed(store: SqliteStore) -> None:
    """A TLD taken out of the configuration leaves its indicators in the store and out of the window."""
    window, probe = Window(86400, 4, 300), Probe()
    (watch,) = await fill(store, window, 1, NOW, tld="yy")
    assert await check_once(Duty(window, store, probe, Clockwork(), Judge(), listing), watch.id) is None
    assert probe.checked == []
    assert len(window) == 0


async def test_an_error_in_the_judge_ends_the_loop(store: SqliteStore) -> None:
    """A bug propagates instead of leaving an indicator unchecked in silence."""

    def broken(subject: Subject, rounds: Sequence[Round], said: Listing) -> Verdict:
        raise ZeroDivisionError(subject.key, len(rounds), said)

    window, clock = Window(86400, 4, 300), Clockwork(NOW + HOUR)
    await fill(store, window, 1, NOW)
    with pytest.RaisesGroup(ZeroDivisionError):
        await probe_due(Duty(window, store, Probe(), clock, broken, listing), concurrency=1, bell=Bell())


class Deeper(Probe):
    """Finds the name delegated below the domain that the suffixes gave."""

    async def check(
        self, subject: Subject, known: DomainRecord | None, due: Extras, now: Callable[[], dt.datetime]
    ) -> tuple[Round, DomainRecord]:
        round_, record = await super().check(subject, known, due, now)
        return round_, msgspec.structs.replace(record, domain="a.d0.zz")


async def test_a_referral_moves_an_indicator_to_its_owner(store: SqliteStore) -> None:
    """The owner is the subject's domain for the judge, in the store, and in the next round; an old return is kept."""
    window = Window(86400, 4, 300)
    item = Indicator("http://www.a.d0.zz/", "www.a.d0.zz", "d0.zz", "zz", "subordinate", "phishing")
    (watch,) = await store.record_listing("f", NOW, [item])
    window.add(watch, NOW)
    await know(store, DomainRecord("a.d0.zz", "zz", returned=NOW - DAY))
    judged: list[str] = []

    def note(standing: Standing) -> Listing:
        judged.append(standing.subject.domain)
        return listing(standing)

    duty = Duty(window, store, Deeper(), Clockwork(NOW + HOUR), Judge(), note)
    await check_once(duty, watch.id)
    found = await store.subject(watch.id)
    assert (found.domain, found.scope, judged) == ("a.d0.zz", "registered", ["a.d0.zz"])
    record = await store.domain("a.d0.zz")
    assert record is not None
    assert record.returned == NOW - DAY
    assert record.delegation is not None
    await check_once(duty, watch.id)
    assert judged == ["a.d0.zz"] * 2


class Refusing:
    """The store, except that it refuses the first rounds as a locked database would."""

    def __init__(self, store: SqliteStore, refused: int) -> None:
        self.store, self.left = store, refused

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def record_round(self, *about: Any) -> None:
        if self.left:
            self.left -= 1
            raise StoreError("the database cannot be written: database is locked")
        await self.store.record_round(*about)


async def test_a_store_that_refuses_is_waited_for(store: SqliteStore) -> None:
    """A round that cannot be recorded is told and made again; none is lost for good, and the loop goes on."""
    clock, window, probe = Clock(dt.datetime.now(dt.UTC), 6000.0), Window(86400, 4, 0.001), Probe()
    watches = await fill(store, window, 2, clock.now())
    told: list[str] = []
    done: list[Checked] = []

    async def note(checked: Checked) -> None:
        done.append(checked)
        if len(done) == 2:
            scope.cancel()

    duty = Duty(window, Refusing(store, 2), probe, clock, Judge(), listing, note, told.append)
    with trio.move_on_after(5) as scope:
        await probe_due(duty, concurrency=2, bell=Bell(), pause_seconds=0.01)
    assert sorted(one.before.subject.id for one in done) == sorted(watch.id for watch in watches)
    assert len(probe.checked) >= 4
    assert "locked" in told[0]
    assert told[-1] == ""


def sighting(feed: str, ended: dt.datetime | None) -> Sighting:
    return Sighting(feed, "phishing", NOW, NOW, ended)


@pytest.mark.parametrize(
    ("sightings", "listed", "withdrawn"),
    [
        ((sighting("full", None),), True, False),
        ((sighting("full", NOW),), False, True),
        ((sighting("full", NOW), sighting("recent", NOW)), False, False),
        ((sighting("full", NOW), sighting("recent", None)), True, False),
        ((sighting("unknown", NOW),), False, False),
        ((), False, False),
    ],
)
def test_only_feeds_that_mean_it_withdraw(sightings: tuple[Sighting, ...], listed: bool, withdrawn: bool) -> None:
    """Ageing out of a recent list, or of a feed no longer configured, is no withdrawal."""
    feeds = {"full": FeedMeta("withdrawn", "reputable"), "recent": FeedMeta("aged-out", "reputable")}
    about = Subject(1, None, "d.zz", "d.zz", "zz", "registered", ("phishing",))
    found = listing_of(Standing(about, NOW, None, sightings, decision="confirm"), feeds)
    assert (found.listed, found.withdrawn, found.decision) == (listed, withdrawn, "confirm")


def test_what_only_older_rounds_know_is_carried_over() -> None:
    """The last activity nine days ago is not forgotten, nor since when a state holds; a new activity replaces both."""
    before = Verdict(
        "mitigated-dns", "r", NOW, NOW + DAY, first_active=NOW - DAY, last_active=NOW, first_gone=NOW, rounds=40
    )
    later = Verdict(
        "mitigated-dns", "r", NOW + 8 * DAY, NOW + 9 * DAY, first_active=NOW - DAY, last_active=NOW - DAY, rounds=33
    )
    carried = carry_over(before, later)
    assert (carried.since, carried.last_active, carried.first_gone) == (NOW, NOW, NOW)
    assert carried.rounds == 41
    active = Verdict("active", "r", NOW + 9 * DAY, NOW + 9 * DAY, last_active=NOW + 9 * DAY)
    carried = carry_over(before, active)
    assert (carried.since, carried.last_active, carried.first_gone) == (NOW + 9 * DAY, NOW + 9 * DAY, None)
    assert carry_over(None, active) == active
