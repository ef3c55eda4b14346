"""One pass over the cases: who is due, whom to write to, is it still so, and the mail into the outbox.

The middle of arke's flow, between match and the outbox; ``main`` calls it after every snapshot and poll. Nothing here
decides by itself: the ladder says what is due, planning who can be told, the re-check whether it still holds, writing
hands it over. A step counts as done only when every notice of it stands in the outbox: a crash anywhere leaves each
notice written down once or still due.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import trio

from arke.cases import ladder
from arke.cases.ceilings import Budget, is_suppressed
from arke.cases.enrich import Source
from arke.cases.hoster import Hosters
from arke.cases.ladder import History
from arke.cases.ledger import Ledger
from arke.cases.match import Matched
from arke.cases.outcome import Checked, Outcome, Planned, about, each, in_one, sentence, together
from arke.cases.parties import HOSTER, is_about_nothing, knows
from arke.cases.planning import Due, Listed, Planner
from arke.cases.recheck import Looked, Rechecker
from arke.cases.writing import Writer
from arke.config import Config
from arke.mail import outbox
from arke.mail.notice import effective_template
from arke.mail.template import Templates
from arke.model import Case, CaseIndicator, Contact, Notice, Recheck
from panopticond.shared.clock import Clock
from panopticond.shared.errors import PanopticonError

log = logging.getLogger(__name__)

RETRY_AFTER = dt.timedelta(minutes=15)
"""Policy time before a case that failed for a passing reason is tried again."""
MALFORMED = "malformed"
"""Why nobody can be told where an address turned out to be none."""
LOOK_GOOD_SECONDS = 3.0
"""Real seconds a re-check serves the next notice of the same case."""


class Follower:
    """Follows every case of one arke; ``drafts`` set means that mails are written there instead of sent."""

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        clock: Clock,
        *,
        source: Source | None,
        rechecker: Rechecker,
        templates: Templates,
        suppressed: Listed,
        host_id: str,
        drafts: Path | None,
        hosters: Hosters | None = None,
        trace: bool = True,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._clock = clock
        self._known = source is not None
        self._rechecker = rechecker
        self._suppressed = suppressed
        self._drafts = drafts
        self._planner = Planner(
            config, ledger, clock, source=source, hosters=hosters, suppressed=suppressed, hold=self._hold
        )
        self._writer = Writer(config, ledger, clock, templates=templates, host_id=host_id, drafts=drafts)
        self._trace = trace
        self._done_word = "sent" if drafts is None else "draft"
        self._last: dict[str, tuple[int, str, str]] = {}
        self._settled: dict[str, object] = {}
        self._retry_at: dict[str, tuple[int, dt.datetime]] = {}
        self._looked: dict[str, tuple[float, Looked]] = {}

    async def work_through(self, matched: Sequence[Matched], serial: int) -> list[Outcome]:
        """One pass; returns what became of each case that moved."""
        outcomes: list[Outcome] = []
        due: list[Due] = []
        for item in matched:
            history = await self._ledger.history(item.case.id, item.case.opening)
            mark = _mark(serial, item.case, history)
            tried, again = self._retry_at.get(item.case.id, (serial, _NEVER))
            if self._settled.get(item.case.id) == mark or (tried == serial and again > self._clock.now()):
                continue
            step = ladder.step(item.case, history, self._clock.now(), self._config.ladder)
            if step.action == "hold":
                await self._hold(item.case, step.reason)
                outcomes.append(Outcome(item.case, "hold", step.reason))
            elif step.action == "send":
                due.append((item, history, step))
            elif step.reason == ladder.NOT_IN_ZONE:
                outcomes.append(Outcome(item.case, "cancelled", step.reason))
        known = await self._deliver(await self._planner.plan(due, outcomes), outcomes)
        later = await self._go_on(known, outcomes)
        await self._deliver(await self._planner.plan(later, outcomes), outcomes)
        await self._remember(outcomes, serial)
        return outcomes

    async def _go_on(self, known: Sequence[Planned], outcomes: list[Outcome]) -> list[Due]:
        """Where everybody knew what seemed new, the later rungs; those that are sent come back."""
        due = []
        for plan in known:
            passed = (ladder.HOSTER_BESIDE, plan.step.reason)  # a change goes to the hoster too
            settings = self._config.ladder
            step = ladder.step(plan.case, plan.history, self._clock.now(), settings, all_know=True, passed=passed)
            if step.action == "hold":
                await self._hold(plan.case, step.reason)
                outcomes.append(Outcome(plan.case, "hold", step.reason))
            elif step.action == "send":
                due.append((msgspec.structs.replace(plan.matched, case=plan.case), plan.history, step))
        return due

    async def stands(
        self, notice: Notice, find: Callable[[str], Matched | None], current: Callable[[str], bool]
    ) -> outbox.Standing:
        """Whether a notice may go by what is known here, without a look at the network; asked before every attempt.

        ``current`` says whether a case's snapshot may be acted on at all; until it may, the notice waits. A digest goes
        while one of its cases may, and never beside one that a person refused.
        """
        if not notice.case_ids:  # a report, which speaks of what was
            return "go"
        if not all(current(case_id) for case_id in notice.case_ids):
            return "wait"
        recipient = Contact(notice.role, notice.recipient, "outbox")
        if is_suppressed(recipient, self._suppressed(), await self._ledger.suppressed(), self._ledger.party):
            return "withdraw"
        words = set[str]()
        for case_id in notice.case_ids:
            item = find(case_id)
            if item is None:
                continue
            decisions = (await self._ledger.history(case_id, item.case.opening)).decisions
            if ladder.refusal(decisions):
                return "withdraw"
            words.add(ladder.standing(item.case, decisions, notice.template, notice.rung, self._config.ladder))
        return "wait" if "wait" in words else "go" if "go" in words else "withdraw"

    async def still_right(self, notice: Notice, find: Callable[[str], Matched | None]) -> bool:
        """Whether a notice that waited may still go: some case of it is in the snapshot and looks no better now.

        The look at the network; :meth:`stands` is asked before it.
        """
        if not notice.case_ids:  # a report, which speaks of what was
            return True
        for case_id in notice.case_ids:
            item = find(case_id)
            if item is None or (item.case.state == "mitigated") != (notice.template == "resolved"):
                continue
            if notice.template == "resolved":
                return True
            history = await self._ledger.history(case_id, item.case.opening)
            looked = await self._look(item.case, ladder.due_indicators(item.case, history.decisions))
            if looked.recheck.decision in ("go", "unchecked") or history.decisions.get("recheck") == "approved":
                return True
        return False

    async def _remember(self, outcomes: Sequence[Outcome], serial: int) -> None:
        for outcome in sorted(outcomes, key=lambda outcome: outcome.what == "waiting"):  # what is still due counts
            case, now = outcome.case, self._clock.now()
            if outcome.what == "waiting":
                self._retry_at[case.id] = serial, now + RETRY_AFTER
                self._settled.pop(case.id, None)
            elif outcome.what != "hold":
                history = await self._ledger.history(case.id, case.opening)
                self._settled[case.id] = _mark(serial, case, history)
        for said in in_one(outcomes):
            word = (serial, said.what, said.reason)
            if self._last.get(said.case.id) == word:
                continue
            self._last[said.case.id] = word
            if self._trace:
                await self._ledger.note(said.case.id, serial, said.what, said.reason, self._clock.now())
            log.info("case %s: %s (%s)", said.case.id, said.what, said.reason)

    async def _hold(self, case: Case, reason: str) -> None:
        if self._trace:
            await self._ledger.wait_for_person(case.id, case.opening, reason, self._clock.now())

    async def _deliver(self, planned: Sequence[Planned], outcomes: list[Outcome]) -> list[Planned]:
        """Re-check, compose and hand to the outbox; many incidents of one recipient become one digest.

        Returns those in which something seemed new and everybody to be told of it knew it already.
        """
        budget = Budget(self._config, await self._ledger.sent(self._clock.now()))
        incidents = Counter(self._key(plan, contact) for plan in planned for contact in plan.contacts)
        digests: dict[tuple[str, str], list[tuple[Checked, Contact]]] = defaultdict(list)
        complete: dict[str, Checked] = {}
        told_now: set[str] = set()

        async def one(plan: Planned) -> None:
            checked = await self._recheck(plan, outcomes)
            if checked is None:
                return
            waits, problem = "", ""
            for contact in plan.contacts:
                key, mine = self._key(plan, contact), about(checked, contact)
                resolved = plan.step.template == "resolved"
                if not resolved and (is_about_nothing(mine.case) or knows(mine.case, plan.history.told, key[0])):
                    continue
                if self._known and incidents[key] > self._config.limits.digest_above:
                    digests[key].append((mine, contact))
                    told_now.add(plan.case.id)
                elif self._known and (refusal := budget.refuse(key[0], [plan.case.domain])):
                    waits = refusal
                elif await self._writer.write([mine], contact):
                    told_now.add(plan.case.id)
                else:
                    problem = MALFORMED
            if waits or (problem and plan.case.id not in told_now):
                outcomes.append(Outcome(plan.case, "waiting" if waits else "no-contact", waits or problem))
                return
            complete[plan.case.id] = checked
            what = self._done_word if plan.case.id in told_now else "told"
            reason = f"{checked.recheck.reason} {plan.lacks}".strip()
            outcomes.append(Outcome(plan.case, what, reason))
            if plan.hoster_waits:
                outcomes.append(Outcome(plan.case, "waiting", plan.hoster_waits))

        slots = self._config.recheck.concurrency
        await each(planned, slots, one, lambda plan: plan.case, outcomes, name="recheck and notice")
        for (party, _), group in sorted(digests.items()):
            group.sort(key=lambda pair: pair[0].case.id)
            refusal = budget.refuse(party, [])
            recipient = together([contact for _, contact in group])
            if not refusal and await self._writer.write([checked for checked, _ in group], recipient):
                continue
            for checked, _ in group:
                complete.pop(checked.case.id, None)
                outcomes.append(Outcome(checked.case, "waiting" if refusal else "no-contact", refusal or MALFORMED))
        for checked in complete.values():
            await self._complete(checked, anew=checked.plan.case.id in told_now)
        idle = (checked.plan for case_id, checked in complete.items() if case_id not in told_now)
        return [plan for plan in idle if plan.step.reason in (ladder.SOMETHING_NEW, *ladder.PASSABLE)]

    def _key(self, plan: Planned, contact: Contact) -> tuple[str, str]:
        return self._ledger.party(contact.address), effective_template(plan.step.template, contact.role)

    async def _recheck(self, plan: Planned, outcomes: list[Outcome]) -> Checked | None:
        case, decisions = plan.case, plan.history.decisions
        if plan.step.template == "resolved":  # the snapshot says mitigated: nothing to look at
            return Checked(plan, case, Recheck("go", "mitigated", self._clock.now()))
        due = ladder.due_indicators(case, decisions)
        if not plan.contacts:  # everybody knows already: nothing to look at
            return Checked(
                plan, msgspec.structs.replace(case, indicators=due), Recheck("go", "told", self._clock.now())
            )
        looked = await self._look(case, due)
        decision, reason = looked.recheck.decision, looked.recheck.reason
        if decision == "review" and decisions.get("recheck") == "approved":
            return Checked(plan, msgspec.structs.replace(case, indicators=due), looked.recheck)
        if decision in ("cancel", "review"):
            if decision == "review":
                await self._hold(case, "recheck")
            if not self._trace:  # a preview shows what the snapshot's own evidence would have said
                checked = Checked(plan, msgspec.structs.replace(case, indicators=due), looked.recheck)
                for contact in plan.contacts:
                    await self._writer.write([about(checked, contact)], contact, held_back=reason)
            outcomes.append(Outcome(case, "cancelled" if decision == "cancel" else "review", reason))
            return None
        if self._trace:
            await self._ledger.settle_queue(case.id, case.opening, "recheck")
        return Checked(plan, msgspec.structs.replace(case, indicators=looked.indicators), looked.recheck)

    async def _look(self, case: Case, due: Sequence[CaseIndicator]) -> Looked:
        last = self._looked.get(case.id)
        if last is not None and trio.current_time() - last[0] < LOOK_GOOD_SECONDS:
            return last[1]
        looked = Looked(Recheck("unchecked", "no-answer", self._clock.now()), tuple(due))
        try:
            looked = await self._rechecker.look(case, due, self._clock.now())
        except* PanopticonError as group:
            log.warning("case %s: could not be looked at again: %s", case.id, sentence(group))
        self._looked[case.id] = (trio.current_time(), looked)
        return looked

    async def _complete(self, checked: Checked, *, anew: bool) -> None:
        """The step is done; where nobody was told ``anew`` the time of the last rung stands."""
        if self._drafts is not None:
            return
        case, step = checked.case, checked.plan.step
        if step.template == "resolved":
            for reason in ("registrar-rung", "hoster-rung", "recheck"):
                await self._ledger.settle_queue(case.id, case.opening, reason)
        rung = anew and step.reason != ladder.HOSTER_BESIDE  # that is none of its own, and puts no other off
        at = self._clock.now() if rung else checked.plan.history.rung_at or self._clock.now()
        said = checked.plan.history.said if checked.plan.history.opening == case.opening else frozenset()
        if HOSTER in step.roles and not checked.plan.hoster_waits:
            said |= ladder.hoster_heard(case.said)
        if step.roles == (HOSTER,):  # beside the ladder's own rungs: it stands where it stood
            await self._ledger.complete(case.id, case.opening, checked.plan.history.rung, said, at)
        else:
            await self._ledger.complete(case.id, case.opening, step.rung, said | case.said, at)
        if step.template != "resolved" and ladder.stands_in_review(case):
            await self._hold(case, "registry-review")


def _mark(serial: int, case: Case, history: History) -> object:
    """What an outcome rests on: while none of it changes the case is not taken up again."""
    return serial, case.in_zone, tuple(sorted(history.decisions.items()))


_NEVER = dt.datetime.min.replace(tzinfo=dt.UTC)
