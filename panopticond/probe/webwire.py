"""One GET on the wire: connect (directly to a vetted address, or through a proxy by CONNECT), TLS, h11, every cap.

Under :mod:`panopticond.probe.web`, which decides whom to ask and what an answer means. The caps are those of a prober
of hostile hosts: 64 KiB of headers, a body read up to its limit and then the connection closed, at most five interim
answers, bounded inflation, and one absolute deadline that no slow server can stretch. Nothing is written to disk.
"""

from __future__ import annotations

import contextlib
import math
import re
import ssl
import zlib
from typing import Literal

import h11
import msgspec
import trio

from panopticond.probe.webkept import Kept
from panopticond.probe.webline import CHUNK, Early, Line, Tls, dial
from panopticond.probe.webtls import shown_chain
from panopticond.probe.webvantage import WebVantage

HEADER_BYTES = 64 << 10
HEADER_FIELDS = 100
CONNECT_HEADER_BYTES = 16 << 10
INTERIM_ANSWERS = 5
INFLATE_RATIO = 100
PIECES_AT_ONCE = 128
"""Of a body cut into the smallest chunks, so many are taken before the other tasks have their turn."""
_PLAIN = re.compile(r"[!-~]+")
_A_GET, _NO_BODY = h11.Request(method="GET", target="/", headers=[("Host", "host.example")]), h11.EndOfMessage()


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
    def place(self) -> tuple[str, str, int]:
        """Scheme, host and port: a connection serves no other than these."""
        return self.scheme, self.host, self.port

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
        self._fields = (
            f"User-Agent: {user_agent}\r\n"
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
            "Accept-Language: en-US,en;q=0.8\r\n"
            "Accept-Encoding: identity\r\n"
        )

    async def get(self, target: Target, vantage: WebVantage, deadline: float, kept: Kept | None = None) -> Reply:
        """The answer to one GET before ``deadline`` (trio's clock); WireError says why there is none.

        With ``kept`` the connection of the last GET to the same place is used again where there is one, and this one
        is kept for the next where the site allows it. A kept connection that fails says nothing: a new one is asked.
        """
        fetch = _Fetch(kept)
        with trio.CancelScope(deadline=min(deadline, trio.current_time() + self._connect_seconds)) as scope:
            try:
                held = kept.take(target.place, target.addresses) if kept is not None else None
                if held is not None:
                    fetch.line, fetch.address, fetch.chain = held
                    scope.deadline = deadline
                    await self._try_kept(fetch, target)
                    if fetch.head is None:
                        scope.deadline = min(deadline, trio.current_time() + self._connect_seconds)
                if fetch.head is None:
                    await self._connect(fetch, target, vantage, scope, deadline)
                    await self._exchange(fetch, target)
                if kept is not None and fetch.reusable and fetch.line is not None:
                    kept.put(target.place, (fetch.line, fetch.address, fetch.chain))
                    fetch.line = None
            finally:
                fetch.close()
        if fetch.head is None:  # only the deadline ends it like this; in the body, a part of a page is a page
            raise WireError("proxy", "proxy-unreachable") if fetch.dialling_proxy else WireError("site", "timeout")
        body = bytes(fetch.body[: self._body_bytes])
        return Reply(fetch.head.status_code, fetch.headers, body, fetch.address, fetch.chain)

    async def _try_kept(self, fetch: _Fetch, target: Target) -> None:
        """Ask over a kept connection; with no head in the time to connect, or a fault before it, nothing was asked."""
        with trio.move_on_after(self._connect_seconds) as fetch.patience, contextlib.suppress(WireError):
            await self._exchange(fetch, target)
        if fetch.head is None:
            fetch.again()

    async def _connect(
        self, fetch: _Fetch, target: Target, vantage: WebVantage, scope: trio.CancelScope, deadline: float
    ) -> None:
        """A line to the site, with TLS on it for https; ``scope`` begins with the time to connect and ends with all."""
        if vantage.proxy_host is None:
            await _dial_site(fetch, target)
            scope.deadline = deadline
        else:
            await self._through(fetch, target, vantage, vantage.proxy_host, scope, deadline)
        if target.scheme == "https":
            scope.deadline = min(deadline, trio.current_time() + self._connect_seconds)
            await self._handshake(fetch, target)
            scope.deadline = deadline

    async def _through(
        self, fetch: _Fetch, target: Target, vantage: WebVantage, host: str, scope: trio.CancelScope, deadline: float
    ) -> None:
        """A tunnel through the vantage's proxy."""
        fetch.dialling_proxy = True
        try:
            line: Line = await dial(host, vantage.proxy_port)
        except OSError as error:
            raise WireError("proxy", "proxy-unreachable") from error
        fetch.line, fetch.dialling_proxy = line, False
        # The exit's own connect time-out is longer than ours to the proxy: the probe's deadline bounds it.
        scope.deadline = deadline
        try:
            if vantage.proxy_tls:
                self._proxy_tls = self._proxy_tls or ssl.create_default_context()
                fetch.line = line = outer = Tls(line, self._proxy_tls, host)
                await outer.handshake()
            early = await _tunnel(line, target, vantage)
            if early:
                fetch.line = Early(line, early)
        except OSError as error:
            raise WireError("proxy", "proxy-reset") from error

    async def _handshake(self, fetch: _Fetch, target: Target) -> None:
        if fetch.line is None:
            raise RuntimeError("a handshake needs a connection")
        try:
            fetch.line = tls = Tls(fetch.line, self._probing, target.host)
            await tls.handshake()
        except (OSError, ValueError) as error:  # SSLError is an OSError; ValueError: no SNI can be sent
            raise WireError("site", "tls") from error
        fetch.chain = tuple(shown_chain(tls.session))

    def _request(self, target: Target, *, keep: bool) -> bytes:
        """The request's bytes; what a target may hold was settled by the WHATWG parser, and is proven here again."""
        path, authority = target.path, target.authority
        if not _PLAIN.fullmatch(path) or not _PLAIN.fullmatch(authority):
            raise WireError("site", "protocol")
        request = f"GET {path} HTTP/1.1\r\nHost: {authority}\r\n{self._fields}"
        return f"{request}Connection: {'keep-alive' if keep else 'close'}\r\n\r\n".encode("ascii")

    async def _exchange(self, fetch: _Fetch, target: Target) -> None:
        if fetch.line is None:
            raise RuntimeError("an exchange needs a connection")
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADER_BYTES)
        connection.send(_A_GET)  # the state of a connection that has sent a GET; its bytes are ours
        connection.send(_NO_BODY)
        try:
            await fetch.line.send(self._request(target, keep=fetch.kept is not None))
            fetch.head = head = await _head(fetch.line, connection)
        except OSError as error:
            raise WireError("site", "reset") from error
        except h11.ProtocolError as error:
            raise WireError("site", "protocol") from error
        if fetch.patience is not None:
            fetch.patience.deadline = math.inf
        for raw_name, raw_value in head.headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            fetch.headers[name] = f"{fetch.headers[name]}, {value}" if name in fetch.headers else value
        await self._body(fetch, fetch.line, connection)

    async def _body(self, fetch: _Fetch, line: Line, connection: h11.Connection) -> None:
        """What can be had of the body: up to the limit, the deadline or the first fault; a part of a page is a page."""
        encoding = fetch.headers.get("content-encoding", "").strip().lower()
        inflate = _Inflate(self._body_bytes) if encoding in {"gzip", "x-gzip", "deflate"} else None
        body, received, pieces = fetch.body, 0, 0
        try:
            while len(body) < self._body_bytes and received < self._body_bytes + CHUNK:
                event = connection.next_event()
                if event is h11.NEED_DATA:
                    data = await line.receive()
                    received += len(data)
                    connection.receive_data(data)
                elif isinstance(event, h11.Data):
                    body += inflate.feed(bytes(event.data)) if inflate else event.data
                    pieces += 1
                    if pieces % PIECES_AT_ONCE == 0:
                        await trio.lowlevel.checkpoint()
                else:
                    break
        except (OSError, h11.ProtocolError, zlib.error):
            return
        whole = connection.our_state is h11.DONE and connection.their_state is h11.DONE
        fetch.reusable = whole and not connection.trailing_data[0]


