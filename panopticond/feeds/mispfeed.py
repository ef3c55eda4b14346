"""A MISP feed followed: its manifest, then only the events that are new or changed (misp-standard.org, feeds).

Beside ``fetch``, for feeds of format ``misp`` whose address is a manifest. A visit lists all that the events hold, so
what an event drops is noticed; events that did not change are listed again from memory, where only indicators of
served TLDs stay.
A manifest is hostile: its keys are UUIDs or ignored, and no event outside the manifest's folder is ever asked for.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from typing import BinaryIO, cast

import msgspec
import trio

from panopticond.feeds.catalogue import FeedSpec
from panopticond.feeds.formats import FORMATS
from panopticond.feeds.formats.row import CHILD_ABUSE
from panopticond.feeds.formats.words import speaks_of_child_abuse
from panopticond.feeds.inflate import Body
from panopticond.feeds.ingest import Ingest, Tally
from panopticond.model import Indicator
from panopticond.shared.errors import FetchError
from panopticond.shared.http import Http
from panopticond.shared.names import Names

EVENTS_LIMIT = 2000
"""The newest events of a manifest that are followed."""
EVENT_BYTES = 32 << 20
MANIFEST_BYTES = 16 << 20
STEP_ROWS = 5000
BAD_NAME = "manifest-key-no-uuid"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)


class Event(msgspec.Struct, frozen=True):
    """What one event gave when it was last read."""

    timestamp: str
    indicators: tuple[Indicator, ...]
    tally: Tally


class Events:
    """The events of one feed between two visits; empty after a restart, so that all are read once more."""

    def __init__(self, limit: int = EVENTS_LIMIT) -> None:
        self._limit = limit
        self.known: dict[str, Event] = {}
        self.tally = Tally()
        self.missing = 0
        """Events that could not be read on the last visit."""

    async def refresh(self, spec: FeedSpec, manifest: BinaryIO, http: Http, names: Names) -> bool:
        """Bring ``known`` up to a manifest; False when the manifest itself cannot be read."""
        wanted = await trio.to_thread.run_sync(_timestamps, manifest, self._limit)
        if wanted is None:
            return False
        listed, refused = wanted
        self.known = {name: event for name, event in self.known.items() if name in listed}
        self.missing = 0
        base = spec.url.rpartition("/")[0]
        for name, timestamp in listed.items():
            before = self.known.get(name)
            if before is None or before.timestamp != timestamp:
                event = await _read_event(spec, f"{base}/{name}.json", timestamp, http, names)
                if event is None:
                    self.missing += 1
                else:
                    self.known[name] = event
        self.tally = _sum([event.tally for event in self.known.values()])
        for reason, count in refused.items():
            self.tally.rows += count
            self.tally.rejected[reason] = self.tally.rejected.get(reason, 0) + count
        return True


def follows_manifest(spec: FeedSpec) -> bool:
    """Whether a feed is a manifest with events beside it, and not one file."""
    return (
        spec.format == "misp" and spec.url.startswith(("http://", "https://")) and spec.url.endswith("/manifest.json")
    )


def _timestamps(manifest: BinaryIO, limit: int) -> tuple[dict[str, str], dict[str, int]] | None:
    """The newest events' timestamps by UUID, and what was refused with reasons; None when this is no manifest.

    Refused are keys that are no UUID, and events tagged as child abuse material.
    """
    manifest.seek(0)
    body = Body(manifest, MANIFEST_BYTES)
    text = b"".join(body)
    try:
        entries = msgspec.json.decode(text, type=dict[str, dict[str, msgspec.Raw]])
    except (msgspec.DecodeError, RecursionError):
        return None
    if body.problem is not None:
        return None
    found: dict[str, str] = {}
    refused: Counter[str] = Counter()
    for name, about in entries.items():
        if not _UUID.match(name):
            refused[BAD_NAME] += 1
        elif speaks_of_child_abuse(bytes(about.get("Tag", b"")).decode("latin-1")):
            refused[CHILD_ABUSE.reason] += 1
        else:
            found[name] = bytes(about.get("timestamp", b"0")).decode("latin-1")
    newest = sorted(found, key=lambda name: (found[name].strip('"').zfill(20), name), reverse=True)[:limit]
    return {name: found[name] for name in newest}, refused


async def _read_event(spec: FeedSpec, url: str, timestamp: str, http: Http, names: Names) -> Event | None:
    with tempfile.TemporaryFile() as file:
        spool = cast("BinaryIO", file)
        try:
            response = await http.download(
                url,
                spool,
                headers={"accept-encoding": "gzip"},
                limit_bytes=EVENT_BYTES,
                deadline_seconds=spec.deadline / 10,
                same_origin=spec.same_origin,
            )
        except FetchError:
            return None
        if response.status != 200:
            return None
        spool.seek(0)
        body = Body(spool, spec.max_inflated_bytes)
        ingest = Ingest(body, FORMATS["misp"], names, spec.threat)
        found: list[Indicator] = []
        while not ingest.finished:
            found += await trio.to_thread.run_sync(ingest.take, STEP_ROWS)
    broken = body.problem is not None or ingest.tally.html or "json-cut-short" in ingest.tally.rejected
    return None if broken else Event(timestamp, tuple(found), ingest.tally)


def _sum(tallies: list[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.rows += tally.rows
        total.indicators += tally.indicators
        total.out_of_scope += tally.out_of_scope
        for reason, count in tally.rejected.items():
            total.rejected[reason] = total.rejected.get(reason, 0) + count
        if tally.newest_row is not None:
            total.newest_row = max(total.newest_row or "", tally.newest_row)
    return total
