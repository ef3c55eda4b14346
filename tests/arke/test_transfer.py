"""arke.transfer over real sockets: a zone by AXFR with and without TSIG, and every way a server may fail."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from pathlib import Path

import dns.message
import dns.name
import dns.rcode
import dns.renderer
import dns.rrset
import dns.tsig
import pytest
import trio

from arke.transfer import serial, server, transfer
from panopticond.shared.errors import ConfigurationError, FetchError

SECRET = base64.b64encode(b"k" * 32).decode()
KEY = dns.tsig.Key("arke.", b"k" * 32, "hmac-sha256")
SOA = "zz. 3600 IN SOA ns1.nic.zz. h.nic.zz. 7 1 1 1 1"
BODY = (
    "zz. 3600 IN NS ns1.nic.zz.",
    "Good.zz. 3600 IN NS ns1.host.example.",
    "good.zz. 3600 IN NS ns2.host.example.",
    "nic.zz. 3600 IN A 192.0.2.1",
    "other.com.zz. 3600 IN NS ns1.host.example.",
)
Serve = Callable[[dns.message.Message], list[bytes]]


def answer(query: dns.message.Message, *groups: tuple[str, ...], sign: bool = False, rcode: int = 0) -> list[bytes]:
    """One message a group of records, signed as one run when asked."""
    wires, context = [], None
    for group in groups:
        reply = dns.message.make_response(query)
        reply.set_rcode(dns.rcode.Rcode(rcode))
        reply.answer = [
            dns.rrset.from_text(name, int(ttl), rdclass, rdtype, data)
            for name, ttl, rdclass, rdtype, data in (line.split(" ", 4) for line in group)
        ]
        if not sign:
            reply.tsig = None
            reply.keyring = None
        wires.append(reply.to_wire(multi=sign, tsig_ctx=context, max_size=65535))
        context = reply.tsig_ctx
    return wires


def whole(query: dns.message.Message, *, sign: bool = False) -> list[bytes]:
    kind = query.question[0].rdtype.name
    return (
        answer(query, (SOA,), sign=sign)
        if kind == "SOA"
        else answer(query, (SOA, *BODY[:2]), (*BODY[2:], SOA), sign=sign)
    )


async def _handle(serve: Serve, stream: trio.SocketStream) -> None:
    async with stream:
        data = b""
        while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
            data += await stream.receive_some(4096)
        for wire in serve(dns.message.from_wire(data[2:], keyring={KEY.name: KEY})):
            await stream.send_all(len(wire).to_bytes(2, "big") + wire)


async def started(nursery: trio.Nursery, serve: Serve) -> str:
    """The address of a server that answers so."""
    listeners = await nursery.start(
        functools.partial(trio.serve_tcp, functools.partial(_handle, serve), 0, host="127.0.0.1")
    )
    return f"127.0.0.1:{listeners[0].socket.getsockname()[1]}"


@pytest.mark.parametrize("signed", [False, True])
async def test_a_whole_zone_comes_with_its_serial(nursery: trio.Nursery, tmp_path: Path, signed: bool) -> None:
    """Owners with NS below the apex, lower case, over two messages; signed or not."""
    (tmp_path / "key").write_text(f"hmac-sha256:arke:{SECRET}\n")
    (tmp_path / "key").chmod(0o600)
    address = await started(nursery, lambda query: whole(query, sign=signed))
    where = server(address, str(tmp_path / "key") if signed else None, 5)
    assert await serial(where, "zz") == 7
    zone = await transfer(where, "zz")
    assert zone.serial == 7
    assert zone.owners == {
        "good.zz": ("ns1.host.example", "ns2.host.example"),
        "other.com.zz": ("ns1.host.example",),
    }
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("serve", "word"),
    [
        (lambda query: answer(query, (), rcode=dns.rcode.REFUSED), "REFUSED"),
        (lambda query: answer(query, (SOA, *BODY)), "hung up"),
        (lambda query: answer(query, BODY), "does not begin"),
        (lambda query: answer(query, (SOA, *BODY, SOA.replace(" 7 ", " 8 "))), "changed"),
        (lambda _: [b"\x00" * 12], "another question|answers badly"),
        (lambda _: [], "hung up"),
    ],
)
async def test_what_is_not_whole_is_not_believed(nursery: trio.Nursery, serve: Serve, word: str) -> None:
    """Refused, cut short, changed on the way or no DNS at all: FetchError, never half a zone."""
    where = server(await started(nursery, serve), None, 5)
    with pytest.raises(FetchError, match=word):
        await transfer(where, "zz")
    nursery.cancel_scope.cancel()


async def test_an_unsigned_answer_to_a_signed_question_is_refused(nursery: trio.Nursery, tmp_path: Path) -> None:
    """Whoever does not hold the key gives no zone."""
    (tmp_path / "key").write_text(f"hmac-sha256:arke:{SECRET}\n")
    (tmp_path / "key").chmod(0o600)
    where = server(await started(nursery, whole), str(tmp_path / "key"), 5)
    with pytest.raises(FetchError):
        await transfer(where, "zz")
    nursery.cancel_scope.cancel()


def test_a_wrong_key_or_address_is_said_with_its_path(tmp_path: Path) -> None:
    """The faults of ``transfer`` name their key, and never the secret."""
    (tmp_path / "key").write_text("hmac-md5:arke:verysecret\n")
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"transfer\.key_file") as error:
        server("192.0.2.1:53", str(tmp_path / "key"), 5)
    assert "verysecret" not in str(error.value)
    with pytest.raises(ConfigurationError, match=r"transfer\.server"):
        server("ns1.nic.zz", None, 5)
