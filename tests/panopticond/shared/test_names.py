"""Where hosts stand by suffix policy."""

from __future__ import annotations

import pytest

from panopticond.shared.names import Names, TldPolicy, zones_of

ALL = Names(None)
LAB = Names(
    [
        TldPolicy("zz", frozenset({"zz", "com.zz"}), frozenset({"gov.zz"}), frozenset({"sites.zz"})),
        TldPolicy("ee"),
        TldPolicy("xn--90ais"),
    ]
)


@pytest.mark.parametrize(
    ("host", "domain", "scope"),
    [
        ("example.zz", "example.zz", "registered"),
        ("www.example.zz", "example.zz", "registered"),
        ("shop.example.zz", "example.zz", "subordinate"),
        ("www.example.com.zz", "example.com.zz", "registered"),
        ("example.gov.zz", "example.gov.zz", "registered"),
        ("somebody.sites.zz", "sites.zz", "shared"),
        ("sites.zz", "sites.zz", "registered"),
        ("example.com.ee", "example.com.ee", "registered"),
        ("example.xn--90ais", "example.xn--90ais", "registered"),
    ],
)
def test_policy_picks_domain_and_scope(host: str, domain: str, scope: str) -> None:
    """A configured suffix or registry zone delegates below itself; the PSL serves a TLD without configuration."""
    place = LAB.place(host)
    assert place is not None
    assert (place.domain, place.scope) == (domain, scope)


@pytest.mark.parametrize(
    "host", ["zz", "com.zz", "gov.zz", "example.org", "example..zz", "a b.zz", "x" * 64 + ".zz", ""]
)
def test_no_place(host: str) -> None:
    """Suffixes themselves, other TLDs and what cannot be looked up have no place."""
    assert LAB.place(host) is None


@pytest.mark.parametrize(
    ("host", "domain", "scope"),
    [
        ("somebody.github.io", "github.io", "shared"),
        ("github.io", "github.io", "registered"),
        ("a.b.example.co.uk", "example.co.uk", "subordinate"),
        ("example.any.ck", "example.any.ck", "registered"),
        ("www.ck", "www.ck", "registered"),
        ("x.city.kawasaki.jp", "city.kawasaki.jp", "subordinate"),
    ],
)
def test_public_suffix_list(host: str, domain: str, scope: str) -> None:
    """Without policies the list's rules, wildcards and exceptions hold; its private section makes hosts shared."""
    place = ALL.place(host)
    assert place is not None
    assert (place.domain, place.scope) == (domain, scope)


def test_registered_domain_of_any_tld() -> None:
    """Any TLD has a registered domain, unknown ones by the list's default rule; addresses and suffixes have none."""
    assert LAB.registered_domain("a.b.example.co.uk") == "example.co.uk"
    assert LAB.registered_domain("a.example.test") == "example.test"
    assert LAB.registered_domain("a.example.com.zz") == "example.com.zz"
    assert LAB.registered_domain("192.0.2.1") is None
    assert LAB.registered_domain("[2001:db8::1]") is None
    assert LAB.registered_domain("co.uk") is None
    assert LAB.registered_domain("localhost") is None


def test_cache_is_bounded() -> None:
    """A feed of a million hosts does not make the cache grow without end."""
    names = Names(None)
    for at in range(40_000):
        names.place(f"h{at}.example.org")
    assert len(names._places) <= 1 << 15


def test_nothing_served_places_nothing() -> None:
    """An empty policy is not the absence of one."""
    assert Names([]).place("example.com") is None
    assert Names([TldPolicy("zz")]).place("example.com") is None


def test_zones_a_registry_delegates_from() -> None:
    """The suffixes configured, else the list's, and the registry zones; a wildcard names no zone, nor does the TLD."""
    own = TldPolicy("zz", frozenset({"zz", "com.zz"}), frozenset({"pri.zz"}))
    assert zones_of(own) == {"com.zz", "pri.zz"}
    listed = zones_of(TldPolicy("ee"))
    assert {"com.ee", "pri.ee"} < listed
    assert "ee" not in listed
    assert zones_of(TldPolicy("ck")) == frozenset()
