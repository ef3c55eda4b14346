"""The lab's servers answer as the world says, seen by plain clients."""

from __future__ import annotations

import base64
import datetime as dt
from pathlib import Path
from typing import get_args

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest
import trio

from arke.cases.enrich import RdapSource
from panopticond.shared.clock import Clock
from panopticond.shared.http import Http
from tests.lab.internet import serve_internet
from tests.lab.internet.networks import LEAKED
from tests.lab.model import (
    Behaviour,
    Delegation,
    Domain,
    DomainTruth,
    FeedServer,
    Host,
    Listing,
    Mailbox,
    NetworkStyle,
    Party,
    Ports,
    Registration,
    World,
)  # fmt: skip
from tests.lab.networks import networks_of

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NETWORKS = networks_of("zz")


def _world() -> World:
    def domain(name: str, kind: str = "delegated", **behaviour: object) -> Domain:
        host = Host(
            name=name, addresses=((START, ("127.0.0.1",)),), paths=("/kit.php?v=a@b.example",),
            timeline=(Behaviour(start=START, **behaviour),),  # type: ignore[arg-type]
        )  # fmt: skip
        return Domain(
            name=name, tld="zz", behaviour="alive", delegation=(Delegation(START, kind),),  # type: ignore[arg-type]
            registration=Registration(registered=START, parties=(Party(("registrant",), f"holder@mail-{name}.example"),)),
            hosts=(host,), listings=(Listing("urls", f"http://{name}/kit.php", START),), truth=DomainTruth(name, None),
            indicators=(), quad9_blocked=name == "blocked.zz", webrisk=("MALWARE",), tranco_rank=5 if name == "a.zz" else None,
        )  # fmt: skip

    return World(
        seed=1, tlds=("zz",), registry_zones=("com.zz",), start=START, end=START + dt.timedelta(days=3), publications=(),
        domains=(
            domain("a.zz"), domain("blocked.zz", tls="self-signed"), domain("gone.zz", "absent"), domain("bad.zz", "servfail"),
            domain("held.zz", "hold-ns"), domain("b.com.zz"), domain("cloak.zz", only_country="NZ"),
            domain("refused.zz", link="refused"), domain("slowdead.zz", link="timeout"),
        ),
        feeds=(FeedServer("urls", "url-list", "phishing", "reputable", "aged-out"),
               FeedServer("haus", "urlhaus-csv", "malware", "reputable", "aged-out", sickness="html", sick_from=START)),
        mailboxes=(Mailbox("grey@x.example", "greylist"), Mailbox("no@x.example", "reject")), networks=NETWORKS,
    )  # fmt: skip


@pytest.fixture
async def ports(nursery: trio.Nursery, tmp_path: Path) -> Ports:
    async def serve(task_status: trio.TaskStatus[Ports]) -> None:
        await serve_internet(_world(), Clock(), certs=tmp_path / "c", mails=tmp_path / "m", task_status=task_status)

    found: Ports = await nursery.start(serve)
    return found


async def _ask(port: int, name: str, kind: str, *, recursion: bool = False) -> dns.message.Message:
    query = dns.message.make_query(name, kind, use_edns=0)
    if not recursion:
        query.flags &= ~dns.flags.RD
    return await dns.asyncquery.udp(query, "127.0.0.1", port=port, timeout=3)


async def _request(port: int, text: str) -> bytes:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(text.encode())
        return b"".join([chunk async for chunk in stream])


