"""One visit to a feed: fetch -> inflate -> parse -> normalise -> store -> health, and what it keeps for the next.

Called by ``follow`` whenever a feed is due. Parsing runs in a thread in bounded steps, so a long list neither stops the
other tasks nor delays the end of the daemon.
"""

from __future__ import annotations

import datetime as dt
import logging
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, BinaryIO, cast

import trio
from msgspec.structs import replace

from panopticond.feeds.catalogue import FeedSpec, is_transfer
from panopticond.feeds.fetch import Fetched, content_sha256, fetch
from panopticond.feeds.formats import FORMATS
from panopticond.feeds.formats.mapped import read_map
from panopticond.feeds.health import Attempt, Result, assess, may_end_sightings
from panopticond.feeds.inflate import Body
from panopticond.feeds.ingest import Ingest, Tally
from panopticond.feeds.mispfeed import Events, follows_manifest
from panopticond.model import Indicator
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.http import Http
from panopticond.shared.names import Names
from panopticond.store.interface import FeedHealth, Store, Watch

if TYPE_CHECKING:
    from panopticond.feeds.transfer import Zone

STEP_ROWS = 5000
"""Rows parsed in one go: some ten milliseconds of a thread."""
RECORDED_TOGETHER = 20_000
"""Indicators in a transaction: the store sorts them, and fewer, larger ones are a third faster."""
PROBLEMS = {
    "truncated": "the compressed file is cut short",
    "corrupt": "the compressed file is damaged",
    "too-large": "inflates to more than max_inflated_bytes",
    "encrypted": "the zip is encrypted",
    "too-many-members": "the zip holds too many files",
}
"""What is wrong with a body, in words for the ledger."""

log = logging.getLogger(__name__)


async def visit(
    spec: FeedSpec,
    store: Store,
    http: Http,
    names: Names,
    now: dt.datetime,
    on_new: Callable[[Watch], None],
    memory: Memory | None = None,
) -> tuple[FeedHealth, float]:
    """One visit: listings and health recorded; the new ledger line, and policy seconds the server wants us away.

    ``memory`` is what a feed of many parts keeps between two visits.
    """
    previous = await store.feed_health(spec.name)
    listing = _Listing(spec, store, now, on_new)
    try:
        fetched, attempt = await _attempt(listing, http, names, now, previous, memory or Memory())
    except OSError as error:  # of the spool file: a full or missing temporary directory
        sentence = f"the body cannot be kept while it is read: {error.strerror}; look at the temporary directory"
        fetched = Fetched("unreachable", sentence)
        attempt = Attempt(now, "unreachable", sentence)
    health = assess(previous, spec, attempt)
    if may_end_sightings(health, attempt):
        await store.end_listing(spec.name, now)
    elif attempt.result == "unchanged" and health.state != "SHRUNK":  # what a shrunk list left out is not in it again
        await store.touch_listing(spec.name, now)
    await store.record_feed_health(health)
    if health.state != previous.state:
        level = logging.INFO if health.state == "OK" else logging.WARNING
        log.log(level, "feed %s is %s: %s", spec.name, health.state, health.reason or f"{health.rows} rows")
    return health, fetched.retry_after


async def _attempt(
    listing: _Listing, http: Http, names: Names, now: dt.datetime, previous: FeedHealth, memory: Memory
) -> tuple[Fetched, Attempt]:
    spec = listing.spec
    with tempfile.TemporaryFile() as file:
        spool = cast("BinaryIO", file)
        if is_transfer(spec.url):
            fetched = await _transfer(spec, spool, memory, previous)
        else:
            fetched = await fetch(spec, spool, http, previous, now)
        if fetched.result not in ("body", "partial"):
            return fetched, Attempt(now, fetched.result, fetched.sentence)
        digest, size = await trio.to_thread.run_sync(content_sha256, spool, spec.max_inflated_bytes)
        attempt = Attempt(
            now,
            "unchanged",
            bytes_read=size,
            etag=fetched.etag,
            last_modified=fetched.last_modified,
            body_sha256=digest,
        )
        if fetched.result == "body" and digest == previous.body_sha256:
            return fetched, attempt
        if follows_manifest(spec):
            result, sentence, tally = await _read_events(listing, spool, http, names, memory.events)
        else:
            result, sentence, tally = await _read_body(listing, spool, names, fetched)
        return fetched, replace(attempt, result=result, sentence=sentence, tally=tally)


class Memory:
    """What a follower keeps between two visits: the events of a MISP feed, the zone of a transfer."""

    def __init__(self) -> None:
        self.events = Events()
        self.zone: Zone | None = None


async def _transfer(spec: FeedSpec, spool: BinaryIO, memory: Memory, previous: FeedHealth) -> Fetched:
    from panopticond.feeds.transfer import Zone, transfer  # noqa: PLC0415 - dnspython, which few feeds need

    memory.zone = memory.zone or Zone()
    return await transfer(spec, spool, memory.zone, previous)


class _Listing:
    """What one visit lists: batches into the store, the new ones handed on and counted."""

    def __init__(self, spec: FeedSpec, store: Store, now: dt.datetime, on_new: Callable[[Watch], None]) -> None:
        self.spec = spec
        self._store, self._now, self._on_new = store, now, on_new
        self._waiting: list[Indicator] = []

    async def record(self, batch: Sequence[Indicator]) -> None:
        """Keep a step's indicators until there are enough of them for a transaction."""
        self._waiting += batch
        if len(self._waiting) >= RECORDED_TOGETHER:
            await self.flush()

    async def flush(self) -> None:
        """One transaction of listings."""
        if not self._waiting:
            return
        batch, self._waiting = self._waiting, []
        for watch in await self._store.record_listing(self.spec.name, self._now, batch):
            self._on_new(watch)


async def _read_body(listing: _Listing, spool: BinaryIO, names: Names, fetched: Fetched) -> tuple[Result, str, Tally]:
    spec = listing.spec
    try:
        mapping = None if spec.map_file is None else await trio.to_thread.run_sync(read_map, spec.map_file)
    except ConfigurationError as error:
        return "partial", f"the mapping cannot be read: {error}", Tally()
    body = Body(spool, spec.max_inflated_bytes)
    ingest = Ingest(body, FORMATS[spec.format].with_map(mapping), names, spec.threat)
    while not ingest.finished:
        await listing.record(await trio.to_thread.run_sync(ingest.take, STEP_ROWS))
    await listing.flush()
    if fetched.result == "body" and body.problem is None and "json-cut-short" in ingest.tally.rejected:
        return "partial", "the JSON ends in the middle", ingest.tally
    whole = fetched.result == "body" and body.problem is None
    return "body" if whole else "partial", fetched.sentence or PROBLEMS.get(body.problem or "", ""), ingest.tally


async def _read_events(
    listing: _Listing, spool: BinaryIO, http: Http, names: Names, events: Events
) -> tuple[Result, str, Tally]:
    if not await events.refresh(listing.spec, spool, http, names):
        return "partial", "what came is no MISP manifest", Tally()
    found = [indicator for event in events.known.values() for indicator in event.indicators]
    for at in range(0, len(found), STEP_ROWS):
        await listing.record(found[at : at + STEP_ROWS])
    await listing.flush()
    if events.missing:
        return "partial", f"stopped half-way: {events.missing} events could not be fetched", events.tally
    return "body", "", events.tally
