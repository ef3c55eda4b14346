"""The dialect of records.sql: plain SQL out, and a reader that recognises exactly that text and executes nothing.

Between ``snapshot/build`` (rows) and ``snapshot/publish`` (bytes) on one side, ``report``, ``replay-verdict`` and arke
(bytes to rows) on the other. The text loads unchanged into SQLite, PostgreSQL and MariaDB: CREATE TABLEs first (MariaDB
commits at each), then BEGIN, INSERTs of at most 200 rows, one row a line, and COMMIT; printable ASCII without a
backslash, because MariaDB would interpret one. Described for people in docs/reference/records.md.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import math
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes

import msgspec

from panopticond.shared.errors import RefusedError
from panopticond.shared.tables import FORMAT, TABLES, columns

ROWS_PER_INSERT = 200
LINE_LIMIT = 256 << 10
"""Characters in a line (one row); the longest a writer makes is far below."""
TEXT_LIMIT = 60_000
"""Characters in one value: MariaDB's TEXT holds 65,535 bytes."""
ROW_LIMIT = 50_000_000
"""Rows in a file before a reader gives up."""
INFLATED_LIMIT_BYTES = 16 << 30
CHUNK_BYTES = 1 << 20

_UNSAFE = re.compile(r"[^A-Za-z0-9!*'(),\-./:;?@_~ $]+")
_REMEMBERED, _REMEMBERED_CHARACTERS = 4096, 512
"""Pairs of details kept as encoded, and how long the value of one may be: two megabytes together at the most."""
_BAD = re.compile(r"[^ -\[\]-~]+")
_TEXT = r"'([ -&(-\[\]-~]*+(?:''[ -&(-\[\]-~]*+)*+)'"
_INTEGER = r"(0|-?[1-9][0-9]{0,17})"
_FLOAT = r"(-?[0-9]{1,17}(?:\.[0-9]{1,20})?(?:e[+-]?[0-9]{1,3})?)"
_PATTERNS = {"TEXT": _TEXT, "INTEGER": _INTEGER, "DOUBLE PRECISION": _FLOAT}


def header() -> str:
    """The exact first lines of every file of this format: a comment, the CREATE TABLEs, BEGIN."""
    lines = [
        f"-- Panopticon records, format {FORMAT}: the raw data behind one published snapshot.",
        "-- Loads into SQLite, PostgreSQL and MariaDB. Verify manifest.json.minisig before you trust a line of it.",
    ]
    for table, row in TABLES.items():
        lines.append(f"CREATE TABLE {table} (")
        found = columns(row)
        for at, (name, kind, nullable) in enumerate(found):
            comma = "," if at + 1 < len(found) else ""
            lines.append(f"  {name} {kind}{'' if nullable else ' NOT NULL'}{comma}")
        lines.append(");")
    lines.append("BEGIN;")
    return "\n".join(lines) + "\n"


TRAILER = "COMMIT;\n"


def plain(text: str) -> str:
    """``text`` as the dialect holds it: what is no printable ASCII, and the backslash, percent-encoded as UTF-8."""
    if text.isascii() and text.isprintable() and "\\" not in text:
        return text
    return _BAD.sub(_percent, text)


def write_records(tables: Mapping[str, Iterable[msgspec.Struct | bytes]]) -> Iterator[bytes]:
    """The bytes of a records.sql, in pieces; tables in format order, rows in the order given.

    ``bytes`` among a table's rows are whole INSERTs, as :func:`insert` makes them, or pieces of such. Raises
    ``ValueError`` for a value longer than ``TEXT_LIMIT`` or a float that is no number; text is put through
    :func:`plain`, so what a caller gives and what a reader gets differ only where it was not plain already.
    """
    yield header().encode("ascii")
    for table, row in TABLES.items():
        writers = [_writer(kind) for _, kind, _ in columns(row)]
        batch: list[str] = []
        for item in tables.get(table, ()):
            if isinstance(item, bytes):
                yield item
                continue
            values = zip(writers, msgspec.structs.astuple(item), strict=True)
            batch.append("(" + ",".join([write(value) for write, value in values]) + ")")
            if len(batch) == ROWS_PER_INSERT:
                yield insert(table, batch)
                batch = []
        if batch:
            yield insert(table, batch)
    yield TRAILER.encode("ascii")


