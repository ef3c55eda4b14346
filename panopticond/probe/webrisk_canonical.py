"""Google's canonical form of a URL, for Web Risk and nothing else (urls-hashing page of its documentation). Pure.

:mod:`panopticond.probe.webrisk` asks for this form. It differs from the WHATWG serialisation everything else here uses:
escapes are undone until nothing changes, runs of slashes and dots collapse, every spelling of an IPv4 address becomes a
dotted quad, and the port goes. Works on bytes, because escapes may hide any of them.
"""

from __future__ import annotations

import hashlib
import re

import can_ada

UNESCAPE_ROUNDS = 1024
URL_BYTES = 8192
_ESCAPE = re.compile(rb"%([0-9a-fA-F]{2})")
_SCHEME = re.compile(rb"^[a-zA-Z][a-zA-Z0-9+.-]*:")
_DOTS = re.compile(rb"\.{2,}")
_SLASHES = re.compile(rb"/{2,}")
_NUMBER = re.compile(r"^(0[xX][0-9a-fA-F]*|[0-9]+)$")


def canonical(url: str) -> str | None:
    """The canonical form, or None for what is no http, https or ftp URL with a host, or is over 8 KiB."""
    raw = url.encode("utf-8", "surrogateescape").strip(b" \t\r\n\v\f")
    for control in (b"\t", b"\r", b"\n"):
        raw = raw.replace(control, b"")
    raw = raw.partition(b"#")[0]
    if not raw or len(raw) > URL_BYTES:
        return None
    if b"://" not in raw.partition(b"?")[0]:
        named = _SCHEME.match(raw)
        # "host:80/" is a host with a port, "mailto:x" is another scheme
        if named and not raw[named.end() : named.end() + 1].isdigit():
            return None
        raw = b"http://" + raw
    scheme, _, rest = raw.partition(b"://")
    scheme = scheme.lower()
    if scheme not in {b"http", b"https", b"ftp"}:
        return None
    end = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    host = _host(rest[:end])
    if not host:
        return None
    path, mark, query = rest[end:].partition(b"?")
    shown = _escaped(_path(_unescaped(path)))
    return (scheme + b"://" + _escaped(host) + shown + mark + _escaped(_unescaped(query))).decode("ascii")


def _unescaped(data: bytes) -> bytes:
    for _ in range(UNESCAPE_ROUNDS):
        plain = _ESCAPE.sub(lambda match: bytes([int(match.group(1), 16)]), data)
        if plain == data:
            break
        data = plain
    return data


def _escaped(data: bytes) -> bytes:
    return b"".join(
        b"%%%02X" % byte if byte <= 0x20 or byte >= 0x7F or byte in b"#%" else bytes([byte]) for byte in data
    )


def _host(authority: bytes) -> bytes:
    """Host without user-info and port: unescaped, IDN to A-labels, dots tidied, IPv4 to a dotted quad, lower case."""
    host = authority.rpartition(b"@")[2]
    if host.startswith(b"["):
        return host.partition(b"]")[0].lower() + b"]"
    name, colon, port = host.rpartition(b":")
    if colon and (port.isdigit() or not port):
        host = name
    host = _DOTS.sub(b".", _unescaped(host)).strip(b".")
    host = _to_ascii(host).lower()
    address = ipv4(host.decode("latin-1"))
    return address.encode() if address is not None else host


def _to_ascii(host: bytes) -> bytes:
    if host.isascii():
        return host
    try:
        text = host.decode("utf-8")
        return str(can_ada.parse(f"http://{text}/").hostname).encode("ascii")
    except (UnicodeError, ValueError):
        return host  # no UTF-8 or no IDN: the bytes are escaped as they are


def _path(path: bytes) -> bytes:
    """Dot segments resolved, runs of slashes collapsed, at least ``/``."""
    parts: list[bytes] = []
    segments = _SLASHES.sub(b"/", path).split(b"/")[1:] if path else [b""]
    for at, segment in enumerate(segments):
        last = at == len(segments) - 1
        if segment == b"..":
            parts = parts[:-1]
        elif segment != b".":
            parts.append(segment)
            continue
        if last:
            parts.append(b"")
    return b"/" + b"/".join(parts)


def expressions(form: str) -> tuple[str, ...]:
    """What a list of Google's may hold of a canonical URL: up to five hosts with up to six paths each, the URL first.

    A list entry is the SHA-256 of one of them (:func:`full_hash`), so this says which entries a look-up would meet: the
    exact host and up to four suffixes out of its last five labels, never the TLD alone, of an address only itself; the
    path with its query, the path, the root and the first three directories.
    """
    authority, slash, rest = form.partition("://")[2].partition("/")
    path, mark, query = (slash + rest).partition("?")
    labels = authority.split(".")
    literal = authority.startswith("[") or ipv4(authority) is not None
    hosts = [authority] + ([] if literal else [".".join(labels[-size:]) for size in (5, 4, 3, 2) if size < len(labels)])
    folders = path.split("/")[1:-1]
    paths = [path + mark + query, path, "/", *("/" + "/".join(folders[:deep]) + "/" for deep in (1, 2, 3))]
    return tuple(dict.fromkeys(host + one for host in hosts for one in paths[: 3 + len(folders)]))


def full_hash(expression: str) -> bytes:
    """The hash a list is keyed by; its first four octets are the prefix."""
    return hashlib.sha256(expression.encode("ascii")).digest()


def ipv4(host: str) -> str | None:
    """The dotted quad of an IPv4 address in any inet_aton spelling; None when it is a name.

    As the old resolvers did, a spelling of at most 15 characters may be followed by a space and anything.
    """
    head = host.partition(" ")[0] if len(host.partition(" ")[0]) <= 15 else host
    parts = head.split(".")
    if not 1 <= len(parts) <= 4 or not all(_NUMBER.match(part) for part in parts):
        return None
    numbers = []
    for part in parts:
        base = 16 if part[:2].lower() == "0x" else 8 if part.startswith("0") and len(part) > 1 else 10
        try:
            numbers.append(int(part[2:] or "0", 16) if base == 16 else int(part, base))
        except ValueError:
            return None
    # Web Risk's own vectors let a number overflow its part: only the low bits count (276.2.3 is 20.2.0.3).
    value = 0
    for number in numbers[:-1]:
        value = (value << 8) | (number & 0xFF)
    left_bits = 8 * (4 - len(numbers) + 1)
    value = (value << left_bits) | (numbers[-1] & ((1 << left_bits) - 1))
    return ".".join(str(value >> shift & 0xFF) for shift in (24, 16, 8, 0))
