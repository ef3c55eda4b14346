"""Feeds in nobody's format: CSV, JSON and NDJSON whose columns or keys a mapping names.

The mapping is a small TOML or JSON file (``feeds parse --map``, ``map_file`` in ``[[feed]]``). Without one, columns
and keys are found by the names most providers use, and a JSON list of texts is a list of URIs or hosts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from panopticond.feeds.formats.jsonstream import CUT_SHORT, NO_JSON, RECORD, Tree, records
from panopticond.feeds.formats.records import fields
from panopticond.feeds.formats.row import (
    CHILD_ABUSE,
    HASH,
    NO_RECORD,
    SHORT,
    TOO_LONG,
    BadRow,
    Parsed,
    Row,
    text_of,
    when,
    when_unix,
)
from panopticond.feeds.formats.words import speaks_of_child_abuse, threat_of
from panopticond.feeds.lines import whole
from panopticond.model import Threat
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.settings import convert, read_json, read_toml

Where = int | str
"""A CSV column by number from 1 or by name; a JSON member by name or by path, as ``a.b``."""


class FieldMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a record's parts stand. All is optional; what is not named is found by its usual names."""

    rows: str = ""
    """JSON: the path to the records, ``*`` for every element or member, as ``data.*``; empty finds a list by itself."""
    uri: Where | None = None
    host: Where | None = None
    value: Where | None = None
    """A URI or host, whichever it looks like or ``type`` says."""
    type: Where | None = None
    """What ``value`` is: texts with ``url`` or ``uri``, ``domain`` or ``host``; all else is out of scope."""
    threat: Where | None = None
    tags: Where | None = None
    """Labels beside the threat: looked at for child abuse material, which is never kept."""
    first_seen: Where | None = None
    source_id: Where | None = None
    threats: dict[str, Threat] = {}
    """What the feed's words for a threat mean."""
    delimiter: str = ","
    header: bool = True
    """CSV: the first record names the columns."""
    comment: str = "#"


_USUAL: dict[str, tuple[str, ...]] = {
    "uri": ("url", "uri", "link", "phish_url", "phishing_url"),
    "host": ("domain", "host", "hostname", "fqdn", "domain_name"),
    "value": ("value", "indicator", "ioc", "ioc_value", "observable"),
    "type": ("type", "ioc_type", "indicator_type"),
    "threat": ("threat", "threat_type", "category", "tags"),
    "tags": ("tags", "labels", "tag", "category"),
    "first_seen": ("first_seen", "firstseen", "date", "dateadded", "date_added", "created", "timestamp"),
    "source_id": ("id", "ioc_id", "phish_id"),
}
_DEFAULT = FieldMap()


def read_map(path: str | Path) -> FieldMap:
    """The mapping in a TOML or JSON file; ConfigurationError carries every fault with its path."""
    path = Path(path)
    found = convert(read_json(path) if path.suffix == ".json" else read_toml(path), FieldMap)
    if len(found.delimiter) != 1:
        raise ConfigurationError([f"{path}: delimiter: must be one character"])
    return found


def parse_csv(lines: Iterable[bytes], mapping: FieldMap = _DEFAULT) -> Iterator[Parsed]:
    """``csv``: columns by number or header name."""
    columns: dict[str, int] | None = None
    for record in fields(lines, delimiter=mapping.delimiter, comment=mapping.comment):
        if isinstance(record, BadRow):
            yield record
            continue
        if columns is None:
            columns = _columns(record if mapping.header else [], mapping)
            if mapping.header and _is_header(record, mapping):
                continue
        entry = {key: record[at].strip() for key, at in columns.items() if at < len(record)}
        yield _row(entry, mapping) if entry else SHORT


def _is_header(record: list[str], mapping: FieldMap) -> bool:
    """A first record without a single URI or dotted name in it, or one with the mapping's own column names."""
    named = {where for where in (mapping.uri, mapping.host, mapping.value) if isinstance(where, str)}
    return bool(named & set(record)) or not any("." in field or "://" in field for field in record)


