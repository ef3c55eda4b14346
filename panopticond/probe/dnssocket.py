"""A server's sockets: connected, rotated, one receiving task each, and nothing left behind when they close.

Under :mod:`panopticond.probe.dnsclient`, which owns the nursery and the time-outs. A datagram reaches its query only if
source, id and question fit to the last letter's case (RFC 5452); what does not fit is counted and passed over.
"""

from __future__ import annotations

import contextlib
import errno
import secrets
import socket

import trio

from panopticond.probe.dnswire import opt_record

SOCKETS_PER_SERVER = 8
QUERIES_PER_SOCKET = 1024
_IDLE_SECONDS = 20.0
_SEND_SECONDS = 2.0
_RECEIVE_BUFFER_BYTES = 1 << 20
_DATAGRAM_BYTES = 4096
"""We announce 1232; what is longer was not meant for us and reads as malformed."""
FORMERR, NOTIMP = 1, 4


class Waiting:
    """One packet that waits for its answer on one socket, until ``deadline`` on trio's clock."""

    __slots__ = ("deadline", "got", "mismatches", "question", "task")

    def __init__(self, question: bytes, deadline: float) -> None:
        self.question = question
        self.deadline = deadline
        self.task: trio.lowlevel.Task | None = None  # set only while it sleeps for the answer
        self.got: bytes | str | None = None
        self.mismatches = 0

    def deliver(self, got: bytes | str) -> None:
        """Wake the query with its answer's bytes or a reason; what comes later changes nothing."""
        if self.got is not None:
            return
        self.got = got
        if self.task is not None:
            trio.lowlevel.reschedule(self.task)
            self.task = None

    def abandon(self, _: object) -> trio.lowlevel.Abort:
        """The waiter was cancelled."""
        self.task = None
        return trio.lowlevel.Abort.SUCCEEDED


class Socket:
    """A connected UDP socket with the queries that wait on it, and its receiving task."""

    def __init__(self, family: int, address: tuple[str, int]) -> None:
        self.waiting: dict[bytes, Waiting] = {}
        """By the id's two octets."""
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

    async def receive(self, server: Server) -> None:
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
        receive, waiting = self.sock.recv, self.waiting
        for _ in range(256):  # then the other tasks have their turn
            try:
                packet = receive(_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                for one in list(waiting.values()):
                    one.deliver(reason_of(error))
                return
            waits = waiting.get(packet[:2])
            if waits is None or len(packet) < 12 or waits.got is not None:
                continue
            if fits(packet, waits.question):
                waits.deliver(packet)
            else:
                waits.mismatches += 1

    async def ask(self, packet: bytes, waiting: Waiting) -> bytes | str:
        """Send and wait; the answer's bytes, or the reason why there is none. No other query may have its id here."""
        ident = packet[:2]
        self.waiting[ident] = waiting
        self.used += 1
        try:
            try:
                self.sock.send(packet)
            except BlockingIOError:
                await self._send(packet)
            if waiting.got is None:
                waiting.task = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(waiting.abandon)
        except trio.TooSlowError:
            return "timeout"
        except OSError as error:
            return reason_of(error)
        finally:
            del self.waiting[ident]
            if self.used >= QUERIES_PER_SOCKET and not self.waiting:
                self.scope.cancel()
        return waiting.got or "timeout"

    async def _send(self, packet: bytes) -> None:
        """Send once there is room; TooSlowError when there is none for two seconds."""
        with trio.fail_after(_SEND_SECONDS):
            while True:
                await trio.lowlevel.wait_writable(self.sock)
                with contextlib.suppress(BlockingIOError):
                    self.sock.send(packet)
                    return


class Server:
    """What is known of one server, and its sockets."""

    def __init__(self, text: str, family: int, address: tuple[str, int]) -> None:
        self.text, self.family, self.address = text, family, address
        self.sockets: list[Socket] = []
        self.client_cookie = secrets.token_bytes(8)
        self.opt = opt_record(self.client_cookie)
        """The OPT record of the next query."""
        self.no_edns_until = 0.0
        self.case_broken = False
        self.unanswered = 0
        """Queries in a row without an answer."""

    def learn_cookie(self, cookie: bytes) -> bool:
        """Keep the server's cookie for the next query; False when it answers another client's (RFC 7873 5.3)."""
        if cookie[:8] != self.client_cookie:
            return False
        if 16 <= len(cookie) <= 40:
            self.opt = opt_record(cookie)
        return True

    def forget(self, sock: Socket) -> None:
        """Give this socket no new query."""
        with contextlib.suppress(ValueError):
            self.sockets.remove(sock)

    def pick(self, nursery: trio.Nursery, chance: int) -> Socket:
        """The socket ``chance`` falls on for the next query; OSError when none can be had."""
        if len(self.sockets) < SOCKETS_PER_SERVER:
            sock = Socket(self.family, self.address)
            self.sockets.append(sock)
            nursery.start_soon(sock.receive, self, name=f"dns receive {self.text}")
        else:
            sock = self.sockets[chance % len(self.sockets)]
        if sock.used + 1 >= QUERIES_PER_SOCKET:
            self.forget(sock)  # it finishes what it has; the next query opens a new port
        return sock


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


def fits(packet: bytes, question: bytes) -> bool:
    """The packet answers this very question, letter case included, or is an error that repeats no question."""
    if not packet[2] & 0x80:
        return False
    if packet[4:6] == b"\0\1":
        return packet.startswith(question, 12)
    return packet[4:6] == b"\0\0" and packet[3] & 15 in (FORMERR, NOTIMP)


class Dice:
    """Random octets of the system's generator, drawn by the block: one system call for some hundred queries."""

    def __init__(self) -> None:
        self._block, self._at = b"", 0

    def draw(self, size: int) -> bytes:
        """So many octets, each used once."""
        if self._at + size > len(self._block):
            self._block, self._at = secrets.token_bytes(16384), 0
        self._at += size
        return self._block[self._at - size : self._at]


async def read_exactly(stream: trio.abc.Stream, size: int) -> bytes:
    """So many octets of a stream; EOFError when it ends before."""
    got = bytearray()
    while len(got) < size:
        chunk = await stream.receive_some(size - len(got))
        if not chunk:
            raise EOFError
        got += chunk
    return bytes(got)


def reason_of(error: Exception) -> str:
    """The word for a socket's failure."""
    number = getattr(error, "errno", None) or getattr(error.__cause__, "errno", None)
    return "refused-connection" if number in (errno.ECONNREFUSED, errno.ECONNRESET) else "unreachable"
