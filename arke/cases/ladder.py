"""Who is told what, and when: the escalation ladder of design section 9 (pure).

Between a case and its notices: the case as the snapshot has it, what was said before and what people decided in; one
Step out. The first rung goes by itself, what is popular, critical, shared or reviewed waits for a person, and so do
the later rungs unless the configuration says otherwise. Nothing is repeated to a party while nothing changed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import zoneinfo
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec

from arke.cases.parties import HOLDERS, HOSTER, REGISTRARS, Told
from arke.cases.settings import Hours, Ladder
from arke.model import Case, CaseIndicator, Role, Step, Template
from panopticond.shared.settings import seconds

REGISTRAR_RUNG, REVIEW_RUNG, HOSTER_RUNG, RESOLVED_RUNG = 2, 3, 4, 9
"""Numbers in Message-IDs and the ledger; the times of the configuration say which comes first."""
REFUSALS = frozenset({"rejected", "withheld"})
RUNG_REASONS = frozenset({"registrar-rung", "hoster-rung", "registry-review"})
"""A rejection of one of these concerns its own rung; of any other reason, the whole case."""
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PENDING = frozenset({"queued", "sending", "retry", "unknown"})
_LOST = frozenset({"failed", "bounced"})
SOMETHING_NEW = "something new"
HOSTER_BESIDE = "hoster beside the first rung"
PASSABLE = frozenset({HOSTER_BESIDE, "hoster rung", "registrar rung"})
"""Reasons of steps that are passed over where their party cannot be told now."""
_REASON_OF = {REGISTRAR_RUNG: "registrar-rung", HOSTER_RUNG: "hoster-rung"}
_HOSTER_HEARD = "hoster:"
"""Stands in the ledger before each word of what the hoster's part of the ladder is done with."""
NOT_IN_ZONE = "not in the registry's zone"
_OVER = frozenset({"mitigated-dns", "mitigated-content", "changed"})


class History(msgspec.Struct, frozen=True):
    """What the ledger knows of a case."""

    told: tuple[Told, ...] = ()
    opening: dt.datetime | None = None
    """The opening the next four speak of; an older one means that the case has reopened since."""
    rung: int = 0
    """The highest rung all of whose notices were handed to the outbox."""
    rung_at: dt.datetime | None = None
    said: frozenset[str] = frozenset()
    """What the completed steps of this opening said."""
    decisions: Mapping[str, str] = {}
    """Queue entries of this opening: reason to waiting, approved, rejected, held or withheld."""


def step(
    case: Case,
    history: History,
    now: dt.datetime,
    settings: Ladder,
    *,
    all_know: bool = False,
    passed: Collection[str] = (),
) -> Step:
    """What is to be done for a case now; ``hold`` names why a person must decide.

    ``all_know``: what is new was found to be known to every party, so that the later rungs are looked at instead.
    ``passed`` are reasons of steps whose party cannot be told now: one of them does not hold up the others.
    """
    found = _step(case, history, now, settings, all_know=all_know, passed=passed)
    hours = settings.hours
    if (
        found.action == "send"
        and hours is not None
        and (hours.first_rung or found.rung > 1)
        and not at_work(now, hours)
    ):
        return Step(case.id, "nothing", "waits for office hours", found.rung)
    return found


def at_work(now: dt.datetime, hours: Hours) -> bool:
    """Whether ``now`` is within the office hours of the configured zone, holidays left out."""
    local = now.astimezone(zoneinfo.ZoneInfo(hours.zone))
    if local.date() in hours.holidays or _DAYS[local.weekday()] not in hours.days:
        return False
    return hours.opens <= local.strftime("%H:%M") < hours.closes


def standing(
    case: Case, decisions: Mapping[str, str], template: str, rung: int, settings: Ladder
) -> Literal["go", "wait", "withdraw"]:
    """Whether a notice in the outbox may go by what is known now: no longer right it is withdrawn, else a person's."""
    if refusal(decisions) or decisions.get(_REASON_OF.get(rung, "")) in REFUSALS:
        return "withdraw"
    if template == "resolved" or case.state == "mitigated":
        return "go" if template == "resolved" and case.state == "mitigated" else "withdraw"
    if case.state != "open" or case.in_zone is False or not due_indicators(case, decisions):
        return "withdraw"
    if any(decisions.get(reason) != "approved" for reason in _gates(case, settings)) or _held(decisions):
        return "wait"
    return "go"


