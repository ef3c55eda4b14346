"""Which servers speak for a zone: configured ones, or found from the root and kept for a day.

Under :mod:`panopticond.probe.delegation`. A walk follows referrals from the roots (RFC 1034 5.3.3) with RD=0 under a
budget of questions; what it finds is vetted by the guard, what is configured is the operator's word.
"""

from __future__ import annotations

import csv
import datetime as dt
import random
from collections.abc import Mapping, Sequence
from importlib import resources

import msgspec
import trio

from panopticond.probe.dnsclient import Answer, DnsClient
from panopticond.probe.guard import Guard
from panopticond.probe.referral import Reading, below, read

_REFRESH = dt.timedelta(hours=24)
_BUDGET_QUERIES = 48
_DEPTH_LIMIT = 2
_ADDRESSES_PER_ZONE = 32


class Server(msgspec.Struct, frozen=True):
    """One server of a zone: two servers of the same ``name`` (its IPv4 and IPv6 address, say) count as one witness."""

    name: str
    text: str
    """``address:port``."""


def shipped_roots() -> tuple[str, ...]:
    """The root servers' addresses as shipped, ``address:53`` each, IPv4 first."""
    text = resources.files("panopticond.probe").joinpath("data/roots.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(sorted((_text(row["address"], 53) for row in rows), key=lambda text: text.startswith("[")))


class _Known(msgspec.Struct):
    servers: tuple[Server, ...]
    found: dt.datetime


class _Budget:
    """How many questions one walk may still ask."""

    def __init__(self) -> None:
        self.left = _BUDGET_QUERIES

    def spend(self) -> bool:
        self.left -= 1
        return self.left >= 0


class NameServers:
    """The servers of each zone asked about; ``pinned`` maps a zone to its servers' ``address:port`` texts."""

    def __init__(
        self, client: DnsClient, pinned: Mapping[str, Sequence[str]], roots: Sequence[str], guard: Guard
    ) -> None:
        self._client, self._guard = client, guard
        self._pinned = {zone: tuple(Server(text, text) for text in texts) for zone, texts in pinned.items() if texts}
        self._roots = tuple(roots) or shipped_roots()
        self._known: dict[str, _Known] = {}
        self._lock = trio.Lock()

    async def of(self, zone: str, now: dt.datetime) -> tuple[Server, ...]:
        """The zone's servers; empty if none could be found. A failed refresh keeps what was known."""
        if zone in self._pinned:
            return self._pinned[zone]
        known = self._known.get(zone)
        if known is not None and abs(now - known.found) < _REFRESH:
            return known.servers
        async with self._lock:
            known = self._known.get(zone)
            if known is None or abs(now - known.found) >= _REFRESH:
                found = await self._find(zone)
                if found or known is None:
                    # An empty find is not kept: the next check looks again.
                    known = _Known(found, now)
                    if found:
                        self._known[zone] = known
            return known.servers

    async def learn(self, zone: str, referral: Reading, port: int, now: dt.datetime) -> tuple[Server, ...]:
        """The servers a referral names for ``zone``, resolved where glue is missing; kept for a day."""
        if zone in self._pinned:
            return self._pinned[zone]
        known = self._known.get(zone)
        if known is not None and abs(now - known.found) < _REFRESH:
            return known.servers
        servers = await self._named(referral, port, _Budget(), 0)
        if servers:
            self._known[zone] = _Known(servers, now)
        return servers

    async def _find(self, zone: str) -> tuple[Server, ...]:
        budget = _Budget()
        got = await self._walk(zone, "NS", budget, 0)
        if got is None:
            return ()
        reading, port = got
        return await self._named(reading, port, budget, 0)

    async def _walk(self, name: str, kind: str, budget: _Budget, depth: int) -> tuple[Reading, int] | None:
        """The reading that ends the walk (a referral at ``name``, or its addresses) and the port of who gave it."""
        zone, texts = "", list(self._roots)
        while True:
            reading, port = await self._ask(texts, zone, name, kind, budget)
            if reading is None:
                return None
            if reading.what == "referral" and not (kind == "NS" and reading.owner == name):
                zone = reading.owner
                servers = await self._named(reading, port, budget, depth)
                texts = [server.text for server in servers]
                continue
            ends = ("referral", "child") if kind == "NS" else ("address",)
            return (reading, port) if reading.what in ends else None

    async def _ask(
        self, texts: list[str], zone: str, name: str, kind: str, budget: _Budget
    ) -> tuple[Reading | None, int]:
        order = random.sample(texts, len(texts))
        order.sort(key=lambda text: text.startswith("["))
        for text in order[:4]:
            if not budget.spend():
                break
            answer = await self._client.query(text, name, kind, recursion=False)
            reading = read(answer, zone, name)
            if reading.what == "child" and isinstance(answer, Answer):
                glue = tuple((r.name, r.data) for r in answer.additional if r.kind in ("A", "AAAA"))
                reading = msgspec.structs.replace(reading, glue=glue)
            if reading.what != "unknown":
                return reading, int(text.rpartition(":")[2])
        return None, 53

    async def _named(self, reading: Reading, port: int, budget: _Budget, depth: int) -> tuple[Server, ...]:
        """The addresses of a reading's NS targets: glue, else by walks of their own."""
        servers = [Server(name, _text(address, port)) for name, address in reading.glue if self._allowed(address)]
        if not servers and depth < _DEPTH_LIMIT:
            for name in reading.names[:4]:
                got = None if below(name, reading.owner) else await self._walk(name, "A", budget, depth + 1)
                if got is not None:
                    servers += [
                        Server(name, _text(address, port)) for address in got[0].names if self._allowed(address)
                    ]
                if len({server.name for server in servers}) >= 2:
                    break
        return tuple(servers[:_ADDRESSES_PER_ZONE])

    def _allowed(self, address: str) -> bool:
        return self._guard.refuse_address(address) is None


def _text(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
