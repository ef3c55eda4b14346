"""Screening over the captured data, where it lies beside the tree: every kind of variant, few strangers, day over day."""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from arke import screen
from panopticond.shared.dga import Model
from panopticond.shared.lookalike.protected import Protected

DATA = Path(os.environ.get("PANOPTICON_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
KINDS = {
    "Addition", "Bitsquatting", "Homoglyph", "Hyphenation", "Insertion", "Omission", "Repetition", "Replacement", "Transposition", "Vowel-swap",
}  # fmt: skip
RANDOM = (
    "cryptolocker",
    "ramdo",
    "tinba",
    "qakbot__example_domains",
    "necurs__example_domains",
    "ranbyus__may__example_domains",
)

__test__ = (DATA / "lookalikes").is_dir()  # without the captures nothing of this module is collected


def labels(name: str) -> list[str]:
    return [line.split(".")[0].strip() for line in (DATA / "names" / name).read_text().split()]


def test_every_kind_of_variant_is_found() -> None:
    """Of what dnstwist lists at least 99 in 100 are tied to the right brand, for every kind and for every brand."""
    paths = sorted((DATA / "lookalikes").glob("*.csv"))
    index = Protected([path.stem for path in paths])
    seen, found = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for path in paths:
        with path.open() as file:
            for row in csv.DictReader(file):
                label = row["domain-name"].rsplit(".", 1)[0].encode("idna").decode()
                if row["fuzzer"] in KINDS and "." not in label:
                    hits = index.look(label)
                    for key in (("kind", row["fuzzer"]), ("brand", path.stem)):
                        seen[key] += 1
                        found[key] += bool(hits) and hits[0].brand == path.stem
    assert {key: round(found[key] / seen[key], 4) for key in seen if found[key] < 0.99 * seen[key]} == {}


def test_strangers_are_left_alone() -> None:
    """Of registered names of other ccTLDs at most one in a hundred is tied to any of ten brands drawn at random."""
    chance = random.Random(4)
    popular = json.loads((DATA / "rankings" / "misp_warninglists" / "tranco10k.list.json").read_text())["list"]
    strangers = [label for name in ("br.txt", "nl.txt", "in.txt") for label in labels(name)]
    for _ in range(3):
        index = Protected([name.split(".")[0] for name in chance.sample(popular, 10)])
        assert len(dict(index.scan(strangers))) <= 0.01 * len(strangers)


def test_calibrated_on_one_half_measured_on_the_other() -> None:
    """With half of a TLD's names to calibrate on, at most about 0.5 % of the other half are found, and most random families."""
    names = sorted(set(labels("br.txt")))
    model = Model.load().calibrated(names[::2])
    other = [name for name in names[1::2] if len(name) > 5]
    assert len(model.generated(other)) <= 0.012 * len(other)
    for family in RANDOM:
        path = next(iter((DATA / "dga").rglob(f"{family}.txt")))
        made = [line.split(".")[0].strip() for line in path.read_text().split()[:1000]]
        assert len(model.generated(made)) >= 0.7 * len(set(made)), family


def test_only_names_new_since_the_day_before_are_new(capsys: pytest.CaptureFixture[str]) -> None:
    """A name list of one day against the zone of the next: new is exactly what the list had not."""
    zones = DATA / "zones"
    parser = argparse.ArgumentParser()
    screen.add_scan_arguments(parser)
    before = next(iter(sorted(zones.glob("domains.2026*.txt.gz"))))
    words = ["--zone", str(zones / "ee.2026-08-20.zone.gz"), "--before", str(before), "--format", "json"]
    screen.scan_command(parser.parse_args(words))
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    known = set(screen.owners_of(before))
    assert len(found) > 500
    assert all(item["new"] == (item["name"] not in known) for item in found)
