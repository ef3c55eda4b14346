"""The DNS client: one question to one server, awaited; a whole answer back, or the reason why there is none.

Under delegation and quad9. Each server has a handful of connected UDP sockets that are replaced after a while, so that
source port, id and letter case together are hard to guess (RFC 5452, draft-vixie-dnsext-dns0x20); one task a socket
hands each datagram to the query that waits for it. Cookies (RFC 7873), EDNS fallback (RFC 6891), truncation to TCP
(RFC 7766) and the per-server rate are here. The name server is never a trust boundary.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import msgspec
import trio

from panopticond.probe.dnssocket import (
    FORMERR,
    NOTIMP,
    Dice,
    Server,
    Waiting,
    fits,
    read_exactly,
    reason_of,
    split_server,
)
from panopticond.probe.dnswire import (
    KINDS,
    Message,
    Record,
    WireError,
    encode_name,
    header_end,
    mix_case,
    question_end,
    unpack,
)
from panopticond.shared.ratelimit import Buckets, Rate

_NO_EDNS_SECONDS = 3600.0
_SERVERS_LIMIT = 4096
_BADVERS, _BADCOOKIE = 16, 23


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A server's well-formed answer to the very question asked, whatever it says."""

    server: str
    rcode: int
    aa: bool
    ra: bool
    tc: bool
    ad: bool
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    ede: tuple[int, ...] = ()
    """Extended error codes (RFC 8914)."""


class NoAnswer(msgspec.Struct, frozen=True):
    """There is no answer, and why.

    ``timeout``, ``refused-connection``, ``unreachable``, ``malformed``, ``spoofed`` (only datagrams came that do not
    fit the question), ``bad-address`` or ``bad-name``.
    """

    server: str
    reason: str


