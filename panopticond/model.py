"""The words of the flow as frozen values: what a feed said (Indicator, Sighting) and what we saw (Observation, Round).

Every room speaks in these. The vocabularies below are the contract between the probes that write an observation, the
judge that reads it, the snapshot that publishes it and the lab that knows the truth; design.md section 4 is their law.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from typing import Literal

import msgspec

Threat = Literal["phishing", "malware", "botnetCc", "spam"]
THREATS: tuple[Threat, ...] = ("phishing", "malware", "botnetCc", "spam")
Scope = Literal["registered", "subordinate", "shared"]
Trust = Literal["reputable", "supporting"]
Licence = Literal["redistributable", "remediation", "verdict-only", "no-store"]
Absence = Literal["withdrawn", "aged-out"]
State = Literal["mitigated-dns", "changed", "active", "mitigated-content", "unreachable", "indeterminate"]
STATES: tuple[State, ...] = (
    "mitigated-dns",
    "changed",
    "active",
    "mitigated-content",
    "unreachable",
    "indeterminate",
)
AbuseClass = Literal["malicious", "compromised", "shared-service", "undetermined"]
Flag = Literal["cloak_suspect", "altered", "review", "listed", "popular", "critical"]

Kind = Literal["delegation", "address", "quad9", "web", "apex", "webrisk", "tranco", "registration"]

OUTCOMES: dict[str, tuple[str, ...]] = {
    # At the TLD's own servers. The judge refines: not-in-zone with the round's registration observation becomes
    # undelegated (registered) or nonexistent (404 of the authoritative server); delegated with a hold address or page
    # becomes held.
    "delegation": ("delegated", "held", "not-in-zone", "indeterminate"),
    # The host at the unfiltered resolver; resolves with reason "hold-ip" when every address is the registry's hold_ip.
    "address": ("resolves", "no-address", "sinkhole", "indeterminate"),
    # The host at the filtering resolver, told from the unfiltered one.
    "quad9": ("blocked", "not-blocked", "absent", "indeterminate"),
    # One URI at one vantage. live: a 2xx that is no soft 404, parking, suspension or hold page. gone: any other answer
    # of the site. guarded: 401, 403, 429, 451, a challenge or a block page. failed: no connection, beside a good
    # control probe. not-probed: the URI speaks of unsubscribe, reset ... and is not for us to fetch.
    "web": ("live", "gone", "guarded", "failed", "not-probed", "indeterminate"),
    # The registered domain's own front page, as context for the class; same words as web.
    "apex": ("live", "gone", "guarded", "failed", "not-probed", "indeterminate"),
    "webrisk": ("listed", "not-listed", "indeterminate"),
    "tranco": ("ranked", "unranked", "indeterminate"),
    "registration": ("registered", "nonexistent", "indeterminate"),
}
"""Every outcome an observation of a kind may have; ``indeterminate`` always carries ``detail["reason"]``."""

DETAILS: dict[str, tuple[str, ...]] = {
    "delegation": ("reason", "owner", "zone", "servers", "ns", "serial", "wildcard", "address", "agreeing"),
    "address": ("reason", "addresses", "cname", "rcode"),
    "quad9": ("reason", "signals", "rcode"),
    "web": (
        "reason",  # why not live, as "status-404", "soft-404", "parked", "suspended", "hold", "tls", "refused", ...
        "status",  # the final HTTP status code
        "final",  # the final URI, when it differs from the target
        "chain",  # every URI of the redirect chain, separated by spaces
        "domain",  # the final registered domain
        "title",  # at most 120 characters
        "size",  # body bytes read
        "sha256",  # of the body bytes read
        "fingerprint",  # see panopticond.judge.fingerprint
        "address",  # the server's address where we resolved it ourselves (direct vantage)
        "tls",  # "valid", "self-signed", "expired", "name-mismatch", "untrusted"
        "country",  # the vantage's country, ISO 3166 alpha-2 in capitals
        "control",  # "good" or why the control probe failed
        "elapsed_ms",
        "twin",  # "1" when the target is the other scheme's form of the indicator's URI
        "challenge",  # the signature that matched, when guarded by a challenge page
    ),
    "apex": ("reason", "status", "title", "fingerprint", "domain", "country", "final"),
    "webrisk": ("reason", "threats", "expires"),
    "tranco": ("reason", "rank", "list"),
    "registration": ("reason", "registered", "status", "registrar", "registrar_id", "server"),
}
"""Every key an observation's detail may hold, by kind; values are text, several are separated by single spaces."""


