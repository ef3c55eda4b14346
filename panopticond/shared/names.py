"""Where a host stands: served TLD, registered domain and scope, by suffix policy (design section 4).

Between a feed's row and an indicator, and wherever two hosts are compared by their registered domain. A TLD's own
suffixes come from the configuration; all else from the Public Suffix List as shipped with tldextract, never from the
network. The PSL's ICANN section says where registries delegate, its private section where strangers share a suffix.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

import msgspec
import tldextract

from panopticond.model import Scope

CACHE_LIMIT = 1 << 15  # hosts remembered; feeds repeat them, and a full cache is simply dropped
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\Z")
_MISSING = object()


class TldPolicy(msgspec.Struct, frozen=True):
    """How one served TLD delegates; empty ``suffixes`` means the Public Suffix List's."""

    tld: str
    suffixes: frozenset[str] = frozenset()
    registry_zones: frozenset[str] = frozenset()
    """Zones of the registry's own below the TLD: suffixes as well, never registered domains."""
    shared_services: frozenset[str] = frozenset()
    """Suffixes under which strangers get their own host, beyond the PSL's private section."""


class Place(msgspec.Struct, frozen=True, gc=False):
    """A host in a served TLD, its registered domain and its scope."""

    host: str
    domain: str
    tld: str
    scope: Scope


class Rules:
    """One section of suffix rules, with the list's wildcards and exceptions (publicsuffix.org/list)."""

    def __init__(self, rules: Iterable[str]) -> None:
        self.exact: set[str] = set()
        self.wildcard: set[str] = set()
        self.exception: set[str] = set()
        for rule in rules:
            name = ascii_name(rule.lstrip("!").removeprefix("*."))
            (self.exception if rule[0] == "!" else self.wildcard if rule[:2] == "*." else self.exact).add(name)

    def suffix(self, host: str) -> str | None:
        """The longest suffix of ``host`` (itself included) that these rules name, or None."""
        exact, wildcard, at, child = self.exact, self.wildcard, 0, ""
        tail = host
        while True:
            if tail in self.exception:
                return tail.partition(".")[2]
            if child and tail in wildcard:
                return child
            if tail in exact:
                return tail
            at = host.find(".", at) + 1
            if at == 0:
                return None
            child, tail = tail, host[at:]


class Names:
    """Places hosts by policy; without policies every TLD of the Public Suffix List is served."""

    def __init__(self, policies: Iterable[TldPolicy] | None) -> None:
        self._policies = None if policies is None else {policy.tld: policy for policy in policies}
        self._own = {policy.tld: _own_rules(policy) for policy in (self._policies or {}).values()}
        self._shared = {
            tld: Rules(policy.shared_services)
            for tld, policy in (self._policies or {}).items()
            if policy.shared_services
        }
        self._places: dict[str, Place | None] = {}
        self.tlds: frozenset[str] | None = None if self._policies is None else frozenset(self._policies)
        """The served TLDs; None for all."""

    def place(self, host: str) -> Place | None:
        """Where an A-label host (lower case, no trailing dot) stands; None if not served or without registrable name."""
        place = self._places.get(host, _MISSING)
        if place is _MISSING:
            place = self._place(host)
            if len(self._places) >= CACHE_LIMIT:
                self._places.clear()
            self._places[host] = place
        return place  # type: ignore[return-value]  # the sentinel never leaves

    def registered_domain(self, host: str) -> str | None:
        """The registered domain of any host, whatever its TLD; None for addresses, suffixes and single labels."""
        if not well_formed(host) or host.rpartition(".")[2].isdigit():
            return None
        tld = self._served_tld(host)
        suffix = self._suffix(host, tld) if tld is not None else _icann().suffix(host)
        return _one_below(host, suffix or host.rpartition(".")[2])

    def serves(self, last_label: str) -> bool:
        """Whether a host that ends in this label may be served; a cheap test to spare a parse, never a false no."""
        return self.tlds is None or last_label in self._last_labels

    @functools.cached_property
    def _last_labels(self) -> frozenset[str]:
        return frozenset(tld.rpartition(".")[2] for tld in self.tlds or ())

    def _served_tld(self, host: str) -> str | None:
        if self._policies is None:
            return None
        tld = host.rpartition(".")[2]
        if tld in self._policies:
            return tld
        return next((name for name in self._policies if "." in name and host.endswith("." + name)), None)

    def _suffix(self, host: str, tld: str) -> str | None:
        return self._own[tld].suffix(host)

    def _place(self, host: str) -> Place | None:
        if not well_formed(host):
            return None
        if self._policies is None:
            tld, suffix = host.rpartition(".")[2], _icann().suffix(host)
        else:
            served = self._served_tld(host)
            if served is None:
                return None
            tld, suffix = served, self._suffix(host, served)
        domain = _one_below(host, suffix) if suffix is not None else None
        return None if domain is None else Place(host, domain, tld, self._scope(host, domain, tld))

    def _scope(self, host: str, domain: str, tld: str) -> Scope:
        for rules in (_private(), self._shared.get(tld)):
            suffix = rules.suffix(host) if rules is not None else None
            # below the service's suffix, and the service no wider than the registered domain
            if suffix is not None and suffix != host and (suffix == domain or suffix.endswith("." + domain)):
                return "shared"
        return "registered" if host in (domain, "www." + domain) else "subordinate"


def well_formed(host: str) -> bool:
    """Whether a host could be looked up: labels of 1 to 63 letters, digits, hyphens or underscores, 253 in all."""
    return _HOST.match(host) is not None


def ascii_name(name: str) -> str:
    """The A-label form of a name, lower case, no dots at its ends; unchanged where IDNA has no answer."""
    name = name.strip(".").lower()
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name


def _one_below(host: str, suffix: str) -> str | None:
    if len(host) <= len(suffix):
        return None
    return host[: -len(suffix) - 1].rpartition(".")[2] + "." + suffix


def _own_rules(policy: TldPolicy) -> Rules:
    if policy.suffixes:
        return Rules({*policy.suffixes, *policy.registry_zones, policy.tld})
    listed = [rule for rule in _listed() if ascii_name(rule.rpartition(".")[2]) == policy.tld]
    return Rules({*listed, *policy.registry_zones, policy.tld})


@functools.cache
def _extract(*, private: bool) -> tldextract.TLDExtract:
    return tldextract.TLDExtract(
        cache_dir=None, suffix_list_urls=(), fallback_to_snapshot=True, include_psl_private_domains=private
    )


@functools.cache
def _listed() -> tuple[str, ...]:
    return tuple(_extract(private=False).tlds)


@functools.cache
def _icann() -> Rules:
    return Rules(_listed())


@functools.cache
def _private() -> Rules:
    return Rules(set(_extract(private=True).tlds) - set(_listed()))
