"""Name by name: what ICANN's list and our snapshot say of a TLD, with our DNS status beside each name.

Beside the flow: ``arke reconcile`` fetches both, this compares them (pure) for the CSV and the figures of the report.
A list may name fewer domains than it counts: those it keeps to itself are counted apart, never guessed.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from panopticond.shared.mosapi import UNKNOWN, DomainList

Where = Literal["both", "only-theirs", "only-ours"]
COLUMNS = ("name", "where", "their_threats", "our_threats", "dns", "dns_at", "in_zone", "validated")


class Ours(msgspec.Struct, frozen=True):
    """What our snapshot says of a domain."""

    threats: frozenset[str]
    validated: bool
    dns: str = ""
    dns_at: str = ""


class Line(msgspec.Struct, frozen=True):
    """One name of either side."""

    name: str
    where: Where
    their_threats: tuple[str, ...]
    our_threats: tuple[str, ...]
    dns: str
    """delegated, held, undelegated, nonexistent, not-in-zone, indeterminate, or nothing when nobody looked."""
    dns_at: str
    in_zone: bool | None
    """By the registry's own zone; None without one."""
    validated: bool
    """Whether our snapshot validates it; a listed name that is not active is ours only when it is theirs too."""


def ours(tables: Mapping[str, Sequence[Any]]) -> dict[str, Ours]:
    """Every domain of the snapshot with its threats; ``validated`` when some indicator of it is."""
    threats: dict[str, set[str]] = defaultdict(set)
    validated: set[str] = set()
    for row in (*tables["uri"], *(host for host in tables["host"] if host.indicator is not None)):
        threats[row.domain].update((row.threats or "").split())
        if row.validated:
            validated.add(row.domain)
    return {
        row.name: Ours(frozenset(threats[row.name]), row.name in validated, row.delegation, row.delegation_at or "")
        for row in tables["domain"]
    }


def theirs(report: DomainList) -> dict[str, set[str]]:
    """The names a report gives away, lower case, each with its threat types."""
    found: dict[str, set[str]] = defaultdict(set)
    for threat in report.domain_list_data:
        for name in threat.domains:
            found[name.strip().lower().rstrip(".")].add(threat.threat_type)
    found.pop("", None)
    return dict(found)


def compare(
    report: DomainList,
    known: Mapping[str, Ours],
    owners: Collection[str] | None,
    looked: Mapping[str, tuple[str, str]],
) -> list[Line]:
    """Every name of theirs and every validated one of ours, in order; ``looked``: (outcome, time) of those asked."""
    listed = theirs(report)
    lines = []
    for name in sorted(listed.keys() | {name for name, our in known.items() if our.validated}):
        our = known.get(name)
        mine = our is not None and our.validated
        where: Where = "both" if mine and name in listed else "only-ours" if mine else "only-theirs"
        dns, at = looked.get(name) or ((our.dns, our.dns_at) if our is not None else ("", ""))
        lines.append(
            Line(
                name,
                where,
                tuple(sorted(listed.get(name, ()))),
                tuple(sorted(our.threats)) if our is not None else (),
                dns,
                at,
                None if owners is None else name in owners,
                mine,
            )
        )
    return lines


def figures(report: DomainList, lines: Sequence[Line], serial: int) -> dict[str, Any]:
    """The section of the report: counts by where and threat, and how many of theirs we could not compare."""
    named = theirs(report)
    by_threat: dict[str, dict[str, int]] = {}
    for threat in report.domain_list_data:
        names = {name for name, threats in named.items() if threat.threat_type in threats}
        mine = {line.name for line in lines if line.validated and threat.threat_type in line.our_threats}
        by_threat[threat.threat_type] = {
            "their_count": threat.count,
            "named": len(names),
            "both": len(names & mine),
            "only_theirs": len(names - mine),
            "only_ours": len(mine - names),
        }
    gone = ("undelegated", "nonexistent", "not-in-zone", "held")
    return {
        "tld": report.tld,
        "list_date": report.domain_list_date,
        "serial": serial,
        "both": sum(line.where == "both" for line in lines),
        "only_theirs": sum(line.where == "only-theirs" for line in lines),
        "only_ours": sum(line.where == "only-ours" for line in lines),
        "only_theirs_not_delegated": sum(line.where == "only-theirs" and line.dns in gone for line in lines),
        "their_unique": report.unique_abuse_domains,
        "unnamed": max(0, report.unique_abuse_domains - len(named)) if report.unique_abuse_domains != UNKNOWN else None,
        "by_threat": by_threat,
    }


def to_csv(lines: Iterable[Line]) -> str:
    """The lines as CSV with a heading; threats joined by spaces, unknown an empty cell."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in lines:
        zone = "" if line.in_zone is None else str(line.in_zone).lower()
        writer.writerow(
            [
                line.name,
                line.where,
                " ".join(line.their_threats),
                " ".join(line.our_threats),
                line.dns,
                line.dns_at,
                zone,
                str(line.validated).lower(),
            ]
        )
    return out.getvalue()
