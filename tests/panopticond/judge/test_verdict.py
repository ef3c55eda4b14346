"""Each rule of the state table, by rounds made by hand."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pytest

from panopticond.judge.fingerprint import fingerprint
from panopticond.judge.verdict import Listing, judge, sufficient_trust, validated
from panopticond.model import Observation, Round, Sighting, Subject

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
URI = "http://a.zz/kit"
KIT = fingerprint("a.zz", 200, "Sign in", 900, b"<html><form><input><input></form></html>")
OTHER = fingerprint("a.zz", 200, "Gardens", 5000, b"<html><ul><li></ul><p><p></html>")
SUBJECT = Subject(1, URI, "a.zz", "a.zz", "zz", "registered", ("phishing",))
HOST = Subject(2, None, "a.zz", "a.zz", "zz", "registered", ("malware",))


def seen(
    hours: float, near: str = "live", far: str | None = None, *, zone: str = "delegated", address: str = "resolves",
    page: str = KIT, registration: str | None = None, **detail: str,
) -> Round:  # fmt: skip
    """A round: what the two vantages, the zone and the resolver said."""
    at = T0 + dt.timedelta(hours=hours)
    made = [
        Observation("delegation", "a.zz", "direct", at, zone),
        Observation("address", "a.zz", "direct", at, address),
    ]
    for vantage, outcome in (("near", near), ("far", far or near)):
        extra = {"fingerprint": page, "domain": "a.zz"} if outcome == "live" else {}
        made.append(Observation("web", URI, vantage, at, outcome, {**extra, **detail}))
    if registration:
        made.append(Observation("registration", "a.zz", "direct", at, registration))
    return Round(at, tuple(made))


def state(rounds: Sequence[Round], subject: Subject = SUBJECT, listing: Listing | None = None) -> str:
    return judge(subject, rounds, listing).state


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ([seen(0)], "active"),
        ([seen(0, "live", "gone")], "active"),
        ([seen(0), seen(6, "gone")], "unreachable"),
        ([seen(0), *(seen(6 * n, "gone") for n in range(1, 5))], "unreachable"),
        ([seen(0), *(seen(6 * n, "gone") for n in range(1, 6))], "mitigated-content"),
        ([*(seen(6 * n, "gone") for n in range(5))], "mitigated-content"),
        ([seen(0), seen(6, "failed"), seen(12, "indeterminate"), seen(18, "gone"), seen(24, "gone"), seen(31, "gone")], "mitigated-content"),
        ([seen(0), seen(6, "gone"), seen(12, "live"), seen(18, "gone"), seen(24, "gone"), seen(30, "gone")], "unreachable"),
        ([seen(0), seen(6, "gone", "indeterminate")], "indeterminate"),
        ([seen(0, zone="not-in-zone", near="indeterminate")], "mitigated-dns"),
        ([seen(0, zone="held")], "mitigated-dns"),
        ([seen(0), seen(6, "gone", reason="hold")], "mitigated-dns"),
        ([seen(0, address="sinkhole")], "mitigated-dns"),
        ([seen(0, zone="indeterminate")], "indeterminate"),
        ([seen(0), seen(6, page=OTHER)], "active"),
        ([seen(0), seen(6, page=OTHER), seen(12, page=OTHER)], "changed"),
        ([seen(0), seen(6, page=OTHER), seen(12)], "active"),
        ([seen(0, "not-probed")], "indeterminate"),
        ([], "indeterminate"),
    ],
)  # fmt: skip
def test_the_first_rule_that_holds_gives_the_state(rounds: list[Round], expected: str) -> None:
    """The table of design section 4, row by row."""
    assert state(rounds) == expected


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        ([seen(0, "gone")], "active"),
        ([seen(0), seen(6, address="no-address")], "unreachable"),
        ([seen(0), *(seen(6 * n, address="no-address") for n in range(1, 6))], "mitigated-content"),
        ([seen(0), seen(6, address="indeterminate")], "indeterminate"),
    ],
)
def test_a_host_level_entry_is_judged_by_its_address(rounds: list[Round], expected: str) -> None:
    """Web answers neither validate nor mitigate it."""
    assert state(rounds, HOST) == expected


def test_rdap_refines_a_name_that_is_not_in_the_zone() -> None:
    """Registered is undelegated, 404 is nonexistent, unknown stays not-in-zone."""
    for registration, expected in (
        ("registered", "undelegated"),
        ("nonexistent", "nonexistent"),
        ("indeterminate", "not-in-zone"),
    ):
        assert (
            judge(SUBJECT, [seen(0, "indeterminate", zone="not-in-zone", registration=registration)]).delegation
            == expected
        )


def test_a_sign_of_cloaking_stands_for_seven_days_and_forbids_mitigated_content() -> None:
    """Dark everywhere for days after a disagreement is unreachable, not mitigated; a week later it counts."""
    rounds = [seen(0, "live", "gone"), *(seen(6 * n, "gone") for n in range(1, 27))]
    verdict = judge(SUBJECT, rounds)
    assert (verdict.state, verdict.flags) == ("unreachable", ("cloak_suspect",))
    later = judge(SUBJECT, [*rounds, *(seen(6 * n, "gone") for n in range(27, 30))])
    assert (later.state, later.flags) == ("mitigated-content", ())


def test_the_signs_of_cloaking() -> None:
    """Disagreement, a challenge, 403 from one place, a redirect abroad; the same 403 everywhere is none."""
    signs = [
        seen(0, "live", "failed"),
        seen(0, "gone", "guarded"),
        seen(0, "guarded", challenge="x"),
        seen(0, "gone", domain="b.zz"),
    ]
    assert all("cloak_suspect" in judge(SUBJECT, [round_]).flags for round_ in signs)
    assert judge(SUBJECT, [seen(0, "guarded")]).flags == ()


def test_absence_proves_nothing_about_an_altered_uri() -> None:
    """A masked token: unreachable and mitigated-content read indeterminate, the last state is kept with its age."""
    altered = Subject(1, URI, "a.zz", "a.zz", "zz", "registered", ("phishing",), altered=True)
    verdict = judge(altered, [seen(0), *(seen(6 * n, "gone") for n in range(1, 8))])
    assert (verdict.state, verdict.last_known, verdict.last_known_at) == ("indeterminate", "active", T0)
    assert "altered" in verdict.flags


def test_what_goes_to_review() -> None:
    """Changed; withdrawn by every feed while live; a person's decision ends it."""
    changed = [seen(0), seen(6, page=OTHER), seen(12, page=OTHER)]
    assert "review" in judge(SUBJECT, changed, Listing(listed=True)).flags
    assert "review" in judge(SUBJECT, [seen(0)], Listing(withdrawn=True)).flags
    assert "review" not in judge(SUBJECT, [seen(0)], Listing(listed=False)).flags
    assert "review" not in judge(SUBJECT, changed, Listing(decision="confirm")).flags
    unlisted = Listing(last_listed=T0 - dt.timedelta(days=31))
    assert "review" in judge(HOST, [seen(0)], unlisted).flags


