"""What the status socket answers: everything a person or a monitor asks of the running daemon, what is wrong first.

Read-only, beside the flow. ``gather`` looks everything up; ``statuspage`` and ``metrics`` write it down.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import trio

from panopticond import __version__
from panopticond.config import Tld
from panopticond.feeds.catalogue import FeedSpec
from panopticond.judge.mistrial import Mistrials
from panopticond.schedule import Checked
from panopticond.shared.clock import rfc3339
from panopticond.shared.settings import seconds
from panopticond.snapshot.publish import next_hour
from panopticond.status.components import Components
from panopticond.status.coverage import Coverage
from panopticond.status.metrics import metrics
from panopticond.store.interface import FeedHealth
from panopticond.wiring import Parts

API = 1
"""Of the status socket: another number means that keys were taken away or changed what they say."""
SHOWN = 8
STORE_SECONDS = 3.0
"""Real seconds an answer waits for a shared store; whoever asks waits for ten."""
COVERAGE_ALARM = 0.95
"""Share of indicators with all checks on time and checked below which status says so first."""


class Health:
    """Counters and last problems of the running daemon, in one plain object."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.rounds = 0
        self.outcomes: dict[str, int] = {}
        self.quad9_problems: list[str] = []
        self.tranco_problem = ""
        self.components = Components()
        self.problems: dict[str, str] = {}
        """What last failed and was not mended since: publication and mail, by task."""

    def tell(self, task: str, problem: str) -> None:
        """A task failed, or with an empty ``problem`` went well again."""
        if problem:
            self.problems[task] = problem
        else:
            self.problems.pop(task, None)

    async def count(self, checked: Checked) -> None:
        """One more round was recorded."""
        self.rounds += 1
        self.components.hear(checked.before.subject, checked.round)
        for observation in checked.round.observations:
            key = f"{observation.kind}:{observation.outcome}"
            self.outcomes[key] = self.outcomes.get(key, 0) + 1


