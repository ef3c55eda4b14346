"""One slip between a protected name and a label: which kind of slip it is, and every label that one slip leads to.

Used by ``protected``. Pure. A slip anybody could make or an attacker would choose (next key, doubled letter, a bit
flipped) counts for every name of four letters or more; any other letter only for names of :data:`LOOSE_LENGTH`
letters, where chance does not lead to other people's names.
"""

from __future__ import annotations

import functools

from panopticond.shared.lookalike.confusable import alike
from panopticond.shared.lookalike.keyboard import ALPHABET, Keyboards

LOOSE_LENGTH = 7
_VOWELS = frozenset("aeiou")
EVERY_KEYBOARD = Keyboards()
_FLIPS: dict[str, frozenset[str]] = {
    letter: frozenset(chr(ord(letter) ^ 1 << bit) for bit in range(8) if chr(ord(letter) ^ 1 << bit) in ALPHABET)
    for letter in ALPHABET
}


def kinds_of_one_edit(brand: str, label: str, keyboards: Keyboards = EVERY_KEYBOARD) -> tuple[str, ...]:
    """The kinds of the one slip that makes ``label`` of ``brand``, the plainest first; empty when it takes more."""
    longer = len(label) - len(brand)
    if brand == label or abs(longer) > 1:
        return ()
    at = _first_difference(brand, label)
    if longer == 1:
        return _inserted(brand, label, at, keyboards) if brand[at:] == label[at + 1 :] else ()
    if longer == -1:
        return ("omission",) if brand[at + 1 :] == label[at:] else ()
    if brand[at + 1 :] == label[at + 1 :]:
        return _replaced(brand, brand[at], label[at], keyboards)
    swapped = brand[at : at + 2] == label[at : at + 2][::-1]
    return ("transposition",) if swapped and brand[at + 2 :] == label[at + 2 :] else ()


def one_edit_labels(brand: str, keyboards: Keyboards = EVERY_KEYBOARD) -> list[str]:
    """Every label that :func:`kinds_of_one_edit` has a kind for, some of them twice; no leading hyphen put in.

    A scan asks for thousands of brands at once, so each place's labels are made as one text: joining an alphabet with
    what stands around a place takes half the time of putting label by label together.
    """
    loose = len(brand) >= LOOSE_LENGTH
    found = [brand + other for other in ALPHABET[:-1]]
    lines = []
    for at, letter in enumerate(brand):
        head, tail = brand[:at], brand[at + 1 :]
        rest = letter + tail
        found.append(head + tail)
        if tail and letter != tail[0]:
            found.append(head + tail[0] + letter + tail[1:])
        if loose:
            lines += [head + f"{tail}\n{head}".join(ALPHABET) + tail]
            lines += [head + f"{rest}\n{head}".join(ALPHABET if at else ALPHABET[:-1]) + rest]
        else:
            found += [head + other + tail for other in _likely(letter, keyboards)]
            found += [head + other + rest for other in _near(head[-1:], letter, keyboards) if at or other != "-"]
            if at > 1:
                found.append(head + "s" + rest)
    return [*found, *"\n".join(lines).split("\n")] if lines else found


def across_the_middle(brand: str) -> list[str]:
    """The one slip that may leave neither half of a name as it stands: its two letters in the middle swapped."""
    half = len(brand) // 2
    if len(brand) % 2 or brand[half - 1] == brand[half]:
        return []
    return [brand[: half - 1] + brand[half] + brand[half - 1] + brand[half + 1 :]]


def _first_difference(brand: str, label: str) -> int:
    at = 0
    for one, other in zip(brand, label, strict=False):
        if one != other:
            break
        at += 1
    return at


def _inserted(brand: str, label: str, at: int, keyboards: Keyboards) -> tuple[str, ...]:
    """``label`` has one letter more, at ``at``; inside a run of equal letters its place is the run's end."""
    letter = label[at]
    before, after = brand[at - 1] if at else "", brand[at] if at < len(brand) else ""
    if letter == "-":
        return ("hyphenation",) if before and after else ()
    kinds = []
    if letter in {before, after}:
        kinds.append("repetition")
    if letter == "s" and at > 1:
        kinds.append("plural")
    if not after:
        kinds.append("addition")
    keys = keyboards.touching
    if letter in keys.get(before, ()) or letter in keys.get(after, ()):
        kinds += ["insertion", "keyboard"]
    if not kinds and len(brand) >= LOOSE_LENGTH:
        kinds.append("insertion")
    return tuple(kinds)


def _replaced(brand: str, letter: str, other: str, keyboards: Keyboards) -> tuple[str, ...]:
    kinds = []
    if alike(letter, other):
        kinds.append("homoglyph")
    if letter in _VOWELS and other in _VOWELS:
        kinds.append("vowel-swap")
    if other in keyboards.touching.get(letter, ()):
        kinds += ["replacement", "keyboard"]
    if other in _FLIPS.get(letter, ()):
        kinds.append("bitsquatting")
    if not kinds and len(brand) >= LOOSE_LENGTH:
        kinds.append("replacement")
    return tuple(kinds)


@functools.lru_cache(maxsize=4096)
def _likely(letter: str, keyboards: Keyboards) -> set[str]:
    vowels = _VOWELS if letter in _VOWELS else frozenset[str]()
    shapes = {other for other in ALPHABET if alike(letter, other)}
    return (shapes | vowels | keyboards.touching.get(letter, frozenset()) | _FLIPS.get(letter, frozenset())) - {letter}


@functools.lru_cache(maxsize=4096)
def _near(before: str, after: str, keyboards: Keyboards) -> set[str]:
    keys = keyboards.touching.get(before, frozenset()) | keyboards.touching.get(after, frozenset())
    return set(keys) | {before, after, "-"} - {""}


def two_edits(brand: str, label: str) -> bool:
    """Whether one or two insertions, omissions or replacements lead from one to the other."""
    at, stop = 0, min(len(brand), len(label))
    while at < stop and brand[at] == label[at]:
        at += 1
    end = 0
    while end < stop - at and brand[-1 - end] == label[-1 - end]:
        end += 1
    one, other = brand[at : len(brand) - end], label[at : len(label) - end]
    if max(len(one), len(other)) <= 2:
        return bool(one or other)
    if len(one) == len(other) and one[1:-1] == other[1:-1]:
        return True
    return one[1:] == other[:-1] or other[1:] == one[:-1]
