"""arke.zone.transfer over real sockets: a zone by AXFR and IXFR, with and without TSIG, and how a server may fail."""

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

from arke.zone.transfer import serial, server, transfer
from arke.zone.zonecopy import Copy, newer
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


def soa(serial: int) -> str:
    return SOA.replace(" 7 ", f" {serial} ")


STEPS = (
    (soa(7), "good.zz. 3600 IN NS ns2.host.example.", "nic.zz. 3600 IN A 192.0.2.1", "x.zz. 3600 IN TXT a"),
    (soa(8), "new.zz. 3600 IN NS ns1.host.example.", "nic.zz. 3600 IN A 192.0.2.2", "own.zz. 3600 IN A 192.0.2.3"),
    (soa(8), "new.zz. 3600 IN NS ns1.host.example.", "other.com.zz. 3600 IN NS ns1.host.example."),
    (soa(9), "new.zz. 3600 IN NS ns3.host.example.", "New.zz. 3600 IN NS ns4.host.example."),
)
"""From serial 7 to 9 in two steps: what goes, what comes, what goes, what comes."""
FORWARD = (soa(9), *(line for step in STEPS for line in step), soa(9))
AFTER = {"good.zz": ("ns1.host.example",), "new.zz": ("ns3.host.example", "ns4.host.example")}


async def refreshed(nursery: trio.Nursery, differences: Serve, asked: list[str]) -> Copy:
    """The zone of serial 7 brought forward by a server that answers IXFR so, and AXFR with serial 9 whole."""

    def serve(query: dns.message.Message) -> list[bytes]:
        asked.append(query.question[0].rdtype.name)
        if asked[-1] == "IXFR":
            assert query.authority[0][0].serial == 7
            return differences(query)
        return answer(query, (soa(9), *BODY, soa(9))) if len(asked) > 1 else whole(query)

    where = server(await started(nursery, serve), None, 1)
    return await transfer(where, "zz", await transfer(where, "zz"))


@pytest.mark.parametrize("pieces", [1, 3, 20])
async def test_differences_bring_the_held_zone_forward(nursery: trio.Nursery, pieces: int) -> None:
    """Two steps of differences, in however many messages, give what the whole zone would."""
    asked: list[str] = []
    size = -(-len(FORWARD) // pieces)
    groups = [FORWARD[at : at + size] for at in range(0, len(FORWARD), size)]
    found = (await refreshed(nursery, lambda query: answer(query, *groups), asked)).zone()
    assert (asked, found.serial, found.owners) == (["AXFR", "IXFR"], 9, AFTER)
    assert found.addresses == {"nic.zz", "own.zz"}
    nursery.cancel_scope.cancel()


async def test_a_server_may_answer_with_the_whole_zone(nursery: trio.Nursery) -> None:
    """RFC 1995 section 4: where it has no differences it sends everything, and nothing of what was held stays."""
    asked: list[str] = []
    found = await refreshed(nursery, lambda query: answer(query, (soa(9), *BODY[:2], soa(9))), asked)
    assert (asked, found.serial, found.zone().owners) == (["AXFR", "IXFR"], 9, {"good.zz": ("ns1.host.example",)})
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "differences",
    [
        lambda query: answer(query, (), rcode=dns.rcode.NOTIMP),
        lambda query: answer(query, (soa(9), *STEPS[0], *STEPS[1])),
        lambda query: answer(query, (soa(9), *STEPS[0], *STEPS[1], soa(9))),
        lambda query: answer(query, (soa(9), *STEPS[2], *STEPS[3], soa(9))),
        lambda query: answer(query, (soa(8), soa(7), "none.zz. 3600 IN NS a.example.", soa(8), soa(8))),
        lambda query: answer(query, (soa(8), soa(7), soa(8), "good.zz. 3600 IN NS ns1.host.example.", soa(8))),
        lambda query: answer(query, (soa(6),)),
        lambda query: answer(query, (soa(9), SOA.replace("zz.", "yy.", 1), soa(9))),
        lambda _: [b"\x00" * 12],
        lambda _: [],
    ],
)
async def test_differences_that_do_not_fit_are_not_believed(nursery: trio.Nursery, differences: Serve) -> None:
    """Not known, cut, out of step, from another zone, backwards: the whole zone is asked for instead."""
    asked: list[str] = []
    found = await refreshed(nursery, differences, asked)
    assert (asked, found.serial) == (["AXFR", "IXFR", "AXFR"], 9)
    nursery.cancel_scope.cancel()


async def test_nothing_new_is_nothing_lost(nursery: trio.Nursery) -> None:
    """A lone SOA of our own serial says that what is held is the zone."""
    asked: list[str] = []
    found = (await refreshed(nursery, lambda query: answer(query, (soa(7),)), asked)).zone()
    assert (asked, found.serial, sorted(found.owners)) == (["AXFR", "IXFR"], 7, ["good.zz", "other.com.zz"])
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("serial", "than", "after"), [(2, 1, True), (1, 1, False), (1, 2, False), (0, 2**32 - 1, True)]
)
def test_serials_go_round(serial: int, than: int, after: bool) -> None:
    """RFC 1982: the last serial is followed by the first."""
    assert newer(serial, than) is after


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
    zone = (await transfer(where, "zz")).zone()
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
