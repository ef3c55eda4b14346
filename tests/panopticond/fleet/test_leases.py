"""A window of leases: the schedule runs on it as on its own window, through kills of others, lost leases and outages."""

import datetime as dt
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio

from panopticond.fleet.host import Fleet
from panopticond.fleet.leases import LeasedStore, Leases
from panopticond.schedule import Bell, Checked, Duty, probe_due
from panopticond.shared.clock import Clock
from panopticond.store import hosts, plan
from panopticond.store.interface import AwayError
from panopticond.store.postgres import PostgresStore, open_postgres
from tests import postgres
from tests.panopticond.store.test_methods import indicator
from tests.panopticond.test_schedule import Judge, Probe, listing

HOUR = dt.timedelta(hours=1)


@pytest.fixture
async def store(schema: str) -> Any:
    async with await open_postgres(schema) as opened:
        yield opened


class Host:
    """One host's schedule over the shared plan, without sockets."""

    def __init__(
        self, store: PostgresStore, clock: Clock, *, room: int = 8, lease: float = 5.0, planned: Any = None
    ) -> None:
        """``planned`` is a store that stands between the plan and its leases."""
        self.store, self.clock, self.probe = store, clock, Probe()
        self.leases = Leases(86_400, 4, 300, store=planned or store, clock=clock, room=room, lease_seconds=lease)
        store.planner = self.leases.first_plan
        self.told: list[str] = []
        self.checked: list[Checked] = []
        self.after: Callable[[], Awaitable[None]] | None = None

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        bell = Bell()
        records = LeasedStore(self.store, self.leases)
        duty = Duty(self.leases, records, self.probe, self.clock, Judge(), listing, self._note)
        number = await self.store.engine.transact(partial(hosts.enter, name="h", roles=("probe",)))
        async with trio.open_nursery() as nursery:
            await nursery.start(self.leases.keep, number, bell.ring, self.told.append)
            nursery.start_soon(partial(probe_due, duty, concurrency=4, bell=bell, pause_seconds=0.05))
            task_status.started()

    async def _note(self, checked: Checked) -> None:
        self.checked.append(checked)
        if self.after is not None:
            await self.after()


class TakesNoRounds:
    """A store whose plan can be taken from while its rounds cannot be written; its own engine to ``Leases``."""

    def __init__(self, store: PostgresStore) -> None:
        self.engine, self._real = self, store.engine
        self.back = False
        self.read = store.engine.read

    async def transact(self, work: Any) -> Any:
        if work.func is plan.record and not self.back:
            raise AwayError("away")
        return await self._real.transact(work)


async def fill(store: PostgresStore, clock: Clock, count: int) -> list[int]:
    watches = await store.record_listing("f", clock.now(), [indicator(n) for n in range(count)])
    return sorted(watch.id for watch in watches)


async def until(held: Callable[[], bool], seconds: float = 20.0) -> None:
    with trio.fail_after(seconds):
        while not held():  # noqa: ASYNC110 - what is waited for lies in other tasks and threads
            await trio.sleep(0.01)


async def test_two_hosts_share_the_rounds_and_make_each_once(store: PostgresStore, nursery: trio.Nursery) -> None:
    """More than a policy day: every indicator has a round in each six hours, both hosts made some, none was made twice."""
    clock = Clock(dt.datetime.now(dt.UTC), 30_000.0)
    one, two = Host(store, clock), Host(store, clock)
    ids = await fill(store, clock, 12)
    await nursery.start(one.run)
    await nursery.start(two.run)
    await until(lambda: len(one.checked) + len(two.checked) >= 12 * 5)
    nursery.cancel_scope.cancel()
    assert one.checked
    assert two.checked
    made: dict[int, list[dt.datetime]] = {}
    for checked in one.checked + two.checked:
        made.setdefault(checked.before.subject.id, []).append(checked.round.at)
    assert sorted(made) == ids
    gaps = [(b - a) / HOUR for times in made.values() for a, b in zip(sorted(times), sorted(times)[1:], strict=False)]
    assert min(gaps) >= 6 * 0.95
    assert one.leases.lost == two.leases.lost == 0


async def test_a_host_that_dies_loses_its_checks_to_another(store: PostgresStore, nursery: trio.Nursery) -> None:
    """What it had on lease is made by another once the lease ran out; what it brings back afterwards is dropped."""
    clock = Clock(dt.datetime.now(dt.UTC), 1000.0)
    host = Host(store, clock)
    ids = await fill(store, clock, 3)
    await trio.sleep(0.4)  # until all are due
    work = partial(plan.take, host=99, now=clock.now().timestamp(), limit=9, lease_seconds=0.5)
    dead = (await store.engine.transact(work)).leases
    assert len(dead) == 3
    await nursery.start(host.run)
    await until(lambda: len(host.checked) >= 3)
    assert sorted(checked.before.subject.id for checked in host.checked[:3]) == ids
    round_, verdict = host.checked[0].round, host.checked[0].verdict
    late = [plan.Finished(lease, round_, verdict, None, 0.0, 0.0) for lease in dead]
    assert await store.engine.transact(partial(plan.record, finished=late)) == set()
    nursery.cancel_scope.cancel()


