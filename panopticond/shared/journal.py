"""How both daemons log: lines journald can sort by priority, JSON on request, plain text for a person.

Called once by each ``__main__``. ``LOG_FORMAT`` (``journal``, ``json`` or ``plain``) decides; left out, it is
``journal`` where standard error is connected to journald (``$JOURNAL_STREAM``, systemd.exec(5)), else ``plain``.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping

PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
"""syslog(3)'s, as sd-daemon(3) puts them before a line."""
FLOOD_LINES, FLOOD_SECONDS = 200, 60.0
"""At most so many lines from one place in the code a span; the next one tells how many were held back."""
PLACES = 4096
"""Places remembered; beyond that the oldest is forgotten, for a message made of its values is a place each time."""


def begin(environment: Mapping[str, str] = os.environ) -> None:
    """Set up the root logger, on standard error. httpx is told to be quiet: its lines carry URLs, keys included."""
    wanted = environment.get("LOG_FORMAT", "")
    if wanted not in FORMATTERS:
        wanted = "journal" if _to_journal(environment) else "plain"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FORMATTERS[wanted]())
    handler.addFilter(Flood())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _to_journal(environment: Mapping[str, str]) -> bool:
    try:
        found = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class Journal(logging.Formatter):
    """``<3>name: message``, the priority before every line, for journald takes each line for an entry."""

    def format(self, record: logging.LogRecord) -> str:
        """The lines of one record."""
        priority = PRIORITIES.get(record.levelno, 6)
        lines = super().format(record).splitlines() or [""]
        return "\n".join(f"<{priority}>{record.name}: {line}" for line in lines)


class Json(logging.Formatter):
    """One JSON object a line: ``at level logger message``, and ``trace`` where something was raised."""

    def format(self, record: logging.LogRecord) -> str:
        """The object of one record."""
        at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        said = {"at": at, "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        if record.exc_info:
            said["trace"] = self.formatException(record.exc_info)
        return json.dumps(said)


class Plain(logging.Formatter):
    """For a terminal or a file: time, level, name, message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")


FORMATTERS: dict[str, Callable[[], logging.Formatter]] = {"journal": Journal, "json": Json, "plain": Plain}


class Flood(logging.Filter):
    """Holds back what one place in the code says too often. ``now`` gives seconds that only grow."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._said: dict[tuple[str, int], list[float]] = {}
        """By place: when its span began, lines let through in it, lines held back."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes; the first one after a flood tells how many did not."""
        place, now = (record.pathname, record.lineno), self._now()
        span = self._said.get(place)
        if span is None or now - span[0] >= FLOOD_SECONDS:
            held = int(span[2]) if span else 0
            self._said.pop(place, None)
            self._said[place] = span = [now, 0, 0]
            if len(self._said) > PLACES:
                del self._said[next(iter(self._said))]
            if held:
                record.msg, record.args = f"{record.getMessage()} ({held} more like it were held back)", None
        if span[1] >= FLOOD_LINES:
            span[2] += 1
            return False
        span[1] += 1
        return True
