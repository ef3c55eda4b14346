"""The delegation probe line by line of the table of referrals and denials, at real servers on 127.0.0.1."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable

import pytest
import trio

from panopticond.model import DETAILS, OUTCOMES, Observation
from panopticond.probe.delegation import Delegations, ZonePolicy, _ZoneState
from panopticond.probe.dnsclient import DnsClient
from panopticond.probe.guard import Guard
from tests.panopticond.probe.standin import Asked, serve

NOW = dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC)
SOA = "zz. 900 SOA ns1.nic.zz. hostmaster.nic.zz. {serial} 1 2 3 900"
Answers = Callable[[Asked], "bytes | None"]


@pytest.fixture
async def client() -> AsyncIterator[DnsClient]:
    async with DnsClient(rate_per_server=float("inf"), timeout_seconds=0.2, attempts=1) as made:
        yield made


class Zone:
    """A TLD server's contents: delegations, own records, child zones on the same server, aliases, a wildcard."""

    def __init__(self, **changes: object) -> None:
        self.zone = "zz"
        self.serial = 100
        self.delegated: dict[str, tuple[str, ...]] = {"shop.zz": ("ns1.host.example", "ns2.host.example")}
        self.records: dict[tuple[str, str], str] = {}
        self.empty: set[str] = set()
        self.children: dict[str, set[str]] = {}
        self.aliases: dict[str, str] = {}
        self.wildcard: str | None = None
        self.glue: tuple[str, ...] = ()
        self.ds: dict[str, str] = {}
        vars(self).update(changes)

    def __call__(self, asked: Asked) -> bytes:
        name, kind = asked.name, asked.kind
        if kind == "DS" and name in self.ds:
            says = self.ds[name]
            if says == "signed":
                return asked.reply(aa=True, answer=[f"{name}. 60 DS 1 13 2 {'ab' * 32}"])
            return self.negative(asked, self.zone, 3 if says == "absent" else 0)
        for child, hosts in self.children.items():
            if name == child or name.endswith("." + child):
                if name == child and kind == "NS":
                    return asked.reply(aa=True, answer=[f"{name}. 60 NS ns1.nic.zz."])
                return self.negative(asked, child, 0 if name in hosts or name == child else 3)
        for owner, names in self.delegated.items():
            if name == owner or name.endswith("." + owner):
                return asked.reply(authority=[f"{owner}. 60 NS {ns}." for ns in names], additional=self.glue)
        if name in self.aliases:
            return asked.reply(aa=True, answer=[f"{name}. 60 CNAME {self.aliases[name]}."])
        if (name, kind) in self.records:
            return asked.reply(aa=True, answer=[f"{name}. 60 {kind} {self.records[name, kind]}"])
        if name == self.zone and kind == "NS":
            return asked.reply(aa=True, answer=[f"{name}. 60 NS {ns}." for ns in ("ns1.nic.zz", "ns2.nic.zz")])
        exists = name in self.empty or any(owner == name for owner, _ in self.records)
        if not exists and self.wildcard and name.endswith("." + self.zone):
            if kind == "A":
                return asked.reply(aa=True, answer=[f"{name}. 60 A {self.wildcard}"])
            exists = True
        return self.negative(asked, self.zone, 0 if exists else 3)

    def negative(self, asked: Asked, apex: str, rcode: int) -> bytes:
        soa = f"{apex}. 900 SOA ns1.nic.zz. hostmaster.nic.zz. {self.serial} 1 2 3 900"
        return asked.reply(aa=True, rcode=rcode, authority=[soa])


async def ask(
    client: DnsClient,
    nursery: trio.Nursery,
    host: str,
    *handlers: Answers,
    registry: frozenset[str] = frozenset(),
    probe: list[Delegations] | None = None,
) -> Observation:
    """One check of ``host`` at servers with these handlers; every observation keeps to the contract."""
    servers = [await serve(nursery, handler) for handler in handlers]
    policy = ZonePolicy(
        "zz",
        tuple(server.text for server in servers),
        registry,
        frozenset({"hold.registry.zz"}),
        frozenset({"192.0.2.66"}),
    )
    made = Delegations(client, {"zz": policy})
    if probe is not None:
        probe.append(made)
    got = await made.check(host, "zz", NOW)
    assert (got.kind, got.target, got.vantage, got.at) == ("delegation", host, "direct", NOW)
    assert got.outcome in OUTCOMES["delegation"]
    assert set(got.detail) <= set(DETAILS["delegation"])
    assert got.outcome != "indeterminate" or got.detail["reason"]
    return got


