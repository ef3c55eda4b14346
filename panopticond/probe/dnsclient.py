"""The DNS client: one question to one server, awaited; a whole answer back, or the reason why there is none.

Under delegation and quad9. Each server has a handful of connected UDP sockets that are replaced after a while, so that
source port, id and letter case together are hard to guess (RFC 5452, draft-vixie-dnsext-dns0x20); one task a socket
hands each datagram to the query that waits for it. Cookies (RFC 7873), EDNS fallback (RFC 6891), truncation to TCP
(RFC 7766) and the per-server rate are here. The name server is never a trust boundary.
"""

from __future__ import annotations

import contextlib
import errno
import secrets
import socket
import struct
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import msgspec
import trio

from panopticond.probe.dnswire import KINDS, Message, Record, WireError, encode_name, mix_case, pack_query, unpack
from panopticond.shared.ratelimit import Buckets

_SOCKETS_PER_SERVER = 8
_QUERIES_PER_SOCKET = 1024
_IDLE_SECONDS = 20.0
_NO_EDNS_SECONDS = 3600.0
_SERVERS_LIMIT = 4096
_RECEIVE_BUFFER_BYTES = 1 << 20
_FORMERR, _NOTIMP, _BADVERS, _BADCOOKIE = 1, 4, 16, 23


class Answer(msgspec.Struct, frozen=True):
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


class _Waiting:
    """One packet that waits for its answer on one socket."""

    __slots__ = ("got", "mismatches", "question", "task")

    def __init__(self, question: bytes) -> None:
        self.question = question
        self.task: trio.lowlevel.Task | None = None  # set only while it sleeps for the answer
        self.got: bytes | str | None = None
        self.mismatches = 0

    def deliver(self, got: bytes | str) -> None:
        self.got = got
        if self.task is not None:
            trio.lowlevel.reschedule(self.task)
            self.task = None

    async def wait(self) -> None:
        def abort(_: object) -> trio.lowlevel.Abort:
            self.task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)


class _Socket:
    """A connected UDP socket with the queries that wait on it, and its receiving task."""

    def __init__(self, family: int, address: tuple[str, int]) -> None:
        self.waiting: dict[int, _Waiting] = {}
        self.used = 0
        self.scope = trio.CancelScope()
        self.sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self.sock.setblocking(False)
            with contextlib.suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            self.sock.connect(address)
        except OSError:
            self.sock.close()
            raise

    async def receive(self, server: _Server) -> None:
        """Hand datagrams to their queries until retired and done, or idle for a while."""
        try:
            with self.scope:
                while True:
                    with trio.move_on_after(_IDLE_SECONDS) as idle:
                        await trio.lowlevel.wait_readable(self.sock)
                    if idle.cancelled_caught and not self.waiting:
                        return
                    self._drain()
        finally:
            server.forget(self)
            self.sock.close()
            for waiting in list(self.waiting.values()):
                waiting.deliver("unreachable")

    def _drain(self) -> None:
        for _ in range(256):  # then the other tasks have their turn
            try:
                packet = self.sock.recv(65535)
            except BlockingIOError:
                return
            except OSError as error:
                for waiting in list(self.waiting.values()):
                    waiting.deliver(_reason(error))
                return
            if len(packet) < 12:
                continue
            waiting_for = self.waiting.get(packet[0] << 8 | packet[1])
            if waiting_for is None or waiting_for.got is not None:
                continue
            if _fits(packet, waiting_for.question):
                waiting_for.deliver(packet)
            else:
                waiting_for.mismatches += 1

    async def ask(self, packet: bytes, waiting: _Waiting, ident: int) -> bytes | str | None:
        """Send and wait; the answer's bytes, a reason, or None when the caller's time is over."""
        self.waiting[ident] = waiting
        self.used += 1
        try:
            while True:
                try:
                    self.sock.send(packet)
                    break
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(self.sock)
            if waiting.got is None:
                waiting.task = trio.lowlevel.current_task()
                await waiting.wait()
        except OSError as error:
            return _reason(error)
        finally:
            self.waiting.pop(ident, None)
            if self.used >= _QUERIES_PER_SOCKET and not self.waiting:
                self.scope.cancel()
        return waiting.got


