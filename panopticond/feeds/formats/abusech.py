"""abuse.ch's CSV exports: URLhaus (protocols.md section 7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from panopticond.feeds.formats.records import fields
from panopticond.feeds.formats.row import BadRow, Parsed, Row, when
from panopticond.feeds.lines import whole
from panopticond.model import Threat

_SHORT = BadRow("too-few-fields")
_URLHAUS_THREATS: dict[str, Threat] = {"malware_download": "malware", "phishing": "phishing", "botnet_cc": "botnetCc"}


def parse_urlhaus_csv(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``urlhaus-csv``: id, dateadded, url, url_status, last_online, threat, tags, urlhaus_link, reporter.

    The eight-column form before ``last_online`` is read too. Every field is quoted, so nearly every line can be split at
    ``","``; whatever does not look so goes through the CSV reader.
    """
    slow: list[bytes] = []
    for line in whole(lines):
        if line is not None and line.startswith(b'"') and b'""' not in line:
            parts = line.rstrip()[1:-1].split(b'","')
            if len(parts) == 9 and line.rstrip().endswith(b'"') and line.count(b'"') == 18:
                try:
                    yield Row(
                        parts[2].decode(),
                        False,
                        _URLHAUS_THREATS.get(parts[5].decode(), "malware"),
                        when(parts[1].decode()),
                        parts[0].decode(),
                    )
                    continue
                except UnicodeDecodeError:
                    pass
        slow[:] = [line if line is not None else b"x" * (1 << 18)]
        yield from _urlhaus_slow(slow)


def _urlhaus_slow(lines: Iterable[bytes]) -> Iterator[Parsed]:
    for record in fields(lines):
        if isinstance(record, BadRow):
            yield record
        elif len(record) < 8:
            yield _SHORT
        elif record[0] == "id":
            continue
        else:
            threat = record[5] if len(record) >= 9 else record[4]
            yield Row(record[2], False, _URLHAUS_THREATS.get(threat, "malware"), when(record[1]), record[0][:40])