async def test_a_referral_is_delegated(client: DnsClient, nursery: trio.Nursery) -> None:
    """One clean referral is enough, and its owner is the delegated name; the question goes with RD=0."""
    seen: list[Asked] = []
    zone = Zone()

    def handler(asked: Asked) -> bytes:
        seen.append(asked)
        return zone(asked)

    got = await ask(client, nursery, "a.www.shop.zz", handler)
    assert got.outcome == "delegated"
    assert (got.detail["owner"], got.detail["zone"]) == ("shop.zz", "zz")
    assert got.detail["ns"] == "ns1.host.example ns2.host.example"
    assert not any(asked.recursion for asked in seen)


async def test_a_denial_needs_two_servers(client: DnsClient, nursery: trio.Nursery) -> None:
    """Two distinct servers with authority deny it; one alone proves nothing."""
    got = await ask(client, nursery, "www.gone.zz", Zone(), Zone())
    assert got.outcome == "not-in-zone"
    assert (got.detail["agreeing"], got.detail["serial"]) == ("2", "100")
    assert len(got.detail["servers"].split()) == 2
    got = await ask(client, nursery, "gone.zz", Zone())
    assert (got.outcome, got.detail["reason"]) == ("indeterminate", "one-server")


async def test_a_denial_beside_silence_is_no_denial(client: DnsClient, nursery: trio.Nursery) -> None:
    """One denial, and every other server silent, failing or lame: could not check."""
    for other, reason in (
        (lambda _: None, "timeout"),
        (lambda asked: asked.reply(rcode=2), "servfail"),
        (lambda asked: asked.reply(rcode=5), "refused"),
        (lambda asked: asked.reply(rcode=9), "notauth"),
        (lambda asked: asked.reply(), "lame"),
        (lambda asked: asked.reply(authority=[". 60 NS a.root-servers.net."]), "lame"),
        (lambda asked: asked.reply(authority=["zz. 60 NS ns1.nic.zz."]), "lame"),
        (lambda asked: asked.reply(rcode=3, authority=[SOA.format(serial=1)]), "not-authoritative"),
        (lambda asked: asked.reply(rcode=3, aa=True), "no-soa"),
        (lambda asked: asked.reply(aa=True, rcode=3, authority=[". 60 SOA a. b. 1 1 1 1 1"]), "lame"),
        (lambda asked: asked.reply(answer=[f"{asked.name}. 60 NS ns1.evil.example."]), "not-authoritative"),
    ):
        got = await ask(client, nursery, "gone.zz", Zone(), other)
        assert (got.outcome, got.detail["reason"]) == ("indeterminate", reason)


async def test_one_referral_outweighs_a_lagging_denial(client: DnsClient, nursery: trio.Nursery) -> None:
    """Of two servers one has not the name yet: it is delegated, whichever is asked first."""
    for _ in range(4):
        got = await ask(client, nursery, "shop.zz", Zone(), Zone(delegated={}))
        assert got.outcome == "delegated"


async def test_failing_servers_are_passed_over(client: DnsClient, nursery: trio.Nursery) -> None:
    """Silence and SERVFAIL at two servers leave the word to the two others."""
    silent, broken = (lambda _: None), (lambda asked: asked.reply(rcode=2))
    got = await ask(client, nursery, "gone.zz", silent, broken, Zone(), Zone())
    assert got.outcome == "not-in-zone"


async def test_all_servers_down_is_indeterminate(client: DnsClient, nursery: trio.Nursery) -> None:
    """Nothing turns mitigated because nobody answers."""
    got = await ask(client, nursery, "shop.zz", *[lambda _: None] * 3)
    assert (got.outcome, got.detail["reason"]) == ("indeterminate", "timeout")


async def test_held_by_name_server_and_by_address(client: DnsClient, nursery: trio.Nursery) -> None:
    """A referral to the registry's hold servers alone, or in-zone addresses that are its hold addresses, is held."""
    zone = Zone(delegated={"held.zz": ("hold.registry.zz",), "half.zz": ("hold.registry.zz", "ns.other.example")})
    assert (await ask(client, nursery, "www.held.zz", zone)).outcome == "held"
    assert (await ask(client, nursery, "half.zz", zone)).outcome == "delegated"
    zone = Zone(records={("parked.zz", "A"): "192.0.2.66"})
    assert (await ask(client, nursery, "parked.zz", zone)).outcome == "held"


async def test_in_zone_addresses(client: DnsClient, nursery: trio.Nursery) -> None:
    """The name's own A or AAAA in the TLD zone is delegated; so is a missing host below such a name."""
    zone = Zone(records={("own.zz", "A"): "192.0.2.5", ("six.zz", "AAAA"): "2001:db8::5"})
    for host, owner, address in (
        ("own.zz", "own.zz", "192.0.2.5"),
        ("six.zz", "six.zz", "2001:db8::5"),
        ("www.own.zz", "own.zz", "192.0.2.5"),
    ):
        got = await ask(client, nursery, host, zone, zone)
        assert (got.outcome, got.detail["owner"], got.detail["address"]) == ("delegated", owner, address)
        assert got.detail["reason"] == "in-zone"


