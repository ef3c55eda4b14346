"""What every format parser yields: a Row, or why there is none. The contract between ``formats`` and ``normalise``.

A parser is ``parse(lines) -> Iterator[Parsed]``: synchronous, streaming, and it never raises on content. Its lines are
pieces of bytes as :mod:`panopticond.feeds.lines` cuts them: one line each, with its end; a piece of the full length
without an end continues in the next.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from panopticond.model import Threat
from panopticond.shared.clock import UTC, rfc3339


class Row(msgspec.Struct, frozen=True, gc=False):
    """One record of a feed that names a URI or a host, as the feed wrote it."""

    value: str
    host_only: bool | None = None
    """True: ``value`` is a host; False: a URI; None: whichever it looks like."""
    threat: Threat | None = None
    """What the row itself says, None for the feed's default."""
    first_seen: str | None = None
    """RFC 3339 UTC, or None."""
    source_id: str | None = None


class BadRow(msgspec.Struct, frozen=True, gc=False):
    """A record that cannot be read in this format; ``reason`` is one of a few words with hyphens."""

    reason: str


class OutOfScope(msgspec.Struct, frozen=True, gc=False):
    """A good record that is none of ours: another TLD, an address, a hash; ``reason`` says which."""

    reason: str


Parsed = Row | BadRow | OutOfScope
Skip = Callable[[bytes], OutOfScope | None]
"""Says of a raw URI that its row is out of scope, when that can be seen without parsing it; None when it cannot."""
Parser = Callable[[Iterable[bytes]], Iterator[Parsed]]

ADDRESS = OutOfScope("address")
HASH = OutOfScope("neither-uri-nor-host")
TOO_LONG = BadRow("line-too-long")
SHORT = BadRow("too-few-fields")
NO_RECORD = BadRow("no-value-in-record")
CHILD_ABUSE = BadRow("child-abuse-material")
"""Tagged as child abuse material: counted, and neither stored nor probed nor shown."""

_FIRST_YEAR = 1000  # before it a year is no four digits, and no threat is so old
JST = dt.timezone(dt.timedelta(hours=9))


def text_of(line: bytes) -> str:
    """The text of a line: UTF-8, else Latin-1, which never fails; NUL bytes and white space at the ends dropped."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = line.decode("latin-1")
    return text.strip().strip("\x00\ufeff").strip()


def when(text: str, zone: dt.tzinfo = UTC) -> str | None:
    """RFC 3339 UTC for the times feeds write (ISO 8601, a blank or slashes in it); None for anything else."""
    try:
        parsed = dt.datetime.fromisoformat(text)
        if zone is UTC and _as_published(text):
            return f"{text[:10]}T{text[11:]}Z"
    except ValueError:
        text = text.strip().removesuffix(" UTC")
        try:
            parsed = dt.datetime.fromisoformat(text.replace("/", "-"))
        except ValueError:
            return None
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=zone)
    try:
        parsed = parsed.astimezone(UTC)
    except (OverflowError, ValueError):
        return None
    return rfc3339(parsed) if parsed.year >= _FIRST_YEAR else None


def _as_published(text: str) -> bool:
    """Whether a readable time stands exactly as ``YYYY-MM-DD?HH:MM:SS``: four signs in it and no zone say so."""
    return len(text) == 19 and text[4] == text[7] == "-" and text[13] == text[16] == ":" and text[0] != "0"


def text_in(record: Any, *keys: str) -> str | None:
    """The first of a record's members by these keys that is text or a whole number, as text; else None."""
    if not isinstance(record, dict):
        return None
    for key in keys:
        value = record.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return None


def when_unix(text: object) -> str | None:
    """RFC 3339 UTC for seconds since 1970, as a number or its text; None for anything else."""
    try:
        return rfc3339(dt.datetime.fromtimestamp(int(str(text)), UTC))
    except (ValueError, OverflowError, OSError):
        return None
