"""One way in which a label imitates a name, and what each way weighs; the scores of ``protected`` stand here.

Scores follow how sure a person would be: a longer name is less likely hit by chance, a slip is worse than a sound.
``foreign`` is the beginning of a reason for a label of another script, else empty. Pure.
"""

from __future__ import annotations

import msgspec


class Hit(msgspec.Struct, frozen=True, gc=False):
    """One way in which a label imitates a brand."""

    brand: str
    kind: str
    """One of the kinds of ``arke screen``."""
    distance: int
    """Slips, or look-alike shapes, between the two; 0 for the brand itself with nothing or only words around it."""
    reason: str
    score: float
    """0 to 1, higher is worse."""


def same(brand: str, foreign: str, *, marks_only: bool = False) -> Hit:
    """The name itself, or something that reads as it does."""
    if marks_only:  # words of another language differ so from short names: home and hõme
        return Hit(brand, "homoglyph", 0, f"{foreign}reads {brand}", min(0.95, 0.5 + 0.06 * len(brand)))
    if foreign:
        return Hit(brand, "homoglyph", 0, f"{foreign}reads {brand}", 0.97)
    return Hit(brand, "homoglyph", 0, "the protected name itself", 0.9)


def one_slip(brand: str, kind: str, foreign: str) -> Hit:
    """One slip of the hand, by its kind."""
    score = min(0.92, 0.4 + 0.05 * len(brand))
    return Hit(brand, kind, 1, f"{foreign}one slip from {brand}: {_REASONS[kind]}", score)


def two_slips(brand: str, foreign: str) -> Hit:
    """Two slips, of whatever kinds."""
    return Hit(brand, "replacement", 2, f"{foreign}two slips from {brand}", min(0.3 + 0.03 * len(brand), 0.8))


def sounding(brand: str, label: str, foreign: str) -> Hit:
    """A label that is said as the name is."""
    score = min(0.8, 0.3 + 0.04 * len(brand))
    return Hit(brand, "soundsquat", 1, f"{foreign}{label} sounds like {brand}", score)


_REASONS = {
    "addition": "a letter added at the end",
    "bitsquatting": "one bit flipped",
    "homoglyph": "a letter that looks the same",
    "hyphenation": "a hyphen put in",
    "insertion": "a letter put in",
    "keyboard": "a neighbouring key",
    "omission": "a letter left out",
    "plural": "an s added",
    "repetition": "a letter doubled",
    "replacement": "a letter replaced",
    "transposition": "two letters swapped",
    "vowel-swap": "another vowel",
}
