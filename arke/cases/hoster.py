"""Who hosts it: the abuse desk of the network that holds a host's address, looked up when it is to be told.

Beside enrich, for the one rung whose party is no contact of the domain. Host to address by the re-check's resolvers,
address to service by IANA's bootstrap registries, network by RDAP, asked as anybody may: the registry's own account is
for its own server. What cannot be known now leaves the hoster due; nothing of an answer is kept for the next case.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Iterable, Sequence

import msgspec
import trio

from arke.cases.enrich import usable
from arke.cases.settings import Hoster
from arke.mail.assemble import usable_address
from arke.model import Contact, Place
from panopticond.probe.guard import Guard
from panopticond.shared.clock import Clock
from panopticond.shared.http import Http
from panopticond.shared.ratelimit import Buckets
from panopticond.shared.rdap.domain import RdapProblem
from panopticond.shared.rdap.network import RdapNetwork, fetch_network
from panopticond.shared.rdap.services import Services, load_services
from panopticond.shared.settings import seconds

CONCURRENCY = 4  # questions at once to one service; one that is slow holds up no other
HOSTS = 20  # hosts of one case that are resolved
ADDRESSES = 4  # addresses of one case whose networks are asked for; most cases have one
QUIET_TIMES = 4.0  # a service that failed is left alone for so many times as long as an answer may take, real time
LONGEST_QUIET_SECONDS = 3600.0  # real, whatever pause a server asks for
REGISTRIES_LAST_SECONDS = 86_400.0  # real: IANA's registries change a few times a year
BOOTSTRAP_SECONDS = 20.0
_ILL = frozenset({"rate-limited", "server-error", "unreachable", "timeout", "tls", "cut-short", "protocol"})
"""Faults of a service rather than of one answer."""
_PASSING = frozenset(
    {
        *_ILL, "quiet", "bootstrap", "unresolved", "unauthorised", "refused", "redirect-refused", "unexpected-status",
        "not-json", "too-large", "too-deep", "other-object",
    }
)  # fmt: skip
TRANSIENT = frozenset(f"hoster-{word}" for word in _PASSING)
"""Problems that say nothing of the network: the hoster stays due and is looked up again."""
Resolve = Callable[[str], Awaitable[tuple[str, ...] | None]]


class Hosting(msgspec.Struct, frozen=True):
    """The hosters of a case's hosts, each with the hosts in its network; or why some have none."""

    contacts: tuple[Contact, ...] = ()
    problem: str = ""
    """Why a host has nobody to be told, as ``hoster-redacted``: said of its network, or of itself."""
    waits: str = ""
    """The same for a passing reason, one of :data:`TRANSIENT`."""


class Hosters:
    """Looks up hosters; ``resolve`` gives a host's addresses, or None where nobody could be asked."""

    def __init__(
        self, http: Http, settings: Hoster, clock: Clock, *, resolve: Resolve, guard: Guard, own: Sequence[str]
    ) -> None:
        self._http = http
        self._settings = settings
        self._clock = clock
        self._resolve = resolve
        self._guard = guard
        self._own = tuple(own)
        self._slots: dict[str, trio.CapacityLimiter] = {}
        self._buckets = Buckets(settings.rate, burst=CONCURRENCY)
        self._quiet: dict[str, float] = {}
        self._services: Services | None = None
        self._loading = trio.Lock()
        self._loaded_at = 0.0

    async def of(self, hosts: Iterable[str]) -> Hosting:
        """The hosters of these hosts now, an abuse desk once with all its hosts; what is left out is said."""
        wanted = sorted(set(hosts))
        places, problem, waits = await self._places(wanted[:HOSTS])
        addresses = list(dict.fromkeys(place.address for place in places))
        if len(wanted) > HOSTS or len(addresses) > ADDRESSES:
            problem = problem or "hoster-too-many"
        found: dict[str, tuple[str, list[Place]]] = {}
        for address in addresses[:ADDRESSES]:
            answer = await self._network(address)
            desk, reason = (None, answer.reason) if isinstance(answer, RdapProblem) else abuse_desk(answer, self._own)
            if desk is not None:
                here = [place for place in places if place.address == address]
                found.setdefault(desk.lower(), (desk, []))[1].extend(here)
            elif reason in _PASSING:
                waits = waits or f"hoster-{reason}"
            else:
                problem = problem or f"hoster-{reason}"
        contacts = tuple(Contact("hoster", desk, "rdap", tuple(held)) for desk, held in found.values())
        return Hosting(contacts, problem, waits)

    async def _places(self, hosts: Sequence[str]) -> tuple[list[Place], str, str]:
        """(where each host is, why one is nowhere that can be asked about, why one could not be resolved)."""
        places: list[Place] = []
        problem = waits = ""
        for host in hosts:
            addresses = await self._resolve(host)
            if addresses is None:
                waits = "hoster-unresolved"
                continue
            address = one_address([text for text in addresses if self._guard.refuse_address(text) is None])
            if address is None:
                problem = "hoster-not-public" if addresses else "hoster-no-address"
                continue
            places.append(Place(host, address, self._clock.now()))
        return places, problem, waits

    async def _network(self, address: str) -> RdapNetwork | RdapProblem:
        services = await self._registries()
        if services is None:
            return RdapProblem("bootstrap")
        service = services.service_of(address)
        if service is None:
            return RdapProblem("no-service")
        async with self._slots.setdefault(service, trio.CapacityLimiter(CONCURRENCY)):
            if trio.current_time() < self._quiet.get(service, 0.0):
                return RdapProblem("quiet")
            await self._buckets.take(service)
            timeout_seconds = seconds(self._settings.timeout)
            answer = await fetch_network(self._http, services, address, deadline_seconds=timeout_seconds)
        if isinstance(answer, RdapProblem) and answer.reason in _ILL:
            self._leave_alone(service, float(answer.retry_after_seconds or 0))
        return answer

    def _leave_alone(self, service: str, asked_seconds: float = 0.0) -> None:
        pause_seconds = max(QUIET_TIMES * seconds(self._settings.timeout), min(asked_seconds, LONGEST_QUIET_SECONDS))
        self._quiet[service] = trio.current_time() + pause_seconds

    async def _registries(self) -> Services | None:
        """The bootstrap registries, read anew after a day; an older reading serves while no newer one can be had."""
        async with self._loading:
            old = self._services is None or trio.current_time() - self._loaded_at > REGISTRIES_LAST_SECONDS
            if old and trio.current_time() >= self._quiet.get("", 0.0):
                found = await load_services(self._http, self._settings.bootstrap, BOOTSTRAP_SECONDS)
                if isinstance(found, Services):
                    self._services, self._loaded_at = found, trio.current_time()
                else:
                    self._leave_alone("")
            return self._services


def one_address(addresses: Iterable[str]) -> str | None:
    """The address that stands for a host: the lowest of IPv4, else of IPv6, the same at every look (pure)."""
    return min((str(ipaddress.ip_address(text)) for text in addresses), key=_order, default=None)


def _order(text: str) -> tuple[int, int]:
    address = ipaddress.ip_address(text)
    return address.version, int(address)


def abuse_desk(network: RdapNetwork, own: Sequence[str]) -> tuple[str | None, str]:
    """(the first usable abuse address of a network, or None; then why there is none) (pure)."""
    problem = ""
    for contact in network.abuse:
        refused = contact.problem if contact.email is None else usable(contact.email, own)
        if contact.email is not None and not refused:
            return usable_address(contact.email), ""
        problem = problem or refused
    return None, problem or "no-abuse-contact"
