"""arke.cases.match: tables into cases."""

from __future__ import annotations

import datetime as dt

import msgspec

from arke.cases.match import match, reclassified
from panopticond.shared.clock import rfc3339
from tests.arke.made import NOW, OPENED, tables


def test_an_open_incident_becomes_a_case_with_its_evidence() -> None:
    """One line of evidence a vantage, of the round in which it was last active; the zone says whether it is there."""
    found = match(tables(names=("bad", "worse")), {"bad.zz": ("ns.x",)})
    assert [item.case.domain for item in found] == ["bad.zz", "worse.zz"]
    first = found[0].case
    assert (first.in_zone, found[1].case.in_zone, match(tables(), None)[0].case.in_zone) == (True, False, None)
    (only,) = first.indicators
    assert (only.uri, only.validated, only.feeds, only.first_seen) == ("http://bad.zz/kit/", True, ("good",), OPENED)
    assert [(line.vantage, line.outcome, line.status, line.title) for line in only.evidence] == [
        ("far", "gone", "404", ""),
        ("near", "live", "200", "Log in"),
    ]
    assert first.said == {"host:bad.zz", "threat:phishing"}


def test_feeds_that_must_stay_silent_cause_no_notice() -> None:
    """An indicator only a verdict-only feed knows is not validated here; a dismissed one is left out; so are surrogates."""
    rows = tables()
    rows["sighting"] = [msgspec.structs.replace(row, feed="quiet") for row in rows["sighting"]]
    assert not match(rows, None)[0].case.indicators[0].validated
    rows = tables()
    rows["uri"] = [msgspec.structs.replace(row, decision="dismiss") for row in rows["uri"]]
    assert match(rows, None)[0].case.indicators == ()
    rows["uri"] = [msgspec.structs.replace(tables()["uri"][0], uri=None)]
    assert match(rows, None)[0].case.indicators == ()


def test_a_shared_hosts_incident_holds_that_hosts_indicators_only() -> None:
    """Scope shared: one case a host."""
    rows = tables()
    shared = msgspec.structs.replace(rows["uri"][0], indicator="i9", host="a.pages.zz", domain="bad.zz", scope="shared")
    rows["uri"].append(shared)
    rows["incident"].append(msgspec.structs.replace(rows["incident"][0], id="zz-2026-00000b", host="a.pages.zz"))
    own, other = match(rows, None)
    assert [item.id for item in own.case.indicators] == ["i0000000000000000"]
    assert [item.id for item in other.case.indicators] == ["i9"]


def test_closed_incidents_are_no_cases_and_reopenings_are_openings() -> None:
    """Only open incidents are followed; the last reopening is the opening that counts."""
    rows = tables()
    rows["incident"] = [msgspec.structs.replace(rows["incident"][0], reopened=rfc3339(NOW))]
    assert match(rows, None)[0].case.opening == NOW
    rows["incident"] = [msgspec.structs.replace(rows["incident"][0], state="mitigated")]
    assert match(rows, None) == []


def test_the_zone_says_whether_it_holds_the_name() -> None:
    """Delegated or with an address of its own: it does; below a registry zone kept elsewhere nobody knows."""
    rows = tables(names=("bad", "own", "gone", "x.com", "y.net"))
    found = match(rows, {"bad.zz": (), "a.net.zz": (), "com.zz": ()}, {"own.zz"})
    assert {item.case.domain: item.case.in_zone for item in found} == {
        "bad.zz": True, "own.zz": True, "gone.zz": False, "x.com.zz": None, "y.net.zz": False,
    }  # fmt: skip
    assert match(rows, None)[0].case.in_zone is None


def test_the_registrys_own_date_is_put_to_the_same_rules() -> None:
    """A name registered days before, abused at its root under a lure word, becomes malicious; the same date changes nothing."""
    rows = tables(names=("secure-login",))
    rows["uri"] = [msgspec.structs.replace(row, uri="http://secure-login.zz/") for row in rows["uri"]]
    (found,) = match(rows, None)
    assert found.case.abuse_class == "undetermined"
    young = OPENED - dt.timedelta(days=9)
    assert reclassified(found, young, "R").abuse_class == "malicious"
    known = msgspec.structs.replace(found, case=msgspec.structs.replace(found.case, registered_at=young))
    assert reclassified(known, young, None).abuse_class == "undetermined"
    assert reclassified(found, None, None) == found.case


def test_another_date_makes_no_case_harsher_and_keeps_the_snapshots_signs() -> None:
    """The snapshot had a date: a younger one changes no class; an older one may; what it resembles is not forgotten."""
    rows = tables(names=("secure-login",), registered_at=rfc3339(OPENED - dt.timedelta(days=800)))
    rows["uri"] = [msgspec.structs.replace(row, uri="http://secure-login.zz/") for row in rows["uri"]]
    (found,) = match(rows, None)
    assert reclassified(found, OPENED - dt.timedelta(days=9), "R").abuse_class == "undetermined"
    rows = tables(
        registered_at=rfc3339(OPENED - dt.timedelta(days=5)),
        class_reasons="registered 5 days before the first report; resembles bank.example",
    )
    rows["incident"] = [msgspec.structs.replace(row, abuse_class="malicious") for row in rows["incident"]]
    (found,) = match(rows, None)
    assert reclassified(found, OPENED - dt.timedelta(days=7), None).abuse_class == "malicious"
    assert reclassified(found, OPENED - dt.timedelta(days=700), None).abuse_class == "undetermined"