def _held(decisions: Mapping[str, str]) -> bool:
    return "held" in {state for reason, state in decisions.items() if reason not in RUNG_REASONS}


def _step(
    case: Case, history: History, now: dt.datetime, settings: Ladder, *, all_know: bool, passed: Collection[str]
) -> Step:
    if case.state == "mitigated":
        return _resolved(case, history)
    if history.opening != case.opening:
        history = History(told=history.told)
    if why := _over(case, history.decisions):
        return Step(case.id, "nothing", why)
    due = due_indicators(case, history.decisions)
    if not due:
        if any(item.validated and "review" in item.flags for item in case.indicators):
            return Step(case.id, "hold", "review", 1)
        return Step(case.id, "nothing", "no validated indicator")
    for reason in _gates(case, settings):
        if history.decisions.get(reason) != "approved":
            return Step(case.id, "hold", reason, max(1, history.rung))
    if _held(history.decisions):
        return Step(case.id, "hold", "held", max(1, history.rung))
    if history.rung == 0:
        return _first(case, history, now, settings)
    said = msgspec.structs.replace(case, indicators=due).said
    if not all_know and said - history.said:
        return _change(case, history, said, settings)
    beside = HOSTER in _first_roles(case, settings)
    owed = bool(hoster_heard(said) - history.said)
    if beside and owed and HOSTER_BESIDE not in passed:
        return Step(case.id, "send", HOSTER_BESIDE, 1, "hoster", (HOSTER,))
    return _later(case, history, now, settings, hoster_owed=owed and not beside, passed=passed)


def _over(case: Case, decisions: Mapping[str, str]) -> str:
    """Why nobody is to be told anything more, or nothing."""
    if case.state != "open":
        return f"the incident is {case.state}"
    if word := refusal(decisions):
        return f"{word} by a person"
    return NOT_IN_ZONE if case.in_zone is False else ""


def _change(case: Case, history: History, said: frozenset[str], settings: Ladder) -> Step:
    """Something new goes to everybody who stands on a rung that was reached."""
    first = _first_roles(case, settings)
    roles = (*HOLDERS, *REGISTRARS) if history.rung >= REGISTRAR_RUNG else first
    if HOSTER not in roles and (HOSTER in first or hoster_heard(said) & history.said):
        roles = (*roles, HOSTER)
    template: Template = "malicious" if case.abuse_class == "malicious" else "reminder"
    return Step(case.id, "send", SOMETHING_NEW, history.rung, template, roles)


def hoster_heard(said: frozenset[str]) -> frozenset[str]:
    """The words by which the ledger knows that the hoster's part of the ladder is done with what was said."""
    return frozenset(_HOSTER_HEARD + word for word in said)


def due_indicators(case: Case, decisions: Mapping[str, str]) -> tuple[CaseIndicator, ...]:
    """The indicators a notice may speak of: validated, not over, and not in review unless a person confirmed them."""
    reviewed = decisions.get("review") == "approved"
    return tuple(
        item
        for item in case.indicators
        if item.validated and ((item.state not in _OVER and "review" not in item.flags) or reviewed)
    )


def stands_in_review(case: Case) -> bool:
    """Whether the case belongs in the registry's own review at once, beside its first rung."""
    return case.abuse_class == "malicious"


def _resolved(case: Case, history: History) -> Step:
    """The case is over by the snapshot: whoever accepted a mail of this opening hears so once, and nothing else."""
    accepted = [told for told in history.told if told.opening == case.opening and told.state == "accepted"]
    if not accepted or (history.opening == case.opening and history.rung >= RESOLVED_RUNG):
        return Step(case.id, "nothing", "the incident is mitigated")
    if any(told.opening == case.opening and told.state in _PENDING for told in history.told):
        return Step(case.id, "nothing", "mitigated; a notice of it is still on its way")
    if word := refusal(history.decisions):
        return Step(case.id, "nothing", f"{word} by a person")
    return Step(case.id, "send", "mitigated", RESOLVED_RUNG, "resolved", (*HOLDERS, *REGISTRARS))


