"""Checks shared by many hosts: each to one host at a time, leases that end, and results that count only under theirs."""

import datetime as dt
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from panopticond.model import DomainRecord
from panopticond.shared.errors import StoreError
from panopticond.store import hosts, plan
from panopticond.store.interface import AwayError, Watch
from panopticond.store.plan import Finished, Lease
from panopticond.store.postgres import PostgresSql, PostgresStore, open_postgres
from panopticond.store.servers import Servers
from panopticond.store.sql import Sql, first
from tests import postgres
from tests.panopticond.store.test_methods import HOUR, NOW, a_round, indicator, verdict

START = NOW.timestamp()


@pytest.fixture
async def store(schema: str) -> Any:
    async with await open_postgres(schema) as opened:
        opened.planner = lambda _, seen: (seen.timestamp(), seen.timestamp() + 300)
        yield opened


async def fill(store: PostgresStore, count: int) -> list[int]:
    watches = await store.record_listing("f", NOW, [indicator(n) for n in range(count)])
    return sorted(watch.id for watch in watches)


async def take(
    store: PostgresStore, host: int = 1, limit: int = 100, lease: float = 60.0, at: float = START
) -> list[Lease]:
    work = partial(plan.take, host=host, now=at, limit=limit, lease_seconds=lease)
    return list((await store.engine.transact(work)).leases)


def finished(lease: Lease, at: dt.datetime = NOW, **other: Any) -> Finished:
    said, domain = other.pop("verdict", verdict()), other.pop("domain", None)
    return Finished(lease, a_round(at), said, None, at.timestamp() + 21_000, at.timestamp() + 21_600, domain)


async def test_what_is_recorded_is_planned_and_taken_once(store: PostgresStore) -> None:
    """New indicators stand in the plan at once, the second listing adds none, and what one host took no other gets."""
    ids = await fill(store, 5)
    assert await fill(store, 5) == []
    first, second = await take(store, 1, 3), await take(store, 2)
    assert sorted(lease.indicator_id for lease in first + second) == ids
    assert (len(first), len(second)) == (3, 2)
    assert await take(store, 3) == []


async def test_nothing_is_taken_before_its_time_and_the_longest_due_comes_first(store: PostgresStore) -> None:
    """`next_due` tells when to look again."""
    await store.engine.transact(partial(plan.add, plans=[(7, START + 5, START + 9), (8, START + 1, START + 9)]))
    work = partial(plan.take, host=1, now=START, limit=5, lease_seconds=60.0)
    assert await store.engine.transact(work) == plan.Taken((), START + 1)
    assert [lease.indicator_id for lease in await take(store, at=START + 9)] == [8, 7]


async def test_taking_a_few_checks_never_reads_the_whole_plan(store: PostgresStore) -> None:
    """By its index, however long the plan is: a plan made without the limit's value must not be a scan."""
    many = (
        "INSERT INTO plan (indicator_id, due, deadline) SELECT id, ?1 + id, ?1 + id FROM generate_series(1, 50000) id"
    )
    await store.engine.transact(lambda sql: sql.rows(many, (int(START * 1e6) - 50_000,)))
    await store.engine.transact(lambda sql: sql.rows("ANALYZE plan"))

    def read(sql: Sql) -> int:
        return int(first(sql, "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relid = 'plan'::regclass"))

    def work(sql: Sql) -> tuple[int, int, int]:
        before = read(sql)
        leases = plan.take(sql, 1, START, 10, 60.0).leases
        plan.settle(sql, [finished(lease) for lease in leases])
        return before, read(sql), len(leases)

    before, after, taken = await store.engine.transact(work)
    assert (after - before, taken) == (0, 10)


async def test_a_round_is_recorded_under_its_lease_only(store: PostgresStore) -> None:
    """After the lease went to another host the first one's result leaves no trace; the second one's counts."""
    (number,) = await fill(store, 1)
    (early,) = await take(store, 1, lease=0.0)
    (late,) = await take(store, 2)
    assert late.token != early.token
    assert await store.engine.transact(partial(plan.record, finished=[finished(early)])) == set()
    assert await store.rounds(number) == []
    assert await store.engine.transact(partial(plan.record, finished=[finished(late)])) == {number}
    assert await store.rounds(number) == [a_round()]
    assert (await store.watches())[0].last_round == NOW


