"""Sessions: 15 minutes and no longer, one an account unless told otherwise, nothing kept beyond that."""

from __future__ import annotations

import re

from panopticond.serve.sessions import Sessions


class Seconds:
    """A monotonic clock the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_lives_exactly_its_time() -> None:
    """Open until its lifetime has passed since login, however often it was used; then gone."""
    seconds = Seconds()
    sessions = Sessions(lifetime_seconds=900, per_account=1, seconds=seconds)
    value = sessions.open("manager", "zz")
    assert re.fullmatch(r"[0-9a-f]{40}", value)
    for _ in range(9):
        seconds.now += 99.9
        found = sessions.find(value, "zz")
        assert found is not None
        assert found.account == "manager"
    seconds.now += 1.0
    assert sessions.find(value, "zz") is None
    assert sessions.close(value, "zz") is None


def test_one_login_more_ends_the_oldest() -> None:
    """With two allowed, the third login ends the first; other accounts and other TLDs are untouched."""
    sessions = Sessions(lifetime_seconds=900, per_account=2, seconds=Seconds())
    others = [("other", sessions.open("other", "zz"), "zz"), ("manager", sessions.open("manager", "yy"), "yy")]
    first, second, third = (sessions.open("manager", "zz") for _ in range(3))
    assert [sessions.find(value, "zz") is not None for value in (first, second, third)] == [False, True, True]
    for account, value, tld in others:
        found = sessions.find(value, tld)
        assert found is not None
        assert found.account == account


def test_a_session_is_for_its_tld() -> None:
    """Another TLD's path neither finds nor closes it; closing twice is closing once."""
    sessions = Sessions(lifetime_seconds=900, per_account=1, seconds=Seconds())
    value = sessions.open("manager", "zz")
    assert sessions.find(value, "yy") is None
    assert sessions.close(value, "yy") is None
    assert sessions.find(value, "zz") is not None
    assert sessions.close(value, "zz") is not None
    assert sessions.find(value, "zz") is None
    assert sessions.close(value, "zz") is None


def test_ten_thousand_logins_leave_one_session() -> None:
    """Memory is bounded by accounts, not by logins."""
    sessions = Sessions(lifetime_seconds=900, per_account=1, seconds=Seconds())
    for _ in range(10_000):
        sessions.open("manager", "zz")
    assert len(sessions._open) == 1
    assert [len(mine) for mine in sessions._of.values()] == [1]
