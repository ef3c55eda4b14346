"""Resolvers asked over TCP, TLS or HTTPS: ``tcp://``, ``tls://address:port#name`` (RFC 7858), ``https://`` (RFC 8484).

Under :mod:`panopticond.probe.quad9`, where a path rewrites plain DNS. A plain ``address:port`` goes on to the UDP
client. A few idle connections a server are kept and used again; one that was closed meanwhile is replaced at once. The
name in ``tls://`` is verified; without one the channel is private but the server unproven.
"""

from __future__ import annotations

import base64
import secrets
import ssl
import struct
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

import trio

from panopticond.probe.dnsclient import Answer, NoAnswer
from panopticond.probe.dnssocket import fits, read_exactly, reason_of
from panopticond.probe.dnswire import KINDS, Message, WireError, encode_name, pack_query, unpack
from panopticond.shared.errors import FetchError
from panopticond.shared.http import Http
from panopticond.shared.ratelimit import Buckets, Rate

IDLE_CONNECTIONS = 4
ANSWER_BYTES = 65_535


class Asker(Protocol):
    """Whoever asks a DNS server one question: the UDP client, or this module's."""

    async def query(
        self, server: str, name: str, kind: str, *, recursion: bool, klass: str = "IN"
    ) -> Answer | NoAnswer:
        """An answer or why there is none; never raises for what a server does."""
        ...


class Streams:
    """Asks by the scheme of the server's text; an async context manager that owns its idle connections."""

    def __init__(
        self,
        plain: Asker,
        http: Http,
        *,
        rate_per_server: float,
        timeout_seconds: float,
        attempts: int,
        tls: ssl.SSLContext | None = None,
        rate: Rate | None = None,
    ) -> None:
        """``rate_per_server`` is queries a real second; ``tls`` the trust for ``tls://``, the system's by default.

        ``rate`` stands in for our own buckets where several hosts share one.
        """
        self._plain, self._http = plain, http
        self._timeout_seconds, self._attempts = timeout_seconds, attempts
        burst = max(1.0, min(rate_per_server, 10.0))
        self._buckets = rate if rate is not None else Buckets(rate_per_server, burst)
        self._tls = tls
        self._unproven: ssl.SSLContext | None = None
        self._idle: dict[str, list[trio.abc.Stream]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with trio.CancelScope(shield=True):
            for stream in [one for idle in self._idle.values() for one in idle]:
                await trio.aclose_forcefully(stream)
        self._idle.clear()

    async def query(
        self, server: str, name: str, kind: str, *, recursion: bool, klass: str = "IN"
    ) -> Answer | NoAnswer:
        """Ask ``server`` for ``name``/``kind``; never raises for what a server does."""
        if "://" not in server:
            return await self._plain.query(server, name, kind, recursion=recursion, klass=klass)
        over_https = server.startswith("https://")
        try:
            ident = 0 if over_https else secrets.randbits(16)
            packet, question = pack_query(
                ident, encode_name(name), KINDS[kind], recursion=recursion, klass=3 if klass == "CH" else 1
            )
        except WireError:
            return NoAnswer(server, "bad-name")
        reason = "timeout"
        for _ in range(self._attempts):
            await self._buckets.take(server)
            with trio.move_on_after(self._timeout_seconds):
                if over_https:
                    got = await self._over_https(server, packet)
                    message = _read(got, packet, question) if isinstance(got, bytes) else got
                else:
                    message = await self._over_stream(server, packet, question)
                if isinstance(message, Message):
                    return _answer(server, message)
                reason = message
        return NoAnswer(server, reason)

    async def _over_https(self, url: str, packet: bytes) -> bytes | str:
        """GET with the message in ``dns``, id 0, as RFC 8484 section 4.1 has it."""
        asked = base64.urlsafe_b64encode(packet).rstrip(b"=").decode()
        try:
            reply = await self._http.get(
                f"{url}?dns={asked}",
                headers={"accept": "application/dns-message"},
                limit_bytes=ANSWER_BYTES,
                deadline_seconds=self._timeout_seconds,
            )
        except FetchError as error:
            return error.reason
        return reply.body if reply.status == 200 else f"status-{reply.status}"

    async def _over_stream(self, server: str, packet: bytes, question: bytes) -> Message | str:
        """The answer on a kept connection, or on a new one where there is none or it is good for nothing any more."""
        idle = self._idle.setdefault(server, [])
        while idle:
            got = await self._exchange(server, idle.pop(), packet, question)
            if isinstance(got, Message):
                return got
        try:
            stream = await self._dial(server)
        except (trio.BrokenResourceError, ssl.SSLError, ValueError):
            return "tls"
        except OSError as error:
            return reason_of(error)
        return await self._exchange(server, stream, packet, question)

    async def _dial(self, server: str) -> trio.abc.Stream:
        parts = urlsplit(server)
        stream: trio.abc.Stream = await trio.open_tcp_stream(parts.hostname or "", parts.port or 853)
        if parts.scheme != "tls":
            return stream
        try:
            tls = trio.SSLStream(
                stream, self._context(proven=bool(parts.fragment)), server_hostname=parts.fragment or None
            )
            await tls.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return tls

    def _context(self, *, proven: bool) -> ssl.SSLContext:
        if proven:
            self._tls = self._tls or ssl.create_default_context()
            return self._tls
        if self._unproven is None:
            self._unproven = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self._unproven.check_hostname, self._unproven.verify_mode = False, ssl.CERT_NONE
        return self._unproven

    async def _exchange(self, server: str, stream: trio.abc.Stream, packet: bytes, question: bytes) -> Message | str:
        """One message each way. A connection is kept only if what it gave answers the question.

        One that gave out, or whose next bytes are the answer to something else, would be a question behind for ever.
        """
        kept = False
        try:
            await stream.send_all(struct.pack("!H", len(packet)) + packet)
            (length,) = struct.unpack("!H", await read_exactly(stream, 2))
            message = _read(await read_exactly(stream, length), packet, question)
            kept = isinstance(message, Message) and len(self._idle[server]) < IDLE_CONNECTIONS
            if kept:
                self._idle[server].append(stream)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError, EOFError):
            return "malformed"
        finally:
            if not kept:
                with trio.CancelScope(shield=True):
                    await trio.aclose_forcefully(stream)
        return message


def _read(got: bytes, packet: bytes, question: bytes) -> Message | str:
    if len(got) < 12 or got[:2] != packet[:2] or not fits(got, question):
        return "malformed"
    try:
        message = unpack(got)
    except WireError:
        return "malformed"
    return "malformed" if message.tc else message  # nothing is truncated over a stream


def _answer(server: str, got: Message) -> Answer:
    return Answer(server, got.rcode, got.aa, got.ra, got.tc, got.ad, got.answer, got.authority, got.additional, got.ede)
