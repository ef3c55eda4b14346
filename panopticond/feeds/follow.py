"""One loop a feed: due -> fetch -> parse -> normalise -> store -> health. The source at the head of the whole flow.

Started by ``main`` in the nursery of sources. Visits keep the provider's interval by the policy clock; parsing runs
in a thread in bounded steps, so a long list neither stops the other tasks nor delays the end of the daemon.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import tempfile
from collections.abc import Callable
from typing import BinaryIO, cast

import trio

from panopticond.feeds.catalogue import FeedSpec
from panopticond.feeds.fetch import Fetched, body_sha256, fetch
from panopticond.feeds.formats import FORMATS
from panopticond.feeds.health import Attempt, assess, content_changed, may_end_sightings
from panopticond.feeds.inflate import Body
from panopticond.feeds.ingest import Ingest
from panopticond.shared.clock import Clock
from panopticond.shared.http import Http
from panopticond.shared.names import Names
from panopticond.store.interface import FeedHealth, Store, Watch

STEP_ROWS = 5000
"""Rows parsed in one go: some ten milliseconds of a thread, and one transaction."""
JITTER_SHARE = 0.05
"""Of the interval: so that a hundred followers do not ask a provider in the same second."""
FIRST_RETRY_SECONDS = 300.0

log = logging.getLogger(__name__)


async def follow(
    spec: FeedSpec,
    store: Store,
    http: Http,
    names: Names,
    clock: Clock,
    on_new: Callable[[Watch], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Visit a feed for ever; ``on_new`` gets the watch of every new indicator. StoreError escapes."""
    health = await store.feed_health(spec.name)
    wait, failures = 0.0, 0
    task_status.started()
    while True:
        await clock.sleep_until(due(health, spec, wait, failures, clock.now()))
        health, wait = await visit(spec, store, http, names, clock.now(), on_new)
        failures = failures + 1 if health.state == "UNREACHABLE" else 0


def due(health: FeedHealth, spec: FeedSpec, retry_after: float, failures: int, now: dt.datetime) -> dt.datetime:
    """When the next visit is: at once for a new feed, else after its interval, sooner when it merely failed.

    ``retry_after`` is what the server asked for, policy seconds; it and the provider's least interval always hold.
    """
    if health.last_attempt is None:
        return now
    interval = spec.every * (1 + JITTER_SHARE * _fraction(spec.name, health.last_attempt))
    if failures > 0:
        interval = min(interval, FIRST_RETRY_SECONDS * 2.0 ** min(failures - 1, 16))
    return health.last_attempt + dt.timedelta(seconds=max(interval, spec.least, retry_after))


async def visit(
    spec: FeedSpec, store: Store, http: Http, names: Names, now: dt.datetime, on_new: Callable[[Watch], None]
) -> tuple[FeedHealth, float]:
    """One visit: listings and health recorded; the new ledger line, and policy seconds the server wants us away."""
    previous = await store.feed_health(spec.name)
    with tempfile.TemporaryFile() as file:
        spool = cast("BinaryIO", file)
        fetched = await fetch(spec, spool, http, previous, now)
        if fetched.result in ("body", "partial"):
            attempt = await _read_body(spec, store, names, spool, fetched, previous, now, on_new)
        else:
            attempt = Attempt(now, fetched.result, fetched.sentence)
    health = assess(previous, spec, attempt)
    if may_end_sightings(health, attempt):
        if await store.end_listing(spec.name, now) and health.last_change != now:
            attempt = _changed(attempt)
            health = assess(previous, spec, attempt)
    elif attempt.result == "unchanged":
        await store.touch_listing(spec.name, now)
    await store.record_feed_health(health)
    if health.state != previous.state:
        level = logging.INFO if health.state == "OK" else logging.WARNING
        log.log(level, "feed %s is %s: %s", spec.name, health.state, health.reason or f"{health.rows} rows")
    return health, fetched.retry_after


async def _read_body(
    spec: FeedSpec,
    store: Store,
    names: Names,
    spool: BinaryIO,
    fetched: Fetched,
    previous: FeedHealth,
    now: dt.datetime,
    on_new: Callable[[Watch], None],
) -> Attempt:
    digest, size = await trio.to_thread.run_sync(body_sha256, spool)
    if fetched.result == "body" and digest == previous.body_sha256:
        return Attempt(now, "unchanged", bytes_read=size, etag=fetched.etag, last_modified=fetched.last_modified)
    body = Body(spool, spec.max_inflated_bytes)
    ingest = Ingest(body, FORMATS[spec.format], names, spec.threat)
    new = 0
    while not ingest.finished:
        batch = await trio.to_thread.run_sync(ingest.take, STEP_ROWS)
        if batch:
            watches = await store.record_listing(spec.name, now, batch)
            new += len(watches)
            for watch in watches:
                on_new(watch)
    whole = fetched.result == "body" and body.problem is None
    return Attempt(
        now,
        "body" if whole else "partial",
        fetched.sentence or _problem(body.problem),
        size,
        ingest.tally,
        content_changed(previous, ingest.tally, new),
        fetched.etag,
        fetched.last_modified,
        digest,
    )


def _changed(attempt: Attempt) -> Attempt:
    return Attempt(
        attempt.at,
        attempt.result,
        attempt.sentence,
        attempt.bytes_read,
        attempt.tally,
        True,
        attempt.etag,
        attempt.last_modified,
        attempt.body_sha256,
    )


def _problem(problem: str | None) -> str:
    return {
        None: "",
        "truncated": "the compressed file is cut short",
        "corrupt": "the compressed file is damaged",
        "too-large": "inflates to more than max_inflated_bytes",
        "encrypted": "the zip is encrypted",
        "too-many-members": "the zip holds too many files",
    }[problem]


def _fraction(name: str, at: dt.datetime) -> float:
    """A number from 0 to 1 that a feed and a time always give: jitter that a test can repeat."""
    return hashlib.sha256(f"{name} {at.isoformat()}".encode()).digest()[0] / 255
