"""The one HTTP adapter: fetch a whole body or fail with a word; feeds, Web Risk, Tranco, RDAP and arke's watch use it.

It is for servers the operator configured; hostile sites are for :mod:`panopticond.probe.webwire`. One httpx client a
fetch, a shared TLS context and the deadline outside the client: with a shared pool, HTTP/1.1 connections leak when trio
cancels (encode/httpcore issue 1093), and a test of ours watches for it. HTTP/2 stays off for the same reason (issue
1022). Nothing is read from the environment. Moving to another httpx-compatible client changes this module only.

``FetchError.reason`` is one of :data:`REASONS`.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import ipaddress
import logging
import socket
import ssl
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import BinaryIO

import msgspec
import trio

from panopticond.shared.errors import FetchError
from panopticond.shared.otherclocks import OtherClocks

# httpx has a command line, which brings click, rich and pygments where those happen to be installed: 5 MiB and 40 ms
# that no daemon needs. None means "not there" to the import system (docs.python.org, sys.modules), and httpx, which
# only tries it, is imported without; afterwards the mark goes, and whoever wants that module in this process finds it.
_LOADED = "httpx._main" in sys.modules
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
import httpx  # noqa: E402 - after the line above

if not _LOADED:
    del sys.modules["httpx._main"]

REASONS = ("unreachable", "timeout", "tls", "too-large", "redirect-refused", "cut-short", "protocol", "unwritable")
"""unreachable: no connection; tls: the certificate or handshake; redirect-refused: to another origin, into a private
network, to plain http, or one too many; cut-short: the body ended early; protocol: no valid HTTP, URL or encoding;
unwritable: our own disk would not take it."""
CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
INFLATE_RATIO = 200
INFLATE_FLOOR_BYTES = 1 << 20
"""Below this many inflated bytes no ratio is held against a body."""
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
_OPEN_HEADERS = frozenset({"accept", "accept-encoding", "accept-language", "user-agent"})
"""Of a caller's headers, those that may follow a redirect to another origin: keys and tokens never do."""

# httpx logs every URL at INFO, and some feeds carry their key in it.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)


class Response(msgspec.Struct, frozen=True):
    """A whole answer. ``url`` is the final one; it may hold a key and is for no log."""

    status: int
    headers: dict[str, str]
    """Lower-case names."""
    body: bytes
    url: str


