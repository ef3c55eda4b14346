"""Resolving and blocking, against resolvers that answer as Quad9 does, did, and may."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable

import pytest
import trio

from panopticond.model import DETAILS, OUTCOMES, Observation
from panopticond.probe.dnsclient import DnsClient
from panopticond.probe.quad9 import Resolvers, is_quad9, shipped_sinkholes
from tests.panopticond.probe.standin import Asked, serve

NOW = dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC)
SOA = ["zz. 900 SOA ns1.nic.zz. hostmaster.nic.zz. 1 1 2 3 900"]
Handler = Callable[[Asked], "bytes | None"]


@pytest.fixture
async def client() -> AsyncIterator[DnsClient]:
    async with DnsClient(rate_per_server=float("inf"), timeout_seconds=0.2, attempts=1) as made:
        yield made


def alive(asked: Asked) -> bytes:
    assert asked.recursion
    if asked.kind == "A":
        return asked.reply(ra=True, answer=[f"{asked.name}. 60 A 192.0.2.1"])
    return asked.reply(ra=True, authority=SOA)


def absent(asked: Asked) -> bytes:
    return asked.reply(ra=True, rcode=3, authority=SOA)


def empty(asked: Asked) -> bytes:
    return asked.reply(ra=True, authority=SOA)


def old_block(asked: Asked) -> bytes:
    return asked.reply(ra=False, rcode=3)


def servfail(asked: Asked) -> bytes:
    return asked.reply(ra=True, rcode=2)


def silent(_: Asked) -> None:
    return None


async def resolvers(
    client: DnsClient, nursery: trio.Nursery, filtered: list[Handler], unfiltered: list[Handler], **more: object
) -> Resolvers:
    return Resolvers(
        client,
        filtered=[(await serve(nursery, handler)).text for handler in filtered],
        unfiltered=[(await serve(nursery, handler)).text for handler in unfiltered],
        sinkholes=["203.0.113.0/24"],
        hold_ip={"zz": frozenset({"192.0.2.66"})},
        **more,  # type: ignore[arg-type]
    )


def kept(observation: Observation) -> tuple[str, str | None]:
    """(outcome, reason), the contract checked."""
    assert observation.outcome in OUTCOMES[observation.kind]
    assert set(observation.detail) <= set(DETAILS[observation.kind])
    assert observation.outcome != "indeterminate" or observation.detail["reason"]
    return observation.outcome, observation.detail.get("reason")


BLOCKS: list[tuple[str, Handler, Handler, str]] = [
    ("the documented block", old_block, absent, "blocked"),
    ("a real NXDOMAIN", absent, absent, "absent"),
    ("EDE 15 beside NXDOMAIN", lambda a: a.reply(ra=True, rcode=3, authority=SOA, ede=15), absent, "blocked"),
    ("EDE 17 beside NOERROR", lambda a: a.reply(ra=True, ede=17), alive, "blocked"),
    ("EDE 16 beside SERVFAIL", lambda a: a.reply(ra=True, rcode=2, ede=16), alive, "blocked"),
    ("another extended error", lambda a: a.reply(ra=True, rcode=2, ede=9), alive, "indeterminate"),
    ("SERVFAIL", servfail, alive, "indeterminate"),
    ("REFUSED", lambda a: a.reply(rcode=5), alive, "indeterminate"),
    ("silence", silent, alive, "indeterminate"),
    ("an answer", alive, alive, "not-blocked"),
    ("NODATA", empty, empty, "not-blocked"),
    ("RA=0 with SOA, alive unfiltered", lambda a: a.reply(rcode=3, authority=SOA), alive, "blocked"),
    ("RA=0 with SOA, absent unfiltered", lambda a: a.reply(rcode=3, authority=SOA), absent, "absent"),
    ("no authority, twin silent", lambda a: a.reply(ra=True, rcode=3), silent, "indeterminate"),
    ("AA set by a middle box", lambda a: a.reply(rcode=3, aa=True), alive, "indeterminate"),
]


@pytest.mark.parametrize(("what", "filtering", "twin", "outcome"), BLOCKS, ids=[row[0] for row in BLOCKS])
async def test_blocks(
    client: DnsClient, nursery: trio.Nursery, what: str, filtering: Handler, twin: Handler, outcome: str
) -> None:
    """Two soft signals, an extended error, or one signal and the twin's word make a block; SERVFAIL never does."""
    made = await resolvers(client, nursery, [filtering], [twin])
    got = await made.blocked("www.shop.zz", NOW)
    assert (got.kind, got.target, got.vantage, got.at) == ("quad9", "www.shop.zz", "direct", NOW)
    assert (what, kept(got)[0]) == (what, outcome)


async def test_signals_are_kept(client: DnsClient, nursery: trio.Nursery) -> None:
    """The evidence names every signal and the rcode."""
    made = await resolvers(client, nursery, [old_block], [absent])
    got = await made.blocked("shop.zz", NOW)
    assert dict(got.detail) == {"rcode": "nxdomain", "signals": "ra0 no-authority"}


async def test_the_second_resolver_answers_for_the_first(client: DnsClient, nursery: trio.Nursery) -> None:
    """A silent first resolver costs time, not the answer; and so for the twin."""
    made = await resolvers(client, nursery, [silent, old_block], [servfail, alive])
    assert kept(await made.blocked("shop.zz", NOW))[0] == "blocked"
    assert kept(await made.address("shop.zz", "zz", NOW)) == ("resolves", None)


