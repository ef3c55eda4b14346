"""arke's words as frozen values: a Case out of a snapshot, its Contacts, what the ladder decided, a Notice to send.

Between ``cases`` and ``mail``: match makes Cases, enrich finds Contacts, recheck looks again, ladder decides Steps,
mail/notice turns a Step into a Notice, the outbox sends it. Nothing here does I/O.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

from panopticond.model import AbuseClass, Scope, State, Threat

Role = Literal["registrant", "administrative", "technical", "billing", "registrar", "abuse", "manager", "hoster"]
"""``abuse`` is the registrar's abuse desk; ``hoster`` that of the network which holds a host's address."""
Template = Literal["new", "reminder", "resolved", "reopened", "malicious", "registrar", "manager", "hoster"]


class Evidence(msgspec.Struct, frozen=True):
    """What was seen at one vantage in the round a case rests on."""

    at: dt.datetime
    vantage: str
    country: str
    outcome: str
    status: str = ""
    title: str = ""
    final: str = ""
    address: str = ""
    sha256: str = ""


class CaseIndicator(msgspec.Struct, frozen=True):
    """One validated indicator of a case, with what a reader needs to find and judge it."""

    id: str
    uri: str | None
    host: str
    scope: Scope
    threats: tuple[Threat, ...]
    state: State
    flags: tuple[str, ...]
    validated: bool
    first_seen: dt.datetime
    last_active: dt.datetime | None
    feeds: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def text(self) -> str:
        """The URI, or the host for a host-level entry: not defanged."""
        return self.uri if self.uri is not None else self.host


class Case(msgspec.Struct, frozen=True):
    """One incident as arke sees it: the snapshot's facts and, once known, the registry's own."""

    id: str
    """The incident's case number."""
    tld: str
    domain: str
    host: str | None
    state: str
    opened: dt.datetime
    abuse_class: AbuseClass
    reasons: tuple[str, ...]
    indicators: tuple[CaseIndicator, ...]
    popular: bool = False
    critical: bool = False
    registered_at: dt.datetime | None = None
    registrar: str | None = None
    in_zone: bool | None = None
    """Whether the registry's own zone holds the domain; None without a zone."""
    reopened: tuple[dt.datetime, ...] = ()
    """When the incident reopened; each reopening begins the ladder again."""
    gone: dt.datetime | None = None
    """Since when a mitigated incident is gone; None while it is open."""

    @property
    def opening(self) -> dt.datetime:
        """When the incident was last opened: deadlines and repeats count within one opening."""
        return max((self.opened, *self.reopened))

    @property
    def said(self) -> frozenset[str]:
        """What a notice about it says: its hosts and threat types. Only something new here is a change."""
        validated = [indicator for indicator in self.indicators if indicator.validated]
        hosts = {f"host:{indicator.host}" for indicator in validated}
        return frozenset(hosts | {f"threat:{threat}" for indicator in validated for threat in indicator.threats})

    @property
    def threats(self) -> tuple[Threat, ...]:
        """Every threat type of its validated indicators, in the order of the model."""
        found = {threat for indicator in self.indicators if indicator.validated for threat in indicator.threats}
        return tuple(sorted(found))


class Place(msgspec.Struct, frozen=True):
    """Where a host was found when its hoster was looked up: the network's address, and when."""

    host: str
    address: str
    at: dt.datetime


class Contact(msgspec.Struct, frozen=True):
    """One usable address of one party. Personal data: lives only from the look-up to the accepted mail."""

    role: Role
    address: str
    source: str
    """``rdap``, ``csv`` or ``configuration``."""
    places: tuple[Place, ...] = ()
    """Of a hoster: the hosts in its network, and it is told of these alone. Empty: it answers for the whole domain."""

    def __repr__(self) -> str:
        """No address in a traceback or log."""
        return f"Contact(role={self.role!r}, source={self.source!r})"


class Contacts(msgspec.Struct, frozen=True):
    """The answer for exactly one domain: usable contacts, or why there are none."""

    domain: str
    contacts: tuple[Contact, ...]
    problem: str = ""
    """Why no address is usable: ``rdap-404``, ``redacted``, ``no-address``, ``inside-domain`` ..."""
    registered_at: dt.datetime | None = None
    statuses: tuple[str, ...] = ()
    registrar: str | None = None


class Recheck(msgspec.Struct, frozen=True):
    """The look taken within the hour before a mail: ``go``, ``cancel``, ``review`` or ``unchecked``, and why."""

    decision: Literal["go", "cancel", "review", "unchecked"]
    reason: str
    at: dt.datetime


class Step(msgspec.Struct, frozen=True):
    """What the ladder decided for a case now: send these templates to these parties, or wait for a person."""

    case_id: str
    action: Literal["send", "hold", "nothing"]
    reason: str
    rung: int = 0
    template: Template = "new"
    roles: tuple[Role, ...] = ()


class Notice(msgspec.Struct, frozen=True):
    """One mail about one incident (or a digest) to one recipient, built and ready to send."""

    message_id: str
    """A function of case, template, rung, recipient and what it says, so that a duplicate can be recognised."""
    case_ids: tuple[str, ...]
    template: Template
    rung: int
    role: Role
    recipient: str
    envelope_sender: str
    message: bytes
    """The whole message, RFC 5322, CRLF line ends."""

    def __repr__(self) -> str:
        """No address in a traceback or log."""
        return f"Notice(message_id={self.message_id!r}, template={self.template!r}, role={self.role!r})"