class _Fetch:
    """What one GET has come to so far; what stands here when the deadline ends it is all there is."""

    __slots__ = (
        "address",
        "body",
        "chain",
        "dialling_proxy",
        "head",
        "headers",
        "kept",
        "line",
        "patience",
        "reusable",
    )

    def __init__(self, kept: Kept | None) -> None:
        self.kept = kept
        self.line: Line | None = None
        self.again()

    def again(self) -> None:
        """As if nothing had been asked."""
        self.close()
        self.dialling_proxy = self.reusable = False
        self.patience: trio.CancelScope | None = None  # ends with the head, where a kept connection is tried
        self.address = ""
        self.chain: tuple[bytes, ...] = ()
        self.head: h11.Response | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()

    def close(self) -> None:
        """Without a farewell: a hostile host would let us wait for its own."""
        if self.line is not None:
            self.line.close()
            self.line = None


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


async def _dial_site(fetch: _Fetch, target: Target) -> None:
    """Connect to the first of the vetted addresses that answers; all of them share one time-out."""
    reason = "no-address"
    for address in target.addresses[:3]:
        try:
            fetch.line, fetch.address = await dial(address, target.port), address
        except ConnectionRefusedError:
            reason = "refused"
        except OSError:
            reason = "unreachable"
        else:
            return
    raise WireError("site", reason)


async def _head(line: Line, connection: h11.Connection) -> h11.Response:
    """The final answer's head; raises ConnectionError when the server closes before one, ProtocolError for junk."""
    interim = 0
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await line.receive()
            if not data:
                raise ConnectionError("closed before an answer")
            connection.receive_data(data)
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


async def _tunnel(line: Line, target: Target, vantage: WebVantage) -> bytes:
    """CONNECT (RFC 9110 section 9.3.6): any 2xx is a tunnel; WireError tells the proxy's faults from the site's.

    What came behind the answer's head is given back: by that section a 2xx has no body, so it is the site's, and a site
    that speaks first is to be seen through a proxy as it is without one. A proxy that talks there spoils the control
    probe too.
    """
    authority = f"{target.host}:{target.port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    authorization = vantage.authorization()
    if authorization:
        lines.append(f"Proxy-Authorization: {authorization}")
    await line.send(("\r\n".join(lines) + "\r\n\r\n").encode())
    head = bytearray()
    while b"\r\n\r\n" not in head:
        data = await line.receive()
        if not data or len(head) > CONNECT_HEADER_BYTES:
            raise WireError("proxy", "proxy-reset" if not data else "proxy-protocol")
        head += data
    lines_of, _, early = bytes(head).partition(b"\r\n\r\n")
    first, *fields = lines_of.decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if not first.startswith("HTTP/1.") or len(words) < 2 or len(words[1]) != 3 or not words[1].isdigit():
        raise WireError("proxy", "proxy-protocol")
    status = int(words[1])
    if 200 <= status <= 299:
        return early
    named = {field.partition(":")[0].strip().lower() for field in fields}
    if status in vantage.proxy_error_statuses or named & set(vantage.error_headers):
        raise WireError("proxy", f"proxy-{status}")
    raise WireError("site", "timeout" if status in {408, 504, 522} else f"connect-{status}")