def test_time_to_mitigation_is_an_interval() -> None:
    """last_active and first_gone bound the moment it went."""
    verdict = judge(SUBJECT, [seen(0), seen(6), seen(12, "gone"), seen(18, "gone")])
    assert (verdict.last_active, verdict.first_gone) == (T0 + dt.timedelta(hours=6), T0 + dt.timedelta(hours=12))


def test_validation_needs_trust_and_recent_activity() -> None:
    """One reputable or two supporting feeds since the registration began, and active in the 24 h before `to`."""
    verdict = judge(SUBJECT, [seen(0)])
    trusts = {"good": "reputable", "one": "supporting", "two": "supporting"}
    when = T0 + dt.timedelta(hours=1)

    def sightings(*feeds: str) -> list[Sighting]:
        return [Sighting(feed, "phishing", T0, when) for feed in feeds]

    assert sufficient_trust(trusts, sightings("good"), None)  # type: ignore[arg-type]
    assert not sufficient_trust(trusts, sightings("one"), None)  # type: ignore[arg-type]
    assert sufficient_trust(trusts, sightings("one", "two"), None)  # type: ignore[arg-type]
    assert not sufficient_trust(trusts, sightings("good"), when + dt.timedelta(days=1))  # type: ignore[arg-type]

    def check(hours: float, decision: str | None = None) -> bool:
        to = T0 + dt.timedelta(hours=hours)
        return validated(verdict, sightings("good"), trusts, registration_began=None, to=to, decision=decision)  # type: ignore[arg-type]

    assert check(24)
    assert not check(25)
    assert not check(1, "dismiss")


def test_the_hold_page_from_one_place_only_is_a_disguise() -> None:
    """Held needs the hold page at every vantage; a kit that shows it to some is a cloak suspect and stays active."""
    at = T0
    page = {"fingerprint": KIT, "domain": "a.zz"}
    near = Observation("web", URI, "near", at, "live", page)
    far = Observation("web", URI, "far", at, "gone", {"reason": "hold"})
    zone = Observation("delegation", "a.zz", "direct", at, "delegated")
    verdict = judge(SUBJECT, [Round(at, (zone, near, far))])
    assert (verdict.state, verdict.delegation) == ("active", "delegated")
    assert "cloak_suspect" in verdict.flags


def test_too_many_requests_is_no_answer_of_the_page() -> None:
    """429 everywhere is not dark: nothing was checked."""
    rounds = [seen(6 * n, "guarded", reason="status-429") for n in range(8)]
    assert state(rounds) == "indeterminate"


def test_only_rounds_in_which_the_vantages_agree_count_towards_content() -> None:
    """404 here and no connection there is not one word; unreachable, until it is so for seven days."""
    rounds = [seen(0), *(seen(6 * n, "gone", "failed") for n in range(1, 8))]
    assert state(rounds) == "unreachable"
    assert state([seen(0), *(seen(6 * n, "gone", "failed") for n in range(1, 31))]) == "mitigated-content"
