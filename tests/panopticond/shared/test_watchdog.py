"""The watchdog: fed while every loop keeps its promise, starved by the first that does not."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
import trio
import trio.testing

from panopticond.shared.watchdog import Pulse, feed_watchdog, watchdog_seconds


def test_a_loop_is_late_once_its_promise_is_broken() -> None:
    """Late from the moment the promised time is over, until the next beat; one that ended promises nothing."""
    now = [0.0]
    pulse = Pulse(lambda: now[0])
    pulse.beat("rounds", 10.0)
    pulse.beat("publish", 100.0)
    now[0] = 10.0
    assert pulse.late() == []
    now[0] = 10.5
    assert pulse.late() == ["rounds"]
    pulse.beat("rounds", 10.0)
    assert pulse.late() == []
    now[0] = 200.0
    assert pulse.late() == ["publish", "rounds"]
    pulse.ended("publish")
    assert pulse.late() == ["rounds"]


@pytest.mark.parametrize(
    ("microseconds", "whose", "seconds"),
    [("3000000", "", 1.5), ("3000000", str(os.getpid()), 1.5), ("3000000", "1", None), ("", "", None), ("0", "", None),
     ("soon", "", None)],
)  # fmt: skip
def test_half_the_time_systemd_allows(
    microseconds: str, whose: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of WATCHDOG_USEC, and only where WATCHDOG_PID means us."""
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.setenv("WATCHDOG_PID", whose)
    assert watchdog_seconds() == seconds


async def test_fed_by_progress_and_not_by_time(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 - time leaps
) -> None:
    """WATCHDOG=1 comes while the loop beats, and stops when it does not, though the feeder itself goes on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "20000000")
        monkeypatch.delenv("WATCHDOG_PID", raising=False)
        pulse = Pulse()

        def heard() -> list[str]:
            said = []
            try:
                while True:
                    said.append(listener.recv(4096).decode())
            except BlockingIOError:
                return said

        async def describe() -> str:
            return "3 feeds,\nnothing wrong"

        async with trio.open_nursery() as nursery:
            pulse.beat("rounds", 35.0)
            nursery.start_soon(feed_watchdog, pulse, describe)
            await trio.sleep(31)
            assert heard() == ["STATUS=3 feeds, nothing wrong\nWATCHDOG=1"] * 4
            await trio.sleep(30)
            assert heard() == ["STATUS=stands still: rounds"] * 3
            pulse.beat("rounds", 35.0)
            await trio.sleep(10)
            assert heard() == ["STATUS=3 feeds, nothing wrong\nWATCHDOG=1"]
            nursery.cancel_scope.cancel()


async def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without NOTIFY_SOCKET the task ends at once and asks nothing."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    async def describe() -> str:
        raise AssertionError("asked")

    await feed_watchdog(Pulse(), describe)
