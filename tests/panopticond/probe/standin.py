"""A DNS server of the tests' own on 127.0.0.1: real UDP and TCP sockets, answers made by a function of the test."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import partial

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import trio

Handler = Callable[["Asked"], "bytes | Iterable[bytes] | None"]


class Asked:
    """One query as it arrived."""

    def __init__(self, packet: bytes, transport: str) -> None:
        self.packet, self.transport = packet, transport
        self.message = dns.message.from_wire(packet)
        question = self.message.question[0]
        self.name = question.name.to_text(omit_final_dot=True).lower()
        self.kind, self.klass = question.rdtype.name, question.rdclass.name
        self.recursion = bool(self.message.flags & dns.flags.RD)

    def reply(
        self,
        *,
        rcode: int = 0,
        aa: bool = False,
        ra: bool = False,
        tc: bool = False,
        answer: Iterable[str] = (),
        authority: Iterable[str] = (),
        additional: Iterable[str] = (),
        ede: int | None = None,
        cookie: bytes | None = None,
    ) -> bytes:
        """The wire of an answer; records as ``name ttl type data`` texts."""
        message = dns.message.make_response(self.message, recursion_available=ra)
        for on, flag in ((aa, dns.flags.AA), (tc, dns.flags.TC)):
            if on:
                message.flags |= flag
        for section, texts in (
            (message.answer, answer),
            (message.authority, authority),
            (message.additional, additional),
        ):
            section.extend(_record(text) for text in texts)
        options: list[dns.edns.Option] = []
        if ede is not None:
            options.append(dns.edns.EDEOption(dns.edns.EDECode(ede), "test"))
        if cookie is not None:
            options.append(dns.edns.GenericOption(dns.edns.OptionType.COOKIE, cookie))
        message.set_rcode(dns.rcode.Rcode(rcode))
        if self.message.edns >= 0:
            message.use_edns(0, ednsflags=message.ednsflags, options=options)
            message.set_rcode(dns.rcode.Rcode(rcode))
        wire = bytearray(message.to_wire())
        end = 12 + len(question_of(self.packet))
        wire[12:end] = self.packet[12:end]  # dnspython may change the letters' case
        return bytes(wire)


def question_of(packet: bytes) -> bytes:
    """The question section's bytes of a query."""
    at = 12
    while packet[at]:
        at += packet[at] + 1
    return packet[12 : at + 5]


def _record(text: str) -> dns.rrset.RRset:
    name, ttl, kind, data = text.split(" ", 3)
    klass = "IN"
    if kind == "CH":
        klass, (kind, data) = kind, data.split(" ", 1)
    return dns.rrset.from_text(name, int(ttl), klass, kind, data)


class Standin:
    """A running server: ``text`` is its ``address:port``; ``asked`` what arrived."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.asked: list[Asked] = []


async def serve(nursery: trio.Nursery, handler: Handler, *, address: str = "127.0.0.1", port: int = 0) -> Standin:
    """Start a server whose answers come from ``handler``: bytes, several datagrams, or None for silence."""
    udp, listeners = await _bind(address, port)
    port = udp.getsockname()[1]
    standin = Standin(f"{address}:{port}")
    nursery.start_soon(_udp, udp, handler, standin)
    nursery.start_soon(partial(trio.serve_listeners, partial(_tcp, handler, standin), listeners))
    return standin


async def _bind(address: str, port: int) -> tuple[trio.socket.SocketType, list[trio.SocketListener]]:
    """One port for UDP and TCP; a free number that is taken for the other protocol is drawn again."""
    while True:
        udp = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
        try:
            await udp.bind((address, port))
            return udp, await trio.open_tcp_listeners(udp.getsockname()[1], host=address)
        except OSError:
            udp.close()
            if port:
                raise


async def _udp(udp: trio.socket.SocketType, handler: Handler, standin: Standin) -> None:
    with udp:
        while True:
            packet, peer = await udp.recvfrom(4096)
            for wire in _wires(handler, standin, packet, "udp"):
                await udp.sendto(wire, peer)


async def _tcp(handler: Handler, standin: Standin, stream: trio.SocketStream) -> None:
    async with stream:
        head = await stream.receive_some(2)
        if len(head) < 2:
            return
        packet = b""
        while len(packet) < struct.unpack("!H", head)[0]:
            packet += await stream.receive_some(4096)
        for wire in _wires(handler, standin, packet, "tcp"):
            await stream.send_all(struct.pack("!H", len(wire)) + wire)


def _wires(handler: Handler, standin: Standin, packet: bytes, transport: str) -> list[bytes]:
    asked = Asked(packet, transport)
    standin.asked.append(asked)
    got = handler(asked)
    if got is None:
        return []
    return [got] if isinstance(got, bytes) else list(got)
