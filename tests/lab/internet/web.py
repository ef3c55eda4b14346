"""Every web host of the world behind the proxies: TLS in all its states, pages by behaviour, country and path."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from urllib.parse import unquote, urlsplit

import trio

from tests.lab.internet import pages
from tests.lab.internet.certificates import contexts
from tests.lab.internet.http import encode_reply, read_request
from tests.lab.internet.state import CONTROL_HOST, Internet
from tests.lab.model import Behaviour, Host

HUGE_BYTES = 64 << 20
_ADDRESS = re.compile(r"[^/=&?]*@[^/=&?]*")


class Sites:
    """Answers any host of the world on an already connected stream."""

    def __init__(self, state: Internet, certs: Path) -> None:
        self._state = state
        names = sorted(host.name for domain in state.world.domains for host in domain.hosts)
        self._contexts = contexts(certs, names)

    async def converse(self, stream: trio.SocketStream, host: str, port: int, country: str) -> None:
        """One request and its answer; the stream is the caller's to close."""
        behaviour = self._state.behaviour(host)
        if host == CONTROL_HOST:
            await self._serve(stream, host, None, country)
            return
        if behaviour is None or behaviour.link == "reset":
            return
        if port not in (443, 8443):
            await self._serve(stream, host, behaviour, country)
            return
        if behaviour.tls == "broken":
            await stream.send_all(b"HTTP/1.0 400 no TLS is spoken here\r\n\r\n")
            return
        secure = trio.SSLStream(stream, self._contexts[behaviour.tls], server_side=True, https_compatible=True)
        try:
            await secure.do_handshake()
        except (trio.BrokenResourceError, ssl.SSLError):
            return
        await self._serve(secure, host, behaviour, country)

    async def _serve(self, stream: trio.abc.Stream, host: str, behaviour: Behaviour | None, country: str) -> None:
        request = await read_request(stream)
        self._state.requests["web"] += 1
        if request is None:
            return
        _, target, _ = request
        if behaviour is None:
            await stream.send_all(encode_reply(pages.control()))
            return
        page = self.page(self._state.hosts[host], behaviour, target, country)
        if page == "slow":
            await trio.sleep(behaviour.delay_seconds)
        reply = pages.render(page, behaviour, host, target)
        if page == "huge":
            await _send_huge(stream, reply[2])
            return
        await stream.send_all(encode_reply(reply))

    def page(self, host: Host, behaviour: Behaviour, target: str, country: str) -> str:
        """Which page a visitor from a country gets at a path."""
        page: str = behaviour.page
        if behaviour.only_country is not None and country != behaviour.only_country:
            page = behaviour.elsewhere
        if page in pages.EVERY_PATH:
            return page
        if page == "redirect" and urlsplit(behaviour.location).hostname == host.name:
            parts = urlsplit(behaviour.location)
            if target == (parts.path or "/") + (f"?{parts.query}" if parts.query else ""):
                return "kit"
        if _same(target, host.paths):
            return page
        if target == "/":
            return behaviour.root or page
        return "not-found"


def _same(target: str, paths: tuple[str, ...]) -> bool:
    """Whether a path is one of the malicious ones; personal tokens count as equal, masked or not."""
    if target in paths:
        return True
    plain = _ADDRESS.sub("redacted", unquote(target))
    return any(plain == _ADDRESS.sub("redacted", unquote(path)) for path in paths)


async def _send_huge(stream: trio.abc.Stream, head: bytes) -> None:
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" + head)
    sent, block = 0, b"<p>" + b"x" * 65_000 + b"</p>\n"
    while sent < HUGE_BYTES:
        await stream.send_all(block)
        sent += len(block)
