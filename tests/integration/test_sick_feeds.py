"""Feeds that die in every way there is, followed by a real daemon: the right state is told in time and nothing is lost.

A world of its own: a live domain a feed, everything in the feeds ``withdrawn`` when missed, so that a daemon which took a
dead feed for a clean TLD would say so at once. One domain leaves the zone, to show that mitigation is seen when it is so.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from panopticond.feeds.follow import JITTER_SHARE
from panopticond.shared.clock import parse_rfc3339
from panopticond.shared.http import Http
from panopticond.shared.records import read_tables
from tests.lab.demo import moments
from tests.lab.model import (
    Behaviour,
    Delegation,
    Domain,
    DomainTruth,
    FeedServer,
    Host,
    Listing,
    Party,
    Registration,
    Sickness,
    World,
)
from tests.lab.processes import LabRun
from tests.lab.run import run_world

pytestmark = pytest.mark.lab

HOUR = dt.timedelta(hours=1)
EVERY = 2 * HOUR
INTERVAL = EVERY * (1 + JITTER_SHARE)
FELL_SICK = 8 * HOUR
PUBLISHED = (12.5 * HOUR, 36.5 * HOUR)
"""Two intervals and a little after the feeds fell sick, and a day later, when darkness would have been judged."""
REAL_SECONDS = 24.0
ANSWERED = 0.2 * (PUBLISHED[-1] / REAL_SECONDS)
"""A visit is told by its beginning: one that began so shortly before (0.2 real seconds) may be the first answered sick."""
EXPECTED: dict[Sickness, tuple[str, str]] = {
    "none": ("OK", ""),
    "utf-16": ("OK", ""),
    "404": ("UNREACHABLE", "answered 404"),
    "500": ("UNREACHABLE", "answered 500"),
    "401": ("AUTH", "answered 401"),
    "403": ("AUTH", "answered 403"),
    "429": ("RATE-LIMITED", "answered 429"),
    "html": ("PARSE", "a web page came"),
    "empty": ("EMPTY", "without a single row"),
    "stale": ("STALE", "the same list has come since"),
    "truncated": ("PARSE", "cut short"),
    "cut": ("UNREACHABLE", "stopped half-way"),
    "garbled": ("PARSE", "is no text"),
    "shrunk": ("SHRUNK", "are usual"),
    "elsewhere": ("UNREACHABLE", "not followed"),
    "private": ("UNREACHABLE", "not followed"),
    "silent": ("UNREACHABLE", "no whole answer in 0.7 s"),
    "stalled": ("UNREACHABLE", "stopped half-way"),
}
"""Sickness -> the state of the feed and some words of the reason."""
GONE = "leaves-the-zone.zz"


def name_of(sickness: str) -> str:
    return f"feed-{sickness}"


def domain_of(sickness: str) -> str:
    return f"listed-by-{sickness}.zz"


def make(start: dt.datetime) -> World:
    """A feed and a live domain for each sickness; every list grows by a row each interval until it falls sick."""
    domains = [_domain(domain_of(sickness), name_of(sickness), at, start) for at, sickness in enumerate(EXPECTED)]
    domains.append(_domain(GONE, name_of("none"), len(domains), start, gone=start + 20 * HOUR))
    return World(
        seed=3,
        tlds=("zz",),
        registry_zones=(),
        start=start,
        end=start + PUBLISHED[-1] + 6 * HOUR,
        publications=tuple(start + after for after in PUBLISHED),
        domains=tuple(domains),
        feeds=tuple(
            FeedServer(
                name_of(sickness),
                "url-list",
                "phishing",
                "reputable",
                "withdrawn",
                sickness=sickness,
                sick_from=start + FELL_SICK,
                every="2h",
                stale_after="100m" if sickness == "stale" else None,
                deadline="700ms" if sickness in ("silent", "stalled") else None,
            )
            for sickness in EXPECTED
        ),
        mailboxes=(),
        shared_services=(),
    )


def _domain(name: str, feed: str, number: int, start: dt.datetime, gone: dt.datetime | None = None) -> Domain:
    long_ago = start - 3000 * 24 * HOUR
    address = ((start, (f"203.0.113.{number + 1}",)),)
    fresh = [Listing(feed, f"http://row{at}-of-{feed}.test/", start + at * EVERY) for at in range(1, 4)]
    delegation = (Delegation(long_ago, "delegated"),) + ((Delegation(gone, "absent"),) if gone else ())
    return Domain(
        name=name,
        tld="zz",
        behaviour="sick-feed",
        delegation=delegation,
        registration=Registration(
            registered=start - 900 * 24 * HOUR,
            registrar_abuse="abuse-desk@registrar.zz",
            parties=(Party(("registrant",), f"holder{number}@post-office.zz"),),
        ),
        hosts=(Host(name, address, ("/login/",), (Behaviour(start=start, seed=number),)),),
        listings=(Listing(feed, f"http://{name}/login/", start), *fresh),
        truth=DomainTruth(name, None),
        indicators=(),
    )


async def test_every_sick_feed_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    """Each feed in its right state within two intervals, in status and report; no sighting ended, nothing mitigated."""
    start, clock = moments(REAL_SECONDS, PUBLISHED[-1] / HOUR)
    found: dict[str, Any] = {}

    async def ask(run: LabRun) -> None:
        command = [
            sys.executable,
            "-m",
            "panopticond",
            "status",
            "--json",
            "--socket",
            str(run.places.sockets / "pd.sock"),
        ]
        done = await trio.run_process(command, capture_stdout=True)
        found["status"] = json.loads(done.stdout)
        address = f"http://127.0.0.1:{run.ports.control}/requests"
        answer = await Http("test").get(address, limit_bytes=1 << 20, deadline_seconds=5.0)
        found["requests"] = json.loads(answer.body)

    outcome = await run_world(
        make(start), tmp_path, real_seconds=REAL_SECONDS, on_stage=print, clock=clock, while_running=ask
    )
    assert outcome.exits == {"panopticond": 0, "arke": 0, "internet": 0}
    assert outcome.snapshots == len(PUBLISHED)
    _check_feeds(found["status"]["feeds"], start)
    folders = sorted(path for path in outcome.places.published.joinpath("zz").glob("[0-9]*") if path.is_dir())
    for folder in folders:
        tables = read_tables(folder / "records.sql")
        _check_feeds(json.loads((folder / "report.json").read_bytes())["feeds"], start)
        _check_feeds(
            [{key: getattr(row, key) for key in ("name", "state", "since", "reason")} for row in tables["feed"]], start
        )
        _check_indicators(tables, last=folder == folders[-1])
    requests = found["requests"]
    assert "feed /moved" not in requests, "a redirect to another host was followed"
    assert requests["feed /feed-429"] <= requests["feed /feed-none"], "a limit on requests was met with more of them"


def _check_feeds(lines: list[dict[str, Any]], start: dt.datetime) -> None:
    told = {line["name"]: line for line in lines}
    assert {name: line["state"] for name, line in told.items()} == {
        name_of(sickness): state for sickness, (state, _) in EXPECTED.items()
    }
    for sickness, (state, words) in EXPECTED.items():
        line = told[name_of(sickness)]
        assert words in line["reason"], sickness
        if state != "OK":
            after = parse_rfc3339(line["since"]) - start - FELL_SICK
            assert -ANSWERED <= after <= 2 * INTERVAL, f"{sickness}: {after} after it fell sick"


def _check_indicators(tables: dict[str, list[Any]], *, last: bool) -> None:
    """Every domain's address is there, listed and as alive as it is; only what left the zone is mitigated."""
    rows = {row.domain: row for row in tables["uri"]}
    assert set(rows) == {GONE, *(domain_of(sickness) for sickness in EXPECTED)}
    assert {row.ended for row in tables["sighting"]} == {None}
    for domain, row in rows.items():
        if domain == GONE and last:
            assert row.state == "mitigated-dns"
        else:
            assert (row.state, row.validated) == ("active", 1), domain
            assert "listed" in row.flags.split(","), domain
