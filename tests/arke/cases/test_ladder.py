"""arke.cases.ladder: who is told what and when, against design section 9."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest

from arke.cases.ladder import HOSTER_BESIDE, History, due_indicators, hoster_heard, standing, step
from arke.cases.parties import Told, parties
from arke.cases.settings import Hours, Ladder
from arke.mail.notice import effective_template
from tests.arke.made import NOW, OPENED, case, contacts, indicator

SETTINGS = Ladder()
HOUR = dt.timedelta(hours=1)


def told(party: str = "h", *, accepted: dt.datetime | None = NOW, **changes: Any) -> Told:
    base = Told(OPENED, party, "new", 1, case().said, "accepted" if accepted else "queued", accepted)
    return msgspec.structs.replace(base, **changes)


def done(rung: int = 1, *, hours: float = 0.0, **changes: Any) -> History:
    """The first rung completed so many hours ago."""
    at = NOW - hours * HOUR
    base = History((told(accepted=at),), OPENED, rung, at, case().said)
    return msgspec.structs.replace(base, **changes)


@pytest.mark.parametrize(
    ("abuse_class", "template", "roles"),
    [
        ("undetermined", "new", ("registrant", "administrative", "technical")),
        ("compromised", "new", ("registrant", "administrative", "technical")),
        ("malicious", "malicious", ("registrant", "abuse", "registrar")),
    ],
)
def test_the_first_rung_depends_on_the_class(abuse_class: str, template: str, roles: tuple[str, ...]) -> None:
    """Neutral classes go to the holder's contacts; malicious to registrant and registrar, each with its template."""
    found = step(case(abuse_class=abuse_class), History(), NOW, SETTINGS)
    assert (found.action, found.rung, found.template, found.roles) == ("send", 1, template, roles)
    assert effective_template(found.template, "abuse") == "registrar"
    assert effective_template(found.template, "registrant") == template


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"abuse_class": "shared-service"}, "shared-service"),
        ({"popular": True}, "popular"),
        ({"critical": True}, "critical"),
        ({"indicators": (indicator(flags=("review",)),)}, "review"),
    ],
)
def test_what_waits_for_a_person(changes: dict[str, Any], reason: str) -> None:
    """Shared, popular, critical and reviewed cases hold with the reason; an approval lets them go, a refusal ends them."""
    held = case(**changes)
    assert (step(held, History(), NOW, SETTINGS).action, step(held, History(), NOW, SETTINGS).reason) == (
        "hold",
        reason,
    )
    for word, action in (("approved", "send"), ("rejected", "nothing"), ("withheld", "nothing"), ("held", "hold")):
        history = History(opening=OPENED, decisions={reason: word})
        assert step(held, history, NOW, SETTINGS).action == action, word


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "mitigated"},
        {"state": "lapsed"},
        {"indicators": ()},
        {"indicators": (indicator(validated=False),)},
        {"indicators": (indicator(state="mitigated-dns"),)},
    ],
)
def test_no_mail_without_an_open_case_and_a_validated_indicator(changes: dict[str, Any]) -> None:
    """Nothing is sent for a closed incident, nor without a validated indicator that still stands."""
    assert step(case(**changes), History(), NOW, SETTINGS).action == "nothing"


def test_nothing_is_repeated_while_nothing_changed() -> None:
    """The same hosts and threats again: nothing; another URI of the same host is no change either."""
    assert step(case(), done(), NOW, SETTINGS).action == "nothing"
    more = case(indicators=(indicator(), indicator(id="i2", uri="http://bad.zz/other")))
    assert step(more, done(), NOW, SETTINGS).action == "nothing"


@pytest.mark.parametrize("extra", [{"host": "sub.bad.zz"}, {"threats": ("malware",)}])
def test_a_new_host_or_threat_is_a_change(extra: dict[str, Any]) -> None:
    """It goes as a reminder to the first rung's parties."""
    changed = case(indicators=(indicator(), indicator(id="i2", **extra)))
    found = step(changed, done(), NOW, SETTINGS)
    assert (found.action, found.template, found.rung) == ("send", "reminder", 1)


