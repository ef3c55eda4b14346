"""Whether an e-mail address of a captured feed is found in anything a run made: plain, percent-encoded or in base64.

Last step of a replay. It shares no code with the masking it checks: what a reader with an editor, a percent decoder and
a base64 decoder could find in the captures is looked for, the same three ways, in every file that came of them.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

from panopticond.feeds.inflate import Body
from tests.lab.collect import Needle

_ADDRESS = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._%+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
_TOKEN = re.compile(rb"[A-Za-z0-9+/_-]{12,}")
_STANDARD = bytes.maketrans(b"-_", b"+/")
_LIMIT = 1 << 30
DECODINGS = 3
"""Percent-decoded so often: links are encoded into links."""


def addresses_of(captures: Iterable[Path]) -> frozenset[str]:
    """Every address in the captures, lower case."""
    found: set[bytes] = set()
    for path in captures:
        for text in readings(_content(path)):
            if b"@" in text:
                found.update(_ADDRESS.findall(text))
    return frozenset(address.decode("ascii").lower() for address in found)


def found_in(addresses: Iterable[str], files: Iterable[Path]) -> dict[Path, int]:
    """The files in which any of the addresses is found, with how many bytes of them."""
    needle = Needle(addresses)
    counts = ((path, max(map(needle.bytes_in, readings(_content(path))), default=0)) for path in files)
    return {path: count for path, count in counts if count}


def readings(data: bytes) -> Iterator[bytes]:
    """``data`` as it is and percent-decoded up to three times, and after each what its base64 decodes to."""
    for _ in range(DECODINGS):
        yield data
        yield b"\n".join(_decoded(data))
        plain = unquote_to_bytes(data)
        if plain == data:
            return
        data = plain
    yield data


def _decoded(data: bytes) -> Iterator[bytes]:
    """Everything in ``data`` that could be base64, decoded from each of the four places it could begin at."""
    for token in {match[0] for match in _TOKEN.finditer(data)}:
        clean = token.translate(_STANDARD)
        for offset in range(4):
            part = clean[offset:]
            part = part[: len(part) - 1] if len(part) % 4 == 1 else part
            plain = binascii.a2b_base64(part + b"=" * (-len(part) % 4))
            if b"@" in plain or b"%40" in plain:
                yield plain.replace(b"%40", b"@")


def _content(path: Path) -> bytes:
    """What a file says, whatever it is packed in."""
    with path.open("rb") as file:
        return b"".join(Body(file, _LIMIT))