def refusal(decisions: Mapping[str, str]) -> str:
    """The word that ends a case: withheld wherever it was said, rejected unless it was said of a later rung alone."""
    if "withheld" in decisions.values():
        return "withheld"
    rejected = any(state == "rejected" and reason not in RUNG_REASONS for reason, state in decisions.items())
    return "rejected" if rejected else ""


def _gates(case: Case, settings: Ladder) -> list[str]:
    gates = []
    if case.abuse_class == "shared-service":
        gates.append("shared-service")
    if case.popular and settings.approve_popular:
        gates.append("popular")
    if case.critical and settings.approve_popular:
        gates.append("critical")
    return gates


def _first_roles(case: Case, settings: Ladder) -> tuple[Role, ...]:
    return settings.malicious_first if case.abuse_class == "malicious" else settings.first


def _first(case: Case, history: History, now: dt.datetime, settings: Ladder) -> Step:
    share = int.from_bytes(hashlib.sha256(case.id.encode()).digest()[:4]) / 2**32
    if now < case.opening + share * dt.timedelta(seconds=seconds(settings.stagger)):
        return Step(case.id, "nothing", "staggered: its turn comes later")
    template: Template = "new"
    if case.abuse_class == "malicious":
        template = "malicious"
    elif any(told.accepted is not None and told.opening != case.opening for told in history.told):
        template = "reopened"
    return Step(case.id, "send", "first rung", 1, template, _first_roles(case, settings))


def _later(
    case: Case,
    history: History,
    now: dt.datetime,
    settings: Ladder,
    *,
    hoster_owed: bool,
    passed: Collection[str],
) -> Step:
    """The registrar after a day, the registry's own review after three; what has become malicious is reviewed at once.

    Deadlines count from this opening's first accepted mail, or from the last failure where no mail arrived at all.
    """
    review_queued = "registry-review" in history.decisions
    if stands_in_review(case) and not review_queued:
        return Step(case.id, "hold", "registry-review", REVIEW_RUNG)
    here = [told for told in history.told if told.opening == case.opening and told.state != "withdrawn"]
    since = _counted_from(here)
    between = dt.timedelta(seconds=seconds(settings.between))
    nothing = Step(case.id, "nothing", "told; nothing new", history.rung)
    if since is None or (history.rung_at is not None and now - history.rung_at < between):
        return nothing
    waited = (now - since).total_seconds()
    if waited >= seconds(settings.review_after) and not review_queued:
        return Step(case.id, "hold", "registry-review", REVIEW_RUNG)
    rungs: list[tuple[float, Step]] = []
    if history.rung < REGISTRAR_RUNG and not any(told.template == "registrar" for told in here):
        registrar = Step(case.id, "send", "registrar rung", REGISTRAR_RUNG, "registrar", REGISTRARS)
        rungs.append((seconds(settings.registrar_after), registrar))
    if settings.hoster_after is not None and hoster_owed:
        hoster = Step(case.id, "send", "hoster rung", HOSTER_RUNG, "hoster", (HOSTER,))
        rungs.append((seconds(settings.hoster_after), hoster))
    due = [rung for after, rung in sorted(rungs, key=lambda pair: pair[0]) if waited >= after]
    return _first_ready([rung for rung in due if rung.reason not in passed], history, settings) or nothing


def _first_ready(due: Sequence[Step], history: History, settings: Ladder) -> Step | None:
    """Of the rungs that are due the first that may go; else the first that waits for a person, else who refused."""
    waiting = refused = None
    for rung in due:
        reason = _REASON_OF[rung.rung]
        decision = history.decisions.get(reason)
        if decision in REFUSALS:
            refused = refused or Step(rung.case_id, "nothing", f"{reason} {decision} by a person", history.rung)
        elif settings.approve_later_rungs and decision != "approved":
            hold = Step(rung.case_id, "hold", reason, rung.rung)
            if decision is None:
                return hold
            waiting = waiting or hold
        else:
            return rung
    return waiting or refused


def _counted_from(here: Sequence[Told]) -> dt.datetime | None:
    """When the deadlines of an opening began to run; None while its first mail is still on its way."""
    if here and all(told.state in _LOST for told in here):
        return max((told.settled for told in here if told.settled), default=None)
    return min((told.accepted for told in here if told.accepted), default=None)
