"""Letters that look alike: Unicode folded to ASCII, and the ASCII shapes that pass for each other (after UTS 39).

First step of ``protected``: a label is folded, then reduced to a skeleton in which confusable shapes are one; names
with equal skeletons are compared shape by shape. Pure. Latin letters are read off their Unicode names; the Cyrillic,
Greek, Armenian and other letters that pass for Latin ones stand in ``data/confusables.txt``.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from importlib import resources

LABEL_LIMIT = 63
_LATIN = re.compile(
    r"LATIN (?:SMALL )?LETTER (?:SMALL CAPITAL |SCRIPT |DOTLESS |OPEN |TURNED |REVERSED |LONG |TONE |AFRICAN )?"
    r"([A-Z])(?: WITH .+)?"
)
# One shape for another, one letter each, both ways.
_SINGLE = {
    "a": "4", "b": "d8h6", "c": "e", "d": "b", "e": "c3", "f": "t", "g": "q96", "h": "b", "i": "l1j", "j": "i",
    "l": "i1", "m": "n", "n": "mr", "o": "0", "q": "g", "r": "n", "s": "5", "t": "7f", "u": "v", "v": "u", "z": "2",
    "0": "o", "1": "li", "2": "z", "3": "e8", "4": "a", "5": "s", "6": "b9g", "7": "t", "8": "b3", "9": "g6",
}  # fmt: skip
# One letter written with two, both ways.
_DOUBLE = {
    "b": ("lb",), "d": ("cl", "dl"), "h": ("lh",), "k": ("lk", "ik", "lc"), "m": ("nn", "rn", "rr"), "w": ("vv", "uu"),
    "a": ("ci", "cl"), "g": ("cj",),
}  # fmt: skip
_TWO_AS_ONE = {pair: [one for one in _DOUBLE if pair in _DOUBLE[one]] for pairs in _DOUBLE.values() for pair in pairs}
_FOLDS = {"c": "e", "3": "e", "d": "b", "8": "b", "h": "b", "q": "g", "9": "g", "6": "g", "i": "l", "j": "l", "1": "l",
          "0": "o", "m": "n", "r": "n", "4": "a", "5": "s", "7": "t", "f": "t", "u": "v", "2": "z"}  # fmt: skip
_GLANCE = str.maketrans("01i", "oll")
_TABLE = bytes.maketrans("".join(_FOLDS).encode(), "".join(_FOLDS.values()).encode())


def to_unicode(label: str) -> str | None:
    """The U-label of an ``xn--`` label, any other label as it stands; None when the punycode is invalid (RFC 3492)."""
    if not label.startswith("xn--"):
        return label
    try:
        text = label[4:].encode("ascii").decode("punycode")
    except (UnicodeError, ValueError, OverflowError):
        return None
    return text if text and not text.isascii() and len(text) <= LABEL_LIMIT else None


def fold(text: str) -> str:
    """Every letter as the ASCII letter it looks like; letters that look like none stay, marks go."""
    return text if text.isascii() else "".join(map(_fold_letter, text.lower()))


def marks_only(text: str) -> bool:
    """Whether a text is no ASCII, yet differs from it by marks on Latin letters only, as words of many languages do."""
    bare = "".join(char for char in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(char))
    return bare.isascii() and not text.isascii()


def skeletons(blob: bytes) -> bytes:
    """The skeleton of ASCII text, or of many labels with newlines between them, in one pass."""
    shapes = blob.translate(_TABLE).replace(b"vv", b"w")
    for _ in range(4):  # rn, nn, rr and m are one shape; four passes shrink runs of up to sixteen
        shapes = shapes.replace(b"nn", b"n")
    return shapes


def expanded(brands: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(skeleton, brand) of each brand, and of it with up to two letters written as two shapes, or two as one."""
    every = iter(brands)
    while some := list(itertools.islice(every, 500)):
        spelled = [_spellings(brand) for brand in some]
        shapes = skeletons("\n".join(itertools.chain(*spelled)).encode()).decode().split("\n")
        at = 0
        for brand, texts in zip(some, spelled, strict=True):
            yield from [(shape, brand) for shape in set(shapes[at : at + len(texts)])]
            at += len(texts)


def families(text: str) -> str:
    """The text with every ASCII letter that passes for another, or for one that does, as one and the same."""
    return text.translate(_FAMILIES)


