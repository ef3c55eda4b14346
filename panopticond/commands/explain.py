"""``panopticond explain URI|DOMAIN``: every sighting, observation and rule behind a state, so that it can be defended.

Reads the store beside a running daemon; decides nothing. Pure formatting below, one query above.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping

from panopticond.commands.class_facts import class_lines
from panopticond.commands.named import named, shown
from panopticond.config import Config, tlds
from panopticond.feeds.catalogue import resolve
from panopticond.judge.registration import began
from panopticond.judge.verdict import not_validated
from panopticond.model import DomainRecord, Incident, Observation, Round, Trust, public_id
from panopticond.shared.clock import Clock, rfc3339
from panopticond.shared.errors import PanopticonError
from panopticond.shared.names import Names
from panopticond.store.interface import Standing
from panopticond.store.opening import open_configured
from panopticond.wiring import policy

RULES: Mapping[str, str] = {
    "gone-from-zone": "two authoritative servers agree that the name is not in the zone",
    "held-by-registry": "the registry holds the name (its name servers, address or page)",
    "sinkholed": "the host resolves only to a sinkhole",
    "other-page-two-rounds": "live, but for two rounds every live answer is another page than the one first validated",
    "live-at-a-vantage": "a 2xx that is no soft 404, parking, suspension or hold page, from at least one vantage",
    "host-resolves": "the host resolves, unfiltered, to an address that is no sinkhole",
    "dark-four-rounds-one-day": "not live at any vantage in at least four checked rounds spread over at least 24 hours",
    "unreachable-seven-days": "unreachable for seven days running",
    "no-address-one-day": "the host has had no address for 24 hours",
    "dark-this-round": "not live at any vantage in the last round, every vantage having been checked",
    "no-address-this-round": "the host had no address in the last round",
    "no-rule": "no rule holds: something could not be checked",
    "could-not-judge": "our own judge failed on these rounds, which is a bug; nothing is concluded from them",
    "never-checked": "not checked yet",
}
"""Each rule of the judge in one sentence."""


async def explain(config: Config, text: str) -> str:
    """The whole case for a URI, host or domain; PanopticonError when nothing is known of it."""
    store = await open_configured(config.store)
    try:
        standings = await named(store, config, text)
        if not standings:
            raise PanopticonError(f"{shown(text)}: no feed has listed this in a served TLD; nothing is known of it")
        parts = []
        names = Names([policy(tld) for tld in tlds(config)])
        now = Clock.from_settings(config.clock, lab=config.lab).now()
        trusts = {feed.name: feed.trust for feed in map(resolve, config.feed) if feed.licence != "verdict-only"}
        for standing in standings:
            rounds = await store.rounds(standing.subject.id)
            by_policy = names.registered_domain(standing.subject.host)
            domain = await store.domain(standing.subject.domain)
            whole = [*_indicator(standing, rounds, trusts), *_notice(standing, trusts, began(domain), now)]
            parts.append("\n".join([*whole, *_grouping(standing, by_policy)]))
        name, tld = standings[0].subject.domain, standings[0].subject.tld
        domain = await store.domain(name)
        neighbours = [one for one in await store.find(name) if one.subject.domain == name]
        incidents = [incident for incident in await store.incidents(tld) if incident.domain == name]
        held_to_be = await class_lines(store, config, neighbours, domain)
        about = [*_domain(domain or DomainRecord(name, tld)), *held_to_be, *_incidents(incidents)]
        return "\n\n".join([*parts, "\n".join(about)])
    finally:
        await store.close()


def _notice(
    standing: Standing, trusts: Mapping[str, Trust], start: dt.datetime | None, now: dt.datetime
) -> Iterable[str]:
    """Whether it is validated now, which is what a notice needs, and what speaks against it."""
    if standing.verdict is None:
        return
    why = not_validated(
        standing.verdict, standing.sightings, trusts, registration_began=start, to=now, decision=standing.decision
    )
    yield f"  validated: no, {why}" if why else "  validated: yes, by trusted feeds and by our own checks"
    if not why and "review" in standing.verdict.flags:
        yield "  no notice until a person decides: panopticond review"


def _indicator(standing: Standing, rounds: Iterable[Round], trusts: Mapping[str, Trust]) -> Iterable[str]:
    subject, verdict = standing.subject, standing.verdict
    yield subject.key
    yield f"  id {public_id(subject.key)}   domain {subject.domain}   scope {subject.scope}"
    yield f"  threats {' '.join(subject.threats)}"
    if verdict is None:
        yield "  state: not checked yet"
    else:
        since = rfc3339(verdict.since) if verdict.since else "-"
        yield f"  state: {verdict.state} since {since}: {RULES.get(verdict.rule, verdict.rule)} [{verdict.rule}]"
        if verdict.state == "indeterminate" and verdict.last_known and verdict.last_known_at:
            yield f"  last determined: {verdict.last_known} at {rfc3339(verdict.last_known_at)}"
        yield f"  delegation: {verdict.delegation}   flags: {' '.join(verdict.flags) or 'none'}"
        if verdict.last_active:
            gone = f", first seen gone {rfc3339(verdict.first_gone)}" if verdict.first_gone else ""
            yield f"  last seen active {rfc3339(verdict.last_active)}{gone}"
        yield f"  rests on the rounds of: {', '.join(rfc3339(at) for at in verdict.evidence) or 'none'}"
    if standing.decision is not None:
        yield f"  a person's decision: {standing.decision}"
    for sighting in standing.sightings:
        ended = f", missed at {rfc3339(sighting.ended)}" if sighting.ended else ", still listed"
        span = f"from {rfc3339(sighting.first)} to {rfc3339(sighting.last)}{ended}"
        yield f"  sighting: {sighting.feed} ({sighting.threat}, {trusts.get(sighting.feed, 'not counted')}) {span}"
    for round_ in rounds:
        yield f"  round {rfc3339(round_.at)}"
        for observation in round_.observations:
            yield f"    {observation_line(observation)}"


def _grouping(standing: Standing, by_policy: str | None) -> Iterable[str]:
    """Why the registered domain is not the one the suffixes give."""
    domain = standing.subject.domain
    if by_policy is not None and domain.endswith(f".{by_policy}"):
        yield f"  the referral's owner is {domain}; by the suffixes alone the domain would be {by_policy}"


def observation_line(observation: Observation) -> str:
    """One observation on one line: kind, vantage, outcome, target, then every detail."""
    detail = "  ".join(f"{key}={value}" for key, value in sorted(observation.detail.items()))
    seen = f"{observation.kind:12} {observation.vantage:8} {observation.outcome:14} {observation.target}"
    return f"{seen}  {detail}".rstrip()


def _domain(record: DomainRecord) -> Iterable[str]:
    yield f"domain {record.domain}"
    for observation in (record.delegation, record.registration, record.tranco, record.apex):
        if observation is not None:
            yield f"  {rfc3339(observation.at)} {observation_line(observation)}"
    if record.absent_since:
        yield f"  absent from the zone since {rfc3339(record.absent_since)}"
    if record.returned:
        yield f"  returned to the zone after five days' absence at {rfc3339(record.returned)}"


def _incidents(incidents: Iterable[Incident]) -> Iterable[str]:
    for incident in incidents:
        about = f" (host {incident.host})" if incident.host else ""
        yield f"  incident {incident.id}{about}: {incident.state}, opened {rfc3339(incident.opened)}"
        gone = f", first seen gone {rfc3339(incident.first_gone)}" if incident.first_gone else ""
        how = f", mitigated by {incident.how}" if incident.how else ""
        yield f"    last seen active {rfc3339(incident.last_active)}{gone}{how}"
        yield from (f"    reopened {rfc3339(at)}" for at in incident.reopened)