async def status(parts: Parts, health: Health, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """The answer to ``{"do": "status"}`` or ``{"do": "metrics"}``; anything else is an error in one sentence.

    Keys a client does not know are to be passed over, and none is taken away while ``api`` stays the same.
    """
    match request.get("do"):
        case "status":
            return await gather(parts, health)
        case "metrics":
            return {"text": metrics(await gather(parts, health))}
        case other:
            return {"error": f"unknown request {str(other)[:40]!r}; say status or metrics"}


async def gather(parts: Parts, health: Health) -> dict[str, Any]:
    """How the daemon fares, as plain values."""
    now = parts.clock.now()
    coverage = parts.window.coverage(now)
    fleet = parts.sharing.fleet
    feeds, tlds, slow = await _looked_up(parts, now)
    silent = parts.authorities.silent()
    next_check = parts.window.next_due()
    clock = parts.http.clocks.wrong()
    return {
        "api": API,
        "version": __version__,
        "now": rfc3339(now),
        "started": rfc3339(now - dt.timedelta(seconds=(time.monotonic() - health.began) * parts.clock.scale)),
        "wrong": [
            *(fleet.wrong() if fleet else ()),
            *slow,
            *_wrong(health, feeds, coverage, silent, _mistrials(parts), clock, _one_place(parts)),
        ],
        "problems": dict(sorted(health.problems.items())),
        "silent": list(silent),
        "indicators": len(parts.window),
        "in_flight": parts.window.in_flight,
        "next_check": rfc3339(next_check) if next_check else None,
        "rounds": health.rounds,
        "outcomes": dict(sorted(health.outcomes.items())),
        "coverage": {**msgspec.to_builtins(coverage), "share": coverage.share},
        "components": health.components.table(),
        "webrisk": _webrisk(parts),
        "feeds": feeds,
        "tlds": tlds,
        "fleet": fleet.table() if fleet else None,
    }


async def _looked_up(parts: Parts, now: dt.datetime) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """(feeds, TLDs, what is wrong) out of the store; a shared one that does not answer keeps nobody waiting."""
    fleet = parts.sharing.fleet
    if fleet is not None and fleet.away():
        return [], [], []
    with trio.move_on_after(float("inf") if fleet is None else STORE_SECONDS):
        return await _feeds(parts), [await _tld(parts, tld, now) for tld in parts.tlds], []
    return [], [], [f"the shared store had no answer within {STORE_SECONDS:.0f} s: feeds and TLDs are left out here"]


async def _feeds(parts: Parts) -> list[dict[str, Any]]:
    """Every configured feed, one that was never visited too; a feed that is configured no more is nobody's worry."""
    ledger = {line.feed: line for line in await parts.store.all_feed_health()}
    return [_feed(spec, ledger.get(spec.name, FeedHealth(spec.name))) for spec in parts.feeds]


def _feed(spec: FeedSpec, line: FeedHealth) -> dict[str, Any]:
    def time(when: dt.datetime | None) -> str | None:
        return rfc3339(when) if when else None

    return {
        "name": line.feed,
        "state": line.state,
        "since": time(line.since),
        "reason": line.reason,
        "last_success": time(line.last_success),
        "last_change": time(line.last_change),
        "next": time(line.last_attempt + dt.timedelta(seconds=spec.every) if line.last_attempt else None),
        "rows": line.rows,
        "indicators": line.indicators,
        "rejected": sum(line.rejected.values()),
    }


async def _tld(parts: Parts, tld: Tld, now: dt.datetime) -> dict[str, Any]:
    last = await parts.store.last_publication(str(tld.name))
    lasts = dt.timedelta(seconds=seconds(parts.config.publish.expires))
    return {
        "tld": tld.name,
        "serial": last.serial if last else None,
        "issued": rfc3339(last.issued) if last else None,
        "expires": rfc3339(last.end + lasts) if last else None,
        "next": rfc3339(next_hour(tld, last.issued if last and last.issued > now else now)),
    }


def _webrisk(parts: Parts) -> dict[str, int] | None:
    if parts.webrisk is None:
        return None
    return {"asked_today": parts.webrisk.used, "daily_budget": parts.config.webrisk.daily_budget}


def _wrong(
    health: Health,
    feeds: list[dict[str, Any]],
    coverage: Coverage,
    silent: Sequence[str],
    mistrials: Sequence[str],
    clock: str = "",
    places: Sequence[str] = (),
) -> list[str]:
    wrong = [
        f"feed {feed['name']} is {feed['state']}: {feed['reason']}"
        for feed in feeds
        if feed["state"] not in ("OK", "NEW")
    ]
    wrong += [f"Quad9: {problem}" for problem in health.quad9_problems]
    wrong += health.components.wrong()
    wrong += [f"{task}: {problem}" for task, problem in sorted(health.problems.items())]
    if silent:
        wrong.append(f"name servers that do not answer: {', '.join(silent[:8])}")
    wrong += mistrials
    if clock:
        wrong.insert(0, clock)
    wrong += places
    if health.tranco_problem:
        wrong.append(health.tranco_problem)
    if coverage.share is not None and coverage.share < COVERAGE_ALARM:
        wrong.append(_uncovered(coverage))
    return wrong


def _one_place(parts: Parts) -> list[str]:
    """TLDs whose vantages all leave from this host: what hides from a country is then not seen."""
    proxies = {vantage.name: vantage.proxy for vantage in parts.config.vantage}
    alone = [str(tld.name) for tld in parts.tlds if not any(proxies[name] for name in tld.vantages or proxies)]
    if not alone:
        return []
    served = ", ".join(f".{name}" for name in alone[:SHOWN])
    return [f"every vantage of {served} is this host: pages that hide from a country are not seen; give one a proxy"]


def _mistrials(parts: Parts) -> list[str]:
    return parts.judge.wrong() if isinstance(parts.judge, Mistrials) else []


def _uncovered(coverage: Coverage) -> str:
    """The coverage as a sentence with its causes, the commonest first."""
    causes = [f"{count} {cause}" for cause, count in list(coverage.causes.items())[:3]]
    return (
        f"only {coverage.whole} of {coverage.indicators} indicators had every check of the last 24 hours, on time and "
        f"answered: {coverage.late} checks late or not made, {coverage.unchecked} made without an answer; "
        f"indicators by cause: {', '.join(causes)}"
    )
