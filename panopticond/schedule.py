"""Due -> probes -> judge -> store: the loop that keeps every indicator checked four times in every 24 hours.

Between the window (what is due) and the store (what was seen). A slot is taken first and then the longest due
indicator, so that under load the order stays by deadline and nothing is queued twice. A round is recorded whole or not
at all: cancelled in the middle it is lost, and only it. What the judge raises costs one verdict
(:mod:`panopticond.judge.mistrial`); a store that refuses is waited for.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import trio

from panopticond.judge.listing import listing_of as judge_listing
from panopticond.judge.registration import began, since_registration
from panopticond.judge.verdict import CONTENT_SPREAD, Listing
from panopticond.model import Absence, DomainRecord, Observation, Round, Scope, Subject, Trust, Verdict
from panopticond.probe.owner import regrouped
from panopticond.probe.round import Extras
from panopticond.shared.errors import StoreError
from panopticond.status.components import unchecked
from panopticond.store.interface import LeaseLostError, Standing
from panopticond.window import Window, worth_asking

HISTORY = dt.timedelta(days=8)
"""How far back a verdict looks: the longest rule runs seven days; the first validated round is always there too."""


PAUSE_SECONDS = 15.0
"""Real seconds without a new round after the store refused one."""
AGAIN_AFTER = dt.timedelta(minutes=1)
"""Policy time after which a round that could not be recorded is made again."""
log = logging.getLogger(__name__)


class PolicyClock(Protocol):
    """``panopticond.shared.clock.Clock``, as far as the loop needs it."""

    scale: float

    def now(self) -> dt.datetime:
        """Policy time now, UTC."""
        ...


class Records(Protocol):
    """``panopticond.store.interface.Store``, as far as the loop needs it."""

    async def standing(self, indicator_id: int) -> Standing:
        """One indicator as it stands."""
        ...

    async def rounds(self, indicator_id: int, since: dt.datetime | None = None) -> list[Round]:
        """Its retained rounds, oldest first; the first validated round is always among them."""
        ...

    async def record_round(
        self,
        indicator_id: int,
        round_: Round,
        verdict: Verdict,
        began: dt.datetime | None = None,
        domain: DomainRecord | None = None,
    ) -> None:
        """One round, its verdict and what is known of its domain; LeaseLostError when another host has made it."""
        ...

    async def regroup(self, indicator_id: int, domain: str, scope: Scope) -> None:
        """Keep an indicator under the registered domain a referral proved."""
        ...

    async def domain(self, domain: str) -> DomainRecord | None:
        """What is known of a registered domain."""
        ...


class Rounds(Protocol):
    """``panopticond.probe.round.Prober``."""

    def serves(self, tld: str) -> bool:
        """Whether the TLD is configured."""
        ...

    async def check(
        self, subject: Subject, known: DomainRecord | None, due: Extras, now: Callable[[], dt.datetime]
    ) -> tuple[Round, DomainRecord]:
        """One round, and what is known of the domain after it."""
        ...


class Bell:
    """Wakes the loop before its time: ring it after something was added to the window."""

    def __init__(self) -> None:
        self._rung = trio.Event()

    def ring(self) -> None:
        """Wake whoever waits, or the next to wait."""
        self._rung.set()

    async def heard(self) -> None:
        """Wait for a ring, and take it."""
        await self._rung.wait()
        self._rung = trio.Event()


class FeedMeta(msgspec.Struct, frozen=True):
    """What the configuration says of a feed, as far as judging goes."""

    absence: Absence
    trust: Trust


class Checked(msgspec.Struct, frozen=True):
    """One round as it was recorded, for whoever watches."""

    before: Standing
    round: Round
    verdict: Verdict


class Duty(msgspec.Struct, frozen=True):
    """The collaborators of the loop."""

    window: Window
    store: Records
    prober: Rounds
    clock: PolicyClock
    judge: Callable[[Subject, Sequence[Round], Listing], Verdict]
    listing_of: Callable[[Standing], Listing]
    """What feeds and operator say now: :func:`listing_of` with the configured feeds."""
    on_round: Callable[[Checked], Awaitable[None]] | None = None
    on_trouble: Callable[[str], None] | None = None
    """Hears why a round could not be recorded, and an empty text once one could again."""


async def probe_due(
    duty: Duty,
    *,
    concurrency: int,
    bell: Bell,
    pause_seconds: float = PAUSE_SECONDS,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Check what is due, ``concurrency`` rounds at once, until cancelled; ``bell`` tells of additions to the window.

    A store that will not read or write, locked or on a full disk, is told and costs the round: it is planned again, and
    no new one begins for ``pause_seconds`` (real).
    """
    slots = trio.Semaphore(concurrency, max_value=concurrency)
    trouble = _Trouble(duty)

    async def check(indicator_id: int) -> None:
        try:
            await check_once(duty, indicator_id)
            trouble.over()
        except LeaseLostError as error:
            log.warning("%s", error)
            duty.window.forget(indicator_id)
        except StoreError as error:
            trouble.met(error, indicator_id)
        finally:
            slots.release()
        bell.ring()  # the next round of this one may be due before what the loop sleeps towards

    async with trio.open_nursery() as nursery:
        task_status.started()
        while True:
            await slots.acquire()
            if trouble.fresh:
                trouble.fresh = False
                await trio.sleep(pause_seconds)
            taken = duty.window.due(duty.clock.now(), 1)
            if taken:
                nursery.start_soon(check, taken[0], name=f"round {taken[0]}")
            else:
                slots.release()
                await _quiet(duty.window, duty.clock, bell)


