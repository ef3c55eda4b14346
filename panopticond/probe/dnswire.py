"""DNS messages by hand: a query packed, an answer unpacked, nothing else (RFC 1035, 6891, 7873, 8914).

Under :mod:`panopticond.probe.dnsclient`. Pure: bytes in, values out. Everything unpacked is hostile: names are bounded,
compression pointers only lead backwards, every count is checked against the bytes that are there.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

import msgspec

KINDS: Final[dict[str, int]] = {
    "A": 1,
    "NS": 2,
    "CNAME": 5,
    "SOA": 6,
    "MX": 15,
    "TXT": 16,
    "AAAA": 28,
    "DNAME": 39,
    "DS": 43,
}
_WORDS: Final[dict[int, str]] = {number: word for word, number in KINDS.items()}
_OPT = 41
_COOKIE_OPTION, _EDE_OPTION = 10, 15
UDP_SIZE: Final = 1232
"""The EDNS0 payload size we offer: what crosses any path unfragmented (DNS Flag Day 2020, RFC 9715)."""
_RECORDS_LIMIT = 512
_HOST_OCTETS = b"abcdefghijklmnopqrstuvwxyz0123456789-_"
_CASE_BITS = bytes(0x20 if 97 <= octet <= 122 else 0 for octet in range(256))
_HEADER, _RECORD, _QUESTION = struct.Struct("!HHHHHH"), struct.Struct("!HHIH"), struct.Struct("!HH")


class WireError(ValueError):
    """These bytes are no well-formed DNS message, or this text is no name that can be asked."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """A resource record; names are lower-case A-labels without the final dot, the root is the empty text."""

    name: str
    kind: str
    """``NS``, ``A`` ... or ``TYPEnnn`` (RFC 3597)."""
    ttl: int
    """Seconds."""
    data: str
    """NS, CNAME, DNAME: the target. A, AAAA: the address. SOA: ``mname rname serial refresh retry expire minimum``.
    DS: ``tag algorithm digest-type hex``. TXT: its texts joined. Others: hex."""


class Message(msgspec.Struct, frozen=True):
    """An unpacked answer."""

    ident: int
    rcode: int
    """The extended rcode where an OPT record is there."""
    aa: bool
    tc: bool
    ra: bool
    ad: bool
    answer: tuple[Record, ...]
    authority: tuple[Record, ...]
    additional: tuple[Record, ...]
    edns: bool
    ede: tuple[int, ...]
    cookie: bytes | None


def encode_name(name: str) -> bytes:
    """A host name as wire labels, lower case; raises WireError for an empty label, one over 63 octets or 255 in all."""
    if name in ("", "."):
        return b"\0"
    try:
        labels = name.rstrip(".").lower().encode("ascii").split(b".")
    except UnicodeEncodeError as error:
        raise WireError("not an A-label name") from error
    wire = bytearray()
    for label in labels:
        size = len(label)
        if not 0 < size < 64:
            raise WireError("an empty or overlong label")
        wire.append(size)
        wire += label
    if len(wire) > 254:
        raise WireError("a name of over 255 octets")
    return bytes(wire) + b"\0"


def mix_case(wire: bytes, chance: bytes) -> bytes:
    """The same name with its letters' case drawn from ``chance``, at least as long (draft-vixie-dnsext-dns0x20)."""
    # Length octets are at most 63 and thus never letters' codes.
    bits = int.from_bytes(chance[: len(wire)]) & int.from_bytes(wire.translate(_CASE_BITS))
    return (int.from_bytes(wire) ^ bits).to_bytes(len(wire))


def pack_query(
    ident: int, name: bytes, kind: int, *, recursion: bool, edns: bool = True, cookie: bytes = b"", klass: int = 1
) -> tuple[bytes, bytes]:
    """(the packet, its question section); ``cookie`` is the client's 8 octets, the server's after them, or empty."""
    question = name + _QUESTION.pack(kind, klass)
    header = _HEADER.pack(ident, 0x0100 if recursion else 0, 1, 0, 0, 1 if edns else 0)
    if not edns:
        return header + question, question
    options = struct.pack("!HH", _COOKIE_OPTION, len(cookie)) + cookie if cookie else b""
    return header + question + struct.pack("!BHHIH", 0, _OPT, UDP_SIZE, 0, len(options)) + options, question


def unpack(packet: bytes) -> Message:
    """The whole message; raises WireError if anything in it is malformed or it holds over 512 records."""
    try:
        return _unpack(packet)
    except (struct.error, IndexError) as error:
        raise WireError("cut short") from error


