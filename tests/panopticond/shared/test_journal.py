"""Log lines: a priority before each for journald, JSON on request, and no flood from one place."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys

import pytest

from panopticond.shared.journal import FLOOD_LINES, FLOOD_SECONDS, Flood, Journal, Json

SAY = (
    "import logging; from panopticond.shared.journal import begin; begin(); log = logging.getLogger('feeds'); "
    "log.info('three rows'); log.error('gone\\nfor good'); logging.getLogger('httpx').info('GET https://x/?key=secret')"
)


def record(message: str, *args: object, level: int = logging.INFO, line: int = 1) -> logging.LogRecord:
    return logging.LogRecord("feeds", level, "somewhere.py", line, message, args, None)


def said(**settings: str) -> list[str]:
    """What a process of its own says on standard error."""
    environment = {key: value for key, value in os.environ.items() if key not in {"LOG_FORMAT", "JOURNAL_STREAM"}}
    done = subprocess.run(
        [sys.executable, "-c", SAY], env=environment | settings, capture_output=True, text=True, check=True
    )
    return done.stderr.splitlines()


def test_every_line_carries_its_priority() -> None:
    """Each line of a message, since journald takes each for an entry; the libraries' URLs are not logged at all."""
    assert said(LOG_FORMAT="journal") == ["<6>feeds: three rows", "<3>feeds: gone", "<3>feeds: for good"]


def test_json_is_one_object_a_line() -> None:
    """Line ends within a message do not break it."""
    lines = [json.loads(line) for line in said(LOG_FORMAT="json")]
    assert [(line["level"], line["message"]) for line in lines] == [("info", "three rows"), ("error", "gone\nfor good")]


def test_a_terminal_gets_plain_text_whatever_else_is_asked() -> None:
    """Without journald, or with a format there is none of, lines are for a person."""
    for settings in ({}, {"LOG_FORMAT": "xml"}, {"JOURNAL_STREAM": "1:1"}):
        assert [line.split(" ", 2)[2] for line in said(**settings)[:1]] == ["INFO feeds: three rows"]


def test_journald_is_known_by_its_stream() -> None:
    """Where $JOURNAL_STREAM names standard error's own device and inode, the lines are journald's."""
    reading, writing = os.pipe()
    found = os.fstat(writing)
    environment = os.environ | {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
    environment.pop("LOG_FORMAT", None)
    subprocess.run([sys.executable, "-c", SAY], env=environment, stderr=writing, check=True)
    os.close(writing)
    with os.fdopen(reading) as stream:
        assert stream.readline() == "<6>feeds: three rows\n"


def test_what_was_raised_is_told() -> None:
    """A traceback: every line of it with the priority, or one field in JSON."""
    try:
        int("odd")
    except ValueError:
        found = logging.LogRecord("feeds", logging.ERROR, "x.py", 1, "cannot", (), sys.exc_info())
    assert all(line.startswith("<3>feeds: ") for line in Journal().format(found).splitlines())
    assert "ValueError: invalid literal" in json.loads(Json().format(found))["trace"]


def test_a_flood_is_held_back_and_counted() -> None:
    """So many lines a minute from one place; the first of the next minute tells how many were held back."""
    now = [0.0]
    flood = Flood(lambda: now[0])
    passed = [flood.filter(record("row %d", number)) for number in range(FLOOD_LINES + 30)]
    assert passed == [True] * FLOOD_LINES + [False] * 30
    assert flood.filter(record("another place", line=2))
    now[0] = FLOOD_SECONDS
    after = record("row %d", 7)
    assert flood.filter(after)
    assert after.getMessage() == "row 7 (30 more like it were held back)"
    assert flood.filter(after)


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL])
def test_priorities_are_syslogs(level: int) -> None:
    """7 debug, 6 info, 4 warning, 3 error, 2 critical."""
    expected = {10: 7, 20: 6, 30: 4, 40: 3, 50: 2}[level]
    assert Journal().format(record("x", level=level)) == f"<{expected}>feeds: x"