class _Trouble:
    """What the store last refused, until a round was recorded again."""

    def __init__(self, duty: Duty) -> None:
        self._duty = duty
        self._sentence = ""
        self.fresh = False
        """Met since the loop last paused for it."""

    def met(self, error: StoreError, indicator_id: int) -> None:
        duty = self._duty
        duty.window.postpone(indicator_id, duty.clock.now() + AGAIN_AFTER)
        self.fresh = True
        if not self._sentence:
            log.error("a round is lost and will be made again: %s", error)
        self._tell(str(error))

    def over(self) -> None:
        if self._sentence:
            log.info("rounds are recorded again")
            self._tell("")

    def _tell(self, sentence: str) -> None:
        self._sentence = sentence
        if self._duty.on_trouble is not None:
            self._duty.on_trouble(sentence)


async def _quiet(window: Window, clock: PolicyClock, bell: Bell) -> None:
    """Sleep until something is due by policy time or the bell rings; an hour (real) at most, should a clock jump."""
    due = window.next_due()
    policy_seconds = 3600.0 * clock.scale if due is None else (due - clock.now()).total_seconds()
    with trio.move_on_after(min(max(policy_seconds / clock.scale, 0.001), 3600.0)):
        await bell.heard()


async def check_once(duty: Duty, indicator_id: int) -> Checked | None:
    """One round of an indicator: load, probe, judge, record, plan the next; None when its TLD is served no more."""
    store, window = duty.store, duty.window
    standing = await store.standing(indicator_id)
    subject = standing.subject
    if not duty.prober.serves(subject.tld):
        window.forget(indicator_id)
        return None
    history = await store.rounds(indicator_id, since=duty.clock.now() - HISTORY)
    known = await store.domain(subject.domain)
    round_, domain = await duty.prober.check(subject, known, Extras(webrisk=_last_webrisk(history)), duty.clock.now)
    if domain.domain != subject.domain:
        subject, domain = await _regroup(store, subject, domain)
        standing = msgspec.structs.replace(standing, subject=subject)
    start = began(domain)
    verdict = duty.judge(subject, since_registration([*history, round_], start), duty.listing_of(standing))
    verdict = carry_over(_of_this_registration(standing.verdict, start), verdict)
    await store.record_round(indicator_id, round_, verdict, start, domain)
    window.done(indicator_id, round_.at, unchecked=unchecked(subject, round_), even=dark_day(verdict))
    if not worth_asking(verdict, standing.recorded, listed=any(one.ended is None for one in standing.sightings)):
        window.forget(indicator_id)
    checked = Checked(standing, round_, verdict)
    if duty.on_round is not None:
        await duty.on_round(checked)
    return checked


async def _regroup(store: Records, subject: Subject, domain: DomainRecord) -> tuple[Subject, DomainRecord]:
    """The referral proved another registered domain: keep the indicator under it, beside what is known of it."""
    moved = regrouped(subject, domain.domain)
    log.info("indicator %d belongs to %s by the referral, not to %s", subject.id, moved.domain, subject.domain)
    await store.regroup(subject.id, moved.domain, moved.scope)
    before = await store.domain(moved.domain)
    return moved, domain if before is None else msgspec.structs.replace(domain, returned=before.returned)


def listing_of(standing: Standing, feeds: Mapping[str, FeedMeta], critical: Collection[str] = ()) -> Listing:
    """What feeds and operator say of an indicator now; ``critical`` are the domains on the managers' lists."""
    return judge_listing(
        standing.sightings,
        {name: meta.absence for name, meta in feeds.items()},
        decision=standing.decision,
        critical=standing.subject.domain in critical,
    )


def carry_over(before: Verdict | None, verdict: Verdict) -> Verdict:
    """The verdict with what only rounds older than the history know: since when, and when it was last active.

    ``since`` reaches back through rounds of the same state; times of activity are never forgotten.
    """
    if before is None:
        return verdict
    since = before.since if before.state == verdict.state and before.since is not None else verdict.since
    last_active, first_gone = verdict.last_active, verdict.first_gone
    if before.last_active is not None and (last_active is None or before.last_active >= last_active):
        last_active, first_gone = before.last_active, before.first_gone or first_gone
    return msgspec.structs.replace(
        verdict,
        since=since,
        first_active=before.first_active or verdict.first_active,
        last_active=last_active,
        first_gone=first_gone,
        fingerprint=before.fingerprint or verdict.fingerprint,
        rounds=before.rounds + 1,
        **_last_known(before, verdict),
    )


def _last_known(before: Verdict, verdict: Verdict) -> dict[str, Any]:
    """With a state that is not determined, the last one that was, however long ago."""
    if verdict.state != "indeterminate" or verdict.last_known is not None:
        return {}
    if before.state != "indeterminate":
        return {"last_known": before.state, "last_known_at": before.at}
    return {"last_known": before.last_known, "last_known_at": before.last_known_at}


def dark_day(verdict: Verdict) -> dt.datetime | None:
    """When a page that is dark now was first so, until that is a day ago: the rounds of this day come evenly from then.

    Four checks in 24 hours, each early by its jitter, never span a day, and a dark page is gone by content after one.
    """
    waiting = verdict.rule in ("dark-this-round", "no-address-this-round")
    if not waiting or verdict.since is None or verdict.at is None or verdict.at - verdict.since >= CONTENT_SPREAD:
        return None
    return verdict.since


def _of_this_registration(before: Verdict | None, start: dt.datetime | None) -> Verdict | None:
    """The last verdict, unless it was on an earlier holder's site."""
    return None if before is not None and start is not None and (before.at or start) < start else before


def _last_webrisk(history: Sequence[Round]) -> Observation | None:
    """The newest Web Risk answer that was one."""
    answers = (answer for round_ in reversed(history) for answer in round_.of("webrisk"))
    return next((answer for answer in answers if answer.outcome != "indeterminate"), None)