def _columns(header: list[str], mapping: FieldMap) -> dict[str, int]:
    lower = [name.strip().lower() for name in header]
    columns: dict[str, int] = {}
    for key, usual in _USUAL.items():
        where = getattr(mapping, key)
        if isinstance(where, int):
            columns[key] = where - 1
        elif where is not None and where.lower() in lower:
            columns[key] = lower.index(where.lower())
        elif where is None and not _says_value(mapping, key):
            found = next((name for name in usual if name in lower), None)
            if found is not None:
                columns[key] = lower.index(found)
    if not columns.keys() & {"uri", "host", "value"}:
        columns["value"] = 0
    return columns


def _says_value(mapping: FieldMap, key: str) -> bool:
    """Whether the mapping names another place for what ``key`` would be guessed for."""
    return key in ("uri", "host", "value", "type") and any((mapping.uri, mapping.host, mapping.value))


def parse_json(lines: Iterable[bytes], mapping: FieldMap = _DEFAULT) -> Iterator[Parsed]:
    """``json``: the records at ``rows``; by default the elements of the body's list, or of the lists in its object."""
    for item in records(lines, _tree(mapping.rows)):
        yield item if isinstance(item, BadRow) else _json_row(item[1], mapping)


def parse_ndjson(lines: Iterable[bytes], mapping: FieldMap = _DEFAULT) -> Iterator[Parsed]:
    """``ndjson``: one JSON record a line; the last may be cut short."""
    for line in whole(lines):
        if line is None:
            yield TOO_LONG
            continue
        text = text_of(line)
        if not text:
            continue
        try:
            record = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            yield NO_JSON if line.endswith((b"\n", b"\r")) else CUT_SHORT
            continue
        yield _json_row(record, mapping)


def _tree(path: str) -> Tree | None:
    if not path:
        return None
    tree: Tree | None = RECORD
    for step in reversed(path.split(".")):
        tree = {step: tree}
    return tree


def _json_row(record: Any, mapping: FieldMap) -> Parsed:
    if isinstance(record, str):
        return Row(record)
    if not isinstance(record, dict):
        return NO_RECORD
    entry: dict[str, str] = {}
    for key, usual in _USUAL.items():
        where = getattr(mapping, key)
        if where is None and _says_value(mapping, key):
            continue
        found = _text(_at(record, str(where))) if where is not None else _first(record, usual)
        if found:
            entry[key] = found
    return _row(entry, mapping)


def _at(record: Any, path: str) -> Any:
    if isinstance(record, Mapping) and path in record:
        return record[path]
    for step in path.split("."):
        if not isinstance(record, Mapping):
            return None
        record = record.get(step)
    return record


def _first(record: Mapping[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        if name in record and (found := _text(record[name])):
            return found
    return ""


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return " ".join(item for item in value if isinstance(item, str))
    return ""


def _row(entry: Mapping[str, str], mapping: FieldMap) -> Parsed:
    uri, host, value = entry.get("uri"), entry.get("host"), entry.get("value")
    kind = entry.get("type", "").lower() if value else ""
    if uri:
        text, host_only = uri, False
    elif host:
        text, host_only = host, True
    elif not value:
        return NO_RECORD
    elif not kind or kind not in _KINDS:
        text, host_only = value, None
        if kind:
            return HASH
    else:
        text, host_only = value, _KINDS[kind]
    words = entry.get("threat", "")
    if speaks_of_child_abuse(f"{words} {entry.get('tags', '')} {entry.get('type', '')}"):
        return CHILD_ABUSE
    threat = mapping.threats.get(words) or threat_of(words)
    moment = entry.get("first_seen", "")
    first_seen = when(moment) or (when_unix(moment) if moment.isdigit() and len(moment) <= 10 else None)
    return Row(text, host_only if uri is None else None, threat, first_seen, entry.get("source_id", "")[:64] or None)


_KINDS: dict[str, bool] = {
    "url": False,
    "uri": False,
    "link": False,
    "domain": True,
    "domain-name": True,
    "host": True,
    "hostname": True,
    "fqdn": True,
}
