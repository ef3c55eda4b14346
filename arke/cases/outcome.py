"""What a pass over the cases carries from step to step, and how one case's fault is kept from the others.

Between ``ladder`` and ``follow``: a case that is due becomes Planned, Checked, an Outcome. Every case is worked on by
itself: what cannot be done for one now is its own ``waiting``, never the end of the pass.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import trio

from arke.cases.ladder import History
from arke.cases.ledger import Intent
from arke.cases.match import Matched
from arke.cases.parties import of_contact
from arke.model import Case, Contact, Notice, Recheck, Step
from panopticond.shared.errors import PanopticonError, StoreError

T = TypeVar("T")
SENTENCE_LIMIT = 200
_LACKING = frozenset({"waiting", "no-contact"})
HELD_BACK = ".held-back.eml"
"""How a draft ends that a preview shows and nobody would send as things stand."""


class Outcome(msgspec.Struct, frozen=True):
    """How the pass ended for one case; no address in it."""

    case: Case
    what: str
    """One of sent, draft, told, hold, review, cancelled, no-contact, suppressed, waiting."""
    reason: str


class Planned(msgspec.Struct, frozen=True):
    """A case that is due, with the parties to write to: personal data, for this pass only."""

    matched: Matched
    case: Case
    step: Step
    history: History
    contacts: tuple[Contact, ...]
    lacks: str = ""
    """Who else could not be told and why, in words: a host's network, the holders where the hoster alone is told."""
    hoster_waits: str = ""
    """Why a host's network could not be known now: its part of the step stays due."""


class Checked(msgspec.Struct, frozen=True):
    """A planned case after its re-check: what the mail speaks of, and that look."""

    plan: Planned
    case: Case
    recheck: Recheck


def in_one(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """One outcome a case, for the ledger and the log: why a hoster could not be told stands beside the rest (pure)."""
    by_case: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_case.setdefault(outcome.case.id, []).append(outcome)
    found = []
    for several in by_case.values():
        lacks = [item for item in several if item.what in _LACKING and item.reason.startswith("hoster-")]
        main = next((item for item in reversed(several) if item not in lacks), several[-1])
        beside = [item.reason for item in lacks if item is not main]
        found.append(msgspec.structs.replace(main, reason=" ".join([main.reason, *beside])))
    return found


def about(checked: Checked, contact: Contact) -> Checked:
    """What of a checked case concerns a contact: of a hoster, what lies in its network (pure)."""
    return msgspec.structs.replace(checked, case=of_contact(checked.case, contact))


def together(contacts: Sequence[Contact]) -> Contact:
    """One contact of several cases as one, with all its places (pure)."""
    places = tuple(dict.fromkeys(place for contact in contacts for place in contact.places))
    return msgspec.structs.replace(contacts[0], places=places)


def intents_of(
    group: Sequence[Checked], contact: Contact, notice: Notice, party: str, now: dt.datetime
) -> list[Intent]:
    """What the ledger keeps of a notice, for each case it speaks of (pure); ``party`` stands for the address."""
    return [
        Intent(
            message_id=notice.message_id,
            case_id=checked.case.id,
            domain=checked.case.domain,
            template=notice.template,
            rung=group[0].plan.step.rung,
            role=contact.role,
            party=party,
            opening=checked.case.opening,
            said=checked.case.said,
            at=now,
        )
        for checked in group
    ]


async def each(
    items: Sequence[T],
    slots: int,
    work: Callable[[T], Awaitable[None]],
    case_of: Callable[[T], Case],
    outcomes: list[Outcome],
    *,
    name: str,
) -> None:
    """``work`` on every item, ``slots`` at a time; an item that fails with a PanopticonError is waiting, with why."""
    limit = trio.CapacityLimiter(slots)

    async def one(item: T) -> None:
        async with limit:
            try:
                await work(item)
            except* PanopticonError as group:
                outcomes.append(Outcome(case_of(item), "waiting", sentence(group)))

    async with trio.open_nursery() as nursery:
        for item in items:
            nursery.start_soon(one, item, name=name)


def sentence(error: BaseException) -> str:
    """The first error of a group as its sentence, bounded."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)[:SENTENCE_LIMIT]


def write_draft(directory: Path, notice: Notice, held_back: str = "") -> None:
    """A mail as a file of the operator's alone; StoreError when it cannot be written.

    One that is ``held_back`` as things stand says so and why in its name and its first header.
    """
    name = notice.message_id.strip("<>").rpartition("@")[0] + (HELD_BACK if held_back else ".eml")
    mark = f"X-Arke-Preview: held back, by the look just now: {held_back}\r\n" if held_back else ""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = directory / name
        path.touch(mode=0o600)
        path.write_bytes(mark.encode("ascii", "replace") + notice.message)
    except OSError as error:
        raise StoreError(f"{directory}: no draft can be written: {error.strerror}; check the directory") from error
