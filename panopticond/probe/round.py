"""One round: every probe an indicator needs, asked once and side by side; observations out, nothing concluded.

Between the schedule (which says who is due) and the judge (which reads the Round). The names come first (delegation,
address, filtering resolver), then what needs a delegated name (the URI from every vantage), beside it what is known of
the domain for longer than a round (registration, rank, front page, Web Risk), which is put into the round again as it
was seen, with the time it was seen, until it is too old. Also behind ``panopticond check``.

Indicators of one host or domain share what was asked within 15 policy minutes, so that ten URIs of a host are one
question to the registry's server.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import msgspec
import trio

from panopticond.model import DomainRecord, Kind, Observation, Round, Subject
from panopticond.probe.owner import Registered, deeper_owner, is_referral, regrouped, stands
from panopticond.probe.questions import (
    AddressProbe,
    BlockProbe,
    DelegationProbe,
    Ranking,
    RegistrationProbe,
    UriLookup,
    WebProbe,
)
from panopticond.shared.clock import parse_rfc3339

SHARED_FOR = dt.timedelta(minutes=15)
"""How long the answer for a host or a domain serves the other indicators of it (policy time)."""
RETURN_AFTER = dt.timedelta(days=5)
"""So long out of the zone, and a name that comes back is taken for a new registration when RDAP gives no date."""
ABSENT_REGISTRATION = dt.timedelta(hours=1)
"""Out of the zone, the registration tells undelegated from nonexistent and is asked again after this."""
_SHARED_ANSWERS = 20_000
REGISTRATIONS_AT_ONCE = 16
"""RDAP servers are asked about once a second: beyond so many waiting, rounds go on without and ask the next time."""

T = TypeVar("T")
Now = Callable[[], dt.datetime]
log = logging.getLogger(__name__)


class TldPlan(msgspec.Struct, frozen=True):
    """How the indicators of one TLD are probed: from which vantages, and what the registry's hold page says."""

    vantages: tuple[str, ...]
    hold_pages: tuple[str, ...] = ()


class Every(msgspec.Struct, frozen=True):
    """How long an answer stands before it is asked again (policy time)."""

    webrisk: dt.timedelta = dt.timedelta(hours=24)
    tranco: dt.timedelta = dt.timedelta(hours=24)
    registration: dt.timedelta = dt.timedelta(hours=24)
    apex: dt.timedelta = dt.timedelta(hours=24)


class Extras(msgspec.Struct, frozen=True):
    """What earlier rounds of the same indicator hold that this one may use again."""

    webrisk: Observation | None = None
    """The last Web Risk answer that was one."""


class Probes(msgspec.Struct, frozen=True):
    """The probes of a round; those that are None are switched off and leave no observation."""

    delegation: DelegationProbe
    address: AddressProbe
    quad9: BlockProbe | None
    web: WebProbe
    webrisk: UriLookup | None = None
    tranco: Ranking | None = None
    registration: RegistrationProbe | None = None


class _Shared:
    """An answer several rounds wait for: asked by whoever holds the lock, used by the others."""

    __slots__ = ("answer", "lock")

    def __init__(self) -> None:
        self.lock = trio.Lock()
        self.answer: Observation | None = None


