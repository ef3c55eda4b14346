"""Network objects as address registries send them, and as somebody hostile would."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest
import trio

from panopticond.shared.http import Http
from panopticond.shared.rdap.domain import RdapContact, RdapProblem
from panopticond.shared.rdap.network import RdapNetwork, fetch_network, parse_network
from panopticond.shared.rdap.services import Services, services_of
from tests.panopticond.shared.rdap.test_domain import email, entity
from tests.panopticond.shared.rdap.test_services import registry
from tests.panopticond.webservers import answer, listen, site

HTTP = Http("panopticon-test/1")
DESK = entity("abuse", properties=[email("abuse@net.zz")])


def network(first: str = "203.0.113.0", last: str = "203.0.113.255", **members: Any) -> bytes:
    found = {"objectClassName": "ip network", "startAddress": first, "endAddress": last, "entities": [DESK]}
    return json.dumps(found | members).encode()


def read(body: bytes, address: str = "203.0.113.7") -> RdapNetwork:
    found = parse_network(body, address)
    assert isinstance(found, RdapNetwork), found
    return found


def test_a_whole_object() -> None:
    """Its bounds and its abuse contact; nobody else's address is read."""
    other = entity("technical", "administrative", properties=[email("person@net.zz")])
    found = read(network(entities=[other, DESK]))
    assert found == RdapNetwork("203.0.113.0", "203.0.113.255", (RdapContact("abuse", "abuse@net.zz"),))
    assert "person" not in repr(found)


def test_an_abuse_contact_nested_under_the_holder_counts() -> None:
    """As two of the five registries have it."""
    holder = entity("registrant", properties=[email("person@net.zz")], entities=[DESK, entity("technical")])
    assert read(network(entities=[holder])).abuse == (RdapContact("abuse", "abuse@net.zz"),)


@pytest.mark.parametrize(
    ("entities", "problem"),
    [
        ([entity("abuse", remarks=[{"title": "REDACTED FOR PRIVACY"}])], "redacted"),
        ([entity("abuse", properties=[email("REDACTED FOR PRIVACY")])], "redacted"),
        ([entity("abuse", properties=[["contact-uri", {}, "uri", "https://net.zz/abuse"]])], "contact-uri"),
        ([entity("abuse", vcardArray=None)], "missing"),
    ],
)
def test_an_abuse_contact_without_an_address_says_why(entities: list[Any], problem: str) -> None:
    """Redacted, a web form only, nothing at all."""
    assert read(network(entities=entities)).abuse == (RdapContact("abuse", None, problem),)


@pytest.mark.parametrize("entities", [None, [], "x", [7], [[]], [entity("technical")], [{"roles": {"a": 1}}]])
def test_a_network_without_an_abuse_contact_has_none(entities: object) -> None:
    """Whatever stands in its place."""
    assert read(network(entities=entities)).abuse == ()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (network("198.51.100.0", "198.51.100.255"), "other-object"),
        (network("2001:db8::", "2001:db8::ffff"), "other-object"),
        (network("203.0.113.0", "2001:db8::ffff"), "other-object"),
        (network("203.0.113.255", "203.0.113.0"), "other-object"),
        (network(startAddress=None), "other-object"),
        (network(startAddress=["203.0.113.0"]), "other-object"),
        (network(endAddress="9" * 1000), "other-object"),
        (network(objectClassName="domain"), "other-object"),
        (network(objectClassName=["ip network"]), "other-object"),
        (b'{"errorCode": 404, "title": "not found"}', "other-object"),
        (network("0.0.0.0", "255.255.255.255"), "too-wide"),
        (network("202.0.0.0", "203.255.255.255"), "too-wide"),
        (b"<html>welcome</html>", "not-json"),
        (b"", "not-json"),
        (b'["a"]', "not-json"),
        (b"[" * 100_000, "too-deep"),
        (b'{"entities": ' + b"[" * 40 + b"]" * 40 + b"}", "too-deep"),
        (b" " * (2 << 20), "too-large"),
    ],
)
def test_what_is_not_the_network_asked_for(body: bytes, reason: str) -> None:
    """Another network, another kind of object, a registry's own block, a web page, too deep, too large."""
    assert parse_network(body, "203.0.113.7") == RdapProblem(reason, 200)


