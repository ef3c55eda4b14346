"""One TCP connection of a probe, plain or with TLS upon it: send, receive, and a close that leaves nothing behind.

Under :mod:`panopticond.probe.webwire`, which owns the deadline. A connection belongs to one task, is never shared and
never said farewell to: closing is one system call, so a cancelled handshake or a server that will not answer a TLS
farewell costs nothing. Errors are OSError (TLS faults are among them: ssl.SSLError) and pass through unchanged.
"""

from __future__ import annotations

import os
import socket
import ssl
from typing import Protocol

import trio

CHUNK = 16 << 10
_AT_ONCE = 16
"""So many receives in a row may find their bytes waiting; then the other tasks have their turn."""


class Line(Protocol):
    """Bytes both ways; cancelling a call is safe, the line is then only good to be closed."""

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        ...

    async def receive(self) -> bytes:
        """Some bytes, or none at the end."""
        ...

    def unasked(self) -> bytes | None:
        """What is there already, none of it waited for: some bytes, none at the end, None while nothing came."""
        ...

    def close(self) -> None:
        """At once, without a word to the other side; any number of times."""
        ...


class Plain:
    """A connected, non-blocking socket, now owned by this object."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._at_once = 0

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        self._at_once = 0
        left = memoryview(data)
        while True:
            try:
                left = left[self._sock.send(left) :]
            except BlockingIOError:
                pass
            if not left:
                return
            await trio.lowlevel.wait_writable(self._sock)

    async def receive(self) -> bytes:
        """Some bytes, or none at the end. The first ones after a send are waited for, the next may be there already."""
        while True:
            if self._at_once:
                self._at_once -= 1
            else:
                await trio.lowlevel.wait_readable(self._sock)
                self._at_once = _AT_ONCE
            try:
                return self._sock.recv(CHUNK)
            except BlockingIOError:
                self._at_once = 0

    def unasked(self) -> bytes | None:
        """What is there already; OSError when the connection broke meanwhile."""
        try:
            return self._sock.recv(CHUNK)
        except BlockingIOError:
            return None

    def close(self) -> None:
        """At once."""
        self._sock.close()


class Early:
    """A line of which some bytes were read already: those that came behind a proxy's answer to CONNECT."""

    def __init__(self, line: Line, early: bytes) -> None:
        self._line, self._early = line, early

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await self._line.send(data)

    async def receive(self) -> bytes:
        """The early bytes first."""
        early, self._early = self._early, b""
        return early or await self._line.receive()

    def unasked(self) -> bytes | None:
        """What is there already."""
        early, self._early = self._early, b""
        return early or self._line.unasked()

    def close(self) -> None:
        """At once."""
        self._line.close()


class Tls:
    """TLS upon another line, that of a TLS proxy included; nothing is verified beyond what ``context`` demands."""

    def __init__(self, line: Line, context: ssl.SSLContext, host: str) -> None:
        """ValueError when ``host`` is none that can be named in a handshake."""
        self._line = line
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    async def handshake(self) -> None:
        """ssl.SSLError when there can be none."""
        while True:
            try:
                self.session.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            else:
                await self._flush()
                return

    async def send(self, data: bytes) -> None:
        """Send all of it; the handshake must be done."""
        self.session.write(data)
        await self._flush()

    async def receive(self) -> bytes:
        """Some bytes, or none at the end, whether or not the server said farewell: half the web does not."""
        while True:
            try:
                return self.session.read(CHUNK)
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLError as error:
                if isinstance(error, ssl.SSLEOFError) or "UNEXPECTED_EOF_WHILE_READING" in str(error):
                    return b""
                raise

    def unasked(self) -> bytes | None:
        """What is there already. Session tickets are nothing; a farewell is an end. ssl.SSLError for junk."""
        while True:
            try:
                return self.session.read(CHUNK)
            except ssl.SSLWantReadError:
                data = self._line.unasked()
                if data is None:
                    return None
                self._take(data)

    def close(self) -> None:
        """At once, the line below too."""
        self._line.close()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self._line.send(self._outgoing.read())

    async def _fill(self) -> None:
        self._take(await self._line.receive())

    def _take(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()


async def dial(host: str, port: int) -> Plain:
    """A TCP connection; an address is connected to at once, a name goes through the system's resolver. OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET if host.rpartition(".")[2].isdigit() else None
    if family is None:
        stream = await trio.open_tcp_stream(host, port)
        return Plain(socket.socket(fileno=stream.socket.detach()))
    sock = socket.socket(family)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect((host, port))
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sock)
            failed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if failed:
                raise OSError(failed, os.strerror(failed)) from None
    except BaseException:
        sock.close()
        raise
    return Plain(sock)
