"""What the flow asks of a store. ``sqlite`` is the embedded default; every method is one transaction.

Between collection and validation: feeds record listings, the schedule reads subjects and records rounds, the snapshot
reads all of it. Ids are the store's own integers; times are policy time UTC. Errors are ``StoreError``.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec

from panopticond.model import DomainRecord as DomainRecord  # noqa: PLC0414 - it is a word of this interface too
from panopticond.model import Incident, Indicator, Round, Scope, Sighting, Subject, Threat, Verdict
from panopticond.shared.errors import PanopticonError, StoreError


class AwayError(StoreError):
    """The database does not answer, or not for us just now; it may be back, and nothing that was kept is lost."""


class LeaseLostError(PanopticonError):
    """A check's lease went to another host before its result came: the result is dropped, the other's counts."""


SURROGATES = "surrogates.key"
"""File beside the embedded store: the key that turns a name nobody may publish into its surrogate."""


class FeedHealth(msgspec.Struct, frozen=True):
    """The ledger line of a feed: its state in words, since when, and what the last fetches gave."""

    feed: str
    state: str = "NEW"
    """NEW, OK, STALE, EMPTY, SHRUNK, AUTH, RATE-LIMITED, UNREACHABLE or PARSE."""
    since: dt.datetime | None = None
    reason: str = ""
    """One sentence on why and what to do; empty when OK."""
    last_attempt: dt.datetime | None = None
    last_success: dt.datetime | None = None
    last_change: dt.datetime | None = None
    bytes_read: int = 0
    rows: int = 0
    indicators: int = 0
    out_of_scope: int = 0
    rejected: dict[str, int] = {}
    newest_row: dt.datetime | None = None
    etag: str | None = None
    last_modified: str | None = None
    body_sha256: str | None = None
    history_rows: tuple[int, ...] = ()
    """Row counts of the last 30 changed bodies, oldest first."""


class Standing(msgspec.Struct, frozen=True, gc=False):
    """One indicator as it stands: the subject, when it was first recorded, its verdict and its sightings."""

    subject: Subject
    recorded: dt.datetime
    verdict: Verdict | None
    sightings: tuple[Sighting, ...] = ()
    first_validated: dt.datetime | None = None
    decision: str | None = None
    """An operator's ``confirm`` or ``dismiss`` in review, or None."""


class Watch(msgspec.Struct, frozen=True):
    """What the window needs to plan an indicator."""

    id: int
    recorded: dt.datetime
    last_round: dt.datetime | None
    check: bool
    """False when it has been mitigated and unlisted for so long that nobody asks any more."""


class Publication(msgspec.Struct, frozen=True):
    """One published snapshot, as the chain needs it."""

    tld: str
    serial: int
    manifest_sha256: str
    start: dt.datetime
    end: dt.datetime
    issued: dt.datetime


class Store(Protocol):
    """The whole interface; an implementation is an async context manager too."""

    async def close(self) -> None:
        """Flush and close; the store may not be used afterwards."""
        ...

    # feeds -> store
    async def record_listing(self, feed: str, seen: dt.datetime, batch: Sequence[Indicator]) -> list[Watch]:
        """Upsert indicators and their sightings (``last`` = seen, ``ended`` cleared); returns the new ones' watches."""
        ...

    async def end_listing(self, feed: str, seen: dt.datetime) -> int:
        """After a whole body: sightings of this feed not seen at ``seen`` get ``ended``; returns how many."""
        ...

    async def touch_listing(self, feed: str, seen: dt.datetime) -> None:
        """The same body again (304 or equal hash): every unended sighting of this feed was seen at ``seen``."""
        ...

    async def feed_health(self, feed: str) -> FeedHealth:
        """The ledger line, a NEW one when there is none yet."""
        ...

    async def record_feed_health(self, health: FeedHealth) -> None:
        """Replace the ledger line; a change of state is kept in the history too."""
        ...

    async def all_feed_health(self) -> list[FeedHealth]:
        """Every ledger line, by name."""
        ...

    # store <-> window
    async def watches(self) -> list[Watch]:
        """Every indicator, for the window at start."""
        ...

    async def subject(self, indicator_id: int) -> Subject:
        """One indicator with the threats of all its sightings."""
        ...

    async def standing(self, indicator_id: int) -> Standing:
        """One indicator as it stands."""
        ...

    async def rounds(self, indicator_id: int, since: dt.datetime | None = None) -> list[Round]:
        """Its retained rounds, oldest first; the first validated round is always among them."""
        ...

    async def rounds_of_many(
        self, indicator_ids: Sequence[int], since: dt.datetime | None = None
    ) -> dict[int, list[Round]]:
        """The same for several indicators at once, each of them a key of the answer."""
        ...

    async def record_round(
        self,
        indicator_id: int,
        round_: Round,
        verdict: Verdict,
        began: dt.datetime | None = None,
        domain: DomainRecord | None = None,
    ) -> None:
        """One round with all its observations, the verdict it led to, and what is known of the domain after it.

        Sets ``first_validated`` once active, anew when it lies before ``began``, the start of this registration.
        """
        ...

    async def regroup(self, indicator_id: int, domain: str, scope: Scope) -> None:
        """Keep an indicator under the registered domain a referral proved; no listing by policy takes that back."""
        ...

    # domains and incidents
    async def domain(self, domain: str) -> DomainRecord | None:
        """What is known of a registered domain."""
        ...

    async def domains_of_many(self, domains: Sequence[str]) -> dict[str, DomainRecord]:
        """The same for several at once; those never looked at are left out."""
        ...

    async def incidents(self, tld: str) -> list[Incident]:
        """Every incident of a TLD, by id."""
        ...

    async def record_incidents(self, incidents: Sequence[Incident]) -> None:
        """Insert or replace."""
        ...

    async def decide(self, indicator_id: int, decision: str, at: dt.datetime) -> None:
        """Keep an operator's ``confirm`` or ``dismiss``."""
        ...

    # store -> snapshot, explain
    def standings(self, tld: str) -> AsyncIterator[Standing]:
        """Every indicator of a TLD as it stands, by key, in bounded batches."""
        ...

    async def find(self, text: str) -> list[Standing]:
        """Indicators whose URI, host or domain is ``text``."""
        ...

    async def last_publication(self, tld: str) -> Publication | None:
        """The newest published snapshot of a TLD."""
        ...

    async def record_publication(self, publication: Publication) -> None:
        """Remember what was published."""
        ...

    async def threats_listed(self, tld: str) -> dict[Threat, int]:
        """How many domains are listed now, by threat."""
        ...

    async def thin(self, before: dt.datetime) -> int:
        """Drop observations older than ``before`` that no state, statistics or replay needs; returns how many."""
        ...
