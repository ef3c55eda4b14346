"""Letters that look alike: Unicode folded to ASCII, and the ASCII shapes that pass for each other (after UTS 39).

First step of ``lookalike``: a label is folded, then reduced to a skeleton in which confusable shapes are one; names
with equal skeletons are compared shape by shape. Pure. Latin letters are read off their Unicode names; the Cyrillic,
Greek, Armenian and other letters that pass for Latin ones stand in ``data/confusables.txt``.
"""

from __future__ import annotations

import functools
import re
import unicodedata
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


def expansions(brand: str) -> set[str]:
    """The brand with up to two of its letters written as two shapes, or two as one, as skeletons; itself included."""
    one = _respelled(brand)
    two = {text for first in one for text in _respelled(first)} if len(one) <= 40 else set()
    return set(skeletons("\n".join({brand} | one | two).encode()).decode().split("\n"))


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


def _respelled(text: str) -> set[str]:
    found: set[str] = set()
    for at, letter in enumerate(text):
        found.update(text[:at] + pair + text[at + 1 :] for pair in _DOUBLE.get(letter, ()))
        pair = text[at : at + 2]
        found.update(text[:at] + one + text[at + 2 :] for one, pairs in _DOUBLE.items() if pair in pairs)
    return found


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
