"""Long names by their halves: whatever two slips in one half make of a name is found, and nothing else."""

import random

from panopticond.shared.lookalike.edits import across_the_middle, one_edit_labels, two_edits
from panopticond.shared.lookalike.halves import LONG_ENOUGH, Halves
from panopticond.shared.lookalike.keyboard import ALPHABET

BRANDS = ["bankofamerica", "wellsfargo", "raiffeisen", "mississippi", "aaaaaaaaaa", "visa"]


def near(labels: list[str]) -> set[tuple[str, str]]:
    index = Halves(BRANDS)
    return {
        pair for length in {*map(len, labels)} for pair in index.near([x for x in labels if len(x) == length], length)
    }


def test_two_slips_in_a_half() -> None:
    """It finds the very pairs that a comparison of every label with every long name finds."""
    chance = random.Random(5)
    labels = set()
    for _ in range(3000):
        letters = list(chance.choice(BRANDS))
        for _ in range(chance.randint(0, 3)):
            letters.insert(chance.randrange(len(letters) + 1), chance.choice(ALPHABET))
            for _ in range(chance.randint(0, 2)):
                letters.pop(chance.randrange(len(letters)))
        labels.add("".join(letters) or "x")
    expected = {
        (brand, label)
        for brand in BRANDS
        for label in labels
        if len(brand) >= LONG_ENOUGH
        and abs(len(label) - len(brand)) <= 2
        and any(
            kept == brand[part] and two_edits(brand, label)
            for half in [len(brand) // 2]
            for kept, part in ((label[:half], slice(half)), (label[-half:], slice(-half, None)))
        )
    }
    assert len(expected) > 500
    assert near(sorted(labels)) == expected


def test_one_slip_lies_in_a_half_or_across_the_middle() -> None:
    """One slip of a long name leaves a half as it stands, but for the two letters in the middle swapped."""
    for brand in BRANDS[:-1]:
        labels = set(one_edit_labels(brand)) - {brand}
        assert labels - {label for of, label in near(sorted(labels)) if of == brand} == set(across_the_middle(brand))
    assert across_the_middle("wellsfargo") == ["wellfsargo"]


def test_nothing_without_names() -> None:
    """Short names alone, or none, make an index that finds nothing."""
    assert list(Halves(["visa"]).near(["visas"], 5)) == list(Halves([]).near(["x"], 1)) == []
