"""What status says of coverage: how many indicators were wholly checked, and why the others were not."""

from __future__ import annotations

import datetime as dt

import pytest

from panopticond.model import Observation, Round, Subject
from panopticond.status.answer import Health, _uncovered, _wrong
from panopticond.status.components import unchecked
from panopticond.status.coverage import Coverage

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
URI = Subject(1, "http://a.zz/x", "a.zz", "a.zz", "zz", "registered", ("phishing",))
HOST = Subject(2, None, "a.zz", "a.zz", "zz", "registered", ("phishing",))


def round_of(*seen: tuple[str, str, str, str]) -> Round:
    """(kind, vantage, outcome, reason) each."""
    return Round(
        NOW,
        tuple(
            Observation(kind, "a.zz", vantage, NOW, outcome, {"reason": reason} if reason else {})  # type: ignore[arg-type]
            for kind, vantage, outcome, reason in seen
        ),
    )


DELEGATED = ("delegation", "direct", "delegated", "")
NEAR = ("web", "near", "gone", "status-404")


@pytest.mark.parametrize(
    ("subject", "seen", "why"),
    [
        (URI, [DELEGATED, NEAR, ("web", "far", "failed", "refused")], ""),
        (URI, [("delegation", "direct", "not-in-zone", "")], ""),
        (URI, [("delegation", "direct", "held", "")], ""),
        (URI, [("delegation", "direct", "indeterminate", "timeout"), NEAR], "servers of .zz: timeout"),
        (URI, [DELEGATED, NEAR, ("web", "far", "indeterminate", "proxy-407")], "vantage far: proxy-407"),
        (URI, [DELEGATED, NEAR, ("web", "far", "indeterminate", "guard")], ""),
        (URI, [DELEGATED, ("web", "near", "guarded", "status-429"), ("web", "far", "live", "")], ""),
        (URI, [DELEGATED, ("web", "near", "not-probed", "unsubscribe")], ""),
        (HOST, [DELEGATED, ("address", "direct", "no-address", "nxdomain")], ""),
        (HOST, [DELEGATED, ("address", "direct", "indeterminate", "servfail")], "unfiltered resolver: servfail"),
    ],
)
def test_a_round_that_saw_nothing_names_who_did_not_answer(
    subject: Subject, seen: list[tuple[str, str, str, str]], why: str
) -> None:
    """Ours and what we depend on is named; what a site or our own guard prevents is no missing check."""
    assert unchecked(subject, round_of(*seen)) == why


def test_too_few_whole_indicators_are_said_first_with_their_causes() -> None:
    """Below 95 % a sentence tells late from unanswered and names the commonest causes."""
    bad = Coverage(400, 390, 10, 60, 100, 70, {"vantage near: proxy-407": 20, "late": 10})
    sentence = _uncovered(bad)
    assert sentence == (
        "only 70 of 100 indicators had every check of the last 24 hours, on time and answered: "
        "10 checks late or not made, 60 made without an answer; "
        "indicators by cause: 20 vantage near: proxy-407, 10 late"
    )
    assert _wrong(Health(), [], bad, (), ()) == [sentence]
    good = Coverage(400, 399, 1, 0, 100, 99, {"late": 1})
    assert _wrong(Health(), [], good, (), ()) == []
    assert _wrong(Health(), [], Coverage(0, 0, 0), (), ["x"]) == ["x"]
