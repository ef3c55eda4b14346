"""Labels with a letter or two that look like no ASCII letter we know: which protected names the other letters spell.

Part of the index of ``protected``. Every protected name stands under three blocks of its letters; strange letters, of
which there are two at most, leave one block as it is. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from panopticond.shared.lookalike.confusable import alike, families

STRANGE_LIMIT = 2
LETTERS_LEAST = 3  # that are not strange: fewer say nothing

_Block = tuple[int, int, str]


class Strange:
    """An index of names for labels that are not ASCII even when folded."""

    def __init__(self, brands: Iterable[str]) -> None:
        self._names: dict[_Block, list[str]] = {}
        for brand in brands:
            for key in _blocks(brand):
                self._names.setdefault(key, []).append(brand)

    def near(self, folded: str) -> Iterator[tuple[str, int]]:
        """(name, how many letters of ``folded`` are strange) where all others are the name's, or pass for its."""
        strange = {at for at, char in enumerate(folded) if not char.isascii()}
        if len(strange) > STRANGE_LIMIT or len(folded) - len(strange) < LETTERS_LEAST:
            return
        slack = 2 - len(strange) // 2
        for brand in dict.fromkeys(brand for key in _blocks(folded) for brand in self._names.get(key, ())):
            others = 0
            for at, (one, other) in enumerate(zip(brand, folded, strict=True)):
                if one != other and at not in strange:
                    others += 1
                    if others > slack or not alike(one, other):
                        break
            else:
                yield brand, len(strange)


def _blocks(text: str) -> list[_Block]:
    """Two letters (one of a short text) at the beginning, middle and end, with shapes that look alike made one."""
    size = 2 if len(text) > 5 else 1
    family = families(text)
    places = (0, (len(text) - size + 1) // 2, max(0, len(text) - size))
    return [(len(text), at, family[at : at + size]) for at in dict.fromkeys(places)]
