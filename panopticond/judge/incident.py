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
) -> tuple[Incident, ...]:
    """What this snapshot makes of the domain's last incident: it goes on, ends, reopens, or another begins beside it.

    A later registration, or more than ninety days since the end, begins another one with its own id; a predecessor
    that was still open ends with its registration. Empty when there is nothing to open.
    """
    concerned = [member for member in members if member.first_validated is not None]
    validated = [member for member in concerned if member.validated]
    ended = _ended(previous, registration) if previous is not None else None
    if previous is not None and (ended or _too_long_ago(previous, now)):
        begins = registration if ended else previous.closed
        opened = (_open(validated, tld, domain, host, registration, begins, now),) if validated else ()
        return (*((ended,) if ended and ended != previous else ()), *opened)
    if previous is None:
        return (_open(concerned, tld, domain, host, registration, None, now),) if validated else ()
    active = [member.verdict.last_active for member in concerned if member.verdict.last_active is not None]
    last_active = max([previous.last_active, *active])
    if previous.state != "open":
        again = validated and previous.closed is not None and last_active > previous.closed
        return (_close(_reopen(previous, last_active, now), concerned, now),) if again else (previous,)
    current = msgspec.structs.replace(
        previous, last_active=last_active, registration=previous.registration or registration
    )
    return (_close(current, concerned, now),)


def _ended(previous: Incident, registration: dt.datetime | None) -> Incident | None:
    """The incident of a registration that a later one has followed; None while its own registration lasts."""
    if registration is None or registration <= previous.opened:
        return None
    if previous.state != "open":
        return previous
    return msgspec.structs.replace(
        previous, state="mitigated", how="dns", first_gone=previous.first_gone or registration, closed=registration
    )


def _too_long_ago(previous: Incident, now: dt.datetime) -> bool:
    return previous.closed is not None and now - previous.closed > REOPENS_WITHIN


def _open(
    members: Sequence[Member],
    tld: str,
    domain: str,
    host: str | None,
    registration: dt.datetime | None,
    begins: dt.datetime | None,
    now: dt.datetime,
) -> Incident:
    """A new incident; ``begins`` is when the one before it was over, and nothing of before counts."""
    first = min((member.first_validated for member in members if member.first_validated is not None), default=now)
    last_active = max((member.verdict.last_active for member in members if member.verdict.last_active), default=now)
    opened = first if begins is None or first > begins else last_active
    incident = Incident(
        id=case_number(tld, domain, host, opened),
        tld=tld,
        domain=domain,
        host=host,
        registration=registration,
        opened=opened,
        state="open",
        last_active=max(last_active, opened),
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
