"""Whole zones at once: each pass lets through what a plain comparison of every label with every brand lets through."""

import random
from itertools import product

from panopticond.shared.lookalike import bulk, confusable, soundlike

BRANDS = ["facebook", "microsoft", "pay-pal", "netflix", "bankofamerica", "anabanana"]


def zone() -> list[str]:
    chance = random.Random(7)
    words = [*BRANDS, "", "a", "my", "xyz", "faceboo", "-", "login", "icrosoft", "web-shop"]
    return sorted({"".join(chance.choices(words, k=chance.randint(1, 4)))[:63] for _ in range(2000)} - {""})


LABELS = zone()
SORTED = bulk.by_length(LABELS)


def grouped(keys: dict[str, str]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(brand for brand in BRANDS if keys[brand] == key) for key in keys.values()}


def test_every_label_stands_under_its_length() -> None:
    """Sorted by length no label is lost, and each list has one length."""
    assert sorted(label for labels in SORTED.values() for label in labels) == LABELS
    assert all({*map(len, labels)} == {length} for length, labels in SORTED.items())


def test_ends() -> None:
    """Labels that begin or end with a brand."""
    heads, tails = grouped({brand: brand[:5] for brand in BRANDS}), grouped({brand: brand[-5:] for brand in BRANDS})
    every = list(product(BRANDS, LABELS))
    found = {pair for labels in SORTED.values() for pair in bulk.beginning(labels, heads, 5)}
    assert found == {(brand, label) for brand, label in every if label.startswith(brand)}
    found = {pair for labels in SORTED.values() for pair in bulk.ending(labels, tails, 5)}
    assert found == {(brand, label) for brand, label in every if label.endswith(brand)}


def test_words_and_insides() -> None:
    """Labels with a brand between hyphens, and with a long one behind their first letter."""
    found = {pair for labels in SORTED.values() for pair in bulk.worded(labels, BRANDS)}
    assert found == {
        (brand, label) for brand, label in product(BRANDS, LABELS) if "-" in label and brand in label.split("-")
    }
    long = [brand for brand in BRANDS if len(brand) >= bulk.WHOLE]
    parts = {part for brand in long for part in bulk.pieces(brand)}
    starts = {brand[: bulk.WHOLE]: brand for brand in long}
    found = {pair for length, of in SORTED.items() for pair in bulk.inside(of, length, parts, starts)}
    assert found == {(brand, label) for brand, label in product(long, LABELS) if brand in label[1:]}


def test_reduced_forms() -> None:
    """Shapes and sounds of many labels at once are those of each alone; only known ones come out."""
    labels = [f"{label}{number}" for number in range(20) for label in LABELS]
    assert len(labels) > bulk.AT_ONCE
    known = {soundlike.key(label) for label in labels[::7]}
    expected = [(label, sound) for label in labels if (sound := soundlike.key(label)) in known]
    assert list(bulk.reduced(labels, soundlike.keys, known)) == expected
    shape = confusable.skeletons(b"microsoft").decode()
    assert list(bulk.reduced(["micr0soft", "other"], confusable.skeletons, {shape})) == [("micr0soft", shape)]
    assert list(bulk.reduced([], confusable.skeletons, {shape})) == []