async def test_a_result_whose_lease_is_lost_is_dropped_counted_and_stops_nothing(
    store: PostgresStore, nursery: trio.Nursery
) -> None:
    """The schedule goes on with the others at once; status says so."""
    clock = Clock(dt.datetime.now(dt.UTC), 1000.0)
    host = Host(store, clock)
    ids = await fill(store, clock, 2)
    host.probe.gate = trio.Event()
    await nursery.start(host.run)
    await until(lambda: host.probe.running == 2)
    await store.engine.transact(lambda sql: sql.change("UPDATE plan SET token = token + 1, holder = 99 WHERE "
                                                       "indicator_id = ?", (ids[0],)))  # fmt: skip
    host.probe.gate.set()
    await until(lambda: host.leases.lost == 1 and bool(host.checked))
    assert [checked.before.subject.id for checked in host.checked] == [ids[1]]
    assert await store.rounds(ids[0]) == []
    fleet = Fleet(store, clock, ("probe",), host.leases)
    assert any("1 results of this host were dropped" in sentence for sentence in fleet.wrong())
    nursery.cancel_scope.cancel()


async def test_whoever_leaves_gives_back_what_it_had(store: PostgresStore) -> None:
    """A host that ends as it should leaves no lease to run out."""
    clock = Clock(dt.datetime.now(dt.UTC), 1000.0)
    host = Host(store, clock, lease=600.0)
    await fill(store, clock, 5)
    host.probe.gate = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(host.run)
        await until(lambda: host.leases.held == 5)
        nursery.cancel_scope.cancel()
    work = partial(plan.take, host=99, now=clock.now().timestamp(), limit=9, lease_seconds=60.0)
    assert len((await store.engine.transact(work)).leases) == 5


async def test_an_indicator_of_no_served_tld_leaves_the_plan(store: PostgresStore, nursery: trio.Nursery) -> None:
    """It is forgotten by all hosts, not probed."""
    clock = Clock(dt.datetime.now(dt.UTC), 1000.0)
    host = Host(store, clock)
    await store.record_listing("f", clock.now(), [indicator(1, tld="yy"), indicator(2)])
    await nursery.start(host.run)
    await until(lambda: len(host.checked) == 1)

    async def planned() -> int:
        return (await store.engine.read(partial(plan.overdue, now=0.0, limit=1)))[0]

    with trio.fail_after(10):
        while await planned() > 1:  # noqa: ASYNC110 - what is waited for happens in the database
            await trio.sleep(0.02)
    nursery.cancel_scope.cancel()
    assert host.checked[0].before.subject.tld == "zz"


async def test_finished_rounds_wait_for_a_database_that_is_away(mortal: postgres.Cluster) -> None:
    """No round is lost, none is made twice, no more begin than have a slot; what waits is told."""
    clock = Clock(dt.datetime.now(dt.UTC), 1000.0)
    async with await open_postgres(mortal.url, patience_seconds=1.0) as store, trio.open_nursery() as nursery:
        host = Host(store, clock, lease=60.0)
        ids = await fill(store, clock, 4)
        host.probe.gate = trio.Event()
        await nursery.start(host.run)
        await until(lambda: host.probe.running == 4)
        await trio.to_thread.run_sync(mortal.stop)
        host.probe.gate.set()
        await until(lambda: any("4 finished rounds wait" in sentence for sentence in host.told))
        assert host.leases.waiting == 4
        assert host.checked == []
        await trio.to_thread.run_sync(mortal.start)
        await until(lambda: len(host.checked) == 4)
        nursery.cancel_scope.cancel()
    assert sorted(checked.before.subject.id for checked in host.checked) == ids
    assert len(host.probe.checked) == 4
    assert host.leases.lost == 0


@pytest.mark.parametrize("moved", [False, True])
async def test_a_lease_that_ran_out_and_came_back_here_loses_no_check(
    store: PostgresStore, nursery: trio.Nursery, moved: bool
) -> None:
    """An outage longer than a lease: what waited to be written counts, or is made again where another host planned."""
    clock = Clock(dt.datetime.now(dt.UTC), 1000.0)
    away = TakesNoRounds(store)
    host = Host(store, clock, lease=60.0, planned=away)
    await fill(store, clock, 2)
    await nursery.start(host.run)
    await until(lambda: host.leases.waiting == 2)
    over = "UPDATE plan SET leased_until = clock_timestamp() - make_interval(secs => 1), due = due - ?"
    await store.engine.transact(lambda sql: sql.change(over, (int(moved),)))
    host.leases.wake()
    await until(lambda: host.leases.taken == 4)
    away.back = True
    await until(lambda: len(host.checked) == 2)
    assert (await store.engine.read(partial(plan.overdue, now=0.0, limit=1)))[0] == 2
    assert host.leases.lost == 2 * moved
    nursery.cancel_scope.cancel()
