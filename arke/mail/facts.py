"""A case as the texts a template may name: defanged, one line each, nothing a reader could click.

Used by ``notice`` only. ``discreet`` leaves out what would teach a criminal how he was seen: vantages, sources, hashes.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec

from arke.mail.defang import defang, harmless, one_line
from arke.mail.words import Words
from arke.model import Case, CaseIndicator, Contact, Evidence, Place, Recheck

INDICATOR_LIMIT = 200  # URIs written out in one mail
EVIDENCE_LIMIT = 8  # looks written out per URI
_HOLDERS = {"registrant", "administrative", "technical", "billing"}


class Letterhead(msgspec.Struct, frozen=True):
    """Who writes, the same for every mail of a TLD."""

    sender: str
    organisation: str
    host_id: str
    """Names this arke in the feedback report."""
    key: bytes
    """Of Message-IDs and VERP tokens."""
    verify_page: str | None = None
    deadline: dt.timedelta = dt.timedelta(hours=24)
    """From the mail on."""


class Sending(msgspec.Struct, frozen=True):
    """What belongs to one mail: when, after which look, and how it stands to those before."""

    now: dt.datetime
    recheck: Recheck
    occasion: str = ""
    """Goes into the Message-ID: the time of a reopening, say."""
    earlier: dt.datetime | None = None
    """When the contacts were first told."""
    in_reply_to: str | None = None
    """Message-ID of the case's first notice to this recipient."""


def moment(when: dt.datetime | None) -> str:
    """``2026-01-02 03:04 UTC``, or nothing."""
    return when.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M UTC") if when is not None else ""


def case_facts(case: Case, *, words: Words, discreet: bool, places: Sequence[Place] = ()) -> dict[str, Any]:
    """The names of one case, ``indicators`` included; ``places`` say where its hosts were found."""
    found = {place.host: place for place in places}
    shown = [indicator for indicator in case.indicators if indicator.validated]
    seen = [indicator.last_active for indicator in shown if indicator.last_active is not None]
    return {
        "case": harmless(case.id),
        "tld": harmless(case.tld),
        "domain": defang(case.host or case.domain),
        "subject_name": defang(case.host or case.domain),
        "threats": words.listed("threat", case.threats),
        "class": words.of("class", case.abuse_class),
        "class_malicious": "yes" if case.abuse_class == "malicious" else "",
        "class_compromised": "yes" if case.abuse_class == "compromised" else "",
        "class_undetermined": "yes" if case.abuse_class == "undetermined" else "",
        "class_shared": "yes" if case.abuse_class == "shared-service" else "",
        "reasons": "" if discreet else "; ".join(harmless(words.reason(reason)) for reason in case.reasons),
        "opened": moment(case.opened),
        "first_seen": moment(min((indicator.first_seen for indicator in shown), default=None)),
        "last_seen": moment(max(seen, default=None)),
        "count": str(len(shown)),
        "registrar": "" if discreet else harmless(case.registrar or ""),
        "registered_at": moment(case.registered_at),
        "indicators": [
            _indicator(indicator, words, found.get(indicator.host), discreet=discreet)
            for indicator in shown[:INDICATOR_LIMIT]
        ],
    }


def mail_facts(
    cases: Sequence[Case],
    contact: Contact,
    letterhead: Letterhead,
    sending: Sending,
    *,
    words: Words,
    attached: bool,
    discreet: bool,
) -> dict[str, Any]:
    """The names that belong to the mail rather than to a case, ``cases`` included."""
    return {
        "organisation": one_line(letterhead.organisation),
        "sender": one_line(letterhead.sender),
        "verify_page": one_line(letterhead.verify_page or "", 500),
        "now": moment(sending.now),
        "deadline": moment(sending.now + letterhead.deadline),
        "role": contact.role,
        "role_holder": "yes" if contact.role in _HOLDERS else "",
        "role_registrar": "yes" if contact.role in {"registrar", "abuse"} else "",
        "role_manager": "yes" if contact.role == "manager" else "",
        "role_hoster": "yes" if contact.role == "hoster" else "",
        "rechecked": "yes" if sending.recheck.decision == "go" else "",
        "unchecked": "yes" if sending.recheck.decision == "unchecked" else "",
        "recheck_at": moment(sending.recheck.at),
        "recheck_reason": harmless(words.recheck(sending.recheck.reason)),
        "attached": "yes" if attached else "",
        "cases_count": str(len(cases)),
        "earlier": moment(sending.earlier),
        "cases": [case_facts(case, words=words, discreet=discreet, places=contact.places) for case in cases],
    }


def _indicator(indicator: CaseIndicator, words: Words, place: Place | None, *, discreet: bool) -> dict[str, Any]:
    return {
        "uri": defang(indicator.text),
        "host": defang(indicator.host),
        "threats": words.listed("threat", indicator.threats),
        "first_seen": moment(indicator.first_seen),
        "last_active": moment(indicator.last_active),
        "state": words.of("state", indicator.state),
        "address": place.address if place is not None else "",
        "address_at": moment(place.at if place is not None else None),
        "feeds": "" if discreet else ", ".join(harmless(feed) for feed in indicator.feeds),
        "evidence": [] if discreet else [_evidence(seen, words) for seen in indicator.evidence[:EVIDENCE_LIMIT]],
    }


def _evidence(seen: Evidence, words: Words) -> dict[str, str]:
    return {
        "at": moment(seen.at),
        "vantage": harmless(seen.vantage),
        "country": harmless(seen.country) or words.of("", "our resolver"),  # asked from no country
        "outcome": harmless(words.of("outcome", seen.outcome)),
        "status": harmless(seen.status),
        "title": harmless(seen.title),
        "final": defang("".join(seen.final.split())),
        "address": defang("".join(seen.address.split())),
        "sha256": harmless(seen.sha256, 64),
    }
