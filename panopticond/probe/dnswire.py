"""DNS messages by hand: a query packed, an answer unpacked, nothing else (RFC 1035, 6891, 7873, 8914).

Under :mod:`panopticond.probe.dnsclient`. Pure: bytes in, values out. Everything unpacked is hostile: names are bounded,
compression pointers only lead backwards, every count is checked against the bytes that are there.
"""

from __future__ import annotations

import functools
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
_HOST_OCTETS = b"abcdefghijklmnopqrstuvwxyz0123456789-_."
_SHOWN_OCTETS = bytes(octet for octet in range(33, 127) if octet != 92)
_LENGTHS = [bytes([size]) for size in range(64)]
_CASE_BITS = bytes(0x20 if 97 <= octet <= 122 else 0 for octet in range(256))
_HEADER, _RECORD = struct.Struct("!HHHHHH"), struct.Struct("!HHIH")


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


class Message(msgspec.Struct, frozen=True, gc=False):
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
    """A host name as wire labels, lower case; raises WireError for an empty label, one over 63 octets or 255 in all.

    A name that could not be shown as it stands (a space, a backslash, an escape of ours) is refused too.
    """
    if name in ("", "."):
        return b"\0"
    try:
        text = name.rstrip(".").lower().encode("ascii")
    except UnicodeEncodeError as error:
        raise WireError("not an A-label name") from error
    if text.translate(None, _SHOWN_OCTETS):
        raise WireError("no octets of a name")
    labels = text.split(b".")
    try:
        wire = b"".join([_LENGTHS[len(label)] + label for label in labels])
    except IndexError as error:
        raise WireError("an overlong label") from error
    if b"" in labels or len(wire) > 254:
        raise WireError("an empty label, or a name of over 255 octets")
    return wire + b"\0"


def mix_case(wire: bytes, chance: bytes) -> bytes:
    """The same name with its letters' case drawn from ``chance``, at least as long (draft-vixie-dnsext-dns0x20)."""
    # Length octets are at most 63 and thus never letters' codes.
    size = len(wire)
    bits = int.from_bytes(chance[:size]) & int.from_bytes(wire.translate(_CASE_BITS))
    return (int.from_bytes(wire) ^ bits).to_bytes(size)


def pack_query(
    ident: int, name: bytes, kind: int, *, recursion: bool, edns: bool = True, cookie: bytes = b"", klass: int = 1
) -> tuple[bytes, bytes]:
    """(the packet, its question section); ``cookie`` is the client's 8 octets, the server's after them, or empty."""
    question = name + question_end(kind, klass)
    head = ident.to_bytes(2) + header_end(recursion=recursion, edns=edns)
    return head + question + (opt_record(cookie) if edns else b""), question


@functools.cache
def header_end(*, recursion: bool, edns: bool) -> bytes:
    """A query's header after its id: one question, and one additional record with EDNS."""
    return struct.pack("!HHHHH", 0x0100 if recursion else 0, 1, 0, 0, 1 if edns else 0)


@functools.cache
def question_end(kind: int, klass: int) -> bytes:
    """A question after its name."""
    return struct.pack("!HH", kind, klass)


def opt_record(cookie: bytes) -> bytes:
    """The OPT record of a query (RFC 6891) with a cookie option (RFC 7873) unless ``cookie`` is empty."""
    options = struct.pack("!HH", _COOKIE_OPTION, len(cookie)) + cookie if cookie else b""
    return struct.pack("!BHHIH", 0, _OPT, UDP_SIZE, 0, len(options)) + options


def unpack(packet: bytes, asked: tuple[str, int] | None = None) -> Message:
    """The whole message; raises WireError if anything in it is malformed or it holds over 512 records.

    ``asked`` is (the question's name as it is to be shown, the octets of its section) where the caller has already
    found them in the packet: then the question is not read again.
    """
    try:
        return _unpack(packet, asked)
    except (struct.error, IndexError) as error:
        raise WireError("cut short") from error


def _unpack(packet: bytes, asked: tuple[str, int] | None) -> Message:
    ident, flags, questions, answers, authorities, additionals = _HEADER.unpack_from(packet)
    if not flags & 0x8000 or questions > 1 or answers + authorities + additionals > _RECORDS_LIMIT:
        raise WireError("no answer, or too much of it")
    names: dict[int, str] = {}
    at = 12
    if questions and asked is not None:
        names[12], at = asked[0], 12 + asked[1]
    elif questions:
        _, at = _name(packet, at, names)
        at += 4
    options: list[tuple[int, int, int]] = []
    answer, at = _section(packet, at, answers, names, options) if answers else ((), at)
    authority, at = _section(packet, at, authorities, names, options) if authorities else ((), at)
    additional, at = _section(packet, at, additionals, names, options) if additionals else ((), at)
    rcode = flags & 15
    ede: tuple[int, ...] = ()
    cookie: bytes | None = None
    for ttl, start, end in options:
        rcode |= ttl >> 24 << 4
        if start != end:
            ede, cookie = _options(packet, start, end)
    return Message(
        ident,
        rcode,
        flags & 0x0400 != 0,
        flags & 0x0200 != 0,
        flags & 0x0080 != 0,
        flags & 0x0020 != 0,
        answer,
        authority,
        additional,
        bool(options),
        ede,
        cookie,
    )


