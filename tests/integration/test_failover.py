"""A primary dies and its standby takes over while hosts are at work: they go on by themselves, and nothing is lost.

Two hosts probe and one listens, on real servers; only the probes are stand-ins.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from itertools import pairwise

import psycopg
import pytest
import trio

from panopticond.config import Config, StoreSettings, Tld, Tranco
from panopticond.fleet.budget import DatabaseClock, SharedBuckets
from panopticond.fleet.host import Fleet
from panopticond.fleet.leases import LeasedStore, Leases
from panopticond.model import DomainRecord, Round, Subject
from panopticond.probe.round import Extras
from panopticond.schedule import Bell, Checked, Duty, probe_due
from panopticond.shared.clock import Clock
from panopticond.status.answer import Health, gather
from panopticond.store import plan
from panopticond.store.plan import Finished, Lease
from panopticond.store.postgres import PostgresStore, open_postgres
from panopticond.wiring import assemble
from tests import postgres
from tests.lab.fleet import busiest
from tests.panopticond.fleet.test_host import Listening, Work, nothing
from tests.panopticond.store.test_methods import NOW, a_round, indicator, verdict
from tests.panopticond.test_schedule import Judge, Probe, listing

LEASE_SECONDS = 60.0
"""As it comes, and longer than any failover here takes on a busy machine: a lease that ran out is another test's."""
RATE = 40.0
CLOCK = Clock(dt.datetime.now(dt.UTC), 1.0)


class Pair:
    """A primary, its standby, and the URL that names both."""

    def __init__(self, primary: postgres.Cluster, standby: postgres.Cluster) -> None:
        self.primary, self.standby = primary, standby
        self.url = f"postgresql:///postgres?host={primary.root},{standby.root}&user=postgres"

    def fail_over(self) -> None:
        self.primary.kill()
        self.standby.promote()

    def cut_off(self) -> None:
        """The standby hears of nothing any more."""
        self.standby.change("primary_conninfo", "")
        with psycopg.connect(self.primary.url) as connection:
            while connection.execute("SELECT 1 FROM pg_stat_replication").fetchall():
                connection.rollback()


def count(server: postgres.Cluster, what: str) -> int:
    with psycopg.connect(server.url) as connection:
        (number,) = connection.execute(f"SELECT count(*) FROM {what}".encode()).fetchone() or (0,)  # noqa: S608 - ours
        return int(number)


def until_one_waits_for_its_standby(server: postgres.Cluster) -> None:
    """A commit that is written here and not there: a listing's, which asks for more than one statement."""
    waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query = 'COMMIT'"
    deadline = time.monotonic() + 30.0
    with psycopg.connect(server.url, autocommit=True) as connection:
        while not connection.execute(waits.encode()).fetchall():
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Asynchronous, as PostgreSQL comes."""
    try:
        postgres.program("pg_basebackup")
    except postgres.MissingError as missing:
        pytest.skip(str(missing))
    with postgres.cluster("fsync=off") as primary:
        standby = primary.standby()
        standby.start()
        try:
            yield Pair(primary, standby)
        finally:
            standby.stop()


class Shared:
    """What all hosts did, by one clock."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        """When a server of a TLD would have been asked."""
        self.begun: dict[int, list[float]] = {}
        """When each indicator's checks began."""
        self.recorded: list[int] = []
        self.gate = trio.Event()


class Paced(Probe):
    """A round that asks for a moment of the shared rate, then waits for the gate when it has one."""

    def __init__(self, shared: Shared, rate: SharedBuckets, *, gated: bool) -> None:
        super().__init__()
        self._shared, self._rate, self._gated = shared, rate, gated

    async def check(
        self, subject: Subject, known: DomainRecord | None, due: Extras, now: Callable[[], dt.datetime]
    ) -> tuple[Round, DomainRecord]:
        self._shared.begun.setdefault(subject.id, []).append(trio.current_time())
        await self._rate.take("192.0.2.1")
        self._shared.asked.append(trio.current_time())
        if self._gated:
            await self._shared.gate.wait()
        return await super().check(subject, known, due, now)


class Host:
    """One host: its store, its leases, its place in the fleet, and its schedule."""

    def __init__(self, store: PostgresStore, shared: Shared, *, gated: bool) -> None:
        self.store, self._shared = store, shared
        self.leases = Leases(86_400, 4, 0.01, store=store, clock=CLOCK, room=6, lease_seconds=LEASE_SECONDS)
        store.planner = self.leases.first_plan
        self.fleet = Fleet(store, CLOCK, ("collect", "probe", "publish"), self.leases)
        self.probe = Paced(shared, SharedBuckets(store, DatabaseClock(), "dns", RATE), gated=gated)
        self.feed = Work()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        bell = Bell()
        records = LeasedStore(self.store, self.leases)
        duty = Duty(self.leases, records, self.probe, CLOCK, Judge(), listing, self._note)
        async with trio.open_nursery() as nursery:
            await nursery.start(self.fleet.keep, bell.ring, nothing)
            await nursery.start(self.fleet.alone, "feed f", self.feed)
            nursery.start_soon(partial(probe_due, duty, concurrency=4, bell=bell, pause_seconds=0.1))
            task_status.started()

    async def _note(self, checked: Checked) -> None:
        self._shared.recorded.append(checked.before.subject.id)


