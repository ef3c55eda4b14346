"""Names and brands for the screening benchmarks: captured ones where they lie beside the tree, else made up by a seed."""

from __future__ import annotations

import gzip
import random
import zipfile
from pathlib import Path

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
NAMES, BRANDS = 1_000_000, 10_000
PARTS = """ba be bi bo ca ce co da de di do fa fe fi fo ga ge go ha he hi ho ja jo ka ke ki ko la le li lo ma me mi mo na ne ni
no pa pe pi po ra re ri ro sa se si so ta te ti to va ve vi vo za zo an en in on er ar or es al el shop web net bau haus
tech soft bank post market media auto travel hotel design studio group green blue data cloud home food art""".split()  # noqa: SIM905


def names() -> tuple[list[str], str]:
    """A million different labels, and where they come from: a ccTLD's, other registered and popular ones."""
    if not DATA.is_dir():
        return made_up(NAMES, 1), "made up"
    found: dict[str, None] = {}
    with gzip.open(next(iter(sorted(DATA.glob("zones/domains.2026*.txt.gz")))), "rt") as file:
        found.update((line.split(".")[0].strip(), None) for line in file)
    for path in sorted(DATA.glob("names/*.txt")):
        with path.open() as file:
            found.update((line.split(".")[0].strip(), None) for line in file)
    found.update(dict.fromkeys(popular()))
    return list(found)[:NAMES], "captured"


def brands() -> list[str]:
    """Ten thousand labels to protect: the most popular names of four letters or more."""
    source = popular() if DATA.is_dir() else made_up(BRANDS, 2)
    return list(dict.fromkeys(label for label in source if len(label) > 3))[:BRANDS]


def popular() -> list[str]:
    """The labels of Tranco's list, in its order."""
    with zipfile.ZipFile(DATA / "rankings" / "tranco_top-1m.csv.zip") as archive, archive.open("top-1m.csv") as file:
        return [row.split(b",")[1].split(b".")[0].strip().decode() for row in file]


def made_up(number: int, seed: int) -> list[str]:
    """Pronounceable labels of two to five parts, all different."""
    chance = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < number:
        label = "".join(chance.choices(PARTS, k=chance.randint(2, 5)))
        found[label + (str(chance.randint(1, 99)) if chance.random() < 0.1 else "")] = None
    return list(found)
