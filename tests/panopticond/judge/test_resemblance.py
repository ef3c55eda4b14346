"""What a name itself says to the classification: plain look-alikes and generated letters, never an owner's own name."""

from __future__ import annotations

import datetime as dt

import pytest

from panopticond.judge.classify import Facts, classify
from panopticond.judge.resemblance import Resemblance, looks_generated

NOW = dt.datetime(2026, 8, 20, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("domain", "brand"),
    [
        ("paypa1.zz", "paypal"), ("paypal-login.zz", "paypal"), ("nationalbenk.zz", "nationalbank"),
        ("paypal.zz", None), ("nationalbank.zz", None), ("bakery.zz", None), ("visa-friends.zz", None), ("xn--zzz999--.zz", None),
    ],
)  # fmt: skip
def test_resemblance(domain: str, brand: str | None) -> None:
    """Slips and lures of protected names are named; the names themselves and passing mentions are not."""
    assert Resemblance(["nationalbank.zz"])(domain) == brand


def test_generated() -> None:
    """Random letters are a sign, words are none."""
    assert looks_generated("qjxkwvzptlrw.zz")
    assert not looks_generated("tallinn.zz")


def test_generated_letters_make_no_class() -> None:
    """They stand among the reasons and decide nothing: languages the model has not learnt look generated to it."""
    facts = Facts(
        domain="qjxkwvzptlrw.zz", scopes=frozenset({"registered"}), uris=("http://qjxkwvzptlrw.zz/a/b",), hosts=(),
        first_reported=NOW, registered=NOW - dt.timedelta(days=1), generated=True,
    )  # fmt: skip
    said = classify(facts)
    assert said.abuse_class == "undetermined"
    assert "the letters of the name look generated" in said.reasons


def test_a_plain_resemblance_counts_for_the_young() -> None:
    """A name of yesterday that resembles a protected one is assessed as malicious; one of years ago is not."""
    facts = {"domain": "paypa1.zz", "scopes": frozenset({"registered"}), "uris": ("http://paypa1.zz/a",), "hosts": ()}
    ages = (dt.timedelta(days=1), dt.timedelta(days=900))
    said = [
        classify(Facts(**facts, first_reported=NOW, registered=NOW - age, lookalike_of="paypal")).abuse_class
        for age in ages
    ]
    assert said == ["malicious", "undetermined"]
