"""BIND master files on our own code: which names a registry's zone delegates, and to which name servers (RFC 1035 §5).

Read by arke for the registry's own zone (match, screen) and by panopticond where a zone is configured. Streams: a zone
is never held as text. Blocks of canonical one-line records are taken apart at once
(:mod:`panopticond.shared.zonelines`); everything else goes through the tokeniser.
A file that is cut short, malformed or not a zone raises PanopticonError naming the file and the line.
"""

from __future__ import annotations

import ipaddress
import re
import sys
from collections.abc import Container, Iterable
from pathlib import Path

import msgspec

from panopticond.shared.errors import PanopticonError
from panopticond.shared.zonelines import LINE_LIMIT_BYTES, RECORDS, Lines

ENTRY_LIMIT_LINES = 4096  # lines one parenthesised record may span
INCLUDE_LIMIT = 8
_TTL = re.compile(r"^([0-9]+[smhdw]?)+$", re.IGNORECASE)
_TYPE = re.compile(r"^(TYPE[0-9]{1,5}|[A-Z][A-Z0-9-]{0,15})$")
_TYPES = frozenset(
    """
    A NS MD MF CNAME SOA MB MG MR NULL WKS PTR HINFO MINFO MX TXT RP AFSDB X25 ISDN RT NSAP SIG KEY PX GPOS AAAA LOC NXT
    SRV NAPTR KX CERT A6 DNAME APL DS SSHFP IPSECKEY RRSIG NSEC DNSKEY DHCID NSEC3 NSEC3PARAM TLSA SMIMEA HIP CDS
    CDNSKEY OPENPGPKEY CSYNC ZONEMD SVCB HTTPS SPF NID L32 L64 LP EUI48 EUI64 URI CAA AVC DLV RESINFO WALLET DSYNC
    """.split()  # noqa: SIM905 - a table of eighty words reads best as one
)
_SPECIAL = re.compile(rb'[;()"\\\0]')
_NAME = re.compile(r"^(?:[!-\-/-~]{1,63}\.)*[!-\-/-~]{1,63}$")


class Zone(msgspec.Struct, frozen=True):
    """What a zone delegates: every owner with NS below the apex, lower case, without the trailing dot."""

    origin: str
    serial: int
    owners: dict[str, tuple[str, ...]]
    addresses: frozenset[str] = frozenset()
    """Names with address records of their own, neither glue below a delegation nor wildcards."""


def read_zone(path: str | Path, origin: str | None = None) -> Zone:
    """The delegations of a master file, compressed or not; ``origin`` serves until the file's own $ORIGIN.

    Raises PanopticonError naming file and line for anything that is not a whole, well-formed zone with one SOA.
    """
    reader = _Reader(Path(path), origin)
    reader.read(reader.top)
    if reader.apex is None or reader.serial is None:
        raise PanopticonError(f"{path}: holds no SOA record, so it is no zone; give the TLD's master file")
    reader.owners.pop(reader.apex, None)
    return Zone(reader.apex, reader.serial, reader.owners, own_addresses(reader.addresses, reader.owners))


def own_addresses(addresses: Iterable[str], owners: Container[str]) -> frozenset[str]:
    """Of the names with addresses those that no delegation covers: the zone itself answers for them."""
    return frozenset(name for name in addresses if name[:1] != "*" and not _covered(name, owners))


def _covered(name: str, owners: Container[str], apex: str | None = None) -> bool:
    """Whether a name is delegated, or lies below a name that is; the apex delegates nothing."""
    while name and name != apex:
        if name in owners:
            return True
        name = name.partition(".")[2]
    return False


def read_names(path: str | Path) -> list[str]:
    """The names of a plain list, one a line, compressed or not, ``#`` and ``;`` comments; lower case, no last dot."""
    names: list[str] = []
    with Lines(Path(path)) as lines:
        while (block := lines.block()) is not None:
            if b"#" not in block and b";" not in block:  # nothing but names: at once
                plain = [
                    name for line in block.decode("utf-8", "replace").lower().split("\n") if (name := line.strip())
                ]
                if max(map(len, plain), default=0) <= LINE_LIMIT_BYTES:
                    names += [name.rstrip(".") for name in plain]
                    lines.number += block.count(b"\n")
                    continue
            lines.put_back(block)
            while lines.waiting:
                text = re.split(rb"[#;]", lines.line() or b"", maxsplit=1)[0].strip()
                if text:
                    names.append(text.decode("utf-8", "replace").lower().rstrip("."))
    return names


def looks_like_zone(path: str | Path) -> bool:
    """Whether a file is a master file and no plain list: a directive or a line of several words comes first."""
    with Lines(Path(path)) as lines:
        for _, raw in lines:
            text = raw.split(b";")[0].split(b"#")[0].strip()
            if text:
                return text.startswith(b"$") or len(text.split()) > 1
    return False


def _at_once(block: bytes) -> bool:
    """Whether every line of a block stands for itself and its case means nothing."""
    if not block.isascii() or not block.endswith(b"\n") or b"(" in block or b")" in block:
        return False
    return b"$" not in block or b"$include" not in block.lower()


