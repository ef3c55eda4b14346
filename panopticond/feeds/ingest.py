"""One body through its parser and ``normalise``, in bounded steps, with every row accounted for.

Shared by ``follow`` (steps run in a thread, indicators go to the store) and ``feeds parse`` (they go to standard
output). Always rows = indicators + out_of_scope + rejected.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from panopticond.feeds.formats import Format
from panopticond.feeds.formats.row import BadRow, OutOfScope, Parsed, Row
from panopticond.feeds.lines import lines
from panopticond.feeds.normalise import at_sight, normalise
from panopticond.model import Indicator, Threat
from panopticond.shared.names import Names

_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.{0,2000}?-->\s*)*<(?:!doctype\s+html|html|head|body|title|script)\b",
    re.IGNORECASE | re.DOTALL,
)
SNIFF_BYTES = 4096
HTML_PAGE = BadRow("html-page")
NO_TEXT = BadRow("no-text")
NO_TEXT_SHARE = 0.3
"""Of the first characters, those no text has: above the share of lists with titles in an old national encoding, below
that of a compressed or encrypted file (0.5), UTF-16 without its mark (0.5) and EBCDIC (0.8)."""
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffd]")


class Tally(msgspec.Struct):
    """What a body gave; ``rows`` is the sum of the rest."""

    rows: int = 0
    indicators: int = 0
    out_of_scope: int = 0
    rejected: dict[str, int] = {}
    newest_row: str | None = None
    """The newest time a row of the feed names, RFC 3339."""

    @property
    def rejected_rows(self) -> int:
        """All rejected rows, whatever the reason."""
        return sum(self.rejected.values())

    @property
    def html(self) -> bool:
        """A web page came in the feed's place."""
        return HTML_PAGE.reason in self.rejected

    @property
    def no_text(self) -> bool:
        """What came does not begin as a text; its rows, if any are found, mean little."""
        return NO_TEXT.reason in self.rejected


class Ingest:
    """A body being read: ``take`` gives the next rows' indicators until ``finished``."""

    def __init__(self, chunks: Iterable[bytes], form: Format, names: Names, threat: Threat | None = None) -> None:
        self.tally = Tally()
        self.finished = False
        self._names = names
        self._threat: Threat = threat or form.threat
        self._rows = _rows(chunks, form, names)

    def take(self, count: int) -> list[Indicator]:
        """The indicators in the next ``count`` rows; fewer rows than that means it is finished."""
        tally, names, threat, found, seen = self.tally, self._names, self._threat, [], 0
        newest = tally.newest_row or ""
        for parsed in islice(self._rows, count):
            seen += 1
            if type(parsed) is Row:
                if parsed.first_seen is not None and parsed.first_seen > newest:
                    newest = parsed.first_seen
                result = normalise(parsed, names, threat)
                if type(result) is Indicator:
                    found.append(result)
                    continue
            else:
                result = parsed  # type: ignore[assignment]
            if type(result) is OutOfScope:
                tally.out_of_scope += 1
            else:
                tally.rejected[result.reason] = tally.rejected.get(result.reason, 0) + 1  # type: ignore[union-attr]
        tally.rows += seen
        tally.indicators += len(found)
        tally.newest_row = newest or None
        self.finished = seen < count
        return found


def _rows(chunks: Iterable[bytes], form: Format, names: Names) -> Iterator[Parsed]:
    iterator = iter(chunks)
    first = b""
    for chunk in iterator:
        first += chunk
        if len(first) >= SNIFF_BYTES:
            break
    if _HTML.match(first[:SNIFF_BYTES]):
        yield HTML_PAGE
        return
    if _is_no_text(first[:SNIFF_BYTES]):
        yield NO_TEXT  # and then the rows all the same: a good one among them is not lost

    def again() -> Iterator[bytes]:
        yield first
        yield from iterator

    if form.skipping is not None:
        yield from form.skipping(lines(again()), at_sight(names))
    else:
        yield from form.parse(lines(again()))


def _is_no_text(head: bytes) -> bool:
    marked = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = head.decode("utf-16" if marked else "utf-8", "replace")
    return len(_CONTROL.findall(text)) > NO_TEXT_SHARE * len(text)
