"""Whole zones at once for ``protected``: which labels are worth the trouble of a closer look. Pure.

Every function passes over plain labels (ASCII, no ``xn--``) in comprehensions of one test each, list by list of one
length: a million labels are sifted in the time that a loop asking all the tests of each label would take for a third
of them. What comes out is then weighed by the very functions that weigh a single label.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping

PIECE = 6
STEP = 3
"""Wherever eight letters of a brand stand in a label, :data:`PIECE` of them start at a multiple of this."""
WHOLE = PIECE + STEP - 1
AT_ONCE = 16_000  # labels reduced together: their text stays within a processor's cache


def by_length(labels: Iterable[str]) -> dict[int, list[str]]:
    """The labels sorted by how long they are."""
    found: dict[int, list[str]] = {}
    for label in labels:
        length = len(label)
        if length in found:
            found[length].append(label)
        else:
            found[length] = [label]
    return found


def reduced(labels: list[str], reduce: Callable[[bytes], bytes], known: Container[str]) -> Iterator[tuple[str, str]]:
    """(label, form) where the form that ``reduce`` brings it to, many labels with newlines in one pass, is known."""
    for start in range(0, len(labels), AT_ONCE):
        some = labels[start : start + AT_ONCE]
        forms = reduce("\n".join(some).encode() + b"\n").decode().split("\n")
        yield from [pair for pair in zip(some, forms, strict=False) if pair[1] in known]


def beginning(labels: list[str], heads: Mapping[str, tuple[str, ...]], size: int) -> Iterator[tuple[str, str]]:
    """(brand, label) where the label begins with the brand; ``heads`` are brands by their first ``size`` letters."""
    for label in [label for label in labels if label[:size] in heads]:
        brands = heads[label[:size]]
        if label.startswith(brands):
            yield from [(brand, label) for brand in brands if label.startswith(brand)]


def ending(labels: list[str], tails: Mapping[str, tuple[str, ...]], size: int) -> Iterator[tuple[str, str]]:
    """(brand, label) where the label ends with the brand; ``tails`` are brands by their last ``size`` letters."""
    for label in [label for label in labels if label[-size:] in tails]:
        brands = tails[label[-size:]]
        if label.endswith(brands):
            yield from [(brand, label) for brand in brands if label.endswith(brand)]


def worded(labels: list[str], brands: Collection[str]) -> Iterator[tuple[str, str]]:
    """(brand, label) where the brand stands between hyphens."""
    for label in [label for label in labels if "-" in label]:
        yield from [(token, label) for token in label.split("-") if token in brands]


def pieces(brand: str) -> set[str]:
    """What of a brand's first eight letters :func:`inside` looks for."""
    return {brand[at : at + PIECE] for at in range(STEP)}


def inside(
    labels: list[str], length: int, parts: Container[str], starts: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """(brand, label) where the brand stands behind the first letter of a label, all of them ``length`` long.

    ``starts`` are brands of :data:`WHOLE` letters or more by that many of them, several as words of one text;
    ``parts`` are the :func:`pieces` of all.
    """
    held: dict[str, None] = {}
    for at in range(STEP, length - PIECE + 1, STEP):
        stop = at + PIECE
        held.update(dict.fromkeys([label for label in labels if label[at:stop] in parts]))
    places = range(1, length - WHOLE + 1)
    known = starts.keys()
    for label in held:
        wholes = [label[at : at + WHOLE] for at in places]
        if not known.isdisjoint(wholes):
            for at, whole in enumerate(wholes, 1):
                yield from [(brand, label) for brand in starts.get(whole, "").split() if label.startswith(brand, at)]
