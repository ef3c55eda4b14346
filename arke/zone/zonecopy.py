"""A zone by transfer, as it comes: whole (RFC 5936), or as the differences from what is held (RFC 1995). Pure.

Between ``transfer``, which asks and verifies, and ``watch``, which keeps the result. Of each record only what a
delegation rests on is kept: NS, and the addresses of names. What is held is never changed: the copy that comes is
another one, and only when it came whole, its serials in step and every record it takes away really there.
"""

from __future__ import annotations

import dns.message
import dns.rdata
import dns.rdatatype
import msgspec
from dns.rdtypes.ANY.SOA import SOA

from panopticond.shared.errors import FetchError
from panopticond.shared.zone import Zone, own_addresses

DIFFERENCES_LIMIT = 2_000_000
"""Records of differences read at most; beyond so many the whole zone is the shorter way."""
Names = dict[str, tuple[str, ...]]
_KEPT = frozenset({dns.rdatatype.NS, dns.rdatatype.A, dns.rdatatype.AAAA})


class Copy(msgspec.Struct, frozen=True):
    """What is held of a zone between two transfers."""

    origin: str
    serial: int
    servers: Names
    """Owner to its name servers, the apex's too; lower case, without the last dot."""
    addresses: Names

    def zone(self) -> Zone:
        """What it delegates, as a master file would give it."""
        owners = {name: found for name, found in self.servers.items() if name != self.origin}
        return Zone(self.origin, self.serial, owners, own_addresses(self.addresses, owners))


class Coming:
    """The records of one transfer in order; with ``held`` the server may send differences, or the whole zone again."""

    def __init__(self, origin: str, held: Copy | None = None) -> None:
        self._origin = origin
        self._held = held
        self._first: int | None = None
        self._to: int | None = None
        """Up to which serial the differences have brought us; None while it is the whole zone that comes."""
        self._adding = False
        self._records = 0
        self._servers: Names = {}
        self._addresses: Names = {}
        self._ended = False

    def take(self, message: dns.message.Message) -> bool:
        """The records of one message; True once the transfer is whole. FetchError for whatever does not fit."""
        for rrset in message.answer:
            name = rrset.name.to_text(omit_final_dot=True).lower()
            for record in rrset:
                self._take(name, record)
        return self._ended

    @property
    def how(self) -> str:
        """What came, for the log."""
        return f"{self._records} records of {'the whole zone' if self._to is None else 'differences'}"

    def copy(self) -> Copy:
        """What came; FetchError while it is not whole."""
        if not self._ended or self._first is None:
            raise FetchError("cut-short", f".{self._origin}: the transfer ended before the zone did")
        if self._held is None or self._to is None:
            return Copy(self._origin, self._first, self._servers, self._addresses)
        servers, addresses = _merged(self._held.servers, self._servers), _merged(self._held.addresses, self._addresses)
        return Copy(self._origin, self._first, servers, addresses)

    def _take(self, name: str, record: dns.rdata.Rdata) -> None:
        if self._ended:
            raise FetchError("protocol", f".{self._origin}: records after the end of the transfer")
        self._records += 1
        kind = record.rdtype
        if isinstance(record, SOA):
            if name != self._origin:
                raise FetchError("protocol", f".{self._origin}: the SOA of another zone")
            self._soa(record.serial)
        elif self._first is None:
            raise FetchError("protocol", f".{self._origin}: the transfer does not begin with an SOA")
        elif kind in _KEPT:
            text = record.to_text().lower().removesuffix(".")
            ours = self._servers if kind == dns.rdatatype.NS else self._addresses
            if self._to is None:
                ours[name] = tuple(dict.fromkeys((*ours.get(name, ()), text)))
            else:
                self._change(name, text, ours, servers=kind == dns.rdatatype.NS)

    def _soa(self, serial: int) -> None:
        held = self._held
        if self._first is None:
            self._first = serial
            if held is not None and serial == held.serial:  # up to date: its answer ends here
                self._ended, self._to = True, serial
            elif held is not None and not newer(serial, held.serial):
                raise FetchError("protocol", f".{self._origin}: serial {serial} is older than ours, {held.serial}")
        elif self._to is not None:
            self._sequence(serial)
        elif held is not None and serial == held.serial and self._records == 2:
            self._to = serial
        elif serial != self._first:
            raise FetchError("cut-short", f".{self._origin}: the zone changed under the transfer; try again")
        else:
            self._ended = True

    def _sequence(self, serial: int) -> None:
        """A SOA among differences: what follows is added, or the next step begins, or it was the last."""
        if not self._adding:
            self._adding, self._to = True, serial
        elif serial != self._to:
            raise FetchError("protocol", f".{self._origin}: differences that do not follow each other")
        elif serial == self._first:
            self._ended = True
        else:
            self._adding = False

    def _change(self, name: str, text: str, ours: Names, *, servers: bool) -> None:
        if self._records > DIFFERENCES_LIMIT:
            raise FetchError("protocol", f".{self._origin}: more than {DIFFERENCES_LIMIT} records of differences")
        if self._held is None:
            return
        before = (self._held.servers if servers else self._held.addresses).get(name, ())
        now = ours.get(name, before)
        if (text in now) == self._adding:
            raise FetchError("protocol", f".{self._origin}: differences from another zone than ours")
        ours[name] = (*now, text) if self._adding else tuple(item for item in now if item != text)


def newer(serial: int, than: int) -> bool:
    """Whether a serial comes after another in the arithmetic of RFC 1982."""
    return 0 < (serial - than) % (1 << 32) < 1 << 31


def _merged(held: Names, changed: Names) -> Names:
    """What is held with what has changed; a name left with nothing is gone."""
    return {name: found for name, found in (held | changed).items() if found}
