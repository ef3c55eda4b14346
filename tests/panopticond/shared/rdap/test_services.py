"""The bootstrap registries for addresses (RFC 9224): which service answers, and where a redirect may lead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from panopticond.shared.http import Http
from panopticond.shared.rdap.services import Services, load_services, services_of
from tests.panopticond.webservers import answer, listen, site

HTTP = Http("panopticon-test/1")


def registry(*services: tuple[list[str], list[str]], **members: object) -> bytes:
    return json.dumps({"version": "1.0", "services": services, **members}).encode()


def read(*services: tuple[list[str], list[str]], own: bool = False) -> Services:
    found = services_of([(registry(*services), own)])
    assert found is not None
    return found


def test_the_longest_network_that_holds_the_address_names_the_service() -> None:
    """IPv4 and IPv6 side by side; https before http; an address of no network has none."""
    found = read(
        (["203.0.0.0/8"], ["http://wide.test/", "https://wide.test/"]),
        (["203.0.113.0/24", "198.51.100.0/24"], ["https://narrow.test/rdap/"]),
        (["2001:db8::/32"], ["https://six.test/"]),
    )
    assert found.service_of("203.0.113.7") == "https://narrow.test/rdap/"
    assert found.service_of("203.0.114.7") == "https://wide.test/"
    assert found.service_of("2001:db8::7") == "https://six.test/"
    assert found.service_of("192.0.2.1") is None
    assert found.service_of("::ffff:203.0.113.7") is None


@pytest.mark.parametrize(
    "url",
    [
        "http://plain.test/", "http://127.0.0.1/", "https://127.0.0.1/", "https://10.0.0.1/", "https://localhost/",
        "https://name:secret@who.test/", "ftp://who.test/", "https://who.test/\n", "https://who.test/" + "x" * 3000, 7,
    ],
)  # fmt: skip
def test_a_strangers_registry_leads_to_public_https_services_only(url: str) -> None:
    """Plain http, our own network, user-info, what is no URL: passed over, and the other networks still stand."""
    found = read((["203.0.113.0/24"], [url]), (["192.0.2.0/24"], ["https://good.test/"]))
    assert found.service_of("203.0.113.1") is None
    assert found.service_of("192.0.2.1") == "https://good.test/"


def test_our_own_file_may_name_loopback_by_plain_http() -> None:
    """For a test or a mirror on this host; plain http to anywhere else never."""
    assert read((["203.0.113.0/24"], ["http://127.0.0.1:8080/"]), own=True).service_of("203.0.113.1") is not None
    assert read((["203.0.113.0/24"], ["http://10.0.0.1/"]), own=True).service_of("203.0.113.1") is None


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b'{"services": 5}', b'{"services": [["203.0.113.0/24"]]}', b'{"services": [[7, 8]]}',
     b'{"services": [["a", "b", "c"]]}', b"[" * 100_000, b"\xff\xfe"],
)  # fmt: skip
def test_what_is_no_registry_is_none(body: bytes) -> None:
    """Whatever it is, it is not half a registry."""
    assert services_of([(registry(), False), (body, False)]) is None


def test_networks_that_are_none_are_passed_over() -> None:
    """A registry with a mistyped network serves for the others."""
    found = read((["203.0.113.0/24", "203.0.113.1/8", "many", "192.0.2.0/24"], ["https://a.test/"]))
    assert [str(network) for network, _ in found.by_network] == ["203.0.113.0/24", "192.0.2.0/24"]


def test_a_redirect_leads_to_a_service_of_the_registries_or_nowhere() -> None:
    """The very origin, its port included; relative ones stay at home."""
    found = read((["203.0.113.0/24"], ["https://a.test/rdap/"]), (["192.0.2.0/24"], ["https://b.test:8443/"]))
    home = "https://a.test/rdap/ip/203.0.113.1"
    assert found.follow(home, "https://b.test:8443/ip/203.0.113.1") == "https://b.test:8443/ip/203.0.113.1"
    assert found.follow(home, "../other/203.0.113.1") == "https://a.test/rdap/other/203.0.113.1"
    for location in (
        *("", "https://b.test/ip/203.0.113.1", "http://a.test/ip/1", "https://a.test.evil.zz/", "https://[bad/"),
        *("https://127.0.0.1/", "//evil.zz/", "https://x@b.test:8443/", "javascript:x", "https://b.test:99999/"),
        "https://a.test/" + "x" * 3000,
    ):
        assert found.follow(home, location) is None, location


async def test_registries_come_from_files_and_urls(nursery: trio.Nursery, tmp_path: Path) -> None:
    """Both at once; what cannot be read is a word, never half of them."""
    file = tmp_path / "ipv4.json"
    file.write_bytes(registry((["203.0.113.0/24"], ["https://four.test/"])))
    six = registry((["2001:db8::/32"], ["https://six.test/"]))
    pages = {"/six": answer(200, six), "/html": answer(200, b"<html>"), "/gone": answer(404)}
    port = await listen(nursery, site(lambda path, _: pages[path]))
    base = f"http://127.0.0.1:{port}"
    found = await load_services(HTTP, [str(file), f"{base}/six"], 5.0)
    assert isinstance(found, Services)
    assert (found.service_of("203.0.113.1"), found.service_of("2001:db8::1")) == (
        "https://four.test/",
        "https://six.test/",
    )
    assert await load_services(HTTP, [str(file), f"{base}/html"], 5.0) == "no-registry"
    assert await load_services(HTTP, [str(file), f"{base}/gone"], 5.0) == "unexpected-status"
    assert await load_services(HTTP, [str(tmp_path / "none")], 5.0) == "unreadable"
    assert await load_services(HTTP, ["http://127.0.0.1:1/"], 5.0) == "unreachable"
    nursery.cancel_scope.cancel()
