"""A bug of the judge's costs one verdict: logged once, told in status, and the others go on."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence

import pytest

from panopticond.judge.classify import Classification
from panopticond.judge.mistrial import Mistrials, netted
from panopticond.judge.verdict import Listing, judge
from panopticond.model import Observation, Round, Subject, Verdict, public_id

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
GOOD = Subject(1, None, "good.zz", "good.zz", "zz", "registered", ("phishing",))
BAD = Subject(2, None, "bad.zz", "bad.zz", "zz", "registered", ("phishing",))


def rounds() -> list[Round]:
    seen = Observation("delegation", "x.zz", "direct", NOW, "delegated")
    return [Round(NOW, (seen, Observation("address", "x.zz", "direct", NOW, "resolves")))]


class Buggy:
    """Judges, but for one subject for as long as it is not mended."""

    def __init__(self) -> None:
        self.mended = False

    def __call__(self, subject: Subject, seen: Sequence[Round], listing: Listing, **terms: int) -> Verdict:
        if subject.host == "bad.zz" and not self.mended:
            raise ZeroDivisionError(subject.host)
        return judge(subject, seen, listing, **terms)


def test_what_the_judge_raises_costs_one_verdict_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Indeterminate with its own rule, logged once without a name in the sentence; the neighbour is judged."""
    buggy = Buggy()
    judges = Mistrials(buggy)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            verdict = judges(BAD, rounds(), Listing(), popular_rank=5)
            assert (verdict.state, verdict.rule, verdict.at) == ("indeterminate", "could-not-judge", NOW)
            assert judges(GOOD, rounds(), Listing()).state == "active"
    assert [record.getMessage() for record in caplog.records] == [
        f"{public_id('bad.zz')} cannot be judged, which is a bug of ours; it reads indeterminate"
    ]
    assert caplog.records[0].exc_info is not None
    (sentence,) = judges.wrong()
    assert sentence.startswith(f"1 indicators could not be judged, a bug of ours ({public_id('bad.zz')}: ZeroDivision")
    buggy.mended = True
    assert judges(BAD, rounds(), Listing()).state == "active"
    assert judges.wrong() == []


def test_an_indicator_without_a_round_can_fail_too() -> None:
    """There is no time to date the verdict by, and none is made up."""
    assert Mistrials(Buggy())(BAD, [], Listing()).at is None


def test_what_an_assessment_raises_costs_one_class_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Undetermined with the reason, logged once without the name, told in status until it goes well again."""
    judges = Mistrials(judge)
    mended = Classification("compromised", ("an old name",), ())

    def fails() -> Classification:
        raise KeyError("bad.zz")

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            found = judges.assess("bad.zz", fails)
            assert (found.abuse_class, found.missing) == (
                "undetermined",
                ("our own assessment, which failed by a bug of ours",),
            )
    assert [record.getMessage() for record in caplog.records] == [
        f"{public_id('bad.zz')} cannot be assessed, which is a bug of ours; its class reads undetermined"
    ]
    (sentence,) = judges.wrong()
    assert sentence.startswith(f"1 domains could not be assessed, a bug of ours ({public_id('bad.zz')}: KeyError)")
    assert judges.assess("bad.zz", lambda: mended) == mended
    assert judges.wrong() == []


def test_a_net_is_not_put_around_a_net() -> None:
    """What was raised before stays known."""
    judges = Mistrials(judge)
    assert netted(judges) is judges
    assert isinstance(netted(judge), Mistrials)
