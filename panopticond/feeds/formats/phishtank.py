"""PhishTank's CSV (protocols.md section 7): phish_id, url, phish_detail_url, submission_time, verified, ..., target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from panopticond.feeds.formats.records import fields
from panopticond.feeds.formats.row import BadRow, Parsed, Row, when

_SHORT = BadRow("too-few-fields")


def parse_phishtank_csv(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``phishtank-csv``: verified phishing; the first line names the columns, and so may any line."""
    for record in fields(lines, comment=""):
        if isinstance(record, BadRow):
            yield record
        elif len(record) < 4:
            yield _SHORT
        elif record[0] == "phish_id":
            continue
        elif not record[0].isdigit():
            yield BadRow("no-phish-id")
        else:
            yield Row(record[1], False, "phishing", when(record[3]), record[0][:20])
