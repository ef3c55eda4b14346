"""Which keys lie beside which, on the layouts typists use: for slips of the finger in ``protected``. Pure data.

A layout is three or four rows of keys, each row shifted half a key to the right of the one above. Those of
:data:`LAYOUTS` are known by name; any other is given by its rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-"
"""What a label is written with; a row may hold other keys, which keep their place and are no slip."""
LAYOUTS: dict[str, tuple[str, ...]] = {
    "qwerty": ("1234567890-", "qwertyuiop", "asdfghjkl", "zxcvbnm"),
    "qwertz": ("1234567890", "qwertzuiop", "asdfghjkl", "yxcvbnm-"),
    "azerty": ("1234567890", "azertyuiop", "qsdfghjklm", "wxcvbn"),
}
ROWS_LIMIT = 6
KEYS_LIMIT = 20  # in a row

Layout = str | Sequence[str]
"""A name of :data:`LAYOUTS`, or rows of keys from the top down."""


class Keyboards:
    """The neighbours of every key on some layouts, all known ones without an argument."""

    def __init__(self, layouts: Iterable[Layout] = tuple(LAYOUTS)) -> None:
        self.touching = neighbours(layouts)


def neighbours(layouts: Iterable[Layout] = tuple(LAYOUTS)) -> dict[str, frozenset[str]]:
    """By key, every key that touches it on one of the layouts; KeyError for a layout nobody has drawn."""
    found: dict[str, set[str]] = {}
    for layout in layouts:
        rows = LAYOUTS[layout] if isinstance(layout, str) else [row.lower() for row in layout]
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
    return {key: frozenset(around.intersection(ALPHABET)) for key, around in found.items() if key in ALPHABET}


def layout_fault(layout: Layout) -> str | None:
    """Why this is no layout, or None."""
    if isinstance(layout, str):
        return None if layout in LAYOUTS else f"{layout!r} is none of {', '.join(LAYOUTS)}; give its rows of keys"
    if not 1 <= len(layout) <= ROWS_LIMIT:
        return f"a layout has 1 to {ROWS_LIMIT} rows of keys, not {len(layout)}"
    for row in layout:
        if not 1 <= len(row) <= KEYS_LIMIT or not row.isprintable() or " " in row:
            return f"{row[:40]!r} is no row of 1 to {KEYS_LIMIT} keys without blanks"
    keys = [key for key in "".join(layout).lower() if key in ALPHABET]
    if len(keys) < 2 or len(set(keys)) < len(keys):
        return "a layout names each of its letters, digits and hyphen once, and two of them at least"
    return None
