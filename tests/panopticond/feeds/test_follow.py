"""Feeds followed over loopback: every way a feed dies gives its state, and no sighting is ended for it."""

from __future__ import annotations

import datetime as dt
import errno
import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import trio

from panopticond.feeds.catalogue import FeedSpec
from panopticond.feeds.follow import due, follow
from panopticond.feeds.visit import visit
from panopticond.model import Indicator
from panopticond.shared.clock import Clock
from panopticond.shared.errors import StoreError
from panopticond.shared.http import Http
from panopticond.shared.names import Names, TldPolicy
from panopticond.store.interface import FeedHealth, Watch
from panopticond.store.sqlite import open_store
from tests.panopticond.feeds.server import Answer, FeedServer, MemoryStore

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
NAMES = Names([TldPolicy("zz", frozenset({"zz", "com.zz"})), TldPolicy("yy", frozenset({"yy"}))])
BODY = "".join(f"http://h{at}.zz/x\n" for at in range(20)).encode() + b"http://a.yy/\nhttp://a.example/\nhttp://[\n"


class Site:
    """A scripted feed with its follower's collaborators."""

    def __init__(self, nursery: trio.Nursery, **spec: Any) -> None:
        self.nursery, self.spec_changes = nursery, spec
        self.store, self.http, self.new = MemoryStore(), Http("test"), cast("list[int]", [])
        self.now = NOW
        self.reply: Answer = (200, {}, BODY)

    async def open(self) -> Site:
        self.server = await FeedServer(self.answer).start(self.nursery)
        changes = {"url": self.server.url + "/feed.txt", **self.spec_changes}
        self.spec = FeedSpec(**{"name": "lab", "format": "url-list", "every": 3600.0, **changes})
        return self

    def answer(self, _path: str, headers: dict[str, str]) -> Answer:
        status, reply, body = self.reply
        if status == 200 and "etag" in reply and headers.get("if-none-match") == reply["etag"]:
            return 304, {"etag": reply["etag"]}, b""
        return status, dict(reply), body

    async def visit(self) -> FeedHealth:
        self.now += dt.timedelta(hours=1)
        health, self.wait = await visit(
            self.spec, cast("Any", self.store), self.http, NAMES, self.now, lambda watch: self.new.append(watch.id)
        )
        return health


@pytest.fixture
async def site(nursery: trio.Nursery) -> Site:
    return await Site(nursery).open()


async def test_a_good_body(site: Site) -> None:
    """Rows of all served TLDs become listings, each new one is handed on once, and every row is accounted for."""
    health = await site.visit()
    assert (health.state, health.rows, health.indicators, health.out_of_scope) == ("OK", 23, 21, 1)
    assert health.rejected == {"no-valid-uri": 1}
    assert len(site.new) == 21
    assert "http://a.yy/" in site.store.listed("lab")
    site.reply = (200, {}, BODY.replace(b"http://h0.zz/x\n", b"http://new.zz/\n"))
    health = await site.visit()
    assert len(site.new) == 22
    assert "http://h0.zz/x" not in site.store.listed("lab")
    assert site.store.sightings["lab", "http://h1.zz/x"][:2] == (
        NOW + dt.timedelta(hours=1),
        NOW + dt.timedelta(hours=2),
    )
    assert health.last_change == site.now


async def test_not_modified(site: Site) -> None:
    """A 304 to our ETag, or the same bytes without one, is the same list seen again."""
    site.reply = (200, {"etag": '"1"', "last-modified": "Sun, 01 Mar 2026 00:00:00 GMT"}, BODY)
    await site.visit()
    health = await site.visit()
    assert site.server.requests[-1][1]["if-none-match"] == '"1"'
    assert site.server.requests[-1][1]["if-modified-since"] == "Sun, 01 Mar 2026 00:00:00 GMT"
    assert (health.state, health.last_success, health.rows) == ("OK", site.now, 23)
    assert site.store.sightings["lab", "http://h1.zz/x"][1] == site.now
    site.reply = (200, {}, BODY)
    health = await site.visit()
    assert site.store.sightings["lab", "http://h1.zz/x"][1] == site.now
    assert health.last_change == NOW + dt.timedelta(hours=1)


