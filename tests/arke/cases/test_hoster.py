"""arke.cases.hoster: from hosts to the abuse desks of their networks, or why there are none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from arke.cases.hoster import TRANSIENT, Hosters, Hosting, abuse_desk, one_address
from arke.cases.settings import Hoster
from arke.model import Place
from panopticond.probe.guard import Guard
from panopticond.shared.clock import Clock
from panopticond.shared.http import Http
from panopticond.shared.rdap.contacts import RdapContact
from panopticond.shared.rdap.network import RdapNetwork
from tests.arke.cases.test_enrich import card
from tests.arke.made import NOW
from tests.panopticond.webservers import answer, listen, site

ADDRESSES: dict[str, tuple[str, ...] | None] = {
    "a.bad.zz": ("203.0.113.9", "203.0.113.7", "2001:db8::1"),
    "b.bad.zz": ("203.0.113.7",),
    "c.bad.zz": ("203.0.113.8",),
    "bare.bad.zz": ("203.0.113.20",),
    "secret.bad.zz": ("203.0.113.21",),
    "absent.bad.zz": ("203.0.113.22",),
    "html.bad.zz": ("203.0.113.23",),
    "ill.bad.zz": ("198.51.100.1",),
    "nobody.bad.zz": ("192.0.2.1",),
    "private.bad.zz": ("10.0.0.1", "127.0.0.1", "fe80::1"),
    "gone.bad.zz": (),
    "dark.bad.zz": None,
}


class Still(Clock):
    """A clock that stands."""

    def now(self) -> Any:
        return NOW


class Registry:
    """RDAP for 203.0.113.0/24, and a service that is ill for 198.51.100.0/24."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.headers: list[Mapping[str, str]] = []

    def serve(self, path: str, headers: dict[str, str]) -> bytes:
        self.asked.append(path)
        self.headers.append(headers)
        address = path.rpartition("/")[2]
        if path.startswith("/ill/"):
            return answer(503, b"<html>", retry_after="5")
        if address == "203.0.113.22":
            return answer(404)
        if address == "203.0.113.23":
            return answer(200, b"<html>")
        desk = {"203.0.113.20": None, "203.0.113.21": "REDACTED FOR PRIVACY"}.get(address, "Abuse@Net.zz")
        body = {
            "objectClassName": "ip network", "startAddress": address, "endAddress": address,
            "entities": [] if address == "203.0.113.20" else [card("abuse", desk)],
        }  # fmt: skip
        return answer(200, json.dumps(body).encode())


class Room:
    """Hosters on that registry."""

    def __init__(self, port: int, root: Path) -> None:
        services = [
            [["203.0.113.0/24"], [f"http://127.0.0.1:{port}/net/"]],
            [["198.51.100.0/24"], [f"http://127.0.0.1:{port}/ill/"]],
        ]
        self.addresses = dict(ADDRESSES)
        self.file = root / "ipv4.json"
        self.file.write_text(json.dumps({"services": services}))
        self.hosters = self.made()

    def made(self, *bootstrap: str, own: tuple[str, ...] = ("abuse@nic.zz",)) -> Hosters:
        settings = Hoster(bootstrap=bootstrap or (str(self.file),), rate=1000.0, timeout="2s")
        return Hosters(Http("x"), settings, Still(), resolve=self._resolve, guard=Guard(), own=own)

    async def _resolve(self, host: str) -> tuple[str, ...] | None:
        return self.addresses[host]

    async def of(self, *names: str) -> Hosting:
        return await self.hosters.of(f"{name}.bad.zz" for name in names)


@pytest.fixture
async def registry() -> Registry:
    return Registry()


@pytest.fixture
async def room(registry: Registry, nursery: trio.Nursery, tmp_path: Path) -> Room:
    return Room(await listen(nursery, site(registry.serve)), tmp_path)