async def test_the_tld_servers_refer_deny_and_fail(ports: Ports) -> None:
    """Referral with AA clear for a delegated name, NXDOMAIN with the zone's SOA for an absent one, SERVFAIL when told."""
    referral = await _ask(ports.tld_dns[0], "www.a.zz", "NS")
    assert not referral.flags & dns.flags.AA
    assert referral.authority[0].name.to_text() == "a.zz."
    absent = await _ask(ports.tld_dns[1], "gone.zz", "NS")
    assert absent.rcode() == dns.rcode.NXDOMAIN
    assert absent.flags & dns.flags.AA
    assert (await _ask(ports.tld_dns[0], "nothing.com.zz", "NS")).authority[0].name.to_text() == "com.zz."
    assert (await _ask(ports.tld_dns[0], "b.com.zz", "NS")).authority[0].name.to_text() == "b.com.zz."
    assert (await _ask(ports.tld_dns[0], "bad.zz", "NS")).rcode() == dns.rcode.SERVFAIL
    assert "hold.registry.zz" in (await _ask(ports.tld_dns[0], "held.zz", "NS")).authority[0].to_text()


async def test_the_filtering_resolver_blocks_as_quad9_does(ports: Ports) -> None:
    """RA clear, no AUTHORITY and EDE 15 for a blocked name; the unfiltered resolver still resolves it."""
    blocked = await _ask(ports.filtering, "blocked.zz", "A", recursion=True)
    assert blocked.rcode() == dns.rcode.NXDOMAIN
    assert not blocked.flags & dns.flags.RA
    assert not blocked.authority
    assert blocked.extended_errors()[0].code == 15
    assert (await _ask(ports.resolver, "blocked.zz", "A", recursion=True)).answer
    absent = await _ask(ports.filtering, "gone.zz", "A", recursion=True)
    assert absent.flags & dns.flags.RA
    assert absent.authority


