"""Who is told what, and when: the escalation ladder of design section 9 (pure).

Between a case and its notices: the case as the snapshot has it, what was said before and what people decided in; one
Step out. The first rung goes by itself, what is popular, critical, shared or reviewed waits for a person, and so do
the later rungs unless the configuration says otherwise. Nothing is repeated to a party while nothing changed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import msgspec

from arke.config import Hours, Ladder
from arke.model import Case, CaseIndicator, Contact, Role, Step, Template
from panopticond.shared.settings import seconds

HOLDERS: tuple[Role, ...] = ("registrant", "administrative", "technical")
REGISTRARS: tuple[Role, ...] = ("abuse", "registrar")
"""The registrar's abuse contact before the registrar's general one; the first there is gets the mail."""
REGISTRAR_RUNG, REVIEW_RUNG, RESOLVED_RUNG = 2, 3, 9
REFUSALS = frozenset({"rejected", "withheld"})
RUNG_REASONS = frozenset({"registrar-rung", "registry-review"})
"""A rejection of one of these concerns its own rung; of any other reason, the whole case."""
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PENDING = frozenset({"queued", "sending", "retry", "unknown"})
_LOST = frozenset({"failed", "bounced"})
SOMETHING_NEW = "something new"
NOT_IN_ZONE = "not in the registry's zone"
_OVER = frozenset({"mitigated-dns", "mitigated-content", "changed"})


class Told(msgspec.Struct, frozen=True):
    """One notice in the ledger, as the ladder needs it: ``party`` is the keyed hash of the recipient."""

    opening: dt.datetime
    party: str
    template: str
    rung: int
    said: frozenset[str]
    state: str = "queued"
    """The outbox's word; ``withdrawn`` was never said to anybody."""
    accepted: dt.datetime | None = None
    settled: dt.datetime | None = None
    """When the outbox was done with it: accepted, failed, bounced or withdrawn."""


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


def step(case: Case, history: History, now: dt.datetime, settings: Ladder, *, all_know: bool = False) -> Step:
    """What is to be done for a case now; ``hold`` names why a person must decide.

    ``all_know``: what is new was found to be known to every party, so that the later rungs are looked at instead.
    """
    found = _step(case, history, now, settings, all_know=all_know)
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
    if refusal(decisions) or (rung == REGISTRAR_RUNG and decisions.get("registrar-rung") in REFUSALS):
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


def _step(case: Case, history: History, now: dt.datetime, settings: Ladder, *, all_know: bool) -> Step:
    if case.state == "mitigated":
        return _resolved(case, history)
    if case.state != "open":
        return Step(case.id, "nothing", f"the incident is {case.state}")
    if history.opening != case.opening:
        history = History(told=history.told)
    if word := refusal(history.decisions):
        return Step(case.id, "nothing", f"{word} by a person")
    if case.in_zone is False:
        return Step(case.id, "nothing", NOT_IN_ZONE)
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
    if not all_know and msgspec.structs.replace(case, indicators=due).said - history.said:
        roles = (*HOLDERS, *REGISTRARS) if history.rung >= REGISTRAR_RUNG else _first_roles(case, settings)
        template: Template = "malicious" if case.abuse_class == "malicious" else "reminder"
        return Step(case.id, "send", SOMETHING_NEW, history.rung, template, roles)
    return _later(case, history, now, settings)


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


def template_for(step: Step, role: Role) -> Template:
    """The template a party of this role gets: the registrar's is its own."""
    return "registrar" if role in REGISTRARS and step.template != "resolved" else step.template


