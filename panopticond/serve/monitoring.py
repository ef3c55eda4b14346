"""MoSAPI's ``monitoring/state`` of our own service: does publication, the feeds and validation work. Pure.

From the figures of a TLD's newest snapshot and the time now, nothing else. Three services: ``PUBLICATION`` (the newest
snapshot has not expired), ``FEEDS`` (every threat type a configured feed reports is read by a working one) and
``VALIDATION`` (checks are made and a vantage works).
"""

from __future__ import annotations

import datetime as dt
import zlib

from panopticond.judge.aggregate import UNSOUND_COVERAGE, healthy_threats
from panopticond.serve.domainlists import Figures
from panopticond.shared.clock import parse_rfc3339
from panopticond.shared.mosapi import UNKNOWN, VERSION, Incident, Service, State, TldStatus

_DAY = dt.timedelta(days=1)
PUBLICATION, FEEDS, VALIDATION = "PUBLICATION", "FEEDS", "VALIDATION"


def state(tld: str, figures: Figures | None, now: dt.datetime) -> State:
    """The state of the service for a TLD; inconclusive before its first snapshot."""
    if figures is None:
        nothing = {name: Service("UP-inconclusive-no-data") for name in (PUBLICATION, FEEDS, VALIDATION)}
        return State(VERSION, tld, int(now.timestamp()), "Up-inconclusive", nothing)
    services = {
        PUBLICATION: _publication(figures, now),
        FEEDS: _feeds(figures),
        VALIDATION: _validation(figures),
    }
    statuses = {service.status for service in services.values()}
    status: TldStatus = "Down" if "Down" in statuses else "Up" if statuses == {"Up"} else "Up-inconclusive"
    return State(VERSION, tld, _unix(figures.snapshot.issued), status, services)


def _publication(figures: Figures, now: dt.datetime) -> Service:
    """Down once the newest snapshot has expired; the threshold rises from a day after its ``to`` until then."""
    due = parse_rfc3339(figures.snapshot.to_at) + _DAY
    if now >= figures.expires:
        return Service("Down", 100.0, (_incident(PUBLICATION, int(figures.expires.timestamp())),))
    used = max(0.0, (now - due) / (figures.expires - due)) if figures.expires > due else 0.0
    return Service("Up", _per_cent(used), ())


def _feeds(figures: Figures) -> Service:
    """Down when a threat type that a feed reports is read by no working feed; an incident for each feed in trouble."""
    troubled = [feed for feed in figures.feeds if feed.state != "OK"]
    if not figures.feeds:
        return Service("Disabled")
    incidents = tuple(
        _incident(feed.name, _unix(feed.since or feed.last_success or figures.snapshot.from_at)) for feed in troubled
    )
    reported = {feed.threat for feed in figures.feeds if feed.threat} | {one.threat for one in figures.carried}
    dead = reported - healthy_threats(figures.feeds, figures.carried, figures.snapshot.from_at)
    if dead or len(troubled) == len(figures.feeds):
        return Service("Down", 100.0, incidents)
    return Service("Up", _per_cent(len(troubled) / len(figures.feeds)), incidents)


def _validation(figures: Figures) -> Service:
    """Down when half of the due checks or every vantage failed; the threshold is the share missed of that half."""
    row = figures.snapshot
    coverage = row.checks_done / row.checks_due if row.checks_due else 1.0
    fed = bool(healthy_threats(figures.feeds, figures.carried, row.from_at))
    if coverage < UNSOUND_COVERAGE or (fed and figures.total == UNKNOWN):
        return Service("Down", 100.0, (_incident(VALIDATION, _unix(row.from_at)),))
    if not row.vantages:
        return Service("UP-inconclusive-no-probes", 0.0, ())
    return Service("Up", _per_cent((1 - coverage) / (1 - UNSOUND_COVERAGE)), ())


def _incident(what: str, start: int) -> Incident:
    """An incident that lasts; its identifier is its start and a number that stays the same for the same thing."""
    return Incident(f"{start}.{zlib.crc32(what.encode())}", start, None, False, "Active")


def _per_cent(share: float) -> float:
    return round(100 * min(1.0, max(0.0, share)), 2)


def _unix(text: str) -> int:
    return int(parse_rfc3339(text).timestamp())
