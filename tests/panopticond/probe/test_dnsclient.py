"""The DNS client against a real UDP and TCP server that truncates, lies, errs, floods and keeps silent."""

from __future__ import annotations

import random
import socket
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
import trio
import trio.testing

from panopticond.probe.dnsclient import Answer, DnsClient, NoAnswer
from panopticond.probe.dnssocket import split_server
from tests.panopticond.probe.standin import Asked, question_of, serve


@pytest.fixture
async def client() -> AsyncIterator[DnsClient]:
    async with DnsClient(rate_per_server=float("inf"), timeout_seconds=0.3, attempts=2) as made:
        yield made


def plain(asked: Asked) -> bytes:
    return asked.reply(aa=True, answer=[f"{asked.name}. 60 A 192.0.2.1"])


async def test_a_plain_answer_is_read_whole(client: DnsClient, nursery: trio.Nursery) -> None:
    """Flags, rcode and every section come back as text; RD is as asked, and EDNS carries 1232 and a cookie."""

    def handler(asked: Asked) -> bytes:
        return asked.reply(
            authority=["shop.zz. 3600 NS ns1.shop.zz.", "shop.zz. 3600 NS NS2.example."],
            additional=["ns1.shop.zz. 3600 A 192.0.2.7", "ns1.shop.zz. 3600 AAAA 2001:db8::7"],
            ede=15,
        )

    server = await serve(nursery, handler)
    got = await client.query(server.text, "www.shop.zz", "NS", recursion=False)
    assert isinstance(got, Answer)
    assert (got.rcode, got.aa, got.ra, got.tc, got.ede) == (0, False, False, False, (15,))
    assert [(r.name, r.kind, r.data) for r in got.authority] == [
        ("shop.zz", "NS", "ns1.shop.zz"),
        ("shop.zz", "NS", "ns2.example"),
    ]
    assert [r.data for r in got.additional] == ["192.0.2.7", "2001:db8::7"]
    query = server.asked[0].message
    assert not server.asked[0].recursion
    assert query.payload == 1232
    assert [len(option.to_wire()) for option in query.options] == [8]


async def test_case_ids_and_ports_are_random(client: DnsClient, nursery: trio.Nursery) -> None:
    """Twenty questions do not come in one letter case, nor with consecutive ids."""
    server = await serve(nursery, plain)
    for _ in range(20):
        await client.query(server.text, "a-fairly-long-label.zz", "A", recursion=True)
    assert len({question_of(asked.packet) for asked in server.asked}) == 20
    assert len({asked.message.id for asked in server.asked}) > 15
    assert 1 < client.statistics()["sockets"] <= 8


async def test_truncation_goes_to_tcp(client: DnsClient, nursery: trio.Nursery) -> None:
    """TC over UDP is asked again over TCP at the same server."""
    server = await serve(nursery, lambda asked: asked.reply(tc=True) if asked.transport == "udp" else plain(asked))
    got = await client.query(server.text, "big.zz", "A", recursion=False)
    assert isinstance(got, Answer)
    assert got.answer[0].data == "192.0.2.1"
    assert [asked.transport for asked in server.asked] == ["udp", "tcp"]


async def test_forged_datagrams_are_passed_over(client: DnsClient, nursery: trio.Nursery) -> None:
    """Wrong ids, wrong questions, wrong case and rubbish before the true answer change nothing."""

    def handler(asked: Asked) -> Iterable[bytes]:
        good = plain(asked)
        wrong_id = bytes([good[0] ^ 1]) + good[1:]
        wrong_name = good[:13] + bytes([good[13] ^ 1]) + good[14:]
        wrong_case = good[:13] + bytes([good[13] ^ 0x20]) + good[14:]
        return [b"", b"x", wrong_id, wrong_name, wrong_case, asked.packet, good[:12], good]

    server = await serve(nursery, handler)
    got = await client.query(server.text, "true.zz", "A", recursion=False)
    assert isinstance(got, Answer)
    assert len(server.asked) == 1


async def test_only_forgeries_end_over_tcp(client: DnsClient, nursery: trio.Nursery) -> None:
    """When nothing fits until the deadline, TCP decides; without TCP's word the reason is spoofed or malformed."""

    def handler(asked: Asked) -> bytes:
        good = plain(asked)
        return good if asked.transport == "tcp" else good[:13] + bytes([good[13] ^ 1]) + good[14:]

    server = await serve(nursery, handler)
    assert isinstance(await client.query(server.text, "spoof.zz", "A", recursion=False), Answer)
    liar = await serve(nursery, lambda asked: plain(asked)[:13] + b"#" + plain(asked)[14:])
    assert await client.query(liar.text, "spoof.zz", "A", recursion=False) == NoAnswer(liar.text, "malformed")


async def test_a_server_that_breaks_case_is_asked_over_tcp(client: DnsClient, nursery: trio.Nursery) -> None:
    """A server that lower-cases the question is believed over TCP only, from then on."""

    def handler(asked: Asked) -> bytes:
        good = plain(asked)
        end = 12 + len(question_of(asked.packet))
        return good[:12] + good[12:end].lower() + good[end:]

    server = await serve(nursery, handler)
    for _ in range(2):
        assert isinstance(await client.query(server.text, "lowercasing-server.zz", "A", recursion=False), Answer)
    assert [asked.transport for asked in server.asked] == ["udp", "tcp", "tcp"]


async def test_formerr_is_asked_again_without_edns(client: DnsClient, nursery: trio.Nursery) -> None:
    """A server that knows no EDNS gets the question without it, and is remembered."""

    def handler(asked: Asked) -> bytes:
        if asked.message.edns >= 0:
            return asked.packet[:2] + b"\x80\x01" + bytes(8)
        return plain(asked)

    server = await serve(nursery, handler)
    for _ in range(2):
        assert isinstance(await client.query(server.text, "old.zz", "A", recursion=False), Answer)
    assert [asked.message.edns >= 0 for asked in server.asked] == [True, False, False]