@pytest.mark.parametrize(
    ("vantage", "host", "expected"),
    [
        ("near", "a.zz", "200"), ("near", "cloak.zz", "200"), ("far", "cloak.zz", "404"), ("near", "refused.zz", "502"),
        ("near", "slowdead.zz", "504"), ("near", "gone.zz", "502"), ("far", "control.lab.test", "200"),
    ],
)  # fmt: skip
async def test_the_proxies_show_each_country_its_page(ports: Ports, vantage: str, host: str, expected: str) -> None:
    """A proxy's answer to CONNECT tells an unreachable site; a page behind it depends on the proxy's country."""
    credentials = base64.b64encode(f"lab:lab-{vantage}".encode()).decode()
    stream = await trio.open_tcp_stream("127.0.0.1", ports.proxies[vantage])
    async with stream:
        await stream.send_all(
            f"CONNECT {host}:80 HTTP/1.1\r\nProxy-Authorization: Basic {credentials}\r\n\r\n".encode()
        )
        first = await stream.receive_some(1000)
        if b" 200 " in first:
            await stream.send_all(f"GET /kit.php?v=redacted HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            first = await stream.receive_some(1000)
    assert first.split(b" ")[1].decode() == expected


async def test_a_proxy_asks_for_credentials(ports: Ports) -> None:
    """407 without them."""
    assert (await _request(ports.proxies["near"], "CONNECT a.zz:80 HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 407")


async def test_a_feed_is_conditional_and_can_be_sick(ports: Ports) -> None:
    """The ETag gives a 304; a sick feed answers HTML."""
    body = await _request(ports.feeds, "GET /urls HTTP/1.1\r\n\r\n")
    assert b"http://a.zz/kit.php" in body
    etag = next(line for line in body.split(b"\r\n") if line.startswith(b"ETag")).split(b": ")[1].decode()
    again = await _request(ports.feeds, f"GET /urls HTTP/1.1\r\nIf-None-Match: {etag}\r\n\r\n")
    assert again.startswith(b"HTTP/1.1 304")
    assert b"<html>" in await _request(ports.feeds, "GET /haus HTTP/1.1\r\n\r\n")


async def test_contacts_need_the_credentials(ports: Ports) -> None:
    """The registry's RDAP hides contacts from anyone else, with a 200; the public one never shows them."""
    token = base64.b64encode(b"arke:lab-rdap").decode()
    text = f"GET /registry/domain/a.zz HTTP/1.1\r\nAuthorization: Basic {token}\r\n\r\n"
    assert b"holder@mail-a.zz.example" in await _request(ports.rdap, text)
    for path in ("/registry/domain/a.zz", "/public/domain/a.zz"):
        assert b"holder@" not in await _request(ports.rdap, f"GET {path} HTTP/1.1\r\n\r\n")


async def test_an_address_registry_has_desks_and_every_way_of_having_none(ports: Ports) -> None:
    """One registry sends on to another, one is silent; whoever shows an account is answered with nobody's desk."""

    async def ask(address: str, number: int = 0, **headers: str) -> bytes:
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return await _request(ports.address_rdap[number], f"GET /rdap/ip/{address} HTTP/1.1\r\n{fields}\r\n")

    def desk(at: int) -> bytes:
        return NETWORKS[at].abuse.encode()

    at = {style: [n.style for n in NETWORKS].index(style) for style in get_args(NetworkStyle)}
    said = {style: await ask(f"203.0.113.{8 * at[style] + 1}") for style in at if style != "silent"}
    for style in ("plain", "nested"):
        assert desk(at[style]) in said[style]
    moved = said["elsewhere"]
    assert b"302" in moved
    assert f"127.0.0.1:{ports.address_rdap[1]}/rdap/ip/".encode() in moved
    assert desk(at["elsewhere"]) in await ask(f"203.0.113.{8 * at['elsewhere'] + 1}", 1)
    assert b"REDACTED" in said["redacted"]
    assert desk(at["redacted"]) not in said["redacted"]
    assert b'abuse"]' not in said["no-abuse"]
    assert b"HTTP/1.1 404" in said["not-found"]
    assert b"<html>" in said["html"]
    assert b"198.51.100.255" in said["other-object"]
    with trio.move_on_after(0.2) as waited:
        await ask(f"203.0.113.{8 * at['silent'] + 1}", 2)
    assert waited.cancelled_caught
    assert LEAKED.encode() in await ask("203.0.113.1", Authorization="Basic YXJrZTpsYWItcmRhcA==")


async def test_reddog_redacts_in_silence_and_is_crowded_at_times(ports: Ports) -> None:
    """Wrong credentials get a 200 with a remark and no address, which the canary finds out; a 429 page passes by itself."""
    url = f"http://127.0.0.1:{ports.rdap}/reddog/"

    def source(password: str) -> RdapSource:
        auth = ("arke", password)
        return RdapSource(Http("t"), url, auth=auth, rate_per_second=1000.0, timeout_seconds=5.0, own=[])

    known, stranger = source("lab-rdap"), source("wrong")
    assert await known.canary("nic.zz") == ""
    assert "name, password and rights" in await stranger.canary("nic.zz")
    assert (await stranger.contacts("a.zz")).problem == "redacted"
    for _ in range(12):
        assert (await known.contacts("a.zz")).problem == "placeholder"  # seen, and at an example name
    assert b"HTTP/1.1 400" in await _request(ports.rdap, "GET /reddog/domain/A.zz HTTP/1.1\r\n\r\n")


async def test_mail_is_kept_greylisted_or_rejected(ports: Ports, tmp_path: Path) -> None:
    """451 to the greylisted, 550 to the unknown, and what is accepted is on disk before the 250."""
    talk = "EHLO x\r\nMAIL FROM:<b@x.example>\r\nRCPT TO:<{}>\r\n"
    assert b"451" in await _request(ports.smtp, talk.format("grey@x.example") + "QUIT\r\n")
    assert b"550" in await _request(ports.smtp, talk.format("no@x.example") + "QUIT\r\n")
    message = "DATA\r\nMessage-ID: <1@x>\r\nSubject: s\r\n\r\nbody\r\n.\r\nQUIT\r\n"
    assert b"250 2.0.0 kept" in await _request(ports.smtp, talk.format("yes@x.example") + message)
    assert "<1@x>" in (tmp_path / "m").read_text()
