"""Whether a label looks as if an algorithm had made it: its letter groups against those of registered names.

Used by arke's ``screen`` and as evidence in panopticond. For every three, four and five letters in a row a table knows
how common they are in registered names; a small logistic model, trained by ``packaging/train_dga.py``, weighs that, the
kinds of letters that meet, and the length. What it cannot see, by its nature: names put together from dictionary words.
The table ``data/dga.json`` carries its provenance and its figures (docs/reference/dga-card.md). Thousands of labels at
once go through ``dga_bulk`` where numpy is installed: the same results, several times as fast.
"""

from __future__ import annotations

import base64
import functools
import itertools
import json
import math
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from importlib import resources, util
from typing import Any

import msgspec

BASE = 29  # the end of the label, 26 letters, a digit, the hyphen
SLOTS_5 = 2097143  # a prime below 2^21: groups of five share slots, rarely
SHORTEST, LONGEST = 6, 40  # letters; shorter labels say nothing, longer ones are judged by their first forty
BUCKETS = 12
WEIGHT_UNIT = 10_000  # weights are whole numbers of this part, so that sums are exact in any order
BULK_FROM = 2000  # labels; below that, setting numpy up takes longer than it saves
CALIBRATE_AT_MOST = 100_000  # names: more of them move no threshold
CODES = bytes(
    ord(char) - 96 if char.islower() else 27 if char.isdigit() else 28 if char == "-" else 0
    for char in map(chr, range(128))
) + bytes(128)
_CLASSES = bytes([0, *(1 if char in "aeiouy" else 2 for char in "abcdefghijklmnopqrstuvwxyz"), 3, 4])
_REVIEW = 0.5
_HOLD = 0.8
_SPREAD = math.log(_HOLD / (1 - _HOLD))


class Weights(msgspec.Struct, frozen=True):
    """The logistic model in parts of :data:`WEIGHT_UNIT`: for buckets of each table, pairs of classes, lengths.

    A pair with a character of no class (not a letter, digit or hyphen) weighs nothing.
    """

    three: tuple[int, ...]
    four: tuple[int, ...]
    five: tuple[int, ...]
    pairs: tuple[int, ...]
    lengths: tuple[int, ...]


class Model(msgspec.Struct, frozen=True):
    """Tables, weights and the two raw scores that registered names rarely pass; does not change."""

    tables: tuple[bytes, bytes, bytes]
    """For groups of three, four and five: the bucket of how often the group stands in registered names."""
    weights: Weights
    rare: float
    """One registered name in 200 scores above it: a score of 0.5."""
    rarest: float
    """One in 1000: a score of 0.8."""
    card: dict[str, Any]
    """Where it comes from: data, figures, limits."""

    @classmethod
    def load(cls) -> Model:
        """The trained model as shipped."""
        return _shipped()

    @property
    def review_from(self) -> float:
        """From this score on a name is worth a person's look."""
        return _REVIEW

    def raw(self, label: str) -> float:
        """The logistic model's sum: higher is stranger. Not comparable between models."""
        return raw_score(codes(label), self.tables, self.weights)

    def score(self, label: str) -> float:
        """0 to 1: 0.5 where one registered name in 200 comes to, 0.8 one in 1000; 0 for a label that is too short."""
        return self._scaled(self.raw(label)) if len(label) >= SHORTEST else 0.0

    def raws(self, labels: Sequence[str]) -> list[float]:
        """:meth:`raw` of every label, in order; a million a second where numpy is installed."""
        if len(labels) >= BULK_FROM and bulk_installed():
            from panopticond.shared import dga_bulk  # noqa: PLC0415 - numpy is optional and slow to import

            return dga_bulk.raws(labels, self.tables, self.weights)
        tables, weights = self.tables, self.weights
        return [raw_score(codes(label), tables, weights) for label in labels]

    def generated(self, labels: Collection[str]) -> dict[str, float]:
        """The labels worth a look, with their scores; U-labels and short ones are passed over."""
        usable = _usable(labels)
        rare = self.rare
        return {label: self._scaled(raw) for label, raw in zip(usable, self.raws(usable), strict=True) if raw >= rare}

    def calibrated(self, labels: Sequence[str]) -> Model:
        """The model made at home in a TLD: half its names widen the tables, the other half set what is rare.

        Of more than :data:`CALIBRATE_AT_MOST` usable names it takes so many, evenly spread over the list. With
        fewer than 2,000 the model stays as it is: one in 1000 could not be told from chance.
        """
        usable = _usable(dict.fromkeys(labels))
        if len(usable) < 2000:
            return self
        usable = usable[:: math.ceil(len(usable) / CALIBRATE_AT_MOST)]
        learn, measure = usable[::2], usable[1::2]
        grown = _widened(self.tables, learn)
        rare, rarest = thresholds(msgspec.structs.replace(self, tables=grown).raws(measure))
        return Model(grown, self.weights, rare, rarest, self.card)

    def _scaled(self, raw: float) -> float:
        step = (raw - self.rare) / max(self.rarest - self.rare, 1e-6) * _SPREAD
        return 1 / (1 + math.exp(-max(-40.0, min(40.0, step))))


