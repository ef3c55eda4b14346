"""From the store's values to the published rows: pure, one function a table.

Second half of build: what was judged becomes text that SQL and people read. Surrogates get their veiled names here.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from panopticond.judge.classify import Classification
from panopticond.judge.registration import began
from panopticond.model import (
    DomainRecord,
    Incident,
    Licence,
    Observation,
    Round,
    Scope,
    Sighting,
    Subject,
    Verdict,
    public_id,
)
from panopticond.shared.clock import rfc3339
from panopticond.shared.records import encode_detail, sql_text
from panopticond.shared.tables import (
    DomainRow,
    FeedRow,
    HostRow,
    IncidentRow,
    SightingRow,
    UriRow,
)
from panopticond.snapshot.licences import FeedFacts, Veil

T = TypeVar("T", str, str | None)
VALUE_LIMIT = 1_000
DETAIL_LIMIT = 16_000
"""Characters of one encoded detail; a longer one has each of its values cut."""
TARGET_LIMIT = 16_000
_KNOWN_LIMIT = 1_000
"""Characters of a target that is remembered for the next rounds."""


class Judged(msgspec.Struct, frozen=True, gc=False):
    """One indicator as it will be published: judged, dated, licensed."""

    subject: Subject
    licence: Licence
    recorded: dt.datetime
    verdict: Verdict
    sightings: tuple[Sighting, ...]
    validated: bool
    first_validated: dt.datetime | None
    decision: str | None

    def id(self, veil: Veil) -> str:
        """Its public identifier, or the surrogate's."""
        return veil.identifier(self.subject.key) if self.veiled else public_id(self.subject.key)

    @property
    def veiled(self) -> bool:
        """Known from verdict-only feeds alone: it is published as a surrogate."""
        return self.licence == "verdict-only"

    def host(self, veil: Veil) -> str:
        """Its host as published."""
        return veil.name(self.subject.host) if self.veiled else self.subject.host

    def domain(self, veil: Veil) -> str:
        """Its registered domain as published."""
        return veil.name(self.subject.domain) if self.veiled else self.subject.domain


class Known(msgspec.Struct, frozen=True, gc=False):
    """What is published of a registered domain, and what its class rests on; small, because there are many."""

    began: dt.datetime | None = None
    """When this registration began: RDAP's date, else the last return to the zone, else unknown."""
    registered_at: str | None = None
    registration_status: str | None = None
    registrar: str | None = None
    rank: int | None = None
    apex_outcome: str = "indeterminate"
    apex_page: str | None = None
    servers: str = ""

    @classmethod
    def of(cls, record: DomainRecord | None) -> Known:
        """The facts in a store's record."""
        if record is None:
            return cls()
        said = record.registration.detail if record.registration is not None else {}
        return cls(
            began=began(record),
            registered_at=said.get("registered"),
            registration_status=_same(said.get("status")),
            registrar=_same(said.get("registrar")),
            rank=_rank(record.tranco),
            apex_outcome=record.apex.outcome if record.apex is not None else "indeterminate",
            apex_page=record.apex.detail.get("fingerprint") if record.apex is not None else None,
            servers=_same(record.delegation.detail.get("ns", "") if record.delegation is not None else ""),
        )


@functools.lru_cache(maxsize=4096)
def _same(text: T) -> T:
    """One object for texts that many domains share."""
    return text


def _rank(seen: Observation | None) -> int | None:
    rank = seen.detail.get("rank", "") if seen is not None and seen.outcome == "ranked" else ""
    return int(rank) if rank.isdigit() and len(rank) < 10 else None


@functools.lru_cache(maxsize=4096)
def stamp(when: dt.datetime) -> str:
    """RFC 3339; the observations of one round share a few times, so they are remembered."""
    return rfc3339(when)


def time(when: dt.datetime | None) -> str | None:
    """RFC 3339, or None."""
    return None if when is None else stamp(when)


def feed_row(feed: FeedFacts) -> FeedRow:
    """One line of the health ledger."""
    health = feed.health
    return FeedRow(
        name=feed.name,
        format=feed.format,
        licence=feed.licence,
        trust=feed.trust,
        absence=feed.absence,
        threat=feed.threat,
        state=health.state,
        since=time(health.since),
        reason=health.reason,
        last_success=time(health.last_success),
        last_change=time(health.last_change),
        row_count=health.rows,
        indicator_count=health.indicators,
        rejected_count=sum(health.rejected.values()),
        newest_row=time(health.newest_row),
        delisting=feed.delisting,
    )


def uri_row(item: Judged, veil: Veil) -> UriRow:
    """One URI-level indicator."""
    verdict = item.verdict
    return UriRow(
        indicator=item.id(veil),
        uri=None if item.veiled else item.subject.uri,
        host=item.host(veil),
        domain=item.domain(veil),
        scope=item.subject.scope,
        altered=int(item.subject.altered),
        threats=" ".join(item.subject.threats),
        state=verdict.state,
        rule=verdict.rule,
        since=time(verdict.since),
        last_known=verdict.last_known,
        last_known_at=time(verdict.last_known_at),
        flags=" ".join(verdict.flags),
        validated=int(item.validated),
        recorded=stamp(item.recorded),
        first_active=time(verdict.first_active),
        last_active=time(verdict.last_active),
        first_gone=time(verdict.first_gone),
        round_count=verdict.rounds,
        decision=item.decision,
    )


