"""A zone file's bytes as lines, or as blocks of whole lines that one regular expression takes apart at once.

Below :mod:`panopticond.shared.zone`, which knows what records mean. Files may be compressed; a line is bounded; foreign
errors become PanopticonError with the line reached. Registries write most of a zone in one canonical form, a record a
line, five words, nothing special: :data:`RECORDS` finds those in C, and hands every other line over as it is.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Self

from panopticond.shared.errors import PanopticonError

LINE_LIMIT_BYTES = 64 << 10  # the longest legal record in presentation form is shorter
BLOCK_BYTES = 1 << 20
_OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
_PLAIN = r"!#%&'*+,\-/0-9:<=>?\[\]^_`a-z{|}~"
_OWNER = rf"[{_PLAIN}]{{1,63}}+(?:\.[{_PLAIN}]{{1,63}}+)*+\.?"  # possessive: no line is tried twice
_BEFORE, _END = r"[\t ]++(?:[0-9]++[\t ]++)?(?:in[\t ]++)?", r"[\t ]*+\r?\n"
_DS = r"ds[\t ]+[0-9]{1,5}[\t ]+[0-9]{1,3}[\t ]+[0-9]{1,3}[\t ]+[0-9a-f]+"
RECORDS = re.compile(
    rf"({_OWNER}){_BEFORE}(?:ns[\t ]++([{_PLAIN}.]++){_END}(?:\1?{_BEFORE}ns[\t ]++([{_PLAIN}.]++){_END})?|{_DS}{_END})"
    r"|(.*\n)"
)
"""For a block in lower case: (owner, name server, the next line's name server of the same owner or nothing, nothing);
for a DS (owner, and nothing else); for any other line ("", "", "", the line)."""


class Lines:
    """The lines of one file in order, singly or in blocks; a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.number = 0
        """Of the last line given out; a caller that takes a block apart adds its lines itself."""
        self._waiting: deque[bytes] = deque()
        self._rest = b""
        self._stream: IO[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            with self.path.open("rb") as probe:
                opener = _OPENERS.get(probe.read(2), open)
            self._stream = opener(self.path, "rb")
        except OSError as error:
            raise PanopticonError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        while (line := self.line()) is not None:
            yield self.number, line

    def line(self) -> bytes | None:
        """The next line with its end, None after the last; the last may lack its end."""
        if not self._waiting:
            block = self.block()
            if block is None:
                return None
            self.put_back(block)
        self.number += 1
        return self._waiting.popleft()

    def block(self) -> bytes | None:
        """As many whole lines as about a mebibyte holds, None after the last; an unended last line comes alone."""
        if self._waiting:
            block = b"".join(self._waiting)
            self._waiting.clear()
            return block
        data = self._rest
        while (end := data.rfind(b"\n")) < 0:
            if len(data) > LINE_LIMIT_BYTES:
                raise PanopticonError(f"{self.path}:{self.number + 1}: line longer than {LINE_LIMIT_BYTES} bytes")
            more = self._read()
            if not more:
                self._rest = b""
                return data or None
            data += more
        self._rest = data[end + 1 :]
        return data[: end + 1]

    def put_back(self, block: bytes) -> None:
        """Lines to be given out singly, before anything else."""
        lines = block.split(b"\n")
        tail = lines.pop()
        self._waiting.extend(line + b"\n" for line in lines)
        if tail:
            self._waiting.append(tail)
        for at, line in enumerate(self._waiting, self.number + 1):
            if len(line) > LINE_LIMIT_BYTES:
                raise PanopticonError(f"{self.path}:{at}: line longer than {LINE_LIMIT_BYTES} bytes")

    @property
    def waiting(self) -> bool:
        """Whether lines that were put back are still to be given out."""
        return bool(self._waiting)

    def _read(self) -> bytes:
        assert self._stream is not None  # noqa: S101 - the context manager opened it
        try:
            return self._stream.read(BLOCK_BYTES)
        except (EOFError, zlib.error, lzma.LZMAError) as error:
            raise PanopticonError(
                f"{self.path}:{self.number + 1}: the compressed file is cut short or damaged: {error}"
            ) from error
        except OSError as error:
            raise PanopticonError(f"{self.path}: cannot be read: {error.strerror or error}") from error
