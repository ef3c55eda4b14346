"""Thousands of labels at once for ``dga``, with numpy (the optional extra ``screening``); results are the same.

Imported by ``dga`` only when there is enough to do. Labels stand in one row of numbers with an end between each two;
every group of three, four and five is looked up for the whole row, those that reach over an end are struck out, and
the rest is summed label by label. Sums are of whole numbers, so their order does not matter. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from panopticond.shared import dga

if TYPE_CHECKING:
    Ints = np.ndarray[tuple[int], np.dtype[np.int64]]

PIECE = 12_000  # labels a pass: all its arrays stay within a processor's cache


def raws(labels: Sequence[str], tables: tuple[bytes, bytes, bytes], weights: dga.Weights) -> list[float]:
    """``dga.raw_score`` of every label, in order."""
    three, four, five = _weighed(tables, weights)
    lengths = np.array(weights.lengths, np.int32)
    found: list[float] = []
    for start in range(0, len(labels), PIECE):
        piece = labels[start : start + PIECE]
        row, ends = _row(piece)
        by_three, by_four, by_five = _groups(row, int(ends[-1]))
        total = three.take(by_three)
        _strike(total, ends, 1)
        more = four.take(by_four)
        _strike(more, ends, 2)
        total += more
        more = five.take(by_five)
        _strike(more, ends, 3)
        total += more
        sums = np.add.reduceat(total, ends[:-1])
        sums += lengths.take(np.minimum(np.diff(ends) - 1, len(lengths) - 1))
        found += (sums / dga.WEIGHT_UNIT).tolist()
    return found


def widened(tables: tuple[bytes, bytes, bytes], learn: Sequence[str]) -> tuple[bytes, bytes, bytes]:
    """The tables with every group that stands twice or more in ``learn``."""
    counts = [np.zeros(len(table), np.int64) for table in tables]
    for start in range(0, len(learn), PIECE):
        row, ends = _row(learn[start : start + PIECE])
        for reach, (count, groups) in enumerate(zip(counts, _groups(row, int(ends[-1])), strict=True), 1):
            kept = np.ones(len(groups), bool)
            _strike(kept, ends, reach)
            np.add(count, np.bincount(groups[kept], minlength=len(count)), out=count)
    steps = _steps()
    grown = []
    for table, count in zip(tables, counts, strict=True):
        bucket = np.searchsorted(steps, count, side="right").astype(np.uint8)
        bucket[count < 2] = 0
        grown.append(np.maximum(np.frombuffer(table, np.uint8), bucket).tobytes())
    return grown[0], grown[1], grown[2]


def _row(labels: Sequence[str]) -> tuple[Ints, Ints]:
    """The labels' numbers with an end before, between and behind them, and where those ends are."""
    cut = [label if len(label) <= dga.LONGEST else label[: dga.LONGEST] for label in labels]
    sizes = np.fromiter(map(len, cut), np.int64, len(cut))
    text = "".join(("\0", "\0".join(cut), "\0\0\0\0")).encode("ascii", "replace")
    row = np.frombuffer(text.translate(dga.CODES), np.uint8).astype(np.int64)
    ends = np.zeros(len(cut) + 1, np.int64)
    np.cumsum(sizes + 1, out=ends[1:])
    return row, ends


def _groups(row: Ints, last: int) -> Iterator[Ints]:
    """Where each group of three, four and five stands in its table, those that reach over an end among them."""
    three = (row[:-2] * dga.BASE + row[1:-1]) * dga.BASE + row[2:]
    yield three[:last]
    four = three[:-1] * dga.BASE + row[3:]
    yield four[:last]
    five = four[:-1] * dga.BASE + row[4:]
    five %= dga.SLOTS_5
    yield five[:last]


def _strike(values: np.ndarray[tuple[int], np.dtype[Any]], ends: Ints, reach: int) -> None:
    """Nought for the groups that have an end within: those that begin up to ``reach`` places before one."""
    for back in range(1, reach + 1):
        places = ends[1:] - back
        values[places if places[0] >= 0 else places[places >= 0]] = 0


def _weighed(
    tables: tuple[bytes, bytes, bytes], weights: dga.Weights
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int32]], ...]:
    """The tables with weights in the place of buckets; that of three with the pair of its last two letters too."""
    three, four, five = (
        np.array(of, np.int32).take(np.frombuffer(table, np.uint8))
        for of, table in zip((weights.three, weights.four, weights.five), tables, strict=True)
    )
    classes = np.frombuffer(dga.CLASS_TABLE, np.uint8)[: dga.BASE].astype(np.int64)
    pairs = np.array(weights.pairs, np.int32).take(classes[:, None] * 5 + classes[None, :])
    # A pair counts once: as the last two of the three that begin one place earlier. Ends have no class, nor weight.
    pairs[classes == 0, :] = 0
    pairs[:, classes == 0] = 0
    return three + np.tile(pairs.reshape(-1), dga.BASE), four, five


def _steps() -> Ints:
    """From which count on each bucket begins."""
    return np.array(
        [next(times for times in range(1, 1 << 20) if dga.bucket(times) >= at) for at in range(1, dga.BUCKETS)]
    )
