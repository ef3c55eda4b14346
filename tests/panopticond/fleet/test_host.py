"""Hosts on one database: what only one may do is done by one, and by the next when that one goes."""

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio
from psycopg import errors

from panopticond.fleet.host import Fleet
from panopticond.fleet.sharing import here
from panopticond.shared.clock import Clock
from panopticond.status.coverage import Coverage
from panopticond.store import partitions
from panopticond.store.interface import AwayError
from panopticond.store.postgres import PostgresStore, open_postgres
from panopticond.store.sql import Sql
from tests import postgres
from tests.panopticond.store.test_methods import indicator

CLOCK = Clock(dt.datetime.now(dt.UTC), 1.0)


class Work:
    """Something done alone: how often it began, and whether it is being done."""

    def __init__(self) -> None:
        self.begun = 0
        self.running = False
        self.fault: Exception | None = None

    async def __call__(self) -> None:
        self.begun += 1
        if self.fault is not None:
            fault, self.fault = self.fault, None
            raise fault
        self.running = True
        try:
            await trio.sleep_forever()
        finally:
            self.running = False


async def until(held: Callable[[], bool]) -> None:
    with trio.fail_after(20):
        while not held():  # noqa: ASYNC110 - what is waited for lies in other tasks and threads
            await trio.sleep(0.01)


def nothing(*_: object) -> None:
    pass


async def host(nursery: trio.Nursery, store: PostgresStore, work: Work) -> Fleet:
    fleet = Fleet(store, CLOCK, ("collect",), None)
    await nursery.start(fleet.keep, nothing, nothing)
    await nursery.start(fleet.alone, "feed f", work)
    return fleet


@pytest.fixture
def mortal() -> Iterator[postgres.Cluster]:
    try:
        postgres.program("postgres")
    except postgres.MissingError as missing:
        pytest.skip(str(missing))
    with postgres.cluster("fsync=off") as running:
        yield running


async def test_one_host_does_it_and_the_next_when_that_one_is_gone(schema: str) -> None:
    """Never both; the second host hears of the first, and takes over after it ended."""
    first, second = Work(), Work()
    async with await open_postgres(schema) as store, trio.open_nursery() as outer:
        async with trio.open_nursery() as inner:
            one = await host(inner, store, first)
            await until(lambda: first.running)
            two = await host(outer, store, second)
            await until(lambda: len(two.hosts) == 2)
            assert not second.running
            assert one.table()["alone"] == ["feed f"]
            inner.cancel_scope.cancel()
        await until(lambda: second.running)
        assert not first.running
        await until(lambda: len(two.hosts) == 1)
        outer.cancel_scope.cancel()


async def test_a_lost_session_ends_the_work_and_a_new_one_begins_it_again(mortal: postgres.Cluster) -> None:
    """The lock ends with the session: what is done under it is cancelled, and done again once the database is back."""
    work = Work()
    async with await open_postgres(mortal.url, patience_seconds=0.5) as store, trio.open_nursery() as nursery:
        fleet = await host(nursery, store, work)
        await until(lambda: work.running)
        await trio.to_thread.run_sync(mortal.stop)
        await until(lambda: not work.running)
        assert fleet.holding == set()
        await trio.to_thread.run_sync(mortal.start)
        await until(lambda: work.running)
        assert work.begun == 2
        nursery.cancel_scope.cancel()


async def test_a_beat_without_an_answer_is_told_before_it_is_given_up(mortal: postgres.Cluster) -> None:
    """A server that stands still keeps its connections: seconds later status names it, while the session still waits."""
    async with await open_postgres(mortal.url) as store, trio.open_nursery() as nursery:
        fleet = Fleet(store, CLOCK, ("collect",), None, late_seconds=0.5)
        await nursery.start(fleet.keep, nothing, nothing)
        await nursery.start(fleet.alone, "feed f", Work())
        await until(lambda: bool(fleet.holding))
        assert fleet.wrong() == [
            "no living host probes: no check is made",
            "no living host publishes: no snapshot is made",
        ]
        await trio.to_thread.run_sync(mortal.freeze)
        try:
            await until(fleet.away)
            assert " s; nothing is checked here until it is back" in fleet.wrong()[0]
            assert ": no answer for " in fleet.wrong()[0]
            assert fleet.holding == {"feed f"}
        finally:
            await trio.to_thread.run_sync(mortal.thaw)
        await until(lambda: not fleet.away())
        nursery.cancel_scope.cancel()


async def test_a_fault_nobody_tried_again_is_not_told_for_ever(schema: str) -> None:
    """Whoever met it was cancelled: on a quiet host the next beats find out that the database answers."""

    def broken(_: Sql) -> None:
        raise errors.DeadlockDetected("deadlock detected")

    async with await open_postgres(schema) as store, trio.open_nursery() as nursery:
        fleet = await host(nursery, store, Work())
        with trio.fail_after(20):
            while not await store.engine.read(partitions.days):  # noqa: ASYNC110 - what a host asks when it begins
                await trio.sleep(0.01)
        async with trio.open_nursery() as asking:
            asking.start_soon(store.engine.transact, broken)
            await until(fleet.away)
            asking.cancel_scope.cancel()
        await until(lambda: not fleet.away())
        nursery.cancel_scope.cancel()


async def test_work_that_meets_an_absent_database_is_begun_again(schema: str) -> None:
    """A task that could not even start is no reason to end the daemon."""
    work = Work()
    work.fault = AwayError("gone")
    async with await open_postgres(schema) as store, trio.open_nursery() as nursery:
        await host(nursery, store, work)
        await until(lambda: work.running)
        assert work.begun == 2
        nursery.cancel_scope.cancel()


async def test_a_host_by_itself_is_always_on_turn(nursery: trio.Nursery) -> None:
    """With the embedded store a task is simply started, and who waits for its start is told by it."""
    told: list[str] = []

    async def task(*, task_status: Any = trio.TASK_STATUS_IGNORED) -> None:
        told.append("begun")
        task_status.started()

    await nursery.start(here, "feed f", task)
    await here("feed f", task)
    assert told == ["begun", "begun"]


class Listening:
    """Leases that only count how often they were woken."""

    held = taken = recorded = lost = waiting = 0

    def __init__(self) -> None:
        self.woken = 0

    async def keep(self, *_: object, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await trio.sleep_forever()

    def wake(self) -> None:
        self.woken += 1

    def coverage(self, _: dt.datetime) -> Coverage:
        return Coverage(9, 7, 2, 1)


async def test_a_listing_on_one_host_wakes_the_others(schema: str) -> None:
    """What is new is planned and told in the transaction that records it; nobody waits for his next look."""
    leases = Listening()
    async with await open_postgres(schema) as store, trio.open_nursery() as nursery:
        fleet = Fleet(store, CLOCK, ("probe",), leases)  # type: ignore[arg-type]
        await nursery.start(fleet.keep, nothing, nothing)
        async with await open_postgres(schema) as other:
            other.planner = lambda _, seen: (seen.timestamp(), seen.timestamp())
            await until(lambda: bool(fleet.hosts))
            await other.record_listing("f", CLOCK.now(), [indicator(1)])
            await until(lambda: leases.woken == 1)
            await other.record_listing("f", CLOCK.now(), [indicator(1)])
        await until(lambda: fleet.table()["hosts"][0]["late"] == 2)
        assert leases.woken == 1
        assert "no living host collects: feeds are not followed" in fleet.wrong()
        nursery.cancel_scope.cancel()
