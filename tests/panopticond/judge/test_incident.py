"""An incident opens once, closes with how, reopens as the same one, lapses, and starts anew with a new registration."""

from __future__ import annotations

import datetime as dt
from typing import Any

from panopticond.judge.incident import Member, advance
from panopticond.model import Incident, Verdict

T0 = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def member(
    state: Any, *, active: dt.datetime | None = T0, gone: dt.datetime | None = None, validated: bool = True
) -> Member:
    verdict = Verdict(state, "r", T0, T0, last_active=active, first_gone=gone)
    return Member(verdict, T0 if active else None, validated)


def step(
    previous: Incident | None, *members: Member, now: dt.datetime, registration: dt.datetime | None = None
) -> Incident | None:
    """The newest incident this snapshot leaves, or None."""
    made = steps(previous, *members, now=now, registration=registration)
    return made[-1] if made else None


def steps(
    previous: Incident | None, *members: Member, now: dt.datetime, registration: dt.datetime | None = None
) -> tuple[Incident, ...]:
    return advance(previous, members, tld="zz", domain="a.zz", host=None, registration=registration, now=now)


def test_it_opens_at_first_validation_only() -> None:
    """Nothing validated, no incident; the opening is the first validation, not the snapshot."""
    assert step(None, member("unreachable", active=None, validated=False), now=T0) is None
    opened = step(None, member("active"), now=T0 + DAY)
    assert opened is not None
    assert (opened.state, opened.opened) == ("open", T0)


def test_it_closes_when_every_indicator_is_mitigated_and_says_how() -> None:
    """One still open keeps it open; dns only when all went by dns."""
    opened = step(None, member("active"), now=T0 + DAY)
    half = step(opened, member("mitigated-dns", gone=T0 + DAY), member("unreachable"), now=T0 + 2 * DAY)
    assert half is not None
    assert half.state == "open"
    done = step(
        half, member("mitigated-dns", gone=T0 + DAY), member("mitigated-content", gone=T0 + DAY), now=T0 + 3 * DAY
    )
    assert done is not None
    assert (done.state, done.how, done.first_gone, done.id) == (
        "mitigated",
        "content",
        T0 + DAY,
        opened.id if opened else "",
    )


def test_it_reopens_as_the_same_within_ninety_days_and_as_another_after() -> None:
    """Ninety days is the line."""
    opened = step(None, member("active"), now=T0)
    closed = step(opened, member("mitigated-dns", validated=False), now=T0 + DAY)
    again = step(closed, member("active", active=T0 + 40 * DAY), now=T0 + 40 * DAY)
    assert opened is not None
    assert again is not None
    assert (again.id, again.state, again.reopened) == (opened.id, "open", (T0 + 40 * DAY,))
    later = Member(Verdict("active", "r", T0, T0, last_active=T0 + 100 * DAY), T0 + 100 * DAY, validated=True)
    other = step(closed, later, now=T0 + 100 * DAY)
    assert other is not None
    assert other.id != opened.id


def test_it_lapses_after_thirty_days_without_an_active_round() -> None:
    """Lapsed is counted apart from mitigated."""
    opened = step(None, member("active"), now=T0)
    lapsed = step(opened, member("indeterminate", validated=False), now=T0 + 31 * DAY)
    assert lapsed is not None
    assert lapsed.state == "lapsed"


def test_a_later_registration_is_a_new_incident_with_its_own_number() -> None:
    """Another holder, another case, though the indicator was first validated under the old one; the old case ends."""
    opened = step(None, member("active"), now=T0, registration=T0 - 900 * DAY)
    assert opened is not None
    stale = Member(Verdict("active", "r", T0, T0, last_active=T0 + 20 * DAY), T0, validated=True)
    old, new = steps(opened, stale, now=T0 + 20 * DAY, registration=T0 + 10 * DAY)
    assert (old.id, old.state, old.how, old.closed) == (opened.id, "mitigated", "dns", T0 + 10 * DAY)
    assert new.id != opened.id
    assert new.opened > T0 + 10 * DAY
    gone = Member(Verdict("mitigated-dns", "r", T0, T0, last_active=T0 + 20 * DAY), T0, validated=False)
    later = steps(new, gone, now=T0 + 22 * DAY, registration=T0 + 10 * DAY)
    assert [(one.id, one.state) for one in later] == [(new.id, "mitigated")]


def test_a_registration_unknown_at_the_opening_does_not_hide_a_later_one() -> None:
    """RDAP was down when it opened."""
    opened = step(None, member("active"), now=T0)
    assert opened is not None
    old, *rest = steps(opened, member("unreachable", validated=False), now=T0 + 20 * DAY, registration=T0 + 10 * DAY)
    assert (old.id, old.state, rest) == (opened.id, "mitigated", [])


def test_what_was_active_before_the_end_does_not_reopen_it() -> None:
    """Still validated by this morning's round, gone since: one end, no reopening."""
    opened = step(None, member("active"), now=T0)
    closed = step(opened, member("mitigated-dns"), now=T0 + DAY / 2)
    assert closed is not None
    assert step(closed, member("mitigated-dns"), now=T0 + DAY * 3 / 4) == closed