class Prober:
    """Makes rounds; one instance serves any number at once. ``must_not_fetch`` is ``panopticond.probe.guard``'s."""

    def __init__(
        self,
        probes: Probes,
        tlds: Mapping[str, TldPlan],
        *,
        must_not_fetch: Callable[[str], str | None],
        every: Every | None = None,
        deadline_seconds: float = 120.0,
        registered_domain: Registered | None = None,
    ) -> None:
        """``deadline_seconds`` (real) bounds each probe as a whole, beyond the time-outs it keeps itself.

        ``registered_domain`` is the suffix policy's; without it a referral moves no indicator.
        """
        self._probes = probes
        self._tlds = tlds
        self._must_not_fetch = must_not_fetch
        self._every = every or Every()
        self._deadline_seconds = deadline_seconds
        self._registered_domain = registered_domain
        self._recent: OrderedDict[tuple[str, ...], _Shared] = OrderedDict()
        self._asking_registrations = 0
        self._defects: set[str] = set()

    def serves(self, tld: str) -> bool:
        """Whether a TLD is configured; indicators of one that no longer is may still be stored."""
        return tld in self._tlds

    async def check(
        self,
        subject: Subject,
        known: DomainRecord | None,
        due: Extras,
        now: Now,
        tell: Callable[[Observation], None] | None = None,
    ) -> tuple[Round, DomainRecord]:
        """One round of a subject, and what is known of its domain after it. KeyError for a TLD that is not served.

        Where the referral's owner is another than the subject's domain, the record is the owner's and so are the
        answers: see :mod:`panopticond.probe.owner`.
        ``tell`` hears of each observation as it comes.
        """
        plan = self._tlds[subject.tld]
        start = now()
        seen: dict[Kind, list[Observation]] = {}

        def keep(*observations: Observation) -> None:
            for observation in observations:
                seen.setdefault(observation.kind, []).append(observation)
                if tell is not None:
                    tell(observation)

        async def put(ask: Callable[..., Awaitable[Observation]], *about: object) -> None:
            keep(await ask(*about, now))

        async with trio.open_nursery() as names:
            names.start_soon(put, self._delegation, subject)
            names.start_soon(put, self._address, subject)
            names.start_soon(self._quad9, subject, now, keep)
        delegation = seen["delegation"][0]
        subject = regrouped(subject, await self._domain(subject, delegation, now))
        known = known if known and known.domain == subject.domain else DomainRecord(subject.domain, subject.tld)
        absent = delegation.outcome == "not-in-zone"
        async with trio.open_nursery() as rest:
            if not absent:
                for vantage in plan.vantages if subject.uri is not None and not subject.host_level else ():
                    rest.start_soon(self._web, subject, vantage, plan, now, keep)
                front = self._front(subject, known.apex, start)
                if front is not None:
                    rest.start_soon(put, self._apex, front, plan)
            if self._probes.webrisk is not None and subject.uri and _old(due.webrisk, start, self._every.webrisk):
                rest.start_soon(put, self._webrisk, subject)
            wait = min(ABSENT_REGISTRATION, self._every.registration) if absent else self._every.registration
            if self._probes.registration is not None and _old(known.registration, start, wait):
                rest.start_soon(put, self._registration, subject)
        if self._probes.tranco is not None and _old(known.tranco, start, self._every.tranco):
            keep(self._probes.tranco.check(subject.domain, now()))
        fresh = _of_domain(subject.domain, seen)
        webrisk = due.webrisk if due.webrisk is not None and not _expired(due.webrisk, start) else None
        for again in (known.apex if not absent else None, webrisk, known.tranco, known.registration):
            if again is not None and again.kind not in seen:
                keep(again)
        return Round(start, _in_order(seen, plan)), domain_after(known, delegation, fresh)

    def _front(self, subject: Subject, last: Observation | None, start: dt.datetime) -> str | None:
        """Whose front page to look at now: the host's instead of a URI nobody may fetch, else the domain's if due."""
        if subject.uri is not None and not subject.host_level and self._must_not_fetch(subject.uri) is not None:
            return subject.host
        return subject.domain if subject.scope != "shared" and _old(last, start, self._every.apex) else None

    async def _delegation(self, subject: Subject, now: Now) -> Observation:
        return await self._delegated(subject.host, subject.tld, now)

    async def _delegated(self, name: str, tld: str, now: Now) -> Observation:
        probe = self._probes.delegation
        return await self._share("delegation", name, now, lambda at: probe.check(name, tld, at))

    async def _domain(self, subject: Subject, seen: Observation, now: Now) -> str:
        """The registered domain after a delegation was seen: the policy's, or the owner that a referral below proves.

        What could not be seen leaves the domain as it is.
        """
        policy = self._registered_domain(subject.host) if self._registered_domain is not None else None
        if policy is None or subject.scope == "shared" or not is_referral(seen):
            return subject.domain
        owner = deeper_owner(subject, seen, policy)
        if owner is None:
            return policy
        own = await self._delegated(policy, subject.tld, now)
        if own.outcome == "indeterminate":
            return subject.domain
        return policy if stands(own) else owner

    async def _address(self, subject: Subject, now: Now) -> Observation:
        probe, host = self._probes.address, subject.host
        return await self._share("address", host, now, lambda at: probe.address(host, subject.tld, at))

    async def _quad9(self, subject: Subject, now: Now, keep: Callable[..., None]) -> None:
        """Whether the host is blocked, and whether its registered domain is: a blocking list may hold either."""
        probe = self._probes.quad9
        if probe is None:
            return

        async def ask(name: str) -> None:
            keep(await self._share("quad9", name, now, lambda at: probe.blocked(name, at)))

        async with trio.open_nursery() as both:
            for name in dict.fromkeys((subject.host, subject.domain)):
                both.start_soon(ask, name)

    async def _registration(self, subject: Subject, now: Now) -> Observation:
        probe, domain = self._probes.registration, subject.domain
        assert probe is not None  # noqa: S101 - asked only when it is configured

        async def ask(at: dt.datetime) -> Observation:
            if self._asking_registrations >= REGISTRATIONS_AT_ONCE:
                return Observation("registration", domain, "direct", at, "indeterminate", {"reason": "busy"})
            self._asking_registrations += 1
            try:
                return await probe.check(domain, subject.tld, at)
            finally:
                self._asking_registrations -= 1

        return await self._share("registration", domain, now, ask)

    async def _apex(self, name: str, plan: TldPlan, now: Now) -> Observation:
        web, vantage, pages = self._probes.web, plan.vantages[0], plan.hold_pages
        return await self._share(
            "apex", name, now, lambda at: web.apex(name, vantage, at, hold_pages=pages), vantage=vantage
        )

    async def _webrisk(self, subject: Subject, now: Now) -> Observation:
        probe, uri, at = self._probes.webrisk, subject.uri, now()
        assert probe is not None  # noqa: S101 - asked only when it is configured
        assert uri is not None  # noqa: S101 - the same
        unchecked = functools.partial(_unchecked, "webrisk", uri, "direct", at)
        return await self._bounded("webrisk", probe.check(uri, at), unchecked)

    async def _web(self, subject: Subject, vantage: str, plan: TldPlan, now: Now, keep: Callable[..., None]) -> None:
        """One vantage's look at the URI and its twin, or the word of the URI that forbids it."""
        uri, at = subject.key, now()
        forbidden = self._must_not_fetch(uri)
        if forbidden is not None:
            keep(Observation("web", uri, vantage, at, "not-probed", {"reason": forbidden}))
            return
        asked = self._probes.web.check(uri, subject.domain, vantage, at, hold_pages=plan.hold_pages)
        keep(*await self._bounded("web", asked, lambda reason: (_unchecked("web", uri, vantage, at, reason),)))

    async def _share(
        self,
        kind: Kind,
        name: str,
        now: Now,
        ask: Callable[[dt.datetime], Awaitable[Observation]],
        *,
        vantage: str = "direct",
    ) -> Observation:
        """The answer for a host or domain, asked once in 15 minutes; an indeterminate one is shared as well."""
        key = (kind, name, vantage)
        shared = self._recent.setdefault(key, _Shared())
        self._recent.move_to_end(key)
        while len(self._recent) > _SHARED_ANSWERS:
            self._recent.popitem(last=False)
        async with shared.lock:
            at = now()
            if shared.answer is None or _old(shared.answer, at, SHARED_FOR, indeterminate_is_old=False):
                unchecked = functools.partial(_unchecked, kind, name, vantage, at)
                shared.answer = await self._bounded(kind, ask(at), unchecked)
            return shared.answer

    async def _bounded(self, kind: Kind, asked: Awaitable[T], unchecked: Callable[[str], T]) -> T:
        """The answer, or could not check: past the deadline, or for a defect of ours that a hostile answer found.

        A defect is logged whole, once a kind: it must not end the daemon, nor fill the disk.
        """
        try:
            with trio.move_on_after(self._deadline_seconds):
                return await asked
        except Exception:
            if kind not in self._defects:
                self._defects.add(kind)
                log.exception("the probe %s met a defect of ours; further ones are not logged", kind)
            return unchecked("defect")
        return unchecked("deadline")


