"""147 captured snapshots of one feed through a running daemon: its sightings are those of a plain set computation.

The captures may not be part of the project; without them (see ``tests/panopticond/feeds/test_captures.py``) there is no
test here. Every server the daemon knows is a closed port of this host, so no captured name is resolved or fetched.
"""

from __future__ import annotations

import bisect
import contextlib
import datetime as dt
import hashlib
import sqlite3
import time
from pathlib import Path

import msgspec
import pytest
import trio

from panopticond.feeds.formats import FORMATS
from panopticond.feeds.ingest import Ingest
from panopticond.shared.clock import UTC, Clock
from panopticond.shared.control import ask
from panopticond.shared.names import Names, TldPolicy
from tests.integration.made import ended
from tests.integration.unreachable import configure, start
from tests.panopticond.feeds.server import Answer, FeedServer
from tests.panopticond.feeds.test_captures import FEEDS

pytestmark = pytest.mark.lab

TLDS = ("app", "co", "cx", "dev", "ee", "in", "io", "me", "br", "nl", "ru", "tl")
EVERY = dt.timedelta(minutes=15)
SECONDS_A_VISIT = 0.05
"""Real seconds between two visits: the policy clock runs so much faster that the snapshots' three days take some twenty."""
WARM_UP = 3.0


class Step(msgspec.Struct, frozen=True):
    """One answer of the feed's server: the snapshot of a time, whole (once more, perhaps) or as ``304``."""

    taken: dt.datetime
    path: Path
    may_be_304: bool = True


class Feed:
    """The snapshots one by one, a step a request, and when each request came; after the last one 304 for ever."""

    def __init__(self, steps: list[Step], clock: Clock) -> None:
        self.steps, self.clock = steps, clock
        self.asked: list[dt.datetime] = []
        self.statuses: list[int] = []
        self.done = trio.Event()

    def answer(self, _path: str, headers: dict[str, str]) -> Answer:
        """As a server does that keeps an ETag of the body."""
        self.asked.append(self.clock.now())
        if len(self.asked) > len(self.steps):
            self.done.set()  # a visit begins when the one before it has ended: all of them are in the store
        step = self.at(len(self.asked) - 1)
        body = step.path.read_bytes()
        etag = f'"{hashlib.sha256(body).hexdigest()}"'
        same = step.may_be_304 and headers.get("if-none-match") == etag
        self.statuses.append(304 if same else 200)
        return (304, {"etag": etag}, b"") if same else (200, {"etag": etag}, body)

    def at(self, number: int) -> Step:
        """What request ``number`` is answered with."""
        return self.steps[min(number, len(self.steps) - 1)]

    def visit_at(self, when: dt.datetime) -> int:
        """The number of the request of the visit that began at a policy time: the first that came after it."""
        return min(bisect.bisect_left(self.asked, when), len(self.steps) - 1)  # the 304s at the end are one


def steps_of(folder: Path) -> list[Step]:
    """Every snapshot in order, every third once more as a 304, every third once more whole."""
    steps = []
    for number, path in enumerate(sorted(folder.glob("openphish/feed.202505*.txt"))):
        taken = dt.datetime.strptime(path.name.split(".")[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        steps.append(Step(taken, path))
        if number % 3:
            steps.append(Step(taken, path, may_be_304=number % 3 == 1))
    return steps


def computed(feed: Feed) -> dict[str, tuple[int, int]]:
    """Key -> the first and the last request whose snapshot lists it, by sets over the files alone."""
    names, contents, found = Names([TldPolicy(tld, frozenset({tld})) for tld in TLDS]), {}, {}
    for number, step in enumerate(feed.steps):
        path = step.path
        if path not in contents:
            rows = Ingest([path.read_bytes()], FORMATS["url-list"], names).take(1 << 20)
            contents[path] = {row.key for row in rows}
        for key in contents[path]:
            found[key] = (found.get(key, (number,))[0], number)
    return found


def recorded(path: Path) -> dict[str, tuple[dt.datetime, dt.datetime]]:
    """Key -> first and last sighting, as SQLite's own reader finds them in the daemon's store.

    What still stands in the list was last seen when the feed was: a 304 is written once, not once a row.
    """
    query = (
        "SELECT key, first, CASE WHEN ended IS NULL THEN max(last, coalesce(touched, last)) ELSE last END FROM sighting "
        "JOIN indicator ON indicator.id = indicator_id JOIN feed ON feed.id = feed_id"
    )
    start = dt.datetime(1970, 1, 1, tzinfo=UTC)
    with contextlib.closing(sqlite3.connect(path)) as database:
        return {
            key: (start + dt.timedelta(microseconds=first), start + dt.timedelta(microseconds=last))
            for key, first, last in database.execute(query)
        }


if FEEDS.is_dir():

    async def test_a_running_daemon_sees_what_the_snapshots_say(tmp_path: Path, nursery: trio.Nursery) -> None:
        """Exactly the indicators in scope, first and last seen at the right snapshot, whatever 304s and repeats between."""
        steps = steps_of(FEEDS)
        assert len({step.path for step in steps}) == 147
        scale = EVERY.total_seconds() / SECONDS_A_VISIT
        begins = time.time() + WARM_UP
        epoch = dt.datetime.fromtimestamp((scale * begins - steps[0].taken.timestamp()) / (scale - 1), UTC)
        feed = Feed(steps, Clock(epoch, scale))
        server = await FeedServer(feed.answer).start(nursery)
        spec = {"name": "openphish", "url": f"{server.url}/feed.txt", "format": "url-list", "threat": "phishing"}
        configure(tmp_path, TLDS, [spec | {"every": f"{EVERY.seconds}s"}], clock=(epoch, scale))
        process = start(tmp_path)
        try:
            with trio.fail_after(120):
                await feed.done.wait()
            status = await ask(str(tmp_path / "s"), {"do": "status"})
            assert await ended(process) == 0
        finally:
            process.kill()
        nursery.cancel_scope.cancel()
        assert [line["state"] for line in status["feeds"]] == ["OK"]
        assert feed.statuses.count(304) >= 49
        expected, seen = computed(feed), recorded(tmp_path / "panopticon.db")
        assert len(expected) > 100
        assert {key: (feed.visit_at(first), feed.visit_at(last)) for key, (first, last) in seen.items()} == expected
        assert {key: tuple(feed.at(feed.visit_at(at)).taken for at in times) for key, times in seen.items()} == {
            key: tuple(feed.at(number).taken for number in numbers) for key, numbers in expected.items()
        }
