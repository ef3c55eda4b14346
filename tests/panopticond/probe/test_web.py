"""The web probe on real loopback sockets: each outcome, from each vantage, and whose fault a missing answer is."""

from __future__ import annotations

import datetime as dt
import gc
import gzip
import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from panopticond.model import DETAILS, OUTCOMES, Observation
from panopticond.probe.guard import Guard
from panopticond.probe.web import KEPT_SECONDS, WebLimits, WebProber, WebVantage, web_vantage
from panopticond.probe.weburi import random_sibling, twin_of
from panopticond.shared.errors import ConfigurationError
from tests.panopticond.webservers import Proxy, answer, certificate, listen, over_tls, read_head, site

NOW = dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)
KIT = (
    b"<html><head><title>Sign in</title></head><body><form><input type=text><input type=password></form></body></html>"
)
HOME = b"<html><head><title>Bakery</title></head><body><h1>Bread</h1><p>Fresh</p></body></html>"
NOT_FOUND = answer(404, b"<html><title>404</title></html>")
LIMITS = WebLimits(connect_seconds=1.0, deadline_seconds=1.5, per_host_seconds=0.0)
HOST = "login.shop.zz"


async def resolve(host: str) -> tuple[str, ...] | None:
    return {"inside.zz": ("10.0.0.1",), "unknown.zz": None, "nowhere.zz": ()}.get(host, ("127.0.0.1",))


def registered(host: str) -> str | None:
    return ".".join(host.split(".")[-2:])


def prober(vantages: list[WebVantage], limits: WebLimits = LIMITS) -> WebProber:
    guard = Guard(("127.0.0.0/8", "::1/128"))
    return WebProber(vantages, guard=guard, resolve=resolve, registered_domain=registered, limits=limits)


def pages(table: dict[str, bytes], other: bytes = NOT_FOUND) -> Callable[[str, dict[str, str]], bytes]:
    return lambda path, _headers: table.get(path, other)


class World:
    """A proxy with a control site, and whatever hosts a test adds."""

    def __init__(self, nursery: trio.Nursery, tmp_path: Path) -> None:
        self.nursery = nursery
        self.proxy = Proxy({}, credentials="secret")
        self.credentials = tmp_path / "credentials"
        self.credentials.write_text("user:secret\n")

    async def start(self, limits: WebLimits = LIMITS, **settings: object) -> WebProber:
        port = await listen(self.nursery, self.proxy.serve)
        self.proxy.routes["control.zz:80"] = await listen(self.nursery, site(lambda _p, _h: answer(200, b"ok")))
        keys = {
            "name": "near",
            "country": "NZ",
            "proxy": f"http://127.0.0.1:{port}",
            "credentials_file": str(self.credentials),
            "username_template": "c-{user}-cc-{cc}-{CC}-s-{session}",
            "control_uri": "http://control.zz/",
        } | settings
        return prober([web_vantage(**keys)], limits)  # type: ignore[arg-type]

    async def add(self, handler: Callable[[str, dict[str, str]], bytes], host: str = HOST, port: int = 80) -> None:
        self.proxy.routes[f"{host}:{port}"] = await listen(self.nursery, site(handler))


@pytest.fixture
async def world(nursery: trio.Nursery, tmp_path: Path) -> World:
    return World(nursery, tmp_path)


def known(observation: Observation) -> Observation:
    assert observation.outcome in OUTCOMES[observation.kind]
    assert set(observation.detail) <= set(DETAILS[observation.kind])
    assert observation.outcome != "indeterminate" or observation.detail["reason"]
    return observation


async def look(probe: WebProber, path: str = "/kit/login.php", hold: tuple[str, ...] = ()) -> Observation:
    found = await probe.check(f"http://{HOST}{path}", "shop.zz", "near", NOW, hold_pages=hold)
    assert [observation.detail.get("twin") for observation in found] == [None, "1"]
    return known(found[0])


