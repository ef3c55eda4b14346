"""Format 1 as it was published once: a file in the tree that every later version must verify, read and judge alike."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from panopticond.report.daily import render_from_records
from panopticond.shared.minisign import PublicKey
from panopticond.shared.records import read_tables, write_records
from panopticond.shared.snapshot import FILES, verify_tree
from panopticond.snapshot.replay import replay

V1 = Path(__file__).resolve().parents[2] / "data" / "snapshots" / "v1"
COUNTS = {
    "snapshot": 1, "feed": 4, "domain": 9, "host": 9, "uri": 8, "sighting": 9, "observation": 124, "incident": 6,
}  # fmt: skip


def test_format_1_verifies_and_reads() -> None:
    """Its signature and every hash hold; each table has its rows; the text is what the writer still makes of them."""
    key = PublicKey.parse((V1 / "panopticon.pub").read_text())
    manifest = verify_tree(V1 / "2026112101", [key], tld="zz")
    assert (manifest.format, manifest.serial) == (1, 2026112101)
    assert sorted(entry.name for entry in manifest.files) == sorted(FILES)
    records = V1 / "2026112101" / "records.sql"
    tables = read_tables(records)
    assert {name: len(rows) for name, rows in tables.items() if name != "aggregate"} == COUNTS
    assert b"".join(write_records(tables)) == records.read_bytes()


def test_format_1_is_judged_as_it_was(tmp_path: Path) -> None:
    """Every published state is what its observations still say, and the report's figures are the same."""
    records = V1 / "2026112101" / "records.sql"
    assert list(replay(records)) == []
    render_from_records(records, tmp_path)
    then, now = (json.loads((at / "report.json").read_bytes()) for at in (V1 / "2026112101", tmp_path))
    for name in ("counts", "states", "total", "threats", "classes", "delegations", "coverage", "unchecked"):
        assert then[name] == now[name]


def test_its_sums_are_those_of_sha256sum() -> None:
    """SHA256SUMS is in the tool's own format and covers every file but itself and what signs it."""
    lines = (V1 / "2026112101" / "SHA256SUMS").read_text().splitlines()
    for line in lines:
        digest, name = line.split("  ")
        assert hashlib.sha256((V1 / "2026112101" / name).read_bytes()).hexdigest() == digest
    assert len(lines) == len(FILES) - 1