@pytest.mark.parametrize("forward", [True, False])
async def test_of_rounds_recorded_together_the_latest_says_what_is_known_of_a_domain(
    store: PostgresStore, forward: bool
) -> None:
    """Whatever the numbers of their indicators, and in whatever order the rounds came."""
    await fill(store, 9)
    leases = sorted(await take(store), key=lambda lease: lease.indicator_id, reverse=not forward)
    times = [NOW + dt.timedelta(minutes=place) for place in range(9)]
    made = [
        finished(lease, at, domain=DomainRecord("d.zz", "zz", absent_since=at))
        for lease, at in zip(leases, times, strict=True)
    ]
    await store.engine.transact(partial(plan.record, finished=made[::-1]))
    known = await store.domain("d.zz")
    assert known is not None
    assert known.absent_since == times[-1]


async def test_a_transaction_made_again_finds_its_own_work(store: PostgresStore) -> None:
    """A commit whose answer was lost is repeated: the round is one round and its lease is not called lost."""
    (number,) = await fill(store, 1)
    (lease,) = await take(store)
    for _ in range(2):
        assert await store.engine.transact(partial(plan.record, finished=[finished(lease)])) == {number}
    assert len(await store.rounds(number)) == 1
    assert await take(store) == []
    assert len(await take(store, at=START + 21_000)) == 1


async def test_a_lease_that_ran_out_may_still_be_used_while_nobody_else_has_it(store: PostgresStore) -> None:
    """Work that came late is not thrown away for nothing."""
    (number,) = await fill(store, 1)
    (lease,) = await take(store, lease=0.0)
    assert await store.engine.transact(partial(plan.record, finished=[finished(lease)])) == {number}


async def test_renewing_tells_what_is_lost_and_never_takes_back_what_is_done(store: PostgresStore) -> None:
    """A renewed lease holds; one that another host has, or that is settled, does not come back."""
    await fill(store, 3)
    leases = await take(store, 1, lease=0.0)
    (other,) = await take(store, 2, 1)
    await store.engine.transact(partial(plan.record, finished=[finished(leases[1])]))
    gone = await store.engine.transact(partial(plan.renew, host=1, leases=leases, lease_seconds=60.0))
    assert gone == {other.indicator_id, leases[1].indicator_id}
    assert await take(store, 3) == []


async def test_what_is_given_back_is_due_as_said_and_what_is_dropped_is_gone(store: PostgresStore) -> None:
    """A check that came to nothing is anybody's, at its old time or a later one; an indicator of no served TLD is none's."""
    await fill(store, 3)
    leases = await take(store)
    await store.engine.transact(partial(plan.give_back, leases=[(leases[0], None), (leases[1], START + 60)]))
    await store.engine.transact(partial(plan.drop, leases=leases[2:]))
    assert [lease.indicator_id for lease in await take(store)] == [leases[0].indicator_id]
    assert [lease.indicator_id for lease in await take(store, at=START + 60)] == [leases[1].indicator_id]
    assert (await store.engine.read(partial(plan.overdue, now=START + 999, limit=9)))[0] == 2


async def test_what_nobody_need_ask_leaves_the_plan_and_comes_back_with_a_listing(store: PostgresStore) -> None:
    """90 days mitigated and unlisted, then listed again."""
    (number,) = await fill(store, 1)
    await store.end_listing("f", NOW + HOUR)
    late = NOW + 24 * 91 * HOUR
    (lease,) = await take(store)
    over = finished(lease, late, verdict=verdict("mitigated-dns", late, last_active=NOW))
    assert await store.engine.transact(partial(plan.record, finished=[over])) == {number}
    assert (await store.engine.read(partial(plan.overdue, now=START, limit=9)))[0] == 0
    assert await store.record_listing("f", late + HOUR, [indicator(0)]) == [Watch(number, NOW, late, check=True)]
    assert len(await take(store, at=(late + HOUR).timestamp())) == 1