class DnsClient:
    """Asks DNS servers by ``address:port`` text; an async context manager that owns its sockets and tasks.

    ``rate_per_server`` is packets a real second and server (``inf``: no limit), ``timeout_seconds`` real seconds an
    attempt, ``attempts`` packets a query at most; a query's socket time is bounded by (attempts + 1) time-outs, and
    waiting for its turn under the rate comes on top. ``rate`` stands in for our own buckets where hosts share one.
    """

    def __init__(
        self, *, rate_per_server: float, timeout_seconds: float, attempts: int, rate: Rate | None = None
    ) -> None:
        self.timeout_seconds = timeout_seconds
        self.attempts = max(1, attempts)
        burst = max(1.0, min(rate_per_server, 10.0))
        self._buckets = rate if rate is not None else Buckets(rate_per_server, burst)
        self._servers: dict[str, Server] = {}
        self._dice = Dice()
        self._waiting: dict[Waiting, None] = {}  # oldest first, which all waiting equally long is the first to end
        self._more = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._nursery = await self._stack.enter_async_context(trio.open_nursery())
        self._nursery.start_soon(self._expire, name="dns time-outs")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()
        self._nursery = None
        self._servers.clear()
        return await self._stack.__aexit__(kind, error, trace)

    def statistics(self) -> Mapping[str, int]:
        """How many servers are known, and how many sockets and waiting queries they have."""
        sockets = [sock for server in self._servers.values() for sock in server.sockets]
        return {
            "servers": len(self._servers),
            "sockets": len(sockets),
            "waiting": sum(len(sock.waiting) for sock in sockets),
        }

    def silent(self) -> tuple[str, ...]:
        """The servers that left the last query, with all its attempts, unanswered; by their texts."""
        return tuple(sorted(text for text, state in self._servers.items() if state.unanswered))

    async def query(
        self, server: str, name: str, kind: str, *, recursion: bool, klass: str = "IN"
    ) -> Answer | NoAnswer:
        """Ask ``server`` for ``name``/``kind`` (RD as ``recursion``); never raises for what a server does."""
        try:
            wire = encode_name(name)
            state = self._servers.get(server) or self._server(server)
        except WireError:
            return NoAnswer(server, "bad-name")
        except ValueError:
            return NoAnswer(server, "bad-address")
        question = _Question(
            name.rstrip(".").lower(), wire, question_end(KINDS[kind], 3 if klass == "CH" else 1), recursion
        )
        reason, cookie_retried = "timeout", False
        attempt = 0
        while attempt < self.attempts:
            attempt += 1
            await self._buckets.take(server)
            edns = not state.no_edns_until or trio.current_time() >= state.no_edns_until
            got = await self._udp(state, question, edns=edns) if not state.case_broken else "spoofed"
            if got.tc if isinstance(got, Message) else got == "spoofed":
                got = await self._tcp(state, question, edns=edns)
            if isinstance(got, str):
                reason = got
                continue
            if got.tc:
                reason = "malformed"  # nothing is truncated over TCP
                continue
            if got.rcode and edns and (got.rcode == _BADVERS or (got.rcode in (FORMERR, NOTIMP) and not got.edns)):
                state.no_edns_until = trio.current_time() + _NO_EDNS_SECONDS
                attempt -= 1
                continue
            if got.rcode == _BADCOOKIE and not cookie_retried:
                cookie_retried = True
                attempt -= 1
                continue
            state.unanswered = 0
            return Answer(
                server, got.rcode, got.aa, got.ra, got.tc, got.ad, got.answer, got.authority, got.additional, got.ede
            )
        state.unanswered += 1
        return NoAnswer(server, reason)

    def _server(self, text: str) -> Server:
        state = self._servers.get(text)
        if state is None:
            family, address = split_server(text)
            if len(self._servers) >= _SERVERS_LIMIT:
                # What is forgotten is only a cookie and a habit; servers with open sockets stay.
                self._servers = {name: kept for name, kept in self._servers.items() if kept.sockets}
            state = self._servers[text] = Server(text, family, address)
        return state

    async def _udp(self, state: Server, question: _Question, *, edns: bool) -> Message | str:
        """One packet and its answer, or why there is none."""
        if self._nursery is None:
            raise RuntimeError("the client is used outside its async with block")
        chance = self._dice.draw(3 + len(question.wire))
        try:
            sock = state.pick(self._nursery, chance[0])
        except OSError as error:
            return reason_of(error)
        ident = chance[1:3]
        while ident in sock.waiting:
            ident = secrets.token_bytes(2)
        packet, section = question.pack(ident, chance[3:], state.opt if edns else b"")
        waiting = Waiting(section, trio.current_time() + self.timeout_seconds)
        if not self._waiting:
            self._more.set()
        self._waiting[waiting] = None
        try:
            got = await sock.ask(packet, waiting)
        finally:
            self._waiting.pop(waiting, None)
        if isinstance(got, bytes):
            return question.read(got, section, state)
        return "spoofed" if got == "timeout" and waiting.mismatches else got

    async def _expire(self) -> None:
        """End what waits too long: one task for all queries, asleep while none waits."""
        while True:
            while self._waiting:
                oldest = next(iter(self._waiting))
                if oldest.deadline > trio.current_time():
                    await trio.sleep_until(oldest.deadline)
                else:
                    del self._waiting[oldest]
                    oldest.deliver("timeout")
            self._more = trio.Event()
            await self._more.wait()

    async def _tcp(self, state: Server, question: _Question, *, edns: bool) -> Message | str:
        """The same question over TCP (RFC 7766): a connection of its own, one deadline for all of it."""
        chance = b"" if state.case_broken else secrets.token_bytes(len(question.wire))
        packet, section = question.pack(secrets.token_bytes(2), chance, state.opt if edns else b"")
        with trio.move_on_after(self.timeout_seconds), trio.socket.socket(state.family, socket.SOCK_STREAM) as raw:
            try:
                await raw.connect(state.address)
                stream = trio.SocketStream(raw)
                await stream.send_all(struct.pack("!H", len(packet)) + packet)
                (length,) = struct.unpack("!H", await read_exactly(stream, 2))
                got = await read_exactly(stream, length)
            except EOFError:
                return "malformed"
            except (OSError, trio.BrokenResourceError) as error:
                return reason_of(error)
            if len(got) < 12 or got[:2] != packet[:2]:
                return "malformed"
            if not fits(got, section):
                asked_again = got[:12] + section + got[12 + len(section) :]
                if got[12 : 12 + len(section)].lower() != section.lower() or not fits(asked_again, section):
                    return "malformed"
                state.case_broken = True  # from now on this server is asked in lower case, over TCP only
            return question.read(got, section, state)
        return "timeout"


class _Question(msgspec.Struct, frozen=True, gc=False):
    """What is asked, before ids and letter case are drawn."""

    name: str
    wire: bytes
    end: bytes
    """Type and class."""
    recursion: bool

    def pack(self, ident: bytes, chance: bytes, opt: bytes) -> tuple[bytes, bytes]:
        """(the packet, its question section), the letters' case from ``chance`` unless that is empty."""
        section = (mix_case(self.wire, chance) if chance else self.wire) + self.end
        return ident + header_end(recursion=self.recursion, edns=opt != b"") + section + opt, section

    def read(self, packet: bytes, section: bytes, state: Server) -> Message | str:
        """The message, its server cookie kept; a client cookie that is not ours makes it a forgery."""
        try:
            message = unpack(packet, (self.name, len(section)))
        except WireError:
            return "malformed"
        if message.cookie is not None and not state.learn_cookie(message.cookie):
            return "spoofed"
        return message
