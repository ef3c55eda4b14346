"""The class abstains by default and calls nothing malicious that shows a victim's signs."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from panopticond.judge.classify import Facts, classify
from panopticond.judge.fingerprint import fingerprint

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
KIT = fingerprint("a.zz", 200, "Sign in", 900, b"<html><form><input></form></html>")
APEX = fingerprint("a.zz", 200, "Gardens", 5000, b"<html><ul><li></ul></html>")


def facts(days: int | None, **more: Any) -> Facts:
    registered = None if days is None else NOW - dt.timedelta(days=days)
    given: dict[str, Any] = {
        "domain": "quiet.zz", "scopes": frozenset({"registered"}), "uris": ("http://quiet.zz/x/y.html",), "hosts": (more.get("domain", "quiet.zz"),),
        "first_reported": NOW, "registered": registered, **more,
    }  # fmt: skip
    return Facts(**given)


DEEP = {
    "uris": ("http://quiet.zz/wp-content/plugins/a/x.php",),
    "apex_outcome": "live",
    "apex_page": APEX,
    "abuse_pages": (KIT,),
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (facts(20, domain="secure-login.zz"), "malicious"),
        (facts(20, uris=("http://quiet.zz/",)), "malicious"),
        (facts(20), "undetermined"),
        (facts(200, domain="secure-login.zz"), "undetermined"),
        (facts(200, domain="secure-login.zz", uris=("http://secure-login.zz/",)), "malicious"),
        (facts(3000, **DEEP), "compromised"),
        (facts(3000), "undetermined"),
        (facts(500, **DEEP), "undetermined"),
        (facts(20, **{**DEEP, "domain": "secure-login.zz"}), "undetermined"),
        (facts(None, domain="secure-login.zz"), "undetermined"),
        (facts(20, scopes=frozenset({"shared"}), domain="secure-login.zz"), "shared-service"),
    ],
)  # fmt: skip
def test_the_rules_in_their_order(given: Facts, expected: str) -> None:
    """Young and luring is malicious; old, deep and with a life of its own is compromised; else undetermined."""
    found = classify(given)
    assert found.abuse_class == expected
    assert found.reasons


def test_what_was_missing_is_said() -> None:
    """An unknown date and an unseen front page stand beside the class."""
    assert classify(facts(None)).missing == ("registration date", "front page", "popularity rank")
