"""Authoritative, recursive and filtering DNS on loopback, UDP and TCP, hand-packed for speed (RFC 1035)."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable

import trio

from tests.lab.internet.state import CONTROL_HOST, Internet

A, NS, CNAME, SOA, AAAA, OPT, DS = 1, 2, 5, 6, 28, 41, 43
SO_TIMESTAMPNS = 35
"""socket(7); Python's socket module does not name it."""
QR, AA, TC, RD, RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
Question = tuple[str, int, bool]
Records = list[tuple[str, int, int, bytes]]
Answerer = Callable[[str, int], tuple[int, int, Records, Records, tuple[int, ...]]]
"""(name, type) -> (flags, rcode, answer, authority, EDE codes)."""


async def serve(
    answerer: Answerer,
    arrivals: list[float] | None = None,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve UDP and TCP on one free port of 127.0.0.1; reports the port.

    ``arrivals`` gets the time (Unix, real) the kernel took each datagram in, however late we come to read it.
    """
    udp, listeners = await _bind()
    udp.setsockopt(trio.socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    port = udp.getsockname()[1]

    async def stream_handler(stream: trio.SocketStream) -> None:
        async with stream:
            with trio.move_on_after(10):
                try:
                    await _tcp(stream, answerer)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass

    with udp:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, stream_handler, listeners)
            task_status.started(port)
            while True:
                packet, ancillary, _, peer = await udp.recvmsg(4096, 128)
                if arrivals is not None:
                    arrivals += [_seconds(data) for _, kind, data in ancillary if kind == SO_TIMESTAMPNS]
                reply = respond(packet, answerer)
                if reply is not None:
                    await udp.sendto(reply, peer)


def _seconds(data: bytes) -> float:
    whole, nano = struct.unpack("qq", data[:16])
    return float(whole) + nano / 1e9


async def _bind() -> tuple[trio.socket.SocketType, list[trio.SocketListener]]:
    while True:
        udp = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        udp.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4 << 20)
        await udp.bind(("127.0.0.1", 0))
        try:
            return udp, await trio.open_tcp_listeners(udp.getsockname()[1], host="127.0.0.1")
        except OSError:
            udp.close()  # the same number is taken for TCP: another draw


async def _tcp(stream: trio.SocketStream, answerer: Answerer) -> None:
    buffer = b""
    while True:
        while len(buffer) < 2 or len(buffer) < 2 + struct.unpack("!H", buffer[:2])[0]:
            chunk = await stream.receive_some(4096)
            if not chunk:
                return
            buffer += chunk
        length = struct.unpack("!H", buffer[:2])[0]
        packet, buffer = buffer[2 : 2 + length], buffer[2 + length :]
        reply = respond(packet, answerer)
        if reply is None:
            return
        await stream.send_all(struct.pack("!H", len(reply)) + reply)


def respond(packet: bytes, answerer: Answerer) -> bytes | None:
    """The whole answer to a query, or None for what is no query."""
    if len(packet) < 17:
        return None
    number, flags, questions = struct.unpack("!HHH", packet[:6])
    if flags & QR or questions != 1:
        return None
    labels, at = [], 12
    while packet[at]:
        length = packet[at]
        if length > 63 or at + length + 6 > len(packet):
            return None
        labels.append(packet[at + 1 : at + 1 + length])
        at += 1 + length
    question = packet[12 : at + 5]
    kind = struct.unpack("!H", packet[at + 1 : at + 3])[0]
    name = b".".join(labels).decode("ascii", "replace").lower()
    out, rcode, answer, authority, ede = answerer(name, kind)
    edns = packet[at + 5 :].startswith(b"\0\0\x29")
    head = struct.pack("!HHHHHH", number, QR | out | (flags & RD) | rcode, 1, len(answer), len(authority), int(edns))
    body = b"".join(_record(*record) for record in answer + authority)
    options = b"".join(struct.pack("!HHH", 15, 2, code) for code in ede)
    opt = b"\0" + struct.pack("!HHIH", OPT, 1232, 0, len(options)) + options if edns else b""
    return head + question + body + opt


def pack_name(name: str) -> bytes:
    """A name in wire form, uncompressed."""
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"


def _record(name: str, kind: int, ttl: int, data: bytes) -> bytes:
    return pack_name(name) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def soa(zone: str, serial: int) -> tuple[str, int, int, bytes]:
    """The SOA record of a zone."""
    data = pack_name(f"ns1.nic.{zone}") + pack_name(f"hostmaster.nic.{zone}")
    return zone, SOA, 900, data + struct.pack("!IIIII", serial, 1800, 900, 1209600, 900)


def addresses(name: str, kind: int, found: tuple[str, ...]) -> Records:
    """A or AAAA records of those addresses that are of the kind asked."""
    version = {A: 4, AAAA: 6}.get(kind)
    parsed = [ipaddress.ip_address(address) for address in found]
    return [(name, kind, 60, address.packed) for address in parsed if address.version == version]


class Authority:
    """The TLD's own servers and its registry zones', as protocols.md section 3.2 describes them."""

    def __init__(self, state: Internet) -> None:
        self._state = state

    def answer(self, name: str, kind: int) -> tuple[int, int, Records, Records, tuple[int, ...]]:
        state = self._state
        state.requests["authority"] += 1
        zone = state.zone_of(name)
        if zone is None:
            return 0, REFUSED, [], [], ()
        negative = [soa(zone, state.serial())]
        if name == zone:
            return AA, NOERROR, *self._apex(zone, kind, negative), ()
        domain = state.domain_of(name)
        what = state.delegation(domain) if domain else "absent"
        if domain is None or what == "absent":
            return AA, NXDOMAIN, [], negative, ()
        if what == "servfail":
            return 0, SERVFAIL, [], [], ()
        if what == "in-zone":
            if name != domain:
                return AA, NXDOMAIN, [], negative, ()
            found = addresses(name, kind, state.addresses(name))
            return AA, NOERROR, found, [] if found else negative, ()
        if kind == DS and name == domain:
            return AA, NOERROR, [], negative, ()
        servers = [state.world.hold_ns] if what == "hold-ns" else ["ns1.lab-hosting.test", "ns2.lab-hosting.test"]
        return 0, NOERROR, [], [(domain, NS, 3600, pack_name(server)) for server in servers], ()

    def _apex(self, zone: str, kind: int, negative: Records) -> tuple[Records, Records]:
        if kind == NS:
            return [(zone, NS, 86400, pack_name(f"ns{number}.nic.{zone}")) for number in (1, 2)], []
        return (negative, []) if kind == SOA else ([], negative)


class Resolver:
    """A recursive resolver over the world; with ``filtering`` it blocks as Quad9 does (RA=0, no AUTHORITY, EDE 15)."""

    def __init__(self, state: Internet, *, filtering: bool) -> None:
        self._state = state
        self._filtering = filtering

    def answer(self, name: str, kind: int) -> tuple[int, int, Records, Records, tuple[int, ...]]:
        state = self._state
        state.requests["filtering" if self._filtering else "resolver"] += 1
        if self._filtering and self._blocked(name):
            return 0, NXDOMAIN, [], [], (15,)
        if name in (CONTROL_HOST, "isitblocked.org"):
            return RA, NOERROR, addresses(name, kind, ("127.0.0.1",)), [], ()
        zone = state.zone_of(name) or ""
        negative = [soa(zone, state.serial())]
        domain = state.domain_of(name)
        what = state.delegation(domain) if domain else "absent"
        if domain is None or what == "absent":
            return RA, NXDOMAIN, [], negative, ()
        if what == "servfail":
            return RA, SERVFAIL, [], [], ()
        held = what == "hold-ns"
        found = (state.world.hold_ip,) if held else state.addresses(name)
        if found == ("nxdomain",):
            return RA, NXDOMAIN, [], negative, ()
        records = addresses(name, kind, found)
        return RA, NOERROR, records, [] if records else negative, ()

    def _blocked(self, name: str) -> bool:
        domain = self._state.domains.get(self._state.domain_of(name) or "")
        return name == "isitblocked.org" or (domain is not None and domain.quad9_blocked)