async def test_addresses(client: DnsClient, nursery: trio.Nursery) -> None:
    """Resolves with its addresses and chain; nothing there; a sinkhole; the registry's hold; or could not check."""

    def fixed(*records: str, six: str | None = None) -> Handler:
        def handler(asked: Asked) -> bytes:
            if asked.kind == "AAAA":
                return asked.reply(ra=True, answer=[f"{asked.name}. 60 AAAA {six}"]) if six else empty(asked)
            return asked.reply(ra=True, answer=[f"{asked.name}. 60 A {data}" for data in records])

        return handler

    for handler, expected in (
        (alive, ("resolves", None)),
        (fixed(six="2001:db8::1"), ("resolves", None)),
        (absent, ("no-address", "nxdomain")),
        (empty, ("no-address", "nodata")),
        (fixed("203.0.113.7"), ("sinkhole", None)),
        (fixed("0.0.0.0"), ("sinkhole", None)),
        (fixed("203.0.113.7", "192.0.2.1"), ("resolves", None)),
        (fixed("203.0.113.7", six="2001:db8::1"), ("resolves", None)),
        (fixed("192.0.2.66"), ("resolves", "hold-ip")),
        (servfail, ("indeterminate", "servfail")),
        (silent, ("indeterminate", "timeout")),
        (lambda a: empty(a) if a.kind == "A" else servfail(a), ("indeterminate", "servfail")),
        (lambda a: alive(a) if a.kind == "A" else None, ("resolves", None)),
    ):
        made = await resolvers(client, nursery, [], [handler])
        assert kept(await made.address("www.shop.zz", "zz", NOW)) == expected
    made = await resolvers(client, nursery, [], [fixed("192.0.2.66")])
    assert kept(await made.address("www.shop.yy", "yy", NOW)) == ("resolves", None)


async def test_the_alias_chain_is_kept(client: DnsClient, nursery: trio.Nursery) -> None:
    """CNAME targets stand in the evidence in order."""

    def handler(asked: Asked) -> bytes:
        chain = [f"{asked.name}. 60 CNAME b.cdn.example.", "b.cdn.example. 60 CNAME c.cdn.example."]
        return asked.reply(ra=True, answer=[*chain, *(["c.cdn.example. 60 A 192.0.2.9"] if asked.kind == "A" else [])])

    made = await resolvers(client, nursery, [], [handler])
    got = await made.address("a.zz", "zz", NOW)
    assert got.detail["cname"] == "b.cdn.example c.cdn.example"
    assert got.detail["addresses"] == "192.0.2.9"


async def test_self_test(client: DnsClient, nursery: trio.Nursery) -> None:
    """Quiet while the canary is blocked and a random label absent; a sentence for each that is not so."""

    def healthy(asked: Asked) -> bytes:
        return old_block(asked) if asked.name == "isitblocked.org" else absent(asked)

    assert await (await resolvers(client, nursery, [healthy], [alive])).self_test(NOW) == []
    changed = await (await resolvers(client, nursery, [absent], [alive])).self_test(NOW)
    assert len(changed) == 1
    assert "isitblocked.org" in changed[0]
    rewritten = await (await resolvers(client, nursery, [alive], [alive])).self_test(NOW)
    assert len(rewritten) == 2
    down = await (await resolvers(client, nursery, [silent], [alive])).self_test(NOW)
    assert "timeout" in down[0]


async def test_who_answers_for_quad9_must_name_one_of_its_nodes(client: DnsClient, nursery: trio.Nursery) -> None:
    """Asked who it is (class CH), anything else on the path gives itself away; resolvers of one's own are not asked."""

    def node(name: str) -> Handler:
        def answer(asked: Asked) -> bytes:
            if asked.name == "id.server":
                assert asked.klass == "CH"
                return asked.reply(answer=[f'id.server. 0 CH TXT "{name}"'] if name else [])
            return old_block(asked) if asked.name == "isitblocked.org" else absent(asked)

        return answer

    for name, problems in (("res210.zrh.rrdns.pch.net", 0), ("gateway.isp.example", 1), ("", 1)):
        own = await resolvers(client, nursery, [node(name)], [alive], known_nodes=lambda _: True)
        told = await own.self_test(NOW)
        assert len(told) == problems
        assert all("does not say that it is a node of Quad9's" in sentence for sentence in told)
        assert await (await resolvers(client, nursery, [node(name)], [alive])).self_test(NOW) == []


@pytest.mark.parametrize(
    ("server", "own"),
    [
        ("9.9.9.9:53", True),
        ("149.112.112.10:9953", True),
        ("[2620:fe::fe]:53", True),
        ("tls://9.9.9.9:853#dns.quad9.net", True),
        ("https://dns10.quad9.net/dns-query", True),
        ("https://dns.example/dns-query", False),
        ("192.0.2.1:53", False),
        ("tcp://nonsense", False),
    ],
)
def test_the_resolvers_of_quad9_are_known_by_address_and_name(server: str, *, own: bool) -> None:
    """Whatever way they are asked."""
    assert is_quad9(server) is own


def test_no_sinkhole_swallows_the_lab() -> None:
    """The shipped list holds the null addresses and no loopback or documentation network."""
    assert "0.0.0.0/32" in shipped_sinkholes()
    assert not [network for network in shipped_sinkholes() if network.startswith(("127.", "192.0.2.", "203.0.113."))]


async def test_other_probes_learn_where_a_host_is(client: DnsClient, nursery: trio.Nursery) -> None:
    """Its addresses; none where it has none; None, which is no answer, where nobody could be asked."""
    for handler, found in ((alive, ("192.0.2.1",)), (absent, ()), (silent, None)):
        made = await resolvers(client, nursery, [], [handler])
        assert await made.resolving(lambda: NOW)("www.shop.zz") == found
