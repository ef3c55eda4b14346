"""Where a host stands: served TLD, registered domain and scope, by suffix policy (design section 4).

Between a feed's row and an indicator, and wherever two hosts are compared by their registered domain. A TLD's own
suffixes come from the configuration; all else from the Public Suffix List as shipped with tldextract, never from the
network. The PSL's ICANN section says where registries delegate, its private section where strangers share a suffix.
The list's own file is read; the package is not imported, for it brings an HTTP client that an idle daemon would carry.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from panopticond.model import Scope
from panopticond.shared.errors import PanopticonError

LIST_FILE = ".tld_set_snapshot"
PRIVATE_SECTION = "// ===BEGIN PRIVATE DOMAINS==="
CACHE_LIMIT = 1 << 15  # hosts remembered; feeds repeat them, and a full cache is simply dropped
_HOST = re.compile(r"[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\Z")


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


_EXACT, _WILDCARD, _EXCEPTION = 1, 2, 4


class Rules:
    """One section of suffix rules, with the list's wildcards and exceptions (publicsuffix.org/list)."""

    def __init__(self, rules: Iterable[str]) -> None:
        self._kinds: dict[str, int] = {}
        for rule in rules:
            name = ascii_name(rule.lstrip("!").removeprefix("*."))
            kind = _EXCEPTION if rule[0] == "!" else _WILDCARD if rule[:2] == "*." else _EXACT
            self._kinds[name] = self._kinds.get(name, 0) | kind

    def plain_tlds(self) -> set[str]:
        """The single labels that are suffixes, and neither wildcards nor exceptions."""
        return {name for name, kind in self._kinds.items() if kind == _EXACT and "." not in name}

    def exact(self) -> frozenset[str]:
        """Every suffix named as it is, by no wildcard and no exception."""
        return frozenset(name for name, kind in self._kinds.items() if kind & _EXACT)

    def deep_names(self) -> set[str]:
        """The last two labels of every rule that has as many."""
        return {".".join(name.rsplit(".", 2)[-2:]) for name in self._kinds if "." in name}

    def suffix(self, host: str) -> str | None:
        """The longest suffix of ``host`` (itself included) that these rules name, or None."""
        kinds, child, tail = self._kinds, "", host
        while True:
            kind = kinds.get(tail)
            if kind is not None:
                if kind & _EXCEPTION:
                    return tail.partition(".")[2]
                if kind & _WILDCARD and child:
                    return child
                if kind & _EXACT:
                    return tail
            child = tail
            tail = tail.partition(".")[2]
            if not tail:
                return None


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
        own = [_icann()] if policies is None else list(self._own.values())
        sections = [*own, _private(), *self._shared.values()]
        # below a plain TLD, a name whose last two labels no rule ends in is registered right there: nearly all are
        self._plain: set[str] = set().union(*(rules.plain_tlds() for rules in own))
        self._deep = set().union(*(rules.deep_names() for rules in sections))
        self._places: dict[str, Place | None] = {}
        self.last_labels: frozenset[str] | None = (
            None if self._policies is None else frozenset(tld.rpartition(".")[2] for tld in self._policies)
        )
        """Last labels of the served TLDs, a cheap test that spares a parse; None when all are served."""

    def place(self, host: str) -> Place | None:
        """Where an A-label host (lower case, no trailing dot) stands; None if not served or not registrable."""
        places = self._places
        if host in places:
            return places[host]
        place = self._place(host)
        if len(places) >= CACHE_LIMIT:
            places.clear()
        places[host] = place
        return place

    def registered_domain(self, host: str) -> str | None:
        """The registered domain of any host, whatever its TLD; None for addresses, suffixes and single labels."""
        if not well_formed(host) or host.rpartition(".")[2].isdigit():
            return None
        tld = self._served_tld(host)
        suffix = self._suffix(host, tld) if tld is not None else _icann().suffix(host)
        return _one_below(host, suffix or host.rpartition(".")[2])

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
        rest, _, tld = host.rpartition(".")
        label = rest.rpartition(".")[2]
        domain = f"{label}.{tld}"
        if tld in self._plain and label and domain not in self._deep:
            return Place(host, domain, tld, "registered" if host in (domain, "www." + domain) else "subordinate")
        if self._policies is None:
            tld, suffix = host.rpartition(".")[2], _icann().suffix(host)
        else:
            served = self._served_tld(host)
            if served is None:
                return None
            tld, suffix = served, self._suffix(host, served)
        below = _one_below(host, suffix) if suffix is not None else None
        return None if below is None else Place(host, below, tld, self._scope(host, below, tld))

    def _scope(self, host: str, domain: str, tld: str) -> Scope:
        for rules in (_private(), self._shared.get(tld)):
            suffix = rules.suffix(host) if rules is not None else None
            # below the service's suffix, and the service no wider than the registered domain
            if suffix is not None and suffix != host and (suffix == domain or suffix.endswith("." + domain)):
                return "shared"
        return "registered" if host in (domain, "www." + domain) else "subordinate"


def well_formed(host: str) -> bool:
    """Whether a host could be looked up: labels of 1 to 63 letters, digits, hyphens or underscores, 253 in all."""
    return len(host) <= 253 and _HOST.match(host) is not None


def ascii_name(name: str) -> str:
    """The A-label form of a name, lower case, no dots at its ends; unchanged where IDNA has no answer."""
    name = name.strip(".").lower()
    if name.isascii():
        return name
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError:
        return name


def zones_of(policy: TldPolicy) -> frozenset[str]:
    """Where below a TLD the registry may delegate from zones of its own: its registry zones and suffixes, not the TLD.

    A name server's referral to one of these says nothing of the names in it; wildcard rules name no zone.
    """
    return _own_rules(policy).exact() - {policy.tld}


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
def _sections() -> tuple[frozenset[str], frozenset[str]]:
    """(ICANN's rules, private rules) of the list as shipped; PanopticonError where tldextract's file is missing."""
    spec = importlib.util.find_spec("tldextract")
    try:
        text = spec.loader.get_data(str(Path(str(spec.origin)).with_name(LIST_FILE))).decode()  # type: ignore[union-attr]
    except (AttributeError, OSError) as error:
        raise PanopticonError("the Public Suffix List is missing; install tldextract again, its files whole") from error
    icann, _, private = text.partition(PRIVATE_SECTION)
    return _rules(icann), _rules(private)


def _rules(section: str) -> frozenset[str]:
    """The rules of one section: up to the first space of each line that is neither blank nor a comment."""
    lines = (line.split(None, 1) for line in section.splitlines())
    return frozenset(words[0] for words in lines if words and not words[0].startswith("//"))


def _listed() -> frozenset[str]:
    return _sections()[0]


@functools.cache
def _icann() -> Rules:
    return Rules(_listed())


@functools.cache
def _private() -> Rules:
    icann, private = _sections()
    return Rules(private - icann)
