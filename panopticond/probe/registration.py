"""Is the domain registered, since when, by which registrar? The TLD's public RDAP service (RFC 9083), no contacts.

One of the round's domain-level probes. A 404 means ``nonexistent`` only from the registry's own server; everything that
is no domain object and no such 404 is ``indeterminate`` with its reason. Contacts are skipped by the JSON decoder
(:mod:`panopticond.shared.rdap.domain`), so this daemon never holds one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec
import trio

from panopticond.model import Observation
from panopticond.shared.clock import rfc3339
from panopticond.shared.http import Http
from panopticond.shared.ratelimit import Buckets, Rate
from panopticond.shared.rdap.domain import RdapProblem, fetch_domain

DEADLINE_SECONDS = 20.0
CONCURRENCY = 4
"""Requests at a time and server: RedDog answers 429 beyond 20 simultaneous ones of a client."""
LONGEST_WAIT_SECONDS = 3600.0


class RdapServer(msgspec.Struct, frozen=True):
    """Where a TLD's public RDAP is."""

    url: str
    """The base URL, as ``https://rdap.nic.example/``."""
    authoritative: bool = True
    """Whether its 404 means that the name does not exist."""


class Registrations:
    """Asks the RDAP server of a domain's TLD, gently: a rate and a small concurrency for each server."""

    def __init__(
        self,
        http: Http,
        servers: Mapping[str, RdapServer],
        *,
        rate_per_second: float = 1.0,
        rate: Rate | None = None,
    ) -> None:
        """``servers`` by TLD; a TLD without one is never asked. ``rate_per_second`` is real time, each server's.

        ``rate`` stands in for our own buckets where several hosts share one.
        """
        self._http = http
        self._servers = dict(servers)
        self._buckets = rate if rate is not None else Buckets(rate_per_second)
        self._slots: dict[str, trio.CapacityLimiter] = {}
        self._wait_until: dict[str, float] = {}

    async def check(self, domain: str, tld: str, now: dt.datetime) -> Observation:
        """A ``registration`` observation: registered, nonexistent or indeterminate; ``now`` is policy time."""
        server = self._servers.get(tld)
        if server is None:
            return _observation(domain, now, "indeterminate", {"reason": "no-rdap"})
        host = urlsplit(server.url).netloc
        detail = {"server": host}
        async with self._slots.setdefault(host, trio.CapacityLimiter(CONCURRENCY)):
            if trio.current_time() < self._wait_until.get(host, 0.0):
                return _observation(domain, now, "indeterminate", detail | {"reason": "rate-limited"})
            await self._buckets.take(host)
            found = await fetch_domain(
                self._http,
                server.url,
                domain,
                deadline_seconds=DEADLINE_SECONDS,
                authoritative=server.authoritative,
            )
        if isinstance(found, RdapProblem):
            if found.reason == "not-found":
                return _observation(domain, now, "nonexistent", detail)
            if found.retry_after_seconds is not None:
                wait = min(float(found.retry_after_seconds), LONGEST_WAIT_SECONDS)
                self._wait_until[host] = trio.current_time() + wait
            return _observation(domain, now, "indeterminate", detail | {"reason": found.reason})
        if found.registered is not None:
            detail["registered"] = rfc3339(found.registered)
        if found.statuses:
            detail["status"] = ",".join(found.statuses)
        if found.registrar:
            detail["registrar"] = found.registrar
        if found.registrar_id:
            detail["registrar_id"] = found.registrar_id
        return _observation(domain, now, "registered", detail)


def _observation(domain: str, now: dt.datetime, outcome: str, detail: Mapping[str, str]) -> Observation:
    return Observation("registration", domain, "direct", now, outcome, dict(detail))