class _Reader:
    """One pass over a master file and its includes."""

    def __init__(self, top: Path, origin: str | None) -> None:
        self.top = top
        self.origin = origin.lower().rstrip(".") if origin is not None else None
        self.owner: str | None = None
        self.owners: dict[str, tuple[str, ...]] = {}
        self.addresses: set[str] = set()
        self.apex: str | None = None
        self.serial: int | None = None
        self.depth = 0
        self._at = (top, 0)
        self._sets: dict[tuple[str, str], tuple[str, ...]] = {}
        """Name servers as written on one or two lines, under the origin in force, and in full: one tuple for a set."""

    def fail(self, sentence: str) -> PanopticonError:
        """The error at the line being read."""
        path, line = self._at
        return PanopticonError(f"{path}:{line}: {sentence}")

    def read(self, path: Path) -> None:
        """Every record of one file; the origin in force at an include is the includer's again afterwards."""
        with Lines(path) as lines:
            while (block := lines.block()) is not None:
                if _at_once(block):
                    self._block(block.decode("ascii").lower(), lines)
                    continue
                lines.put_back(block)
                while lines.waiting:
                    self._line(lines.line() or b"", lines)

    def _block(self, text: str, lines: Lines) -> None:
        """A block without parentheses, so a record a line: delegations at once, every other line by itself."""
        owners, sets, path = self.owners, self._sets, lines.path
        last, owner, number = "", self.owner or "", lines.number
        for word, target, second, other in RECORDS.findall(text):
            number += 1
            if other:
                lines.number, self.owner = number, owner if last else self.owner
                self._line(other.encode("ascii"), lines)
                sets, last, owner = self._sets, "", self.owner or ""
                continue
            if word != last:
                self._at = (path, number)
                owner = self._name(word) if word[-1] != "." or len(word) > 254 else word[:-1]
                last = word
            if target:
                found = sets.get((target, second))
                if found is None:
                    self._at = (path, number)
                    found = sets[target, second] = self._servers(target, second)
                known = owners.get(owner)
                owners[owner] = found if known is None else tuple(dict.fromkeys((*known, *found)))
                if second:
                    number += 1
        lines.number = number
        if last:
            self.owner = owner

    def _servers(self, *words: str) -> tuple[str, ...]:
        """The name servers of one or two lines, in full, each once."""
        return tuple(dict.fromkeys(sys.intern(self._name(word)) for word in words if word))

    def _line(self, line: bytes, lines: Lines) -> None:
        """One line that is no plain delegation, and those its parentheses span."""
        self._at = (lines.path, lines.number)
        if len(line) > LINE_LIMIT_BYTES:
            raise self.fail(f"line longer than {LINE_LIMIT_BYTES} bytes")
        # Canonical lines, as registries and `dig axfr` write them, need no tokeniser: five words, nothing special.
        if not _SPECIAL.search(line) and line[:1] not in b" \t$":
            words = line.decode("utf-8", "surrogateescape").split()
        else:
            words, line = self._entry(line, lines)
        if not words:
            return
        if words[0].startswith("$"):
            self._directive(words, lines.path)
            return
        self._record(words)
        if not line.endswith(b"\n"):
            raise self.fail("the file ends inside this record, without a line end: it is cut short")

    def _entry(self, line: bytes, lines: Lines) -> tuple[list[str], bytes]:
        """The words of a record that needs the tokeniser, over as many lines as its parentheses span; the last line."""
        start = self._at
        words: list[str] = []
        depth = 0
        for _ in range(ENTRY_LIMIT_LINES):
            text = line.decode("utf-8", "surrogateescape")
            if "\0" in text:
                raise self.fail("a NUL byte; the file is no text or in another encoding")
            if not words and depth == 0 and text[0] in " \t":
                words.append("")
            depth = self._tokens(text, words, depth)
            if depth == 0:
                return (words if any(words) else []), line
            following = lines.line()
            if following is None:
                self._at = start
                raise self.fail("the file ends inside the parentheses that open here: it is cut short")
            self._at = (lines.path, lines.number)
            line = following
        raise self.fail("a record in parentheses spans too many lines")

    def _tokens(self, text: str, words: list[str], depth: int) -> int:
        """Add a line's words, comments left out and quotes kept whole; returns the parentheses still open."""
        at, end = 0, len(text)
        while at < end:
            character = text[at]
            if character == ";":
                break
            if character in " \t\r\n":
                at += 1
            elif character == "(":
                depth, at = depth + 1, at + 1
            elif character == ")":
                depth, at = depth - 1, at + 1
                if depth < 0:
                    raise self.fail("a closing parenthesis without an opening one")
            elif character == '"':
                stop = at + 1
                while stop < end and text[stop] != '"':
                    stop += 2 if text[stop] == "\\" else 1
                if stop >= end:
                    raise self.fail("a quoted text without its end")
                words.append(text[at : stop + 1])
                at = stop + 1
            else:
                stop = at
                while stop < end and text[stop] not in ' \t\r\n;()"':
                    stop += 2 if text[stop] == "\\" else 1
                words.append(text[at : min(stop, end)])
                at = stop
        return depth

    def _directive(self, words: list[str], path: Path) -> None:
        match words[0].upper(), words[1:]:
            case "$ORIGIN", [name]:
                self.origin, self._sets = self._name(name), {}
            case "$TTL", [ttl] if _TTL.match(ttl):
                pass
            case "$INCLUDE", [name, *rest] if len(rest) <= 1:
                self._include(name.strip('"'), rest, path)
            case "$GENERATE", _:
                raise self.fail("$GENERATE is not read; write the records out, as named-compilezone does")
            case _:
                raise self.fail(f"{words[0][:20]!r} is no directive of a master file, or lacks its value")

    def _include(self, name: str, rest: list[str], path: Path) -> None:
        target = (path.parent / name).resolve()
        if not target.is_relative_to(self.top.parent.resolve()):
            raise self.fail("$INCLUDE leaves the zone file's directory")
        if self.depth >= INCLUDE_LIMIT:
            raise self.fail(f"$INCLUDE nested deeper than {INCLUDE_LIMIT}")
        saved = self.origin, self.owner, self._at
        if rest:
            self.origin = self._name(rest[0])
        self._sets = {}
        self.depth += 1
        self.read(target)
        self.depth -= 1
        self.origin, self.owner, self._at = saved
        self._sets = {}

    def _record(self, words: list[str]) -> None:
        if words[0]:
            self.owner = self._name(words[0])
        if self.owner is None:
            raise self.fail("the first record has no owner name")
        at, ttl_seen, class_seen = 1, False, False
        while at < len(words):
            word = words[at]
            if not ttl_seen and _TTL.match(word):
                ttl_seen = True
            elif not class_seen and word.upper() in ("IN", "CLASS1"):
                class_seen = True
            else:
                break
            at += 1
        kind = words[at].upper() if at < len(words) else ""
        if not _TYPE.match(kind) or (kind not in _TYPES and not kind.startswith("TYPE")):
            raise self.fail(
                f"no record type where one must stand (found {kind[:20]!r})" if kind else "the record has no type"
            )
        self._data(kind, words[at + 1 :])

    def _data(self, kind: str, data: list[str]) -> None:
        if not data:
            raise self.fail(f"the {kind} record has no data; the file may be cut short")
        if data[0] == "\\#":  # RFC 3597 generic form: only its length can be checked
            digits = "".join(data[2:])
            if len(data) < 2 or not data[1].isdigit() or len(digits) != 2 * int(data[1]):
                raise self.fail(f"the {kind} record's generic data has another length than it says")
            if kind in ("NS", "SOA"):
                raise self.fail(f"{kind} in generic form is not read")
            return
        if kind == "NS":
            self._ns(data)
        elif kind == "SOA":
            self._soa(data)
        elif kind in ("A", "AAAA"):
            if len(data) != 1 or not _is_address(data[0], 4 if kind == "A" else 6):
                raise self.fail(f"the {kind} record's data is no address")
            if self.owner and not _covered(self.owner, self.owners, self.apex):
                self.addresses.add(self.owner)
        elif kind == "DS" and (len(data) < 4 or not all(word.isdigit() for word in data[:3])):
            raise self.fail("the DS record needs key tag, algorithm, digest type and digest")

    def _ns(self, data: list[str]) -> None:
        if len(data) != 1:
            raise self.fail("an NS record needs exactly one name server")
        target, owner = sys.intern(self._name(data[0])), self.owner or ""
        known = self.owners.get(owner)
        if known is None:
            self.owners[owner] = (target,)
        elif target not in known:
            self.owners[owner] = (*known, target)

    def _soa(self, data: list[str]) -> None:
        if len(data) != 7 or not data[2].isdigit() or not all(_TTL.match(word) for word in data[3:]):
            raise self.fail("an SOA record needs two names, a serial and four times")
        if self.apex not in (None, self.owner):
            raise self.fail(f"a second SOA, of {self.owner}: two zones in one file")
        self.apex, self.serial = self.owner, int(data[2])

    def _name(self, text: str) -> str:
        """An absolute name, lower case, without the trailing dot; the root is the empty text."""
        text = _unescape(text).lower() if "\\" in text else text.lower()
        if text == "@" or not text.endswith("."):
            if self.origin is None:
                raise self.fail(f"the relative name {text[:64]!r} stands before any $ORIGIN")
            text = self.origin if text == "@" else f"{text}.{self.origin}" if self.origin else text
        else:
            text = text[:-1]
        if text and (len(text) > 253 or not _NAME.match(text)):
            raise self.fail(f"{text[:64]!r} is no domain name")
        return text


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False


def _unescape(text: str) -> str:
    """Escapes of a name written out where the character is plain in a name, else left in their three digits."""

    def plain(match: re.Match[str]) -> str:
        code = int(match[1]) if match[1] else ord(match[2])
        return chr(code) if (chr(code).isalnum() and code < 128) or chr(code) in "-_*/" else f"\\{code:03d}"

    return re.sub(r"\\(?:([0-9]{3})|(.))", plain, text)