async def test_an_abuse_desk_comes_once_with_the_hosts_in_its_network(room: Room, registry: Registry) -> None:
    """Two addresses of one desk are one contact; each address is asked about once, and by nobody's account."""
    found = await room.of("c", "a", "b", "a")
    (contact,) = found.contacts
    assert (contact.role, contact.address, contact.source) == ("hoster", "Abuse@net.zz", "rdap")
    assert contact.places == (
        Place("a.bad.zz", "203.0.113.7", NOW),
        Place("b.bad.zz", "203.0.113.7", NOW),
        Place("c.bad.zz", "203.0.113.8", NOW),
    )
    assert (found.problem, found.waits) == ("", "")
    assert sorted(registry.asked) == ["/net/ip/203.0.113.7", "/net/ip/203.0.113.8"]
    assert not any("authorization" in headers for headers in registry.headers)
    assert "net.zz" not in repr(found)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("bare", "hoster-no-abuse-contact"),
        ("secret", "hoster-redacted"),
        ("absent", "hoster-not-found"),
        ("nobody", "hoster-no-service"),
        ("private", "hoster-not-public"),
        ("gone", "hoster-no-address"),
    ],
)
async def test_nobody_to_be_told_has_its_reason(room: Room, name: str, problem: str) -> None:
    """No abuse contact, a redacted one, a 404, a network of no registry, an inner address, none: and others are found."""
    assert await room.of(name) == Hosting((), problem)
    beside = await room.of(name, "b")
    assert (len(beside.contacts), beside.problem, beside.waits) == (1, problem, "")
    assert problem not in TRANSIENT


@pytest.mark.parametrize(
    ("name", "reason"),
    [("html", "hoster-not-json"), ("ill", "hoster-server-error"), ("dark", "hoster-unresolved")],
)
async def test_what_passes_leaves_the_hoster_due(room: Room, name: str, reason: str) -> None:
    """Rubbish, a service that is ill, a resolver that is silent: neither nobody nor somebody."""
    assert await room.of(name) == Hosting((), "", reason)
    assert reason in TRANSIENT
    assert len((await room.of(name, "b")).contacts) == 1


async def test_a_service_that_is_ill_is_left_alone_for_a_while(room: Room, registry: Registry) -> None:
    """The next case does not ask it; other services are asked as ever, and a new arke asks again."""
    await room.of("ill")
    assert (await room.of("ill")).waits == "hoster-quiet"
    assert (await room.of("html")).waits == (await room.of("html")).waits == "hoster-not-json"
    assert registry.asked.count("/ill/ip/198.51.100.1") == 1
    room.hosters = room.made()
    assert (await room.of("ill")).waits == "hoster-server-error"


async def test_our_own_address_is_nobodys_abuse_desk(room: Room) -> None:
    """A registry that hosts the site itself does not write to itself."""
    room.hosters = room.made(own=("abuse@net.zz",))
    assert await room.of("b") == Hosting((), "hoster-own")


async def test_without_registries_nobody_is_asked_and_the_hoster_stays_due(room: Room, registry: Registry) -> None:
    """A file that is not there, or is none; once it can be read it serves, and goes on when it vanishes."""
    room.hosters = room.made(str(room.file) + ".none")
    assert (await room.of("b")).waits == "hoster-bootstrap"
    assert registry.asked == []
    room.hosters = room.made()
    assert len((await room.of("b")).contacts) == 1
    room.file.unlink()
    assert len((await room.of("c")).contacts) == 1


async def test_a_case_asks_about_a_few_addresses_at_most(room: Room, registry: Registry) -> None:
    """However many hosts it has, and wherever they are; that some were left out is said."""
    names = [f"h{at:02}" for at in range(30)]
    room.addresses |= {f"{name}.bad.zz": (f"203.0.113.{100 + at % 5}",) for at, name in enumerate(names)}
    found = await room.of(*names)
    assert len(registry.asked) == 4
    assert (len(found.contacts[0].places), found.problem) == (16, "hoster-too-many")
    assert (await room.of(*names[:4])).problem == ""
    room.addresses |= {f"{name}.bad.zz": ("203.0.113.7",) for name in names}
    assert (await room.of(*names[:21])).problem == "hoster-too-many"
    assert (await room.of(*names[:20])).problem == ""


def test_one_address_stands_for_a_host() -> None:
    """The lowest by number, IPv4 before IPv6, whatever order the resolver gives."""
    assert one_address(["203.0.113.10", "203.0.113.9", "2001:db8::1"]) == "203.0.113.9"
    assert one_address(["2001:db8::a", "2001:db8::9"]) == "2001:db8::9"
    assert one_address([]) is None


def test_the_first_usable_abuse_address_is_the_desk() -> None:
    """What is none is passed over, and told where there is no other."""
    good, form = RdapContact("abuse", "abuse@net.zz"), RdapContact("abuse", None, "contact-uri")
    nowhere = RdapContact("abuse", "abuse@net.example")
    assert abuse_desk(RdapNetwork("", "", (form, nowhere, good)), ()) == ("abuse@net.zz", "")
    assert abuse_desk(RdapNetwork("", "", (nowhere, form)), ()) == (None, "placeholder")
    assert abuse_desk(RdapNetwork("", ""), ()) == (None, "no-abuse-contact")
