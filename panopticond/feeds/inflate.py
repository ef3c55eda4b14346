"""Compressed bodies to plain bytes, bounded: gzip (many members), bzip2, zip, zstd, bare; told by their first bytes.

Between ``fetch`` and ``lines``. Nothing raises: what could be read is handed on and ``problem`` says what went
wrong, so a cut archive keeps its good rows.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Protocol

import zstandard

BLOCK = 1 << 17
LAYERS = 3  # a gzip file sent with Content-Encoding: gzip is two
MEMBERS = 16  # of a zip
ZSTD_SLICE = 256
_ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    ArithmeticError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    ValueError,
)
"""What zipfile raises on hostile archives, found by fuzzing."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Body:
    """A body on disk, read as plain bytes by iterating; afterwards ``problem`` is None or what was wrong with it."""

    def __init__(self, file: BinaryIO, limit_bytes: int) -> None:
        self._file = file
        self._limit = limit_bytes
        self.problem: str | None = None
        """``truncated``, ``corrupt``, ``too-large``, ``encrypted`` or ``too-many-members``."""
        self.plain_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        chunks = self._opened(_blocks(self._file), self._file, LAYERS)
        for chunk in chunks:
            self.plain_bytes += len(chunk)
            if self.plain_bytes > self._limit:
                self.problem = "too-large"
                return
            yield chunk

    def _opened(self, chunks: Iterator[bytes], file: BinaryIO | None, layers: int) -> Iterator[bytes]:
        first = next(chunks, b"")
        while len(first) < 4 and (more := next(chunks, b"")):
            first += more
        if layers and first.startswith(b"PK\x03\x04") and file is not None:
            yield from self._zip(file, layers)
            return
        rest = _chain(first, chunks)
        if not layers:
            yield from rest
        elif first.startswith(b"\x1f\x8b"):
            yield from self._opened(self._gzip(rest), None, layers - 1)
        elif first.startswith(b"BZh"):
            yield from self._opened(self._bzip2(rest), None, layers - 1)
        elif first.startswith(b"\x28\xb5\x2f\xfd"):
            yield from self._opened(self._zstd(rest), None, layers - 1)
        else:
            yield from rest

    def _gzip(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        decoder = zlib.decompressobj(31)
        started = False
        for chunk in chunks:
            data = chunk
            while data:
                if decoder.eof:  # the next member, or padding
                    data = data.lstrip(b"\0")
                    if not data:
                        break
                    decoder, started = zlib.decompressobj(31), False
                try:
                    out = decoder.decompress(data, BLOCK)
                except zlib.error:
                    self.problem = "corrupt"
                    return
                started = True
                data = decoder.unconsumed_tail or decoder.unused_data
                if out:
                    yield out
                elif not data:
                    break
            while started and not decoder.eof and (out := decoder.decompress(b"", BLOCK)):
                yield out
        if started and not decoder.eof:
            self.problem = "truncated"

    def _bzip2(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        decoder = bz2.BZ2Decompressor()
        for chunk in chunks:
            data = chunk
            while True:
                if decoder.eof:
                    data = decoder.unused_data + data
                    if not data:
                        break
                    decoder = bz2.BZ2Decompressor()
                try:
                    out = decoder.decompress(data, BLOCK)
                except (OSError, ValueError, EOFError):
                    self.problem = "corrupt"
                    return
                data = b""
                if out:
                    yield out
                if decoder.eof:
                    continue
                if decoder.needs_input:
                    break
        if not decoder.eof:
            self.problem = "truncated"

    def _zstd(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        decoder = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        fed = False
        for chunk in chunks:
            data = chunk
            while data:
                if decoder.eof:
                    decoder, fed = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj(), False
                # decompressobj has no output limit; a slice this short cannot hold blocks of more than 8 MiB
                piece, data = data[:ZSTD_SLICE], data[ZSTD_SLICE:]
                try:
                    out = decoder.decompress(piece)
                except zstandard.ZstdError:
                    self.problem = "corrupt"
                    return
                fed = True
                if decoder.eof:
                    data = decoder.unused_data + data
                if out:
                    yield out
        if fed and not decoder.eof:
            self.problem = "truncated"

    def _zip(self, file: BinaryIO, layers: int) -> Iterator[bytes]:
        try:
            archive = zipfile.ZipFile(file)
        except _ZIP_FAULTS:
            self.problem = "truncated"
            return
        with archive:
            members = [member for member in archive.infolist() if not member.filename.endswith("/")]
            if len(members) > MEMBERS:
                self.problem = "too-many-members"
                return
            for member in members:
                try:
                    with archive.open(member) as plain:
                        yield from self._opened(_blocks(plain), None, layers - 1)
                    yield b"\n"  # a member that ends without a line end does not run into the next
                except RuntimeError:
                    self.problem = "encrypted"
                except _ZIP_FAULTS:
                    self.problem = "corrupt"


def _blocks(file: _Readable) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest
