"""``panopticond check``: one whole round over real sockets, each answer shown, nothing recorded."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import trio

from panopticond.commands.check import check
from panopticond.config import Config, Dns, Quad9, Registration, StoreSettings, Tld, Tranco, Validation, Vantage
from panopticond.shared.errors import ConfigurationError
from panopticond.store.sqlite import open_store
from tests.panopticond.probe.standin import Asked, serve
from tests.panopticond.webservers import Proxy, answer, listen, site

KIT = b"<html><head><title>Sign in</title></head><body><form><input type=password></form></body></html>"


def registry(asked: Asked) -> bytes:
    """The TLD's own server: shop.zz is delegated, nothing else is."""
    if asked.name.endswith("shop.zz"):
        return asked.reply(authority=["shop.zz. 300 NS ns1.host.example."])
    return asked.reply(rcode=3, aa=True, authority=["zz. 300 SOA ns.zz. x.zz. 7 1 1 1 300"])


def resolver(asked: Asked) -> bytes:
    """Every name resolves, and nothing is blocked."""
    answers = [f"{asked.name}. 300 A 127.0.0.1"] if asked.kind == "A" else []
    return asked.reply(ra=True, answer=answers)


async def world(nursery: trio.Nursery, tmp_path: Path) -> Config:
    kit = await listen(nursery, site(lambda path, _: answer(200, KIT) if path == "/kit/" else answer(404)))
    good = await listen(nursery, site(lambda _path, _headers: answer(200, b"ok")))
    proxy = await listen(nursery, Proxy({"www.shop.zz:80": kit, "shop.zz:80": kit, "control.example:80": good}).serve)
    servers = [(await serve(nursery, registry)).text for _ in range(2)]
    names = (await serve(nursery, resolver)).text
    vantages = tuple(
        Vantage(name, country, f"http://127.0.0.1:{proxy}", control_uri="http://control.example/")
        for name, country in (("near", "NZ"), ("far", "DE"))
    )
    return Config(
        tld=(Tld(name="zz", suffixes=("zz",), servers=tuple(servers)),),
        vantage=vantages,
        validation=Validation(allow_networks=("127.0.0.0/8",), per_host_seconds=0.01),
        dns=Dns(rate_per_server=1000.0),
        quad9=Quad9(filtered=(names,), unfiltered=(names,)),
        tranco=Tranco(enabled=False),
        registration=Registration(enabled=False),
        store=StoreSettings(str(tmp_path / "p.db")),
        lab=True,
    )


async def test_every_probe_answers_and_the_judge_says_what_they_come_to(nursery: trio.Nursery, tmp_path: Path) -> None:
    """A live kit: a line an observation, then the state of this round alone; the store stays empty."""
    config, lines = await world(nursery, tmp_path), list[str]()
    await check(config, "http://www.shop.zz/kit/", lines.append)
    seen = [tuple(line.split()[:3]) for line in lines[: lines.index("")]]
    assert ("delegation", "direct", "delegated") in seen
    assert ("address", "direct", "resolves") in seen
    assert ("quad9", "direct", "not-blocked") in seen
    assert {one[1] for one in seen if one[0] == "web" and one[2] == "live"} == {"near", "far"}
    assert any(line.startswith("this round alone: active") for line in lines)
    assert lines[-1].startswith("no feed has listed this")
    async with await open_store(tmp_path / "p.db") as store:
        assert await store.watches() == []


async def test_with_everything_down_each_answer_says_why(nursery: trio.Nursery, tmp_path: Path) -> None:
    """Nothing answers: every observation is indeterminate with a reason, and so is the state."""
    config = await world(nursery, tmp_path)
    dead = tuple(msgspec.structs.replace(one, proxy="http://127.0.0.1:9") for one in config.vantage)
    config = msgspec.structs.replace(
        config,
        tld=(msgspec.structs.replace(config.tld[0], servers=("127.0.0.1:9",)),),
        vantage=dead,
        dns=Dns(rate_per_server=1000.0, timeout="50ms", attempts=1),
        quad9=Quad9(filtered=("127.0.0.1:9",), unfiltered=("127.0.0.1:9",)),
    )
    lines: list[str] = []
    await check(config, "http://www.shop.zz/kit/", lines.append)
    answers = lines[: lines.index("")]
    assert answers
    assert all(line.split()[2] == "indeterminate" and "reason=" in line for line in answers)
    assert any(line.startswith("this round alone: indeterminate") for line in lines)


async def test_what_is_in_no_served_tld_is_refused(nursery: trio.Nursery, tmp_path: Path) -> None:
    """Another TLD or no URI is a usage error before anything leaves."""
    config = await world(nursery, tmp_path)
    for text in ("http://www.shop.example/", "http://192.0.2.1/", "::"):
        with pytest.raises(ConfigurationError):
            await check(config, text, print)
