"""The look within the hour before each mail: is it still so (design section 9).

Between enrich and the notice, with the same probes as panopticond. A delegation that is gone or held cancels the mail;
a web answer that looks clean sends a URI to review, since one place proves nothing against cloaking; a host-level entry
is asked for its address. What could not be looked at goes on the snapshot's evidence, and the mail says so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

import msgspec
import trio

from arke.model import Case, CaseIndicator, Recheck
from panopticond.model import Observation

URI_LIMIT = 20  # URIs looked at for one mail, the latest active first; the rest share the fate of those
Decision = Literal["go", "cancel", "review", "unchecked"]
_ORDER: tuple[Decision, ...] = ("go", "unchecked", "review", "cancel")
"""A case with several indicators goes by the first of these that any of them has."""


class DelegationProbe(Protocol):
    """:class:`panopticond.probe.delegation.Delegations`, as far as the re-check needs it."""

    async def check(self, host: str, tld: str, now: dt.datetime) -> Observation:
        """What the TLD's own servers say of a host's domain."""


class AddressProbe(Protocol):
    """:class:`panopticond.probe.quad9.Resolvers`, as far as the re-check needs it."""

    async def address(self, host: str, tld: str, now: dt.datetime) -> Observation:
        """Whether the host resolves, unfiltered."""


class WebProbe(Protocol):
    """:class:`panopticond.probe.web.WebProber`, as far as the re-check needs it."""

    async def check(
        self, uri: str, domain: str, vantage: str, now: dt.datetime, *, hold_pages: Sequence[str]
    ) -> tuple[Observation, ...]:
        """The URI as it stands and its twin, from one vantage."""


class Looked(msgspec.Struct, frozen=True):
    """The decision for the mail, and the indicators that it may speak of."""

    recheck: Recheck
    indicators: tuple[CaseIndicator, ...]


class Rechecker:
    """Composes the look out of the probes; ``vantages`` are their names."""

    def __init__(
        self,
        delegations: DelegationProbe,
        resolvers: AddressProbe,
        web: WebProbe,
        *,
        vantages: Sequence[str],
        hold_pages: Sequence[str],
        concurrency: int,
    ) -> None:
        self._delegations = delegations
        self._resolvers = resolvers
        self._web = web
        self._vantages = tuple(vantages)
        self._hold_pages = tuple(hold_pages)
        self._slots = trio.CapacityLimiter(concurrency)

    async def look(self, case: Case, indicators: Sequence[CaseIndicator], now: dt.datetime) -> Looked:
        """Look at a case's indicators now; errors of the network are ``unchecked``, never clean."""
        async with self._slots:
            delegation = await self._delegations.check(case.host or case.domain, case.tld, now)
            if delegation.outcome in ("not-in-zone", "held"):
                return Looked(Recheck("cancel", f"delegation-{delegation.outcome}", now), ())
            addresses: dict[str, Observation] = {}
            for host in sorted({item.host for item in indicators}):
                addresses[host] = await self._resolvers.address(host, case.tld, now)
            ordered = sorted(indicators, key=lambda item: item.last_active or item.first_seen, reverse=True)
            decided: dict[str, tuple[Decision, str]] = {}
            for item in ordered[:URI_LIMIT]:
                decided[item.id] = await self._one(case, item, addresses[item.host], now)
        best: Decision = min((decision for decision, _ in decided.values()), key=_ORDER.index, default="unchecked")
        for item in ordered[URI_LIMIT:]:
            decided[item.id] = (best, "not looked at one by one")
        reasons = sorted({reason for decision, reason in decided.values() if decision == best})
        kept = tuple(item for item in indicators if decided[item.id][0] in ("go", "unchecked"))
        return Looked(Recheck(best, " ".join(reasons), now), kept)

    async def _one(
        self, case: Case, item: CaseIndicator, address: Observation, now: dt.datetime
    ) -> tuple[Decision, str]:
        if address.outcome == "sinkhole" or address.detail.get("reason") == "hold-ip":
            return "cancel", "held-or-sinkholed"
        if item.uri is None or set(item.threats) == {"botnetCc"}:
            return of_address(address)
        if address.outcome == "no-address":
            return "review", "no-address"
        seen: dict[str, tuple[Observation, ...]] = {}

        async def ask(vantage: str, uri: str) -> None:
            seen[vantage] = await self._web.check(uri, case.domain, vantage, now, hold_pages=self._hold_pages)

        async with trio.open_nursery() as nursery:
            for vantage in self._vantages:
                nursery.start_soon(ask, vantage, item.uri, name=f"recheck at {vantage}")
        return of_web(seen.values())


def of_address(address: Observation) -> tuple[Decision, str]:
    """What a host-level entry's address says (pure)."""
    if address.outcome == "resolves":
        return "go", "resolves"
    if address.outcome == "no-address":
        return "cancel", "no-address"
    return "unchecked", address.detail.get("reason", address.outcome)


def of_web(vantages: Iterable[tuple[Observation, ...]]) -> tuple[Decision, str]:
    """What the answers at all vantages say of a URI, each with its twin's (pure).

    Live anywhere goes; a registry's hold page cancels; an answer that looks clean is for a person to judge.
    """
    answers = [_of_vantage(observations) for observations in vantages]
    outcomes = {observation.outcome for observation in answers if observation is not None}
    reasons = [observation.detail.get("reason", "") for observation in answers if observation is not None]
    if "live" in outcomes:
        return "go", "live"
    if "gone" in outcomes and "hold" in reasons:
        return "cancel", "hold-page"
    if "gone" in outcomes:
        return "review", "looks-clean"
    return "unchecked", " ".join(sorted({reason for reason in reasons if reason})) or "no-answer"


def _of_vantage(observations: tuple[Observation, ...]) -> Observation | None:
    """The answer that counts at one vantage: a live one, else that of the URI as it stands."""
    live = [observation for observation in observations if observation.outcome == "live"]
    plain = [observation for observation in observations if "twin" not in observation.detail]
    return next(iter((*live, *plain, *observations)), None)
