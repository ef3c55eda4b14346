"""monitoring/state of our own service: up, expired, a dead feed, half the checks missed; the shape of the reference."""

from __future__ import annotations

import datetime as dt
import json

import msgspec
import pytest

from panopticond.serve.domainlists import Figures
from panopticond.serve.monitoring import state
from panopticond.shared import mosapi
from panopticond.shared.tables import FeedRow, SightingRow, SnapshotRow

TO = dt.datetime(2026, 11, 21, 6, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
ROW = SnapshotRow(
    "zz", 2026112101, 1, "2026-11-20T06:00:00Z", "2026-11-21T06:00:00Z", "2026-11-21T06:05:00Z", 0, 40, 40, None,
    "panopticon", "UTC", "near:NZ far:DE", None,
)  # fmt: skip


def feed(
    name: str, health: str = "OK", threat: str | None = "phishing", success: str = "2026-11-21T05:00:00Z"
) -> FeedRow:
    return FeedRow(
        name,
        "url-list",
        "remediation",
        "reputable",
        "aged-out",
        threat,
        health,
        "2026-11-21T01:00:00Z",
        "",
        success,
        None,
        1,
        1,
        0,
        None,
    )


GOOD = Figures(ROW, TO + 36 * HOUR, (feed("a"), feed("b")), (), 3)


def said(figures: Figures | None, now: dt.datetime = TO + HOUR) -> dict[str, str]:
    """Every status by service, the TLD's own under its name."""
    found = state("zz", figures, now)
    return {"zz": found.status, **{name: service.status for name, service in found.tested_services.items()}}


def test_all_is_well() -> None:
    """Every service up, no incident, thresholds 0, the last update the time of issue; the reference's keys."""
    found = json.loads(mosapi.encode(state("zz", GOOD, TO + HOUR)))
    up = {"status": "Up", "emergencyThreshold": 0.0, "incidents": []}
    assert found == {
        "version": 2,
        "tld": "zz",
        "lastUpdateApiDatabase": int((TO + dt.timedelta(minutes=5)).timestamp()),
        "status": "Up",
        "testedServices": {"PUBLICATION": up, "FEEDS": up, "VALIDATION": up},
    }


@pytest.mark.parametrize(
    ("hours", "status", "used"),
    [(24, "Up", 0.0), (30, "Up", 50.0), (35.999, "Up", 99.99), (36, "Down", 100.0), (900, "Down", 100.0)],
)
def test_publication_is_down_once_the_snapshot_has_expired(hours: float, status: str, used: float) -> None:
    """The threshold rises from a day after ``to``; the incident began when it expired."""
    service = state("zz", GOOD, TO + hours * HOUR).tested_services["PUBLICATION"]
    assert (service.status, service.emergency_threshold) == (status, used)
    if status == "Down":
        (incident,) = service.incidents  # type: ignore[misc]
        assert incident.start_time == int((TO + 36 * HOUR).timestamp())
        assert incident.incident_id.startswith(f"{incident.start_time}.")
        assert (incident.end_time, incident.false_positive, incident.state) == (None, False, "Active")


def test_a_dead_feed_with_a_living_twin_is_an_incident_and_no_outage() -> None:
    """Half of the feeds in trouble is half of the threshold; the incident began when the trouble did."""
    figures = msgspec.structs.replace(GOOD, feeds=(feed("a"), feed("b", "PARSE")))
    service = state("zz", figures, TO).tested_services["FEEDS"]
    assert (service.status, service.emergency_threshold) == ("Up", 50.0)
    assert [incident.start_time for incident in service.incidents] == [int((TO - 5 * HOUR).timestamp())]  # type: ignore[union-attr]


def test_a_threat_type_nobody_reads_is_an_outage() -> None:
    """Whether a feed declares its threat or its rows do."""
    malware = SightingRow("i0", "mixed", "malware", "x", "x", None)
    for figures in (
        msgspec.structs.replace(GOOD, feeds=(feed("a"), feed("m", "EMPTY", "malware"))),
        msgspec.structs.replace(
            GOOD, feeds=(feed("a"), feed("mixed", "AUTH", None, "2026-11-01T00:00:00Z")), carried=(malware,)
        ),
        msgspec.structs.replace(GOOD, feeds=(feed("a", "NEW"),)),
    ):
        assert said(figures) == {"zz": "Down", "PUBLICATION": "Up", "FEEDS": "Down", "VALIDATION": "Up"}


def test_passing_trouble_is_no_outage() -> None:
    """A feed read within the interval and unreachable now still counts as read."""
    assert said(msgspec.structs.replace(GOOD, feeds=(feed("a", "UNREACHABLE"), feed("b"))))["FEEDS"] == "Up"


def test_validation_is_down_without_checks_or_vantages() -> None:
    """Under half of the due checks, or figures nobody can give although feeds work; three quarters is half-way there."""
    few = msgspec.structs.replace(GOOD, snapshot=msgspec.structs.replace(ROW, checks_done=19))
    blind = msgspec.structs.replace(GOOD, total=-1)
    assert said(few)["VALIDATION"] == said(blind)["VALIDATION"] == "Down"
    some = msgspec.structs.replace(GOOD, snapshot=msgspec.structs.replace(ROW, checks_done=30))
    assert state("zz", some, TO).tested_services["VALIDATION"].emergency_threshold == 50.0
    idle = msgspec.structs.replace(GOOD, snapshot=msgspec.structs.replace(ROW, checks_due=0, checks_done=0))
    assert said(idle)["VALIDATION"] == "Up"


def test_what_is_not_there_is_disabled_or_inconclusive() -> None:
    """No feeds at all, no vantage named, no snapshot yet: never Up."""
    bare = msgspec.structs.replace(GOOD, feeds=(), snapshot=msgspec.structs.replace(ROW, vantages=""))
    assert said(bare) == {
        "zz": "Up-inconclusive",
        "PUBLICATION": "Up",
        "FEEDS": "Disabled",
        "VALIDATION": "UP-inconclusive-no-probes",
    }
    assert said(None) == {"zz": "Up-inconclusive"} | dict.fromkeys(
        ("PUBLICATION", "FEEDS", "VALIDATION"), "UP-inconclusive-no-data"
    )
