"""One GET on the wire: connect (directly to a vetted address, or through a proxy by CONNECT), TLS, h11, every cap.

Under :mod:`panopticond.probe.web`, which decides whom to ask and what an answer means. The caps are those of a prober
of hostile hosts: 64 KiB of headers, a body read up to its limit and then the connection closed, at most five interim
answers, bounded inflation, and one absolute deadline that no slow server can stretch. Nothing is written to disk.
"""

from __future__ import annotations

import socket
import ssl
import zlib
from typing import Literal

import h11
import msgspec
import trio

from panopticond.probe.webtls import shown_chain
from panopticond.probe.webvantage import WebVantage

HEADER_BYTES = 64 << 10
HEADER_FIELDS = 100
CONNECT_HEADER_BYTES = 16 << 10
INTERIM_ANSWERS = 5
INFLATE_RATIO = 100
_CHUNK = 16 << 10


class WireError(Exception):
    """No answer of the site came. ``layer`` says whose fault it is, ``reason`` is the word for the observation.

    ``site``: it could not be connected to, or spoke no HTTP; a failure only beside a good control probe. ``proxy``: the
    vantage is at fault, which says nothing of the site.
    """

    def __init__(self, layer: Literal["site", "proxy"], reason: str) -> None:
        super().__init__(f"{layer}: {reason}")
        self.layer = layer
        self.reason = reason


class Target(msgspec.Struct, frozen=True):
    """What to ask for: host and port as the URI has them, and the addresses the guard let through (direct only)."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    path: str
    """Path and query, as they go into the request line."""
    addresses: tuple[str, ...] = ()

    @property
    def authority(self) -> str:
        """The Host header: the port only where it is not the scheme's own."""
        return self.host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{self.host}:{self.port}"


class Reply(msgspec.Struct, frozen=True):
    """One answer of a site."""

    status: int
    headers: dict[str, str]
    """Lower-case names; repeated fields are joined by a comma and a space."""
    body: bytes
    address: str = ""
    chain: tuple[bytes, ...] = ()
    """The certificates shown, DER, leaf first."""


class Wire:
    """Makes GET requests from vantages; holds nothing but the two TLS contexts, so cancelling one leaks nothing."""

    def __init__(self, *, probing: ssl.SSLContext, connect_seconds: float, body_bytes: int, user_agent: str) -> None:
        self._probing = probing
        self._proxy_tls: ssl.SSLContext | None = None
        self._connect_seconds = connect_seconds
        self._body_bytes = body_bytes
        self._user_agent = user_agent

    async def get(self, target: Target, vantage: WebVantage, deadline: float) -> Reply:
        """The answer to one GET before ``deadline`` (trio's clock); WireError says why there is none."""
        stream, address = await self._connect(target, vantage, deadline)
        try:
            chain: tuple[bytes, ...] = ()
            if target.scheme == "https":
                stream = await self._handshake(stream, target, deadline)
                chain = tuple(shown_chain(getattr(stream, "_ssl_object", stream)))
            status, headers, body = await self._exchange(stream, target, deadline)
        finally:
            # Forcefully: a TLS farewell to a hostile host would wait for its answer.
            await trio.aclose_forcefully(stream)
        return Reply(status, headers, body, address, chain)

    async def _connect(self, target: Target, vantage: WebVantage, deadline: float) -> tuple[trio.abc.Stream, str]:
        until = min(deadline, trio.current_time() + self._connect_seconds)
        if vantage.proxy_host is None:
            return await self._connect_directly(target, until)
        try:
            with trio.fail_at(until):
                stream: trio.abc.Stream = await _dial(vantage.proxy_host, vantage.proxy_port)
        except (OSError, trio.TooSlowError) as error:
            raise WireError("proxy", "proxy-unreachable") from error
        try:
            if vantage.proxy_tls:
                self._proxy_tls = self._proxy_tls or ssl.create_default_context()
                stream = trio.SSLStream(stream, self._proxy_tls, server_hostname=vantage.proxy_host)
            # The exit's own connect time-out is longer than ours to the proxy: the probe's deadline bounds it.
            with trio.fail_at(deadline):
                await _tunnel(stream, target, vantage)
        except BaseException as error:
            await trio.aclose_forcefully(stream)
            if isinstance(error, trio.TooSlowError):
                raise WireError("site", "timeout") from error
            if isinstance(error, (trio.BrokenResourceError, trio.ClosedResourceError, OSError)):
                raise WireError("proxy", "proxy-reset") from error
            raise
        return stream, ""

    @staticmethod
    async def _connect_directly(target: Target, until: float) -> tuple[trio.abc.Stream, str]:
        reason = "no-address"
        for address in target.addresses[:3]:
            try:
                with trio.fail_at(until):
                    return await _dial(address, target.port), address
            except trio.TooSlowError as error:
                raise WireError("site", "timeout") from error
            except ConnectionRefusedError:
                reason = "refused"
            except OSError:
                reason = "unreachable"
        raise WireError("site", reason)

    async def _handshake(self, transport: trio.abc.Stream, target: Target, deadline: float) -> trio.abc.Stream:
        until = min(deadline, trio.current_time() + self._connect_seconds)
        try:
            stream = trio.SSLStream(transport, self._probing, server_hostname=target.host, https_compatible=True)
            with trio.fail_at(until):
                await stream.do_handshake()
        except trio.TooSlowError as error:
            raise WireError("site", "timeout") from error
        except (trio.BrokenResourceError, ssl.SSLError, OSError, ValueError) as error:  # ValueError: no SNI can be sent
            raise WireError("site", "tls") from error
        return stream

    def _request(self, target: Target) -> h11.Request:
        return h11.Request(
            method="GET",
            target=target.path,
            headers=[
                ("Host", target.authority),
                ("User-Agent", self._user_agent),
                ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
                ("Accept-Language", "en-US,en;q=0.8"),
                ("Accept-Encoding", "identity"),
                ("Connection", "close"),
            ],
        )

    async def _exchange(
        self, stream: trio.abc.Stream, target: Target, deadline: float
    ) -> tuple[int, dict[str, str], bytes]:
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADER_BYTES)
        try:
            with trio.fail_at(deadline):
                await stream.send_all(connection.send(self._request(target)) + connection.send(h11.EndOfMessage()))
                head = await _head(stream, connection)
        except trio.TooSlowError as error:
            raise WireError("site", "timeout") from error
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError) as error:
            raise WireError("site", "reset") from error
        except h11.ProtocolError as error:
            raise WireError("site", "protocol") from error
        headers: dict[str, str] = {}
        for raw_name, raw_value in head.headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        body = await self._body(stream, connection, headers.get("content-encoding", ""), deadline)
        return head.status_code, headers, body

    async def _body(self, stream: trio.abc.Stream, connection: h11.Connection, encoding: str, deadline: float) -> bytes:
        """What can be had of the body: up to the limit, the deadline or the first fault; a part of a page is a page."""
        inflate = _Inflate(self._body_bytes) if encoding.strip().lower() in {"gzip", "x-gzip", "deflate"} else None
        body, raw_bytes = bytearray(), 0
        with trio.move_on_at(deadline):
            try:
                while len(body) < self._body_bytes and raw_bytes < self._body_bytes:
                    event = connection.next_event()
                    if event is h11.NEED_DATA:
                        connection.receive_data(bytes(await stream.receive_some(_CHUNK)))
                    elif isinstance(event, h11.Data):
                        raw_bytes += len(event.data)
                        body += inflate.feed(bytes(event.data)) if inflate else event.data
                    else:
                        break
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError, h11.ProtocolError, zlib.error):
                pass
        return bytes(body[: self._body_bytes])


