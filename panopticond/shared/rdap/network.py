"""RDAP network objects (RFC 9082 section 3.1.1, RFC 9083 section 5.4): who answers for abuse at an address.

arke's hoster rung asks for them, anonymously: no credential of anybody's ever goes along. Read as tolerantly and as
warily as domain objects (:mod:`panopticond.shared.rdap.domain`); of the contacts only those of role ``abuse`` are read.
"""

from __future__ import annotations

import ipaddress

import msgspec
import trio

from panopticond.shared.errors import FetchError
from panopticond.shared.http import Http
from panopticond.shared.rdap.contacts import RdapContact, contacts_of
from panopticond.shared.rdap.domain import BODY_BYTES, NESTING, REDIRECTS, RdapProblem, nesting, plain, status_problem
from panopticond.shared.rdap.services import Services

WIDEST = {4: 8, 6: 16}
"""Shortest prefix, by version, of a network that somebody holds: what is wider is a registry's own block."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class RdapNetwork(msgspec.Struct, frozen=True):
    """The network that holds the address asked for, and its abuse contacts: addresses, or why there are none."""

    first: str
    last: str
    abuse: tuple[RdapContact, ...] = ()


class _Network(msgspec.Struct):
    """The members read; every other one is skipped without becoming an object."""

    objectClassName: msgspec.Raw = msgspec.Raw()  # noqa: N815 - RFC 9083's spelling
    startAddress: msgspec.Raw = msgspec.Raw()  # noqa: N815
    endAddress: msgspec.Raw = msgspec.Raw()  # noqa: N815
    entities: msgspec.Raw = msgspec.Raw()
    redacted: msgspec.Raw = msgspec.Raw()


async def fetch_network(
    http: Http, services: Services, address: str, *, deadline_seconds: float = 20.0
) -> RdapNetwork | RdapProblem:
    """Ask the service of an address for ``ip/<address>`` and read the answer; nothing is raised for what a server does.

    Three redirects are followed in all, each to a service of the bootstrap registries and to no other; the deadline is
    for the whole chain. ``no-service`` where the registries name nobody for this address.
    """
    base = services.service_of(address)
    if base is None:
        return RdapProblem("no-service")
    url = f"{base.rstrip('/')}/ip/{address}"
    until = trio.current_time() + deadline_seconds
    for _ in range(REDIRECTS + 1):
        left_seconds = until - trio.current_time()
        if left_seconds <= 0:
            return RdapProblem("timeout")
        try:
            reply = await http.get(
                url,
                headers={"accept": "application/rdap+json, application/json;q=0.8"},
                limit_bytes=BODY_BYTES,
                deadline_seconds=left_seconds,
            )
        except FetchError as error:
            return RdapProblem(error.reason)
        if reply.status == 200:
            return parse_network(reply.body, address)
        if reply.status not in _REDIRECTS:
            return status_problem(reply.status, reply.headers, authoritative=True)
        following = services.follow(url, reply.headers.get("location", ""))
        if following is None:
            break
        url = following
    return RdapProblem("redirect-refused")


def parse_network(body: bytes, address: str) -> RdapNetwork | RdapProblem:
    """The network in a 200 answer's body, if it holds the address asked for; ``too-wide`` is a registry's own block."""
    if len(body) > BODY_BYTES:
        return RdapProblem("too-large", 200)
    if nesting(body) > NESTING:
        return RdapProblem("too-deep", 200)
    try:
        members = msgspec.json.decode(body, type=_Network)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return RdapProblem("not-json", 200)
    first, last = _address(plain(members.startAddress)), _address(plain(members.endAddress))
    if plain(members.objectClassName) not in (None, "ip network") or first is None or last is None:
        return RdapProblem("other-object", 200)
    wanted = ipaddress.ip_address(address)
    if not first.version == last.version == wanted.version or not int(first) <= int(wanted) <= int(last):
        return RdapProblem("other-object", 200)
    if int(last) - int(first) >= 1 << (wanted.max_prefixlen - WIDEST[wanted.version]):
        return RdapProblem("too-wide", 200)
    contacts = contacts_of(plain(members.entities), plain(members.redacted), wanted=("abuse",))
    return RdapNetwork(str(first), str(last), contacts)


def _address(value: object) -> Address | None:
    """An address as a registry writes it; some write a network's bounds with a length behind them."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        return ipaddress.ip_address(value.strip().partition("/")[0])
    except ValueError:
        return None
