"""What people decided about names on the review list, kept for good: it clears names, and says how right the list is.

Beside :mod:`.review`: ``arke review confirm NAME`` and ``dismiss NAME`` append a line to ``review-decisions.csv``
in the state directory; a decided name does not come back. Precision among the first N is reckoned from these lines.
"""

from __future__ import annotations

import csv
import datetime as dt
import fcntl
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from panopticond.shared.clock import rfc3339
from panopticond.shared.errors import StoreError

FILE = "review-decisions.csv"
WORDS: dict[str, Literal["abuse", "clear"]] = {"confirm": "abuse", "dismiss": "clear"}
NORMAL_95 = 1.959964  # standard deviations that hold 95 of 100


class Decided(msgspec.Struct, frozen=True):
    """One decision; ``rank`` is the name's place on the list when it was made, 0 when it was not on it."""

    at: str
    name: str
    word: str
    """``abuse`` or ``clear``."""
    rank: int


class Precision(msgspec.Struct, frozen=True):
    """Of the names people looked at among the first ``n``: how many were abuse, with Wilson's 95 % interval."""

    n: int
    decided: int
    abuse: int
    precision: float | None
    low: float
    high: float


def decide(state: Path, name: str, command: str, rank: int, now: dt.datetime) -> Decided:
    """Append a decision, ``confirm`` or ``dismiss``; StoreError when the state directory cannot be written."""
    made = Decided(rfc3339(now), name, WORDS[command], rank)
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(state / FILE, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "a", encoding="utf-8", newline="") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            csv.writer(file, lineterminator="\n").writerow(msgspec.structs.astuple(made))
    except OSError as error:
        raise StoreError(f"{state / FILE}: cannot be written: {error.strerror}; check the state directory") from error
    return made


def decisions(state: Path) -> dict[str, Decided]:
    """The last decision about every name; empty where none was made."""
    try:
        with (state / FILE).open(encoding="utf-8", newline="") as file:
            return {made.name: made for made in _rows(file)}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"{state / FILE}: cannot be read: {error.strerror}; check the state directory") from error


def precision_at(made: Iterable[Decided], n: int) -> Precision:
    """Precision among the first ``n`` of the list, from what people decided; None before the first decision."""
    words = [item.word for item in made if 0 < item.rank <= n]
    abuse = words.count("abuse")
    low, high = wilson(abuse, len(words))
    share = round(abuse / len(words), 4) if words else None
    return Precision(n, len(words), abuse, share, round(low, 4), round(high, 4))


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927); nothing is known of none."""
    if of == 0:
        return 0.0, 1.0
    share, square = hits / of, NORMAL_95**2
    middle = (share + square / (2 * of)) / (1 + square / of)
    half = NORMAL_95 * math.sqrt(share * (1 - share) / of + square / (4 * of * of)) / (1 + square / of)
    return max(0.0, middle - half), min(1.0, middle + half)


def _rows(lines: Iterable[str]) -> Iterator[Decided]:
    for row in csv.reader(lines):
        if len(row) == 4 and row[3].isdigit():  # a line cut short by a full disk is passed over
            yield Decided(row[0], row[1], row[2], int(row[3]))
