"""Ten thousand hostile web probes: each ends in an outcome under its deadline, and nothing of them is left."""

from __future__ import annotations

import datetime as dt
import gzip
import os
import random
from pathlib import Path

import pytest
import trio
import trio.lowlevel

from panopticond.model import OUTCOMES
from panopticond.probe.guard import Guard
from panopticond.probe.web import WebLimits, WebProber, WebVantage
from tests.panopticond.webservers import answer, listen, read_head

NOW = dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)
PROBES = 10_000
AT_ONCE = 50
LIMITS = WebLimits(connect_seconds=0.3, deadline_seconds=0.4, per_host_seconds=0.0)


class Hostile:
    """A server that mutates, drips, resets, loops, stays silent or sends without end, by a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.pages = [
            answer(200, b"<title>x</title>" * 20),
            answer(200, gzip.compress(bytes(1 << 20)), content_encoding="gzip"),
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffff\r\n<html",
            b"HTTP/1.1 100 Continue\r\n\r\n" * 9,
            b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 400 + b"\r\n",
            b"\x16\x03\x01" + bytes(200),
        ]

    async def serve(self, stream: trio.abc.Stream) -> None:
        async with stream:
            try:
                first, _ = await read_head(stream)
                await self._answer(stream, first)
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                pass

    async def _answer(self, stream: trio.abc.Stream, first: str) -> None:
        kind = self.chance.random()
        if kind < 0.02:
            await trio.sleep(0.6)
        elif kind < 0.05:
            for _ in range(50):
                await stream.send_all(b"H")
                await trio.sleep(0.02)
        elif kind < 0.10 and first:
            await stream.send_all(answer(302, location=first.split(" ")[1] + "x"))
        elif kind < 0.14:
            await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(300_000))
        elif kind < 0.17:
            return
        else:
            data = bytearray(self.chance.choice(self.pages))
            for _ in range(self.chance.randrange(5)):
                at = self.chance.randrange(len(data))
                data[at : at + self.chance.randrange(4)] = self.chance.randbytes(self.chance.randrange(4))
            await stream.send_all(bytes(data))


@pytest.mark.lab
async def test_ten_thousand_hostile_probes_leave_nothing(nursery: trio.Nursery) -> None:
    """Every one is an outcome of the vocabulary, none outlives its deadline, no descriptor and no task stays."""

    async def resolve(_: str) -> tuple[str, ...]:
        return ("127.0.0.1",)

    port = await listen(nursery, Hostile(3).serve)
    vantage = WebVantage("direct", "NZ", control_uri=f"http://127.0.0.1:{port}/x")
    guard = Guard(("127.0.0.0/8",))
    probe = WebProber([vantage], guard=guard, resolve=resolve, registered_domain=lambda _: "shop.zz", limits=LIMITS)
    numbers = iter(range(PROBES))
    made, slowest = 0, 0.0

    async def some() -> None:
        nonlocal made, slowest
        for number in numbers:
            began = trio.current_time()
            uri = f"http://h{number}.shop.zz:{port}/a/{number}"
            (seen,) = await probe.check(uri, "shop.zz", "direct", NOW)
            assert seen.outcome in OUTCOMES["web"]
            slowest = max(slowest, trio.current_time() - began)
            made += 1

    await trio.lowlevel.checkpoint()
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    tasks = trio.lowlevel.current_statistics().tasks_living
    async with trio.open_nursery() as many:
        for _ in range(AT_ONCE):
            many.start_soon(some)
    await trio.sleep(1.2)
    assert made == PROBES
    assert slowest < 30
    assert len(os.listdir("/proc/self/fd")) <= descriptors  # noqa: PTH208
    assert trio.lowlevel.current_statistics().tasks_living <= tasks
    assert int(Path("/proc/self/statm").read_text().split()[1]) * 4096 < 400 << 20
