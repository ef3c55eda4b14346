"""A case as the texts a template may name: defanged, one line each, nothing a reader could click.

Used by ``notice`` only. ``discreet`` leaves out what would teach a criminal how he was seen: vantages, sources, hashes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from arke.mail.defang import defang, harmless, one_line
from arke.model import Case, CaseIndicator, Contact, Evidence, Recheck
from panopticond.model import AbuseClass, Threat

INDICATOR_LIMIT = 200  # URIs written out in one mail
EVIDENCE_LIMIT = 8  # looks written out per URI
_THREATS: dict[Threat, str] = {
    "phishing": "phishing",
    "malware": "malware distribution",
    "botnetCc": "botnet command and control",
    "spam": "spam",
}
_CLASSES: dict[AbuseClass, str] = {
    "malicious": "likely maliciously registered (assessment)",
    "compromised": "likely compromised (assessment)",
    "shared-service": "a service shared by many parties",
    "undetermined": "undetermined",
}
_HOLDERS = {"registrant", "administrative", "technical", "billing"}


def moment(when: dt.datetime | None) -> str:
    """``2026-01-02 03:04 UTC``, or nothing."""
    return when.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M UTC") if when is not None else ""


def case_facts(case: Case, *, discreet: bool) -> dict[str, Any]:
    """The names of one case, ``indicators`` included."""
    shown = [indicator for indicator in case.indicators if indicator.validated]
    seen = [indicator.last_active for indicator in shown if indicator.last_active is not None]
    return {
        "case": harmless(case.id),
        "tld": harmless(case.tld),
        "domain": defang(case.host or case.domain),
        "subject_name": defang(case.host or case.domain),
        "threats": _threats(case.threats),
        "class": _CLASSES[case.abuse_class],
        "class_malicious": "yes" if case.abuse_class == "malicious" else "",
        "class_compromised": "yes" if case.abuse_class == "compromised" else "",
        "class_undetermined": "yes" if case.abuse_class == "undetermined" else "",
        "class_shared": "yes" if case.abuse_class == "shared-service" else "",
        "reasons": "" if discreet else "; ".join(harmless(reason) for reason in case.reasons),
        "opened": moment(case.opened),
        "first_seen": moment(min((indicator.first_seen for indicator in shown), default=None)),
        "last_seen": moment(max(seen, default=None)),
        "count": str(len(shown)),
        "registrar": "" if discreet else harmless(case.registrar or ""),
        "registered_at": moment(case.registered_at),
        "indicators": [_indicator(indicator, discreet=discreet) for indicator in shown[:INDICATOR_LIMIT]],
    }


def mail_facts(
    cases: Sequence[Case],
    contact: Contact,
    *,
    organisation: str,
    sender: str,
    verify_page: str | None,
    now: dt.datetime,
    deadline: dt.datetime,
    recheck: Recheck,
    earlier: dt.datetime | None,
    attached: bool,
    discreet: bool,
) -> dict[str, Any]:
    """The names that belong to the mail rather than to a case, ``cases`` included."""
    return {
        "organisation": one_line(organisation),
        "sender": one_line(sender),
        "verify_page": one_line(verify_page or "", 500),
        "now": moment(now),
        "deadline": moment(deadline),
        "role": contact.role,
        "role_holder": "yes" if contact.role in _HOLDERS else "",
        "role_registrar": "yes" if contact.role in {"registrar", "abuse"} else "",
        "role_manager": "yes" if contact.role == "manager" else "",
        "rechecked": "yes" if recheck.decision == "go" else "",
        "unchecked": "yes" if recheck.decision == "unchecked" else "",
        "recheck_at": moment(recheck.at),
        "recheck_reason": harmless(recheck.reason),
        "attached": "yes" if attached else "",
        "cases_count": str(len(cases)),
        "earlier": moment(earlier),
        "cases": [case_facts(case, discreet=discreet) for case in cases],
    }


def _threats(threats: Sequence[Threat]) -> str:
    names = [_THREATS[threat] for threat in threats]
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def _indicator(indicator: CaseIndicator, *, discreet: bool) -> dict[str, Any]:
    return {
        "uri": defang(indicator.text),
        "host": defang(indicator.host),
        "threats": _threats(indicator.threats),
        "first_seen": moment(indicator.first_seen),
        "last_active": moment(indicator.last_active),
        "state": indicator.state,
        "feeds": "" if discreet else ", ".join(harmless(feed) for feed in indicator.feeds),
        "evidence": [] if discreet else [_evidence(seen) for seen in indicator.evidence[:EVIDENCE_LIMIT]],
    }


def _evidence(seen: Evidence) -> dict[str, str]:
    return {
        "at": moment(seen.at),
        "vantage": harmless(seen.vantage),
        "country": harmless(seen.country) or "our resolver",  # an address is asked of no country's vantage
        "outcome": harmless(seen.outcome),
        "status": harmless(seen.status),
        "title": harmless(seen.title),
        "final": defang("".join(seen.final.split())),
        "address": defang("".join(seen.address.split())),
        "sha256": harmless(seen.sha256, 64),
    }
