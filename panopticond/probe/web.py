"""Is the page there, seen from a vantage? One URI and its http or https twin in, one ``web`` observation each out.

Called by the round for every vantage, and by arke before a mail. It decides: who may be asked (the guard, on every
hop), which answer counts as the page (soft 404, hold, parking, suspension and challenge pages told apart by
:mod:`panopticond.probe.page`), and whose fault a missing answer is: a site has failed only beside a good control probe
through the same vantage, otherwise nobody knows. :mod:`panopticond.probe.webwire` does the talking.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import msgspec
import trio

from panopticond.judge.fingerprint import fingerprint, same_page
from panopticond.model import Observation
from panopticond.probe.guard import must_not_fetch
from panopticond.probe.page import Answer, decoded, judge_page, title_of
from panopticond.probe.webcontrol import Control, Resolve, WebLimits
from panopticond.probe.webkept import Kept
from panopticond.probe.webtls import probing_context, validity
from panopticond.probe.weburi import is_address, location_of, random_sibling, target_of, twin_of
from panopticond.probe.webvantage import WebVantage, web_vantage
from panopticond.probe.webwire import Reply, Target, Wire, WireError
from panopticond.shared.ratelimit import Buckets, Rate

__all__ = ["Resolve", "WebGuard", "WebLimits", "WebProber", "WebVantage", "twin_of", "web_vantage"]

REDIRECTS = 5
NEIGHBOURS = 4.0
"""How many hosts of one registered domain, or at one address, may be asked at the pace of one."""
KEPT_SECONDS = 2.0
"""A connection is not kept through a longer wait for our turn: it would take up the site's and the proxy's room."""
USER_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
)
"""A desktop browser's: kits answer crawlers with another page."""
_APEX_KEYS = ("reason", "status", "title", "fingerprint", "domain", "country", "final")


class WebGuard(Protocol):
    """What of :class:`panopticond.probe.guard.Guard` is asked here: the reason a probe is refused, or None."""

    def refuse_address(self, address: str) -> str | None:
        """Why this address is never probed."""
        ...

    def refuse_uri(self, uri: str) -> str | None:
        """Why this URI's scheme, port or host is never probed."""
        ...


class _Visit(msgspec.Struct, frozen=True):
    """What following one URI came to: an answer, or an outcome with its reason."""

    chain: tuple[str, ...]
    reply: Reply | None = None
    outcome: Literal["gone", "failed", "indeterminate"] = "indeterminate"
    reason: str = ""
    control: str = ""
    layer: Literal["site", "proxy", "guard"] = "site"