class _Server:
    """What is known of one server, and its sockets."""

    def __init__(self, text: str, family: int, address: tuple[str, int]) -> None:
        self.text, self.family, self.address = text, family, address
        self.sockets: list[_Socket] = []
        self.client_cookie = secrets.token_bytes(8)
        self.server_cookie = b""
        self.no_edns_until = 0.0
        self.case_broken = False

    def forget(self, sock: _Socket) -> None:
        with contextlib.suppress(ValueError):
            self.sockets.remove(sock)

    def pick(self, nursery: trio.Nursery) -> _Socket:
        """A socket for the next query; OSError when none can be had."""
        if len(self.sockets) < _SOCKETS_PER_SERVER:
            sock = _Socket(self.family, self.address)
            self.sockets.append(sock)
            nursery.start_soon(sock.receive, self, name=f"dns receive {self.text}")
        else:
            sock = secrets.choice(self.sockets)
        if sock.used + 1 >= _QUERIES_PER_SOCKET:
            self.forget(sock)  # it finishes what it has; the next query opens a new port
        return sock


class DnsClient:
    """Asks DNS servers by ``address:port`` text; an async context manager that owns its sockets and tasks.

    ``rate_per_server`` is packets a real second and server (``inf``: no limit), ``timeout_seconds`` real seconds an
    attempt, ``attempts`` packets a query at most; a query's socket time is bounded by (attempts + 1) time-outs, and
    waiting for its turn under the rate comes on top.
    """

    def __init__(self, *, rate_per_server: float, timeout_seconds: float, attempts: int) -> None:
        self.timeout_seconds = timeout_seconds
        self.attempts = max(1, attempts)
        self._buckets = Buckets(rate_per_server, burst=max(1.0, min(rate_per_server, 10.0)))
        self._servers: dict[str, _Server] = {}
        self._nursery: trio.Nursery | None = None
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._nursery = await self._stack.enter_async_context(trio.open_nursery())
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

    async def query(
        self, server: str, name: str, kind: str, *, recursion: bool, klass: str = "IN"
    ) -> Answer | NoAnswer:
        """Ask ``server`` for ``name``/``kind`` (RD as ``recursion``); never raises for what a server does."""
        try:
            wire = encode_name(name)
            state = self._server(server)
        except WireError:
            return NoAnswer(server, "bad-name")
        except ValueError:
            return NoAnswer(server, "bad-address")
        question = _Question(wire, KINDS[kind], recursion, 3 if klass == "CH" else 1)
        reason, cookie_retried = "timeout", False
        attempt = 0
        while attempt < self.attempts:
            attempt += 1
            await self._buckets.take(server)
            edns = trio.current_time() >= state.no_edns_until
            got = await self._udp(state, question, edns=edns) if not state.case_broken else "spoofed"
            if got == "spoofed" or (isinstance(got, Message) and got.tc):
                got = await self._tcp(state, question, edns=edns)
            if isinstance(got, Message) and got.tc:
                got = "malformed"  # nothing is truncated over TCP
            if isinstance(got, str):
                reason = got
                continue
            if edns and (got.rcode == _BADVERS or (got.rcode in (_FORMERR, _NOTIMP) and not got.edns)):
                state.no_edns_until = trio.current_time() + _NO_EDNS_SECONDS
                attempt -= 1
                continue
            if got.rcode == _BADCOOKIE and not cookie_retried:
                cookie_retried = True
                attempt -= 1
                continue
            return Answer(
                server, got.rcode, got.aa, got.ra, got.tc, got.ad, got.answer, got.authority, got.additional, got.ede
            )
        return NoAnswer(server, reason)

    def _server(self, text: str) -> _Server:
        state = self._servers.get(text)
        if state is None:
            family, address = split_server(text)
            if len(self._servers) >= _SERVERS_LIMIT:
                # What is forgotten is only a cookie and a habit; servers with open sockets stay.
                self._servers = {name: kept for name, kept in self._servers.items() if kept.sockets}
            state = self._servers[text] = _Server(text, family, address)
        return state

    async def _udp(self, state: _Server, question: _Question, *, edns: bool) -> Message | str:
        """One packet and its answer, or why there is none."""
        if self._nursery is None:
            raise RuntimeError("the client is used outside its async with block")
        try:
            sock = state.pick(self._nursery)
        except OSError as error:
            return _reason(error)
        ident = secrets.randbits(16)
        while ident in sock.waiting:
            ident = secrets.randbits(16)
        packet, section = question.pack(ident, state, edns=edns, mixed=True)
        waiting = _Waiting(section)
        with trio.move_on_after(self.timeout_seconds):
            got = await sock.ask(packet, waiting, ident)
            if isinstance(got, str):
                return got
        if not isinstance(waiting.got, bytes):
            return "spoofed" if waiting.mismatches else "timeout"
        return _read(waiting.got, state)

    async def _tcp(self, state: _Server, question: _Question, *, edns: bool) -> Message | str:
        """The same question over TCP (RFC 7766): a connection of its own, one deadline for all of it."""
        ident = secrets.randbits(16)
        packet, section = question.pack(ident, state, edns=edns, mixed=not state.case_broken)
        with trio.move_on_after(self.timeout_seconds), trio.socket.socket(state.family, socket.SOCK_STREAM) as raw:
            try:
                await raw.connect(state.address)
                stream = trio.SocketStream(raw)
                await stream.send_all(struct.pack("!H", len(packet)) + packet)
                (length,) = struct.unpack("!H", await _read_exactly(stream, 2))
                got = await _read_exactly(stream, length)
            except EOFError:
                return "malformed"
            except (OSError, trio.BrokenResourceError) as error:
                return _reason(error)
            if len(got) < 12 or got[:2] != packet[:2]:
                return "malformed"
            if not _fits(got, section):
                if got[12 : 12 + len(section)].lower() != section.lower():
                    return "malformed"
                state.case_broken = True  # from now on this server is asked in lower case, over TCP only
            return _read(got, state)
        return "timeout"


