"""A first configuration from a TLD's name: what it says, and what is found out for it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import msgspec
import pytest

from panopticond.commands.first_configuration import configuration, keyless_feeds, time_zone, toml
from panopticond.config import Config, tlds
from panopticond.config_rules import check
from panopticond.feeds.catalogue import resolve
from panopticond.shared.rdap.bootstrap import rdap_of
from panopticond.shared.settings import convert

OUT = Path("/srv/zz")


def test_the_public_configuration_is_good_as_it_stands() -> None:
    """Every keyless feed of the catalogue, two vantages, everything below one directory; no fault in types or rules."""
    text = configuration(
        "tl", OUT, bind="127.0.0.1:8053", rdap="https://rdap.nic.tl/", zone="Asia/Dili", surroundings=None
    )
    config = convert(tomllib.loads(text), Config, check)
    assert [feed.name for feed in config.feed] == [spec.name for spec in keyless_feeds()]
    assert all(not resolve(feed).needs_key for feed in config.feed)
    served = tlds(config)[0]
    assert (served.name, served.timezone, served.rdap.url) == ("tl", "Asia/Dili", "https://rdap.nic.tl/")
    assert [vantage.country for vantage in config.vantage] == ["TL", "TL"]
    for path in (config.store.path, config.publish.root, config.publish.secret_key_file, config.status.socket):
        assert path.startswith("/srv/zz/")
    for spec in keyless_feeds():
        assert spec.terms in text


def test_surroundings_hold_but_for_what_is_another_daemons_own() -> None:
    """Feeds, vantages, resolvers and the TLD's servers are taken over; its store, key, socket and accounts are not."""
    around = {
        "lab": True,
        "tld": [{"name": "zz", "servers": ["127.0.0.1:9"], "accounts": [{"name": "old", "password_file": "/x"}]}],
        "feed": [{"name": "own", "url": "http://127.0.0.1:9/f", "format": "url-list"}],
        "vantage": [{"name": "a", "country": "NZ"}, {"name": "b", "country": "DE"}],
        "quad9": {"filtered": ["127.0.0.1:9"]},
        "store": {"path": "/elsewhere"},
        "status": {"socket": "/elsewhere.sock"},
    }
    text = configuration("zz", OUT, bind="127.0.0.1:1", rdap=None, zone=None, surroundings=around)
    data = tomllib.loads(text)
    assert data["feed"] == around["feed"]
    assert data["vantage"] == around["vantage"]
    assert data["quad9"] == around["quad9"]
    assert data["lab"] is True
    assert data["tld"][0]["servers"] == ["127.0.0.1:9"]
    assert data["tld"][0]["accounts"] == [{"name": "zz", "password_file": "/srv/zz/secrets/zz"}]
    assert "elsewhere" not in text
    assert isinstance(convert(data, Config, check), msgspec.Struct)


def test_toml_comes_back_as_it_went() -> None:
    """Texts with quotes and line ends, numbers, lists, tables in tables and lists of tables."""
    data = {
        "a": 'x"\\\n',
        "far": "\U0001f600 \x7f \x01 é",
        "a key. of one's own": {"first seen": {"%": 1}},
        "n": 1.5,
        "yes": True,
        "many": ["a", "b"],
        "t": {"in": {"x": 1}},
        "l": [{"k": "v"}, {"k": "w"}],
    }
    assert tomllib.loads(toml(data)) == data


def test_the_rdap_service_of_a_tld() -> None:
    """Https before http; a TLD IANA does not know, and what is no such registry, give none."""
    registry = json.dumps(
        {"services": [[["yy"], ["http://y.example/"]], [["zz", "ww"], ["http://z.example/", "https://z.example/"]]]}
    ).encode()
    assert rdap_of("zz", registry) == "https://z.example/"
    assert rdap_of("yy", registry) == "http://y.example/"
    assert rdap_of("aa", registry) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://z.example/\n[tld]",
        "https://z.example/\x1b[2J",
        "https://z example/",
        "https://",
        "https://\u202e.example/",
    ],
)
def test_a_url_nobody_could_ask_is_no_rdap_service(url: str) -> None:
    """What IANA's registry says is printed and written into the configuration: no line ends, no control characters."""
    assert rdap_of("zz", json.dumps({"services": [[["zz"], [url]]]}).encode()) is None
    assert rdap_of("z", json.dumps({"services": [["zz", ["https://z.example/"]]]}).encode()) is None


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"services": 7}', b'{"services": [[["zz"], [7]]]}', b"[" * 100_000]
)
def test_garbage_is_no_rdap_service(body: bytes) -> None:
    """Nothing it may send makes an exception."""
    assert rdap_of("zz", body) is None


def test_the_time_zone_of_a_country_that_has_one(tmp_path: Path) -> None:
    """Several zones are a person's choice; without the table there is none."""
    (tmp_path / "zone.tab").write_text(
        "# c\nTL\t-0833+12535\tAsia/Dili\nNZ\t-3652+17446\tPacific/Auckland\nNZ\t-4357-17633\tPacific/Chatham\nGB\t+513030-0000731\tEurope/London\n"
    )
    assert time_zone("tl", [str(tmp_path / "none"), str(tmp_path)]) == "Asia/Dili"
    assert time_zone("uk", [str(tmp_path)]) == "Europe/London"
    assert time_zone("nz", [str(tmp_path)]) is None
    assert time_zone("tl", [str(tmp_path / "none")]) is None
