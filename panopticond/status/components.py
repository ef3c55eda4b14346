"""Which of what we depend on does not answer: vantages, resolvers, TLD servers, Web Risk, RDAP, our own network.

Beside the schedule: hears of every recorded round and keeps the last answers of each component, so that status can
name the cause when checks come to nothing. Judges no site: what could not be checked is indeterminate already. Clears
by itself as soon as a component answers again. Pure.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any

from panopticond.judge.look import look
from panopticond.model import Observation, Round, Subject
from panopticond.shared.clock import rfc3339

REMEMBERED = 20
RECENT = 5
ENOUGH = 3
"""Fewer answers say nothing of a component."""
_OUR_OWN = {"webrisk": frozenset({"no-key", "malformed", "budget"}), "registration": frozenset({"no-rdap", "busy"})}
"""Reasons of ours for not asking: nothing is wrong with the component."""


class _Answers:
    """The last answers of one component: "" for an answer, else why there was none."""

    def __init__(self) -> None:
        self.last: deque[tuple[dt.datetime, str]] = deque(maxlen=REMEMBERED)

    def fault(self) -> tuple[str, int, dt.datetime] | None:
        """(most common reason, failures among the last answers, since when), or None while it answers."""
        reasons = [reason for _, reason in self.last]
        failed = [reason for reason in reasons if reason]
        recent = reasons[-RECENT:]
        if len(reasons) < ENOUGH or not any(recent) or not (all(recent) or 2 * len(failed) > len(reasons)):
            return None
        since = self.last[0][0]
        for at, reason in reversed(self.last):
            if not reason:
                break
            since = at
        return Counter(failed).most_common(1)[0][0], len(failed), since


class Components:
    """The answers of every component since the daemon started; memory is bounded by their number."""

    def __init__(self) -> None:
        self._answers: dict[str, _Answers] = {}

    def hear(self, subject: Subject, round_: Round) -> None:
        """Take in a recorded round; answers put in again from an earlier one are not counted twice."""
        for observation in round_.observations:
            if observation.at < round_.at:
                continue
            found = component_of(observation, subject.tld)
            if found is not None:
                name, reason = found
                self._answers.setdefault(name, _Answers()).last.append((observation.at, reason))

    def wrong(self) -> list[str]:
        """A sentence for each component that does not answer; one for all of them when nothing does."""
        faults = self._faults()
        outside = [name for name in self._answers if not name.startswith(("RDAP", "Web Risk"))]
        sentences = [
            f"{name}: {failed} of the last {len(self._answers[name].last)} checks had no answer ({reason}), "
            f"since {rfc3339(since)}; what depends on it reads indeterminate"
            for name, (reason, failed, since) in faults.items()
        ]
        if len(outside) >= ENOUGH and all(name in faults for name in outside):
            sentences.insert(0, "our own network: nothing outside answers; look at this host's connection first")
        return sentences

    def table(self) -> list[Mapping[str, Any]]:
        """Every component for the status socket: its name, answers remembered, failures among them, the reason."""
        faults = self._faults()
        return [
            {
                "component": name,
                "answers": len(answers.last),
                "failed": sum(bool(reason) for _, reason in answers.last),
                "reason": faults[name][0] if name in faults else "",
                "ok": name not in faults,
            }
            for name, answers in sorted(self._answers.items())
        ]

    def _faults(self) -> dict[str, tuple[str, int, dt.datetime]]:
        found = ((name, answers.fault()) for name, answers in sorted(self._answers.items()))
        return {name: fault for name, fault in found if fault is not None}


def component_of(observation: Observation, tld: str) -> tuple[str, str] | None:
    """(component, why it gave no answer or "") of an observation; None when it says nothing of any component."""
    reason = observation.detail.get("reason", "") if observation.outcome == "indeterminate" else ""
    kind = observation.kind
    if reason in _OUR_OWN.get(kind, ()) or kind in {"tranco", "apex"} or observation.outcome == "not-probed":
        return None
    if kind == "web":
        return _of_web(observation, reason)
    name = {
        "delegation": f"servers of .{tld}",
        "address": "unfiltered resolver",
        "quad9": "Quad9",
        "webrisk": "Web Risk",
        "registration": f"RDAP of .{tld}",
    }[kind]
    return name, reason


def unchecked(subject: Subject, round_: Round) -> str:
    """Why a round says nothing of its indicator, as ``component: reason``; empty when it does.

    A round is a check when the delegation was told and, where that leaves the question open, every vantage had an
    answer of the site (for host-level entries: the resolver an answer). What a site itself prevents, by too many
    requests or a redirect nobody may follow, and what nobody may fetch, is no fault of a check.
    """
    seen = look(subject, round_)
    if seen.delegation not in ("delegated", "indeterminate"):
        return ""
    asked = round_.of("address") if subject.host_level else round_.of("web")
    if seen.delegation == "delegated" and (seen.address != "indeterminate" if subject.host_level else seen.checked):
        return ""
    told = (component_of(one, subject.tld) for one in (*round_.of("delegation"), *asked))
    return next((f"{found[0]}: {found[1]}"[:80] for found in told if found is not None and found[1]), "")


def _of_web(observation: Observation, reason: str) -> tuple[str, str] | None:
    """A vantage's own faults; what the guard refused, or a site's redirect forbade, is nobody's."""
    name = f"vantage {observation.vantage}"
    if observation.outcome != "indeterminate":
        return name, ""
    fault = reason.removeprefix("baseline-")
    if fault == "control-failed":
        return name, f"control probe: {observation.detail.get('control', 'failed')}"
    return (name, fault) if fault.startswith("proxy-") or fault in {"deadline", "defect"} else None