class _Question(msgspec.Struct, frozen=True):
    """What is asked, before ids and letter case are drawn."""

    wire: bytes
    kind: int
    recursion: bool
    klass: int

    def pack(self, ident: int, state: _Server, *, edns: bool, mixed: bool) -> tuple[bytes, bytes]:
        name = mix_case(self.wire) if mixed else self.wire
        cookie = state.client_cookie + state.server_cookie
        return pack_query(ident, name, self.kind, recursion=self.recursion, edns=edns, cookie=cookie, klass=self.klass)


def split_server(text: str) -> tuple[int, tuple[str, int]]:
    """(address family, (address, port)) of ``192.0.2.1:53`` or ``[2001:db8::1]:53``; ValueError for anything else."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is no address:port")
    family = socket.AF_INET
    if host.startswith("[") and host.endswith("]"):
        host, family = host[1:-1], socket.AF_INET6
    try:
        socket.inet_pton(family, host)
    except OSError as error:
        raise ValueError(f"{text!r} is no address:port") from error
    return family, (host, int(port))


def _fits(packet: bytes, question: bytes) -> bool:
    """The packet answers this very question, letter case included, or is an error that repeats no question."""
    if not packet[2] & 0x80:
        return False
    if packet[4:6] == b"\0\1":
        return packet.startswith(question, 12)
    return packet[4:6] == b"\0\0" and packet[3] & 15 in (_FORMERR, _NOTIMP)


def _read(packet: bytes, state: _Server) -> Message | str:
    """The message, its server cookie kept; a client cookie that is not ours makes it a forgery (RFC 7873 5.3)."""
    try:
        message = unpack(packet)
    except WireError:
        return "malformed"
    if message.cookie is not None:
        if message.cookie[:8] != state.client_cookie:
            return "spoofed"
        if 16 <= len(message.cookie) <= 40:
            state.server_cookie = message.cookie[8:]
    return message


async def _read_exactly(stream: trio.SocketStream, size: int) -> bytes:
    got = bytearray()
    while len(got) < size:
        chunk = await stream.receive_some(size - len(got))
        if not chunk:
            raise EOFError
        got += chunk
    return bytes(got)


def _reason(error: Exception) -> str:
    """The word for a socket's failure."""
    number = getattr(error, "errno", None) or getattr(error.__cause__, "errno", None)
    return "refused-connection" if number in (errno.ECONNREFUSED, errno.ECONNRESET) else "unreachable"
