"""Each component down for over a week of policy time, on real sockets: nothing is mitigated, status names it, it heals."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from panopticond.config import (
    Config,
    Dns,
    Quad9,
    Rdap,
    Registration,
    StoreSettings,
    Tld,
    Tranco,
    Validation,
    Vantage,
    WebRisk,
)
from panopticond.model import Indicator
from panopticond.schedule import Checked, Duty, check_once
from panopticond.status.answer import Health
from panopticond.status.coverage import Coverage
from panopticond.wiring import Parts, assemble
from tests.panopticond.probe.standin import Asked, serve
from tests.panopticond.webservers import Proxy, answer, listen, site

NOW = dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)
STEP = dt.timedelta(hours=6)
URI = "http://www.shop.zz/kit/"
KIT = b"<html><head><title>Sign in</title></head><body><form><input type=password></form></body></html>"
RDAP = b'{"objectClassName":"domain","ldhName":"shop.zz","status":["active"],"events":[{"eventAction":"registration","eventDate":"2026-01-01T00:00:00Z"}]}'


class Hands:
    """A clock that is moved by hand."""

    scale = 1.0

    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> dt.datetime:
        return self.at


class Internet:
    """Stand-ins for everything the daemon depends on; ``down`` names those that do not answer."""

    def __init__(self) -> None:
        self.down: set[str] = set()
        self.registered = True

    def registry(self, number: int) -> object:
        def answer_registry(asked: Asked) -> bytes | None:
            if f"tld-{number}" in self.down:
                return None
            if self.registered and asked.name.endswith("shop.zz"):
                return asked.reply(authority=["shop.zz. 300 NS ns1.host.example."])
            return asked.reply(rcode=3, aa=True, authority=["zz. 300 SOA ns.zz. x.zz. 7 1 1 1 300"])

        return answer_registry

    def resolver(self, name: str) -> object:
        def answer_resolver(asked: Asked) -> bytes | None:
            if name in self.down:
                return None
            return asked.reply(ra=True, answer=[f"{asked.name}. 300 A 127.0.0.1"] if asked.kind == "A" else [])

        return answer_resolver

    def proxy(self, name: str, routes: dict[str, int | bytes]) -> object:
        inner = Proxy(routes)

        async def answer_proxy(stream: trio.abc.Stream) -> None:
            if name in self.down:
                await stream.aclose()
            else:
                await inner.serve(stream)

        return answer_proxy

    def lookup(self, name: str, body: bytes) -> object:
        return site(lambda _path, _headers: answer(503 if name in self.down else 200, body))


async def started(net: Internet, nursery: trio.Nursery, tmp_path: Path) -> Config:
    kit = await listen(nursery, site(lambda path, _: answer(200, KIT) if path == "/kit/" else answer(404)))
    good = await listen(nursery, site(lambda _path, _headers: answer(200, b"ok")))
    routes: dict[str, int | bytes] = {"www.shop.zz:80": kit, "shop.zz:80": kit, "control.example:80": good}
    near, far = [await listen(nursery, net.proxy(name, routes)) for name in ("near", "far")]  # type: ignore[arg-type]
    servers = [(await serve(nursery, net.registry(number))).text for number in (1, 2)]  # type: ignore[arg-type]
    filtered, unfiltered = [(await serve(nursery, net.resolver(name))).text for name in ("quad9", "resolver")]  # type: ignore[arg-type]
    webrisk = await listen(nursery, net.lookup("webrisk", b"{}"))  # type: ignore[arg-type]
    rdap = await listen(nursery, net.lookup("rdap", RDAP))  # type: ignore[arg-type]
    (tmp_path / "key").write_text("lab")
    return Config(
        tld=(Tld(name="zz", suffixes=("zz",), servers=tuple(servers), rdap=Rdap(f"http://127.0.0.1:{rdap}/")),),
        vantage=tuple(
            Vantage(name, country, f"http://127.0.0.1:{port}", control_uri="http://control.example/")
            for name, country, port in (("near", "NZ", near), ("far", "DE", far))
        ),
        validation=Validation(allow_networks=("127.0.0.0/8",), per_host_seconds=0.0, probe_deadline="2s"),
        dns=Dns(rate_per_server=1e6, timeout="20ms", attempts=1),
        quad9=Quad9(filtered=(filtered,), unfiltered=(unfiltered,), rate=1e6),
        webrisk=WebRisk(key_file=str(tmp_path / "key"), url=f"http://127.0.0.1:{webrisk}", every="6h", rate=1e6),
        tranco=Tranco(enabled=False),
        registration=Registration(every="6h", rate=1e6),
        store=StoreSettings(str(tmp_path / "p.db")),
        lab=True,
    )


class Watcher:
    """One indicator, its rounds made one after another at the pace of the window."""

    def __init__(self, parts: Parts, number: int) -> None:
        self.clock, self.health, self.number = Hands(), Health(), number
        self.silent = parts.authorities.silent
        self.duty = Duty(
            parts.window, parts.store, parts.prober, self.clock, parts.judge, parts.listing_of, self.health.count
        )

    def coverage(self) -> Coverage:
        return self.duty.window.coverage(self.clock.at)

    async def rounds(self, count: int) -> list[Checked]:
        found = []
        for _ in range(count):
            self.clock.at += STEP
            checked = await check_once(self.duty, self.number)
            assert checked is not None
            found.append(checked)
        return found


@asynccontextmanager
async def watching(config: Config) -> AsyncIterator[Watcher]:
    async with assemble(config) as parts:
        indicator = Indicator(URI, "www.shop.zz", "shop.zz", "zz", "registered", "phishing")
        (watch,) = await parts.store.record_listing("f", NOW, [indicator])
        parts.window.add(watch, NOW)
        yield Watcher(parts, watch.id)


OUTAGES = {
    "one vantage": ({"near"}, "vantage near", "active"),
    "all vantages": ({"near", "far"}, "vantage far", "indeterminate"),
    "quad9": ({"quad9"}, "Quad9", "active"),
    "web risk": ({"webrisk"}, "Web Risk", "active"),
    "rdap": ({"rdap"}, "RDAP of .zz", "active"),
    "one TLD server": ({"tld-1"}, "127.0.0.1:", "active"),
    "all TLD servers": ({"tld-1", "tld-2"}, "servers of .zz", "indeterminate"),
    "our own network": (
        {"near", "far", "quad9", "resolver", "webrisk", "rdap", "tld-1", "tld-2"},
        "our own network",
        "indeterminate",
    ),
}


UNCHECKED = {
    "one vantage": "vantage near",
    "all vantages": "vantage ",
    "all TLD servers": "servers of .zz",
    "our own network": "servers of .zz",
}
"""What coverage blames where a check comes to nothing; the others corroborate only, and are named by status alone."""


@pytest.mark.parametrize("name", OUTAGES)
async def test_an_outage_mitigates_nothing_is_named_and_heals(name: str, nursery: trio.Nursery, tmp_path: Path) -> None:
    """Down for eight days: the state is right or indeterminate throughout; status says what; then all is as before."""
    down, cause, state = OUTAGES[name]
    net = Internet()
    async with watching(await started(net, nursery, tmp_path)) as watcher:
        before = await watcher.rounds(5)
        assert {one.verdict.state for one in before} == {"active"}
        assert watcher.health.components.wrong() == []
        net.down = down
        during = await watcher.rounds(32)
        assert {one.verdict.state for one in during} == {state}
        assert all(one.verdict.last_active is not None for one in during)
        assert cause in " / ".join([*watcher.health.components.wrong(), *watcher.silent()])
        coverage = watcher.coverage()
        assert [blamed.startswith(UNCHECKED.get(name, "?")) for blamed in coverage.causes] == [True] * (
            name in UNCHECKED
        )
        assert coverage.share == (0.0 if name in UNCHECKED else 1.0)
        net.down = set()
        after = await watcher.rounds(5)
        assert {one.verdict.state for one in after} == {"active"}
        assert watcher.health.components.wrong() == []
        assert watcher.coverage().share == 1.0


async def test_absence_needs_two_servers_however_long_one_is_down(nursery: trio.Nursery, tmp_path: Path) -> None:
    """A name taken out of the zone while one of two servers is silent: indeterminate, and mitigated once both say so."""
    net = Internet()
    async with watching(await started(net, nursery, tmp_path)) as watcher:
        await watcher.rounds(2)
        net.registered, net.down = False, {"tld-1"}
        assert {one.verdict.state for one in await watcher.rounds(12)} == {"indeterminate"}
        assert "servers of .zz" in " / ".join(watcher.health.components.wrong())
        net.down = set()
        (healed,) = await watcher.rounds(1)
        assert healed.verdict.state == "mitigated-dns"