def insert(table: str, rows: Sequence[str]) -> bytes:
    """One INSERT of at most ``ROWS_PER_INSERT`` rows, each ``(value,value)`` as :func:`sql_text` writes values."""
    return (f"INSERT INTO {table} VALUES\n" + ",\n".join(rows) + ";\n").encode("ascii")


def _writer(kind: str) -> Callable[[Any], str]:
    if kind == "TEXT":
        return sql_text
    return _write_integer if kind == "INTEGER" else _write_float


def sql_text(value: str | None) -> str:
    """A text as it stands in records.sql: plain, in quotes; ``ValueError`` over ``TEXT_LIMIT``."""
    if value is None:
        return "NULL"
    text = plain(value)
    if len(text) > TEXT_LIMIT:
        raise ValueError(f"a value of {len(text)} characters does not fit records.sql; the limit is {TEXT_LIMIT}")
    return "'" + text.replace("'", "''") + "'"


def _write_integer(value: int | None) -> str:
    return "NULL" if value is None else str(int(value))


def _write_float(value: float | None) -> str:
    if value is None:
        return "NULL"
    if not math.isfinite(value):
        raise ValueError("a figure that is no finite number cannot be written to records.sql")
    return repr(float(value))


def read_records(source: BinaryIO | Iterable[bytes], *, row_limit: int = ROW_LIMIT) -> Iterator[tuple[str, Any]]:
    """(table, row) of every row in a records.sql, as it streams by; rows are the structs of ``shared/tables``.

    Recognises exactly the text :func:`write_records` makes and executes nothing. Raises ``RefusedError`` naming the
    line at the first byte that is not of the dialect; a caller must therefore use nothing before the end is reached.
    """
    lines = _lines(_chunks(source))
    for at, expected in enumerate(header().splitlines(), 1):
        if next(lines, None) != expected:
            raise RefusedError(f"records.sql line {at}: not the text of format {FORMAT}; refused")
    openings = {f"INSERT INTO {table} VALUES": (at, table) for at, table in enumerate(TABLES)}
    number, rows, place = len(header().splitlines()), 0, 0
    for line in lines:
        number += 1
        if line == TRAILER.strip():
            if next(lines, None) is not None:
                raise RefusedError(f"records.sql line {number + 1}: text after the end; refused")
            return
        at, table = openings.get(line, (-1, ""))
        if at < place:
            raise RefusedError(f"records.sql line {number}: neither an INSERT in its order nor COMMIT; refused")
        place, read = at, _ROW_READERS[table]
        for count in range(1, ROWS_PER_INSERT + 1):
            number += 1
            text = next(lines, "")
            row = read(text)
            if row is None or (count == ROWS_PER_INSERT and not text.endswith(";")):
                raise RefusedError(f"records.sql line {number}: no row of table {table}; refused")
            rows += 1
            if rows > row_limit:
                raise RefusedError(f"records.sql line {number}: more than {row_limit} rows; refused")
            yield table, row
            if text.endswith(";"):
                break
    raise RefusedError(f"records.sql line {number + 1}: the file ends before COMMIT; refused")


def read_tables(
    path: Path,
    *,
    row_limit: int = ROW_LIMIT,
    opened: BinaryIO | None = None,
    kept: Callable[[Iterable[tuple[str, Any]]], dict[str, list[Any]]] | None = None,
) -> dict[str, list[Any]]:
    """Every table of a records.sql (or ``.gz``) in memory; ``RefusedError`` when it is not of the dialect.

    ``opened``: the file as its reader has it open already, so that what was hashed is what is read. ``kept`` makes
    the tables of the rows as they stream by, where not all are wanted; left out, all are.
    """
    try:
        with contextlib.closing(open_records(path, opened)) as stream:
            tables = (kept or _all)(read_records(stream, row_limit=row_limit))
    except (OSError, EOFError, zlib.error) as error:
        raise RefusedError(f"{path}: cannot be read: {error}") from error
    if len(tables["snapshot"]) != 1:
        raise RefusedError(f"{path}: table snapshot has {len(tables['snapshot'])} rows, not one; refused")
    return tables


