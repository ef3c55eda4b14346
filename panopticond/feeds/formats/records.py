"""Lines of CSV into fields, one record at a time, so that one broken quote costs one record and not the rest.

Used by the CSV formats. A record is a line; one with an open quote takes up to CONTINUATION further lines, and when
that does not close it, the line alone is bad and reading goes on behind it.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from panopticond.feeds.formats.row import TOO_LONG, BadRow, text_of
from panopticond.feeds.lines import whole

CONTINUATION = 8  # lines a quoted field may go on; no feed has more than two
UNCLOSED = BadRow("quote-never-closed")
NO_CSV = BadRow("no-csv")


class _Source:
    """Hands csv.reader one record at a time, so that one reader serves the whole body."""

    def __init__(self) -> None:
        self.record: str | None = None

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if self.record is None:
            raise StopIteration
        record, self.record = self.record, None
        return record


def fields(
    lines: Iterable[bytes],
    *,
    delimiter: str = ",",
    spaced: bool = False,
    comment: str = "#",
    begins: Callable[[str], bool] | None = None,
) -> Iterator[list[str] | BadRow]:
    """The fields of every record; ``spaced`` skips blanks after a delimiter, blank and comment lines are no records.

    ``begins`` knows a line that is a whole record by itself: no open quote before it takes it in.
    """
    csv.field_size_limit(1 << 20)
    source = _Source()
    reader = csv.reader(source, delimiter=delimiter, skipinitialspace=spaced)
    waiting: deque[bytes | None] = deque()
    upstream = whole(lines)
    while True:
        line = waiting.popleft() if waiting else next(upstream, b"")
        if line is None:
            yield TOO_LONG
            continue
        if not line:
            if waiting:
                continue
            return
        text = text_of(line)
        if not text or (comment and text.startswith(comment)):
            continue
        if text.count('"') % 2:
            closed = _close(text, waiting, upstream, begins)
            if closed is None:
                yield UNCLOSED
                continue
            text = closed
        source.record = text
        try:
            yield next(reader)
        except (csv.Error, StopIteration):
            source.record = None
            reader = csv.reader(source, delimiter=delimiter, skipinitialspace=spaced)
            yield NO_CSV


def _close(
    text: str,
    waiting: deque[bytes | None],
    upstream: Iterator[bytes | None],
    begins: Callable[[str], bool] | None,
) -> str | None:
    """``text`` with the lines that close its quote, or None; lines looked at in vain go back to ``waiting``."""
    taken: list[bytes | None] = []
    while len(taken) < CONTINUATION:
        line = waiting.popleft() if waiting else next(upstream, b"")
        taken.append(line)
        if not line:
            break
        addition = text_of(line)
        if begins is not None and begins(addition):
            break
        text = f"{text}\n{addition}"
        if addition.count('"') % 2:
            # A line that looks like a whole record of its own closes nothing: the quote before it was the stray one.
            if addition.startswith('"') and addition.count('"') > 1:
                break
            return text
    waiting.extendleft(reversed(taken))
    return None
