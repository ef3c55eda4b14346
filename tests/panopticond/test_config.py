"""panopticond.toml: the rules between keys, and what a group gives its TLDs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from panopticond.config import Config, check, read, tlds
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.names import Names
from panopticond.shared.settings import convert
from panopticond.wiring import policy

VANTAGES = [{"name": "a", "country": "NZ"}, {"name": "b", "country": "DE"}]


def config(**more: Any) -> Config:
    return convert({"tld": [{"name": "zz"}], "vantage": VANTAGES, **more}, Config)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"vantage": VANTAGES[:1]}, "tld[0].vantages"),
        ({"tld": [{"name": "zz", "feeds": ["none"]}]}, "tld[0].feeds"),
        ({"tld": [{"name": "zz", "timezone": "Mars/Olympus"}]}, "tld[0].timezone"),
        ({"tld": [{"name": "zz", "publish_at": "24:00"}]}, "tld[0].publish_at"),
        ({"tld": [{"name": "zz"}, {"names": ["yy", "zz"]}]}, "tld[1].name"),
        ({"tld": [{"name": "zz", "names": ["yy"]}]}, "tld[0]"),
        ({"tld": [{"name": "zz", "servers": ["ns.example"]}]}, "tld[0].servers[0]"),
        ({"feed": [{"name": "x", "url": "/f"}]}, "feed[0].format"),
        ({"feed": [{"name": "x"}, {"name": "x"}]}, "feed[1].name"),
        ({"feed": [{"name": "x", "every": "5s"}]}, "feed[0].every"),
        ({"validation": {"allow_networks": ["10.0.0.0/8"]}}, "validation.allow_networks"),
        ({"group": [{"names": ["qq"]}]}, "group[0].names"),
        ({"vantage": [*VANTAGES, {"name": "c", "country": "FR", "proxy": "http://u:p@h:1"}]}, "vantage[2].proxy"),
        ({"clock": {"scale": 3.0}}, "clock.scale"),
        ({"tld": [{"name": "zz", "publish_also": ["12:00", "25:00"]}]}, "tld[0].publish_at"),
        ({"tld": [{"name": "zz", "managers": ["chief"]}]}, "tld[0].managers"),
        ({"group": [{"names": ["zz"], "managers": ["a b@c"]}]}, "group[0].managers"),
        ({"mail": {"from": "nobody\nBcc: x@y.example"}}, "mail.from"),
        ({"mail": {"username": "x"}}, "mail.username"),
        ({"publish": {"next_secret_key_file": "/k"}}, "publish.next_secret_key_file"),
        ({"publish": {"next_secret_key_file": "/k", "next_key_from": "2027-02-30"}}, "publish.next_key_from"),
        ({"group": [{"names": ["zz"], "publish_at": "26:00"}]}, "group[0].publish_at"),
        ({"group": [{"names": ["zz"], "publish_at": "noon"}]}, "group[0].publish_at"),
        ({"group": [{"names": ["zz"], "timezone": "Mars/Olympus"}]}, "group[0].timezone"),
        ({"group": [{"names": ["zz"], "feeds": ["none"]}]}, "group[0].feeds"),
        ({"group": [{"names": ["zz"], "vantages": ["a", "a"]}]}, "group[0].vantages"),
        ({"tld": [{"name": "zz", "vantages": ["a", "a"]}]}, "tld[0].vantages"),
        ({"tld": [{"name": "z..z"}]}, "tld[0].name"),
        ({"tld": [{"names": ["zz", "7"]}]}, "tld[0].names[1]"),
        ({"tld": [{"name": "zz", "suffixes": ["zz", ""]}]}, "tld[0].suffixes[1]"),
        ({"tld": [{"name": "zz", "registry_zones": ["../../etc"]}]}, "tld[0].registry_zones[0]"),
        ({"tld": [{"name": "zz", "shared_services": ["a b.zz"]}]}, "tld[0].shared_services[0]"),
        ({"tld": [{"name": "zz", "servers": ["999.1.1.1:99999"]}]}, "tld[0].servers[0]"),
        ({"tld": [{"name": "zz", "servers": ["192.0.2.1:0"]}]}, "tld[0].servers[0]"),
        ({"tld": [{"name": "zz", "hold_ip": ["hold"]}]}, "tld[0].hold_ip[0]"),
        ({"tld": [{"name": "zz", "hold_page": [""]}]}, "tld[0].hold_page[0]"),
        ({"tld": [{"name": "zz", "rdap": {"url": "rdap.nic.zz"}}]}, "tld[0].rdap.url"),
        ({"tld": [{"name": "zz", "accounts": [{"name": "x", "password_file": "/a"}]}, {"name": "yy", "accounts": [{"name": "x", "password_file": "/b"}]}]}, "tld[1].accounts[0].password_file"),
        ({"lab": True, "validation": {"allow_networks": ["10.0.0.0/99"]}}, "validation.allow_networks[0]"),
        ({"validation": {"sinkholes": ["sink.example"]}}, "validation.sinkholes[0]"),
        ({"validation": {"window": "0h"}}, "validation.window"),
        ({"validation": {"retention": "99999999999d"}}, "validation.retention"),
        ({"validation": {"window": "9" * 400 + "d"}}, "validation.window"),
        ({"validation": {"checks_per_window": 10**9}}, "validation.checks_per_window"),
        ({"validation": {"checks_per_window": 10**40}}, "validation.checks_per_window"),
        ({"validation": {"per_host_seconds": float("nan")}}, "validation.per_host_seconds"),
        ({"validation": {"per_host_seconds": -1.0}}, "validation.per_host_seconds"),
        ({"dns": {"rate_per_server": float("inf")}}, "dns.rate_per_server"),
        ({"webrisk": {"rate": float("nan")}}, "webrisk.rate"),
        ({"quad9": {"filtered": ["tls://dns.example"]}}, "quad9.filtered[0]"),
        ({"feed": [{"name": "x", "url": "https://", "format": "url-list"}]}, "feed[0].url"),
        ({"vantage": [*VANTAGES, {"name": "c", "country": "FR", "proxy": "http://h:70000"}]}, "vantage[2].proxy"),
        ({"vantage": [*VANTAGES, {"name": "c", "country": "FR", "control_uri": "page"}]}, "vantage[2].control_uri"),
        ({"store": {"path": "/a\x00b"}}, "store.path"),
        ({"store": {"url": "mysql://db.example/p"}}, "store.url"),
        ({"store": {"url": "postgresql://p:word@db.example/p"}}, "store.url"),
        ({"store": {"url": "postgresql://p@db.example/p?password=word"}}, "store.url"),
        ({"store": {"url": "postgresql://db.example/p q"}}, "store.url"),
        ({"store": {"url": "postgresql://db.example/p", "lease": "10ms"}}, "store.lease"),
        ({"store": {"password_file": "/a"}}, "store.password_file"),
        ({"roles": ["probe"]}, "roles"),
        ({"roles": [], "store": {"url": "postgresql://db.example/p"}}, "roles"),
        ({"roles": ["dream"]}, "roles"),
        ({"status": {"socket": "/" + "s" * 200}}, "status.socket"),
    ],
)  # fmt: skip
def test_a_broken_rule_names_its_path(given: dict[str, Any], path: str) -> None:
    """Each rule on its own."""
    data = {"tld": [{"name": "zz"}], "vantage": VANTAGES, **given}
    with pytest.raises(ConfigurationError) as caught:
        convert(data, Config, check)
    assert any(problem.startswith(path) for problem in caught.value.problems), caught.value.problems


def test_hosts_on_one_database_may_divide_the_work() -> None:
    """Any roles with a URL; several hosts and parameters of libpq in it."""
    for url in ("postgresql://p@db1,db2/p?target_session_attrs=read-write", "postgres:///p?host=/run/postgresql"):
        assert check(config(roles=["probe", "serve"], store={"url": url, "password_file": "/a"})) == []


def test_resolvers_may_be_asked_by_stream() -> None:
    """UDP, TCP, TLS with a name, HTTPS."""
    ways = [
        "192.0.2.1:53",
        "tcp://[2001:db8::1]:53",
        "tls://192.0.2.1:853#dns.example",
        "https://dns.example/dns-query",
    ]
    assert check(config(quad9={"filtered": ways})) == []


def test_a_good_configuration_has_no_problems() -> None:
    """The least that serves."""
    assert check(config()) == []


def test_a_group_gives_what_its_tlds_leave_out() -> None:
    """The TLD's own word stands."""
    given = {
        "tld": [{"name": "zz", "publish_at": "09:00"}, {"names": ["yy", "xx"]}],
        "group": [{"names": ["zz", "yy"], "publish_at": "03:00", "timezone": "Pacific/Auckland"}],
    }
    found = {tld.name: (tld.publish_at, tld.timezone) for tld in tlds(config(**given))}
    assert found == {"zz": ("09:00", "Pacific/Auckland"), "yy": ("03:00", "Pacific/Auckland"), "xx": ("06:00", "UTC")}


def test_names_are_compared_as_the_zone_writes_them() -> None:
    """Capitals and U-labels in suffixes, zones, services, critical names and hold servers mean the same names."""
    written = {
        "name": "zz",
        "suffixes": ["ZZ", "Com.ZZ", "b\u00fccher.zz"],
        "registry_zones": ["COM.zz"],
        "shared_services": ["Pages.ZZ"],
        "critical": ["Bank.zz"],
        "hold_ns": ["NS.Hold.Example"],
    }
    (tld,) = tlds(config(tld=[written]))
    assert tld.suffixes == ("zz", "com.zz", "xn--bcher-kva.zz")
    assert (tld.registry_zones, tld.shared_services) == (("com.zz",), ("pages.zz",))
    assert (tld.critical, tld.hold_ns) == (("bank.zz",), ("ns.hold.example",))
    assert Names([policy(tld)]).registered_domain("www.shop.com.zz") == "shop.com.zz"


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    """It names the file, and says how to name another."""
    with pytest.raises(ConfigurationError, match=r"none\.toml: no such file; name yours with -c, or write one"):
        read(tmp_path / "none.toml")
