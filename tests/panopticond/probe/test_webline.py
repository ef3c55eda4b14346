"""Connections of a probe against real sockets: plain, with TLS, and with TLS within the TLS of a proxy."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from panopticond.probe.webline import Line, Tls, dial
from panopticond.probe.webtls import probing_context
from tests.panopticond.webservers import certificate, listen, over_tls

BIG = bytes(range(256)) * 4096
"""More than any buffer on the way holds."""


async def echo(stream: trio.abc.Stream) -> None:
    """Gives back a megabyte, then ends without a TLS farewell."""
    got = bytearray()
    while len(got) < len(BIG):
        got += await stream.receive_some(65536)
    await stream.send_all(got)
    await trio.aclose_forcefully(stream)


async def exchanged(line: Line) -> bytes:
    got = bytearray()
    await line.send(BIG)
    while data := await line.receive():
        got += data
    line.close()
    line.close()
    return bytes(got)


@pytest.mark.parametrize("layers", [0, 1, 2])
async def test_bytes_come_back_through_every_layer(nursery: trio.Nursery, tmp_path: Path, layers: int) -> None:
    """A megabyte goes both ways; an end without a farewell is an end; closing twice is closing."""
    serve: Callable[[trio.abc.Stream], Awaitable[None]] = echo
    for _ in range(layers):
        serve = over_tls(serve, certificate("shop.zz", tmp_path)[0])
    line: Line = await dial("127.0.0.1", await listen(nursery, serve))
    for _ in range(layers):
        line = tls = Tls(line, probing_context(), "shop.zz")
        await tls.handshake()
    assert await exchanged(line) == BIG


async def test_a_name_is_dialled_through_the_resolver(nursery: trio.Nursery) -> None:
    """A proxy may be given by name."""
    assert await exchanged(await dial("localhost", await listen(nursery, echo))) == BIG


async def test_what_cannot_be_had_is_an_oserror(nursery: trio.Nursery) -> None:
    """A closed port refuses at once, and a server without TLS fails the handshake with SSLError."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        await dial("127.0.0.1", port)

    async def rude(stream: trio.abc.Stream) -> None:
        await stream.send_all(b"no TLS is spoken here\r\n" * 10)
        await trio.aclose_forcefully(stream)

    line = await dial("127.0.0.1", await listen(nursery, rude))
    with pytest.raises(ssl.SSLError):
        await Tls(line, probing_context(), "shop.zz").handshake()
    line.close()