class Http:
    """Fetches; holds the user agent, a TLS context and what servers said of the time, so every task may share it."""

    def __init__(
        self, user_agent: str, *, verify: ssl.SSLContext | None = None, clocks: OtherClocks | None = None
    ) -> None:
        self.clocks = clocks or OtherClocks()
        self._user_agent = user_agent
        self._verify = verify or ssl.create_default_context()

    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        limit_bytes: int,
        deadline_seconds: float,
        redirects: int = 0,
        same_origin: bool = True,
    ) -> Response:
        """GET with the body decoded (gzip, deflate), whatever the status; ``limit_bytes`` bounds raw and decoded bytes.

        With ``redirects`` 0 a 3xx is returned as it is. ``auth`` (Basic) and every header that may hold a secret go to
        the first URL's origin only. Raises FetchError.
        """
        body = bytearray()
        async with self._opened(url, headers, auth, deadline_seconds, redirects, same_origin=same_origin) as reply:
            decode = _Decoder(reply.headers.get("content-encoding", ""), limit_bytes)
            await _pour(reply, limit_bytes, lambda chunk: body.extend(decode.feed(chunk)))
            decode.finish()
            return Response(reply.status_code, _headers(reply), bytes(body), str(reply.url))

    async def download(
        self,
        url: str,
        into: BinaryIO,
        *,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        limit_bytes: int,
        deadline_seconds: float,
        redirects: int = 3,
        same_origin: bool = True,
    ) -> Response:
        """GET whose raw bytes, in the content-encoding as served, go to ``into``; the answer's ``body`` is empty.

        Only a 2xx body is written: anything else leaves ``into`` untouched and its status tells. What was written
        before a FetchError is the caller's to discard.
        """
        async with self._opened(url, headers, auth, deadline_seconds, redirects, same_origin=same_origin) as reply:
            if reply.is_success:
                await _pour(reply, limit_bytes, functools.partial(_write, into))
            return Response(reply.status_code, _headers(reply), b"", str(reply.url))

    @contextlib.asynccontextmanager
    async def _opened(
        self,
        url: str,
        headers: Mapping[str, str] | None,
        auth: tuple[str, str] | None,
        deadline_seconds: float,
        redirects: int,
        *,
        same_origin: bool,
    ) -> AsyncIterator[httpx.Response]:
        """The final answer of a redirect chain, its body unread; every foreign exception becomes a FetchError."""
        where = _origin_text(url)
        try:
            with trio.fail_after(deadline_seconds):
                async with contextlib.AsyncExitStack() as stack:
                    client = await stack.enter_async_context(self._client(deadline_seconds))
                    reply = await self._follow(client, stack, url, headers, auth, redirects, same_origin=same_origin)
                    told = reply.headers
                    self.clocks.hear(reply.url.host, told.get("date"), told.get("age"), time.time())
                    yield reply
        except trio.TooSlowError as error:
            raise FetchError("timeout", f"{where} gave no whole answer in {deadline_seconds:g} s") from error
        except httpx.TimeoutException as error:
            raise FetchError("timeout", f"{where} did not answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, httpx.CookieConflict) as error:
            reason = _reason(error)
            raise FetchError(reason, f"{where} could not be fetched: {reason} ({type(error).__name__})") from error
        except zlib.error as error:
            raise FetchError("protocol", f"{where} sent a body that is not in the encoding it names") from error
        except ssl.SSLError as error:
            raise FetchError("tls", f"{where} has a TLS fault ({type(error).__name__})") from error
        except UnicodeError as error:
            raise FetchError("protocol", f"{where} is no URL that can be asked") from error

    def _client(self, deadline_seconds: float) -> httpx.AsyncClient:
        timeout = httpx.Timeout(
            connect=min(CONNECT_SECONDS, deadline_seconds),
            read=min(READ_SECONDS, deadline_seconds),
            write=min(READ_SECONDS, deadline_seconds),
            pool=min(CONNECT_SECONDS, deadline_seconds),
        )
        return httpx.AsyncClient(verify=self._verify, http2=False, trust_env=False, timeout=timeout)

    async def _follow(
        self,
        client: httpx.AsyncClient,
        stack: contextlib.AsyncExitStack,
        url: str,
        headers: Mapping[str, str] | None,
        auth: tuple[str, str] | None,
        redirects: int,
        *,
        same_origin: bool,
    ) -> httpx.Response:
        first = current = httpx.URL(url)
        if first.scheme not in {"http", "https"} or not first.host or "%" in first.host:
            raise FetchError("protocol", f"{_origin_text(url)} is no http or https URL")
        left = redirects
        while True:
            sent = self._sent(headers, auth, at_home=_origin(current) == _origin(first))
            reply = await stack.enter_async_context(client.stream("GET", current, headers=sent))
            location = reply.headers.get("location")
            if reply.status_code not in _REDIRECT_STATUSES or location is None or redirects == 0:
                return reply
            following = current.join(location)
            foreign = _origin(following) != _origin(first)
            downgraded = current.scheme == "https" and following.scheme != "https"
            strayed = foreign and (same_origin or (is_inward(following.host) and not is_inward(first.host)))
            if left == 0 or downgraded or strayed or following.scheme not in {"http", "https"}:
                sentence = f"{_origin_text(url)} redirects further, to plain http, or to another server; not followed"
                raise FetchError("redirect-refused", sentence)
            left -= 1
            current = following

    def _sent(
        self, headers: Mapping[str, str] | None, auth: tuple[str, str] | None, *, at_home: bool
    ) -> dict[str, str]:
        sent = {"user-agent": self._user_agent, "accept": "*/*", "accept-encoding": "gzip"}
        for name, value in (headers or {}).items():
            if at_home or name.lower() in _OPEN_HEADERS:
                sent[name.lower()] = value
        if auth is not None and at_home:
            sent["authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        return sent


class _Decoder:
    """Bounded decoding of a content-encoding; several gzip members in a row are one body (RFC 1952 section 2.2)."""

    def __init__(self, encoding: str, limit_bytes: int) -> None:
        name = encoding.strip().lower()
        if name not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            raise FetchError("protocol", f"a body came in the encoding {name[:20]!r}, which was not asked for")
        self._decoder = None if name in {"", "identity"} else zlib.decompressobj(47)
        self._left = limit_bytes
        self._read = self._made = 0

    def feed(self, data: bytes) -> bytes:
        """The next decoded bytes; FetchError ``too-large`` past the limit or the ratio."""
        if self._decoder is None:
            return data
        out = bytearray()
        self._read += len(data)
        while data:
            if self._decoder.eof:
                self._decoder = zlib.decompressobj(47)
            out += self._decoder.decompress(data, max(1, self._left - len(out) + 1))
            if len(out) > self._left:
                raise FetchError("too-large", "a body inflates past its limit")
            data = self._decoder.unconsumed_tail or self._decoder.unused_data
        self._left -= len(out)
        self._made += len(out)
        if self._made > max(INFLATE_FLOOR_BYTES, self._read * INFLATE_RATIO):
            raise FetchError("too-large", f"a body inflates more than {INFLATE_RATIO} times")
        return bytes(out)

    def finish(self) -> None:
        """FetchError ``cut-short`` when a compressed body lacks its end."""
        if self._decoder is not None and self._read and not self._decoder.eof:
            raise FetchError("cut-short", "a compressed body ended early")


def _write(into: BinaryIO, chunk: bytes) -> None:
    try:
        into.write(chunk)
    except OSError as error:
        raise FetchError("unwritable", f"the body cannot be kept while it is read: {error.strerror}") from error


def _within(total: int, limit_bytes: int) -> None:
    if total > limit_bytes:
        raise FetchError("too-large", f"a body is larger than {limit_bytes} bytes")


async def _pour(reply: httpx.Response, limit_bytes: int, consume: Callable[[bytes], object]) -> None:
    """Give every raw chunk to ``consume``; its error, or the limit's, ends the body.

    The library's nested generators must run to their end, or trio warns of each: so a fault closes the connection
    under them, they fail, and only then is the fault raised.
    """
    total = 0
    fault: Exception | None = None
    try:
        async for chunk in reply.aiter_raw():
            total += len(chunk)
            if fault is None:
                try:
                    _within(total, limit_bytes)
                    consume(chunk)
                except Exception as error:  # noqa: BLE001 - raised again below, once the generators have ended
                    fault = error
                    await reply.aclose()
    except (httpx.HTTPError, httpx.StreamError):
        if fault is None:
            raise
    if fault is not None:
        raise fault


def _headers(reply: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in reply.headers.items()}


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def is_inward(host: str) -> bool:
    """Whether a host is plainly no public one: ``localhost``, or an address, however written, that is not global.

    A server that may send readers elsewhere may not send them into the reader's own network.
    """
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        pass
    try:
        return not ipaddress.ip_address(socket.inet_aton(host)).is_global  # 127.1, 0x7f000001
    except (OSError, UnicodeError):
        return False


def _origin_text(url: str) -> str:
    """Scheme and host for a sentence: never the path, the query or credentials."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError):
        return "the URL"
    return f"{parsed.scheme}://{parsed.host}" if parsed.host else "the URL"


def _reason(error: Exception) -> str:
    """The word for an httpx error: a TLS error anywhere in its chain of causes is ``tls``."""
    cause: BaseException | None = error
    for _ in range(10):
        if cause is None:
            break
        if isinstance(cause, ssl.SSLError):
            return "tls"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, (httpx.ReadError, httpx.WriteError, httpx.CloseError)):
        return "cut-short"
    if isinstance(error, httpx.RemoteProtocolError):
        return "cut-short" if "closed" in str(error) or "disconnected" in str(error) else "protocol"
    if isinstance(error, httpx.NetworkError):
        return "unreachable"
    return "protocol"
