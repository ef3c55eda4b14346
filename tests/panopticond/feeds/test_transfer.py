"""Response policy zones by transfer, from a server on loopback."""

from __future__ import annotations

import datetime as dt
import struct
from pathlib import Path
from typing import Any, cast

import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.renderer
import dns.rrset
import dns.tsig
import pytest
import trio

from panopticond.feeds.catalogue import FeedSpec, address_problem
from panopticond.feeds.follow import _Bell
from panopticond.feeds.notify import answer_notify, heed_notify
from panopticond.feeds.visit import Memory, visit
from panopticond.shared.clock import Clock
from panopticond.shared.http import Http
from panopticond.shared.names import Names, TldPolicy
from panopticond.store.interface import FeedHealth
from tests.panopticond.feeds.server import MemoryStore

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
NAMES = Names([TldPolicy("zz", frozenset({"zz"}))])
KEY = dns.tsig.Key(dns.name.from_text("reader."), "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "hmac-sha256.")


def soa(serial: int) -> Any:
    return dns.rrset.from_text("rpz.example.", 60, "IN", "SOA", f"ns.example. x.example. {serial} 60 60 600 60")


def policy(host: str, target: str = ".") -> Any:
    return dns.rrset.from_text(f"{host}.rpz.example.", 60, "IN", "CNAME", target)


class ZoneServer:
    """Answers AXFR and IXFR with what a test scripts; signs when the question is signed."""

    def __init__(self) -> None:
        self.serial, self.hosts = 1, ["a.zz", "*.a.zz", "b.zz", "x.example"]
        self.steps: dict[int, tuple[list[str], list[str]]] = {}
        self.asked: list[str] = []
        self.refuse = False

    async def serve(self, stream: trio.SocketStream) -> None:
        size = struct.unpack("!H", await stream.receive_some(2))[0]
        query = dns.message.from_wire(await stream.receive_some(size), keyring={KEY.name: KEY})
        kind = dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked.append(kind)
        response = dns.message.make_response(query)
        if self.refuse or not query.had_tsig:
            response.set_rcode(dns.rcode.REFUSED)
        else:
            base = query.authority[0][0].serial if kind == "IXFR" else None  # type: ignore[attr-defined]
            response.answer = self.incremental(base) if base in self.steps or base == self.serial else self.whole()
        wire = response.to_wire(multi=False)
        await stream.send_all(struct.pack("!H", len(wire)) + wire)
        await stream.aclose()

    def whole(self) -> list[Any]:
        return [soa(self.serial), *(policy(host) for host in self.hosts), soa(self.serial)]

    def incremental(self, base: int) -> list[Any]:
        if base == self.serial:
            return [soa(self.serial)]
        removed, added = self.steps[base]
        return [
            soa(self.serial),
            soa(base),
            *(policy(host) for host in removed),
            soa(self.serial),
            *(policy(host) for host in added),
            soa(self.serial),
        ]


async def test_axfr_then_ixfr(nursery: trio.Nursery, tmp_path: Path) -> None:
    """The whole zone once, then only its changes; the same serial is the same list; a refusal is AUTH and ends nothing."""
    server = ZoneServer()
    listeners = await nursery.start(trio.serve_tcp, server.serve, 0)
    port = listeners[0].socket.getsockname()[1]
    key = tmp_path / "key"
    key.write_text("reader:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0\n")
    spec = FeedSpec("rpz", f"axfr://127.0.0.1:{port}/rpz.example", "rpz", key_file=str(key))
    store, memory, hours = MemoryStore(), Memory(), iter(range(20))

    async def go() -> FeedHealth:
        now = NOW + dt.timedelta(hours=next(hours))
        return (await visit(spec, cast("Any", store), Http("test"), NAMES, now, lambda _watch: None, memory))[0]

    health = await go()
    assert (health.state, health.rows, health.out_of_scope) == ("OK", 4, 1)
    assert store.listed("rpz") == {"a.zz", "b.zz"}

    server.steps[1] = (["b.zz"], ["c.zz"])
    server.serial = 2
    await go()
    assert store.listed("rpz") == {"a.zz", "c.zz"}
    health = await go()
    assert (health.state, health.etag) == ("OK", "serial:2")
    assert server.asked == ["AXFR", "IXFR", "IXFR"]

    server.refuse = True
    assert (await go()).state == "AUTH"
    key.write_text("nonsense")
    assert (await go()).state == "AUTH"
    assert store.listed("rpz") == {"a.zz", "c.zz"}


async def test_nobody_there(nursery: trio.Nursery) -> None:
    """A server that does not answer, or hangs up, is UNREACHABLE."""

    async def hang_up(stream: trio.SocketStream) -> None:
        await stream.aclose()

    listeners = await nursery.start(trio.serve_tcp, hang_up, 0)
    port = listeners[0].socket.getsockname()[1]
    spec = FeedSpec("rpz", f"axfr://127.0.0.1:{port}/rpz.example", "rpz")
    health, _ = await visit(spec, cast("Any", MemoryStore()), Http("test"), NAMES, NOW, lambda _watch: None)
    assert health.state == "UNREACHABLE"


@pytest.mark.parametrize("url", ["axfr://ns.example:53/rpz", "axfr://192.0.2.1/rpz", "axfr://192.0.2.1:53/"])
def test_addresses_that_cannot_be_asked(url: str) -> None:
    """An address, a port and a zone are needed: the daemon resolves no name for a feed's transfer."""
    assert address_problem(url) is not None
    assert address_problem("axfr://[2001:db8::1]:53/rpz.example") is None


def notify(zone: str, *, signed: bool = True) -> bytes:
    message = dns.message.make_query(zone, "SOA")
    message.set_opcode(dns.opcode.NOTIFY)
    if signed:
        message.use_tsig({KEY.name: KEY})
    return message.to_wire()


async def test_notify_rings(nursery: trio.Nursery, tmp_path: Path) -> None:
    """A signed NOTIFY of the zone from its server is answered and rings; any other message does neither."""
    key = tmp_path / "key"
    key.write_text("hmac-sha256:reader:c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0\n")
    url = "axfr://127.0.0.1:53/rpz.example"
    spec = FeedSpec("rpz", url, "rpz", key_file=str(key), notify="127.0.0.1:0")
    rung: list[bool] = []
    port = await nursery.start(heed_notify, spec, lambda: rung.append(True))
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
        await sock.connect(("127.0.0.1", port))
        for wire in (b"", b"junk" * 9, notify("rpz.example", signed=False), notify("other.example")):
            await sock.send(wire)
        await sock.send(notify("rpz.example"))
        with trio.fail_after(5):
            answer = await sock.recv(4096)
    assert rung == [True]
    assert answer[2] & 0x80
    assert answer_notify(spec, notify("rpz.example"), "192.0.2.1") is None


async def test_a_ring_wakes_the_follower(nursery: trio.Nursery) -> None:
    """A visit comes when it rings, but never before the provider allows it."""
    bell = _Bell()
    clock = Clock(dt.datetime.now(dt.UTC), 1000.0)
    now = clock.now()
    nursery.start_soon(trio.sleep, 0)
    bell.ring()
    with trio.fail_after(5):
        await bell.sleep_until(clock, now + dt.timedelta(days=30), now + dt.timedelta(seconds=100))
    assert clock.now() >= now + dt.timedelta(seconds=100)
    with trio.fail_after(5):
        await bell.sleep_until(clock, clock.now() + dt.timedelta(seconds=100), now)
