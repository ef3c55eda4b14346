"""What concerns one registered domain and one registration (or one shared host), from first validation to its end.

After verdict and validation, once a snapshot: opens, closes by dns or content, lapses after thirty days without an
active round, reopens as the same one within ninety days, and starts anew with a later registration. Pure.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence

import msgspec

from panopticond.model import Incident, Verdict

LAPSES_AFTER = dt.timedelta(days=30)
REOPENS_WITHIN = dt.timedelta(days=90)
MITIGATED = frozenset({"mitigated-dns", "mitigated-content"})


class Member(msgspec.Struct, frozen=True):
    """One indicator of the incident: its verdict, when it was first validated, and whether it is validated now."""

    verdict: Verdict
    first_validated: dt.datetime | None
    validated: bool


def case_number(tld: str, domain: str, host: str | None, opened: dt.datetime) -> str:
    """``<tld>-<YYYY>-<six hex digits>``: the same for the same incident in every snapshot."""
    digest = hashlib.sha256(f"{domain}|{host or ''}|{opened.isoformat()}".encode()).hexdigest()
    return f"{tld}-{opened:%Y}-{digest[:6]}"


def advance(
    previous: Incident | None,
    members: Sequence[Member],
    *,
    tld: str,
    domain: str,
    host: str | None,
    registration: dt.datetime | None,
    now: dt.datetime,
) -> Incident | None:
    """The incident after this snapshot, or None when none was ever opened.

    A new id is returned (and ``previous`` stays as it was) when a later registration or more than ninety days lie
    between; everything else continues ``previous``.
    """
    concerned = [member for member in members if member.first_validated is not None]
    validated = [member for member in concerned if member.validated]
    if previous is not None and _another(previous, registration, now):
        previous = None
        concerned = validated
    if previous is None:
        return _open(concerned, tld, domain, host, registration, now) if validated else None
    active = [member.verdict.last_active for member in concerned if member.verdict.last_active is not None]
    last_active = max([previous.last_active, *active])
    if previous.state != "open":
        return _reopen(previous, last_active, now) if validated else previous
    current = msgspec.structs.replace(
        previous, last_active=last_active, registration=previous.registration or registration
    )
    return _close(current, concerned, now)


def _another(previous: Incident, registration: dt.datetime | None, now: dt.datetime) -> bool:
    if registration is not None and previous.registration is not None and registration > previous.opened:
        return True
    return previous.closed is not None and now - previous.closed > REOPENS_WITHIN


def _open(
    members: Sequence[Member],
    tld: str,
    domain: str,
    host: str | None,
    registration: dt.datetime | None,
    now: dt.datetime,
) -> Incident:
    opened = min((member.first_validated for member in members if member.first_validated is not None), default=now)
    last_active = max((member.verdict.last_active for member in members if member.verdict.last_active), default=opened)
    incident = Incident(
        id=case_number(tld, domain, host, opened),
        tld=tld,
        domain=domain,
        host=host,
        registration=registration,
        opened=opened,
        state="open",
        last_active=last_active,
    )
    return _close(incident, members, now)


def _reopen(previous: Incident, last_active: dt.datetime, now: dt.datetime) -> Incident:
    return msgspec.structs.replace(
        previous,
        state="open",
        last_active=last_active,
        first_gone=None,
        closed=None,
        how=None,
        reopened=(*previous.reopened, now),
    )


def _close(incident: Incident, members: Sequence[Member], now: dt.datetime) -> Incident:
    states = [member.verdict.state for member in members]
    if states and all(state in MITIGATED for state in states):
        gone = [member.verdict.first_gone for member in members if member.verdict.first_gone is not None]
        how = "dns" if all(state == "mitigated-dns" for state in states) else "content"
        return msgspec.structs.replace(
            incident, state="mitigated", first_gone=max(gone, default=now), closed=now, how=how
        )
    if now - incident.last_active >= LAPSES_AFTER:
        return msgspec.structs.replace(incident, state="lapsed", closed=now)
    return incident
