"""What the daemons said and did against what is true: the figures of design.md section 10, and every fault by name.

Last step of a lab run. Pure: a World, the last snapshot's tables and what ``collect`` found in, a Score out.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from panopticond.shared.clock import parse_rfc3339
from tests.lab.model import Domain, ExpectedNotice, IndicatorTruth, World
from tests.lab.world import behaviour_counts

CHECK_INTERVAL = dt.timedelta(hours=6)


class Mail(msgspec.Struct, frozen=True):
    """One mail the SMTP server accepted, with what arke's ledger calls it."""

    at: dt.datetime
    message_id: str
    recipient: str
    subject: str
    text: str
    """Headers and decoded text parts."""
    told: tuple[tuple[str, str, int], ...] = ()
    """(domain, template, rung) of every case it speaks of; empty: the ledger does not know it."""


class Found(msgspec.Struct, frozen=True):
    """Everything a run left behind that can be right or wrong."""

    tables: Mapping[str, Sequence[Any]] = {}
    """Of the last snapshot; empty when none was published."""
    mails: tuple[Mail, ...] = ()
    in_review: frozenset[str] = frozenset()
    """Domains with an entry in arke's queue."""
    pii: Mapping[str, int] = {}
    """File -> bytes of contact addresses in it that have no business there."""
    again: tuple[str, ...] = ()
    """Message-IDs the SMTP server was given a second time without the excuse of a kill."""


class Score(msgspec.Struct, frozen=True):
    """The JSON line, in its order."""

    seed: int
    domains: int
    indicators: int
    state_accuracy: float
    delegation_accuracy: float
    class_accuracy: float
    class_harm: float
    cloak_recall: float
    detect_intervals_p95: float
    notices_due: int
    notices_right: int
    notices_missing: int
    notices_wrong: int
    notices_duplicate: int
    review_right: float
    pii_bytes: int
    behaviours: dict[str, int]

    @property
    def harmless(self) -> bool:
        """No notice was wrong or duplicated and nothing personal leaked."""
        return not (self.notices_wrong or self.notices_duplicate or self.pii_bytes)


def score(world: World, found: Found) -> tuple[Score, list[str]]:
    """The figures of a run and one line for every fault behind them."""
    faults: list[str] = []
    rows = _rows(found.tables)
    truths = [indicator for domain in world.domains for indicator in domain.indicators]
    decidable = [truth for truth in truths if truth.state_decidable]
    states = [_state_right(truth, rows, faults) for truth in decidable]
    classed = [domain for domain in world.domains if domain.truth.abuse_class is not None]
    classes = {row.name: row for row in found.tables.get("domain", ())}
    notices = _notices(world, found.mails, faults)
    line = Score(
        seed=world.seed,
        domains=len(world.domains),
        indicators=len(truths),
        state_accuracy=_share(states),
        delegation_accuracy=_share([_delegation_right(domain, classes, faults) for domain in world.domains]),
        class_accuracy=_share([_class_right(domain, classes, faults) for domain in classed]),
        class_harm=_harm(classed, classes),
        cloak_recall=_share([_cloak_seen(truth, rows, faults) for truth in truths if truth.cloaked]),
        detect_intervals_p95=_detection(world, rows),
        notices_due=notices["due"],
        notices_right=notices["right"],
        notices_missing=notices["missing"],
        notices_wrong=notices["wrong"],
        notices_duplicate=notices["duplicate"] + len(found.again),
        review_right=_share(
            [_reviewed(domain, rows, found, faults) for domain in world.domains if domain.truth.review]
        ),
        pii_bytes=sum(found.pii.values()),
        behaviours=behaviour_counts(world),
    )
    faults += [f"notice: {message_id}: sent again without need" for message_id in found.again]
    faults += [f"personal data: {count} bytes of contact addresses in {name}" for name, count in found.pii.items()]
    return line, faults


def _share(results: Sequence[bool]) -> float:
    return round(sum(results) / len(results), 4) if results else 1.0


