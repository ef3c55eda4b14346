"""Is the name delegated now? Asked of the TLD's own servers with RD=0, never of a resolver's cache.

First probe of a round; the judge refines what it finds with the registration. One clean referral says ``delegated``;
two distinct servers that agree with authority say ``not-in-zone``; everything else is ``indeterminate`` with a reason.
The readings of single answers are in :mod:`panopticond.probe.referral`.
"""

from __future__ import annotations

import datetime as dt
import random
import secrets
from collections.abc import Mapping, Sequence

import msgspec
import trio

from panopticond.model import Observation
from panopticond.probe.dnsclient import Answer, DnsClient
from panopticond.probe.guard import Guard
from panopticond.probe.nameservers import NameServers, Server
from panopticond.probe.referral import Reading, below, read, read_ds

_DEPTH_LIMIT = 4
_ASKED_LIMIT = 6
_UNKNOWN_LIMIT = 4
_SULK_SECONDS = 30.0
_LEARNT_LIMIT = 1024
_DAY = dt.timedelta(hours=24)
_LAG = dt.timedelta(hours=1)


class ZonePolicy(msgspec.Struct, frozen=True):
    """What the configuration says of one TLD's delegations. Names are lower-case A-labels without the final dot."""

    tld: str
    servers: tuple[str, ...] = ()
    """``address:port`` each; empty: found from the root. Two at least are needed to deny anything."""
    registry_zones: frozenset[str] = frozenset()
    hold_ns: frozenset[str] = frozenset()
    hold_ip: frozenset[str] = frozenset()
    zone_servers: Mapping[str, tuple[str, ...]] = {}
    """Servers of registry zones that are served apart, by zone; others are found by following referrals."""


class _Finding(msgspec.Struct, frozen=True):
    """What one server's answers, taken together, say."""

    what: str
    """delegated, exists (in the parent, by DS alone), absent, registry (follow), alias (follow), unknown."""
    owner: str = ""
    zone: str = ""
    ns: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    serial: int | None = None
    reason: str = ""
    referral: Reading | None = None


class _ZoneState:
    """What is remembered of a zone between checks."""

    def __init__(self) -> None:
        self.lock = trio.Lock()
        self.tested: dt.datetime | None = None
        self.wild_name = False
        """A name nobody registered exists: NODATA is as good as a denial ..."""
        self.wild_address = False
        """... and has addresses: in-zone addresses prove nothing."""
        self.newest: tuple[int, dt.datetime] | None = None
        self.floor: tuple[int, dt.datetime] | None = None

    def stale(self, serial: int | None, now: dt.datetime) -> bool:
        """The serial is older than one that was known an hour ago; what nobody confirmed for a day is forgotten."""
        if serial is None:
            return False
        if self.newest is None or now - self.newest[1] > _DAY:
            self.newest, self.floor = (serial, now), None
            return False
        settled = now - self.newest[1] >= _LAG
        if _newer(serial, self.newest[0]):
            if settled:
                self.floor, self.newest = self.newest, (serial, now)
            return False
        if serial == self.newest[0] and settled:
            self.floor = self.newest = (serial, now)
        return self.floor is not None and _newer(self.floor[0], serial)


