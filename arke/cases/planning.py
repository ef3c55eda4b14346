"""Whom to write to about a case that is due: contacts looked up, its class judged again, the parties chosen.

First half of a pass, between the ladder and the re-check. A later rung whose party cannot be told now does not hold up
the others; what could not be known for a passing reason leaves the case due.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from arke.cases import ladder
from arke.cases.ceilings import is_suppressed
from arke.cases.enrich import TRANSIENT, Source
from arke.cases.hoster import Hosters, Hosting
from arke.cases.ladder import History
from arke.cases.ledger import Ledger
from arke.cases.match import Matched, reclassified
from arke.cases.outcome import Outcome, Planned, each
from arke.cases.parties import HOLDERS, HOSTER, REGISTRARS, parties
from arke.config import Config
from arke.model import Case, Contact, Contacts, Step
from panopticond.shared.clock import Clock

ENRICH_SLOTS = 8
Due = tuple[Matched, History, Step]
Listed = Callable[[], tuple[frozenset[str], frozenset[str]]]


class Planner:
    """Plans what is due; ``hold`` puts a case before a person, ``suppressed`` gives the operator's list."""

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        clock: Clock,
        *,
        source: Source | None,
        hosters: Hosters | None,
        suppressed: Listed,
        hold: Callable[[Case, str], Awaitable[None]],
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._clock = clock
        self._source = source
        self._hosters = hosters
        self._suppressed = suppressed
        self._hold = hold

    async def plan(self, due: Sequence[Due], outcomes: list[Outcome]) -> list[Planned]:
        """Look up contacts, judge again with the registry's own date, choose the parties; the rest are outcomes."""
        planned: list[Planned] = []
        listed, hashes = self._suppressed(), await self._ledger.suppressed()

        def never(contact: Contact) -> bool:
            return is_suppressed(contact, listed, hashes, self._ledger.party)

        async def one(item: Due) -> None:
            matched, history, step = item
            found = await self._contacts(matched.case.domain)
            case = reclassified(matched, found.registered_at, found.registrar)
            if case.abuse_class != matched.case.abuse_class:
                step = ladder.step(case, history, self._clock.now(), self._config.ladder)
            passed: list[str] = []
            while step.action == "send":
                made = await self._choose(matched, case, step, history, found, never)
                if isinstance(made, Planned):
                    planned.append(made)
                    return
                outcomes.append(made)
                if step.reason not in ladder.PASSABLE:
                    return
                passed.append(step.reason)
                settings = self._config.ladder
                step = ladder.step(case, history, self._clock.now(), settings, all_know=True, passed=passed)
            if step.action == "hold":
                await self._hold(case, step.reason)
                outcomes.append(Outcome(case, "hold", step.reason))

        await each(due, ENRICH_SLOTS, one, lambda item: item[0].case, outcomes, name="enrich")
        return sorted(planned, key=lambda plan: plan.case.id)

    async def _choose(
        self,
        matched: Matched,
        case: Case,
        step: Step,
        history: History,
        found: Contacts,
        never: Callable[[Contact], bool],
    ) -> Planned | Outcome:
        """The parties of one step, or how it ends for want of any."""
        if found.problem in TRANSIENT:
            return Outcome(case, "waiting", found.problem)
        hosting = await self._hosting(case, step, history)
        contacts = (*found.contacts, *hosting.contacts)
        party = self._ledger.party
        chosen, problem = parties(case, step, contacts, history.told, party)
        if problem and hosting.waits:
            return Outcome(case, "waiting", hosting.waits)
        if problem:
            alone = step.roles == (HOSTER,)
            return Outcome(case, "no-contact", (hosting.problem if alone else found.problem) or problem)
        kept = tuple(contact for contact in chosen if not never(contact))
        if chosen and not kept:
            return Outcome(case, "suppressed", "on the suppression list")
        if kept != chosen and step.template != "resolved":
            allowed = [contact for contact in contacts if not never(contact)]
            if problem := parties(case, step, allowed, history.told, party)[1]:
                return Outcome(case, "no-contact", problem)
        lacks, others = hosting.problem, set(step.roles) - {HOSTER}
        if HOSTER in step.roles and others and not any(contact.role in others for contact in contacts):
            lacks = f"holder-{found.problem or 'no-address'} {lacks}".strip()
        return Planned(matched, case, step, history, kept, lacks, hosting.waits)

    async def _hosting(self, case: Case, step: Step, history: History) -> Hosting:
        """The hosters of what a notice would speak of, where they stand on this step."""
        if HOSTER not in step.roles or self._hosters is None:
            return Hosting()
        return await self._hosters.of(item.host for item in ladder.due_indicators(case, history.decisions))

    async def _contacts(self, domain: str) -> Contacts:
        """What the source says; without one, the manager himself: drafts as anybody would get them, to pass on."""
        if self._source is not None:
            return await self._source.contacts(domain)
        manager = self._config.manager_of(domain.rpartition(".")[2])
        roles = (*HOLDERS, *REGISTRARS)
        return Contacts(domain, tuple(Contact(role, manager, "configuration") for role in roles))