def _rows(tables: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    rows = {row.name: row for row in tables.get("host", ()) if row.indicator is not None}
    return rows | {row.uri: row for row in tables.get("uri", ()) if row.uri is not None}


def _state_right(truth: IndicatorTruth, rows: Mapping[str, Any], faults: list[str]) -> bool:
    row = rows.get(truth.key)
    if row is None:
        faults.append(f"state: {truth.behaviour} {truth.key}: not in the snapshot")
        return False
    if row.state != truth.state:
        faults.append(f"state: {truth.behaviour} {truth.key}: {row.state} ({row.rule}), truth {truth.state}")
        return False
    if truth.validated is not None and bool(row.validated) != truth.validated:
        faults.append(f"validated: {truth.behaviour} {truth.key}: {row.validated}, truth {int(truth.validated)}")
    return True


def _delegation_right(domain: Domain, rows: Mapping[str, Any], faults: list[str]) -> bool:
    truth = domain.indicators[0].delegation
    said = rows[domain.name].delegation if domain.name in rows else "not in the snapshot"
    if said != truth:
        faults.append(f"delegation: {domain.behaviour} {domain.name}: {said}, truth {truth}")
    return bool(said == truth)


def _class_right(domain: Domain, rows: Mapping[str, Any], faults: list[str]) -> bool:
    row = rows.get(domain.name)
    said = row.abuse_class if row is not None else "not in the snapshot"
    if said != domain.truth.abuse_class:
        reasons = f"{row.class_reasons}; missing {row.class_missing}" if row is not None else ""
        faults.append(f"class: {domain.behaviour} {domain.name}: {said}, truth {domain.truth.abuse_class} ({reasons})")
    return bool(said == domain.truth.abuse_class)


def _harm(domains: Sequence[Domain], rows: Mapping[str, Any]) -> float:
    victims = [domain for domain in domains if domain.truth.abuse_class in ("compromised", "shared-service")]
    harmed = [domain.name in rows and rows[domain.name].abuse_class == "malicious" for domain in victims]
    return _share(harmed) if harmed else 0.0


def _cloak_seen(truth: IndicatorTruth, rows: Mapping[str, Any], faults: list[str]) -> bool:
    row = rows.get(truth.key)
    seen = row is not None and "cloak_suspect" in (row.flags or "").replace(",", " ").split()
    if not seen:
        faults.append(f"cloak: {truth.behaviour} {truth.key}: not suspected")
    return seen


def _reviewed(domain: Domain, rows: Mapping[str, Any], found: Found, faults: list[str]) -> bool:
    flagged = any(
        "review" in (row.flags or "").replace(",", " ").split()
        for row in (rows.get(truth.key) for truth in domain.indicators)
        if row is not None
    )
    right = flagged or domain.name in found.in_review
    if not right:
        faults.append(f"review: {domain.behaviour} {domain.name}: before nobody's eyes")
    return right


def _detection(world: World, rows: Mapping[str, Any]) -> float:
    """The 95th percentile, in check intervals, from a change (or a first listing) to the right state."""
    waits: list[float] = []
    for domain in world.domains:
        listed = min(listing.start for listing in domain.listings) if domain.listings else None
        for truth in domain.indicators:
            row = rows.get(truth.key)
            if row is None or row.state != truth.state:
                continue
            began = truth.changed_at or listed
            until = row.since if truth.changed_at is not None else row.first_active
            if began is not None and until is not None:
                waits.append(max(0.0, (parse_rfc3339(until) - began) / CHECK_INTERVAL))
    waits.sort()
    return round(waits[min(len(waits) - 1, int(len(waits) * 0.95))], 2) if waits else 0.0


def _notices(world: World, mails: Iterable[Mail], faults: list[str]) -> dict[str, int]:
    expected: dict[tuple[str, str, str], ExpectedNotice] = {
        (notice.domain, notice.recipient.lower(), notice.template): notice
        for domain in world.domains
        for notice in domain.truth.notices
    }
    domains = {domain.name: domain for domain in world.domains}
    told: Counter[tuple[str, str, str, int]] = Counter()
    wrong = 0
    for mail in mails:
        if not mail.told:
            wrong += 1
            faults.append(f"notice: {mail.message_id}: accepted, but the ledger does not know it")
        for domain, template, rung in mail.told:
            told[domain, mail.recipient.lower(), template, rung] += 1
            if (fault := _wrong(mail, domain, template, expected, domains)) is not None:
                wrong += 1
                faults.append(f"notice: {template} about {domain}: {fault}")
    return _counted(expected, told, domains, faults) | {"wrong": wrong}


def _counted(
    expected: Mapping[tuple[str, str, str], ExpectedNotice],
    told: Mapping[tuple[str, str, str, int], int],
    domains: Mapping[str, Domain],
    faults: list[str],
) -> dict[str, int]:
    """How many were due, came as often as they should, are missing, or came too often; on any one rung."""
    times = {key: notice.times for key, notice in expected.items()}
    duplicate = sum(max(0, count - times.get(key[:3], 1)) for key, count in told.items())
    came: Counter[tuple[str, str, str]] = Counter()
    for (domain, recipient, template, _), count in told.items():
        came[domain, recipient, template] = max(came[domain, recipient, template], count)
    for key in expected:
        if came[key] < times[key]:
            often = f" {times[key]} times" if times[key] > 1 else ""
            word = "never accepted" if not came[key] else f"not accepted{often}"
            faults.append(f"notice: {key[2]} about {key[0]} ({domains[key[0]].behaviour}): {word}")
    for (domain, recipient, template, _), count in told.items():
        if count > times.get((domain, recipient, template), 1):
            faults.append(f"notice: {template} about {domain}: accepted {count} times")
    exact = {key[:3] for key, count in told.items() if count == times.get(key[:3])}
    return {
        "due": sum(times.values()),
        "right": sum(times[key] for key in exact),
        "missing": sum(max(0, times[key] - came[key]) for key in expected),
        "duplicate": duplicate,
    }


def _wrong(
    mail: Mail,
    domain: str,
    template: str,
    expected: Mapping[tuple[str, str, str], ExpectedNotice],
    domains: Mapping[str, Domain],
) -> str | None:
    """Why a mail about a domain should not have been, or None."""
    if domain not in domains:
        return "no such domain in the world"
    truth = domains[domain].truth
    recipient = mail.recipient.lower()
    if domain.split(".", 1)[0] not in mail.text:
        return "the mail does not speak of it"
    if (notice := expected.get((domain, recipient, template))) is not None:
        return "too early" if mail.at < notice.not_before else None
    if recipient in {address.lower() for address in truth.may_notice}:
        return None
    addressed = recipient in {known.recipient.lower() for known in truth.notices}
    return (
        f"{domains[domain].behaviour}: not to this recipient"
        if not addressed
        else f"{domains[domain].behaviour}: not due"
    )
