"""Whose name it is: where the zone delegates deeper than the suffix policy knows, the referral's owner is the domain.

Behind the delegation probe, before whatever is asked of the registered domain. The policy (configured suffixes, else
the Public Suffix List) picks a domain when a row comes in; a referral proves it, or shows that the registry delegates
below it. A suffix or a known registry zone is never a domain, so a referral above the policy's domain changes nothing.
Pure.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from panopticond.model import Observation, Subject

Registered = Callable[[str], str | None]
"""The registered domain of a host by the suffix policy."""


def deeper_owner(subject: Subject, seen: Observation, policy: str) -> str | None:
    """The owner of the referral seen, if it lies below the policy's domain and the host at or below it; else None."""
    owner = seen.detail.get("owner", "")
    at_or_below = subject.host == owner or subject.host.endswith(f".{owner}")
    return owner if owner.endswith(f".{policy}") and at_or_below else None


def is_referral(seen: Observation) -> bool:
    """Whether a delegation observation is a referral, which proves an owner; an alias or an address proves none."""
    present = seen.outcome in ("delegated", "held")
    return present and bool(seen.detail.get("ns")) and seen.detail.get("reason", "") in ("", "co-hosted")


def stands(own: Observation) -> bool:
    """Whether the policy's domain is somebody's, from its own delegation: what is delegated below it is the same one's.

    A zone on the parent's own servers does not stand for a holder: registries keep such zones to delegate from.
    """
    return own.outcome in ("delegated", "held") and own.detail.get("reason") != "co-hosted"


def regrouped(subject: Subject, domain: str) -> Subject:
    """The subject under another registered domain, with its scope there; a host of a shared service keeps its own."""
    if domain == subject.domain:
        return subject
    scope = "registered" if subject.host in (domain, f"www.{domain}") else "subordinate"
    return msgspec.structs.replace(subject, domain=domain, scope="shared" if subject.scope == "shared" else scope)
