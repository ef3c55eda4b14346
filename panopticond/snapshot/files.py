"""The files beside records.sql, from the tables, in pieces: uris.csv, domains.csv, aggregates.json, misp.json.

Between build and publish; pure and deterministic, so that the same tables always give the same bytes.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import operator
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from panopticond.shared.clock import parse_rfc3339
from panopticond.shared.records import plain
from panopticond.shared.tables import DomainRow, HostRow, SnapshotRow, UriRow

_URI_COLUMNS = (
    "indicator", "uri", "host", "domain", "scope", "threats", "state", "since", "validated", "flags",
    "first_active", "last_active", "first_gone",
)  # fmt: skip
_PIECE_CHARACTERS = 1 << 16
_NAMESPACE = uuid.UUID("6f1f7a3c-7f0b-5b7e-9a0a-2f4f6f0c51d1")
_FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet would take for a formula at the start of a cell."""


def uris_csv(tables: Mapping[str, Sequence[Any]]) -> Iterator[bytes]:
    """Every indicator, URIs first, then the host-level ones with an empty ``uri``; RFC 4180 with a heading."""
    values = operator.attrgetter(*_URI_COLUMNS)
    hosts = ([*values(_Host(host))] for host in tables["host"] if host.indicator is not None)
    return _csv(itertools.chain([_URI_COLUMNS], map(values, tables["uri"]), hosts))


class _Host:
    """A host-level row with the names a URI's has."""

    def __init__(self, row: HostRow) -> None:
        self._row = row
        self.uri, self.host = "", row.name

    def __getattr__(self, name: str) -> Any:
        return getattr(self._row, name)


def domains_csv(tables: Mapping[str, Sequence[Any]]) -> Iterator[bytes]:
    """Every registered domain with all its columns; RFC 4180 with a heading."""
    return _csv(itertools.chain([DomainRow.__struct_fields__], map(msgspec.structs.astuple, tables["domain"])))


def aggregates_json(tables: Mapping[str, Sequence[Any]]) -> bytes:
    """Every figure with the interval it is about."""
    snapshot: SnapshotRow = tables["snapshot"][0]
    said = {
        "tld": snapshot.tld,
        "serial": snapshot.serial,
        "from": snapshot.from_at,
        "to": snapshot.to_at,
        "aggregates": [msgspec.structs.asdict(row) for row in tables["aggregate"]],
    }
    return json_bytes(said)


def misp_json(tables: Mapping[str, Sequence[Any]], redistributable: Collection[str]) -> Iterator[bytes]:
    """A MISP event of the validated indicators that may be passed on to anyone; identifiers follow from the content."""
    snapshot: SnapshotRow = tables["snapshot"][0]
    issued = parse_rfc3339(snapshot.issued)
    event = {
        "uuid": str(uuid.uuid5(_NAMESPACE, f"{snapshot.tld}/{snapshot.serial}")),
        "info": f"Validated domain abuse in .{snapshot.tld}, {snapshot.to_at}",
        "date": f"{issued:%Y-%m-%d}",
        "timestamp": str(int(issued.timestamp())),
        "threat_level_id": "2",
        "analysis": "2",
        "distribution": "0",
        "published": False,
        "Attribute": [],
    }
    head, empty, tail = json_bytes({"Event": event}).partition(b"[]")
    attributes = (
        json.dumps(_attribute(snapshot, row, issued_at=int(issued.timestamp()))).encode("ascii")
        for row in itertools.chain(tables["uri"], tables["host"])
        if row.validated == 1 and row.indicator in redistributable
    )
    first = next(attributes, None)
    if first is None:
        yield head + empty + tail
        return
    yield head + b"[\n" + first
    for attribute in attributes:
        yield b",\n" + attribute
    yield b"\n]" + tail


def json_bytes(value: object) -> bytes:
    """Deterministic JSON, one key a line, for people and programs alike."""
    return (json.dumps(value, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def _attribute(snapshot: SnapshotRow, row: UriRow | HostRow, *, issued_at: int) -> dict[str, Any]:
    kind, value = ("url", row.uri) if isinstance(row, UriRow) else ("hostname", row.name)
    return {
        "uuid": str(uuid.uuid5(_NAMESPACE, f"{snapshot.tld}/{row.indicator}")),
        "type": kind,
        "category": "Network activity",
        "to_ids": True,
        "distribution": "5",
        "timestamp": str(issued_at),
        "value": value,
        "comment": row.threats,
        "first_seen": row.first_active,
        "last_seen": row.last_active,
    }


def _csv(lines: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    for line in lines:
        writer.writerow([_cell(value) for value in line])
        if out.tell() >= _PIECE_CHARACTERS:
            yield out.getvalue().encode("ascii")
            out.seek(0)
            out.truncate()
    yield out.getvalue().encode("ascii")


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = plain(value)
    return "'" + text if text.startswith(_FORMULA) else text
