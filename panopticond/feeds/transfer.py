"""A response policy zone by zone transfer: AXFR once, then IXFR (RFC 5936, RFC 1995), signed by TSIG with a key.

Beside ``fetch``, for feeds whose address reads ``axfr://address:port/zone``. The zone stays in memory between two
visits, so that the server sends what changed; its policy records go to the spool in master-file form, for the format
``rpz``.
The key file holds one line as dig takes it: ``[algorithm:]name:secret``.
"""

from __future__ import annotations

from typing import BinaryIO

import dns.asyncquery
import dns.exception
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.transaction
import dns.tsig
import dns.tsigkeyring
import dns.xfr
import dns.zone
import trio

from panopticond.feeds.catalogue import TRANSFER, FeedSpec, address_problem
from panopticond.feeds.fetch import Fetched
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.settings import read_secret
from panopticond.store.interface import FeedHealth

RECORDS_LIMIT = 2_000_000
"""Changes one transfer may bring; more is refused, for the zone is held in memory."""
SILENCE_SECONDS = 30.0
_POLICIES = (dns.rdatatype.CNAME, dns.rdatatype.A, dns.rdatatype.AAAA)


_BROKEN = (dns.exception.DNSException, OSError, EOFError, trio.TooSlowError, trio.BrokenResourceError)


class Zone:
    """A zone between two visits; empty until the first transfer."""

    def __init__(self) -> None:
        self.held: dns.zone.Zone | None = None


async def transfer(spec: FeedSpec, spool: BinaryIO, zone: Zone, health: FeedHealth) -> Fetched:
    """The zone's policy records into ``spool``, unless its serial is the one already read; never raises."""
    match = TRANSFER.match(spec.url)
    if match is None:
        return Fetched("unreachable", str(address_problem(spec.url)))
    where, port, origin = match[1] or match[2], int(match[3]), match[4]
    try:
        held = zone.held or dns.zone.Zone(dns.name.from_text(origin), relativize=False)
        query, _ = dns.xfr.make_query(held, keyring=keyring_of(spec))
        with trio.fail_after(spec.deadline):
            await dns.asyncquery.inbound_xfr(
                where, _Limited(held), query, port=port, timeout=SILENCE_SECONDS, lifetime=spec.deadline
            )
        serial = held.get_soa().serial
    except (ConfigurationError, ValueError) as error:
        return Fetched("auth", f"the key cannot be read: {error}")
    except (dns.tsig.PeerError, dns.tsig.BadSignature, dns.tsig.BadTime, dns.tsig.BadKey) as error:
        return Fetched("auth", f"the transfer's signature is refused ({type(error).__name__}); check key and clock")
    except dns.xfr.TransferError as error:
        return Fetched("auth", f"the server refuses the transfer ({error}); ask its operator to allow this address")
    except dns.transaction.TooManyChanges:
        zone.held = None
        return Fetched("unreachable", f"the zone has more than {RECORDS_LIMIT} records and is not read")
    except _BROKEN as error:
        zone.held = None  # what an IXFR rests on is in doubt: begin again with the whole zone
        return Fetched("unreachable", f"the transfer failed ({type(error).__name__}); the next visit tries again")
    zone.held = held
    etag = f"serial:{serial}"
    if etag == health.etag:
        return Fetched("unchanged", etag=etag)
    await trio.to_thread.run_sync(_write, held, spool)
    return Fetched("body", etag=etag)


class _Limited(dns.transaction.TransactionManager):
    """A zone whose writers give up after RECORDS_LIMIT changes."""

    def __init__(self, zone: dns.zone.Zone) -> None:
        self._zone = zone

    def reader(self) -> dns.transaction.Transaction:
        return self._zone.reader()

    def writer(self, replacement: bool = False) -> dns.transaction.Transaction:
        writer = self._zone.writer(replacement)
        dns.transaction.TransactionLimiter(RECORDS_LIMIT)(writer)
        return writer

    def origin_information(self) -> tuple[dns.name.Name | None, bool, dns.name.Name | None]:
        return self._zone.origin_information()

    def get_class(self) -> dns.rdataclass.RdataClass:
        return dns.rdataclass.IN

    def from_wire_origin(self) -> dns.name.Name | None:
        return self._zone.from_wire_origin()


def keyring_of(spec: FeedSpec) -> dict[dns.name.Name, dns.tsig.Key] | None:
    """The feed's TSIG key, None without one; ConfigurationError or ValueError when its file cannot be used."""
    return None if spec.key_file is None else _keyring(read_secret(spec.key_file))


def _keyring(text: str) -> dict[dns.name.Name, dns.tsig.Key]:
    """The key of a ``[algorithm:]name:secret`` line; ValueError, without the secret, for anything else."""
    parts = text.split(":")
    if len(parts) not in (2, 3):
        raise ValueError("one line [algorithm:]name:secret is needed")
    algorithm, name, secret = parts if len(parts) == 3 else ["hmac-sha256", *parts]
    try:
        key = dns.tsig.Key(dns.name.from_text(name), secret, dns.name.from_text(algorithm))
    except (dns.exception.DNSException, ValueError):
        raise ValueError("the line is no [algorithm:]name:secret with the secret in base64") from None
    return {key.name: key}


def _write(zone: dns.zone.Zone, spool: BinaryIO) -> None:
    origin = zone.origin
    spool.write(f"$ORIGIN {origin}\n".encode())
    for name, _, rdata in zone.iterate_rdatas():
        if rdata.rdtype in _POLICIES and name != origin:
            kind = dns.rdatatype.to_text(rdata.rdtype)
            spool.write(f"{name} {kind} {rdata.to_text()}\n".encode())
