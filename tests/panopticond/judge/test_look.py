"""One round, read: which rounds say anything at all."""

from __future__ import annotations

import datetime as dt

import pytest

from panopticond.judge.look import answered
from panopticond.model import Observation, Round, Subject

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
URI = Subject(1, "http://a.zz/x", "a.zz", "a.zz", "zz", "registered", ("phishing",))
HOST = Subject(2, None, "a.zz", "a.zz", "zz", "registered", ("phishing",))
NOT = "indeterminate"


@pytest.mark.parametrize(
    ("subject", "seen", "says"),
    [
        (URI, [("delegation", "delegated"), ("web", "live"), ("web", NOT)], True),
        (URI, [("delegation", "delegated"), ("web", NOT), ("web", NOT)], False),
        (URI, [("delegation", NOT), ("web", "live"), ("web", "live")], False),
        (URI, [("delegation", "not-in-zone")], True),
        (URI, [("delegation", "held"), ("web", NOT)], True),
        (URI, [("delegation", "delegated"), ("web", "not-probed")], True),
        (URI, [], False),
        (HOST, [("delegation", "delegated"), ("address", "no-address")], True),
        (HOST, [("delegation", "delegated"), ("address", NOT)], False),
    ],
)
def test_a_round_counts_as_made_when_it_says_anything(
    subject: Subject, seen: list[tuple[str, str]], *, says: bool
) -> None:
    """The delegation must be told, and one vantage, or the resolver for a host, must have had an answer."""
    observations = tuple(
        Observation(kind, "a.zz", f"v{at}", NOW, outcome)  # type: ignore[arg-type]
        for at, (kind, outcome) in enumerate(seen)
    )
    assert answered(subject, Round(NOW, observations)) is says