@contextlib.asynccontextmanager
async def hosts_at_work(pair: Pair, shared: Shared) -> AsyncIterator[tuple[Host, Host, trio.Nursery]]:
    """One host whose probes stand at the gate, one that goes on and on."""
    async with (
        await open_postgres(pair.url) as first,
        await open_postgres(pair.url) as second,
        trio.open_nursery() as nursery,
    ):
        one, two = Host(first, shared, gated=True), Host(second, shared, gated=False)
        await nursery.start(one.run)
        await nursery.start(two.run)
        yield one, two, nursery
        nursery.cancel_scope.cancel()


async def until(held: Callable[[], bool], seconds: float = 30.0) -> None:
    with trio.fail_after(seconds):
        while not held():  # noqa: ASYNC110 - what is waited for lies in other tasks, threads and processes
            await trio.sleep(0.01)


async def test_hosts_at_work_go_on_with_the_standby_and_nothing_is_lost(pair: Pair) -> None:
    """Leases, locks, rates and wake-ups stand on the new server, each round once; a former primary is left alone."""
    pair.primary.change("synchronous_standby_names", "*")
    shared, listening = Shared(), Listening()
    listed: set[int] = set()

    async def collect(store: PostgresStore) -> None:
        for start in range(1, 10_000):
            watches = await store.record_listing("f", CLOCK.now(), [indicator(start)])
            listed.update(watch.id for watch in watches)
            await trio.sleep(0.02)

    async with await open_postgres(pair.url) as store, hosts_at_work(pair, shared) as (one, two, nursery):
        store.planner = one.leases.first_plan
        ear = Fleet(store, CLOCK, ("probe",), listening)  # type: ignore[arg-type]
        await nursery.start(ear.keep, nothing, nothing)
        async with trio.open_nursery() as collecting:
            collecting.start_soon(collect, store)
            await until(lambda: one.leases.held == 6 and len(shared.recorded) > 20 and len(ear.hosts) == 3)
            await until(lambda: one.feed.running != two.feed.running)
            await trio.to_thread.run_sync(pair.primary.kill)
            await until(lambda: all("no server takes writes" in " ".join(host.fleet.wrong()) for host in (one, two)))
            said = one.fleet.wrong()
            assert not one.feed.running
            assert not two.feed.running
            await trio.to_thread.run_sync(pair.standby.promote)
            before = len(shared.recorded)
            await until(lambda: len(shared.recorded) > before + 20)
            await until(lambda: one.feed.running != two.feed.running)
            collecting.cancel_scope.cancel()
        shared.gate.set()
        await until(lambda: set(shared.recorded) >= listed)
        woken = listening.woken
        await two.store.record_listing("f", CLOCK.now(), [indicator(20_000)])
        await until(lambda: listening.woken > woken)
        await until(lambda: one.fleet.wrong() == two.fleet.wrong() == [])
        await _a_former_primary_is_left_alone(pair, one.store)
    assert said[0].count("is a standby and takes no writes") == 1
    assert said[0].endswith("nothing is checked here until it is back")
    assert "\n" not in said[0]
    again = "(SELECT 1 FROM observation GROUP BY indicator_id HAVING count(DISTINCT round_at) > 1) AS again"
    assert count(pair.standby, again) == 0, "a round made twice"
    gaps = [later - earlier for times in shared.begun.values() for earlier, later in pairwise(times)]
    assert all(gap >= LEASE_SECONDS for gap in gaps), "a check begun again within its lease"
    assert busiest(sorted(shared.asked), 1.0) <= RATE + 1
    assert one.leases.lost == two.leases.lost == 0


async def _a_former_primary_is_left_alone(pair: Pair, store: PostgresStore) -> None:
    """It starts again as it was, first in the URL and ready to write: neither a running host nor a new one does."""
    await trio.to_thread.run_sync(pair.primary.start)
    before = await trio.to_thread.run_sync(count, pair.primary, "indicator")
    assert before > 0
    store.engine.servers.cut()
    await store.record_listing("g", CLOCK.now(), [indicator(30_001)])
    async with await open_postgres(pair.url) as fresh:
        await fresh.record_listing("g", CLOCK.now(), [indicator(30_002)])
    assert await trio.to_thread.run_sync(count, pair.primary, "indicator") == before
    assert (
        await trio.to_thread.run_sync(count, pair.standby, "sighting JOIN feed ON feed_id = id WHERE name = 'g'") == 2
    )