def test_a_reopening_begins_again() -> None:
    """After an accepted mail of an earlier opening the first rung is due anew, as reopened."""
    again = case(reopened=(NOW,))
    found = step(again, done(hours=40), NOW, SETTINGS)
    assert (found.action, found.template, found.rung) == ("send", "reopened", 1)


def test_later_rungs_count_from_the_first_accepted_mail_and_wait_for_a_person() -> None:
    """Registrar after 24 h, the registry's review after 72 h; approved or configured, the registrar is written to."""
    assert step(case(), done(hours=23), NOW, SETTINGS).action == "nothing"
    held = step(case(), done(hours=25), NOW, SETTINGS)
    assert (held.action, held.reason, held.rung) == ("hold", "registrar-rung", 2)
    for history, settings in (
        (done(hours=25, decisions={"registrar-rung": "approved"}), SETTINGS),
        (done(hours=25), msgspec.structs.replace(SETTINGS, approve_later_rungs=False)),
    ):
        sent = step(case(), history, NOW, settings)
        assert (sent.action, sent.template, sent.rung, sent.roles) == ("send", "registrar", 2, ("abuse", "registrar"))
    review = step(case(), done(hours=73), NOW, SETTINGS)
    assert (review.action, review.reason) == ("hold", "registry-review")
    unaccepted = done(hours=73, told=(told(accepted=None),))
    assert step(case(), unaccepted, NOW, SETTINGS).action == "nothing"
    malicious = case(abuse_class="malicious")
    reviewed = done(hours=30, decisions={"registry-review": "waiting"})
    both = msgspec.structs.replace(reviewed, told=(*reviewed.told, told("r", template="registrar")))
    assert step(malicious, both, NOW, SETTINGS).action == "nothing"
    assert step(malicious, reviewed, NOW, SETTINGS).reason == "registrar-rung"


def test_what_becomes_malicious_later_is_reviewed_at_once() -> None:
    """Told neutrally before, an hour ago: the registry's review does not wait for the third day."""
    held = step(case(abuse_class="malicious"), done(hours=1), NOW, SETTINGS)
    assert (held.action, held.reason) == ("hold", "registry-review")


@pytest.mark.parametrize("state", ["failed", "bounced"])
def test_where_no_mail_arrived_the_ladder_goes_on_from_the_last_failure(state: str) -> None:
    """Every notice lost: the registrar rung a day after the last one was; one still on its way waits."""
    lost = told(accepted=None, state=state, settled=NOW - 25 * HOUR)
    later = told("b", accepted=None, state=state, settled=NOW - 23 * HOUR)
    assert step(case(), done(hours=99, told=(lost,)), NOW, SETTINGS).reason == "registrar-rung"
    assert step(case(), done(hours=99, told=(lost, later)), NOW, SETTINGS).action == "nothing"
    waits = told("b", accepted=None, state="retry")
    assert step(case(), done(hours=99, told=(lost, waits)), NOW, SETTINGS).action == "nothing"


def test_what_everybody_knows_does_not_hold_up_the_later_rungs() -> None:
    """Something new by the snapshot, known to every party: the deadlines run on."""
    more = case(indicators=(indicator(), indicator(id="i2", host="sub.bad.zz")))
    assert step(more, done(hours=25), NOW, SETTINGS).reason == "something new"
    assert step(more, done(hours=25), NOW, SETTINGS, all_know=True).reason == "registrar-rung"


def test_a_name_the_registrys_zone_lacks_is_not_written_about() -> None:
    """Gone from the zone: nothing is sent; without a zone, or in it, the case goes its way."""
    found = step(case(in_zone=False), History(), NOW, SETTINGS)
    assert (found.action, found.reason) == ("nothing", "not in the registry's zone")
    for in_zone in (None, True):
        assert step(case(in_zone=in_zone), History(), NOW, SETTINGS).action == "send"


