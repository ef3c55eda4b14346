"""What a feed's licence lets the snapshot say: the feed facts, the class of an indicator, and the veil over the rest.

First step of build. ``redistributable`` goes everywhere; ``remediation`` to the registry and the parties concerned (all
files but misp.json, which is made to be passed on); ``verdict-only`` becomes a surrogate row without URI, host or
domain; ``no-store`` and unknown feeds leave no trace.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

import msgspec

from panopticond.model import Absence, Licence, Observation, Sighting, Threat, Trust
from panopticond.store.interface import FeedHealth

_SPEAKING = frozenset(
    {
        "reason",
        "status",
        "size",
        "tls",
        "country",
        "control",
        "elapsed_ms",
        "twin",
        "challenge",
        "agreeing",
        "rcode",
        "threats",
    }
)
"""Details of our own observations that say nothing of which name or URI was observed."""
_OF_URIS = frozenset({"web", "apex", "webrisk"})
WITHHELD = "withheld.invalid"
"""Below this (RFC 2606) stand the surrogate names."""


class FeedFacts(msgspec.Struct, frozen=True):
    """One feed that serves the TLD, as configured over its catalogue entry, with its health ledger line."""

    name: str
    format: str
    licence: Licence
    trust: Trust
    absence: Absence
    threat: Threat | None
    """None: the feed's rows say it themselves."""
    health: FeedHealth
    delisting: str | None = None


def licence_of(sightings: Sequence[Sighting], licences: Mapping[str, Licence]) -> Licence:
    """The most open licence among the feeds that listed an indicator; ``no-store`` when none of them may be used."""
    held = {licences.get(sighting.feed, "no-store") for sighting in sightings}
    order: tuple[Licence, ...] = ("redistributable", "remediation", "verdict-only")
    return next((licence for licence in order if licence in held), "no-store")


def exported(sightings: Sequence[Sighting], licences: Mapping[str, Licence], licence: Licence) -> tuple[Sighting, ...]:
    """The sightings an indicator of this class may carry: a verdict-only feed's stand on surrogates alone."""
    open_ones: tuple[Licence, ...] = ("redistributable", "remediation")
    allowed = ("verdict-only",) if licence == "verdict-only" else open_ones
    return tuple(sighting for sighting in sightings if licences.get(sighting.feed, "no-store") in allowed)


class Veil:
    """Surrogates: keyed, so that nobody can try names against them; stable, so that days can be compared."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def identifier(self, text: str) -> str:
        """In the place of ``public_id``: ``i`` and 16 hexadecimal digits."""
        return "i" + self._digest("indicator", text)[:16]

    def name(self, name: str) -> str:
        """In the place of a host or domain; the same for the same name."""
        return f"w{self._digest('name', name)[:12]}.{WITHHELD}"

    def observation(self, seen: Observation) -> Observation:
        """Our own observation without anything that tells what was observed."""
        detail = {key: value for key, value in seen.detail.items() if key in _SPEAKING}
        if domain := seen.detail.get("domain"):
            detail["domain"] = self.name(domain)
        if page := seen.detail.get("fingerprint"):
            domain, semicolon, rest = page.partition(";")
            detail["fingerprint"] = f"{self.name(domain)}{semicolon}{rest}"
        target = self.identifier(seen.target) if seen.kind in _OF_URIS else self.name(seen.target)
        return msgspec.structs.replace(seen, target=target, detail=detail)

    def _digest(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()
