"""A feed server on loopback that answers what a test scripts, and a store that keeps listings in memory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import trio

from panopticond.model import Indicator
from panopticond.store.interface import FeedHealth, Watch

Answer = tuple[int, dict[str, str], bytes]


class FeedServer:
    """Answers every request by ``answer(path, headers)``; a header ``x-cut`` ends the body early."""

    def __init__(self, answer: Callable[[str, dict[str, str]], Answer]) -> None:
        self.answer = answer
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.url = ""

    async def start(self, nursery: trio.Nursery) -> FeedServer:
        listeners = await nursery.start(trio.serve_tcp, self._serve, 0)
        port = listeners[0].socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def _serve(self, stream: trio.SocketStream) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            more = await stream.receive_some(65536)
            if not more:
                return
            head += more
        first, *rest = head.decode("latin-1").split("\r\n")
        headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in rest if line)}
        path = first.split(" ")[1]
        self.requests.append((path, headers))
        status, answer, body = self.answer(path, headers)
        sent = body[: int(answer.pop("x-cut"))] if "x-cut" in answer else body
        lines = [f"HTTP/1.1 {status} X", f"content-length: {len(body)}", "connection: close"]
        lines += [f"{key}: {value}" for key, value in answer.items()]
        await stream.send_all("\r\n".join(lines).encode() + b"\r\n\r\n" + sent)
        await stream.aclose()


class MemoryStore:
    """The part of the store that feeds use, in memory."""

    def __init__(self) -> None:
        self.health: dict[str, FeedHealth] = {}
        self.sightings: dict[tuple[str, str], tuple[dt.datetime, dt.datetime, dt.datetime | None]] = {}
        self.ids: dict[str, int] = {}

    async def record_listing(self, feed: str, seen: dt.datetime, batch: Sequence[Indicator]) -> list[Watch]:
        new = []
        for indicator in batch:
            first = self.sightings.get((feed, indicator.key), (seen,))[0]
            self.sightings[feed, indicator.key] = (first, seen, None)
            if indicator.key not in self.ids:
                self.ids[indicator.key] = len(self.ids) + 1
                new.append(Watch(self.ids[indicator.key], seen, None, check=True))
        return new

    async def end_listing(self, feed: str, seen: dt.datetime) -> int:
        gone = [
            key for key, (_, last, ended) in self.sightings.items() if key[0] == feed and last != seen and ended is None
        ]
        for key in gone:
            first, last, _ = self.sightings[key]
            self.sightings[key] = (first, last, seen)
        return len(gone)

    async def touch_listing(self, feed: str, seen: dt.datetime) -> None:
        for key, (first, _, ended) in list(self.sightings.items()):
            if key[0] == feed and ended is None:
                self.sightings[key] = (first, seen, None)

    async def feed_health(self, feed: str) -> FeedHealth:
        return self.health.get(feed, FeedHealth(feed))

    async def record_feed_health(self, health: FeedHealth) -> None:
        self.health[health.feed] = health

    def listed(self, feed: str) -> set[str]:
        return {key for (name, key), (_, _, ended) in self.sightings.items() if name == feed and ended is None}