async def test_what_an_asynchronous_standby_did_not_hear_of_is_made_again(pair: Pair) -> None:
    """Rounds and leases of those seconds are gone with the old server; what was under way then counts for nobody."""

    async def take(host: int) -> Lease:
        work = partial(plan.take, host=host, now=NOW.timestamp(), limit=1, lease_seconds=60.0)
        (lease,) = (await store.engine.transact(work)).leases
        return lease

    async def record(lease: Lease, at: dt.datetime, name: str) -> set[int]:
        domain = DomainRecord(name, "zz")
        made = Finished(lease, a_round(at), verdict(), None, at.timestamp() + 21_000, at.timestamp() + 21_600, domain)
        return await store.engine.transact(partial(plan.record, finished=[made]))

    minute = dt.timedelta(minutes=1)
    async with await open_postgres(pair.url) as store:
        store.planner = lambda _, seen: (seen.timestamp(), seen.timestamp() + 300)
        watches = await store.record_listing("f", NOW, [indicator(1), indicator(2)])
        await trio.to_thread.run_sync(pair.cut_off)
        lost, under_way = await take(1), await take(1)
        assert await record(lost, NOW, "d0.zz") == {lost.indicator_id}
        await trio.to_thread.run_sync(pair.fail_over)
        assert await store.rounds(lost.indicator_id) == []
        again = [await take(2), await take(2)]
        assert {lease.indicator_id for lease in again} == {watch.id for watch in watches}
        assert await record(under_way, NOW + minute, "d1.zz") == set(), "the old lease stands for the new one"
        assert await store.domain("d1.zz") is None
        for lease in again:
            assert await record(lease, NOW + 2 * minute, "d2.zz") == {lease.indicator_id}
            assert [round_.at for round_ in await store.rounds(lease.indicator_id)] == [NOW + 2 * minute]
        assert await store.domain("d2.zz") is not None


async def test_a_primary_that_hangs_is_told_and_left_for_the_one_that_takes_over(pair: Pair) -> None:
    """Its connections stay open and silent; they are cut once another server is further on. Status answers all along."""
    url = f"{pair.url}&connect_timeout=2"
    config = Config(tld=(Tld("zz"),), tranco=Tranco(enabled=False), store=StoreSettings("unused", url=url))
    async with assemble(config) as parts, await open_postgres(url) as store, trio.open_nursery() as nursery:
        fleet, work = Fleet(store, CLOCK, ("collect",), None, silent_seconds=1.0), Work()
        await nursery.start(fleet.keep, nothing, nothing)
        await nursery.start(fleet.alone, "feed f", work)
        await until(lambda: work.running)
        await trio.to_thread.run_sync(pair.primary.freeze)
        nursery.start_soon(store.record_listing, "f", CLOCK.now(), [indicator(1)])  # waits for the hanging server
        try:
            with trio.fail_after(8):
                wrong = (await gather(parts, Health()))["wrong"]
            assert wrong[0] == "the shared store had no answer within 3 s: feeds and TLDs are left out here"
            await until(lambda: not work.running)
            assert fleet.away()
            await trio.to_thread.run_sync(pair.standby.promote)
            await until(lambda: work.running and not fleet.away())
            with trio.fail_after(10):
                while not await store.watches():  # noqa: ASYNC110 - what is waited for is made by the other server
                    await trio.sleep(0.01)
        finally:
            await trio.to_thread.run_sync(pair.primary.thaw)
        nursery.cancel_scope.cancel()
    assert count(pair.primary, "indicator") == 0


async def test_a_synchronous_standby_that_is_away_is_told_and_waited_for(pair: Pair) -> None:
    """Nothing can be committed and nothing is lost; the end of the daemon waits for neither."""
    pair.primary.change("synchronous_standby_names", "*")
    too_late = threading.Timer(20.0, pair.standby.thaw)
    try:
        async with await open_postgres(pair.url) as store, trio.open_nursery() as nursery:
            fleet = Fleet(store, CLOCK, ("collect",), None, silent_seconds=1.0)
            await nursery.start(fleet.keep, nothing, nothing)
            await until(lambda: bool(fleet.hosts))
            await trio.to_thread.run_sync(pair.standby.freeze)
            await until(lambda: any("synchronous standby is away" in sentence for sentence in fleet.wrong()))
            nursery.start_soon(store.record_listing, "f", CLOCK.now(), [indicator(1)])
            await trio.to_thread.run_sync(pair.standby.thaw)
            await until(lambda: not fleet.away())
            with trio.fail_after(10):
                while not await store.watches():  # noqa: ASYNC110 - what is waited for is in the database
                    await trio.sleep(0.01)
            await trio.to_thread.run_sync(pair.standby.freeze)
            await until(fleet.away)
            nursery.start_soon(store.record_listing, "f", CLOCK.now(), [indicator(2)])
            await trio.to_thread.run_sync(until_one_waits_for_its_standby, pair.primary)
            too_late.start()
            nursery.cancel_scope.cancel()
        assert too_late.is_alive(), "the end waited for the standby"
    finally:
        too_late.cancel()
        pair.standby.thaw()
