"""The phishing lists of PhishTank, PhishStats, CERT Polska, JPCERT/CC and TweetFeed (protocols.md section 7)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from panopticond.feeds.formats.jsonstream import RECORD, records
from panopticond.feeds.formats.records import fields
from panopticond.feeds.formats.row import (
    ADDRESS,
    CHILD_ABUSE,
    HASH,
    JST,
    NO_RECORD,
    SHORT,
    BadRow,
    OutOfScope,
    Parsed,
    Row,
    text_in,
    when,
)
from panopticond.feeds.formats.words import speaks_of_child_abuse, threat_of

DELISTED = OutOfScope("delisted")
_NO_ID = BadRow("no-phish-id")
_NO_DATE = BadRow("no-date")
_PHISH = re.compile(r"[0-9]{1,20},\"?https?://", re.IGNORECASE)
_PHISH_COLUMNS = 8
_STATUS = re.compile(r"/status/([0-9]{1,20})")


def parse_phishtank_csv(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``phishtank-csv``: phish_id, url, phish_detail_url, submission_time, verified, ..., online, target."""
    for record in fields(lines, comment="", begins=_begins_phish):
        if isinstance(record, BadRow):
            yield record
        elif len(record) < 4:
            yield SHORT
        elif record[0] == "phish_id":
            continue
        elif not record[0].isdigit():
            yield _NO_ID
        else:
            yield Row(record[1], False, "phishing", when(record[3]), record[0][:20])


def _begins_phish(line: str) -> bool:
    return line.count(",") >= _PHISH_COLUMNS - 1 and _PHISH.match(line) is not None


def parse_phishtank_json(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``phishtank-json``: a list of objects with ``phish_id``, ``url`` and ``submission_time``."""
    for item in records(lines, {"*": RECORD}):
        if isinstance(item, BadRow):
            yield item
            continue
        url = text_in(item[1], "url")
        if url is None:
            yield NO_RECORD
        else:
            first_seen = when(text_in(item[1], "submission_time") or "")
            yield Row(url, False, "phishing", first_seen, text_in(item[1], "phish_id"))


def parse_phishstats_csv(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``phishstats-csv``: Date, Score, URL, IP; header and remarks behind ``#``."""
    for record in fields(lines):
        if isinstance(record, BadRow):
            yield record
        elif len(record) < 3:
            yield SHORT
        elif record[0].strip().lower() != "date":
            yield Row(record[2], False, "phishing", when(record[0]))


def parse_certpl_json(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``certpl-json``: RegisterPositionId, DomainAddress, InsertDate, DeleteDate; a deleted entry is no accusation."""
    for item in records(lines, {"*": RECORD}):
        if isinstance(item, BadRow):
            yield item
            continue
        entry = item[1]
        host = text_in(entry, "DomainAddress")
        if host is None:
            yield NO_RECORD
        elif text_in(entry, "DeleteDate") is not None:
            yield DELISTED
        else:
            first_seen = when(text_in(entry, "InsertDate") or "")
            yield Row(host, True, "phishing", first_seen, text_in(entry, "RegisterPositionId"))


def parse_jpcert_csv(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``jpcert-csv``: date (Japan Standard Time), URL, description."""
    for record in fields(lines):
        if isinstance(record, BadRow):
            yield record
        elif len(record) < 2:
            yield SHORT
        elif record[0].lower() != "date":
            yield Row(record[1], False, "phishing", when(record[0], JST))


def parse_tweetfeed_csv(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``tweetfeed-csv``: date, user, type, value, tags, tweet; no header. The tweet's number is kept, no author."""
    for record in fields(lines, comment=""):
        if isinstance(record, BadRow):
            yield record
            continue
        if len(record) < 4:
            yield SHORT
            continue
        kind = record[2].strip().lower()
        if kind in ("url", "domain"):
            first_seen = when(record[0])
            if first_seen is None:
                yield _NO_DATE
                continue
            tweet = _STATUS.search(record[5]) if len(record) > 5 else None
            threat = threat_of(record[4]) if len(record) > 4 else None
            if len(record) > 4 and speaks_of_child_abuse(record[4]):
                yield CHILD_ABUSE
                continue
            yield Row(record[3], kind == "domain", threat, first_seen, tweet[1] if tweet else None)
        elif kind == "type":
            continue
        else:
            yield ADDRESS if kind == "ip" else HASH


def parse_blackbook_csv(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``blackbook-csv``: Domain, Malware, Date added, Source."""
    for record in fields(lines):
        if isinstance(record, BadRow):
            yield record
        elif len(record) < 3:
            yield SHORT
        elif record[0] != "Domain":
            yield Row(record[0], True, None, when(record[2]))
