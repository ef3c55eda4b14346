"""Observation rows on disk: millions of them are written once while building and copied once while publishing.

Between ``snapshot/build`` and ``snapshot/publish``; keeps memory flat whatever the number of observations. What lies on
disk is the finished text of records.sql, so that publishing it is copying it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from panopticond.shared.records import CHUNK_BYTES, ROWS_PER_INSERT, insert


class Spool:
    """A temporary file of INSERTs, rows in the order added; a context manager, gone when left."""

    def __init__(self, directory: Path | None = None) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - closed by __exit__
        self._waiting: list[str] = []
        self._count = 0

    def __enter__(self) -> Self:
        """The spool itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close, and with it delete, the file."""
        self._file.close()

    def add(self, rows: Sequence[str]) -> None:
        """Append rows as ``records.insert`` takes them; blocking."""
        self._count += len(rows)
        waiting = self._waiting
        waiting.extend(rows)
        if len(waiting) >= ROWS_PER_INSERT:
            whole = len(waiting) - len(waiting) % ROWS_PER_INSERT
            for start in range(0, whole, ROWS_PER_INSERT):
                self._file.write(insert("observation", waiting[start : start + ROWS_PER_INSERT]))
            del waiting[:whole]

    def __iter__(self) -> Iterator[bytes]:
        """Every INSERT from the first, in pieces of any size; nothing may be added meanwhile or after."""
        self._file.seek(0)
        while piece := self._file.read(CHUNK_BYTES):
            yield piece
        if self._waiting:
            yield insert("observation", self._waiting)

    def __len__(self) -> int:
        """How many rows were added."""
        return self._count