@pytest.mark.parametrize(
    ("changes", "decisions", "template", "rung", "word"),
    [
        ({}, {}, "new", 1, "go"),
        ({}, {"popular": "withheld"}, "new", 1, "withdraw"),
        ({}, {"recheck": "rejected"}, "new", 1, "withdraw"),
        ({}, {"registrar-rung": "rejected"}, "new", 1, "go"),
        ({}, {"registrar-rung": "rejected"}, "registrar", 2, "withdraw"),
        ({}, {"hoster-rung": "rejected"}, "registrar", 2, "go"),
        ({}, {"hoster-rung": "rejected"}, "hoster", 4, "withdraw"),
        ({}, {"hoster-rung": "rejected"}, "hoster", 1, "go"),
        ({}, {"hoster-rung": "withheld"}, "new", 1, "withdraw"),
        ({}, {"recheck": "held"}, "new", 1, "wait"),
        ({"popular": True}, {}, "new", 1, "wait"),
        ({"popular": True}, {"popular": "approved"}, "new", 1, "go"),
        ({"in_zone": False}, {}, "new", 1, "withdraw"),
        ({"state": "lapsed"}, {}, "new", 1, "withdraw"),
        ({"state": "mitigated"}, {}, "new", 1, "withdraw"),
        ({"state": "mitigated"}, {}, "resolved", 9, "go"),
        ({}, {}, "resolved", 9, "withdraw"),
        ({"indicators": (indicator(validated=False),)}, {}, "new", 1, "withdraw"),
        ({"indicators": (indicator(flags=("review",)),)}, {}, "new", 1, "withdraw"),
    ],
)
def test_a_waiting_notice_stands_only_while_it_could_be_written_again(
    changes: dict[str, Any], decisions: dict[str, str], template: str, rung: int, word: str
) -> None:
    """Refused, over, unvalidated, in review or out of the zone: withdrawn; what waits for a person waits."""
    assert standing(case(**changes), decisions, template, rung, SETTINGS) == word


def test_a_rejected_later_rung_leaves_the_case_itself_alone() -> None:
    """A rejection of the registrar rung stops that rung; a withhold anywhere stops everything."""
    rejected = done(hours=25, decisions={"registrar-rung": "rejected"})
    assert step(case(), rejected, NOW, SETTINGS).action == "nothing"
    changed = case(indicators=(indicator(), indicator(id="i2", host="new.bad.zz")))
    assert step(changed, rejected, NOW, SETTINGS).action == "send"
    withheld = done(hours=25, decisions={"registry-review": "withheld"})
    assert step(changed, withheld, NOW, SETTINGS).action == "nothing"


def test_reviewed_indicators_are_left_out_until_confirmed() -> None:
    """A case with a reviewed and a plain indicator speaks of the plain one only."""
    both = case(indicators=(indicator(), indicator(id="i2", host="two.bad.zz", flags=("review",))))
    assert [item.id for item in due_indicators(both, {})] == ["i1"]
    assert len(due_indicators(both, {"review": "approved"})) == 2
    assert step(both, done(), NOW, SETTINGS).action == "nothing"


def test_resolved_is_said_once_to_those_who_took_a_mail() -> None:
    """A mitigated case is told to whoever accepted a mail of this opening, to nobody else and not twice."""
    over = case(state="mitigated")
    assert step(over, History(), NOW, SETTINGS).action == "nothing"
    assert step(over, done(told=(told(accepted=None, state="failed"),)), NOW, SETTINGS).action == "nothing"
    found = step(over, done(), NOW, SETTINGS)
    assert (found.action, found.template, found.rung) == ("send", "resolved", 9)
    assert effective_template(found.template, "abuse") == "resolved"
    known = contacts(registrant="h", technical="other", administrative="h").contacts
    assert [item.address for item in parties(over, found, known, done().told, str)[0]] == ["h"]
    assert parties(over, found, known, (*done().told, told(template="resolved")), str) == ((), "")
    assert step(over, done(9), NOW, SETTINGS).action == "nothing"
    assert step(over, done(decisions={"popular": "withheld"}), NOW, SETTINGS).action == "nothing"


