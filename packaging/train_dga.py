"""Train the model of ``panopticond/shared/dga.py``: ``train_dga.py --names FILE... --dga DIR --out FILE``.

Registered names (one a line, or ``rank,name`` rows; plain, .gz or .zip) give the tables; generated names (a folder of
text files, one family a file) and made-up random ones teach the weights against names the tables have not seen. With
``--hold-names`` and ``--hold-families`` it measures on what it was not trained on and writes that into the card.
Plain Python, about two minutes; the same files and seed give the same table.
"""

from __future__ import annotations

import argparse
import bz2
import gzip
import io
import itertools
import json
import math
import random
import string
import sys
import zipfile
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from panopticond.shared import dga

LETTERS = string.ascii_lowercase
ALLOWED = frozenset(LETTERS + string.digits + "-")
VOWELS = "aeiou"
PER_FAMILY = 1500
EPOCHS = 4
RATE = 0.15


def main() -> None:
    """Read, train, measure, write."""
    options = _options()
    seeded = random.Random(options.seed)  # noqa: S311 - a seeded, repeatable training
    names = {path.name: list(_labels(path, options.limit)) for path in options.names}
    families = {path.stem: list(_labels(path, options.limit)) for path in sorted(options.dga.rglob("*.txt"))}
    families = {
        name: labels
        for name, labels in families.items()
        if labels and not any(word in name for word in options.not_dga)
    }
    held_names, held_families = set(options.hold_names), set(options.hold_families)
    known = {name: labels for name, labels in names.items() if name not in held_names}
    taught = {name: labels for name, labels in families.items() if not any(word in name for word in held_families)}
    taught = {name: labels for name, labels in taught.items() if not any(word in name for word in options.words)}
    weights, rare, rarest = _weights(known, taught, seeded)
    tables = _tables(known.values())
    model = dga.Model(tables, weights, rare, rarest, {})
    card = {
        "names": {name: len(labels) for name, labels in sorted(known.items())},
        "families": {name: len(labels) for name, labels in sorted(taught.items())},
        "seed": options.seed,
        "held_out": _measure(
            model,
            {name: labels for name, labels in names.items() if name in held_names},
            {name: labels for name, labels in families.items() if any(word in name for word in held_families)},
        ),
    }
    if options.figures_of:
        card["held_out"] = json.loads(options.figures_of.read_text(encoding="ascii"))["card"]["held_out"]
    final = dga.Model(tables, weights, rare, rarest, card)
    options.out.write_text(json.dumps(dga.encode(final), sort_keys=True) + "\n", encoding="ascii")
    print(json.dumps(card["held_out"], indent=1))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train the model that tells generated names.")
    parser.add_argument("--names", type=Path, nargs="+", required=True, help="files of registered names")
    parser.add_argument("--dga", type=Path, required=True, help="a folder of generated names, a family a file")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hold-names", nargs="*", default=[], help="file names to measure on only")
    parser.add_argument("--hold-families", nargs="*", default=[], help="families to measure on only")
    parser.add_argument("--words", nargs="*", default=[], help="families made of words: not taught, out of reach")
    parser.add_argument("--not-dga", nargs="*", default=[], help="files in the folder that hold no generated names")
    parser.add_argument("--limit", type=int, default=400_000, help="labels taken of one file")
    parser.add_argument(
        "--figures-of", type=Path, help="a model trained with names held out: its figures go into the card"
    )
    parser.add_argument("--seed", type=int, default=7)
    return parser.parse_args()


def _labels(path: Path, limit: int) -> Iterator[str]:
    """The usable first labels of a file, each once."""
    seen: set[str] = set()
    for line in _lines(path):
        label = line.strip().rpartition(",")[2].lower().split(".")[0]
        usable = (
            dga.SHORTEST <= len(label) <= dga.LONGEST and not label.startswith("xn--") and ALLOWED.issuperset(label)
        )
        if usable and label not in seen:
            seen.add(label)
            yield label
            if len(seen) >= limit:
                return


def _lines(path: Path) -> Iterator[str]:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as raw:
            yield from io.TextIOWrapper(raw, "utf-8", "replace")
        return
    opener = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix, open)
    with opener(path, "rt", encoding="utf-8", errors="replace") as file:
        yield from file


def _tables(lists: Iterable[list[str]]) -> tuple[bytes, bytes, bytes]:
    sizes = (dga.BASE**3, dga.BASE**4, dga.SLOTS_5)
    tables = tuple(bytearray(size) for size in sizes)
    counters: tuple[Counter[int], ...] = (Counter(), Counter(), Counter())
    for labels in lists:
        for counter, found in zip(counters, dga.count(labels), strict=True):
            counter.update(found)
    for at, (table, counter) in enumerate(zip(tables, counters, strict=True)):
        for slot, times in counter.items():
            if at < 2 or times > 1:  # a group of five seen once is as good as unseen, and half of the table's size
                table[slot] = dga.bucket(times)
    return bytes(tables[0]), bytes(tables[1]), bytes(tables[2])