def _unpack(packet: bytes) -> Message:
    ident, flags, questions, *counts = _HEADER.unpack_from(packet)
    if not flags & 0x8000 or questions > 1 or sum(counts) > _RECORDS_LIMIT:
        raise WireError("no answer, or too much of it")
    names: dict[int, str] = {}
    at = 12
    if questions:
        _, at = _name(packet, at, names)
        at += 4
    rcode, edns, cookie = flags & 15, False, None
    ede: list[int] = []
    sections: list[tuple[Record, ...]] = []
    for count in counts:
        section = []
        for _ in range(count):
            owner, at = _name(packet, at, names)
            kind, klass, ttl, length = _RECORD.unpack_from(packet, at)
            at += 10
            end = at + length
            if end > len(packet):
                raise WireError("a record longer than the message")
            if kind == _OPT:
                edns = True
                rcode |= ttl >> 24 << 4
                ede, cookie = _options(packet, at, end)
            elif klass in (1, 3):
                section.append(
                    Record(owner, _WORDS.get(kind) or f"TYPE{kind}", ttl, _data(packet, kind, at, end, names))
                )
            at = end
        sections.append(tuple(section))
    return Message(
        ident,
        rcode,
        bool(flags & 0x0400),
        bool(flags & 0x0200),
        bool(flags & 0x0080),
        bool(flags & 0x0020),
        sections[0],
        sections[1],
        sections[2],
        edns,
        tuple(ede),
        cookie,
    )


def _name(packet: bytes, at: int, names: dict[int, str]) -> tuple[str, int]:
    """(the name at ``at``, where the next field begins); ``names`` remembers names by offset."""
    if packet[at] >= 0xC0:
        # By far the most names are a pointer to one already read.
        known = names.get((packet[at] & 0x3F) << 8 | packet[at + 1])
        if known is not None:
            return known, at + 2
    start, after, labels, size = at, -1, [], 0
    limit = at
    while True:
        known = names.get(at) if after >= 0 else None
        if known is not None:
            labels.append(known)
            break
        length = packet[at]
        if length == 0:
            after = at + 1 if after < 0 else after
            break
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | packet[at + 1]
            after = at + 2 if after < 0 else after
            if target >= limit:
                raise WireError("a compression pointer that does not lead back")
            at = limit = target
            continue
        if length > 63:
            raise WireError("a label type nobody uses")
        label = packet[at + 1 : at + 1 + length]
        if len(label) != length:
            raise WireError("a label cut short")
        labels.append(_label(label))
        size += length + 1
        at += length + 1
        if size > 254:
            raise WireError("a name of over 255 octets")
    name = ".".join(filter(None, labels))
    if len(name) > 4 * 255:
        raise WireError("a name of over 255 octets")
    names[start] = name
    return name, after if after >= 0 else at + 1


def _label(label: bytes) -> str:
    lowered = label.lower()
    if not lowered.translate(None, _HOST_OCTETS):
        return lowered.decode("ascii")
    return "".join(
        chr(octet) if 33 <= octet <= 126 and octet not in (46, 92) else f"\\{octet:03d}" for octet in lowered
    )


def _data(packet: bytes, kind: int, at: int, end: int, names: dict[int, str]) -> str:
    """A record's data as text, see :class:`Record`."""
    if kind == 1 and end - at == 4:
        return f"{packet[at]}.{packet[at + 1]}.{packet[at + 2]}.{packet[at + 3]}"
    if kind == 28 and end - at == 16:
        return str(ipaddress.IPv6Address(packet[at:end]))
    if kind in (2, 5, 39):
        target, after = _name(packet, at, names)
        if after != end:
            raise WireError("a name that overruns its record")
        return target
    if kind == 6:
        primary, at = _name(packet, at, names)
        mailbox, at = _name(packet, at, names)
        if end - at != 20:
            raise WireError("an SOA of the wrong length")
        return " ".join([primary or ".", mailbox or ".", *map(str, struct.unpack_from("!IIIII", packet, at))])
    if kind == 43 and end - at > 4:
        tag, algorithm, digest = struct.unpack_from("!HBB", packet, at)
        return f"{tag} {algorithm} {digest} {packet[at + 4 : end].hex()}"
    if kind == 16:
        texts = []
        while at < end:
            texts.append(packet[at + 1 : at + 1 + packet[at]].decode("latin-1"))
            at += 1 + packet[at]
        return "".join(texts)
    if kind in (1, 28, 43):
        raise WireError("data of the wrong length")
    return packet[at:end].hex()


def _options(packet: bytes, at: int, end: int) -> tuple[list[int], bytes | None]:
    """(extended errors, cookie) of an OPT record's options."""
    errors: list[int] = []
    cookie = None
    while at + 4 <= end:
        code, length = struct.unpack_from("!HH", packet, at)
        value = packet[at + 4 : at + 4 + length]
        at += 4 + length
        if at > end:
            raise WireError("an option longer than its record")
        if code == _EDE_OPTION and length >= 2:
            errors.append(value[0] << 8 | value[1])
        elif code == _COOKIE_OPTION:
            cookie = value
    return errors, cookie
