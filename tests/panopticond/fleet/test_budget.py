"""Rates that hosts share: together no faster than one, each in its own moments, and patient while the database is away."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import trio

from panopticond.fleet.budget import DRIFT, DatabaseClock, SharedBuckets
from panopticond.store.interface import AwayError
from panopticond.store.postgres import PostgresStore, open_postgres
from tests.lab.fleet import busiest


@pytest.fixture
async def store(schema: str) -> Any:
    async with await open_postgres(schema) as opened:
        yield opened


async def test_three_hosts_ask_no_faster_than_one(store: PostgresStore) -> None:
    """40 questions by three at 100 a second: none of a second's stretches holds more, and one key waits for no other."""
    hosts = [SharedBuckets(store, DatabaseClock(), "dns", 100.0) for _ in range(3)]
    asked: list[float] = []

    async def ask(host: SharedBuckets, key: str) -> None:
        await host.take(key)
        if key == "a":
            asked.append(trio.current_time())

    async with trio.open_nursery() as nursery:
        for number in range(40):
            nursery.start_soon(ask, hosts[number % 3], "a")
            nursery.start_soon(ask, hosts[number % 3], "b")
    asked.sort()
    assert len(asked) == 40
    assert asked[-1] - asked[0] >= 0.39 - 0.1
    assert busiest(asked, 0.2) <= 20 + 10 + 1, "a fifth of a second has twenty, and what may come a tenth late"
    assert all(len(host._queues) == 0 for host in hosts)


async def test_a_waiter_that_gives_up_costs_the_others_nothing(store: PostgresStore) -> None:
    """Cancelled while another reserves, or while it waits for its moment."""
    shared = SharedBuckets(store, DatabaseClock(), "dns", 10.0)
    done = 0

    async def ask(patience: float) -> None:
        nonlocal done
        with trio.move_on_after(patience):
            await shared.take("a")
            done += 1

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for patience in (0.0, 0.001, 5.0, 0.05, 5.0):
                nursery.start_soon(ask, patience)
    assert done >= 2
    assert shared._queues == {}


async def test_no_limit_asks_nobody() -> None:
    """An infinite rate needs no database."""
    await SharedBuckets(None, DatabaseClock(), "dns", float("inf")).take("a")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="above 0"):
        SharedBuckets(None, DatabaseClock(), "dns", 0.0)  # type: ignore[arg-type]


class Away:
    """A store whose database is away for the first two questions."""

    def __init__(self) -> None:
        self.engine = self
        self.answers: Iterator[Any] = iter([AwayError("gone"), AwayError("gone"), (1000.0, 1000.0)])

    async def transact(self, _work: object) -> Any:
        await trio.lowlevel.checkpoint()
        answer = next(self.answers)
        if isinstance(answer, AwayError):
            raise answer
        return answer


async def test_without_the_database_nobody_is_asked_until_it_is_back(autojump_clock: object) -> None:  # noqa: ARG001
    """The wait lasts as long as the outage."""
    began = trio.current_time()
    await SharedBuckets(Away(), DatabaseClock(), "dns", 10.0).take("a")  # type: ignore[arg-type]
    assert trio.current_time() - began == pytest.approx(2.0, abs=0.2)


async def test_a_moment_that_was_missed_is_let_go(autojump_clock: object) -> None:  # noqa: ARG001
    """An answer that took a second brings a moment of the past: another one is asked for, further ahead."""

    class Slow:
        def __init__(self) -> None:
            self.engine = self
            self.asked = 0

        async def transact(self, work: Any) -> tuple[float, float]:
            lead = work.keywords["lead_seconds"]
            now = trio.current_time() + 5000.0
            self.asked += 1
            await trio.sleep(1.0)
            return now + lead, now

    slow, clock = Slow(), DatabaseClock()
    clock.heard(trio.current_time() + 5000.0, trio.current_time(), trio.current_time())
    await SharedBuckets(slow, clock, "dns", 10.0).take("a")  # type: ignore[arg-type]
    assert slow.asked == 2


def test_the_databases_clock_is_told_by_its_quickest_answer() -> None:
    """Never too early, at most as late as that answer took; a server set back, or another one, is believed at once."""
    clock = DatabaseClock()
    clock.heard(1000.5, 0.0, 1.0)  # it came at 0.5: the true difference is 1000
    assert clock.here(1010.0) == pytest.approx(10.5)
    clock.heard(1002.0, 1.99, 2.01)
    assert clock.here(1010.0) == pytest.approx(10.01)
    clock.heard(1003.5, 3.0, 4.0)
    assert clock.here(1010.0) == pytest.approx(10.01, abs=4 * DRIFT)
    clock.heard(500.0, 5.0, 5.1)
    assert clock.here(510.0) == pytest.approx(15.1)
    clock.heard(2000.0, 6.0, 6.1)
    assert clock.here(2000.0) == pytest.approx(6.1)
    assert all(earlier <= later for earlier, later in pairwise([clock.here(at) for at in (1.0, 2.0)]))
