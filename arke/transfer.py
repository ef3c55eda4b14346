"""The registry's zone by AXFR (RFC 5936), signed with TSIG (RFC 8945) where a key is given: owners with NS, streamed.

Beside ``watch``: in place of a zone file. The serial is asked first, and nothing is transferred while it stands still.
What was transferred counts only when it came whole: first and last record the same SOA, every signature good.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Callable

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsig
import msgspec
import trio

from panopticond.shared.errors import ConfigurationError, FetchError
from panopticond.shared.settings import read_secret
from panopticond.shared.zone import Zone, own_addresses

MESSAGES_LIMIT = 4_000_000
_ALGORITHMS = {"hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1"}


class Server(msgspec.Struct, frozen=True):
    """Where to ask, and the key to sign with."""

    address: str
    port: int
    key: dns.tsig.Key | None
    timeout_seconds: float


def server(address: str, key_file: str | None, timeout_seconds: float) -> Server:
    """The server of a configuration; ConfigurationError names what is wrong with its address or key."""
    host, _, port = address.rpartition(":")
    try:
        ipaddress.ip_address(host.strip("[]"))
        number = int(port)
    except ValueError as error:
        raise ConfigurationError([f"transfer.server: {address!r} must be ADDRESS:PORT"]) from error
    return Server(host.strip("[]"), number, _key(key_file) if key_file else None, timeout_seconds)


def _key(path: str) -> dns.tsig.Key:
    algorithm, _, rest = read_secret(path).partition(":")
    name, _, secret = rest.partition(":")
    sentence = f"transfer.key_file: {path}: must read ALGORITHM:NAME:BASE64-SECRET, with one of {sorted(_ALGORITHMS)}"
    if algorithm.lower() not in _ALGORITHMS or not secret:
        raise ConfigurationError([sentence])
    try:
        raw = base64.b64decode(secret, validate=True)
        return dns.tsig.Key(dns.name.from_text(name), raw, algorithm.lower())
    except (binascii.Error, dns.exception.DNSException) as error:
        raise ConfigurationError([sentence]) from error


async def serial(where: Server, origin: str) -> int:
    """The zone's serial at the server; FetchError when it gives none."""
    found: list[int] = []

    def look(message: dns.message.Message) -> bool:
        found.extend(int(rrset[0].serial) for rrset in message.answer if rrset.rdtype == dns.rdatatype.SOA)
        return True

    await _ask(where, _query(where, origin, "SOA"), look, whole=False)
    if not found:
        raise FetchError("protocol", f"the server gives no SOA of .{origin}; check transfer.server")
    return found[0]


async def transfer(where: Server, origin: str) -> Zone:
    """The whole zone now; FetchError when it is refused, cut short or badly signed: then nothing of it is kept."""
    coming = _Coming(origin)
    await _ask(where, _query(where, origin, "AXFR"), coming.take, whole=True)
    if not coming.ended or coming.serial is None:
        raise FetchError("cut-short", f".{origin}: the transfer ended before the zone did")
    coming.owners.pop(origin, None)
    return Zone(origin, coming.serial, coming.owners, own_addresses(coming.addresses, coming.owners))


class _Coming:
    """A zone on its way: from its first SOA to the same one again."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.owners: dict[str, tuple[str, ...]] = {}
        self.addresses: set[str] = set()
        self.serial: int | None = None
        self.ended = False

    def take(self, message: dns.message.Message) -> bool:
        """The records of one message; True once the zone is whole."""
        for rrset in message.answer:
            if self.ended:
                raise FetchError("protocol", f".{self.origin}: records after the end of the transfer")
            if rrset.rdtype == dns.rdatatype.SOA:
                if self.serial is not None and int(rrset[0].serial) != self.serial:
                    raise FetchError("cut-short", f".{self.origin}: the zone changed under the transfer; try again")
                self.ended, self.serial = self.serial is not None, int(rrset[0].serial)
            elif self.serial is None:
                raise FetchError("protocol", f".{self.origin}: the transfer does not begin with an SOA")
            elif rrset.rdtype == dns.rdatatype.NS:
                _add(self.owners, rrset)
            elif rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA):
                self.addresses.add(rrset.name.to_text(omit_final_dot=True).lower())
        return self.ended


def _add(owners: dict[str, tuple[str, ...]], rrset: dns.rrset.RRset) -> None:
    owner = rrset.name.to_text(omit_final_dot=True).lower()
    found = tuple(record.target.to_text(omit_final_dot=True).lower() for record in rrset)
    owners[owner] = tuple(dict.fromkeys((*owners.get(owner, ()), *found)))


def _query(where: Server, origin: str, kind: str) -> dns.message.QueryMessage:
    query = dns.message.make_query(dns.name.from_text(origin), kind)
    query.flags &= ~dns.flags.RD
    if where.key is not None:
        query.use_tsig(where.key)
    return query


async def _ask(
    where: Server, query: dns.message.QueryMessage, take: Callable[[dns.message.Message], bool], *, whole: bool
) -> None:
    """Give ``take`` each message of the answer over TCP, verified, until it has enough; every fault is a FetchError."""
    place = f"{where.address}:{where.port}"
    try:
        with trio.fail_after(where.timeout_seconds):
            async with await trio.open_tcp_stream(where.address, where.port) as stream:
                wire = query.to_wire()
                await stream.send_all(len(wire).to_bytes(2, "big") + wire)
                await _messages(stream, query, take, place, whole=whole)
    except trio.TooSlowError as error:
        raise FetchError("timeout", f"{place} gave no whole answer in {where.timeout_seconds:g} s") from error
    except OSError as error:
        raise FetchError("unreachable", f"{place}: {error.strerror or error}") from error
    except (trio.BrokenResourceError, dns.exception.DNSException) as error:
        raise FetchError("protocol", f"{place} answers badly ({type(error).__name__})") from error


async def _messages(
    stream: trio.SocketStream,
    query: dns.message.QueryMessage,
    take: Callable[[dns.message.Message], bool],
    place: str,
    *,
    whole: bool,
) -> None:
    context = None
    signed = query.keyring is not None
    for _ in range(MESSAGES_LIMIT if whole else 1):
        length = int.from_bytes(await _exactly(stream, 2, place), "big")
        message = dns.message.from_wire(
            await _exactly(stream, length, place),
            keyring=query.keyring,
            request_mac=query.mac,
            xfr=whole,
            tsig_ctx=context,
            multi=whole,
        )
        context = message.tsig_ctx
        if message.id != query.id:
            raise FetchError("protocol", f"{place} answers another question")
        if message.rcode() != dns.rcode.NOERROR:
            word = dns.rcode.to_text(message.rcode())
            raise FetchError("protocol", f"{place} refuses the zone ({word}); check its allow-transfer")
        ended = take(message)
        if (ended or not whole) and signed and not message.had_tsig:
            raise FetchError("protocol", f"{place} ends its answer unsigned; nothing of it is believed")
        if ended:
            return


async def _exactly(stream: trio.SocketStream, count: int, place: str) -> bytes:
    data = bytearray()
    while len(data) < count:
        chunk = await stream.receive_some(count - len(data))
        if not chunk:
            raise FetchError("cut-short", f"{place} hung up in the middle of its answer")
        data += chunk
    return bytes(data)
