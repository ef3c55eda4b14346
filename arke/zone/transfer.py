"""The registry's zone by AXFR (RFC 5936), then by IXFR (RFC 1995), with TSIG (RFC 8945) where a key is given.

Beside ``watch``: in place of a zone file. The serial is asked first, and nothing is transferred while it stands still.
What was transferred counts only when it came whole: first and last record the same SOA, every signature good
(``zonecopy``). A server that knows no IXFR, or whose differences do not fit, is asked for the whole zone.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import logging
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

from arke.zone.zonecopy import Coming, Copy
from panopticond.shared.errors import ConfigurationError, FetchError
from panopticond.shared.settings import read_secret

log = logging.getLogger(__name__)

MESSAGES_LIMIT = 4_000_000
BYTES_LIMIT = 4 << 30
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


async def transfer(where: Server, origin: str, held: Copy | None = None) -> Copy:
    """The zone now, by its differences from what is held where there are any, else whole.

    FetchError when it is refused, cut short or badly signed: then nothing of it is kept.
    """
    if held is not None:
        try:
            return await _transfer(where, origin, "IXFR", held)
        except FetchError as error:
            if error.reason not in ("protocol", "cut-short", "timeout"):
                raise
            log.info(".%s: no differences (%s); the whole zone is asked for", origin, error)
    return await _transfer(where, origin, "AXFR", None)


async def _transfer(where: Server, origin: str, kind: str, held: Copy | None) -> Copy:
    coming, query = Coming(origin, held), _query(where, origin, kind)
    if held is not None:  # RFC 1995 section 3: the SOA that is held; servers look at its serial alone
        soa = dns.rrset.from_text(query.question[0].name, 0, "IN", "SOA", f". . {held.serial} 0 0 0 0")
        query.authority.append(soa)
    await _ask(where, query, coming.take, whole=True)
    copy = await trio.to_thread.run_sync(coming.copy)
    log.info(".%s: serial %d, %s", origin, copy.serial, coming.how)
    return copy


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
    left = BYTES_LIMIT
    for _ in range(MESSAGES_LIMIT if whole else 1):
        length = int.from_bytes(await _exactly(stream, 2, place), "big")
        left -= length
        if left < 0:
            raise FetchError("too-large", f"{place}: more than {BYTES_LIMIT} bytes of a zone")
        message = dns.message.from_wire(
            await _exactly(stream, length, place),
            keyring=query.keyring,
            request_mac=query.mac,
            xfr=whole,
            tsig_ctx=context,
            multi=whole,
            one_rr_per_rrset=query.question[0].rdtype == dns.rdatatype.IXFR,  # the order is what it says
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
