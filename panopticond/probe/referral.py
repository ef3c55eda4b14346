"""What an authoritative server's answer says of a name: the table of referrals and denials, as one pure function.

Between the DNS client and :mod:`panopticond.probe.delegation`. Sources: RFC 1034 4.3.2, 2308, 4592, 6672, 8020, 9499.
An answer that proves nothing is ``unknown`` with a reason, never a denial.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from panopticond.probe.dnsclient import Answer, NoAnswer
from panopticond.probe.dnswire import Record

_RCODES = {1: "formerr", 2: "servfail", 4: "notimp", 5: "refused", 9: "notauth"}


class Reading(msgspec.Struct, frozen=True):
    """What one answer means for the name asked, seen from the zone asked."""

    what: Literal["referral", "child", "absent", "nodata", "address", "alias", "unknown"]
    """referral: delegated at ``owner``. child: the server is authoritative for ``owner``, a zone below the one asked.
    absent, nodata: by the zone ``owner``. address: the name's own address records. alias: ``owner`` is the target."""
    owner: str = ""
    names: tuple[str, ...] = ()
    """NS targets, or addresses."""
    glue: tuple[tuple[str, str], ...] = ()
    """(name, address) pairs of the additional section, for the NS targets only."""
    serial: int | None = None
    reason: str = ""


def below(name: str, zone: str) -> bool:
    """``name`` lies strictly below ``zone``; everything lies below the root ``""``."""
    return name != zone and (not zone or name.endswith("." + zone))


def read(answer: Answer | NoAnswer, zone: str, name: str) -> Reading:
    """The reading of an answer to ``name`` (NS, A or AAAA) at a server of ``zone``."""
    if isinstance(answer, NoAnswer):
        return Reading("unknown", reason=answer.reason)
    if answer.rcode not in (0, 3):
        return Reading("unknown", reason=_RCODES.get(answer.rcode, f"rcode-{answer.rcode}"))
    if answer.answer:
        return _positive(answer, name) if answer.aa else Reading("unknown", reason="not-authoritative")
    apex = next((record for record in answer.authority if record.kind == "SOA"), None)
    if apex is None:
        return _referral(answer, zone, name)
    if not answer.aa:
        return Reading("unknown", reason="not-authoritative")
    if apex.name != zone and not (below(apex.name, zone) and (apex.name == name or below(name, apex.name))):
        return Reading("unknown", reason="lame")
    serial = serial_of(apex)
    if apex.name != zone:
        return Reading("child", apex.name, serial=serial)
    return Reading("absent" if answer.rcode == 3 else "nodata", zone, serial=serial)


def read_ds(answer: Answer | NoAnswer, zone: str, name: str) -> Literal["signed", "exists", "absent", "unknown"]:
    """What the parent ``zone`` says of DS at ``name`` (RFC 4035 3.1.4.1): the parent alone answers this question."""
    if isinstance(answer, NoAnswer) or not answer.aa or answer.rcode not in (0, 3):
        return "unknown"
    if any(record.kind == "DS" and record.name == name for record in answer.answer):
        return "signed"
    if not any(record.kind == "SOA" and record.name == zone for record in answer.authority):
        return "unknown"
    return "absent" if answer.rcode == 3 else "exists"


def serial_of(apex: Record) -> int:
    """The serial in an SOA record."""
    return int(apex.data.split(" ")[2])


def _positive(answer: Answer, name: str) -> Reading:
    owned = [record for record in answer.answer if record.name == name]
    targets = tuple(sorted(record.data for record in owned if record.kind == "NS"))
    if targets:
        return Reading("child", name, targets)
    addresses = tuple(record.data for record in owned if record.kind in ("A", "AAAA"))
    if addresses:
        return Reading("address", name, addresses)
    for record in answer.answer:
        if record.kind == "DNAME" and below(name, record.name):
            return Reading("alias", name[: -len(record.name)] + record.data)
    aliased = next((record.data for record in owned if record.kind == "CNAME"), None)
    if aliased is not None:
        return Reading("alias", aliased)
    return Reading("unknown", reason="off-topic")


def _referral(answer: Answer, zone: str, name: str) -> Reading:
    """No answer and no SOA: a clean referral downwards, or a lame server (RFC 1912 2.8)."""
    owners = {record.name for record in answer.authority if record.kind == "NS"}
    if answer.rcode or answer.aa or len(owners) != 1:
        return Reading("unknown", reason="no-soa" if answer.rcode else "lame")
    owner = owners.pop()
    if not below(owner, zone) or not (owner == name or below(name, owner)):
        return Reading("unknown", reason="lame")
    targets = tuple(sorted(record.data for record in answer.authority if record.kind == "NS"))
    glue = tuple(
        (record.name, record.data)
        for record in answer.additional
        if record.kind in ("A", "AAAA") and record.name in targets
    )
    return Reading("referral", owner, targets, glue)
