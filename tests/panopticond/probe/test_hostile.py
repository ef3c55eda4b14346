"""Ten thousand hostile web probes and DNS queries: each ends in an outcome in its time, and nothing of them is left."""

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
from panopticond.probe.dnsclient import DnsClient, NoAnswer
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
            answer(200, b"<title>y</title>" * 20, connection="keep-alive"),
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
                while first and self.chance.random() < 0.95:
                    await self._answer(stream, first)
                    if self.chance.random() < 0.5:
                        return
                    first, _ = await read_head(stream)
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


class Liar:
    """A DNS server over UDP and TCP whose answers are mangled, forged, truncated, cut, doubled or missing, by a seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        records = b"\xc0\x0c\x00\x02\x00\x01\x00\x00\x00\x3c\x00\x05\x02ns\xc0\x0c"
        records += b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"
        self.tail = records

    def answers(self, packet: bytes) -> list[bytes]:
        chance = self.chance
        end = packet.index(0, 12) + 5
        good = packet[:2] + b"\x80\x00\x00\x01\x00\x00\x00\x01\x00\x01" + packet[12:end] + self.tail
        kind = chance.random()
        if kind < 0.02:
            return []
        if kind < 0.05:
            return [good[:2] + b"\x82" + good[3:]]
        if kind < 0.15:
            return [chance.randbytes(chance.randrange(600)), bytes([good[0] ^ 1]) + good[1:], good, good]
        if kind < 0.20:
            return [good[:3] + bytes([chance.randrange(24)]) + good[4:]]
        wire = bytearray(good)
        for _ in range(chance.randrange(5)):
            wire[chance.randrange(end if kind < 0.95 else 2, len(wire))] = chance.randrange(256)
        return [bytes(wire[: chance.randrange(end, len(wire) + 1)])]

    async def udp(self, sock: trio.socket.SocketType) -> None:
        with sock:
            while True:
                packet, peer = await sock.recvfrom(4096)
                for wire in self.answers(packet):
                    await sock.sendto(wire, peer)

    async def tcp(self, stream: trio.abc.Stream) -> None:
        async with stream:
            try:
                packet = await stream.receive_some(4096)
                wires = self.answers(packet[2:]) if len(packet) > 14 else []
                await stream.send_all(b"".join(len(wire).to_bytes(2) + wire for wire in wires))
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                pass


@pytest.mark.lab
async def test_ten_thousand_hostile_dns_queries_leave_nothing(nursery: trio.Nursery) -> None:
    """Every one is an answer or a reason, a tenth are cancelled; no descriptor, task, socket or waiting query stays."""
    liar = Liar(5)
    port = await listen(nursery, liar.tcp)
    sock = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    await sock.bind(("127.0.0.1", port))
    nursery.start_soon(liar.udp, sock)
    numbers = iter(range(PROBES))
    reasons: dict[str, int] = {}
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    tasks = trio.lowlevel.current_statistics().tasks_living
    async with DnsClient(rate_per_server=float("inf"), timeout_seconds=0.2, attempts=1) as client:

        async def some() -> None:
            for number in numbers:
                with trio.move_on_after(0.0005 if number % 10 == 0 else 5) as scope:
                    got = await client.query(f"127.0.0.1:{port}", f"h{number}.zz", "NS", recursion=False)
                word = "cancelled" if scope.cancelled_caught else got.reason if isinstance(got, NoAnswer) else "answer"
                reasons[word] = reasons.get(word, 0) + 1

        async with trio.open_nursery() as many:
            for _ in range(AT_ONCE):
                many.start_soon(some)
        left = client.statistics()
    assert sum(reasons.values()) == PROBES
    assert set(reasons) >= {"answer", "malformed", "timeout", "cancelled"}
    assert left["waiting"] == 0
    assert left["sockets"] <= 8
    await trio.sleep(0.1)
    assert len(os.listdir("/proc/self/fd")) <= descriptors  # noqa: PTH208
    assert trio.lowlevel.current_statistics().tasks_living <= tasks