def test_resolved_waits_for_a_notice_on_its_way() -> None:
    """While a notice of this opening may still arrive, nobody hears that it is over."""
    late = done(told=(told(), told("b", accepted=None, state="retry")))
    assert step(case(state="mitigated"), late, NOW, SETTINGS).action == "nothing"


def test_a_later_opening_is_a_reopening_for_those_who_were_told() -> None:
    """Back within ninety days: the first rung again, with its own template."""
    again = case(reopened=(NOW,))
    assert step(again, done(9), NOW, SETTINGS).template == "reopened"


def test_office_hours_hold_later_rungs_and_deadlines_run_on() -> None:
    """On a Sunday or a holiday the registrar rung waits, the first one only when configured so."""
    hours = Hours(zone="Asia/Dili", holidays=(dt.date(2026, 3, 6),))
    office = Ladder(hours=hours, approve_later_rungs=False, review_after="900h")
    thursday = NOW.replace(hour=1)  # ten in the morning in Dili
    late = done(hours=60)
    assert step(case(), late, thursday, office).action == "send"
    for away in (thursday + dt.timedelta(days=1), thursday + dt.timedelta(days=3), thursday.replace(hour=12)):
        assert step(case(), late, away, office).reason == "waits for office hours"
        assert step(case(), History(), away, office).action == "send"
    always = msgspec.structs.replace(office, hours=msgspec.structs.replace(hours, first_rung=True))
    assert step(case(), History(), thursday.replace(hour=12), always).action == "nothing"


def test_roles_pace_and_stagger_are_the_operators() -> None:
    """The first rung's contacts, the time between rungs and the spreading of first notices come from the configuration."""
    assert step(case(), History(), NOW, Ladder(first=("registrant",))).roles == ("registrant",)
    slow = Ladder(between="48h", approve_later_rungs=False)
    assert step(case(), done(hours=30), NOW, slow).action == "nothing"
    assert step(case(), done(hours=49), NOW, slow).action == "send"
    spread = Ladder(stagger="100d")
    turns = [step(case(id=f"zz-{number}"), History(), NOW, spread).action for number in range(50)]
    assert turns.count("nothing") > 30
    assert step(case(id="zz-1"), History(), NOW + dt.timedelta(days=100), spread).action == "send"


BESIDE = Ladder(first=("registrant", "hoster"), malicious_first=("registrant", "abuse", "hoster"))
HEARD = hoster_heard(case().said)


def test_the_hoster_is_nobody_unless_the_operator_says_so() -> None:
    """By default no step of any class names it, however long the case lasts."""
    for abuse_class in ("undetermined", "malicious", "compromised"):
        for history in (History(), done(hours=25), done(hours=500, decisions={"registry-review": "waiting"})):
            assert "hoster" not in step(case(abuse_class=abuse_class), history, NOW, SETTINGS).roles


def test_the_hoster_may_stand_on_the_first_rung() -> None:
    """Told with the contacts, by itself, with its own template; done with, it is not told again."""
    found = step(case(), History(), NOW, BESIDE)
    assert (found.action, found.rung, found.roles) == ("send", 1, ("registrant", "hoster"))
    assert (effective_template(found.template, "hoster"), effective_template(found.template, "registrant")) == (
        "hoster",
        "new",
    )
    assert step(case(), done(said=case().said | HEARD), NOW, BESIDE).action == "nothing"