def _all(rows: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
    tables: dict[str, list[Any]] = {table: [] for table in TABLES}
    for table, row in rows:
        tables[table].append(row)
    return tables


def open_records(path: Path, opened: BinaryIO | None = None) -> BinaryIO:
    """A records.sql open for :func:`read_records`, inflated on the way when it ends in ``.gz``; OSError as usual."""
    if path.suffix == ".gz":
        return gzip.open(opened or path, "rb")  # type: ignore[return-value]
    return opened or path.open("rb")


def encode_detail(detail: Mapping[str, str]) -> str:
    """An observation's detail as one text: ``key=value`` percent-encoded (UTF-8), sorted by key, joined by ``&``."""
    return "&".join(
        [
            _known_pair(key, value) if len(value) <= _REMEMBERED_CHARACTERS else _pair(key, value)
            for key, value in sorted(detail.items())
        ]
    )


def _pair(key: str, value: str) -> str:
    return f"{_UNSAFE.sub(_percent, key)}={_UNSAFE.sub(_percent, value)}"


_known_pair = functools.lru_cache(maxsize=_REMEMBERED)(_pair)
"""The same; most of what is seen of a name is what was seen of it six hours before."""


def decode_detail(text: str) -> dict[str, str]:
    """The detail :func:`encode_detail` wrote; raises ``ValueError`` for a pair without ``=``, or not UTF-8."""
    pairs = (pair.partition("=") for pair in text.split("&")) if text else ()
    found: dict[str, str] = {}
    for key, equals, value in pairs:
        if not equals:
            raise ValueError(f"{key[:40]!r} is no key=value pair")
        found[_decode(key)] = _decode(value)
    return found


def _percent(match: re.Match[str]) -> str:
    return "%" + match[0].encode("utf-8", "replace").hex("%").upper()


def _decode(text: str) -> str:
    return unquote_to_bytes(text).decode() if "%" in text else text


def _row_reader(row: type[msgspec.Struct]) -> Callable[[str], Any]:
    """A function from a line to a row, or None where the line is not one."""
    found = columns(row)
    cells = [f"(?:NULL|{_PATTERNS[kind]})" if nullable else _PATTERNS[kind] for _, kind, nullable in found]
    match = re.compile(r"\(" + ",".join(cells) + r"\)[,;]").fullmatch
    texts = [at for at, (_, kind, _) in enumerate(found) if kind == "TEXT"]
    numbers = [(at, int if kind == "INTEGER" else float) for at, (_, kind, _) in enumerate(found) if kind != "TEXT"]

    def read(line: str) -> Any:
        hit = match(line)
        if hit is None:
            return None
        values: list[Any] = list(hit.groups())
        if "''" in line:
            for at in texts:
                if values[at]:
                    values[at] = values[at].replace("''", "'")
        for at, number in numbers:
            if values[at] is not None:
                values[at] = number(values[at])
        return row(*values)

    return read


_ROW_READERS = {table: _row_reader(row) for table, row in TABLES.items()}


def _chunks(source: BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    read = getattr(source, "read", None)
    if read is None:
        yield from source
        return
    total = 0
    while chunk := read(CHUNK_BYTES):
        total += len(chunk)
        if total > INFLATED_LIMIT_BYTES:
            raise RefusedError(f"records.sql: larger than {INFLATED_LIMIT_BYTES} bytes; refused")
        yield chunk


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines without their end; the last must have one. Memory is bounded by a chunk and one line."""
    rest, number = "", 0
    for chunk in chunks:
        try:
            text = rest + chunk.decode("ascii")
        except UnicodeDecodeError as error:
            number += chunk[: error.start].count(b"\n")
            raise RefusedError(f"records.sql line {number + 1}: a byte that is not ASCII; refused") from error
        *whole, rest = text.split("\n")
        number += len(whole)
        if len(rest) > LINE_LIMIT or any(len(line) > LINE_LIMIT for line in whole):
            raise RefusedError(f"records.sql near line {number + 1}: a line of over {LINE_LIMIT} characters; refused")
        yield from whole
    if rest:
        raise RefusedError(f"records.sql line {number + 1}: the last line has no end; refused")