def _weights(
    known: dict[str, list[str]], taught: dict[str, list[str]], seeded: random.Random
) -> tuple[dga.Weights, float, float]:
    """Weights and thresholds from names the tables were not made of: the smaller lists, tables of the two largest."""
    ordered = sorted(known.items(), key=lambda item: -len(item[1]))
    tables = _tables(labels for _, labels in ordered[:2])
    rest = [label for _, labels in ordered[2:] for label in labels]
    benign = seeded.sample(rest, min(len(rest), 60_000))
    generated = [*_made_up(20_000, seeded)]
    for labels in taught.values():
        generated += seeded.sample(labels, min(len(labels), PER_FAMILY))
    rows = [(_features(label, tables), 0) for label in benign] + [(_features(label, tables), 1) for label in generated]
    weights = _logistic(rows, seeded)
    return weights, *dga.thresholds([_raw(label, tables, weights) for label in rest])


def _features(label: str, tables: tuple[bytes, bytes, bytes]) -> Counter[int]:
    """Counts by the weight's number: 12 buckets of each table, 25 pairs of classes, 41 lengths."""
    coded = dga.codes(label)
    found: Counter[int] = Counter()
    for at, (table, places) in enumerate(zip(tables, dga.slots(coded), strict=True)):
        found.update(at * dga.BUCKETS + table[place] for place in places)
    classes = coded.translate(dga.CLASS_TABLE)
    found.update(36 + first * 5 + second for first, second in itertools.pairwise(classes))
    found[61 + len(coded)] += 1
    return found


def _logistic(rows: list[tuple[Counter[int], int]], seeded: random.Random) -> dga.Weights:
    """Stochastic gradient with a step of its own for every weight (AdaGrad)."""
    weights, squares = [0.0] * 102, [1e-6] * 102
    order = list(range(len(rows)))
    for _ in range(EPOCHS):
        seeded.shuffle(order)
        for at in order:
            features, truth = rows[at]
            total = sum(weights[key] * times for key, times in features.items())
            error = 1 / (1 + math.exp(-max(-30.0, min(30.0, total)))) - truth
            for key, times in features.items():
                step = error * times
                squares[key] += step * step
                weights[key] -= RATE * step / math.sqrt(squares[key])
    rounded = [round(weight * dga.WEIGHT_UNIT) for weight in weights]
    return dga.Weights(*(tuple(rounded[a:b]) for a, b in ((0, 12), (12, 24), (24, 36), (36, 61), (61, 102))))


def _made_up(number: int, seeded: random.Random) -> Iterator[str]:
    """Random labels of the ways algorithms make them: letters, with digits, hexadecimal, few letters, by turns."""
    for _ in range(number):
        way, length = seeded.random(), seeded.randint(6, 24)
        if way < 0.55:
            yield "".join(seeded.choices(LETTERS, k=length))
        elif way < 0.7:
            yield "".join(seeded.choices(LETTERS + string.digits, k=length))
        elif way < 0.76:
            yield "".join(seeded.choices("0123456789abcdef", k=max(8, length)))
        elif way < 0.9:
            yield "".join(seeded.choices(seeded.sample(LETTERS, seeded.randint(8, 20)), k=length))
        else:
            yield "".join(
                seeded.choice(VOWELS) if seeded.random() < 0.35 else seeded.choice("bcdfghjklmnpqrstvwxyz")
                for _ in range(length)
            )


def _raw(label: str, tables: tuple[bytes, bytes, bytes], weights: dga.Weights) -> float:
    return dga.raw_score(dga.codes(label), tables, weights)


def _measure(model: dga.Model, names: dict[str, list[str]], families: dict[str, list[str]]) -> dict[str, object]:
    """Found at 0.5 % and 0.1 % of the held-out names wrongly called generated; the area under the curve."""
    benign = sorted(model.raw(label) for labels in names.values() for label in labels)
    if not benign or not families:
        return {}
    rare, rarest = dga.thresholds(benign)
    scored = {name: [model.raw(label) for label in labels[:1000]] for name, labels in families.items()}
    every = [raw for raws in scored.values() for raw in raws]
    area = sum((bisect_left(benign, raw) + bisect_right(benign, raw)) / 2 for raw in every) / len(benign) / len(every)
    by_family = {
        name: [len(raws), round(_share(raws, rare), 3), round(_share(raws, rarest), 3)] for name, raws in scored.items()
    }
    return {
        "names": sorted(names),
        "found_at_0.005": round(_share(every, rare), 4),
        "found_at_0.001": round(_share(every, rarest), 4),
        "auc": round(area, 5),
        "families": by_family,
    }


def _share(raws: list[float], above: float) -> float:
    return sum(raw > above for raw in raws) / len(raws)


if __name__ == "__main__":
    sys.exit(main())
