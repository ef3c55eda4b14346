"""``panopticond review``: what needs a person, and the decisions: kept for good, they re-route and never delete.

Reads and writes the store beside a running daemon, which heeds a decision from the next round on. A dismissed indicator
is still probed, stored and published with the decision beside it; it only causes no notice and counts as no incident.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

import msgspec

from panopticond.commands.named import named, shown
from panopticond.config import Config, tlds
from panopticond.judge.verdict import HOST_UNLISTED_REVIEW
from panopticond.model import public_id
from panopticond.shared.clock import Clock, rfc3339
from panopticond.shared.errors import PanopticonError
from panopticond.store.interface import Standing
from panopticond.store.opening import open_configured

Decision = Literal["confirm", "dismiss"]


class Matter(msgspec.Struct, frozen=True):
    """One line of the list: an indicator that waits for a person, and why."""

    id: str
    tld: str
    state: str
    reasons: tuple[str, ...]
    target: str
    since: str | None
    decision: str | None


async def matters(config: Config, *, decided: bool = False) -> list[Matter]:
    """What waits for a person in every served TLD; with ``decided`` also what a person has decided already."""
    found: list[Matter] = []
    async with await open_configured(config.store) as store:
        for tld in tlds(config):
            standings: AsyncIterator[Standing] = store.standings(str(tld.name))
            async for standing in standings:
                reasons, open_still = why(standing), standing.decision in (None, "claim")
                if (reasons and open_still) or (decided and not open_still):
                    found.append(_matter(standing, reasons))
    return found


def why(standing: Standing) -> tuple[str, ...]:
    """Why a person should look: claimed, changed, withdrawn, long unlisted, popular or critical while active. Pure."""
    verdict = standing.verdict
    reasons = ["claimed"] if standing.decision == "claim" else []
    if verdict is None:
        return tuple(reasons)
    if verdict.state == "changed":
        reasons.append("changed")
    elif "review" in verdict.flags and not reasons:
        last = max((one.last for one in standing.sightings), default=standing.recorded)
        long_ago = verdict.at is not None and verdict.at - last >= HOST_UNLISTED_REVIEW
        reasons.append("unlisted for 30 days" if standing.subject.host_level and long_ago else "withdrawn")
    if verdict.state == "active":
        reasons += [flag for flag in ("popular", "critical") if flag in verdict.flags]
    return tuple(reasons)


async def decide(config: Config, text: str, decision: Decision) -> str:
    """Keep a decision on one indicator, by its id or URI; PanopticonError when none or several are meant."""
    clock = Clock.from_settings(config.clock, lab=config.lab)
    async with await open_configured(config.store) as store:
        standings = await named(store, config, text)
        if not standings:
            raise PanopticonError(f"{shown(text)}: no such indicator; panopticond review list prints the ids")
        if len(standings) > 1:
            raise PanopticonError(f"{shown(text)} names {len(standings)} indicators; decide on one id at a time")
        subject = standings[0].subject
        await store.decide(subject.id, decision, clock.now())
        done = "dismissed: probed and published as before, no notice" if decision == "dismiss" else "confirmed"
        return f"{public_id(subject.key)} {subject.key}: {done}"


def table(found: list[Matter]) -> str:
    """The list for a terminal."""
    if not found:
        return "nothing waits for a person"
    rows = [f"{'id':17} {'state':17} {'why':24} {'since':20} what"]
    rows += [
        f"{one.id:17} {one.state:17} {', '.join(one.reasons) or one.decision or '-':24} {one.since or '-':20} "
        f"{one.target}{f'  ({one.decision})' if one.decision and one.reasons else ''}"
        for one in found
    ]
    return "\n".join(rows)


def _matter(standing: Standing, reasons: tuple[str, ...]) -> Matter:
    verdict, subject = standing.verdict, standing.subject
    return Matter(
        id=public_id(subject.key),
        tld=subject.tld,
        state=verdict.state if verdict else "never-checked",
        reasons=reasons,
        target=subject.key,
        since=rfc3339(verdict.since) if verdict and verdict.since else None,
        decision=standing.decision,
    )