def bulk_installed() -> bool:
    """Whether numpy is there (the extra ``screening``)."""
    return util.find_spec("numpy") is not None


def _usable(labels: Iterable[str]) -> list[str]:
    return [label for label in labels if len(label) >= SHORTEST and label.isascii() and label[:4] != "xn--"]


def _widened(tables: tuple[bytes, bytes, bytes], learn: Sequence[str]) -> tuple[bytes, bytes, bytes]:
    """The tables with what stands twice or more in ``learn``."""
    if len(learn) >= BULK_FROM and bulk_installed():
        from panopticond.shared import dga_bulk  # noqa: PLC0415 - numpy is optional and slow to import

        return dga_bulk.widened(tables, learn)
    grown = tuple(bytearray(table) for table in tables)
    for table, counts in zip(grown, count(learn), strict=True):
        for slot, times in counts.items():
            if times > 1:
                table[slot] = max(table[slot], bucket(times))
    return bytes(grown[0]), bytes(grown[1]), bytes(grown[2])


def codes(label: str) -> bytes:
    """The label's letters as the model's numbers."""
    return label[:LONGEST].encode("ascii", "replace").translate(CODES)


def slots(coded: bytes) -> tuple[list[int], list[int], list[int]]:
    """Where a label's groups of three, four and five stand in the tables, its ends counted as letters."""
    row = b"\0" + coded + b"\0"
    three = [(a * BASE + b) * BASE + c for a, b, c in zip(row, row[1:], row[2:], strict=False)]
    four = [group * BASE + letter for group, letter in zip(three, row[3:], strict=False)]
    five = [(group * BASE + letter) % SLOTS_5 for group, letter in zip(four, row[4:], strict=False)]
    return three, four, five


def bucket(times: int) -> int:
    """How common, from 0 (never seen) to 11."""
    return 0 if times == 0 else min(BUCKETS - 1, 1 + int(math.log2(times) / 1.3))


def count(labels: Iterable[str]) -> tuple[Counter[int], Counter[int], Counter[int]]:
    """How often every group stands in the labels."""
    found: tuple[Counter[int], Counter[int], Counter[int]] = (Counter(), Counter(), Counter())
    for label in labels:
        for counter, places in zip(found, slots(codes(label)), strict=True):
            counter.update(places)
    return found


def thresholds(raw: Sequence[float]) -> tuple[float, float]:
    """The raw scores that one registered name in 200, and one in 1000, is above."""
    ordered = sorted(raw)
    last = len(ordered) - 1
    rare, rarest = ordered[min(last, int(len(ordered) * 0.995))], ordered[min(last, int(len(ordered) * 0.999))]
    return rare, max(rarest, rare + 1e-3)


def raw_score(coded: bytes, tables: tuple[bytes, bytes, bytes], weights: Weights) -> float:
    """The logistic model's sum for a coded label."""
    places = slots(coded)
    by_length, by_pair = weights.lengths, weights.pairs
    total = by_length[min(len(coded), len(by_length) - 1)]
    for table, bucketed, at in zip(tables, (weights.three, weights.four, weights.five), places, strict=True):
        for place in at:
            total += bucketed[table[place]]
    classes = coded.translate(CLASS_TABLE)
    for first, second in itertools.pairwise(classes):
        total += by_pair[first * 5 + second]
    return total / WEIGHT_UNIT


CLASS_TABLE = _CLASSES + bytes(256 - len(_CLASSES))
"""From a letter's number to its kind: end, vowel, consonant, digit, hyphen."""


@functools.cache
def _shipped() -> Model:
    text = (resources.files("panopticond.shared") / "data" / "dga.json").read_text(encoding="ascii")
    return decode(json.loads(text))


def decode(data: dict[str, Any]) -> Model:
    """The model out of its file's JSON."""
    three, four, five = (zlib.decompress(base64.b64decode(table)) for table in data["tables"])
    weights = {
        name: tuple(round(weight * WEIGHT_UNIT) for weight in of) for name, of in sorted(data["weights"].items())
    }
    return Model(
        (three, four, five), Weights(**weights), float(data["rare"]), float(data["rarest"]), dict(data["card"])
    )


def encode(model: Model) -> dict[str, Any]:
    """The JSON of a model's file."""
    return {
        "card": model.card,
        "rare": round(model.rare, 4),
        "rarest": round(model.rarest, 4),
        "weights": {
            name: [weight / WEIGHT_UNIT for weight in of] for name, of in msgspec.structs.asdict(model.weights).items()
        },
        "tables": [base64.b64encode(zlib.compress(table, 9)).decode() for table in model.tables],
    }
