"""Exchange formats: MISP events and STIX 2.1 bundles, streamed attribute by attribute and object by object.

MISP: misp-standard.org core format; a row is an attribute. STIX: OASIS STIX 2.1; a row is an observable, in an
indicator's pattern or as an object of its own. Attributes not meant for detection and revoked indicators are out of
scope; what is tagged as child abuse material, by itself or with its whole event, is rejected.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from panopticond.feeds.formats.jsonstream import RECORD, Tree, records
from panopticond.feeds.formats.row import (
    ADDRESS,
    CHILD_ABUSE,
    HASH,
    NO_RECORD,
    BadRow,
    OutOfScope,
    Parsed,
    Row,
    text_in,
    when,
    when_unix,
)
from panopticond.feeds.formats.words import speaks_of_child_abuse, threat_of

NOT_FOR_DETECTION = OutOfScope("not-for-detection")
DELETED = OutOfScope("deleted")
REVOKED = OutOfScope("revoked")
NO_PATTERN = BadRow("no-stix-pattern")

_EVENT: Tree = {"Tag": RECORD, "Attribute": {"*": RECORD}, "Object": {"*": {"Attribute": {"*": RECORD}}}}
# a feed's file, an answer of the API, and a list of either
_MISP: Tree = {
    "Event": _EVENT,
    "response": {"*": {"Event": _EVENT}, "Event": _EVENT, "Attribute": {"*": RECORD}},
    "*": {"Event": _EVENT},
}
_STIX: Tree = {"objects": {"*": RECORD}, "*": {"objects": {"*": RECORD}}}

_MISP_URIS = frozenset({"url", "uri", "link"})
_MISP_HOSTS = frozenset({"domain", "hostname", "domain|ip", "hostname|port"})
_MISP_ADDRESSES = frozenset({"ip-src", "ip-dst", "ip-src|port", "ip-dst|port", "ip"})

# [url:value = 'x'], [domain-name:value='x' OR ...], hashes and addresses; '' and \' escape inside the quotes
_COMPARISON = re.compile(
    r"([a-z0-9-]+):([A-Za-z0-9_.'\"-]+)\s*(?:=|IN|LIKE|MATCHES|ISSUBSET)\s*\(?\s*'((?:[^'\\]|\\.)*)'"
)
_QUOTED = re.compile(r"\\(.)")


def parse_misp(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``misp``: one event, or several in an answer; attributes in objects too.

    An event's own tags are for the attributes behind them, which is where MISP writes them.
    """
    forbidden = False
    for item in records(lines, _MISP):
        if isinstance(item, BadRow):
            yield item
        elif item[0] == "Tag":
            forbidden = speaks_of_child_abuse(_tags(item[1]))
        else:
            parsed = _attribute(item[1])
            yield CHILD_ABUSE if forbidden and isinstance(parsed, Row) else parsed


def _attribute(record: Any) -> Parsed:
    kind, value = text_in(record, "type"), text_in(record, "value")
    if kind is None or value is None:
        return NO_RECORD
    if record.get("deleted") in (True, 1, "1"):
        return DELETED
    if kind in _MISP_ADDRESSES:
        return ADDRESS
    if kind not in _MISP_URIS and kind not in _MISP_HOSTS:
        return HASH
    if record.get("to_ids") not in (True, 1, "1"):
        return NOT_FOR_DETECTION
    words = _tags(record.get("Tag"))
    if speaks_of_child_abuse(f"{words} {text_in(record, 'category') or ''}"):
        return CHILD_ABUSE
    host_only = kind in _MISP_HOSTS
    return Row(
        value.partition("|")[0].strip() if host_only else value,
        host_only,
        threat_of(words),
        when_unix(record.get("timestamp")),
        (text_in(record, "uuid") or "")[:40] or None,
    )


def _tags(tags: Any) -> str:
    return " ".join(tag for entry in tags if (tag := text_in(entry, "name"))) if isinstance(tags, list) else ""


def parse_stix(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``stix``: indicators by their pattern, and ``url`` and ``domain-name`` objects."""
    for item in records(lines, _STIX):
        if isinstance(item, BadRow):
            yield item
            continue
        record = item[1]
        kind = text_in(record, "type")
        if kind == "indicator":
            yield from _indicator(record)
        elif kind in ("url", "domain-name"):
            value = text_in(record, "value")
            if value is None:
                yield NO_RECORD
            elif speaks_of_child_abuse(" ".join(_texts(record.get("labels")))):
                yield CHILD_ABUSE
            else:
                yield Row(value, kind == "domain-name", None, None, text_in(record, "id"))
        elif kind in ("ipv4-addr", "ipv6-addr"):
            yield ADDRESS
        elif kind == "file":
            yield HASH


def _indicator(record: Any) -> Iterator[Parsed]:
    pattern = text_in(record, "pattern")
    comparisons = _COMPARISON.findall(pattern or "")
    if (text_in(record, "pattern_type") or "stix") != "stix":
        yield HASH
        return
    if not comparisons:
        yield NO_PATTERN
        return
    labels = [*_texts(record.get("labels")), *_texts(record.get("indicator_types"))]
    threat = threat_of(" ".join(labels))
    forbidden = speaks_of_child_abuse(" ".join([*labels, text_in(record, "name") or ""]))
    first_seen = when(text_in(record, "valid_from", "created") or "")
    for kind, member, quoted in comparisons:
        if record.get("revoked") is True:
            yield REVOKED
        elif kind in ("url", "domain-name") and member == "value" and forbidden:
            yield CHILD_ABUSE
        elif kind in ("url", "domain-name") and member == "value":
            value = _QUOTED.sub(r"\1", quoted)
            yield Row(value, kind == "domain-name", threat, first_seen, text_in(record, "id"))
        elif kind in ("ipv4-addr", "ipv6-addr"):
            yield ADDRESS
        else:
            yield HASH


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
