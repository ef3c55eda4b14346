"""Who of a case's contacts is written to now (pure).

Beside the ladder, which says what is due to which roles: a party told all this before is left out, a contact inside the
abused domain never suffices alone, of the registrar's contacts one is told, a hoster hears of the hosts it holds alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import msgspec

from arke.model import Case, Contact, Role, Step

HOLDERS: tuple[Role, ...] = ("registrant", "administrative", "technical")
REGISTRARS: tuple[Role, ...] = ("abuse", "registrar")
"""The registrar's abuse contact before the registrar's general one; the first there is gets the mail."""
HOSTER: Role = "hoster"


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
    left = (
        contact for address, contact in chosen.items() if not knows(of_contact(case, contact), told, party(address))
    )
    return tuple(left), ""


def of_contact(case: Case, contact: Contact) -> Case:
    """The case as far as it concerns a contact: of a hoster, the indicators on hosts in its network."""
    if not contact.places:
        return case
    hosts = {place.host for place in contact.places}
    return msgspec.structs.replace(case, indicators=tuple(item for item in case.indicators if item.host in hosts))


def is_about_nothing(case: Case) -> bool:
    """Whether no indicator is left that a notice could speak of."""
    return not any(item.validated for item in case.indicators)


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