async def test_live_page_and_its_dead_twin(world: World) -> None:
    """A kit over http is live with all its detail; its https twin, which nobody serves, has failed."""
    await world.add(pages({"/kit/login.php?id=1": answer(200, KIT, content_type="text/html")}))
    probe = await world.start()
    found = await probe.check(f"http://{HOST}/kit/login.php?id=1", "shop.zz", "near", NOW, hold_pages=())
    page, twin = (known(observation) for observation in found)
    assert (page.outcome, page.detail["status"], page.detail["title"]) == ("live", "200", "Sign in")
    assert (page.detail["domain"], page.detail["country"]) == ("shop.zz", "NZ")
    assert page.detail["size"] == str(len(KIT))
    assert page.detail["fingerprint"].startswith("shop.zz;2xx;")
    assert (twin.target, twin.outcome, twin.detail["reason"]) == (
        f"https://{HOST}/kit/login.php?id=1",
        "failed",
        "connect-502",
    )
    assert twin.detail["control"] == "good"
    assert all(user.startswith("c-user-cc-nz-NZ-s-") for _, user in world.proxy.asked)


@pytest.mark.parametrize(
    ("reply", "outcome", "reason"),
    [
        (answer(404, b"no"), "gone", "status-404"),
        (answer(410), "gone", "status-410"),
        (answer(500), "gone", "status-500"),
        (answer(302), "gone", "status-302"),
        (answer(302, location="mailto:x@y.zz"), "gone", "status-302"),
        (answer(302, location="http://10.1.1.1/"), "gone", "redirect-forbidden"),
        (answer(302, location="http://inside.zz/"), "gone", "redirect-forbidden"),
        (answer(302, location="/unsubscribe?x=1"), "indeterminate", "redirect-not-probed"),
        (answer(403), "guarded", "status-403"),
        (answer(429), "guarded", "status-429"),
        (answer(451), "guarded", "status-451"),
        (answer(403, b"<title>Just a moment...</title>"), "guarded", "challenge"),
        (answer(503, b"<html></html>", cf_mitigated="challenge"), "guarded", "challenge"),
        (answer(200, b"<title>Account Suspended</title><p>x"), "gone", "suspended"),
        (answer(403, b"<title>Account Suspended</title><p>x"), "gone", "suspended"),
        (answer(200, b"<title>shop</title><p>This domain is parked"), "gone", "parked"),
        (answer(200, b"<title>x</title><p>Held by  the Registry"), "gone", "hold"),
        (b"SSH-2.0-x\r\n\r\n", "failed", "protocol"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"\r\n", "failed", "protocol"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n", "failed", "protocol"),
        (b"HTTP/1.1 103 E\r\n\r\n" * 9 + answer(200, KIT), "failed", "protocol"),
        (b"", "failed", "reset"),
    ],
)
async def test_outcome(world: World, reply: bytes, outcome: str, reason: str) -> None:
    """Each kind of answer has its outcome and its reason word."""
    await world.add(pages({"/kit/login.php": reply}))
    found = await look(await world.start(), hold=("held by the registry",))
    assert (found.outcome, found.detail.get("reason")) == (outcome, reason)


async def test_soft_404(world: World) -> None:
    """One page on every path is no page; the front page is never compared with itself."""
    await world.add(pages({}, answer(200, b"<title>Oops</title><p>Nothing here 123")))
    probe = await world.start()
    assert (await look(probe)).detail["reason"] == "soft-404"
    assert (await look(probe, "/")).outcome == "live"


async def test_redirects_are_followed_and_recorded(world: World) -> None:
    """A chain within bounds ends at the page, with the final registered domain; loops and long chains are gone."""
    table = {
        "/a": answer(301, location="http://www.other.zz/b#top"),
        "/loop": answer(302, location="/loop"),
        **{f"/long{n}": answer(302, location=f"/long{n + 1}") for n in range(9)},
    }
    await world.add(pages(table))
    await world.add(pages({"/b": answer(200, HOME)}), host="www.other.zz")
    probe = await world.start()
    found = await look(probe, "/a")
    assert (found.outcome, found.detail["domain"], found.detail["final"]) == (
        "live",
        "other.zz",
        "http://www.other.zz/b",
    )
    assert found.detail["chain"] == f"http://{HOST}/a http://www.other.zz/b"
    assert (await look(probe, "/loop")).detail["reason"] == "redirect-loop"
    assert (await look(probe, "/long0")).detail["reason"] == "redirect-limit"


async def test_huge_slow_and_compressed_bodies(world: World, nursery: trio.Nursery) -> None:
    """A body without end is read to its limit, a dripping one to the deadline, a bomb to its bound: all still pages."""

    async def endless(stream: trio.abc.Stream) -> None:
        async with stream:
            request = bytes(await stream.receive_some(4096))
            try:
                if b"/kit/huge" not in request and b"/kit/slow" not in request:
                    await stream.send_all(NOT_FOUND)
                    return
                await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n" + KIT)
                while True:
                    await stream.send_all(b"x" * (65536 if b"/kit/huge" in request else 1))
                    await trio.sleep(0 if b"/kit/huge" in request else 0.1)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    world.proxy.routes[f"{HOST}:80"] = await listen(nursery, endless)
    probe = await world.start()
    huge, slow = await look(probe, "/kit/huge"), await look(probe, "/kit/slow")
    assert (huge.outcome, huge.detail["size"], huge.detail["title"]) == ("live", str(128 << 10), "Sign in")
    assert (slow.outcome, slow.detail["title"]) == ("live", "Sign in")
    bomb = gzip.compress(KIT + b"0" * (8 << 20))
    await world.add(pages({"/bomb": answer(200, bomb, content_encoding="gzip")}))
    assert int((await look(probe, "/bomb")).detail["size"]) <= 128 << 10


@pytest.mark.parametrize(
    ("route", "outcome", "reason"),
    [
        (answer(407), "indeterminate", "proxy-407"),
        (answer(403), "indeterminate", "proxy-403"),
        (answer(502, x_error="none"), "indeterminate", "proxy-502"),
        (b"", "indeterminate", "proxy-reset"),
        (b"nonsense\r\n\r\n", "indeterminate", "proxy-protocol"),
        (b"HTTP/1.1 200 " + b"x" * 40_000, "indeterminate", "proxy-protocol"),
        (answer(503), "failed", "connect-503"),
        (answer(504), "failed", "timeout"),
        (0, "failed", "reset"),
    ],
)
async def test_whose_fault(world: World, route: int | bytes, outcome: str, reason: str) -> None:
    """What the proxy says of itself is nobody's failure; what it says of the site is, beside a good control."""
    world.proxy.routes[f"{HOST}:80"] = route
    found = await look(await world.start(error_headers=("X-Error",)))
    assert (found.outcome, found.detail["reason"]) == (outcome, reason)


async def test_without_a_good_control_nothing_fails(world: World) -> None:
    """The same dead site is indeterminate when the control page is down, absent, or the proxy is gone."""
    probe = await world.start()
    world.proxy.routes["control.zz:80"] = answer(502)
    found = await look(probe)
    assert (found.outcome, found.detail["reason"]) == ("indeterminate", "control-failed")
    assert found.detail["control"] == "connect-502"
    found = await look(await world.start(control_uri=None))
    assert (found.outcome, found.detail["reason"]) == ("indeterminate", "no-control")
    found = await look(await world.start(proxy="http://127.0.0.1:1"))
    assert (found.outcome, found.detail["reason"]) == ("indeterminate", "proxy-unreachable")
    world.credentials.write_text("user:wrong")
    assert (await look(await world.start())).detail["reason"] == "proxy-407"


class Rotating(dict[str, int | bytes]):
    """Routes whose first answers come from broken exits."""

    def __init__(self, given: dict[str, int | bytes], broken: int) -> None:
        super().__init__(given)
        self.broken = broken

    def get(self, key: str, default: int | bytes | None = None) -> Any:
        if key == f"{HOST}:80" and self.broken:
            self.broken -= 1
            return answer(502)
        return super().get(key, default)


@pytest.mark.parametrize(("broken", "outcome"), [(1, "live"), (2, "failed")])
async def test_a_failure_is_believed_after_a_second_session(world: World, broken: int, outcome: str) -> None:
    """One broken exit costs a second try by another session within the check; two make the site's failure."""
    probe = await world.start()
    await world.add(pages({"/kit/login.php": answer(200, KIT)}))
    world.proxy.routes = Rotating(world.proxy.routes, broken)
    assert (await look(probe)).outcome == outcome
    sessions = [user for target, user in world.proxy.asked if target == f"{HOST}:80"][:2]
    assert len(set(sessions)) == 2


async def test_without_rotating_sessions_there_is_one_try(world: World) -> None:
    """The same exit again would say the same."""
    probe = await world.start(username_template="{user}")
    assert (await look(probe)).outcome == "failed"
    assert [target for target, _ in world.proxy.asked].count(f"{HOST}:80") == 1


async def test_a_control_probe_vouches_for_its_own_time_only(world: World) -> None:
    """A vantage that worked a while ago and has broken since makes no site look dead."""
    probe = await world.start(msgspec.structs.replace(LIMITS, control_seconds=0.0))
    assert (await look(probe)).outcome == "failed"
    world.proxy.routes["control.zz:80"] = answer(502)
    broken = await look(probe)
    assert (broken.outcome, broken.detail["reason"]) == ("indeterminate", "control-failed")
    world.proxy.routes["control.zz:80"] = await listen(world.nursery, site(lambda _p, _h: answer(200, b"ok")))
    assert (await look(probe)).outcome == "failed"


async def test_silence_is_a_timeout(world: World, nursery: trio.Nursery) -> None:
    """A host that accepts and says nothing has failed by timeout once the absolute deadline passes."""

    async def mute(stream: trio.abc.Stream) -> None:
        async with stream:
            while await stream.receive_some(100):
                pass

    world.proxy.routes[f"{HOST}:80"] = await listen(nursery, mute)
    began = trio.current_time()
    found = await look(await world.start())
    assert (found.outcome, found.detail["reason"]) == ("failed", "timeout")
    assert trio.current_time() - began < 4


async def test_tls_words(world: World, nursery: trio.Nursery, tmp_path: Path) -> None:
    """A broken certificate never hides a page: its word stands beside the live answer. No TLS at all has failed."""
    authority = certificate("authority.zz", tmp_path)[1:]
    serve = site(pages({"/kit/login.php": answer(200, KIT)}))
    contexts = {
        "self-signed": certificate(HOST, tmp_path)[0],
        "expired": certificate(HOST, tmp_path, expired=True, issuer=authority)[0],
        "name-mismatch": certificate("other.zz", tmp_path, issuer=authority)[0],
        "untrusted": certificate(HOST, tmp_path, issuer=authority)[0],
    }
    probe = await world.start()
    now = dt.datetime.now(dt.UTC)
    for word, context in contexts.items():
        world.proxy.routes[f"{HOST}:443"] = await listen(nursery, over_tls(serve, context))
        found = known((await probe.check(f"https://{HOST}/kit/login.php", "shop.zz", "near", now, hold_pages=()))[0])
        assert (found.outcome, found.detail["tls"]) == ("live", word)

    async def plain(stream: trio.abc.Stream) -> None:
        async with stream:
            await stream.receive_some(1000)
            await stream.send_all(answer(400, b"plain HTTP here"))

    world.proxy.routes[f"{HOST}:443"] = await listen(nursery, plain)
    found = (await probe.check(f"https://{HOST}/kit/login.php", "shop.zz", "near", now, hold_pages=()))[0]
    assert (found.outcome, found.detail["reason"]) == ("failed", "tls")


async def test_guarded_targets_are_never_asked(world: World) -> None:
    """Private addresses, forbidden ports and unsubscribe links are refused before anything leaves."""
    probe = await world.start()
    for uri, outcome in (
        ("http://inside.zz/x", "indeterminate"),
        ("http://10.0.0.1/x", "indeterminate"),
        (f"http://{HOST}:22/x", "indeterminate"),
        (f"http://{HOST}/unsubscribe?id=1", "not-probed"),
    ):
        for observation in await probe.check(uri, "shop.zz", "near", NOW, hold_pages=()):
            assert known(observation).outcome == outcome
            assert observation.detail["reason"]
    assert world.proxy.asked == []


async def test_direct_vantage_connects_to_the_vetted_address(nursery: trio.Nursery) -> None:
    """Without a proxy the resolved address is used and recorded; names without one, or unresolvable, are told apart."""
    port = await listen(nursery, site(pages({"/x": answer(200, KIT)})))
    vantage = WebVantage("direct", "NZ", control_uri=f"http://127.0.0.1:{port}/x")
    probe = prober([vantage])
    (found,) = await probe.check(f"http://{HOST}:{port}/x", "shop.zz", "direct", NOW, hold_pages=())
    assert (known(found).outcome, found.detail["address"]) == ("live", "127.0.0.1")
    for host, outcome, reason in (
        ("nowhere.zz", "failed", "no-address"),
        ("unknown.zz", "indeterminate", "resolver"),
    ):
        (found,) = await probe.check(f"http://{host}:{port}/x", "shop.zz", "direct", NOW, hold_pages=())
        assert (known(found).outcome, found.detail["reason"]) == (outcome, reason)


async def test_apex(world: World) -> None:
    """The apex observation is of the domain, keeps its few keys, and tries https where http failed."""
    await world.add(pages({"/": answer(200, HOME)}), host="shop.zz")
    probe = await world.start()
    found = known(await probe.apex("shop.zz", "near", NOW, hold_pages=()))
    assert (found.kind, found.target, found.outcome, found.detail["title"]) == ("apex", "shop.zz", "live", "Bakery")
    assert ("shop.zz:443", 1) not in [(target, 1) for target, _ in world.proxy.asked]
    del world.proxy.routes["shop.zz:80"]
    assert known(await probe.apex("shop.zz", "near", NOW, hold_pages=())).outcome == "failed"
    assert "shop.zz:443" in [target for target, _ in world.proxy.asked]


async def test_politeness_waits_between_requests_to_one_host(world: World) -> None:
    """Requests to one host at one vantage are spaced, and the wait does not eat the deadline."""
    await world.add(pages({"/": answer(200, HOME)}))
    probe = await world.start(WebLimits(connect_seconds=1, deadline_seconds=0.5, per_host_seconds=0.3))
    began = trio.current_time()
    async with trio.open_nursery() as many:
        for _ in range(3):
            many.start_soon(look, probe, "/")
    assert 1.0 < trio.current_time() - began < 4


async def test_politeness_counts_neighbours(world: World) -> None:
    """Hosts of one registered domain share a pace of four hosts, however many names it has."""
    probe = await world.start(msgspec.structs.replace(LIMITS, per_host_seconds=0.2, deadline_seconds=8.0))
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(12):
            uri = f"http://h{number}.shop.zz/"
            nursery.start_soon(partial(probe.check, uri, "shop.zz", "near", NOW))
    assert trio.current_time() - began >= (24 - 4) * 0.05


class Keeping:
    """A site that keeps connections: ``served`` counts the requests of each; after ``most`` it hangs up, or is dumb.

    ``early`` is sent, unasked, a moment after the first answer of each connection.
    """

    def __init__(
        self,
        handler: Callable[[str, dict[str, str]], bytes],
        *,
        most: int = 9,
        dumb: bool = False,
        early: bytes = b"",
    ) -> None:
        self.handler, self.most, self.dumb, self.early = handler, most, dumb, early
        self.served: list[int] = []

    async def serve(self, stream: trio.abc.Stream) -> None:
        at = len(self.served)
        self.served.append(0)
        async with stream:
            try:
                while self.served[at] < self.most:
                    first, headers = await read_head(stream)
                    if not first:
                        return
                    self.served[at] += 1
                    await stream.send_all(self.handler(first.split(" ")[1], headers))
                    if self.early and self.served[at] == 1:
                        await trio.sleep(0.1)
                        await stream.send_all(self.early)
                if self.dumb:
                    await trio.sleep_forever()
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                pass


def keeping_pages(path: str, headers: dict[str, str]) -> bytes:
    table = {"/a": answer(302, location="/kit/login.php", connection="keep-alive")}
    table["/kit/login.php"] = answer(200, KIT, connection="keep-alive")
    table["/away"] = answer(302, location="http://other.zz/kit/login.php", connection="keep-alive")
    return table.get(path, answer(404, b"no", connection=headers.get("connection", "")))


@pytest.mark.parametrize("secure", [False, True])
async def test_one_connection_serves_a_probe(
    world: World, nursery: trio.Nursery, tmp_path: Path, *, secure: bool
) -> None:
    """A redirect within the site, the page and the path nobody made come over one connection where the site keeps it."""
    keeping = Keeping(keeping_pages)
    serve = over_tls(keeping.serve, certificate(HOST, tmp_path)[0]) if secure else keeping.serve
    world.proxy.routes[f"{HOST}:{443 if secure else 80}"] = await listen(nursery, serve)
    probe = await world.start()
    found = await probe.check(f"http{'s' * secure}://{HOST}/a", "shop.zz", "near", NOW)
    assert known(found[0]).outcome == "live"
    assert found[0].detail.get("tls") == ("self-signed" if secure else None)
    assert keeping.served == [3]


@pytest.mark.parametrize(("most", "dumb", "served"), [(1, False, [1, 1]), (1, True, [1, 1])])
async def test_a_kept_connection_that_fails_says_nothing(
    world: World, nursery: trio.Nursery, most: int, *, dumb: bool, served: list[int]
) -> None:
    """A site that promises to keep the connection and hangs up, or answers no more, is asked over a new one."""
    keeping = Keeping(keeping_pages, most=most, dumb=dumb)
    world.proxy.routes[f"{HOST}:80"] = await listen(nursery, keeping.serve)
    probe = await world.start(msgspec.structs.replace(LIMITS, connect_seconds=0.4))
    assert (await look(probe)).outcome == "live"
    assert keeping.served == served
    everywhere = Keeping(lambda _p, _h: answer(200, KIT, connection="keep-alive"), most=most, dumb=dumb)
    world.proxy.routes[f"{HOST}:80"] = await listen(nursery, everywhere.serve)
    assert (await look(probe)).detail["reason"] == "soft-404"


@pytest.mark.parametrize("secure", [False, True])
async def test_an_answer_sent_before_its_question_is_not_taken(
    world: World, nursery: trio.Nursery, tmp_path: Path, *, secure: bool
) -> None:
    """Bytes that came unasked make a kept connection unusable: no answer passes for that to the next request."""
    early = Keeping(keeping_pages, early=answer(200, KIT, connection="keep-alive"))
    serve = over_tls(early.serve, certificate(HOST, tmp_path)[0]) if secure else early.serve
    world.proxy.routes[f"{HOST}:8080"] = await listen(nursery, serve)
    # The turn for the path nobody made comes when the early answer has long arrived, and the connection is still kept.
    probe = await world.start(msgspec.structs.replace(LIMITS, per_host_seconds=0.4))
    uri = f"http{'s' * secure}://{HOST}:8080/kit/login.php"
    (seen,) = await probe.check(uri, "shop.zz", "near", NOW)
    assert (known(seen).outcome, early.served) == ("live", [1, 1])


@pytest.mark.parametrize("glued", [b"", b"HTTP/1.1 404 X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"])
async def test_what_comes_behind_a_proxys_answer_is_the_sites(
    world: World, nursery: trio.Nursery, glued: bytes
) -> None:
    """A 2xx to CONNECT has no body: a site that speaks first is seen as it would be without the proxy."""

    async def proxy(stream: trio.abc.Stream) -> None:
        async with stream:
            await read_head(stream)
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n" + glued)
            first, _ = await read_head(stream)
            if first and not glued:
                await stream.send_all(answer(404))

    probe = await world.start()
    port = await listen(nursery, proxy)
    place = msgspec.structs.replace(probe.vantages[0], proxy_port=port)
    again = prober([place])
    (seen,) = await again.check(f"http://{HOST}:8080/x", "shop.zz", place.name, NOW)
    assert (known(seen).outcome, seen.detail["reason"]) == ("gone", "status-404")


async def test_a_connection_serves_its_own_place_only(world: World, nursery: trio.Nursery) -> None:
    """A redirect to another host is asked there, and the path nobody made of the first host at the first host."""
    here, there = Keeping(keeping_pages), Keeping(keeping_pages)
    world.proxy.routes[f"{HOST}:80"] = await listen(nursery, here.serve)
    world.proxy.routes["other.zz:80"] = await listen(nursery, there.serve)
    probe = await world.start()
    assert (await look(probe, "/away")).detail["final"] == "http://other.zz/kit/login.php"
    assert (here.served, there.served) == ([1, 1], [1])


async def test_no_connection_is_kept_through_a_long_wait(world: World, nursery: trio.Nursery) -> None:
    """Who must wait long for his turn gives the connection back, and comes with a new one."""
    keeping = Keeping(keeping_pages)
    world.proxy.routes[f"{HOST}:8080"] = await listen(nursery, keeping.serve)
    probe = await world.start(msgspec.structs.replace(LIMITS, per_host_seconds=KEPT_SECONDS + 0.1))
    (seen,) = await probe.check(f"http://{HOST}:8080/kit/login.php", "shop.zz", "near", NOW)
    assert seen.outcome == "live"
    assert keeping.served == [1, 1]


async def test_cancelled_handshakes_leave_no_socket(nursery: trio.Nursery) -> None:
    """A server that never answers the TLS greeting holds nothing of a cancelled probe, without any garbage collection."""

    async def silent(stream: trio.abc.Stream) -> None:
        async with stream:
            while await stream.receive_some(4096):
                pass

    port = await listen(nursery, silent)
    probe = prober([WebVantage("direct", "NZ")])
    gc.disable()
    try:
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        async with trio.open_nursery() as many:
            many.cancel_scope.deadline = trio.current_time() + 0.2
            for number in range(50):
                uri = f"https://h{number}.shop.zz:{port}/x"
                many.start_soon(partial(probe.check, uri, "shop.zz", "direct", NOW))
        await trio.sleep(0.1)
        assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208
    finally:
        gc.enable()


async def test_cancelled_probes_leak_nothing(world: World) -> None:
    """Hundreds of probes cancelled at random leave no file descriptor behind."""
    await world.add(pages({"/kit/login.php": answer(200, KIT)}))
    probe = await world.start()
    chance, limiter = random.Random(9), trio.CapacityLimiter(20)

    async def one() -> None:
        async with limiter:
            with trio.move_on_after(chance.uniform(0.0005, 0.02)):
                await look(probe)

    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    async with trio.open_nursery() as many:
        for _ in range(300):
            many.start_soon(one)
    assert (await look(probe)).outcome == "live"
    await trio.sleep(0.3)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 3  # noqa: PTH208


def test_vantages_hide_their_credentials(tmp_path: Path) -> None:
    """Credentials never print; an unreadable file or a malformed proxy is a configuration error."""
    file = tmp_path / "c"
    file.write_text("user:pass:word")
    vantage = web_vantage(name="far", country="de", proxy="http://127.0.0.1:3128", credentials_file=str(file))
    assert (vantage.password, vantage.country, "pass" in repr(vantage)) == ("pass:word", "DE", False)
    for keys in ({"proxy": "http://nowhere"}, {"credentials_file": str(tmp_path / "none")}):
        with pytest.raises(ConfigurationError):
            web_vantage(name="far", country="DE", **keys)


def test_twins_and_siblings() -> None:
    """Twins exist on default ports only; a made-up path keeps directory and ending, a directory gets a sibling."""
    assert twin_of("http://a.zz/x?q") == "https://a.zz/x?q"
    assert twin_of("https://a.zz/") == "http://a.zz/"
    assert twin_of("http://a.zz:8080/") is None
    assert random_sibling("http://a.zz/?q=1") is None
    made = random_sibling("https://a.zz/b/c.php?q=1") or ""
    assert (made.startswith("https://a.zz/b/"), made.endswith(".php"), made.endswith("/c.php")) == (True, True, False)
    made = random_sibling("https://a.zz:444/b/c/") or ""
    assert (made.startswith("https://a.zz:444/b/"), made.endswith("/"), made.count("/")) == (True, True, 5)


async def test_hostile_answers_always_end_in_an_outcome(nursery: trio.Nursery) -> None:
    """Answers mutated at random, and malformed URIs, give an outcome each: nothing is raised, nothing leaks."""
    chance = random.Random(11)
    good = [
        answer(200, KIT, content_type="text/html; charset=utf-8"),
        answer(302, location="/next\xff\u00e9#x"),
        answer(200, gzip.compress(KIT * 50), content_encoding="gzip"),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n<html\r\n3;x=y\r\nabc\r\n0\r\nt: v\r\n\r\n",
    ]

    def mutated(_path: str, _headers: dict[str, str]) -> bytes:
        data = bytearray(chance.choice(good))
        for _ in range(chance.randrange(6)):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(4)] = chance.randbytes(chance.randrange(4))
        return bytes(data)

    port = await listen(nursery, site(mutated))
    probe = prober([WebVantage("direct", "NZ", control_uri=f"http://127.0.0.1:{port}/x")])
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for at in range(300):
        for found in await probe.check(f"http://{HOST}:{port}/x{at}", "shop.zz", "direct", NOW, hold_pages=("h",)):
            known(found)
    for uri in ("nonsense", "http://", "http://a.zz:99999/", "http://[::1/"):
        for found in await probe.check(uri, "shop.zz", "direct", NOW, hold_pages=()):
            assert known(found).outcome == "indeterminate"
    await trio.sleep(0.1)
    assert len(os.listdir("/proc/self/fd")) <= before + 3  # noqa: PTH208