async def test_an_empty_name_is_no_delegation(client: DnsClient, nursery: trio.Nursery) -> None:
    """NODATA for NS and addresses alike, twice with authority: nothing is delegated there."""
    zone = Zone(empty={"com.zz"}, delegated={"foo.com.zz": ("ns.host.example",)})
    got = await ask(client, nursery, "com.zz", zone, zone)
    assert (got.outcome, got.detail["reason"]) == ("not-in-zone", "nodata")
    got = await ask(client, nursery, "www.foo.com.zz", zone, zone)
    assert (got.outcome, got.detail["owner"]) == ("delegated", "foo.com.zz")


async def test_wildcards(client: DnsClient, nursery: trio.Nursery) -> None:
    """In a wildcarded zone synthesised addresses prove nothing and NODATA denies; a referral still counts."""
    zone = Zone(wildcard="192.0.2.99")
    got = await ask(client, nursery, "www.gone.zz", zone, zone)
    assert (got.outcome, got.detail["wildcard"]) == ("not-in-zone", "1")
    assert (await ask(client, nursery, "www.shop.zz", zone)).outcome == "delegated"


async def test_the_wildcard_test_is_daily(client: DnsClient, nursery: trio.Nursery) -> None:
    """One random label a zone and day of policy time, however many checks run at once."""
    labels: list[str] = []
    zone = Zone()

    def handler(asked: Asked) -> bytes:
        if asked.kind == "A":
            labels.append(asked.name)
        return zone(asked)

    probe: list[Delegations] = []
    await ask(client, nursery, "shop.zz", handler, probe=probe)
    async with trio.open_nursery() as checks:
        for _ in range(5):
            checks.start_soon(probe[0].check, "shop.zz", "zz", NOW)
    assert len(labels) == 1
    await probe[0].check("shop.zz", "zz", NOW + dt.timedelta(hours=25))
    assert len(set(labels)) == 2
    assert all(len(label) == len("x" * 20 + ".zz") for label in labels)


async def test_a_pinned_registry_zone_on_the_same_servers(client: DnsClient, nursery: trio.Nursery) -> None:
    """NXDOMAIN by the SOA of a registry zone denies the name; below an unknown one the child itself is delegated."""
    zone = Zone(children={"com.zz": {"ent.com.zz"}})
    pinned = frozenset({"com.zz"})
    got = await ask(client, nursery, "www.gone.com.zz", zone, zone, registry=pinned)
    assert (got.outcome, got.detail["zone"]) == ("not-in-zone", "com.zz")
    got = await ask(client, nursery, "ent.com.zz", zone, zone, registry=pinned)
    assert got.outcome == "not-in-zone"


async def test_a_registry_zone_is_learnt(client: DnsClient, nursery: trio.Nursery) -> None:
    """A child zone whose name servers are all the TLD's own is the registry's, pinned or not."""
    zone = Zone(children={"org.zz": set()})
    got = await ask(client, nursery, "gone.org.zz", zone, zone)
    assert (got.outcome, got.detail["zone"]) == ("not-in-zone", "org.zz")


async def test_a_co_hosted_customer_zone(client: DnsClient, nursery: trio.Nursery) -> None:
    """A child zone on the TLD's server counts as delegated only by the parent's word: DS, or another's referral."""

    class Customer(Zone):
        def __call__(self, asked: Asked) -> bytes:
            if asked.name == "cust.zz" and asked.kind == "NS":
                return asked.reply(aa=True, answer=["cust.zz. 60 NS ns.dns-provider.example."])
            return super().__call__(asked)

    def customer(says: str) -> Zone:
        return Customer(children={"cust.zz": {"www.cust.zz"}}, ds={"cust.zz": says})

    for host in ("cust.zz", "www.cust.zz", "gone.cust.zz"):
        for says, outcome in (("signed", "delegated"), ("exists", "delegated"), ("absent", "not-in-zone")):
            got = await ask(client, nursery, host, customer(says), customer(says))
            assert (host, says, got.outcome) == (host, says, outcome)
        assert got.detail["reason"] == "co-hosted"
    referring = Zone(delegated={"cust.zz": ("ns.dns-provider.example",)})
    for says in ("absent", "exists"):
        assert (await ask(client, nursery, "gone.cust.zz", customer(says), referring)).outcome == "delegated"
    got = await ask(client, nursery, "gone.cust.zz", customer("exists"), Zone())
    assert (got.outcome, got.detail["reason"]) == ("indeterminate", "disagree")


