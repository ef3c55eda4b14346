"""Resolvers over TCP, TLS and HTTPS, on real sockets: the same answers, connections used again, nothing leaks."""

from __future__ import annotations

import base64
import os
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
import trio.lowlevel
from cryptography.hazmat.primitives.serialization import Encoding

from panopticond.probe.dnsclient import Answer, DnsClient, NoAnswer
from panopticond.probe.dnsstream import Streams
from panopticond.shared.http import Http
from tests.panopticond.probe.standin import Asked, serve
from tests.panopticond.webservers import answer, certificate, listen, over_tls, site


def resolver(asked: Asked) -> bytes:
    return asked.reply(ra=True, answer=[f"{asked.name}. 300 A 192.0.2.7"])


async def _silent(_stream: trio.abc.Stream) -> None:
    await trio.sleep_forever()


class Far:
    """A DNS server over streams; ``last`` is how many answers a connection has before the server closes it.

    ``twice`` sends each answer a second time, ``cut`` marks it as truncated.
    """

    def __init__(self, last: int = 100, *, twice: bool = False, cut: bool = False) -> None:
        self.last, self.connections = last, 0
        self.twice, self.cut = twice, cut

    async def serve(self, stream: trio.abc.Stream) -> None:
        self.connections += 1
        async with stream:
            for _ in range(self.last):
                try:
                    head = await stream.receive_some(2)
                except trio.BrokenResourceError:
                    return
                if len(head) < 2:
                    return
                packet = await stream.receive_some(struct.unpack("!H", head)[0])
                wire = resolver(Asked(bytes(packet), "tcp"))
                wire = wire[:2] + bytes([wire[2] | 2 * self.cut]) + wire[3:]
                await stream.send_all((struct.pack("!H", len(wire)) + wire) * (1 + self.twice))


@pytest.fixture
async def streams(tmp_path: Path) -> AsyncIterator[tuple[Streams, ssl.SSLContext]]:
    context, known, _ = certificate("dns.quad9.example", tmp_path)
    trust = ssl.create_default_context(cadata=known.public_bytes(Encoding.PEM).decode())
    async with DnsClient(rate_per_server=1e6, timeout_seconds=0.5, attempts=1) as plain:
        http = Http("test")
        async with Streams(plain, http, rate_per_server=1e6, timeout_seconds=0.5, attempts=1, tls=trust) as made:
            yield made, context


async def asked(streams: Streams, server: str) -> Answer | NoAnswer:
    return await streams.query(server, "www.d.zz", "A", recursion=True)


async def test_every_transport_gives_the_same_answer(
    streams: tuple[Streams, ssl.SSLContext], nursery: trio.Nursery
) -> None:
    """UDP, TCP, TLS with a proven name, TLS without, HTTPS's message by GET."""
    made, context = streams
    far = Far()

    def page(path: str, headers: dict[str, str]) -> bytes:
        assert headers["accept"] == "application/dns-message"
        packet = base64.urlsafe_b64decode(path.partition("dns=")[2] + "==")
        assert packet[:2] == b"\0\0"
        return answer(200, resolver(Asked(packet, "https")), content_type="application/dns-message")

    tcp, tls = await listen(nursery, far.serve), await listen(nursery, over_tls(far.serve, context))
    web = await listen(nursery, site(page))
    texts = [
        (await serve(nursery, resolver)).text,
        f"tcp://127.0.0.1:{tcp}",
        f"tls://127.0.0.1:{tls}#dns.quad9.example",
        f"tls://127.0.0.1:{tls}",
    ]
    for text in texts:
        got = await asked(made, text)
        assert isinstance(got, Answer), (text, got)
        assert [record.data for record in got.answer] == ["192.0.2.7"]
        assert got.ra
    assert isinstance(await made._over_https(f"http://127.0.0.1:{web}/dns-query", _packet()), bytes)
    assert await asked(made, "https://127.0.0.1:9/dns-query") == NoAnswer(
        "https://127.0.0.1:9/dns-query", "unreachable"
    )


def _packet() -> bytes:
    from panopticond.probe.dnswire import encode_name, pack_query

    return pack_query(0, encode_name("www.d.zz"), 1, recursion=True)[0]


async def test_another_name_is_not_believed(streams: tuple[Streams, ssl.SSLContext], nursery: trio.Nursery) -> None:
    """A certificate of another name, or no TLS at all, is no answer."""
    made, context = streams
    port = await listen(nursery, over_tls(Far().serve, context))
    assert await asked(made, f"tls://127.0.0.1:{port}#dns.other.example") == NoAnswer(
        f"tls://127.0.0.1:{port}#dns.other.example", "tls"
    )


async def test_connections_are_used_again_and_replaced(
    streams: tuple[Streams, ssl.SSLContext], nursery: trio.Nursery
) -> None:
    """Ten questions share a connection; one the server closed is replaced without a lost question; silence times out."""
    made, _ = streams
    far, brief = Far(), Far(last=1)
    port, closing = await listen(nursery, far.serve), await listen(nursery, brief.serve)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(10):
        assert isinstance(await asked(made, f"tcp://127.0.0.1:{port}"), Answer)
        assert isinstance(await asked(made, f"tcp://127.0.0.1:{closing}"), Answer)
        await trio.lowlevel.checkpoint()
    assert far.connections == 1
    assert brief.connections == 10
    silent = await listen(nursery, _silent)
    assert await asked(made, f"tcp://127.0.0.1:{silent}") == NoAnswer(f"tcp://127.0.0.1:{silent}", "timeout")
    assert await asked(made, "tcp://127.0.0.1:9") == NoAnswer("tcp://127.0.0.1:9", "unreachable")
    assert len(os.listdir("/proc/self/fd")) <= before + 8  # noqa: PTH208


async def test_a_connection_that_is_an_answer_behind_is_given_up(
    streams: tuple[Streams, ssl.SSLContext], nursery: trio.Nursery
) -> None:
    """A server that answers twice is asked over a new connection; the second answer passes for none to the next."""
    made, _ = streams
    far = Far(twice=True)
    text = f"tcp://127.0.0.1:{await listen(nursery, far.serve)}"
    for _ in range(3):
        got = await asked(made, text)
        assert isinstance(got, Answer)
        await trio.lowlevel.checkpoint()
    assert far.connections == 3


async def test_nothing_is_truncated_over_a_stream(
    streams: tuple[Streams, ssl.SSLContext], nursery: trio.Nursery
) -> None:
    """An answer that says it is cut short is none: an empty part of it would read as a name without address."""
    made, _ = streams
    text = f"tcp://127.0.0.1:{await listen(nursery, Far(cut=True).serve)}"
    assert await asked(made, text) == NoAnswer(text, "malformed")