def test_a_hoster_that_could_not_be_known_is_told_when_it_can() -> None:
    """Still of the first rung: nobody's word is needed, and no day has to pass; nothing of it holds up the others."""
    owed = step(case(), done(hours=1), NOW, BESIDE)
    assert (owed.action, owed.reason, owed.rung, owed.roles) == ("send", HOSTER_BESIDE, 1, ("hoster",))
    assert step(case(), done(hours=1), NOW, BESIDE, passed=(HOSTER_BESIDE,)).action == "nothing"
    later = step(case(), done(hours=25), NOW, BESIDE, all_know=True, passed=(HOSTER_BESIDE,))
    assert (later.action, later.reason) == ("hold", "registrar-rung")
    assert step(case(state="mitigated"), done(9), NOW, BESIDE).action == "nothing"


def test_a_change_goes_to_a_hoster_that_was_told() -> None:
    """A new host or threat; and to one whose rung has not come yet it does not."""
    more = case(indicators=(indicator(), indicator(id="i2", threats=("malware",))))
    told_before = done(said=case().said | HEARD)
    assert step(more, told_before, NOW, BESIDE).roles == ("registrant", "hoster")
    after = Ladder(hoster_after="12h")
    assert step(more, told_before, NOW, after).roles == ("registrant", "administrative", "technical", "hoster")
    assert "hoster" not in step(more, done(), NOW, after).roles
    resolved = step(case(state="mitigated"), told_before, NOW, BESIDE)
    assert (resolved.template, "hoster" in resolved.roles) == ("resolved", False)


def test_the_hoster_may_have_a_rung_of_its_own_before_or_after_the_registrar() -> None:
    """By its own time after the first accepted mail; it waits for a person unless the configuration says otherwise."""
    early = Ladder(hoster_after="12h")
    assert step(case(), done(hours=11), NOW, early).action == "nothing"
    assert step(case(), done(hours=25), NOW, early).reason == "hoster-rung"
    held = step(case(), done(hours=24), NOW, early)
    assert (held.action, held.reason, held.rung) == ("hold", "hoster-rung", 4)
    approved = done(hours=25, decisions={"hoster-rung": "approved"})
    sent = step(case(), approved, NOW, early)
    assert (sent.action, sent.rung, sent.template, sent.roles) == ("send", 4, "hoster", ("hoster",))
    by_itself = msgspec.structs.replace(early, approve_later_rungs=False)
    assert step(case(), done(hours=25), NOW, by_itself).reason == "hoster rung"
    gone_by = msgspec.structs.replace(approved, said=case().said | HEARD)
    assert step(case(), gone_by, NOW, early).reason == "registrar-rung"
    late = Ladder(hoster_after="48h", approve_later_rungs=False)
    assert step(case(), done(hours=49), NOW, late).reason == "registrar rung"
    assert step(case(), done(2, hours=49), NOW, late).reason == "hoster rung"


def test_one_later_rung_does_not_hold_up_the_other() -> None:
    """Queued, refused, or without anybody to be told: the other goes its way, in its own time."""
    both = Ladder(hoster_after="24h")
    registrar_waits = done(hours=25, decisions={"registrar-rung": "waiting"})
    assert step(case(), registrar_waits, NOW, both).reason == "hoster-rung"
    two_wait = done(hours=25, decisions={"registrar-rung": "waiting", "hoster-rung": "waiting"})
    assert step(case(), two_wait, NOW, both).reason == "registrar-rung"
    refused = done(hours=25, decisions={"registrar-rung": "rejected", "hoster-rung": "approved"})
    assert step(case(), refused, NOW, both).reason == "hoster rung"
    both_refused = done(hours=25, decisions={"registrar-rung": "rejected", "hoster-rung": "rejected"})
    assert step(case(), both_refused, NOW, both).action == "nothing"
    by_itself = msgspec.structs.replace(both, approve_later_rungs=False)
    assert step(case(), done(hours=25), NOW, by_itself).reason == "registrar rung"
    assert step(case(), done(hours=25), NOW, by_itself, passed=("registrar rung",)).reason == "hoster rung"
    assert step(case(), done(hours=25), NOW, by_itself, passed=("registrar rung", "hoster rung")).action == "nothing"
