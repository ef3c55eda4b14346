"""XARF v4 reports: one machine-readable document per URI, attached to a notice (xarf.org, schemas v4.2).

Called by ``notice``; pure. The documents validate against the published schemas; they hold the live URI, for machines.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ipaddress
import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from arke.model import Case, CaseIndicator, Place
from panopticond.model import THREATS, Threat
from panopticond.shared.clock import rfc3339

VERSION = "4.2.0"
TEXT_LIMIT = 200  # of reporter.org and of every other text we quote
_NAMESPACE = b"panopticon/xarf/"
_KINDS: dict[Threat, tuple[str, str]] = {
    "phishing": ("content", "phishing"),
    "malware": ("content", "malware"),
    "botnetCc": ("infrastructure", "botnet"),
    "spam": ("content", "fraud"),
}
# The schema's own idea of a domain, which knows no A-labels and no underscore; elsewhere the host stands all the same.
_DOMAIN = re.compile(r"(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,}")
# RFC 3986 unreserved, reserved and the percent sign; WHATWG leaves a few more bare, which `format: uri` refuses.
_URI_SAFE = "%:/?#@!$&'()*+,;=-._~"


def reports(
    case: Case, *, organisation: str, contact: str, now: dt.datetime, places: Sequence[Place] = ()
) -> list[dict[str, Any]]:
    """One XARF v4 document per validated indicator of the case, in the case's order.

    ``organisation`` and ``contact`` (an address) become reporter and sender. The report id is a function of case and
    indicator, so the same URI of the same case is the same report to its receiver; ``timestamp`` is its last sight.
    To a hoster the source is the address in its network: ``places`` are those of the case's hosts.
    """
    found = {place.host: place.address for place in places}
    party = {
        "org": organisation[:TEXT_LIMIT],
        "contact": contact,
        "domain": contact.rpartition("@")[2],
    }
    return [
        _report(case, indicator, party, now, found.get(indicator.host))
        for indicator in case.indicators
        if indicator.validated
    ]


def encode(report: dict[str, Any]) -> bytes:
    """The document's bytes: UTF-8 JSON, sorted keys, so that the same report is the same bytes."""
    return json.dumps(report, indent=1, sort_keys=True, ensure_ascii=True).encode()


def _report(
    case: Case, indicator: CaseIndicator, party: dict[str, str], now: dt.datetime, address: str | None
) -> dict[str, Any]:
    threat: Threat = next((known for known in THREATS if known in indicator.threats), "phishing")
    category, kind = _KINDS[threat]
    seen = rfc3339(indicator.last_active or indicator.first_seen)
    report: dict[str, Any] = {
        "xarf_version": VERSION,
        "report_id": _report_id(case.id, indicator.id),
        "timestamp": seen,
        "reporter": party,
        "sender": party,
        "source_identifier": address or indicator.host,
        "category": category,
        "type": kind,
        "evidence_source": "threat_intelligence",
        "description": f"Case {case.id}: {threat} at a name below .{case.tld}; assessed as {case.abuse_class}.",
        "tags": [f"case:{_tag(case.id)}", f"assessment:{_tag(case.abuse_class)}"],
    }
    if port := _port(indicator.uri):
        report["source_port"] = port
    if category == "content":
        report |= {"url": _url(indicator), "verified_at": seen}
        if address is not None:
            report["dns_records"] = {"a" if ipaddress.ip_address(address).version == 4 else "aaaa": [address]}
        if _DOMAIN.fullmatch(indicator.host):
            report["domain"] = indicator.host
        report["verification_method"] = "automated_crawler" if indicator.evidence else "threat_intelligence"
        if case.registrar:
            report["registrar"] = case.registrar[:TEXT_LIMIT]
    if kind == "botnet":
        report |= {
            "c2_server": indicator.host,
            "compromise_evidence": "Listed by threat-intelligence feeds as a command and control server; it resolves.",
            "first_seen": rfc3339(indicator.first_seen),
            "last_seen": seen,
        }
    if kind == "fraud":
        report["fraud_type"] = "other"
    report["evidence"] = [_evidence(indicator, now)]
    return report


def _evidence(indicator: CaseIndicator, now: dt.datetime) -> dict[str, Any]:
    """What was seen, as CSV: never the page itself."""
    rows = ["at,vantage,country,outcome,status,address,sha256"]
    rows += [
        f"{rfc3339(seen.at)},{_cell(seen.vantage)},{_cell(seen.country)},{_cell(seen.outcome)},{_cell(seen.status)},"
        f"{_cell(seen.address)},{_cell(seen.sha256)}"
        for seen in indicator.evidence
    ]
    payload = ("\n".join(rows) + "\n").encode()
    return {
        "content_type": "text/csv",
        "description": f"Checks of the round this report rests on; written {rfc3339(now)}",
        "payload": base64.b64encode(payload).decode(),
        "hash": "sha256:" + hashlib.sha256(payload).hexdigest(),
        "size": len(payload),
    }


def _cell(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9 ._:/-]", "_", text)[:80]


def _tag(text: str) -> str:
    return re.sub(r"[^a-z0-9_+-]", "-", text.lower())


def _url(indicator: CaseIndicator) -> str:
    return quote(indicator.uri, safe=_URI_SAFE) if indicator.uri is not None else f"http://{indicator.host}/"


def _port(uri: str | None) -> int | None:
    match = re.match(r"\A(https?)://[^/?#]*?(?::([0-9]{1,5}))?(?:[/?#]|\Z)", uri or "")
    if match is None:
        return None
    port = int(match[2]) if match[2] else {"http": 80, "https": 443}[match[1]]
    return port if 0 < port < 65536 else None


def _report_id(case_id: str, indicator_id: str) -> str:
    """A UUID of version 4's form that is a function of case and indicator (RFC 9562 section 5.4 sets the marks)."""
    digest = bytearray(hashlib.sha256(_NAMESPACE + f"{case_id}/{indicator_id}".encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x40
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
