"""The state of one indicator from its rounds, by the named rules of design.md section 4, with the evidence.

After the probes, before the snapshot: the schedule judges after every round, ``replay-verdict`` judges again from the
published observations and must agree. Pure: rounds in, a Verdict out; the order of ``_RULES`` is the order of the law.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence

import msgspec

from panopticond.judge.fingerprint import same_page
from panopticond.judge.look import Look, look
from panopticond.model import Flag, Round, Sighting, State, Subject, Trust, Verdict

CONTENT_ROUNDS = 4
"""Checked rounds none of which is live before content counts as gone ..."""
CONTENT_SPREAD = dt.timedelta(hours=24)
"""... and how far apart the first and the last of them are at least."""
UNREACHABLE_FOR = dt.timedelta(days=7)
NO_ADDRESS_FOR = dt.timedelta(hours=24)
CLOAK_CLEARED_AFTER = dt.timedelta(days=7)
HOST_UNLISTED_REVIEW = dt.timedelta(days=30)
VALIDATION_WINDOW = dt.timedelta(hours=24)
POPULAR_RANK = 100_000
COULD_NOT_JUDGE = "could-not-judge"
"""The rule of a verdict that a bug of ours prevented: see :mod:`panopticond.judge.mistrial`."""
GONE_STATES: frozenset[State] = frozenset({"mitigated-dns", "changed", "mitigated-content", "unreachable"})


class Listing(msgspec.Struct, frozen=True):
    """What the feeds and the operator say of an indicator now."""

    listed: bool = False
    """In some feed now."""
    withdrawn: bool = False
    """Every feed that listed it delists in earnest (absence ``withdrawn``) and has done so."""
    last_listed: dt.datetime | None = None
    decision: str | None = None
    """An operator's ``confirm`` or ``dismiss``; or ``claim``, somebody's word that it is wrong, waiting for either."""
    critical: bool = False
    """The domain is on the manager's list."""


class Run:
    """What the fold over the rounds carries: everything a rule may look back on."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.baseline: tuple[str, ...] = ()
        self.other_page_rounds = 0
        self.dark: list[dt.datetime] = []
        self.unreachable_since: dt.datetime | None = None
        self.no_address_since: dt.datetime | None = None
        self.cloak_sign: dt.datetime | None = None
        self.rank: int | None = None

    def take(self, seen: Look) -> None:
        """Carry one round's look."""
        if seen.cloak_sign:
            self.cloak_sign = seen.at
        if seen.rank is not None:
            self.rank = seen.rank
        if seen.live and seen.delegation == "delegated":
            if not self.baseline:
                self.baseline = seen.pages
            other = bool(seen.pages) and not any(
                same_page(page, known) for page in seen.pages for known in self.baseline
            )
            self.other_page_rounds = self.other_page_rounds + 1 if other else 0
        elif seen.checked:
            self.other_page_rounds = 0
        self._take_darkness(seen)

    def _take_darkness(self, seen: Look) -> None:
        if seen.live:
            self.dark = []
        elif seen.checked and seen.agreed and seen.delegation == "delegated":
            self.dark.append(seen.at)
        if seen.checked and not seen.live and seen.delegation == "delegated":
            self.unreachable_since = self.unreachable_since or seen.at
        else:
            self.unreachable_since = None
        if seen.address == "no-address":
            self.no_address_since = self.no_address_since or seen.at
        elif seen.address in ("resolves", "sinkhole"):
            self.no_address_since = None

    def cloaked(self, at: dt.datetime) -> bool:
        """Whether a sign of cloaking is younger than seven days."""
        return self.cloak_sign is not None and at - self.cloak_sign < CLOAK_CLEARED_AFTER


def _gone_from_zone(_: Run, seen: Look) -> bool:
    return seen.delegation in ("not-in-zone", "undelegated", "nonexistent")


def _held(_: Run, seen: Look) -> bool:
    return seen.delegation == "held"


def _sinkholed(_: Run, seen: Look) -> bool:
    return seen.address == "sinkhole" and seen.delegation != "indeterminate"


def _other_page_twice(run: Run, seen: Look) -> bool:
    return not run.subject.host_level and seen.delegation == "delegated" and seen.live and run.other_page_rounds >= 2


def _live(run: Run, seen: Look) -> bool:
    return not run.subject.host_level and seen.delegation == "delegated" and seen.live


def _resolves(run: Run, seen: Look) -> bool:
    return run.subject.host_level and seen.delegation == "delegated" and seen.address == "resolves"


def _dark_for_a_day(run: Run, seen: Look) -> bool:
    return (
        _dark_now(run, seen)
        and seen.agreed
        and not run.cloaked(seen.at)
        and len(run.dark) >= CONTENT_ROUNDS
        and run.dark[-1] - run.dark[0] >= CONTENT_SPREAD
    )


def _unreachable_for_a_week(run: Run, seen: Look) -> bool:
    return (
        _dark_now(run, seen)
        and not run.cloaked(seen.at)
        and run.unreachable_since is not None
        and seen.at - run.unreachable_since >= UNREACHABLE_FOR
    )


def _without_address_for_a_day(run: Run, seen: Look) -> bool:
    return (
        run.subject.host_level
        and seen.delegation == "delegated"
        and seen.address == "no-address"
        and run.no_address_since is not None
        and seen.at - run.no_address_since >= NO_ADDRESS_FOR
    )


def _dark_now(run: Run, seen: Look) -> bool:
    if run.subject.host_level or run.subject.altered:
        return False
    return seen.delegation == "delegated" and seen.checked and not seen.live


def _without_address(run: Run, seen: Look) -> bool:
    return run.subject.host_level and seen.delegation == "delegated" and seen.address == "no-address"