def _section(
    packet: bytes, at: int, count: int, names: dict[int, str], options: list[tuple[int, int, int]]
) -> tuple[tuple[Record, ...], int]:
    """(a section's records, where the next one begins); an OPT record goes to ``options`` as (ttl, start, end)."""
    records = []
    for _ in range(count):
        # Most owners are a pointer to a name already read, and OPT's is the root.
        first = packet[at]
        known = names.get((first & 0x3F) << 8 | packet[at + 1]) if first >= 0xC0 else None
        if known is not None:
            owner, at = known, at + 2
        elif first:
            owner, at = _name(packet, at, names)
        else:
            owner, at = "", at + 1
        kind, klass, ttl, length = _RECORD.unpack_from(packet, at)
        at += 10
        end = at + length
        if end > len(packet):
            raise WireError("a record longer than the message")
        if kind == _OPT:
            options.append((ttl, at, end))
        elif klass in (1, 3):
            records.append(Record(owner, _WORDS.get(kind) or f"TYPE{kind}", ttl, _data(packet, kind, at, end, names)))
        at = end
    return tuple(records), at


def _name(packet: bytes, at: int, names: dict[int, str]) -> tuple[str, int]:
    """(the name at ``at``, where the next field begins); ``names`` remembers names by offset."""
    start = limit = at
    after = size = 0
    labels: list[bytes] = []
    tail = ""
    length = packet[at]
    while length:
        if length < 64:
            labels.append(packet[at + 1 : at + 1 + length])
            at += length + 1
            size += length + 1
            if size > 254:
                raise WireError("a name of over 255 octets")
        elif length >= 0xC0:
            target = (length & 0x3F) << 8 | packet[at + 1]
            after = after or at + 2
            if target >= limit:
                raise WireError("a compression pointer that does not lead back")
            known = names.get(target)
            if known is not None:
                tail = known
                break
            at = limit = target
        else:
            raise WireError("a label type nobody uses")
        length = packet[at]
    name = _text(labels) if labels else tail
    if tail and labels:
        name = f"{name}.{tail}"
        if len(name) > 253 and (len(name) > 4 * 255 or "\\" not in name):  # an octet escaped takes four letters
            raise WireError("a name of over 255 octets")
    names[start] = name
    return name, after or at + 1


@functools.lru_cache(maxsize=2048)
def _pointerless(raw: bytes) -> str | None:
    """The name these octets are, to the last one, without any compression; None if they are anything else.

    Remembered, because the name servers of a registry's domains are those of few hosters.
    """
    try:
        name, after = _name(raw, 0, {})
    except (WireError, IndexError):
        return None
    return name if after == len(raw) else None


def _text(labels: list[bytes]) -> str:
    """Labels as text: lower case, and what no host name holds as decimal escapes (RFC 1035 section 5.1)."""
    lowered = b".".join(labels).lower()
    if not lowered.translate(None, _HOST_OCTETS) and lowered.count(b".") == len(labels) - 1:
        return lowered.decode("ascii")
    return ".".join(_label(label) for label in labels)


def _label(label: bytes) -> str:
    return "".join(
        chr(octet) if 33 <= octet <= 126 and octet not in (46, 92) else f"\\{octet:03d}" for octet in label.lower()
    )


def _data(packet: bytes, kind: int, at: int, end: int, names: dict[int, str]) -> str:
    """A record's data as text, see :class:`Record`."""
    if kind == 1 and end - at == 4:
        return f"{packet[at]}.{packet[at + 1]}.{packet[at + 2]}.{packet[at + 3]}"
    if kind == 28 and end - at == 16:
        return str(ipaddress.IPv6Address(packet[at:end]))
    if kind == 2 or kind in (5, 39):
        known = _pointerless(packet[at:end])
        if known is not None:
            names[at] = known
            return known
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
        if at != end:
            raise WireError("a text that overruns its record")
        return "".join(texts)
    if kind in (1, 28, 43):
        raise WireError("data of the wrong length")
    return packet[at:end].hex()


def _options(packet: bytes, at: int, end: int) -> tuple[tuple[int, ...], bytes | None]:
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
    return tuple(errors), cookie