async def test_aliases(client: DnsClient, nursery: trio.Nursery) -> None:
    """An alias inside the zone is followed once; one that leads out of it is the name's own record."""
    zone = Zone(aliases={"variant.zz": "shop.zz", "dead.zz": "gone.zz", "out.zz": "site.example", "loop.zz": "loop.zz"})
    got = await ask(client, nursery, "variant.zz", zone, zone)
    assert (got.outcome, got.detail["owner"], got.detail["reason"]) == ("delegated", "shop.zz", "alias")
    assert (await ask(client, nursery, "dead.zz", zone, zone)).outcome == "not-in-zone"
    assert (await ask(client, nursery, "out.zz", zone, zone)).outcome == "delegated"
    assert (await ask(client, nursery, "loop.zz", zone, zone)).outcome == "indeterminate"


async def test_hosts_nobody_can_ask_for(client: DnsClient) -> None:
    """Another TLD, the TLD itself or no policy: indeterminate with the reason."""
    probe = Delegations(client, {"zz": ZonePolicy("zz", ("127.0.0.1:1",))})
    for host, tld, reason in (
        ("a.yy", "zz", "not-below-tld"),
        ("zz", "zz", "not-below-tld"),
        ("a.yy", "yy", "no-policy"),
    ):
        got = await probe.check(host, tld, NOW)
        assert (got.outcome, got.detail["reason"]) == ("indeterminate", reason)
    got = await probe.check("x" * 64 + ".zz", "zz", NOW)
    assert (got.outcome, got.detail["reason"]) == ("indeterminate", "bad-name")


async def found_from_root(nursery: trio.Nursery) -> str:
    """The root of a small tree: two TLD servers and a registry zone's two, at 127.0.0.x on one port."""
    apex = Zone(
        zone="com.zz",
        delegated={"foo.com.zz": ("ns.host.example",)},
    )
    tld = Zone(
        delegated={"shop.zz": ("ns.host.example",), "com.zz": ("ns1.com.zz", "ns2.com.zz")},
        glue=("ns1.com.zz. 60 A 127.0.0.4", "ns2.com.zz. 60 A 127.0.0.5"),
    )

    def root(asked: Asked) -> bytes:
        return asked.reply(
            authority=["zz. 60 NS ns1.nic.zz.", "zz. 60 NS ns2.nic.zz."],
            additional=["ns1.nic.zz. 60 A 127.0.0.2", "ns2.nic.zz. 60 A 127.0.0.3", "evil.zz. 60 A 127.0.0.9"],
        )

    first = await serve(nursery, root)
    port = int(first.text.rpartition(":")[2])
    for address, handler in (("127.0.0.2", tld), ("127.0.0.3", tld), ("127.0.0.4", apex), ("127.0.0.5", apex)):
        await serve(nursery, handler, address=address, port=port)
    return first.text


async def test_servers_are_found_from_the_root(client: DnsClient, nursery: trio.Nursery) -> None:
    """Without configured servers the root's referral gives them, and a registry zone served apart is followed."""
    root = await found_from_root(nursery)
    policy = ZonePolicy("zz", registry_zones=frozenset({"com.zz"}))
    probe = Delegations(client, {"zz": policy}, roots=[root], guard=Guard(["127.0.0.0/8"]))
    assert (await probe.check("www.shop.zz", "zz", NOW)).outcome == "delegated"
    assert (await probe.check("gone.zz", "zz", NOW)).outcome == "not-in-zone"
    got = await probe.check("www.foo.com.zz", "zz", NOW)
    assert (got.outcome, got.detail["owner"], got.detail["zone"]) == ("delegated", "foo.com.zz", "com.zz")
    got = await probe.check("www.gone.com.zz", "zz", NOW)
    assert (got.outcome, got.detail["zone"]) == ("not-in-zone", "com.zz")


async def test_found_servers_pass_the_guard(client: DnsClient, nursery: trio.Nursery) -> None:
    """A referral to loopback leads nowhere unless allowed; a dead root is no-servers and looked for again."""
    root = await found_from_root(nursery)
    probe = Delegations(client, {"zz": ZonePolicy("zz")}, roots=[root])
    got = await probe.check("shop.zz", "zz", NOW)
    assert (got.outcome, got.detail["reason"]) == ("indeterminate", "no-servers")


def test_a_stale_server_denies_nothing() -> None:
    """A server still at a serial that was overtaken an hour ago is no witness; after a day the lower serial is new."""
    state = _ZoneState()
    hour = dt.timedelta(hours=1)
    assert not state.stale(100, NOW)
    assert not state.stale(110, NOW + 2 * hour)
    assert not state.stale(100, NOW + 2 * hour)  # it lagged for less than it is known to
    assert not state.stale(120, NOW + 4 * hour)
    assert state.stale(100, NOW + 4 * hour)
    assert not state.stale(115, NOW + 4 * hour)
    assert not state.stale(5, NOW + 40 * hour)  # the registry began anew
    assert not state.stale(5, NOW + 41 * hour)
