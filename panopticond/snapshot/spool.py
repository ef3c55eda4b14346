"""Observation rows on disk: millions of them are written once while building and read again while publishing.

Between ``snapshot/build`` and ``snapshot/publish``; keeps memory flat whatever the number of observations. A row is the
one line of text it will be in records.sql.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self


class Spool:
    """A temporary file of rows in the order added; a context manager, gone when left."""

    def __init__(self, directory: Path | None = None) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - closed by __exit__
        self.count = 0

    def __enter__(self) -> Self:
        """The spool itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close, and with it delete, the file."""
        self._file.close()

    def add(self, rows: Sequence[str]) -> None:
        """Append rows, none of which holds a line end; blocking."""
        if rows:
            self._file.write(("\n".join(rows) + "\n").encode("ascii"))
            self.count += len(rows)

    def __iter__(self) -> Iterator[str]:
        """Every row from the first; nothing may be added meanwhile."""
        self._file.seek(0)
        for line in self._file:
            yield line[:-1].decode("ascii")
        self._file.seek(0, 2)

    def __len__(self) -> int:
        """How many rows were added."""
        return self.count
