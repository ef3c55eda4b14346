"""records.sql: what is written is read back, loads in SQLite, and nothing else is read."""

from __future__ import annotations

import gzip
import io
import sqlite3
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panopticond.shared.errors import RefusedError
from panopticond.shared.records import (
    decode_detail,
    encode_detail,
    header,
    plain,
    read_records,
    read_tables,
    write_records,
)
from panopticond.shared.tables import TABLES, AggregateRow, ObservationRow, SightingRow, SnapshotRow, columns

SNAPSHOT = SnapshotRow(
    tld="zz",
    serial=2026112101,
    format=1,
    from_at="2026-11-20T06:00:00Z",
    to_at="2026-11-21T06:00:00Z",
    issued="2026-11-21T06:10:00Z",
    late=0,
    checks_due=8,
    checks_done=7,
    zone_size=None,
    software="panopticon 0",
    timezone="UTC",
    vantages="near:NZ far:DE",
    tranco_list=None,
)


def sighting(text: str = "f", ended: str | None = None) -> SightingRow:
    return SightingRow(indicator="i1", feed=text, threat="phishing", first="a", last="b", ended=ended)


def whole(tables: dict) -> bytes:
    return b"".join(write_records(tables))


def rows(data: bytes) -> list:
    return list(read_records(io.BytesIO(data)))


def test_what_is_written_is_read_back() -> None:
    """Every table's row comes back equal, NULLs, quotes, signs and floats included, over more than one INSERT."""
    tables = {
        "snapshot": [SNAPSHOT],
        "sighting": [sighting(f"it's ''{at}", None if at % 2 else "z") for at in range(401)],
        "aggregate": [AggregateRow("a", "", "", -1.0, None, 0.1), AggregateRow("b", "", "", 1e300, 1e-7, 12.5)],
    }
    found = rows(whole(tables))
    assert found == [(name, row) for name in TABLES for row in tables.get(name, [])]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_text_is_plain_and_survives(text: str) -> None:
    """Any text becomes printable ASCII without a backslash, once and for all, and is read back as written."""
    once = plain(text)
    assert once.isascii()
    assert "\\" not in once
    assert plain(once) == once
    assert rows(whole({"sighting": [sighting(text)]}))[0][1].feed == once


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(max_size=9), st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=4))
def test_detail_survives(detail: dict[str, str]) -> None:
    """An observation's detail is the same after encoding, the SQL and decoding."""
    try:
        text = encode_detail(detail)
    except UnicodeEncodeError:
        return  # a lone surrogate never leaves a probe
    assert plain(text) == text
    assert decode_detail(text) == detail


def test_detail_without_equals_is_an_error() -> None:
    """A pair without ``=`` is a ValueError."""
    with pytest.raises(ValueError, match="no key=value"):
        decode_detail("a=1&b")


def test_sqlite_loads_it_unchanged() -> None:
    """The stdlib sqlite3 loads the file and holds the same values."""
    detail = encode_detail({"title": "Ünï \\ 'x'", "status": "200"})
    row = ObservationRow("i1", "t", "web", "http://a.zz/?q='--;", "near", "t", "live", detail)
    database = sqlite3.connect(":memory:")
    database.executescript(whole({"snapshot": [SNAPSHOT], "observation": [row]}).decode())
    found = database.execute("SELECT target, detail FROM observation").fetchall()
    database.close()
    assert found == [("http://a.zz/?q='--;", detail)]


EVIL = [
    "DROP TABLE uri;\n",
    "INSERT INTO snapshot VALUES\n(1);\n",
    "INSERT INTO sighting VALUES\n('i','f','t','a','b',NULL); DROP TABLE uri;\n",
    "INSERT INTO sighting VALUES\n('i','f','t','a','b',load_extension('x'));\n",
    "INSERT INTO sighting VALUES\n('i','f','t','a','b','\\');\n",
    "INSERT INTO sighting VALUES\n('i','f','t','a',NULL,NULL);\n",
    "INSERT INTO sighting VALUES\n('i','f','t','a','b','c',1);\n",
    "INSERT INTO sighting VALUES\n('i','f','t','a','b','it's');\n",
    "INSERT INTO sighting VALUES\n('i','f','t','a','b',NULL),\n",
    "INSERT INTO aggregate VALUES\n('a','','',nan,NULL,NULL);\n",
    (
        "INSERT INTO aggregate VALUES\n('a','','',1.0,NULL,NULL);\n"
        "INSERT INTO sighting VALUES\n('i','f','t','a','b',NULL);\n"
    ),
    "insert into sighting values\n('i','f','t','a','b',NULL);\n",
    "-- a comment\n",
    "\n",
    "ATTACH 'x' AS y;\n",
]


