"""Whether this host's clock is right, by the ``Date`` of the servers we ask anyway (RFC 9110 section 6.6.1).

Beside ``http``, which hears every answer; status says when most servers disagree with us by minutes. Nothing is
corrected: serials, expiry and deadlines follow the host's clock, and a person mends that.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import statistics

TOLERANCE_SECONDS = 300.0
REMEMBERED = 64


class OtherClocks:
    """By how much each server's clock was behind ours when it answered last, in real seconds."""

    def __init__(self) -> None:
        self._ahead: dict[str, float] = {}

    def hear(self, server: str, date: str | None, age: str | None, now: float) -> None:
        """An answer came at ``now`` (seconds since 1970); ``age`` is how long a cache had held it."""
        try:
            told = email.utils.parsedate_to_datetime(date or "")
            held = float(age or 0)
        except (ValueError, OverflowError):
            return
        if told.tzinfo is None:
            told = told.replace(tzinfo=dt.UTC)
        self._ahead.pop(server, None)
        if len(self._ahead) >= REMEMBERED:
            del self._ahead[next(iter(self._ahead))]
        self._ahead[server] = now - told.timestamp() - held

    def ahead_seconds(self) -> float | None:
        """By how much our clock is ahead of most; negative when it is behind, None while nobody told the time."""
        return statistics.median(self._ahead.values()) if self._ahead else None

    def wrong(self) -> str:
        """A sentence when our clock is off, else nothing."""
        ahead = self.ahead_seconds()
        if ahead is None or abs(ahead) <= TOLERANCE_SECONDS:
            return ""
        way = "ahead of" if ahead > 0 else "behind"
        servers = f"{len(self._ahead)} servers" if len(self._ahead) > 1 else "the one server that tells it"
        return (
            f"this host's clock is {abs(ahead) / 60:.0f} minutes {way} the time of {servers}; serials, expiry and "
            "deadlines follow it: mend it (timedatectl, chrony)"
        )
