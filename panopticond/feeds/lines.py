"""Bytes into bounded lines: what every parser reads.

Between ``inflate`` and ``formats``. A line longer than LINE_LIMIT comes in pieces of that length, only the last with
its end, so a body without line ends needs no more memory than another. A UTF-16 body (by its byte order mark) becomes
UTF-8 on the way; a UTF-8 mark is dropped.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator

LINE_LIMIT = 1 << 18
"""Bytes in the longest piece handed on."""


def lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    r"""The lines in ``chunks`` with their ends (``\n``, ``\r\n`` or ``\r``), overlong ones in pieces."""
    carry = b""
    for chunk in _as_utf8(chunks):
        data = carry + chunk if carry else chunk
        pieces = data.splitlines(keepends=True)
        # the last piece may go on in the next chunk; a bare \r may be half of \r\n
        carry = pieces.pop() if pieces and not pieces[-1].endswith(b"\n") else b""
        if len(data) <= LINE_LIMIT:
            yield from pieces
        else:
            for piece in pieces:
                yield from _cut(piece)
        while len(carry) > LINE_LIMIT:
            yield carry[:LINE_LIMIT]
            carry = carry[LINE_LIMIT:]
    if carry:
        yield from _cut(carry)


def whole(pieces: Iterable[bytes]) -> Iterator[bytes | None]:
    """One item a line for line-wise formats: the line, or None once for a line that is too long."""
    skipping = False
    for piece in pieces:
        if not skipping and len(piece) < LINE_LIMIT:
            yield piece
            continue
        ended = piece.endswith((b"\n", b"\r"))
        if not skipping:
            yield piece if ended else None
        skipping = not ended


def _cut(piece: bytes) -> Iterator[bytes]:
    if len(piece) <= LINE_LIMIT:
        yield piece
    else:
        for at in range(0, len(piece), LINE_LIMIT):
            yield piece[at : at + LINE_LIMIT]


def _as_utf8(chunks: Iterable[bytes]) -> Iterator[bytes]:
    iterator = iter(chunks)
    first = b""
    for chunk in iterator:
        first += chunk
        if len(first) >= 3:
            break
    if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        decoder = codecs.getincrementaldecoder("utf-16")(errors="replace")
        yield decoder.decode(first).encode("utf-8", "replace")
        for chunk in iterator:
            yield decoder.decode(chunk).encode("utf-8", "replace")
        yield decoder.decode(b"", final=True).encode("utf-8", "replace")
        return
    yield first.removeprefix(codecs.BOM_UTF8)
    yield from iterator
