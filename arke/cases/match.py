"""A verified snapshot's tables into cases: one per open or lately mitigated incident, with its evidence (pure).

First step of arke after ``watch``; the zone, where there is one, says whether the registry itself delegates the name.
What was seen is taken from the round in which an indicator was last active, one line a vantage.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec

from arke.cases.needed import weight
from arke.model import Case, CaseIndicator, Evidence
from panopticond.judge.classify import Facts, classify
from panopticond.model import THREATS, AbuseClass, Scope, State
from panopticond.shared.clock import parse_rfc3339
from panopticond.shared.records import decode_detail
from panopticond.shared.tables import DomainRow, HostRow, IncidentRow, ObservationRow, SightingRow, UriRow

Tables = Mapping[str, Sequence[Any]]
SILENT_LICENCES = frozenset({"verdict-only", "no-store"})
"""Feeds of these classes never cause a notice (design section 7)."""
RESOLVED_WITHIN = dt.timedelta(days=30)
"""A case mitigated longer ago than this is no news to anybody."""


_LIKE = re.compile(r"resembles (\S{1,253})")
_SIBLINGS = re.compile(r"([0-9]{1,9}) reported names of the same day and name servers")


class Matched(msgspec.Struct, frozen=True):
    """A case with the facts its class rests on, so that the registry's own date can be put to the same rules."""

    case: Case
    facts: Facts


class _Index(msgspec.Struct, frozen=True):
    """The tables by what they are looked up by."""

    domains: dict[str, DomainRow]
    sightings: dict[str, list[SightingRow]]
    observations: dict[str, list[ObservationRow]]
    silent: frozenset[str]


def match(tables: Tables, owners: Collection[str] | None, addresses: Collection[str] = frozenset()) -> list[Matched]:
    """One case per incident that is open or was mitigated lately; ``owners`` are the zone's names, None without one.

    ``addresses`` are its names with address records of their own, which it serves without delegating them.
    """
    index = _Index(
        {row.name: row for row in tables["domain"]},
        _grouped(tables["sighting"]),
        _grouped(tables["observation"]),
        frozenset(row.name for row in tables["feed"] if row.licence in SILENT_LICENCES),
    )
    by_domain: dict[str, list[CaseIndicator]] = defaultdict(list)
    for row in tables["uri"]:
        if row.uri is not None and row.decision != "dismiss":
            by_domain[row.domain].append(_indicator(row.indicator, row.uri, row, index))
    for row in tables["host"]:
        if row.indicator is not None and row.decision != "dismiss":
            by_domain[row.domain].append(_indicator(row.indicator, None, row, index))
    tld, ended = tables["snapshot"][0].tld, parse_rfc3339(tables["snapshot"][0].to_at)
    holdings = {} if owners is None else _holdings(tables, tld, owners, addresses)
    return [
        _matched(incident, tld, by_domain[incident.domain], index, holdings.get(incident.domain))
        for incident in tables["incident"]
        if incident.state == "open" or _lately_mitigated(incident, ended)
    ]


def reclassified(matched: Matched, registered: dt.datetime | None, registrar: str | None) -> Case:
    """The case judged again with the registration date only the registry may know; else as the snapshot has it.

    The signs the snapshot judged by are carried over from its reasons. Where it had a date of its own, another one
    makes the case milder or leaves it: nobody is called malicious for two registries' clocks.
    """
    case = matched.case
    if registrar is not None:
        case = msgspec.structs.replace(case, registrar=registrar)
    if registered is None or (case.registered_at is not None and registered.date() == case.registered_at.date()):
        return case  # the same facts: the snapshot's judgement stands, which saw more names than this one
    again = classify(msgspec.structs.replace(_with_signs(matched.facts, case.reasons), registered=registered))
    if case.registered_at is not None and _harshness(again.abuse_class) > _harshness(case.abuse_class):
        return case
    return msgspec.structs.replace(case, registered_at=registered, abuse_class=again.abuse_class, reasons=again.reasons)


def _harshness(abuse_class: AbuseClass) -> int:
    return {"malicious": 2, "undetermined": 1}.get(abuse_class, 0)


def _with_signs(facts: Facts, reasons: Sequence[str]) -> Facts:
    """The facts with what the snapshot's reasons say of the name's neighbours, which no row of it holds."""
    for reason in reasons:
        if like := _LIKE.fullmatch(reason):
            facts = msgspec.structs.replace(facts, lookalike_of=like[1])
        elif siblings := _SIBLINGS.fullmatch(reason):
            facts = msgspec.structs.replace(facts, burst_siblings=int(siblings[1]))
    return facts


def _lately_mitigated(incident: IncidentRow, ended: dt.datetime) -> bool:
    closed = _time(incident.closed)
    return incident.state == "mitigated" and closed is not None and ended - closed < RESOLVED_WITHIN


def _grouped(rows: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.indicator].append(row)
    return found


