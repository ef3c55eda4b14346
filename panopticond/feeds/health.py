"""The feed-health ledger: an attempt and the feed's own history into a state with a reason and what to do. Pure.

Behind every visit of ``follow``. A fall in abuse that is really a dead feed must never look like success, so whatever
is not a whole, plausible body is a state other than OK, and only a whole, plausible body may end a sighting.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

from panopticond.feeds.catalogue import FeedSpec
from panopticond.feeds.formats.row import CHILD_ABUSE
from panopticond.feeds.ingest import Tally
from panopticond.shared.clock import parse_rfc3339, rfc3339
from panopticond.store.interface import FeedHealth

HISTORY = 30
"""Row counts of so many changed bodies are remembered."""
SHRUNK_SHARE = 0.5
SHRUNK_HISTORY = 3  # bodies before there is a normal to fall from
SHRUNK_ROWS = 10  # a list this short halves by chance
REJECTED_SHARE = 0.5
PLAUSIBLE = frozenset({"OK", "STALE", "SHRUNK"})
"""States whose last body was read whole; its validators may be sent back to the server."""

Result = Literal["body", "partial", "unchanged", "auth", "rate-limited", "unreachable", "defect"]

_WITHOUT_BODY = {"auth": "AUTH", "rate-limited": "RATE-LIMITED", "defect": "PARSE"}


class Attempt(msgspec.Struct, frozen=True):
    """One visit to a feed and what came of it."""

    at: dt.datetime
    result: Result
    sentence: str = ""
    """What went wrong, for every result but ``body`` and ``unchanged``."""
    bytes_read: int = 0
    tally: Tally = msgspec.field(default_factory=Tally)
    etag: str | None = None
    last_modified: str | None = None
    body_sha256: str | None = None
    """See :func:`panopticond.feeds.fetch.content_sha256`."""


def assess(previous: FeedHealth, spec: FeedSpec, attempt: Attempt) -> FeedHealth:
    """The ledger line after an attempt; ``since`` moves only when the state does."""
    if attempt.result in ("body", "partial"):
        health = _after_body(previous, spec, attempt)
    elif attempt.result == "unchanged":
        health = _after_unchanged(previous, spec, attempt)
    else:
        state = _WITHOUT_BODY.get(attempt.result, "UNREACHABLE")
        health = msgspec.structs.replace(previous, state=state, reason=attempt.sentence)
    since = previous.since if previous.state == health.state and previous.since is not None else attempt.at
    return msgspec.structs.replace(health, since=since, last_attempt=attempt.at)


def may_end_sightings(health: FeedHealth, attempt: Attempt) -> bool:
    """Whether what this body does not list any more has really left the feed."""
    return attempt.result == "body" and health.state in ("OK", "STALE")


def _after_body(previous: FeedHealth, spec: FeedSpec, attempt: Attempt) -> FeedHealth:
    tally = attempt.tally
    state, reason = _judge_body(previous, spec, attempt)
    plausible = state in PLAUSIBLE and attempt.result == "body"
    last_change = attempt.at if plausible else previous.last_change
    history = previous.history_rows
    if plausible:
        history = (*history, tally.rows)[-HISTORY:]
    return msgspec.structs.replace(
        previous,
        state=state,
        reason=reason,
        last_success=attempt.at if plausible else previous.last_success,
        last_change=last_change,
        bytes_read=attempt.bytes_read,
        rows=tally.rows,
        indicators=tally.indicators,
        out_of_scope=tally.out_of_scope,
        rejected=dict(tally.rejected),
        newest_row=_time(tally.newest_row, attempt.at) or previous.newest_row,
        # the validators of a body that was no good are not sent back: the next visit must see what is there
        etag=attempt.etag if plausible else previous.etag,
        last_modified=attempt.last_modified if plausible else previous.last_modified,
        body_sha256=attempt.body_sha256 if plausible else previous.body_sha256,
        history_rows=history,
    )


def _judge_body(previous: FeedHealth, spec: FeedSpec, attempt: Attempt) -> tuple[str, str]:
    tally = attempt.tally
    test = f"see what comes with: panopticond feeds test {spec.name}"
    if tally.html:
        return "PARSE", f"a web page came instead of {spec.format}; the address may have moved; {test}"
    if tally.no_text:
        return "PARSE", f"what came is no text, or in an encoding nobody reads; {test}"
    if attempt.result == "partial":
        return (
            "UNREACHABLE" if attempt.sentence.startswith("stopped") else "PARSE"
        ), f"{attempt.sentence}; kept the {tally.rows} rows that came"
    if tally.rows == 0:
        return "EMPTY", f"the list came without a single row; ask the provider or {test}"
    unread = tally.rejected_rows - tally.rejected.get(CHILD_ABUSE.reason, 0)  # that was read well, and is left alone
    if unread > REJECTED_SHARE * tally.rows:
        return (
            "PARSE",
            f"{unread} of {tally.rows} rows are no {spec.format}; the format may have changed; {test}",
        )
    usual = _median(previous.history_rows)
    if len(previous.history_rows) >= SHRUNK_HISTORY and usual >= SHRUNK_ROWS and tally.rows < SHRUNK_SHARE * usual:
        return (
            "SHRUNK",
            f"{tally.rows} rows where {usual:.0f} are usual; no sighting ends until the list is whole; {test}",
        )
    return "OK", ""


def _after_unchanged(previous: FeedHealth, spec: FeedSpec, attempt: Attempt) -> FeedHealth:
    stale = _stale(spec, previous.last_change or attempt.at, attempt.at)
    state, reason = ("STALE", stale) if stale else ("OK", "")
    if previous.state == "SHRUNK":
        state, reason = "SHRUNK", previous.reason
    return msgspec.structs.replace(previous, state=state, reason=reason, last_success=attempt.at)


def _stale(spec: FeedSpec, last_change: dt.datetime, now: dt.datetime) -> str:
    if (now - last_change).total_seconds() <= spec.stale_after:
        return ""
    return f"the same list has come since {rfc3339(last_change)}; see whether the provider has stopped or moved it"


def _median(counts: tuple[int, ...]) -> float:
    ordered = sorted(counts)
    middle = len(ordered) // 2
    if not ordered:
        return 0.0
    return float(ordered[middle]) if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _time(text: str | None, now: dt.datetime) -> dt.datetime | None:
    if text is None:
        return None
    try:
        when = parse_rfc3339(text)
    except (ValueError, OverflowError):
        return None
    return min(when, now)  # a row from the future says nothing about freshness