PAGE = b"<!DOCTYPE html>\n<html><body><a href='http://h9.zz/x'>this domain is for sale</a>"


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        ((404, {}, b"gone"), "UNREACHABLE"),
        ((500, {}, b"oops"), "UNREACHABLE"),
        ((301, {"location": "http://127.0.0.2:1/feed.txt"}, b""), "UNREACHABLE"),
        ((200, {}, PAGE), "PARSE"),
        ((200, {}, b"\xff\xfe" + "<html>no".encode("utf-16-le")), "PARSE"),
        ((200, {}, b"a b c\nd e f\n"), "PARSE"),
        ((200, {}, b""), "EMPTY"),
        ((200, {}, b"# nothing today\n"), "EMPTY"),
        ((200, {}, BODY[:60]), "SHRUNK"),
        ((200, {}, gzip.compress(BODY * 50)[:-9]), "PARSE"),
        ((200, {"x-cut": "100"}, BODY), "UNREACHABLE"),
        ((401, {}, b""), "AUTH"),
        ((403, {}, b""), "AUTH"),
        ((429, {"retry-after": "7200"}, b""), "RATE-LIMITED"),
        ((509, {}, b""), "RATE-LIMITED"),
    ],
)
async def test_every_way_to_die(site: Site, reply: Answer, state: str) -> None:
    """A sick feed is in its state at the next visit, since when it is, and ends no sighting; then it recovers."""
    for at in range(4):
        site.reply = (200, {}, BODY + f"http://h{at}.yy/\n".encode())
        await site.visit()
    listed = site.store.listed("lab")
    site.reply = reply
    health = await site.visit()
    assert (health.state, health.since) == (state, site.now)
    assert health.reason
    assert site.store.listed("lab") >= listed
    since = site.now
    health = await site.visit()
    assert (health.state, health.since) == (state, since)
    site.reply = (200, {}, BODY)
    health = await site.visit()
    assert (health.state, health.since, health.reason) == ("OK", site.now, "")


async def test_stale(nursery: trio.Nursery) -> None:
    """The same list for longer than the feed's rhythm is STALE, whether by 304 or with a new date in a comment."""
    site = await Site(nursery, stale_after=3 * 3600.0).open()
    for at in range(5):
        site.reply = (200, {}, f"# updated {at}\n".encode() + BODY)
        health = await site.visit()
    assert health.state == "STALE"
    assert health.last_success == site.now
    site.reply = (200, {}, BODY + b"http://fresh.zz/\n")
    assert (await site.visit()).state == "OK"


async def test_the_key_stays_out_of_sight(nursery: trio.Nursery, tmp_path: Path) -> None:
    """The key goes into the URL or header the catalogue says, and into no sentence of the ledger."""
    secret = tmp_path / "key"
    secret.write_text("s3cr/et\n")
    site = await Site(nursery, key_file=str(secret), key_header="auth-key").open()
    spec = FeedSpec("lab", site.server.url + "/{key}/feed.txt", "url-list", key_file=str(secret), key_header="auth-key")
    site.spec = spec
    assert (await site.visit()).state == "OK"
    path, headers = site.server.requests[-1]
    assert (path, headers["auth-key"]) == ("/s3cr%2Fet/feed.txt", "s3cr/et")
    site.reply = (302, {"location": "/elsewhere/s3cr%2Fet"}, b"")
    health = await site.visit()
    assert "s3cr" not in health.reason
    secret.unlink()
    assert (await site.visit()).state == "AUTH"


async def test_a_file(nursery: trio.Nursery, tmp_path: Path) -> None:
    """A path is read when it changes; a missing one is UNREACHABLE."""
    file = tmp_path / "feed.txt.gz"
    site = await Site(nursery, url=str(file)).open()
    assert (await site.visit()).state == "UNREACHABLE"
    file.write_bytes(gzip.compress(BODY))
    assert (await site.visit()).state == "OK"
    assert len(site.new) == 21
    health = await site.visit()
    assert health.last_change == site.now - dt.timedelta(hours=1)


def test_when_the_next_visit_is_due() -> None:
    """Interval with jitter; Retry-After and the provider's least interval always hold; failures come back sooner."""
    spec = FeedSpec("lab", "/x", "url-list", every=3600.0, least=600.0)
    assert due(FeedHealth("lab"), spec, 0.0, 0, NOW) == NOW
    health = FeedHealth("lab", last_attempt=NOW)
    assert 3600 <= (due(health, spec, 0.0, 0, NOW) - NOW).total_seconds() <= 3600 * 1.05
    assert due(health, spec, 9000.0, 1, NOW) == NOW + dt.timedelta(seconds=9000)
    assert due(health, spec, 0.0, 1, NOW) == NOW + dt.timedelta(seconds=600)


async def test_follow_keeps_visiting(nursery: trio.Nursery) -> None:
    """The loop visits at once and then by the policy clock; a restart waits for the interval."""
    site = await Site(nursery, every=60.0).open()
    bodies = [BODY, BODY + b"http://second.zz/\n"]
    site.reply = (200, {}, BODY)
    seen = trio.Event()

    def on_new(watch: Any) -> None:
        site.new.append(watch.id)
        site.reply = (200, {}, bodies[1])
        if len(site.new) == 22:
            seen.set()

    clock = Clock(dt.datetime.now(dt.UTC), 600.0)
    follower = trio.CancelScope()

    async def run(task_status: trio.TaskStatus[None]) -> None:
        with follower:
            await follow(site.spec, cast("Any", site.store), site.http, NAMES, clock, on_new, task_status=task_status)

    await nursery.start(run)
    with trio.fail_after(5):
        await seen.wait()
    follower.cancel()
    assert "http://second.zz/" in site.store.listed("lab")