def substitutions(brand: str, label: str, limit: int = 2) -> int | None:
    """How few look-alike shapes turn ``brand`` into ``label``, or None when it takes more than ``limit``."""
    reach: dict[tuple[int, int], int] = {(0, 0): 0}
    for at in range(len(brand) + 1):
        for here in range(len(label) + 1):
            cost = reach.get((at, here))
            if cost is None or cost > limit:
                continue
            for by, to, extra in _moves(brand, at, label, here):
                key = (at + by, here + to)
                if cost + extra < reach.get(key, limit + 1):
                    reach[key] = cost + extra
    return reach.get((len(brand), len(label)))


def alike(letter: str, other: str) -> bool:
    """Whether two ASCII letters pass for each other."""
    return other in _SINGLE.get(letter, "")


def same_at_a_glance(brand: str, label: str) -> bool:
    """Whether only the closest of shapes differ: o and 0, l and 1 and i, m and rn, w and vv, d and cl."""
    return _glance(brand) == _glance(label)


def _glance(text: str) -> str:
    return text.translate(_GLANCE).replace("rn", "m").replace("vv", "w").replace("cl", "d")


def _moves(brand: str, at: int, label: str, here: int) -> list[tuple[int, int, int]]:
    """(letters of brand, letters of label, cost) of every step from here."""
    if at == len(brand) or here == len(label):
        return []
    moves = []
    if brand[at] == label[here]:
        moves.append((1, 1, 0))
    rewrites = _rewrites(brand[at])
    for letters in (1, 2, 3):
        cost = rewrites.get(label[here : here + letters])
        if cost is not None:
            moves.append((1, letters, cost))
    if brand[at : at + 2] in _DOUBLE.get(label[here], ()):
        moves.append((2, 1, 1))
    return moves


@functools.cache
def _rewrites(letter: str) -> dict[str, int]:
    """What one letter can be written as, up to three letters, and in how many steps (one or two)."""
    one = {*_SINGLE.get(letter, ""), *_DOUBLE.get(letter, ())}
    two = {
        text[:at] + other + text[at + 1 :]
        for text in one
        for at, part in enumerate(text)
        for other in (*_SINGLE.get(part, ""), *_DOUBLE.get(part, ()))
    }
    return {text: 2 for text in two if text != letter and len(text) <= 3} | dict.fromkeys(one, 1)


def _spellings(brand: str) -> set[str]:
    one = set(_respelled(brand))
    two = [text for first in one for text in _respelled(first)] if len(one) <= 40 else []
    return {brand, *one, *two}


def _respelled(text: str) -> list[str]:
    """The text with one letter written as two shapes, or two as one, wherever that goes."""
    found: list[str] = []
    for at, letter in enumerate(text):
        if letter in _DOUBLE:
            found += [text[:at] + pair + text[at + 1 :] for pair in _DOUBLE[letter]]
        pair = text[at : at + 2]
        if pair in _TWO_AS_ONE:
            found += [text[:at] + one + text[at + 2 :] for one in _TWO_AS_ONE[pair]]
    return found


def _closed() -> dict[int, str]:
    """From each letter to the first of those that it, or one that it passes for, passes for."""
    first = {letter: letter for letter in _SINGLE}
    for letter, others in _SINGLE.items():
        joined = {first[letter], *(first.get(other, other) for other in others)}
        least = min(joined)
        first = {one: least if of in joined else of for one, of in first.items()}
    return {ord(letter): of for letter, of in first.items()}


_FAMILIES = _closed()


@functools.lru_cache(maxsize=4096)
def _fold_letter(char: str) -> str:
    if char.isascii():
        return char
    if (known := _confusables().get(char)) is not None:
        return known
    base = "".join(part for part in unicodedata.normalize("NFKD", char) if not unicodedata.combining(part)).lower()
    if base.isascii():
        return base
    if base != char and len(base) == 1:
        return _fold_letter(base)
    match = _LATIN.fullmatch(unicodedata.name(char, ""))
    return match[1].lower() if match else char


@functools.cache
def _confusables() -> dict[str, str]:
    text = (resources.files("panopticond.shared") / "data" / "confusables.txt").read_text(encoding="utf-8")
    pairs = (line.split() for line in text.splitlines() if line and not line.startswith("#"))
    return {char: letters for letters, *chars in pairs for char in chars}
