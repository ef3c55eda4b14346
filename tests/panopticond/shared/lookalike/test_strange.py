"""Labels with letters that look like none we know: the index finds what a comparison with every name would find."""

import random

from panopticond.shared.lookalike import confusable
from panopticond.shared.lookalike.strange import Strange

BRANDS = ["visa", "apple", "paypal", "payqal", "netflix", "facebook", "bankofamerica", "ups"]
INDEX = Strange(BRANDS)


def compared(folded: str) -> set[str]:
    strange = {at for at, char in enumerate(folded) if not char.isascii()}
    if len(strange) > 2 or len(folded) - len(strange) < 3:
        return set()
    found = set()
    for brand in BRANDS:
        others = [
            (one, other)
            for at, (one, other) in enumerate(zip(brand, folded, strict=False))
            if one != other and at not in strange
        ]
        if (
            len(brand) == len(folded)
            and len(others) <= 2 - len(strange) // 2
            and all(confusable.alike(*pair) for pair in others)
        ):
            found.add(brand)
    return found


def test_it_finds_what_a_comparison_finds() -> None:
    """One or two strange letters anywhere, and others that pass for the name's: every name is found, no other is."""
    chance = random.Random(3)
    hits = 0
    for _ in range(3000):
        letters = list(chance.choice(BRANDS))
        for _ in range(chance.randint(0, 3)):
            letters[chance.randrange(len(letters))] = chance.choice("\u0436\u0416eo01bl9qgx")
        folded = "".join(letters)
        found = {brand for brand, _ in INDEX.near(folded)}
        assert found == compared(folded), folded
        hits += bool(found)
    assert hits > 300


def test_too_little_to_go_by() -> None:
    """Three strange letters, or fewer than three known ones, spell nothing; an empty list finds nothing."""
    assert list(INDEX.near("\u0436\u0436\u0436pal")) == list(INDEX.near("u\u0436s")) == list(INDEX.near("\u0436")) == []
    assert list(Strange([]).near("pa\u0436pal")) == []
    assert list(INDEX.near("pa\u0436pal")) == [("paypal", 1)]