def _matched(
    incident: IncidentRow, tld: str, of_domain: list[CaseIndicator], index: _Index, in_zone: bool | None
) -> Matched:
    if incident.host is not None:
        indicators = [item for item in of_domain if item.scope == "shared" and item.host == incident.host]
    else:
        indicators = [item for item in of_domain if item.scope != "shared"]
    domain = index.domains.get(incident.domain)
    flags = {flag for item in indicators for flag in item.flags} | set((domain.flags if domain else "").split())
    case = Case(
        id=incident.id,
        tld=tld,
        domain=incident.domain,
        host=incident.host,
        state=incident.state,
        opened=parse_rfc3339(incident.opened),
        abuse_class=cast("AbuseClass", incident.abuse_class),
        reasons=_reasons(domain),
        indicators=tuple(sorted(indicators, key=lambda item: item.text)),
        popular="popular" in flags,
        critical="critical" in flags,
        registered_at=_time(domain.registered_at if domain else incident.registered_at),
        registrar=domain.registrar if domain else None,
        in_zone=in_zone,
        gone=_time(incident.first_gone or incident.closed) if incident.state == "mitigated" else None,
        reopened=tuple(parse_rfc3339(text) for text in incident.reopened.split()),
    )
    return Matched(case, _facts(case, domain, index))


def _holdings(tables: Tables, tld: str, owners: Collection[str], addresses: Collection[str]) -> dict[str, bool | None]:
    """By domain, whether the registry's zone holds it; None where the name belongs into another zone."""
    domains = {incident.domain for incident in tables["incident"]}
    found: dict[str, bool | None] = {domain: domain in owners or domain in addresses for domain in domains}
    deep = {domain for domain, held in found.items() if not held and domain.partition(".")[2] != tld}
    if deep:
        parents = {name.partition(".")[2] for name in owners}
        # A registry zone such as com.tld may be kept in a file of its own: delegated here, or not here at all.
        elsewhere = (parent for parent in {domain.partition(".")[2] for domain in deep} if parent in owners)
        parents.difference_update(elsewhere)
        found |= dict.fromkeys(domain for domain in deep if domain.partition(".")[2] not in parents)
    return found


def _reasons(domain: DomainRow | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in domain.class_reasons.split(";") if part.strip()) if domain else ()


def _indicator(public: str, uri: str | None, row: UriRow | HostRow, index: _Index) -> CaseIndicator:
    sightings = index.sightings.get(public, [])
    feeds = {sighting.feed for sighting in sightings}
    last_active = _time(row.last_active)
    threats = (row.threats or "").split()
    return CaseIndicator(
        id=public,
        uri=uri,
        host=row.host if isinstance(row, UriRow) else row.name,
        scope=cast("Scope", row.scope),
        threats=tuple(threat for threat in THREATS if threat in threats),
        state=cast("State", row.state or "indeterminate"),
        flags=tuple((row.flags or "").split()),
        validated=bool(row.validated) and not (feeds and feeds <= index.silent),
        first_seen=min((parse_rfc3339(sighting.first) for sighting in sightings), default=_recorded(row)),
        last_active=last_active,
        feeds=tuple(sorted(feeds - index.silent)),
        evidence=_evidence(index.observations.get(public, []), row.last_active, "address" if uri is None else "web"),
    )


def _recorded(row: UriRow | HostRow) -> dt.datetime:
    return parse_rfc3339(row.recorded or "1970-01-01T00:00:00Z")


def _evidence(observations: list[ObservationRow], round_at: str | None, kind: str) -> tuple[Evidence, ...]:
    """One line a vantage; where the URI and its twin were both asked, the live answer is the one shown."""
    best: dict[str, tuple[int, ObservationRow, dict[str, str]]] = {}
    for row in observations:
        if row.round_at != round_at or row.kind != kind:
            continue
        detail = decode_detail(row.detail)
        rank = weight(row, detail)
        if row.vantage not in best or rank > best[row.vantage][0]:
            best[row.vantage] = (rank, row, detail)
    return tuple(
        Evidence(
            at=parse_rfc3339(row.at),
            vantage=vantage,
            country=detail.get("country", ""),
            outcome=row.outcome,
            status=detail.get("status", ""),
            title=detail.get("title", ""),
            final=detail.get("final", ""),
            address=detail.get("address", "") or detail.get("addresses", ""),
            sha256=detail.get("sha256", ""),
        )
        for vantage, (_, row, detail) in sorted(best.items())
    )


def _facts(case: Case, domain: DomainRow | None, index: _Index) -> Facts:
    seen = [row for item in case.indicators for row in index.observations.get(item.id, [])]
    fronts = sorted((row for row in seen if row.kind == "apex"), key=lambda row: row.at)
    front = next((row for row in reversed(fronts) if row.outcome != "indeterminate"), None)
    pages = {
        page
        for row in seen
        if row.kind == "web" and row.outcome == "live" and (page := decode_detail(row.detail).get("fingerprint"))
    }
    return Facts(
        domain=case.domain,
        scopes=frozenset(item.scope for item in case.indicators),
        uris=tuple(item.uri for item in case.indicators if item.uri is not None),
        hosts=tuple(sorted({item.host for item in case.indicators})),
        first_reported=min((item.first_seen for item in case.indicators), default=None),
        registered=case.registered_at,
        apex_outcome=front.outcome if front else "indeterminate",
        apex_page=decode_detail(front.detail).get("fingerprint") if front else None,
        abuse_pages=tuple(sorted(pages)),
        rank=domain.tranco_rank if domain else None,
    )


def _time(text: str | None) -> dt.datetime | None:
    return parse_rfc3339(text) if text else None
