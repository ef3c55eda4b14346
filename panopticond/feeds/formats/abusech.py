"""abuse.ch's exports and API answers: URLhaus, ThreatFox and Feodo Tracker (protocols.md section 7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from panopticond.feeds.formats.jsonstream import RECORD, Tree, records
from panopticond.feeds.formats.records import fields
from panopticond.feeds.formats.row import ADDRESS, HASH, NO_RECORD, SHORT, BadRow, Parsed, Row, Skip, text_in, when
from panopticond.feeds.formats.words import threat_of
from panopticond.feeds.lines import LINE_LIMIT, whole
from panopticond.model import Threat

_URLHAUS_THREATS: dict[bytes, Threat] = {b"phishing": "phishing", b"botnet_cc": "botnetCc"}
# {"12": [{...}]} in exports, {"query_status": "ok", "urls": [...]} or {"data": [...]} from the API
_TREE: Tree = {"*": {"*": RECORD}}


def parse_urlhaus_csv(lines: Iterable[bytes], skip: Skip | None = None) -> Iterator[Parsed]:
    """``urlhaus-csv``: id, dateadded, url, url_status, last_online, threat, tags, urlhaus_link, reporter.

    The eight-column form before ``last_online`` is read too. Every field is quoted, so nearly every line can be split
    at ``","``; whatever does not look so goes through the CSV reader, a line at a time: no field holds a line end.
    ``skip`` spares a row's parsing, except for rows newer than all before: their time says how fresh the feed is.
    """
    newest = b""
    for line in whole(lines):
        if line is not None:
            if line.isspace() or line.startswith(b"#"):
                continue
            parts = line.split(b'","')
            # nine fields that are quoted as they should be, and nothing escaped in the one that matters
            if len(parts) == 9 and parts[0][:1] == b'"' and b'"' not in parts[2] and parts[2].isascii():
                if skip is not None and parts[1] <= newest and (skipped := skip(parts[2])) is not None:
                    yield skipped
                    continue
                newest = max(newest, parts[1])
                threat = _URLHAUS_THREATS.get(parts[5], "malware")
                yield Row(
                    parts[2].decode(), False, threat, when(parts[1].decode("latin-1")), parts[0][1:41].decode("latin-1")
                )
                continue
        yield from _urlhaus_line(line if line is not None else b"x" * LINE_LIMIT)


def _urlhaus_line(line: bytes) -> Iterator[Parsed]:
    for record in fields([line]):
        if isinstance(record, BadRow):
            yield record
        elif len(record) < 8:
            yield SHORT
        elif record[0] != "id":
            threat = record[5] if len(record) >= 9 else record[4]
            yield Row(
                record[2], False, _URLHAUS_THREATS.get(threat.encode(), "malware"), when(record[1]), record[0][:40]
            )


def parse_urlhaus_json(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``urlhaus-json``: the export, an object of lists by id, or the API's answer with ``urls``."""
    for item in records(lines, _TREE):
        if isinstance(item, BadRow):
            yield item
            continue
        entry = item[1]
        url = text_in(entry, "url")
        if url is None:
            yield NO_RECORD
            continue
        yield Row(
            url,
            False,
            _URLHAUS_THREATS.get((text_in(entry, "threat") or "").encode(), "malware"),
            when(text_in(entry, "dateadded", "date_added") or ""),
            text_in(entry, "id") or _id_of(text_in(entry, "urlhaus_link", "urlhaus_reference")),
        )


def parse_threatfox_csv(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``threatfox-csv``: 15 columns, or the 14 before ``is_compromised``; fields are separated by ``", "``."""
    for record in fields(lines, spaced=True):
        if isinstance(record, BadRow):
            yield record
        elif len(record) < 10:
            yield SHORT
        elif record[0].strip() not in ("first_seen_utc", "# first_seen_utc"):
            yield _ioc(record[2].strip(), record[3], record[4], when(record[0].strip()), record[1].strip()[:40])


def parse_threatfox_json(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``threatfox-json``: the API's ``data`` list, or the export, an object of lists by id."""
    for item in records(lines, _TREE):
        if isinstance(item, BadRow):
            yield item
            continue
        entry = item[1]
        value = text_in(entry, "ioc", "ioc_value")
        if value is None:
            yield NO_RECORD
            continue
        yield _ioc(
            value,
            text_in(entry, "ioc_type") or "",
            text_in(entry, "threat_type") or "",
            when(text_in(entry, "first_seen", "first_seen_utc") or ""),
            text_in(entry, "id", "ioc_id"),
        )


def parse_feodo_csv(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``feodo-csv``: command-and-control addresses, so every row is out of scope; read to see the feed alive."""
    for record in fields(lines):
        if isinstance(record, BadRow):
            yield record
        elif len(record) < 3:
            yield SHORT
        elif record[0] != "first_seen_utc":
            yield ADDRESS


def _ioc(value: str, kind: str, threat: str, first_seen: str | None, source_id: str | None) -> Parsed:
    kind = kind.strip().lower()
    if kind == "url":
        return Row(value, False, threat_of(threat), first_seen, source_id)
    if kind == "domain":
        return Row(value, True, threat_of(threat), first_seen, source_id)
    return ADDRESS if kind.startswith("ip") else HASH


def _id_of(link: Any) -> str | None:
    """The number at the end of a reference link."""
    if not isinstance(link, str):
        return None
    number = link.rstrip("/").rpartition("/")[2]
    return number if number.isdigit() and len(number) <= 20 else None
