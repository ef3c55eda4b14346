"""What the status socket answers, and the page ``panopticond status`` makes of it: what is wrong comes first.

Read-only, beside the flow. ``status`` gathers; ``page`` is pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from panopticond import __version__
from panopticond.components import Components
from panopticond.coverage import Coverage
from panopticond.mistrial import Mistrials
from panopticond.schedule import Checked
from panopticond.shared.clock import rfc3339
from panopticond.snapshot.publish import next_hour
from panopticond.wiring import Parts

COVERAGE_ALARM = 0.95
"""Share of indicators with all checks on time and checked below which status says so first."""


class Health:
    """Counters and last problems of the running daemon, in one plain object."""

    def __init__(self) -> None:
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
    """The answer to ``{"do": "status"}``; anything else is an error in one sentence."""
    if request.get("do") != "status":
        return {"error": f"unknown request {str(request.get('do'))[:40]!r}; say status"}
    now = parts.clock.now()
    coverage = parts.window.coverage(now)
    feeds = [
        {
            "name": line.feed,
            "state": line.state,
            "since": rfc3339(line.since) if line.since else None,
            "reason": line.reason,
            "last_success": rfc3339(line.last_success) if line.last_success else None,
            "rows": line.rows,
            "indicators": line.indicators,
            "rejected": sum(line.rejected.values()),
        }
        for line in await parts.store.all_feed_health()
    ]
    tlds = []
    for tld in parts.tlds:
        last = await parts.store.last_publication(str(tld.name))
        tlds.append(
            {
                "tld": tld.name,
                "serial": last.serial if last else None,
                "issued": rfc3339(last.issued) if last else None,
                "next": rfc3339(next_hour(tld, last.issued if last and last.issued > now else now)),
            }
        )
    return {
        "version": __version__,
        "now": rfc3339(now),
        "wrong": _wrong(health, feeds, coverage, parts.authorities.silent(), _mistrials(parts)),
        "indicators": len(parts.window),
        "rounds": health.rounds,
        "outcomes": dict(sorted(health.outcomes.items())),
        "coverage": {**msgspec.to_builtins(coverage), "share": coverage.share},
        "components": health.components.table(),
        "webrisk": {"asked_today": parts.webrisk.used} if parts.webrisk is not None else None,
        "feeds": feeds,
        "tlds": tlds,
    }


def _wrong(
    health: Health, feeds: list[dict[str, Any]], coverage: Coverage, silent: Sequence[str], mistrials: Sequence[str]
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
    if health.tranco_problem:
        wrong.append(health.tranco_problem)
    if coverage.share is not None and coverage.share < COVERAGE_ALARM:
        wrong.append(_uncovered(coverage))
    return wrong


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


def page(answer: Mapping[str, Any]) -> str:
    """The answer as a page a person can read at night."""
    lines = [f"panopticond {answer['version']} at {answer['now']}", ""]
    lines += [f"  WRONG  {sentence}" for sentence in answer["wrong"]] or ["  nothing is wrong"]
    coverage = answer["coverage"]
    lines += [
        "",
        f"indicators {answer['indicators']}   rounds since start {answer['rounds']}   {_covered(coverage)}",
        "",
    ]
    lines += [f"{'feed':20} {'state':13} {'rows':>8} {'in scope':>9} {'rejected':>9}  last success"]
    for feed in answer["feeds"]:
        lines.append(
            f"{feed['name']:20} {feed['state']:13} {feed['rows']:8} {feed['indicators']:9} {feed['rejected']:9}  "
            f"{feed['last_success'] or 'never'}"
        )
    lines += ["", f"{'tld':20} {'last snapshot':13} issued                next"]
    lines += [
        f"{tld['tld']:20} {tld['serial'] or '-':<13} {tld['issued'] or '-':20}  {tld['next']}" for tld in answer["tlds"]
    ]
    return "\n".join(lines)


def _covered(coverage: Mapping[str, Any]) -> str:
    if coverage["share"] is None:
        return "coverage: nothing is watched yet"
    checks = f"{coverage['due']} checks due, {coverage['late']} late or not made, {coverage['unchecked']} unanswered"
    return f"coverage: {coverage['share']:.1%} of the indicators whole ({checks})"
