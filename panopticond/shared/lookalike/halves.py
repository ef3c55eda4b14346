"""Long protected names by their halves: one or two slips that fall into the same half leave the other as it stands.

Part of the index of ``protected``, for one label and for the labels of a zone of one length. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from panopticond.shared.lookalike.edits import two_edits

LONG_ENOUGH = 10  # letters; the halves of shorter names stand in too many other labels


class _Half(msgspec.Struct, frozen=True, gc=False):
    """The half of ``brand`` that may have slips in it. Two slips spare its first letter, its last or all between."""

    brand: str
    text: str
    first: str
    last: str
    middle: str


_Table = dict[tuple[int, int], dict[str, list[_Half]]]


class Halves:
    """An index of names of :data:`LONG_ENOUGH` letters or more; shorter ones are passed over."""

    def __init__(self, brands: Iterable[str]) -> None:
        # By the length of a label and of the half that stands: that half -> the other halves.
        self._fronts: _Table = {}
        self._backs: _Table = {}
        for brand in brands:
            if len(brand) >= LONG_ENOUGH:
                half = len(brand) // 2
                front, back = _half(brand, brand[half:]), _half(brand, brand[:-half])
                for length in range(len(brand) - 2, len(brand) + 3):
                    self._fronts.setdefault((length, half), {}).setdefault(brand[:half], []).append(front)
                    self._backs.setdefault((length, half), {}).setdefault(brand[-half:], []).append(back)

    def near(self, labels: list[str], length: int) -> Iterator[tuple[str, str]]:
        """(name, label) for every label, all of one length, that one or two slips in a half lead to; some twice."""
        for half in range(length // 2 - 1, length // 2 + 2):
            if fronts := self._fronts.get((length, half)):
                for label in [label for label in labels if label[:half] in fronts]:
                    for brand in _slipped(fronts[label[:half]], label[half:]):
                        yield brand, label
            if backs := self._backs.get((length, half)):
                for label in [label for label in labels if label[-half:] in backs]:
                    for brand in _slipped(backs[label[-half:]], label[:-half]):
                        yield brand, label


def _half(brand: str, text: str) -> _Half:
    return _Half(brand, text, text[0], text[-1], text[1:-1])


def _slipped(halves: list[_Half], rest: str) -> list[str]:
    first, last = rest[0], rest[-1]
    return [
        half.brand
        for half in halves
        if (half.first == first or half.last == last or half.middle in rest) and two_edits(half.text, rest)
    ]