def test_bounds_are_read_as_registries_write_them() -> None:
    """With a length behind them, in long form, without a class name; a whole /8 is somebody's."""
    assert read(network("203.0.113.0/32", "203.0.113.255/32")).first == "203.0.113.0"
    assert read(network("2001:0db8:0:0::", "2001:db8::ffff"), "2001:db8::7").first == "2001:db8::"
    assert read(network("203.0.0.0", "203.255.255.255", objectClassName=None)).last == "203.255.255.255"


def _services(*ports: int) -> Services:
    networks = ("203.0.113.0/24", "198.51.100.0/24")
    pairs = [([network], [f"http://127.0.0.1:{port}/rdap/"]) for network, port in zip(networks, ports, strict=True)]
    found = services_of([(registry(*pairs), True)])
    assert found is not None
    return found


async def test_a_question_is_sent_on_from_registry_to_registry_and_to_nobody_else(nursery: trio.Nursery) -> None:
    """One hop to another service is followed; a stranger, a loop, a fourth hop and an inner server are not.

    No request carries a credential.
    """
    seen: list[tuple[str, dict[str, str]]] = []
    stray = await listen(nursery, site(lambda _, __: answer(200, network())))
    ports: list[int] = []

    def far(path: str, headers: dict[str, str]) -> bytes:
        seen.append((path, headers))
        return answer(200, network())

    def near(path: str, headers: dict[str, str]) -> bytes:
        seen.append((path, headers))
        address = path.rpartition("/")[2]
        there = {
            "203.0.113.1": f"http://127.0.0.1:{ports[1]}/rdap/ip/{address}",
            "203.0.113.2": f"http://127.0.0.1:{stray}/rdap/ip/{address}",
            "203.0.113.3": path,
            "203.0.113.4": "",
        }
        return answer(302, location=there[address])

    ports += [await listen(nursery, site(near)), await listen(nursery, site(far))]
    ask = functools.partial(fetch_network, HTTP, _services(*ports), deadline_seconds=5.0)
    assert isinstance(await ask("203.0.113.1"), RdapNetwork)
    assert [path for path, _ in seen] == ["/rdap/ip/203.0.113.1"] * 2
    for last in (2, 3, 4):
        seen.clear()
        assert await ask(f"203.0.113.{last}") == RdapProblem("redirect-refused")
        assert len(seen) == (4 if last == 3 else 1)
    assert not any("authorization" in headers or "cookie" in headers for _, headers in seen)
    assert await ask("192.0.2.1") == RdapProblem("no-service")
    nursery.cancel_scope.cancel()


async def test_every_answer_of_a_server_is_a_value(nursery: trio.Nursery) -> None:
    """404, 429 with its pause, 500, a body without end, silence: each has its word, and the deadline is for all."""

    async def silence() -> bytes:
        await trio.sleep_forever()
        raise AssertionError

    def serve(path: str, _: dict[str, str]) -> Any:
        return {
            "1": lambda: answer(404, b"<html>"),
            "2": lambda: answer(429, b"<html>", retry_after="120"),
            "3": lambda: answer(500, b"<html>"),
            "4": lambda: answer(200, b" " * (2 << 20)),
            "5": silence,
            "6": lambda: answer(200, b"<html>"),
        }[path[-1]]()

    port = await listen(nursery, site(serve))
    ask = functools.partial(fetch_network, HTTP, _services(port, port), deadline_seconds=0.5)
    assert [await ask(f"203.0.113.{last}") for last in range(1, 7)] == [
        RdapProblem("not-found", 404),
        RdapProblem("rate-limited", 429, 120),
        RdapProblem("server-error", 500),
        RdapProblem("too-large"),
        RdapProblem("timeout"),
        RdapProblem("not-json", 200),
    ]
    nursery.cancel_scope.cancel()
