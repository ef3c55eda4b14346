"""Popular names to protect, out of a list as Tranco publishes it; read from a file, never fetched.

Read for :mod:`.lists`. A zip with one CSV, or the CSV as it is or compressed: ``rank,domain`` rows, best first, or
names alone. It is read no further than needed, and never further than :data:`READ_BYTES` of what comes out.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from arke.screening.settings import POPULAR_MOST
from panopticond.shared.errors import PanopticonError

READ_BYTES = 128 << 20
ROW_BYTES = 512
POPULAR_TOP = 1000
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")
_FOREIGN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError, OSError, ValueError
)  # fmt: skip


def popular_names(path: Path, top: int = POPULAR_TOP) -> list[str]:
    """The first ``top`` whole names of the list, A-labels, lower case; PanopticonError when it is none."""
    names: dict[str, None] = {}
    try:
        with _opened(path) as rows:
            read_bytes = 0
            while len(names) < top and read_bytes < READ_BYTES and (row := rows.readline(ROW_BYTES)):
                read_bytes += len(row)
                rank, comma, domain = row.decode("ascii", "replace").strip().partition(",")
                name = (domain if comma and rank.isdigit() else rank).strip().rstrip(".").lower()
                if _NAME.fullmatch(name):
                    names[name] = None
    except _FOREIGN as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise PanopticonError(f"{path}: cannot be read as a list of popular names: {reason or error}") from error
    if not names:
        raise PanopticonError(f"{path}: holds no `rank,domain` row; give the CSV or zip as Tranco publishes it")
    return list(names)


def popular_argument(text: str) -> tuple[Path, int]:
    """``FILE`` or ``FILE:N`` of a command line; ValueError for an N out of bounds."""
    path, colon, number = text.rpartition(":")
    if not colon or not number.isdigit() or Path(text).exists():
        return Path(text), POPULAR_TOP
    top = int(number[:9])
    if not 1 <= top <= POPULAR_MOST:
        raise ValueError(f"{text}: from 1 to {POPULAR_MOST} names")
    return Path(path), top


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """What is inside, told by the first bytes; of a zip its first CSV."""
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(0)
        if start.startswith(b"PK"):
            with zipfile.ZipFile(file) as archive:
                name = next((name for name in archive.namelist()[:10] if name.endswith((".csv", ".txt"))), None)
                if name is None:
                    raise ValueError("the zip holds no CSV")
                with archive.open(name) as rows:
                    yield rows
        elif start.startswith(b"\x1f\x8b"):
            with gzip.open(file) as inflated:
                yield cast("IO[bytes]", inflated)
        elif start.startswith(b"BZh"):
            with bz2.open(file) as rows:
                yield rows
        else:
            yield file