async def test_cookies_are_learnt_and_badcookie_retried(client: DnsClient, nursery: trio.Nursery) -> None:
    """BADCOOKIE brings the server's cookie, which the retry carries; a foreign client cookie is a forgery."""

    def handler(asked: Asked) -> bytes:
        cookie = asked.message.options[0].to_wire()
        if len(cookie) == 8:
            return asked.reply(rcode=23, cookie=cookie + b"servers!")
        return asked.reply(aa=True, answer=[f"{asked.name}. 60 A 192.0.2.1"], cookie=cookie)

    server = await serve(nursery, handler)
    got = await client.query(server.text, "cookie.zz", "A", recursion=False)
    assert isinstance(got, Answer)
    assert got.rcode == 0
    forger = await serve(nursery, lambda asked: asked.reply(cookie=b"notyours" + b"servers!"))
    assert isinstance(await client.query(forger.text, "cookie.zz", "A", recursion=False), NoAnswer)


async def test_silence_is_a_timeout_in_bounded_time(client: DnsClient, nursery: trio.Nursery) -> None:
    """A silent server costs attempts x timeout, and an answer to a later attempt still counts."""
    server = await serve(nursery, lambda _: None)
    began = trio.current_time()
    assert await client.query(server.text, "silent.zz", "A", recursion=False) == NoAnswer(server.text, "timeout")
    assert trio.current_time() - began < 1.2
    assert len(server.asked) == 2
    late = await serve(nursery, lambda asked: plain(asked) if len(late.asked) > 1 else None)
    assert isinstance(await client.query(late.text, "late.zz", "A", recursion=False), Answer)


async def test_a_closed_port_is_refused_connection(client: DnsClient) -> None:
    """ICMP port unreachable is told from silence."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    text = f"127.0.0.1:{port}"
    assert await client.query(text, "closed.zz", "A", recursion=False) == NoAnswer(text, "refused-connection")


async def test_what_cannot_be_asked_is_a_reason(client: DnsClient) -> None:
    """Bad addresses and names are values, not exceptions."""
    for text in ("192.0.2.1", "host.example:53", "[::1:53", "127.0.0.1:0", "127.0.0.1:99999", ""):
        assert await client.query(text, "a.zz", "A", recursion=False) == NoAnswer(text, "bad-address")
    for name in ("a..zz", "x" * 64 + ".zz", ".".join(["abcdefgh"] * 40), "ä.zz"):
        assert await client.query("127.0.0.1:53", name, "A", recursion=False) == NoAnswer("127.0.0.1:53", "bad-name")


async def test_hostile_answers_leak_nothing(nursery: trio.Nursery) -> None:
    """Four hundred mangled answers, some over TCP and a third cancelled: no descriptor, task or query stays behind."""
    chance = random.Random(7)

    def handler(asked: Asked) -> bytes:
        wire = bytearray(plain(asked))
        end = 12 + len(question_of(asked.packet))
        for _ in range(4):
            wire[chance.randrange(end, len(wire))] = chance.randrange(256)
        wire[6:12] = bytes(chance.randrange(3) for _ in range(6))
        if chance.random() < 0.05:
            wire[2] |= 2
        return bytes(wire[: chance.randrange(end, len(wire) + 1)])

    server = await serve(nursery, handler)
    before = len(list(Path("/proc/self/fd").iterdir()))
    async with DnsClient(rate_per_server=float("inf"), timeout_seconds=0.1, attempts=1) as client:

        async def one(number: int) -> None:
            with trio.move_on_after(0.001 if number % 3 == 0 else 5):
                got = await client.query(server.text, f"h{number}.zz", "A", recursion=False)
                assert isinstance(got, Answer | NoAnswer)

        async with trio.open_nursery() as asking:
            for number in range(400):
                asking.start_soon(one, number)
        assert client.statistics()["waiting"] == 0
        assert client.statistics()["sockets"] <= 8
    await trio.testing.wait_all_tasks_blocked()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


async def test_sockets_are_replaced(nursery: trio.Nursery) -> None:
    """After a thousand queries a socket makes way for one with another port, and none is left open."""
    server = await serve(nursery, plain)
    async with DnsClient(rate_per_server=float("inf"), timeout_seconds=2, attempts=2) as client:
        await client.query(server.text, "x.zz", "A", recursion=False)
        state = client._servers[server.text]
        old = state.sockets[0]
        for sock in state.sockets:
            sock.used = 1022
        for _ in range(1000):  # which socket asks is drawn by lot
            if old not in state.sockets:
                break
            await client.query(server.text, "x.zz", "A", recursion=False)
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert old not in state.sockets
        assert old.sock.fileno() == -1


async def test_the_rate_holds_per_server(nursery: trio.Nursery) -> None:
    """Twenty packets a second and server, ten of them at once: fifteen more than the burst take their time."""
    server = await serve(nursery, plain)
    async with DnsClient(rate_per_server=50, timeout_seconds=1, attempts=1) as client:
        began = trio.current_time()
        for _ in range(20):
            await client.query(server.text, "x.zz", "A", recursion=False)
        assert trio.current_time() - began >= 0.18


def test_server_texts() -> None:
    """Both families are read; a name is no address."""
    assert split_server("192.0.2.1:53") == (socket.AF_INET, ("192.0.2.1", 53))
    assert split_server("[2001:db8::1]:5353") == (socket.AF_INET6, ("2001:db8::1", 5353))
    with pytest.raises(ValueError, match="no address:port"):
        split_server("ns1.example:53")