@pytest.mark.parametrize("evil", EVIL)
def test_anything_else_is_refused_with_its_line(evil: str) -> None:
    """What is not of the dialect is refused, naming the line."""
    with pytest.raises(RefusedError, match=r"line [0-9]+"):
        rows((header() + evil + "COMMIT;\n").encode())


def test_damaged_frames_are_refused() -> None:
    """A changed header, text after the end, a missing end, non-ASCII and an endless line are refused."""
    good = whole({"snapshot": [SNAPSHOT], "sighting": [sighting()]})
    for bad in (
        good.replace(b"TEXT NOT NULL", b"TEXT DEFAULT (hex(1))", 1),
        good + b"DROP TABLE uri;\n",
        good.replace(b"COMMIT;\n", b""),
        good[:-1],
        good.replace(b"panopticon 0", "panopticón".encode()),
        good.replace(b"panopticon 0", b"x" * 300_000),
        good.replace(b"\n", b"\r\n"),
        b"",
    ):
        with pytest.raises(RefusedError):
            rows(bad)
    with pytest.raises(RefusedError, match="more than 1 rows"):
        list(read_records(io.BytesIO(good), row_limit=1))


def test_more_than_200_rows_in_an_insert_are_refused() -> None:
    """An INSERT of 201 rows is not the dialect's."""
    line = "('i','f','t','a','b',NULL)"
    with pytest.raises(RefusedError):
        rows((header() + "INSERT INTO sighting VALUES\n" + ",\n".join([line] * 201) + ";\nCOMMIT;\n").encode())


def test_a_file_is_read_whole_or_refused(tmp_path: Path) -> None:
    """``read_tables`` reads plain and gzip files alike, and refuses a cut one and one without its snapshot row."""
    data = whole({"snapshot": [SNAPSHOT], "sighting": [sighting()]})
    (tmp_path / "r.sql").write_bytes(data)
    (tmp_path / "r.sql.gz").write_bytes(gzip.compress(data))
    assert read_tables(tmp_path / "r.sql") == read_tables(tmp_path / "r.sql.gz")
    (tmp_path / "r.sql.gz").write_bytes(gzip.compress(data)[:-20])
    with pytest.raises(RefusedError):
        read_tables(tmp_path / "r.sql.gz")
    (tmp_path / "r.sql").write_bytes(whole({}))
    with pytest.raises(RefusedError, match="snapshot has 0 rows"):
        read_tables(tmp_path / "r.sql")


def test_values_that_cannot_be_written() -> None:
    """A value MariaDB's TEXT cannot hold, and a figure that is no number, are errors of the writer."""
    with pytest.raises(ValueError, match="does not fit"):
        whole({"sighting": [sighting("x" * 60_001)]})
    with pytest.raises(ValueError, match="finite"):
        whole({"aggregate": [AggregateRow("a", "", "", float("nan"), None, None)]})


def test_reading_is_fast() -> None:
    """A reader takes observations at a good rate (the bench measures; this only guards against a collapse)."""
    row = ObservationRow(
        "i0123456789abcdef", "2026-11-21T06:00:00Z", "web", "http://a.example.zz/x", "near", "t", "live", "a=1"
    )
    data = whole({"observation": [row] * 40_000})
    start = time.perf_counter()
    assert len(rows(data)) == 40_000
    assert 40_000 / (time.perf_counter() - start) > 30_000


def test_every_column_has_a_type() -> None:
    """Each table's columns are TEXT, INTEGER or DOUBLE PRECISION."""
    kinds = {kind for row in TABLES.values() for _, kind, _ in columns(row)}
    assert kinds == {"TEXT", "INTEGER", "DOUBLE PRECISION"}
