"""Which keys lie beside which, on the layouts typists use: for slips of the finger in ``lookalike``. Pure data.

A layout is three or four rows of keys, each row shifted half a key to the right of the one above.
"""

from __future__ import annotations

from collections.abc import Iterable

LAYOUTS: dict[str, tuple[str, ...]] = {
    "qwerty": ("1234567890-", "qwertyuiop", "asdfghjkl", "zxcvbnm"),
    "qwertz": ("1234567890", "qwertzuiop", "asdfghjkl", "yxcvbnm-"),
    "azerty": ("1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn"),
}


def neighbours(layouts: Iterable[str] = tuple(LAYOUTS)) -> dict[str, frozenset[str]]:
    """By key, every key that touches it on one of the layouts; KeyError for a layout nobody has drawn."""
    found: dict[str, set[str]] = {}
    for layout in layouts:
        rows = LAYOUTS[layout]
        for line, row in enumerate(rows):
            for column, key in enumerate(row):
                around = found.setdefault(key, set())
                around.update(row[at] for at in (column - 1, column + 1) if 0 <= at < len(row))
                if line + 1 < len(rows):
                    below = rows[line + 1]
                    touching = {below[at] for at in (column - 1, column) if 0 <= at < len(below)}
                    around.update(touching)
                    for other in touching:
                        found.setdefault(other, set()).add(key)
    return {key: frozenset(around) for key, around in found.items()}
