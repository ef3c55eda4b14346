"""MISP feeds: a manifest, then changed events only."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any, cast

import trio

from panopticond.feeds.catalogue import FeedSpec
from panopticond.feeds.visit import Memory, visit
from panopticond.shared.http import Http
from panopticond.shared.names import Names, TldPolicy
from tests.panopticond.feeds.server import Answer, FeedServer, MemoryStore

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
NAMES = Names([TldPolicy("zz", frozenset({"zz"}))])
ONE, TWO = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def event(*hosts: str) -> bytes:
    attributes = [{"type": "domain", "to_ids": True, "value": host, "timestamp": "1785548400"} for host in hosts]
    return json.dumps({"Event": {"Attribute": attributes}}).encode()


async def test_only_changed_events_are_fetched(nursery: trio.Nursery) -> None:
    """Unchanged events are listed from memory; what a changed one drops is ended; a name with ../ is never asked for."""
    files: dict[str, bytes] = {f"/f/{ONE}.json": event("a.zz", "b.zz", "x.example"), f"/f/{TWO}.json": event("c.zz")}
    manifest: dict[str, Any] = {ONE: {"timestamp": "1"}, TWO: {"timestamp": "1"}, "../secret": {"timestamp": "9"}}

    def answer(path: str, _headers: dict[str, str]) -> Answer:
        if path == "/f/manifest.json":
            return 200, {}, json.dumps(manifest).encode()
        return (200, {}, files[path]) if path in files else (404, {}, b"")

    server = await FeedServer(answer).start(nursery)
    spec = FeedSpec("osint", server.url + "/f/manifest.json", "misp")
    store, memory = MemoryStore(), Memory()

    async def go(hours: int) -> Any:
        server.requests.clear()
        now = NOW + dt.timedelta(hours=hours)
        return (await visit(spec, cast("Any", store), Http("test"), NAMES, now, lambda _watch: None, memory))[0]

    health = await go(0)
    assert (health.state, health.rows, health.indicators, health.out_of_scope) == ("OK", 5, 3, 1)
    assert health.rejected == {"manifest-key-no-uuid": 1}
    assert sorted(path for path, _ in server.requests) == [f"/f/{ONE}.json", f"/f/{TWO}.json", "/f/manifest.json"]

    files[f"/f/{TWO}.json"] = event("d.zz")
    manifest[TWO] = {"timestamp": "2"}
    await go(1)
    assert [path for path, _ in server.requests] == ["/f/manifest.json", f"/f/{TWO}.json"]
    assert store.listed("osint") == {"a.zz", "b.zz", "d.zz"}
    assert store.sightings["osint", "a.zz"][1] == NOW + dt.timedelta(hours=1)

    manifest[ONE] = {"timestamp": "3"}
    del files[f"/f/{ONE}.json"]
    health = await go(2)
    assert health.state == "UNREACHABLE"
    assert store.listed("osint") == {"a.zz", "b.zz", "d.zz"}

    manifest = {"no": "manifest"}
    assert (await go(3)).state == "PARSE"


async def test_an_event_tagged_as_child_abuse_material_is_never_asked_for(nursery: trio.Nursery) -> None:
    """The manifest's tags are enough: the event is counted as rejected and not fetched."""
    manifest = {ONE: {"timestamp": "1", "Tag": [{"name": 'rsit:abusive-content="violence"'}]}, TWO: {"timestamp": "1"}}
    bodies = {"/manifest.json": json.dumps(manifest).encode(), f"/{TWO}.json": event("c.zz")}
    server = await FeedServer(lambda path, _headers: (200, {}, bodies[path])).start(nursery)
    spec, store = FeedSpec("osint", server.url + "/manifest.json", "misp"), MemoryStore()
    health, _ = await visit(spec, cast("Any", store), Http("test"), NAMES, NOW, lambda _watch: None)
    assert [path for path, _ in server.requests] == ["/manifest.json", f"/{TWO}.json"]
    assert (health.state, health.rejected) == ("OK", {"child-abuse-material": 1})
    assert store.listed("osint") == {"c.zz"}
