"""The world indexed for its servers: what a name is, at the clock's time."""

from __future__ import annotations

import datetime as dt
import gzip
from collections import Counter
from pathlib import Path

from panopticond.shared.clock import Clock
from tests.lab.hands import Hands
from tests.lab.model import Behaviour, Domain, Host, World

CONTROL_HOST = "control.lab.test"


class Internet:
    """Every lookup the servers make; all of them by the policy clock."""

    def __init__(self, world: World, clock: Clock | Hands, requests: Counter[str]) -> None:
        self.world = world
        self.clock = clock
        self.requests = requests
        self.arrivals: dict[int, list[float]] = {}
        """When each of the TLD's servers was asked, by its number: real seconds since some moment."""
        self.domains: dict[str, Domain] = {}
        self.hosts: dict[str, Host] = {}
        for domain in world.domains:
            self.domains.setdefault(domain.name, domain)
            for host in domain.hosts:
                self.hosts.setdefault(host.name, host)
        self.owner: dict[str, str] = {host.name: domain.name for domain in world.domains for host in domain.hosts}
        self.registered = set(world.quiet_names)
        for zone, path in getattr(world, "zone_files", {}).items():
            self.registered |= _owners(Path(path), zone)
        self.country = dict(world.vantages)

    def now(self) -> dt.datetime:
        return self.clock.now()

    def domain_of(self, name: str) -> str | None:
        """The registered domain a name is at or below, or None where the world has none."""
        labels = name.split(".")
        for at in range(len(labels) - 1):
            candidate = ".".join(labels[at:])
            if candidate in self.domains or candidate in self.registered or candidate in self.world.shared_services:
                return candidate
        return None

    def zone_of(self, name: str) -> str | None:
        """The registry's zone a name stands in: a registry zone, else the TLD, else None."""
        for zone in self.world.registry_zones:
            if name == zone or name.endswith("." + zone):
                return zone
        tld = name.rsplit(".", 1)[-1]
        return tld if tld in self.world.tlds else None

    def delegation(self, domain: str) -> str:
        """delegated, absent, hold-ns, servfail or in-zone, now."""
        known = self.domains.get(domain)
        if known is None:
            return "delegated" if domain in self.registered or domain in self.world.shared_services else "absent"
        now = self.now()
        return next((entry.kind for entry in reversed(known.delegation) if entry.start <= now), "absent")

    def addresses(self, name: str) -> tuple[str, ...]:
        """Addresses of a host now; () is NODATA, ``("nxdomain",)`` NXDOMAIN."""
        host = self.hosts.get(name)
        if host is None:
            return ("127.0.0.1",) if name in self.registered else ("nxdomain",)
        now = self.now()
        return next((what for start, what in reversed(host.addresses) if start <= now), ())

    def behaviour(self, name: str) -> Behaviour | None:
        """What a web host does now, or None where nothing answers."""
        host = self.hosts.get(name)
        if host is None:
            return None
        now = self.now()
        return next((entry for entry in reversed(host.timeline) if entry.start <= now), None)

    def serial(self) -> int:
        """A SOA serial that grows with policy time."""
        return int(self.now().timestamp()) & 0xFFFFFFFF


def _owners(path: Path, zone: str) -> set[str]:
    """Owners with NS records in a canonical master file: one record a line, tab separated, absolute names."""
    owners = set()
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for line in lines:
            fields = line.split("\t")
            if len(fields) >= 5 and fields[3] == "NS":
                owners.add(fields[0].rstrip(".").lower())
    owners.discard(zone)
    return owners