async def test_a_store_moved_from_elsewhere_is_planned_whole(store: PostgresStore) -> None:
    """What is watched and in no plan gets one, once."""
    ids = await fill(store, 7)
    await store.engine.transact(lambda sql: sql.change("DELETE FROM plan"))
    assert await store.plan_missing(NOW) == 7
    assert await store.plan_missing(NOW) == 0
    assert sorted(lease.indicator_id for lease in await take(store)) == ids


async def test_one_bad_round_in_a_transaction_leaves_nothing_of_the_others(store: PostgresStore) -> None:
    """The caller tries them one by one then."""
    ids = await fill(store, 2)
    leases = await take(store)
    await store.engine.transact(lambda sql: sql.change("DELETE FROM indicator WHERE id = ?", (ids[1],)))
    with pytest.raises(StoreError, match="is not in the store"):
        await store.engine.transact(partial(plan.record, finished=[finished(lease) for lease in leases]))
    assert await store.rounds(ids[0]) == []


def test_four_hosts_at_once_never_hold_the_same_check(schema: str) -> None:
    """Four connections take, settle and give back for a while: no check is on two leases, every one is made in turn."""
    servers = Servers(schema)
    link = servers.connect()
    setup = PostgresSql(link.connection)
    from panopticond.store.schema import migrate

    migrate(setup)
    plan.add(setup, [(number, START, START + 300) for number in range(300)])
    lock, holding, made, clashes = threading.Lock(), set[int](), dict[int, int](), list[int]()

    def host(number: int) -> None:
        mine = servers.connect()
        sql = PostgresSql(mine.connection)
        for turn in range(25):
            leases = plan.take(sql, number, START + turn * 21_000, 40, 60.0).leases
            with lock:
                clashes.extend(lease.indicator_id for lease in leases if lease.indicator_id in holding)
                holding.update(lease.indicator_id for lease in leases)
            time.sleep(0.001)
            with lock:
                holding.difference_update(lease.indicator_id for lease in leases)
            done, back = leases[: len(leases) * 3 // 4], leases[len(leases) * 3 // 4 :]
            at = NOW + dt.timedelta(seconds=turn * 21_000)
            for kept in plan.settle(sql, [finished(lease, at) for lease in done]):
                made[kept] = made.get(kept, 0) + 1
            plan.give_back(sql, [(lease, None) for lease in back])
        mine.close()

    threads = [threading.Thread(target=host, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    link.close()
    assert clashes == []
    assert len(made) == 300


async def test_moments_reserved_never_overlap(store: PostgresStore) -> None:
    """Whoever reserves gets the next free ones, no sooner than it said; another key has its own."""

    async def reserve(key: str, count: int, lead: float = 0.0) -> tuple[float, float]:
        return await store.engine.transact(
            partial(hosts.reserve, key=key, interval_seconds=0.5, count=count, lead_seconds=lead)
        )

    first, now = await reserve("a", 4)
    assert first == pytest.approx(now, abs=0.2)
    second, _ = await reserve("a", 1)
    third, _ = await reserve("a", 2)
    assert (second - first, third - second) == (pytest.approx(2.0), pytest.approx(0.5))
    elsewhere, now = await reserve("b", 1, lead=3.0)
    assert elsewhere - now == pytest.approx(3.0, abs=0.2)
    await store.engine.transact(hosts.sweep)
    assert (await reserve("a", 1))[0] == pytest.approx(third + 1.0)


async def test_a_day_budget_is_one_for_all_hosts(store: PostgresStore) -> None:
    """Three units and no fourth; the next day has its own."""
    asked = [await store.engine.transact(partial(hosts.spend, key="day 2026-01-02 w", limit=3)) for _ in range(5)]
    assert asked == [True, True, True, False, False]
    assert await store.engine.transact(partial(hosts.spend, key="day 2026-01-03 w", limit=3))


async def test_hosts_hear_of_each_other_and_share_a_secret(store: PostgresStore) -> None:
    """A beat tells who lives; who left is not among them; a secret drawn twice is one."""
    one = await store.engine.transact(partial(hosts.enter, name="a:1", roles=("collect", "probe")))
    two = await store.engine.transact(partial(hosts.enter, name="b:2", roles=("probe",)))
    await store.engine.transact(partial(hosts.beat, host=two, figures={"held": 3}))
    living = await store.engine.transact(partial(hosts.beat, host=one, figures={}))
    assert [(host.name, host.roles, dict(host.figures)) for host in living] == [
        ("a:1", ("collect", "probe"), {}),
        ("b:2", ("probe",), {"held": 3.0}),
    ]
    await store.engine.transact(partial(hosts.leave, host=two))
    assert len(await store.engine.transact(partial(hosts.beat, host=one, figures={}))) == 1
    assert await store.secret("surrogates") == await store.secret("surrogates") != await store.secret("other")


async def test_a_restarted_server_costs_nothing_and_one_that_stays_away_is_told(mortal: postgres.Cluster) -> None:
    """Idle connections that a restart broke are replaced unseen; without a server the error says what to do."""
    async with await open_postgres(mortal.url, patience_seconds=1.0) as store:
        ids = await fill(store, 3)
        mortal.stop()
        mortal.start()
        assert len(await store.watches()) == len(ids)
        mortal.stop()
        with pytest.raises(AwayError, match="wait until the server is back"):
            await store.watches()
        assert store.engine.trouble
        mortal.start()
        assert len(await store.watches()) == len(ids)
        assert not store.engine.trouble


async def test_refusals_say_what_is_wrong_at_once(schema: str, cluster: postgres.Cluster) -> None:
    """A newer schema, another program's database, no such database: one sentence each, no password, no waiting."""
    async with await open_postgres(schema) as store:
        await store.engine.transact(lambda sql: sql.change("INSERT INTO schema_version VALUES (999)"))
    with pytest.raises(StoreError, match="newer version"):
        await open_postgres(schema)
    foreign = cluster.schema()
    with psycopg.connect(foreign) as connection:
        connection.execute("CREATE TABLE theirs (x int)")
    with pytest.raises(StoreError, match="another program"):
        await open_postgres(foreign)
    began = time.monotonic()
    with pytest.raises(StoreError, match="does not exist"):
        await open_postgres(cluster.url.replace("///postgres", "///nowhere"))
    assert time.monotonic() - began < 10


async def test_a_nul_in_a_feeds_identifier_is_left_out(store: PostgresStore) -> None:
    """PostgreSQL has no place for it; the row is kept."""
    (watch,) = await store.record_listing("f", NOW, [indicator(1, source_id="a\0b")])
    assert (await store.standing(watch.id)).sightings[0].source_id == "ab"


async def test_the_password_comes_from_a_file_and_stands_in_no_sentence(
    mortal: postgres.Cluster, tmp_path: Path
) -> None:
    """The right one opens, a wrong one is refused at once, a file that is not there is named."""
    with psycopg.connect(mortal.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE guarded LOGIN PASSWORD 'right-word'")
        connection.execute("CREATE SCHEMA guarded AUTHORIZATION guarded")
    access = mortal.root / "data" / "pg_hba.conf"
    access.write_text("local all guarded scram-sha-256\n" + access.read_text())
    mortal.stop()
    mortal.start()
    url = mortal.url.replace("user=postgres", "user=guarded")
    word = tmp_path / "password"
    word.write_text("right-word\n")
    async with await open_postgres(url, str(word)) as store:
        assert await store.watches() == []
    word.write_text("wrong-word")
    began = time.monotonic()
    with pytest.raises(StoreError, match="password authentication failed") as refused:
        await open_postgres(url, str(word))
    assert "wrong-word" not in str(refused.value)
    assert time.monotonic() - began < 10
    with pytest.raises(StoreError, match=r"store\.password_file"):
        await open_postgres(url, str(tmp_path / "none"))