class Delegations:
    """The delegation probe of every served TLD; ``roots`` as ``address:port``, empty for the shipped hints."""

    def __init__(
        self,
        client: DnsClient,
        policies: Mapping[str, ZonePolicy],
        *,
        roots: Sequence[str] = (),
        guard: Guard | None = None,
        wildcard_test_seconds: float = 86400.0,
    ) -> None:
        self._client = client
        self._policies = dict(policies)
        pinned: dict[str, Sequence[str]] = {policy.tld: policy.servers for policy in policies.values()}
        for policy in policies.values():
            pinned.update(policy.zone_servers)
        self._nameservers = NameServers(client, pinned, roots, guard or Guard())
        self._wildcard_every = dt.timedelta(seconds=wildcard_test_seconds)
        self._zones: dict[str, _ZoneState] = {}
        self._learnt: dict[str, tuple[bool, dt.datetime]] = {}
        self._sulking: dict[str, float] = {}

    async def check(self, host: str, tld: str, now: dt.datetime) -> Observation:
        """The delegation of the name ``host`` belongs to, as an observation at policy time ``now``; never raises."""
        host = host.lower().rstrip(".")
        policy = self._policies.get(tld)
        if policy is None or not below(host, tld):
            reason = "no-policy" if policy is None else "not-below-tld"
            return Observation("delegation", host, "direct", now, "indeterminate", {"reason": reason})
        inquiry = _Inquiry(policy, now)
        zone, name, servers = tld, host, await self._nameservers.of(tld, now)
        alias = ""
        for _ in range(_DEPTH_LIMIT):
            finding = await self._decide(inquiry, zone, name, servers)
            if finding.what == "registry" and finding.referral is not None:
                zone = finding.owner
                inquiry.absent.clear()
                servers = await self._nameservers.learn(zone, finding.referral, _port(inquiry.asked), now)
            elif finding.what == "alias" and not alias and below(finding.owner, tld):
                alias, name, zone, servers = name, finding.owner, tld, await self._nameservers.of(tld, now)
                inquiry.absent.clear()
            else:
                break
        if finding.what == "alias" and not alias:
            # The name's own record in the zone leads elsewhere: it is there, whatever the target is.
            finding = _Finding("delegated", name, zone, reason="alias")
        elif finding.what in ("registry", "alias"):
            finding = _Finding("unknown", zone=zone, reason="too-deep")
        elif alias and finding.what == "delegated":
            finding = msgspec.structs.replace(finding, reason="alias")
        return self._observation(inquiry, host, finding)

    async def _decide(self, inquiry: _Inquiry, zone: str, name: str, servers: Sequence[Server]) -> _Finding:
        """Ask server after server until one says delegated, or two deny it, or there is nobody left."""
        unknown: list[_Finding] = []
        exists: _Finding | None = None
        for server in self._order(servers)[:_ASKED_LIMIT]:
            if len(unknown) >= _UNKNOWN_LIMIT:
                break
            if server.name in inquiry.absent:
                continue
            inquiry.asked.append(server.text)
            finding = await self._ask(inquiry, server, zone, name)
            if finding.what in ("delegated", "registry", "alias"):
                return finding
            if finding.what == "unknown":
                unknown.append(finding)
                self._sulking[server.text] = trio.current_time() + _SULK_SECONDS
            elif finding.what == "exists":
                exists = exists or finding
            else:
                inquiry.absent[server.name] = finding
            if len(inquiry.absent) >= 2:
                return finding
        if exists is not None and not inquiry.absent:
            return msgspec.structs.replace(exists, what="delegated", reason="co-hosted")
        if not servers:
            return _Finding("unknown", zone=zone, reason="no-servers")
        if exists is not None:
            return _Finding("unknown", zone=zone, reason="disagree")
        if len({server.name for server in servers}) == 1 and inquiry.absent:
            return _Finding("unknown", zone=zone, reason="one-server")
        return unknown[0] if unknown else _Finding("unknown", zone=zone, reason="one-server")

    async def _ask(self, inquiry: _Inquiry, server: Server, zone: str, name: str) -> _Finding:
        """Everything one server has to say of the name."""
        answer = await self._client.query(server.text, name, "NS", recursion=False)
        reading = read(answer, zone, name)
        if reading.what == "unknown":
            return _Finding("unknown", zone=zone, reason=reading.reason)
        state = await self._zone(zone, server, inquiry.now)
        if reading.what == "referral":
            if reading.owner != name and self._is_registry(inquiry, reading.owner):
                return _Finding("registry", reading.owner, zone, referral=reading)
            return _Finding("delegated", reading.owner, zone, ns=reading.names)
        if reading.what == "child" and reading.owner != name:
            known = self._is_registry(inquiry, reading.owner)
            if known or await self._learn(inquiry, server, zone, reading.owner):
                zone = reading.owner
                reading = read(answer, zone, name)
                state = await self._zone(zone, server, inquiry.now)
        if reading.what == "child":
            return await self._at_parent(server, zone, reading)
        if reading.what == "alias":
            if state.wild_address:
                return _Finding("absent", name, zone, reason="wildcard")
            return _Finding("alias", reading.owner, zone)
        if state.stale(reading.serial, inquiry.now):
            return _Finding("unknown", zone=zone, serial=reading.serial, reason="stale-server")
        if reading.what == "nodata" and state.tested is None:
            return _Finding("unknown", zone=zone, reason="wildcard-untested")
        found = None if state.wild_address else await self._in_zone(server, zone, name, reading)
        if found is not None:
            return found
        reason = "nodata" if reading.what == "nodata" else ""
        return _Finding("absent", name, zone, serial=reading.serial, reason=reason)

    async def _at_parent(self, server: Server, zone: str, reading: Reading) -> _Finding:
        """A child zone on the parent's server may have outlived its delegation: DS is for the parent to answer."""
        says = read_ds(await self._client.query(server.text, reading.owner, "DS", recursion=False), zone, reading.owner)
        if says == "unknown":
            return _Finding("unknown", zone=zone, reason="co-hosted")
        what = {"signed": "delegated", "exists": "exists", "absent": "absent"}[says]
        return _Finding(what, reading.owner, zone, ns=reading.names, reason="co-hosted")

    async def _in_zone(self, server: Server, zone: str, name: str, reading: Reading) -> _Finding | None:
        """The name's own address records in the zone, or those of the name its holder registered above it."""
        labels = name[: -len(zone) - 1].split(".")
        names = [".".join([*labels[at:], zone]) for at in range(len(labels) - 1, -1, -1)][:_DEPTH_LIMIT]
        if reading.what == "absent":
            names = [candidate for candidate in names if candidate != name]
        for candidate in names:
            for kind in ("A", "AAAA"):
                got = read(await self._client.query(server.text, candidate, kind, recursion=False), zone, candidate)
                if got.what == "address":
                    return _Finding("delegated", candidate, zone, addresses=got.names, reason="in-zone")
                if got.what == "unknown":
                    return _Finding("unknown", zone=zone, reason=got.reason)
                if got.what == "absent":
                    return None  # and so is everything below it (RFC 8020)
        return None

    async def _zone(self, zone: str, server: Server, now: dt.datetime) -> _ZoneState:
        """The zone's state; once a day a name nobody has is asked for, to know a wildcard (RFC 4592)."""
        state = self._zones.setdefault(zone, _ZoneState())
        if state.tested is not None and abs(now - state.tested) < self._wildcard_every:
            return state
        async with state.lock:
            if state.tested is None or abs(now - state.tested) >= self._wildcard_every:
                label = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(20))
                name = f"{label}.{zone}"
                got = read(await self._client.query(server.text, name, "A", recursion=False), zone, name)
                if got.what in ("absent", "nodata", "address", "alias"):
                    state.tested = now
                    state.wild_name = got.what != "absent"
                    state.wild_address = got.what in ("address", "alias")
        return state

    def _is_registry(self, inquiry: _Inquiry, zone: str) -> bool:
        return zone in inquiry.policy.registry_zones or self._learnt.get(zone, (False, None))[0]

    async def _learn(self, inquiry: _Inquiry, server: Server, zone: str, child: str) -> bool:
        """Whether ``child`` is a registry's own zone: its servers are all the parent's. Remembered for a day."""
        known = self._learnt.get(child)
        if known is not None and abs(inquiry.now - known[1]) < _DAY:
            return known[0]
        names = []
        for apex in (zone, child):
            got = await self._client.query(server.text, apex, "NS", recursion=False)
            if not isinstance(got, Answer) or not got.aa:
                return False
            names.append({record.data for record in got.answer if record.kind == "NS" and record.name == apex})
        own = bool(names[1]) and names[1] <= names[0]
        if len(self._learnt) >= _LEARNT_LIMIT:
            self._learnt.clear()
        self._learnt[child] = (own, inquiry.now)
        return own

    def _order(self, servers: Sequence[Server]) -> list[Server]:
        """At random, but IPv4 first, and servers that failed within the half minute last."""
        now = trio.current_time()
        order = random.sample(list(servers), len(servers))
        order.sort(key=lambda server: (self._sulking.get(server.text, 0.0) > now, server.text.startswith("[")))
        return order

    def _observation(self, inquiry: _Inquiry, host: str, finding: _Finding) -> Observation:
        outcome = {"delegated": "delegated", "absent": "not-in-zone"}.get(finding.what, "indeterminate")
        holds = (inquiry.policy.hold_ns, finding.ns), (inquiry.policy.hold_ip, finding.addresses)
        if outcome == "delegated" and any(values and set(values) <= hold for hold, values in holds):
            outcome = "held"
        state = self._zones.get(finding.zone)
        serial = finding.serial
        if serial is None and outcome == "not-in-zone":
            serial = next((f.serial for f in inquiry.absent.values() if f.serial is not None), None)
        detail = {
            "reason": finding.reason,
            "owner": finding.owner if outcome != "indeterminate" else "",
            "zone": finding.zone,
            "servers": " ".join(dict.fromkeys(inquiry.asked)),
            "ns": " ".join(finding.ns),
            "serial": "" if serial is None else str(serial),
            "wildcard": "1" if state is not None and state.wild_name else "",
            "address": " ".join(finding.addresses),
            "agreeing": str(len(inquiry.absent)) if inquiry.absent and outcome != "delegated" else "",
        }
        shown = {key: value for key, value in detail.items() if value}
        return Observation("delegation", host, "direct", inquiry.now, outcome, shown)


class _Inquiry:
    """One check on its way: who was asked and who denied."""

    def __init__(self, policy: ZonePolicy, now: dt.datetime) -> None:
        self.policy, self.now = policy, now
        self.asked: list[str] = []
        self.absent: dict[str, _Finding] = {}


def _newer(one: int, other: int) -> bool:
    """Serial number arithmetic (RFC 1982)."""
    return 0 < (one - other) % (1 << 32) < 1 << 31


def _port(asked: Sequence[str]) -> int:
    return int(asked[-1].rpartition(":")[2]) if asked else 53
