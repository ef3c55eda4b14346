"""The built-in lists of screening: names worth protecting everywhere, and words that go with them in a trap.

Read where ``protected`` is given no lists of its own; kept as text files in ``shared/data``.
"""

from __future__ import annotations

from importlib import resources


def builtin_protected() -> list[str]:
    """The built-in protected labels: international brands; banks, posts, tax offices, telecoms, governments."""
    return _words("protected.txt")


def builtin_lures() -> list[str]:
    """The built-in words that go with a brand in a combosquat."""
    return _words("lures.txt")


def _words(name: str) -> list[str]:
    text = (resources.files("panopticond.shared") / "data" / name).read_text(encoding="utf-8")
    return [word for line in text.splitlines() if not line.startswith("#") for word in line.split()]
