"""Which RDAP service answers for an address: IANA's bootstrap registries for IPv4 and IPv6 (RFC 9224 section 5).

Read by arke's hoster rung, from files of the operator's or from their URLs; :mod:`panopticond.shared.rdap.network` asks
what is found here. A registry may send a question on to another (RFC 7480 section 5.2), so the services named in the
registries are also all that a redirect may lead to.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit

import msgspec
import trio

from panopticond.shared.errors import FetchError
from panopticond.shared.http import Http, is_inward
from panopticond.shared.values import url_fault

LIMIT_BYTES = 4 << 20
NETWORKS = 20_000
"""Networks kept of one registry; IANA's have some three hundred."""
URL_LIMIT = 2000
_PORTS = {"http": 80, "https": 443}
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Origin = tuple[str, str, int]


class Services(msgspec.Struct, frozen=True):
    """Base URLs by network, and the origins they have among them."""

    by_network: tuple[tuple[Network, str], ...] = ()
    origins: frozenset[Origin] = frozenset()

    def service_of(self, address: str) -> str | None:
        """The base URL for an address, by the longest network that holds it; None where no registry names one."""
        wanted = ipaddress.ip_address(address)
        held = [(network.prefixlen, url) for network, url in self.by_network if wanted in network]
        return max(held, default=(0, None))[1]

    def follow(self, url: str, location: str) -> str | None:
        """Where a redirect from ``url`` leads, or None where it may not: only to a service that the registries name."""
        if not 0 < len(location) <= URL_LIMIT:
            return None
        try:
            following = urljoin(url, location)
            return following if _origin(urlsplit(following)) in self.origins and _fit(following) else None
        except ValueError:
            return None


def services_of(registries: Iterable[tuple[bytes, bool]]) -> Services | None:
    """The services of several registries' bytes, each with whether it came from this host; None where one is none.

    Of a network's URLs the first https one counts. Plain http counts on loopback alone, and that only in a registry
    that this host gave: a stranger's cannot lead into it.
    """
    found: list[tuple[Network, str]] = []
    for body, own in registries:
        if (read := _networks(body, own=own)) is None:
            return None
        found += read
    return Services(tuple(found), frozenset(_origin(urlsplit(url)) for _, url in found))


async def load_services(http: Http, sources: Sequence[str], deadline_seconds: float) -> Services | str:
    """The services out of files and URLs, or in a word why not: a FetchError's, ``unreadable``, ``no-registry``."""
    registries: list[tuple[bytes, bool]] = []
    for source in sources:
        if "://" not in source:
            try:
                registries.append((await trio.to_thread.run_sync(_read, Path(source)), True))
            except OSError:
                return "unreadable"
            continue
        try:
            reply = await http.get(source, limit_bytes=LIMIT_BYTES, deadline_seconds=deadline_seconds, redirects=3)
        except FetchError as error:
            return error.reason
        if reply.status != 200:
            return "unexpected-status"
        registries.append((reply.body, is_inward(urlsplit(source).hostname or "")))
    return services_of(registries) or "no-registry"


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LIMIT_BYTES)


def _networks(body: bytes, *, own: bool) -> list[tuple[Network, str]] | None:
    try:
        services = json.loads(body)["services"]
        pairs = [(names, urls) for names, urls in services]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    found: list[tuple[Network, str]] = []
    for names, urls in pairs:
        if not isinstance(names, list) or not isinstance(urls, list):
            return None
        fit = [url for url in urls[:20] if isinstance(url, str) and _usable(url, own=own)]
        url = max(fit, key=lambda url: url.startswith("https"), default=None)
        if url is None:
            continue
        for name in names[: NETWORKS - len(found)]:
            try:
                found.append((ipaddress.ip_network(name), url))
            except ValueError:
                continue
    return found


def _usable(url: str, *, own: bool) -> bool:
    if not _fit(url):
        return False
    parts = urlsplit(url)
    inward = is_inward(parts.hostname or "")
    return (own or not inward) and (parts.scheme == "https" or (own and _loopback(parts.hostname or "")))


def _fit(url: str) -> bool:
    """Whether a stranger's URL is one that may be asked: bounded, plain, without user-info."""
    if len(url) > URL_LIMIT or not url.isascii() or not url.isprintable() or url_fault(url) is not None:
        return False
    return "@" not in urlsplit(url).netloc


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _origin(parts: SplitResult) -> Origin:
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
