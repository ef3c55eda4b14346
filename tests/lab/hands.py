"""A policy clock moved by hand and read by two processes: eight bytes of a file mapped by both.

For the soak, which leaps from check to check: its servers, in a process of their own, must act out the same moment.
"""

from __future__ import annotations

import datetime as dt
import mmap
import struct
from pathlib import Path

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_FORM = struct.Struct("<q")


class Hands:
    """Policy time in microseconds since 1970, in the file at ``path``; ``start`` makes the file."""

    scale = 1.0

    def __init__(self, path: Path, start: dt.datetime | None = None) -> None:
        if start is not None:
            path.write_bytes(bytes(_FORM.size))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _FORM.size)
        if start is not None:
            self.move(start)

    def now(self) -> dt.datetime:
        """Policy time, UTC."""
        return _EPOCH + dt.timedelta(microseconds=_FORM.unpack(self._shared[:])[0])

    def move(self, to: dt.datetime) -> None:
        """Set the hands; both processes see it at once."""
        self._shared[:] = _FORM.pack((to - _EPOCH) // _MICROSECOND)