_RULES: tuple[tuple[str, State, Callable[[Run, Look], bool]], ...] = (
    ("gone-from-zone", "mitigated-dns", _gone_from_zone),
    ("held-by-registry", "mitigated-dns", _held),
    ("sinkholed", "mitigated-dns", _sinkholed),
    ("other-page-two-rounds", "changed", _other_page_twice),
    ("live-at-a-vantage", "active", _live),
    ("host-resolves", "active", _resolves),
    ("dark-four-rounds-one-day", "mitigated-content", _dark_for_a_day),
    ("unreachable-seven-days", "mitigated-content", _unreachable_for_a_week),
    ("no-address-one-day", "mitigated-content", _without_address_for_a_day),
    ("dark-this-round", "unreachable", _dark_now),
    ("no-address-this-round", "unreachable", _without_address),
)
"""(rule's name, the state it gives, whether it holds): the first that holds, as design section 4 orders them."""


def judge(
    subject: Subject, rounds: Sequence[Round], listing: Listing | None = None, *, popular_rank: int = POPULAR_RANK
) -> Verdict:
    """The verdict on a subject after ``rounds`` (oldest first): state, rule, flags and the rounds it rests on."""
    listing = listing or Listing()
    run = Run(subject)
    state: State = "indeterminate"
    rule, since = "never-checked", None
    last_known: tuple[State, dt.datetime] | None = None
    first_active = last_active = first_gone = None
    seen: Look | None = None
    for round_ in rounds:
        seen = look(subject, round_)
        run.take(seen)
        before: State | None = state if since is not None else None
        rule, state = next(((name, to) for name, to, holds in _RULES if holds(run, seen)), ("no-rule", "indeterminate"))
        since = since if state == before else seen.at
        if state != "indeterminate":
            last_known = (state, seen.at)
        if state == "active":
            first_active, last_active, first_gone = first_active or seen.at, seen.at, None
        elif state in GONE_STATES and last_active is not None:
            first_gone = first_gone or seen.at
    at = seen.at if seen else None
    return Verdict(
        state=state,
        rule=rule,
        since=since,
        at=at,
        last_known=last_known[0] if last_known else None,
        last_known_at=last_known[1] if last_known else None,
        flags=_flags(run, state, listing, at, popular_rank),
        delegation=seen.delegation if seen else "indeterminate",
        first_active=first_active,
        last_active=last_active,
        first_gone=first_gone,
        fingerprint=run.baseline[0] if run.baseline else None,
        evidence=_evidence(run, rule, at),
        rounds=len(rounds),
    )


def _flags(run: Run, state: State, listing: Listing, at: dt.datetime | None, popular_rank: int) -> tuple[Flag, ...]:
    flags: list[Flag] = []
    if at is not None and run.cloaked(at):
        flags.append("cloak_suspect")
    if run.subject.altered:
        flags.append("altered")
    if listing.decision in (None, "claim") and _needs_review(run.subject, state, listing, at):
        flags.append("review")
    if listing.listed:
        flags.append("listed")
    if run.rank is not None and run.rank <= popular_rank:
        flags.append("popular")
    if listing.critical:
        flags.append("critical")
    return tuple(flags)


def _needs_review(subject: Subject, state: State, listing: Listing, at: dt.datetime | None) -> bool:
    if state == "changed" or (listing.decision == "claim" and not state.startswith("mitigated")):
        return True
    if state != "active" or listing.listed:
        return False
    if listing.withdrawn:
        return True
    long_unlisted = (
        listing.last_listed is not None and at is not None and at - listing.last_listed >= HOST_UNLISTED_REVIEW
    )
    return subject.host_level and long_unlisted


def _evidence(run: Run, rule: str, at: dt.datetime | None) -> tuple[dt.datetime, ...]:
    if at is None:
        return ()
    if rule == "dark-four-rounds-one-day":
        return tuple(run.dark)
    if rule == "unreachable-seven-days" and run.unreachable_since is not None:
        return (run.unreachable_since, at)
    if rule == "no-address-one-day" and run.no_address_since is not None:
        return (run.no_address_since, at)
    return (at,)


def sufficient_trust(trusts: Mapping[str, Trust], sightings: Sequence[Sighting], since: dt.datetime | None) -> bool:
    """Whether one reputable or two independent supporting feeds reported it, after ``since`` when that is known."""
    feeds = {sighting.feed for sighting in sightings if since is None or sighting.last >= since}
    if any(trusts.get(feed) == "reputable" for feed in feeds):
        return True
    return sum(trusts.get(feed) == "supporting" for feed in feeds) >= 2


def validated(
    verdict: Verdict,
    sightings: Sequence[Sighting],
    trusts: Mapping[str, Trust],
    *,
    registration_began: dt.datetime | None,
    to: dt.datetime,
    decision: str | None = None,
) -> bool:
    """Whether it may be noticed: trusted feeds since this registration began, and active in the 24 h before ``to``."""
    return not not_validated(
        verdict, sightings, trusts, registration_began=registration_began, to=to, decision=decision
    )


def not_validated(
    verdict: Verdict,
    sightings: Sequence[Sighting],
    trusts: Mapping[str, Trust],
    *,
    registration_began: dt.datetime | None,
    to: dt.datetime,
    decision: str | None = None,
) -> str:
    """Why it may not be noticed, in words; empty when it may."""
    if decision == "dismiss":
        return "a person dismissed it"
    if verdict.last_active is None:
        return "it was never seen active"
    if not sufficient_trust(trusts, sightings, registration_began):
        return "no reputable feed, nor two supporting ones, reported it since this registration began"
    if not to - VALIDATION_WINDOW <= verdict.last_active <= to:
        return "it was not seen active in the last 24 hours"
    return ""
