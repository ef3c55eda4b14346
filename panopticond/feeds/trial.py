"""The work of ``panopticond feeds test NAME``: one visit to a feed that records nothing and says what came.

Beside ``follow``, out of the same parts: fetch, inflate, parse, normalise, and the ledger's judgement of it. Run it
when a feed is set up or sick; it counts as a request with the provider.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Callable
from typing import BinaryIO, cast

import trio

from panopticond.config import Feed
from panopticond.feeds.catalogue import FeedSpec, is_transfer, resolve
from panopticond.feeds.fetch import Fetched, content_sha256, fetch
from panopticond.feeds.formats import FORMATS
from panopticond.feeds.formats.mapped import read_map
from panopticond.feeds.health import Attempt, assess
from panopticond.feeds.inflate import Body
from panopticond.feeds.ingest import Ingest, Tally
from panopticond.feeds.mispfeed import Events, follows_manifest
from panopticond.feeds.transfer import Zone, transfer
from panopticond.feeds.visit import PROBLEMS
from panopticond.model import Indicator
from panopticond.shared.http import Http
from panopticond.shared.names import Names
from panopticond.store.interface import FeedHealth

SHOWN = 5
"""Indicators shown as examples."""
EVENTS_TRIED = 3
STEP_ROWS = 5000


def choose(name: str, feeds: tuple[Feed, ...]) -> FeedSpec:
    """The feed called ``name`` in the configuration, else in the catalogue; ConfigurationError when in neither."""
    configured = next((feed for feed in feeds if feed.name == name), None)
    return resolve(configured or Feed(name=name))


async def try_feed(spec: FeedSpec, http: Http, names: Names, now: dt.datetime, show: Callable[[str], object]) -> int:
    """One visit; ``show`` gets its lines. The exit status: 0 when the feed would be OK, 1 when it would not."""
    show(f"{spec.name}: {spec.format} from {spec.url}")
    examples: list[Indicator] = []
    with tempfile.TemporaryFile() as file:
        spool = cast("BinaryIO", file)
        fetched = (
            await transfer(spec, spool, Zone(), FeedHealth(spec.name))
            if is_transfer(spec.url)
            else await fetch(spec, spool, http, FeedHealth(spec.name), now)
        )
        if fetched.result not in ("body", "partial"):
            attempt = Attempt(now, fetched.result, fetched.sentence)
        else:
            attempt, examples = await _read(spec, spool, http, names, fetched, now)
            _show_body(attempt, show)
    health = assess(FeedHealth(spec.name), spec, attempt)
    for example in examples:
        show(f"  {example.threat}: {example.key}")
    show(f"state: {health.state}" + (f": {health.reason}" if health.reason else ""))
    return 0 if health.state == "OK" else 1


async def _read(
    spec: FeedSpec, spool: BinaryIO, http: Http, names: Names, fetched: Fetched, now: dt.datetime
) -> tuple[Attempt, list[Indicator]]:
    _, size = content_sha256(spool, spec.max_inflated_bytes)
    examples: list[Indicator] = []
    if follows_manifest(spec):
        events = Events(EVENTS_TRIED)
        good = await events.refresh(spec, spool, http, names)
        examples = [indicator for event in events.known.values() for indicator in event.indicators][:SHOWN]
        tally, problem = events.tally, "" if good else "what came is no MISP manifest"
    else:
        body = Body(spool, spec.max_inflated_bytes)
        mapping = None if spec.map_file is None else read_map(spec.map_file)
        ingest = Ingest(body, FORMATS[spec.format].with_map(mapping), names, spec.threat)
        while not ingest.finished:
            examples = (examples + await trio.to_thread.run_sync(ingest.take, STEP_ROWS))[:SHOWN]
        tally, problem = ingest.tally, fetched.sentence or PROBLEMS.get(body.problem or "", "")
    attempt = Attempt(
        now,
        "partial" if problem else "body",
        problem,
        size,
        tally,
        etag=fetched.etag,
        last_modified=fetched.last_modified,
    )
    return attempt, examples


def _show_body(attempt: Attempt, show: Callable[[str], object]) -> None:
    tally: Tally = attempt.tally
    kept = [name for name, value in (("ETag", attempt.etag), ("Last-Modified", attempt.last_modified)) if value]
    show(f"{attempt.bytes_read} bytes came; told apart next time by {' and '.join(kept) or 'the hash of the body'}")
    rejected = ", ".join(f"{reason} {count}" for reason, count in sorted(tally.rejected.items()))
    show(
        f"{tally.rows} rows: {tally.indicators} indicators, {tally.out_of_scope} out of scope, "
        f"{tally.rejected_rows} rejected" + (f" ({rejected})" if rejected else "")
    )
    if tally.newest_row is not None:
        show(f"newest row: {tally.newest_row}")