class Indicator(msgspec.Struct, frozen=True, gc=False):
    """One row of a feed, normalised: a malicious URI (WHATWG serialisation) or, with ``uri`` None, a whole host."""

    uri: str | None
    host: str
    """A-label, lower case, no trailing dot."""
    domain: str
    """The registered domain the suffix policy picks."""
    tld: str
    scope: Scope
    threat: Threat
    first_seen: str | None = None
    """When the feed says it was first seen, RFC 3339, or None."""
    source_id: str | None = None
    """The feed's own identifier of the row, or None."""
    altered: bool = False
    """A personal token in the URI was masked."""

    @property
    def key(self) -> str:
        """What makes two rows the same indicator: the URI, or the host for a host-level entry."""
        return self.uri if self.uri is not None else self.host


def public_id(key: str) -> str:
    """The stable public identifier of an indicator: ``i`` and 16 hex digits of SHA-256 of its key."""
    return "i" + hashlib.sha256(key.encode()).hexdigest()[:16]


class Sighting(msgspec.Struct, frozen=True, gc=False):
    """A feed listed an indicator from ``first`` to ``last``; ``ended`` is when it was first missing, or None."""

    feed: str
    threat: Threat
    first: dt.datetime
    last: dt.datetime
    ended: dt.datetime | None = None
    source_id: str | None = None


class Observation(msgspec.Struct, frozen=True, gc=False):
    """One probe's answer at one time. ``detail`` is flat text to text: it survives every store and SQL unchanged."""

    kind: Kind
    target: str
    """The host, domain or URI the question was about."""
    vantage: str
    """``direct`` or the configured name of a vantage."""
    at: dt.datetime
    """Policy time, UTC."""
    outcome: str
    detail: Mapping[str, str] = {}


class Round(msgspec.Struct, frozen=True, gc=False):
    """One complete set of checks of an indicator at all its vantages; ``at`` is its start, policy time UTC."""

    at: dt.datetime
    observations: tuple[Observation, ...]

    def of(self, kind: Kind) -> tuple[Observation, ...]:
        """This round's observations of a kind."""
        return tuple([observation for observation in self.observations if observation.kind == kind])


class Subject(msgspec.Struct, frozen=True, gc=False):
    """What a round is about: one stored indicator, with all that the probes and the judge need to know of it."""

    id: int
    uri: str | None
    host: str
    domain: str
    tld: str
    scope: Scope
    threats: tuple[Threat, ...]
    altered: bool = False

    @property
    def key(self) -> str:
        """The URI, or the host for a host-level entry."""
        return self.uri if self.uri is not None else self.host

    @property
    def host_level(self) -> bool:
        """Host-only and ``botnetCc`` entries are judged by whether the host resolves; web answers do not count."""
        return self.uri is None or all(threat == "botnetCc" for threat in self.threats)


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """The judge's conclusion on one indicator with its evidence: which rule held, since when, on which rounds."""

    state: State
    rule: str
    """The named rule of :mod:`panopticond.judge.verdict` that held."""
    since: dt.datetime | None
    """Start of the first round of the unbroken run in this state; None before the first round."""
    at: dt.datetime | None
    """Start of the last round."""
    last_known: State | None = None
    """With ``indeterminate``: the last state that was determined ..."""
    last_known_at: dt.datetime | None = None
    """... and the round it was."""
    flags: tuple[Flag, ...] = ()
    delegation: str = "indeterminate"
    first_active: dt.datetime | None = None
    last_active: dt.datetime | None = None
    first_gone: dt.datetime | None = None
    """The first round after ``last_active`` in which it was certainly not active."""
    fingerprint: str | None = None
    """Of the page first validated."""
    evidence: tuple[dt.datetime, ...] = ()
    """The rounds the state rests on."""
    rounds: int = 0


class Incident(msgspec.Struct, frozen=True):
    """All that concerns one registered domain and one registration, or one host of a shared service."""

    id: str
    """``<tld>-<YYYY>-<six hex digits>``: the case number people quote."""
    tld: str
    domain: str
    host: str | None
    """Set for scope ``shared``: the one host it is about."""
    registration: dt.datetime | None
    opened: dt.datetime
    state: Literal["open", "mitigated", "lapsed"]
    last_active: dt.datetime
    first_gone: dt.datetime | None = None
    closed: dt.datetime | None = None
    how: Literal["dns", "content"] | None = None
    """Once mitigated."""
    reopened: tuple[dt.datetime, ...] = ()


class DomainRecord(msgspec.Struct, frozen=True):
    """What is known of one registered domain across rounds: the last observation of each domain-level kind."""

    domain: str
    tld: str
    delegation: Observation | None = None
    registration: Observation | None = None
    tranco: Observation | None = None
    apex: Observation | None = None
    absent_since: dt.datetime | None = None
    """First of the unbroken run of authoritative absences, or None while present."""
    returned: dt.datetime | None = None
    """Last return to the zone after five days' absence."""
