"""A protected name with words around it: a TLD written into the label, lures, digits, or only more letters.

Part of ``protected``, which finds the names that stand in a label; here is decided what the rest of it means. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from panopticond.shared.lookalike import bulk
from panopticond.shared.lookalike.hits import Hit

INSIDE_LENGTH = bulk.WHOLE
_DIGITS = re.compile(r"[0-9]+")
_TLDS = frozenset(
    {"com", "net", "org", "info", "biz", "co", "io", "app", "gov", "edu", "online", "site", "shop", "xyz", "eu", "us",
     "uk", "de", "fr", "es", "it", "nl", "pl", "ru", "br", "in", "cn", "jp", "au", "ca", "ch"}
)  # fmt: skip
_GLUED_TLDS = frozenset({"com", "net", "org", "info", "biz", "gov"})


class Combosquats:
    """What stands around a name, judged by words that lure."""

    def __init__(self, lures: Iterable[str]) -> None:
        self._lures = frozenset(lures)
        self._heads = frozenset(lure[:2] for lure in self._lures)
        self._tails = frozenset(lure[-2:] for lure in self._lures)

    def worth(self, brand: str, rest: str) -> bool:
        """Whether :meth:`hit` may find something in a brand with ``rest`` before or behind it.

        It does not, which spares nearly all of the labels, where a short brand is part of a longer word.
        """
        return (
            len(brand) >= INSIDE_LENGTH
            or not rest.isalpha()
            or rest in self._lures
            or rest in _GLUED_TLDS
            or (rest[:2] in self._heads and rest[-2:] in self._tails)
        )

    def hit(self, brand: str, folded: str, tokens: list[str], foreign: str) -> Hit | None:
        """A label of ``tokens`` between its hyphens that holds the brand; None where it is part of a longer word."""
        before, _, after = folded.partition(brand)
        rest = [word for word in (before.strip("-"), after.strip("-")) if word]
        words = [_DIGITS.sub("", word) for text in rest for word in text.split("-")]
        tld = after.strip("-").split("-", 1)[0]
        if tld in _GLUED_TLDS or (tld in _TLDS and after.startswith("-")):
            score = 0.75 if tld not in _GLUED_TLDS else 0.9 if after.startswith("-") else 0.8
            return Hit(brand, "tld-in-label", 0, f"{foreign}{brand} with .{tld} written into the label", score)
        token = brand in tokens
        if not token and len(brand) < INSIDE_LENGTH and len(words) == 1 and words[0] and not self._lure(words[0]):
            return None  # a short name at one end of a longer word: most of what comes here
        lured = [word for word in words if word and self._lure(word)]
        size = 0.02 * min(len(brand), 12)
        if lured and len(lured) == len([word for word in words if word]):
            return Hit(brand, "combosquat", 0, f"{foreign}{brand} with {', '.join(lured)}", 0.7 + size)
        if not any(words):
            return Hit(brand, "combosquat", 0, f"{foreign}{brand} with digits or hyphens", 0.5 + size)
        if token and lured:
            return Hit(brand, "combosquat", 0, f"{foreign}{brand} as a word, with {', '.join(lured)}", 0.6 + size)
        if token:
            return Hit(brand, "combosquat", 0, f"{foreign}{brand} as a word of its own", 0.3 + size)
        if len(brand) >= INSIDE_LENGTH:
            return Hit(brand, "combosquat", 0, f"{foreign}{brand} inside the label", 0.25 + size)
        return None

    def _lure(self, word: str) -> bool:
        """A lure word, or two of them run together."""
        if word in self._lures:
            return True
        if word[:2] not in self._heads or word[-2:] not in self._tails:
            return False
        return any(word[:at] in self._lures and word[at:] in self._lures for at in range(2, len(word) - 1))