class _Inflate:
    """Bounded inflation for servers that compress though asked not to; past the bound it gives nothing more."""

    def __init__(self, limit_bytes: int) -> None:
        self._decoder = zlib.decompressobj(47)  # 32 + 15: gzip and zlib wrappers both
        self._left = limit_bytes
        self._read = 0

    def feed(self, data: bytes) -> bytes:
        self._read += len(data)
        allowed = min(self._left, self._read * INFLATE_RATIO)
        if allowed <= 0:
            return b""
        out = self._decoder.decompress(data, allowed)
        self._left -= len(out)
        return out


async def _dial(host: str, port: int) -> trio.SocketStream:
    """A TCP connection; an address is connected to at once, a name goes through the system's resolver."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET if host.rpartition(".")[2].isdigit() else None
    if family is None:
        return await trio.open_tcp_stream(host, port)
    dialled = trio.socket.socket(family)
    try:
        await dialled.connect((host, port))
    except BaseException:
        dialled.close()
        raise
    return trio.SocketStream(dialled)


async def _head(stream: trio.abc.Stream, connection: h11.Connection) -> h11.Response:
    """The final answer's head; raises BrokenResourceError when the server closes before one, ProtocolError for junk."""
    interim = 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await stream.receive_some(_CHUNK)
            if not data:
                raise trio.BrokenResourceError("closed before an answer")
            connection.receive_data(bytes(data))
        elif isinstance(event, h11.InformationalResponse):
            interim += 1
            if interim > INTERIM_ANSWERS:
                raise h11.RemoteProtocolError("too many interim answers")
        elif isinstance(event, h11.Response):
            if len(event.headers) > HEADER_FIELDS:
                raise h11.RemoteProtocolError("too many header fields")
            return event
        else:
            raise h11.RemoteProtocolError("no answer")


async def _tunnel(stream: trio.abc.Stream, target: Target, vantage: WebVantage) -> None:
    """CONNECT (RFC 9110 section 9.3.6): any 2xx is a tunnel; WireError tells the proxy's faults from the site's."""
    authority = f"{target.host}:{target.port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    authorization = vantage.authorization()
    if authorization:
        lines.append(f"Proxy-Authorization: {authorization}")
    await stream.send_all(("\r\n".join(lines) + "\r\n\r\n").encode())
    head = bytearray()
    while b"\r\n\r\n" not in head:
        data = await stream.receive_some(4096)
        if not data or len(head) > CONNECT_HEADER_BYTES:
            raise WireError("proxy", "proxy-reset" if not data else "proxy-protocol")
        head += data
    first, *fields = bytes(head).partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if not first.startswith("HTTP/1.") or len(words) < 2 or len(words[1]) != 3 or not words[1].isdigit():
        raise WireError("proxy", "proxy-protocol")
    status = int(words[1])
    if 200 <= status <= 299:
        return
    named = {field.partition(":")[0].strip().lower() for field in fields}
    if status in vantage.proxy_error_statuses or named & set(vantage.error_headers):
        raise WireError("proxy", f"proxy-{status}")
    raise WireError("site", "timeout" if status in {408, 504, 522} else f"connect-{status}")