def parties(
    case: Case, step: Step, contacts: Sequence[Contact], told: Sequence[Told], party: Callable[[str], str]
) -> tuple[tuple[Contact, ...], str]:
    """The contacts to write to now, each unique address once in the order of the roles, and why there are none.

    Left out are those who were told all this in this opening. A contact inside the abused domain never suffices alone.
    That a case is resolved is said to those alone who took a mail about it.
    """
    if step.template == "resolved":
        return _to_be_released(case, step, contacts, told, party), ""
    chosen: dict[str, Contact] = {}
    registrar_chosen = False
    for role in step.roles:
        for contact in (contact for contact in contacts if contact.role == role):
            if role in REGISTRARS and registrar_chosen:
                continue
            registrar_chosen = registrar_chosen or role in REGISTRARS
            chosen.setdefault(contact.address.lower(), contact)
    if not chosen:
        return (), "no-address"
    if all(inside(case.domain, address) for address in chosen):
        return (), "inside-domain"
    return tuple(contact for address, contact in chosen.items() if not knows(case, told, party(address))), ""


def knows(case: Case, told: Sequence[Told], party: str) -> bool:
    """Whether a party was told, in this opening and in one notice, all that a notice about this case would say now."""
    return any(
        item.party == party and item.opening == case.opening and case.said <= item.said and item.state != "withdrawn"
        for item in told
    )


def occasion(case: Case, told: Sequence[Told]) -> str:
    """What makes a notice of one opening another mail than that of the next, or than one that was withdrawn."""
    withdrawn = sum(item.state == "withdrawn" and item.opening == case.opening for item in told)
    return f"{case.opening.isoformat()} {withdrawn}"


def inside(domain: str, address: str) -> bool:
    """Whether a mail address lies in the abused domain itself, whose holder of the moment may be the abuser."""
    host = address.rpartition("@")[2].lower().rstrip(".")
    return host == domain or host.endswith("." + domain)


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


def _to_be_released(
    case: Case, step: Step, contacts: Sequence[Contact], told: Sequence[Told], party: Callable[[str], str]
) -> tuple[Contact, ...]:
    """The contacts who took a notice of this opening and have not heard that it is over."""
    here = [item for item in told if item.opening == case.opening and item.state != "withdrawn"]
    released = {item.party for item in here if item.template == "resolved"}
    owed = {item.party for item in here if item.state == "accepted"} - released
    chosen: dict[str, Contact] = {}
    for role in step.roles:
        for contact in (contact for contact in contacts if contact.role == role):
            if party(contact.address) in owed:
                chosen.setdefault(contact.address.lower(), contact)
    return tuple(chosen.values())


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


def _later(case: Case, history: History, now: dt.datetime, settings: Ladder) -> Step:
    """The registrar after a day, the registry's own review after three; what has become malicious is reviewed at once.

    Deadlines count from this opening's first accepted mail, or from the last failure where no mail arrived at all.
    """
    review_queued = "registry-review" in history.decisions
    if stands_in_review(case) and not review_queued:
        return Step(case.id, "hold", "registry-review", REVIEW_RUNG)
    here = [told for told in history.told if told.opening == case.opening and told.state != "withdrawn"]
    since = _counted_from(here)
    between = dt.timedelta(seconds=seconds(settings.between))
    if since is None or (history.rung_at is not None and now - history.rung_at < between):
        return Step(case.id, "nothing", "told; nothing new", history.rung)
    waited = (now - since).total_seconds()
    if waited >= seconds(settings.review_after) and not review_queued:
        return Step(case.id, "hold", "registry-review", REVIEW_RUNG)
    registrar_told = history.rung >= REGISTRAR_RUNG or any(told.template == "registrar" for told in here)
    if waited >= seconds(settings.registrar_after) and not registrar_told:
        decision = history.decisions.get("registrar-rung")
        if decision in REFUSALS:
            return Step(case.id, "nothing", f"registrar-rung {decision} by a person", history.rung)
        if settings.approve_later_rungs and decision != "approved":
            return Step(case.id, "hold", "registrar-rung", REGISTRAR_RUNG)
        return Step(case.id, "send", "registrar rung", REGISTRAR_RUNG, "registrar", REGISTRARS)
    return Step(case.id, "nothing", "told; nothing new", history.rung)


def _counted_from(here: Sequence[Told]) -> dt.datetime | None:
    """When the deadlines of an opening began to run; None while its first mail is still on its way."""
    if here and all(told.state in _LOST for told in here):
        return max((told.settled for told in here if told.settled), default=None)
    return min((told.accepted for told in here if told.accepted), default=None)