class WebProber:
    """The web probe of all vantages; one instance serves any number of concurrent checks."""

    def __init__(
        self,
        vantages: Sequence[WebVantage],
        *,
        guard: WebGuard,
        resolve: Resolve,
        registered_domain: Callable[[str], str | None],
        limits: WebLimits | None = None,
        user_agent: str = USER_AGENT,
        pace: Callable[[str, float, float], Rate] | None = None,
    ) -> None:
        """``pace`` makes what keeps a rate (name, a second, burst), where several hosts share them."""
        self._limits = limits or WebLimits()
        self._vantages = {vantage.name: vantage for vantage in vantages}
        self._guard = guard
        self._resolve = resolve
        self._registered_domain = registered_domain
        wire = Wire(
            probing=probing_context(),
            connect_seconds=self._limits.connect_seconds,
            body_bytes=self._limits.body_bytes,
            user_agent=user_agent,
        )
        self._wire = wire
        self._control = Control(wire, resolve, self._limits)
        seconds = self._limits.per_host_seconds
        rate = 1.0 / seconds if seconds > 0 else float("inf")
        pace = pace or (lambda _, a_second, burst: Buckets(a_second, burst))
        self._by_host = pace("web host", rate, 1.0)
        self._by_neighbours = pace("web neighbours", rate * NEIGHBOURS, NEIGHBOURS)

    @property
    def vantages(self) -> tuple[WebVantage, ...]:
        """The configured vantages, in order."""
        return tuple(self._vantages.values())

    async def check(
        self, uri: str, domain: str, vantage: str, now: dt.datetime, *, hold_pages: Sequence[str] = ()
    ) -> tuple[Observation, ...]:
        """The URI as it stands and, on default ports, its twin of the other scheme, both seen from one vantage.

        ``domain`` is the indicator's registered domain, ``now`` policy time; KeyError for a vantage never configured.
        """
        place = self._vantages[vantage]
        targets = [target for target in (uri, twin_of(uri)) if target is not None]
        found: dict[str, Observation] = {}

        async def one(target: str) -> None:
            outcome, detail = await self._look(target, domain, place, now, hold_pages)
            if target != uri:
                detail["twin"] = "1"
            found[target] = Observation("web", target, vantage, now, outcome, detail)

        if len(targets) == 1:
            await one(uri)
            return (found[uri],)
        async with trio.open_nursery() as nursery:
            for target in targets:
                nursery.start_soon(one, target, name=f"web {vantage}")
        return tuple(found[target] for target in targets)

    async def apex(self, domain: str, vantage: str, now: dt.datetime, *, hold_pages: Sequence[str] = ()) -> Observation:
        """The registered domain's front page, over https where http failed; context for the class, not evidence."""
        place = self._vantages[vantage]
        outcome, detail = await self._look(f"http://{domain}/", domain, place, now, hold_pages)
        if outcome == "failed":
            outcome, detail = await self._look(f"https://{domain}/", domain, place, now, hold_pages)
        kept = {key: detail[key] for key in _APEX_KEYS if key in detail}
        return Observation("apex", domain, vantage, now, outcome, kept)

    async def _look(
        self, uri: str, domain: str, place: WebVantage, now: dt.datetime, hold_pages: Sequence[str]
    ) -> tuple[str, dict[str, str]]:
        """(outcome, detail) of one URI at one vantage."""
        unfit = must_not_fetch(uri)
        if unfit is not None:
            return "not-probed", {"country": place.country, "reason": unfit}
        kept = Kept()
        try:
            return await self._look_with(kept, uri, domain, place, now, hold_pages)
        finally:
            kept.close()

    async def _look_with(
        self, kept: Kept, uri: str, domain: str, place: WebVantage, now: dt.datetime, hold_pages: Sequence[str]
    ) -> tuple[str, dict[str, str]]:
        """One connection serves redirects within a site and the random path beside the page: one exit saw them all."""
        detail = {"country": place.country}
        began = trio.current_time()
        visit = await self._visit(uri, place, kept)
        detail["elapsed_ms"] = str(round((trio.current_time() - began) * 1000))
        if len(visit.chain) > 1:
            detail["chain"] = " ".join(visit.chain)
            detail["final"] = visit.chain[-1]
        if visit.reply is None:
            detail["reason"] = visit.reason
            if visit.control:
                detail["control"] = visit.control
            return visit.outcome, detail
        reply, final = visit.reply, visit.chain[-1]
        detail |= self._described(reply, final, domain, now)
        judged = judge_page(Answer(reply.status, final, reply.headers, reply.body), hold_pages)
        outcome, reason = str(judged.outcome), judged.reason
        if judged.challenge:
            detail["challenge"] = judged.challenge
        if outcome == "live":
            outcome, reason = await self._against_random_path(kept, uri, domain, place, detail["fingerprint"])
        if reason:
            detail["reason"] = reason
        return outcome, detail

    def _described(self, reply: Reply, final: str, domain: str, now: dt.datetime) -> dict[str, str]:
        target = target_of(final)
        title = title_of(decoded(reply.body, reply.headers.get("content-type", "")))
        where = self._domain_of(target.host, domain)
        detail = {
            "status": str(reply.status),
            "domain": where,
            "title": title,
            "size": str(len(reply.body)),
            "sha256": hashlib.sha256(reply.body).hexdigest(),
            "fingerprint": fingerprint(where, reply.status, title, len(reply.body), reply.body),
        }
        if reply.address:
            detail["address"] = reply.address
        if reply.chain:
            detail["tls"] = validity(list(reply.chain), target.host, now)
        return detail

    def _domain_of(self, host: str, domain: str) -> str:
        if host == domain or host.endswith("." + domain):
            return domain
        return self._registered_domain(host) or host

    async def _against_random_path(
        self, kept: Kept, uri: str, domain: str, place: WebVantage, seen: str
    ) -> tuple[str, str]:
        """(outcome, reason) of a page that looked live: the same page at a path nobody made is a soft 404."""
        other = random_sibling(uri)
        if other is None:
            return "live", ""
        visit = await self._visit(other, place, kept)
        if visit.reply is None:
            # A site that breaks off only on the made-up path does not answer the same there; a proxy's fault is ours.
            return ("live", "") if visit.layer == "site" else ("indeterminate", f"baseline-{visit.reason}")
        reply = visit.reply
        title = title_of(decoded(reply.body, reply.headers.get("content-type", "")))
        where = self._domain_of(target_of(visit.chain[-1]).host, domain)
        baseline = fingerprint(where, reply.status, title, len(reply.body), reply.body)
        return ("gone", "soft-404") if same_page(seen, baseline) else ("live", "")

    async def _visit(self, uri: str, place: WebVantage, kept: Kept) -> _Visit:
        """Follow a URI through at most five redirects, every hop vetted anew."""
        chain = [uri]
        deadline = trio.current_time() + self._limits.deadline_seconds
        while True:
            target, known, refused = await self._vetted(chain[-1], place)
            if target is None:
                outcome: Literal["gone", "indeterminate"] = "indeterminate"
                if len(chain) > 1 and refused.startswith("guard-"):
                    outcome, refused = "gone", "redirect-forbidden"  # an answer of the site, though nowhere to follow
                return _Visit(tuple(chain), outcome=outcome, reason=refused, layer="guard")
            deadline += await self._turn(target, known, place, kept)
            began = trio.current_time()
            try:
                reply = await self._get(target, place, deadline, kept)
            except WireError as error:
                return await self._failed(error, chain, place, began)
            following = location_of(reply, chain[-1])
            if following is None:
                return _Visit(tuple(chain), reply)
            if following in chain:
                return _Visit((*chain, following), outcome="gone", reason="redirect-loop")
            if len(chain) > REDIRECTS:
                return _Visit(tuple(chain), outcome="gone", reason="redirect-limit")
            if must_not_fetch(following) is not None:
                return _Visit((*chain, following), reason="redirect-not-probed", layer="guard")
            chain.append(following)

    async def _turn(self, target: Target, addresses: Sequence[str], place: WebVantage, kept: Kept) -> float:
        """Wait until it is polite to ask: by host, registered domain and address; the seconds waited."""
        queued = trio.current_time()
        near = (self._registered_domain(target.host) or target.host, *addresses[:1])
        if not kept.holds or not self._limits.per_host_seconds:
            await self._places(target.host, near, place)
            return trio.current_time() - queued
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kept.close_after, KEPT_SECONDS, name="web kept")
            await self._places(target.host, near, place)
            nursery.cancel_scope.cancel()
        return trio.current_time() - queued

    async def _places(self, host: str, near: Sequence[str], place: WebVantage) -> None:
        await self._by_host.take(f"{place.name} {host}")
        for neighbourhood in set(near):
            await self._by_neighbours.take(f"{place.name} {neighbourhood}")

    async def _get(self, target: Target, place: WebVantage, deadline: float, kept: Kept) -> Reply:
        """One GET; where sessions rotate, a failure is believed after a second try through another exit only."""
        try:
            return await self._wire.get(target, place, deadline, kept)
        except WireError:
            if not place.rotates:
                raise
        half = trio.current_time() + self._limits.deadline_seconds / 2
        return await self._wire.get(target, place, max(deadline, half), kept)

    async def _failed(self, error: WireError, chain: list[str], place: WebVantage, began: float) -> _Visit:
        if error.layer == "proxy":
            return _Visit(tuple(chain), reason=error.reason, layer="proxy")
        control = await self._control.state(place, began)
        if control == "good":
            return _Visit(tuple(chain), outcome="failed", reason=error.reason, control=control)
        reason = "no-control" if control == "none" else "control-failed"
        return _Visit(tuple(chain), reason=reason, control=control, layer="proxy")

    async def _vetted(self, uri: str, place: WebVantage) -> tuple[Target | None, tuple[str, ...], str]:
        """The target with the addresses that may be connected to, every address it has, or the word why not.

        A proxy resolves for itself; all we can do is refuse a name that has a forbidden address here. A name without
        an address here is still asked for there: we may lack its address family.
        """
        refused = self._guard.refuse_uri(uri)
        if refused is not None:
            return None, (), _guarded(refused)
        target = target_of(uri)
        literal = is_address(target.host)
        found: tuple[str, ...] | None = (target.host.strip("[]"),)
        if not literal:
            with trio.move_on_after(self._limits.deadline_seconds) as scope:
                found = await self._resolve(target.host)
            if scope.cancelled_caught:
                found = None
        reasons = {address: self._guard.refuse_address(address) for address in found or ()}
        forbidden = [reason for reason in reasons.values() if reason is not None]
        allowed = tuple(address for address, reason in reasons.items() if reason is None)
        if forbidden and (place.proxy_host is not None or not allowed):
            return None, (), _guarded(forbidden[0])
        if place.proxy_host is None and found is None:
            return None, (), "resolver"
        return msgspec.structs.replace(target, addresses=allowed), found or (), ""


def _guarded(reason: str) -> str:
    return "guard-" + "-".join(reason.lower().split())