def host_row(name: str, domain: str, scope: Scope, item: Judged | None, veil: Veil) -> HostRow:
    """One host; ``item`` is its host-level indicator, if it is one."""
    if item is None:
        return HostRow(name, domain, scope, *([None] * 15))
    verdict = item.verdict
    return HostRow(
        name=name,
        domain=domain,
        scope=scope,
        indicator=item.id(veil),
        threats=" ".join(item.subject.threats),
        state=verdict.state,
        rule=verdict.rule,
        since=time(verdict.since),
        last_known=verdict.last_known,
        last_known_at=time(verdict.last_known_at),
        flags=" ".join(verdict.flags),
        validated=int(item.validated),
        recorded=stamp(item.recorded),
        first_active=time(verdict.first_active),
        last_active=time(verdict.last_active),
        first_gone=time(verdict.first_gone),
        round_count=verdict.rounds,
        decision=item.decision,
    )


def sighting_rows(item: Judged, veil: Veil) -> list[SightingRow]:
    """Its exported sightings, by feed and threat."""
    ordered = sorted(item.sightings, key=lambda sighting: (sighting.feed, sighting.threat, sighting.first))
    identifier = item.id(veil)
    return [
        SightingRow(identifier, seen.feed, seen.threat, stamp(seen.first), stamp(seen.last), time(seen.ended))
        for seen in ordered
    ]


def observation_texts(identifier: str, rounds: Sequence[Round], veil: Veil | None = None) -> list[str]:
    """The observations of an indicator's rounds, each as the text of its row; there are millions, so no struct is made.

    ``veil``: where they must not tell what was observed.
    """
    found = []
    for round_ in rounds:
        head = f"('{identifier}','{stamp(round_.at)}','"
        for observation in round_.observations:
            seen = observation if veil is None else veil.observation(observation)
            target = seen.target
            target = _known_text(target) if len(target) <= _KNOWN_LIMIT else sql_text(target[:TARGET_LIMIT])
            found.append(
                f"{head}{seen.kind}',{target},{_known_text(seen.vantage)},'{stamp(seen.at)}',"
                f"{_known_text(seen.outcome)},'{_detail_text(seen.detail) if seen.detail else ''}')"
            )
    return found


def _detail_text(detail: Mapping[str, str]) -> str:
    """Between quotes of SQL; one of monstrous length is cut, value by value."""
    text = encode_detail(detail)
    if len(text) > DETAIL_LIMIT:
        text = encode_detail({key: value[:VALUE_LIMIT] for key, value in detail.items()})[:DETAIL_LIMIT]
    return text.replace("'", "''") if "'" in text else text  # else it is plain: every odd character is encoded


_known_text = functools.lru_cache(maxsize=1024)(sql_text)
"""Targets, vantages and outcomes come again in every round."""


def domain_row(
    name: str, items: Sequence[Judged], known: Known, assessed: Classification, *, popular_rank: int
) -> DomainRow:
    """One registered domain; ``items`` its indicators, all veiled or none; the newest round tells its delegation."""
    newest = max(items, key=lambda item: (item.verdict.at is not None, item.verdict.at or item.recorded)).verdict
    known = Known() if items[0].veiled else known
    rank = known.rank
    flags = {flag for item in items for flag in item.verdict.flags if flag in ("popular", "critical", "review")}
    if rank is not None and rank <= popular_rank:
        flags.add("popular")
    return DomainRow(
        name=name,
        scope_hint="shared" if all(item.subject.scope == "shared" for item in items) else "domain",
        delegation=newest.delegation,
        delegation_at=time(newest.at),
        registered_at=known.registered_at,
        registration_status=known.registration_status,
        registrar=known.registrar,
        abuse_class=assessed.abuse_class,
        class_reasons="; ".join(assessed.reasons),
        class_missing="; ".join(assessed.missing),
        tranco_rank=rank,
        flags=" ".join(sorted(flags)),
    )


def incident_row(incident: Incident, threats: Sequence[str], abuse_class: str) -> IncidentRow:
    """One incident with the threats of its indicators and the class of its domain."""
    return IncidentRow(
        id=incident.id,
        domain=incident.domain,
        host=incident.host,
        registered_at=time(incident.registration),
        opened=rfc3339(incident.opened),
        state=incident.state,
        last_active=rfc3339(incident.last_active),
        first_gone=time(incident.first_gone),
        closed=time(incident.closed),
        how=incident.how,
        reopened=" ".join(rfc3339(when) for when in incident.reopened),
        threats=" ".join(threats),
        abuse_class=abuse_class,
    )
