"""Observation rows on disk: millions of them are written once while building and read again while publishing.

Between ``snapshot/build`` and ``snapshot/publish``; keeps memory flat whatever the number of observations.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from panopticond.shared.tables import ObservationRow

_BATCH = 2000


class Spool:
    """A temporary file of ObservationRows in the order added; a context manager, gone when left."""

    def __init__(self, directory: Path | None = None) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - closed by __exit__
        self._pending: list[ObservationRow] = []
        self._encode = msgspec.msgpack.Encoder().encode
        self._decoder = msgspec.msgpack.Decoder(list[ObservationRow])
        self.count = 0

    def __enter__(self) -> Self:
        """The spool itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close, and with it delete, the file."""
        self._file.close()

    def add(self, row: ObservationRow) -> None:
        """Append a row; written out every few thousand."""
        self._pending.append(row)
        self.count += 1
        if len(self._pending) >= _BATCH:
            self._flush()

    def __iter__(self) -> Iterator[ObservationRow]:
        """Every row from the first; nothing may be added meanwhile."""
        self._flush()
        self._file.seek(0)
        while length := self._file.read(4):
            yield from self._decoder.decode(self._file.read(int.from_bytes(length, "big")))
        self._file.seek(0, 2)

    def __len__(self) -> int:
        """How many rows were added."""
        return self.count

    def _flush(self) -> None:
        if self._pending:
            data = self._encode(self._pending)
            self._file.write(len(data).to_bytes(4, "big") + data)
            self._pending = []