def domain_after(known: DomainRecord, delegation: Observation, fresh: Mapping[str, Observation]) -> DomainRecord:
    """What is known of a domain after a round saw ``delegation`` and asked ``fresh`` anew.

    An indeterminate answer replaces no earlier one: a registration date is not forgotten because RDAP was down. Absence
    runs from the first authoritative not-in-zone; a return counts only after five days of it.
    """
    absent_since, returned = known.absent_since, known.returned
    if delegation.outcome == "not-in-zone":
        absent_since = absent_since or delegation.at
    elif delegation.outcome != "indeterminate":
        if absent_since is not None and delegation.at - absent_since >= RETURN_AFTER:
            returned = delegation.at
        absent_since = None
    latest = {"registration": known.registration, "tranco": known.tranco, "apex": known.apex}
    for kind, before in latest.items():
        answer = fresh.get(kind)
        if answer is None:
            continue
        if answer.outcome != "indeterminate" or before is None or before.outcome == "indeterminate":
            latest[kind] = answer
    return DomainRecord(
        known.domain, known.tld, delegation=delegation, absent_since=absent_since, returned=returned, **latest
    )


def _of_domain(domain: str, seen: Mapping[Kind, Sequence[Observation]]) -> dict[str, Observation]:
    """The answers of this round that are about the registered domain itself."""
    kinds: tuple[Kind, ...] = ("registration", "tranco", "apex")
    return {kind: answer for kind in kinds for answer in seen.get(kind, ()) if answer.target == domain}


def _in_order(seen: Mapping[Kind, Sequence[Observation]], plan: TldPlan) -> tuple[Observation, ...]:
    """A round's observations in a fixed order whatever came first: by kind, vantage, the twin and the domain last."""
    kinds: tuple[Kind, ...] = ("delegation", "address", "quad9", "web", "apex", "webrisk", "tranco", "registration")
    place = {name: at for at, name in enumerate(plan.vantages)}
    return tuple(
        observation
        for kind in kinds
        for observation in sorted(
            seen.get(kind, ()),
            key=lambda one: (place.get(one.vantage, -1), one.detail.get("twin", ""), -len(one.target)),
        )
    )


def _old(last: Observation | None, at: dt.datetime, every: dt.timedelta, *, indeterminate_is_old: bool = True) -> bool:
    """Whether it is time to ask again; an answer that was none is asked again in the next round."""
    if last is None or (indeterminate_is_old and last.outcome == "indeterminate"):
        return True
    return at - last.at >= every


def _expired(answer: Observation, at: dt.datetime) -> bool:
    """Whether a Web Risk match may be used no more: never past its expiry, by the terms of the service."""
    expires = answer.detail.get("expires")
    return expires is not None and parse_rfc3339(expires) <= at


def _unchecked(kind: Kind, target: str, vantage: str, at: dt.datetime, reason: str) -> Observation:
    """Could not check, and why."""
    return Observation(kind, target, vantage, at, "indeterminate", {"reason": reason})
