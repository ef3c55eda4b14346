"""Token buckets under a mock clock: the rate, the burst, fairness, cancellation and memory."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from panopticond.shared.ratelimit import Buckets


async def test_the_rate_holds(autojump_clock: MockClock) -> None:
    """Ten tokens of two a second take four and a half seconds; another key does not wait."""
    buckets = Buckets(2.0)
    began = autojump_clock.current_time()
    for _ in range(10):
        await buckets.take("a")
    assert autojump_clock.current_time() - began == pytest.approx(4.5)
    await buckets.take("b")
    assert autojump_clock.current_time() - began == pytest.approx(4.5)


async def test_the_burst_is_saved_up(autojump_clock: MockClock) -> None:
    """Three at once, then one every half second; an idle spell saves up three again and no more."""
    buckets = Buckets(2.0, burst=3)
    await trio.sleep(100)
    began = autojump_clock.current_time()
    for _ in range(4):
        await buckets.take("a")
    assert autojump_clock.current_time() - began == pytest.approx(0.5)


async def test_waiters_are_served_in_order(autojump_clock: MockClock) -> None:
    """First come, first served."""
    buckets = Buckets(1.0)
    served: list[int] = []
    began = autojump_clock.current_time()

    async def one(number: int) -> None:
        await trio.sleep(number / 100)
        await buckets.take("a")
        served.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(one, number)
    assert served == [0, 1, 2, 3, 4]
    assert autojump_clock.current_time() - began == pytest.approx(4, abs=0.1)


async def test_a_cancelled_wait_gives_its_token_back(autojump_clock: MockClock) -> None:
    """A hundred waiters who gave up do not make the next one wait for them."""
    buckets = Buckets(1.0)
    await buckets.take("a")
    began = autojump_clock.current_time()
    with trio.move_on_after(0.1):
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(buckets.take, "a")
    await buckets.take("a")
    assert autojump_clock.current_time() - began == pytest.approx(1.0)


async def test_memory_is_bounded(autojump_clock: MockClock) -> None:
    """Keys whose bucket is full again are forgotten: fifty thousand keys leave few behind."""
    buckets = Buckets(1000.0)
    began = autojump_clock.current_time()
    for number in range(50_000):
        await buckets.take(str(number))
        if number % 1000 == 0:
            await trio.sleep(1)
    assert autojump_clock.current_time() - began == pytest.approx(50)
    assert len(buckets) < 5000


async def test_no_limit_keeps_nothing() -> None:
    """An infinite rate neither waits nor remembers."""
    buckets = Buckets(float("inf"))
    for number in range(1000):
        await buckets.take(str(number))
    assert len(buckets) == 0


@pytest.mark.parametrize(("rate", "burst"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.5), (float("nan"), 1.0)])
def test_impossible_figures_are_refused(rate: float, burst: float) -> None:
    """A rate of nothing would wait for ever."""
    with pytest.raises(ValueError, match="rate above 0"):
        Buckets(rate, burst)