class FullDisk:
    """An Http whose spool has no room."""

    async def download(self, *_args: Any, **_more: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_no_room_and_no_mapping(nursery: trio.Nursery, tmp_path: Path) -> None:
    """A full temporary directory or a mapping gone since the start is a state of the feed, not the daemon's end."""
    site = await Site(nursery).open()
    await site.visit()
    listed = site.store.listed("lab")
    site.http = cast("Any", FullDisk())
    health = await site.visit()
    assert (health.state, "No space left" in health.reason) == ("UNREACHABLE", True)
    site.http = Http("test")
    site.reply = (200, {}, BODY + b"http://more.zz/\n")
    site.spec = FeedSpec("lab", site.spec.url, "csv", map_file=str(tmp_path / "gone.toml"))
    assert (await site.visit()).state == "PARSE"
    assert site.store.listed("lab") == listed


class Sick:
    """A store that cannot be written at first, and names that fail on one host as a defect of ours would."""

    def __init__(self, store: MemoryStore) -> None:
        self.store, self.writes = store, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def record_listing(self, feed: str, seen: dt.datetime, batch: Sequence[Indicator]) -> list[Watch]:
        self.writes += 1
        if self.writes == 1:
            raise StoreError("the database cannot be written: database is locked")
        return await self.store.record_listing(feed, seen, batch)


class Defective:
    """Names that fail in a way nobody foresaw."""

    last_labels = None
    broken = True

    def place(self, host: str) -> Any:
        if self.broken:
            raise ZeroDivisionError
        return NAMES.place(host)


async def followed(site: Site, store: Any, names: Any, until: Callable[[], bool]) -> None:
    """Follow the site's feed at many times the speed until something is so."""
    clock = Clock(dt.datetime.now(dt.UTC), 6000.0)
    async with trio.open_nursery() as nursery:
        await nursery.start(follow, site.spec, store, site.http, names, clock, lambda watch: site.new.append(watch.id))
        with trio.fail_after(5):
            while not until():  # noqa: ASYNC110 - what is awaited is in a store, which rings nothing
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def test_a_store_that_will_not_write_for_a_moment(nursery: trio.Nursery) -> None:
    """A locked database loses one visit and not the daemon; the next one brings everything."""
    site = await Site(nursery, every=600.0).open()
    sick = Sick(site.store)
    await followed(site, sick, NAMES, lambda: site.store.health.get("lab", FeedHealth("lab")).state == "OK")
    assert sick.writes == 2
    assert len(site.new) == 21


async def test_a_defect_of_ours_is_a_state(nursery: trio.Nursery, caplog: pytest.LogCaptureFixture) -> None:
    """What no reader foresaw is PARSE, with its traceback in the log; the feed recovers when it can be read."""
    site, names = await Site(nursery, every=600.0).open(), Defective()

    def parsed() -> bool:
        return site.store.health.get("lab", FeedHealth("lab")).state == "PARSE"

    await followed(site, site.store, names, parsed)
    assert "a defect of ours: ZeroDivisionError" in site.store.health["lab"].reason
    assert "Traceback" in caplog.text
    names.broken = False
    await followed(site, site.store, names, lambda: not parsed())
    assert site.store.health["lab"].state == "OK"


async def test_what_a_shrunk_list_left_out_was_not_seen_again(site: Site) -> None:
    """The same short body again says nothing of the sightings it does not hold."""
    for at in range(4):
        site.reply = (200, {}, BODY + f"http://h{at}.yy/\n".encode())
        await site.visit()
    last = site.store.sightings["lab", "http://h19.zz/x"]
    site.reply = (200, {"etag": '"short"'}, BODY[:60])
    assert (await site.visit()).state == "SHRUNK"
    assert (await site.visit()).state == "SHRUNK"
    assert site.store.sightings["lab", "http://h19.zz/x"] == last


@pytest.mark.parametrize("name", ["phishtank-json", "json", "certpl-json", "hosts-file"])
async def test_half_a_surrogate_anywhere(nursery: trio.Nursery, name: str, tmp_path: Path) -> None:
    """JSON can bring half of a surrogate pair in every field: the real store records what is left and goes on."""
    half = "\\ud800"
    bodies = {
        "phishtank-json": f'[{{"phish_id":"1{half}","url":"http://a.zz/{half}","submission_time":"{half}"}}]',
        "json": f'[{{"id":"{half}","url":"http://a.zz/{half}","date":"2026-01-01{half}10:10:10"}}]',
        "certpl-json": f'[{{"RegisterPositionId":"{half}","DomainAddress":"a.zz","InsertDate":"{half}"}}]',
        "hosts-file": "0.0.0.0 a.zz\n\u00a0\n\x1f\n\x00\u00a0\x00\n\x1f # x\n",
    }
    site = await Site(nursery, format=name).open()
    site.reply = (200, {}, bodies[name].encode())
    async with await open_store(tmp_path / "p.db") as store:
        health, _ = await visit(site.spec, store, site.http, NAMES, NOW, lambda watch: site.new.append(watch.id))
        assert (health.state, health.indicators) == ("OK", 1)
        assert [standing.subject.domain async for standing in store.standings("zz")] == ["a.zz"]
    assert len(site.new) == 1
