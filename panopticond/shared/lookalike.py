"""Which protected name a label imitates, and how: typo-squats, homoglyphs, combosquats and sound-alikes.

Arke's ``screen`` asks it about names to be registered and about whole zones; panopticond uses it as evidence. Pure. One
label is answered from indexes in microseconds; many labels are answered by turning the question round: every slip of
every brand is looked up among the labels, so the cost goes by the brands and not by brands times labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib import resources

import msgspec

from panopticond.shared import confusable, soundlike
from panopticond.shared.edits import kinds_of_one_edit, one_edit_labels, two_edits

SHORT_LENGTH = 3  # labels this short are protected against exact and homoglyph forms only
LONG_LENGTH = 7
TWO_EDIT_LENGTH = 10
INSIDE_LENGTH = 8
GLUED_LENGTH = 5
SOUND_LENGTH = 5
HALF = 5
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DIGITS = re.compile(r"[0-9]+")
_TLDS = frozenset(
    {"com", "net", "org", "info", "biz", "co", "io", "app", "gov", "edu", "online", "site", "shop", "xyz", "eu", "us",
     "uk", "de", "fr", "es", "it", "nl", "pl", "ru", "br", "in", "cn", "jp", "au", "ca", "ch"}
)  # fmt: skip


_GLUED_TLDS = frozenset({"com", "net", "org", "info", "biz", "gov"})


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


class Protected:
    """An index of protected labels; those of ``labels`` outrank those of ``also``. Build once, ask often."""

    def __init__(self, labels: Iterable[str], *, also: Iterable[str] = (), lures: Iterable[str] | None = None) -> None:
        self.warnings: list[str] = []
        self.brands: dict[str, int] = {}
        for label in labels:
            self._take(label)
        self._given = len(self.brands)
        noted = len(self.warnings)
        for label in also:
            self._take(label)
        del self.warnings[noted:]  # a warning is for the list somebody wrote just now
        self._lures = frozenset(builtin_lures() if lures is None else lures)
        self._lure_heads = frozenset(lure[:2] for lure in self._lures)
        self._lure_tails = frozenset(lure[-2:] for lure in self._lures)
        self._deletes: dict[str, list[str]] = {}
        self._skeletons: dict[str, list[str]] = {}
        self._sounds: dict[str, list[str]] = {}
        self._heads: dict[str, list[str]] = {}
        self._tails: dict[str, list[str]] = {}
        # By five letters and the length of the label: long brands with the length of their half and their letters.
        self._long_heads: dict[tuple[str, int], list[tuple[str, int, frozenset[str]]]] = {}
        self._long_tails: dict[tuple[str, int], list[tuple[str, int, frozenset[str]]]] = {}
        self._inside: dict[str, list[str]] = {}
        # Wherever eight letters of a brand stand in a label, five of them start at a multiple of four of the label.
        self._pieces: set[str] = set()
        self._lengths: dict[int, list[str]] = {}
        for brand in self.brands:
            self._index(brand)

    def _take(self, label: str) -> None:
        text = label.strip().lower().lstrip(".").split(".")[0]
        shown = confusable.to_unicode(text)
        folded = confusable.fold(shown) if shown is not None else ""
        if not _LABEL.fullmatch(folded):
            self.warnings.append(f"{label.strip()[:80]!r} is no label that can be protected")
            return
        if len(folded) <= SHORT_LENGTH:
            self.warnings.append(f"{folded!r} is so short that only exact and homoglyph forms of it are looked for")
        self.brands.setdefault(folded, len(self.brands))

    def _index(self, brand: str) -> None:
        for shape in confusable.expansions(brand):
            self._skeletons.setdefault(shape, []).append(brand)
        self._lengths.setdefault(len(brand), []).append(brand)
        if len(brand) <= SHORT_LENGTH:
            return
        for form in {brand, *(brand[:at] + brand[at + 1 :] for at in range(len(brand)))}:
            self._deletes.setdefault(form, []).append(brand)
        sound = soundlike.key(brand)
        if len(brand) >= SOUND_LENGTH and len(sound) > SHORT_LENGTH:
            self._sounds.setdefault(sound, []).append(brand)
        if len(brand) >= GLUED_LENGTH:
            self._heads.setdefault(brand[:HALF], []).append(brand)
            self._tails.setdefault(brand[-HALF:], []).append(brand)
        if len(brand) >= TWO_EDIT_LENGTH:
            entry = (brand, len(brand) // 2, frozenset(brand))
            for length in range(len(brand) - 2, len(brand) + 3):
                self._long_heads.setdefault((brand[:HALF], length), []).append(entry)
                self._long_tails.setdefault((brand[-HALF:], length), []).append(entry)
        if len(brand) >= INSIDE_LENGTH:
            self._inside.setdefault(brand[:INSIDE_LENGTH], []).append(brand)
            self._pieces.update(brand[at : at + 5] for at in range(4))

    def look(self, label: str) -> list[Hit]:
        """Every brand that a label (lower case, without TLD) imitates, worst first; none for an invalid one."""
        shown = confusable.to_unicode(label)
        if shown is None:
            return []
        folded = confusable.fold(shown)
        return self._ordered(self._hits(folded, shown), label)

    def scan(self, labels: Iterable[str]) -> Iterator[tuple[str, list[Hit]]]:
        """:meth:`look` for every label of a zone that imitates something, in no particular order."""
        every = labels if isinstance(labels, set) else set(labels)
        found: dict[str, list[Hit]] = {}
        plain = []
        for label in every:
            if label.isascii() and not label.startswith("xn--"):
                plain.append(label)
            elif hits := self.look(label):
                yield label, hits
        for label, hit in self._scan_slips(every):
            found.setdefault(label, []).append(hit)
        for label, hit in self._scan_forms(plain):
            found.setdefault(label, []).append(hit)
        for label, hit in self._scan_words(plain):
            found.setdefault(label, []).append(hit)
        for label, hits in found.items():
            yield label, self._ordered(hits, label)

    def _scan_slips(self, every: set[str]) -> Iterator[tuple[str, Hit]]:
        """Every brand's slips, looked up among the labels; the brands themselves too."""
        for brand in self.brands:
            if brand in every:
                yield brand, self._same(brand, "")
            if len(brand) > SHORT_LENGTH:
                for label in every.intersection(one_edit_labels(brand)):
                    for hit in _slip_hits(brand, label, ""):
                        yield label, hit

    def _scan_forms(self, plain: list[str]) -> Iterator[tuple[str, Hit]]:
        """Shapes and sounds: all labels reduced at once, then compared with the brands'."""
        blob = "\n".join(plain).encode() + b"\n"
        known = self._skeletons.keys()
        shapes = confusable.skeletons(blob).decode().split("\n")
        for label, shape in [pair for pair in zip(plain, shapes, strict=False) if pair[1] in known]:
            for hit in self._shapes(label, shape, ""):
                yield label, hit
        del shapes
        heard = self._sounds.keys()
        sounds = soundlike.keys(blob).decode().split("\n")
        for label, sound in [pair for pair in zip(plain, sounds, strict=False) if pair[1] in heard]:
            for hit in self._sound(label, sound, ""):
                yield label, hit

    def _scan_words(self, plain: list[str]) -> Iterator[tuple[str, Hit]]:
        """Brands with words around them, and two slips in one half; what holds no piece of a brand is passed over."""
        brands = self.brands.keys()
        heads = {head: tuple(of) for head, of in self._heads.items()}
        tails = {tail: tuple(of) for tail, of in self._tails.items()}
        pieces, inside = self._pieces, self._inside.keys()
        long_heads = {head: tuple(brand[:half] for brand, half, _ in of) for head, of in self._long_heads.items()}
        long_tails = {tail: tuple(brand[-half:] for brand, half, _ in of) for tail, of in self._long_tails.items()}
        for label in plain:
            head, tail, length = label[:HALF], label[-HALF:], len(label)
            around = two = False
            if head in heads:
                around = label.startswith(heads[head])
                two = (head, length) in long_heads and label.startswith(long_heads[head, length])
            if tail in tails:
                around = around or label.endswith(tails[tail])
                two = two or ((tail, length) in long_tails and label.endswith(long_tails[tail, length]))
            if (
                around
                or ("-" in label and not brands.isdisjoint(label.split("-")))
                or (
                    (label[4:9] in pieces or (length > 12 and _piece_after(label, pieces)))
                    and not inside.isdisjoint([label[at : at + INSIDE_LENGTH] for at in range(1, length - 7)])
                )
            ):
                for hit in self._around(label, ""):
                    yield label, hit
            if two:
                for hit in self._two_slips(label, ""):
                    yield label, hit

    def _ordered(self, found: Iterable[Hit], label: str) -> list[Hit]:
        """Worst first, one of each brand and kind; a protected name imitates no other, but for those given."""
        hits: dict[tuple[str, str], Hit] = {}
        own = label in self.brands
        for hit in found:
            if own and hit.brand != label and self.brands[hit.brand] >= self._given:
                continue
            known = hits.get((hit.brand, hit.kind))
            if known is None or known.score < hit.score:
                hits[hit.brand, hit.kind] = hit
        return sorted(hits.values(), key=self._rank)

    def _rank(self, hit: Hit) -> tuple[bool, float, int, int, str]:
        order = self.brands[hit.brand]
        return (order >= self._given, -hit.score, hit.distance, order, hit.kind)

    def _hits(self, folded: str, shown: str) -> Iterator[Hit]:
        foreign = "" if shown.isascii() else f"written {shown!r}, "
        if not folded.isascii():
            yield from self._unknown_letters(folded, shown)
            return
        if folded in self.brands:
            yield self._same(folded, foreign, marks_only=confusable.marks_only(shown))
        yield from self._shapes(folded, confusable.skeletons(folded.encode()).decode(), foreign)
        if len(folded) > 1:
            yield from self._slips(folded, foreign)
            yield from self._two_slips(folded, foreign)
            yield from self._around(folded, foreign)
            yield from self._sound(folded, soundlike.key(folded), foreign)

    def _same(self, brand: str, foreign: str, *, marks_only: bool = False) -> Hit:
        if marks_only:  # words of another language differ so from short names: home and hõme
            return Hit(brand, "homoglyph", 0, f"{foreign}reads {brand}", min(0.95, 0.5 + 0.06 * len(brand)))
        if foreign:
            return Hit(brand, "homoglyph", 0, f"{foreign}reads {brand}", 0.97)
        return Hit(brand, "homoglyph", 0, "the protected name itself", 0.9)

    def _shapes(self, folded: str, shape: str, foreign: str) -> Iterator[Hit]:
        for brand in self._skeletons.get(shape, ()):
            if brand == folded:
                continue
            if len(brand) <= SHORT_LENGTH and not any(char.isdigit() for char in folded) and not foreign:
                continue
            steps = confusable.substitutions(brand, folded, 2 if len(brand) < LONG_LENGTH else 3)
            if steps is not None:
                base = 0.6 if foreign or confusable.same_at_a_glance(brand, folded) else 0.45
                score = min(0.95, base + 0.04 * len(brand) - 0.1 * (steps - 1) + (0.1 if foreign else 0))
                yield Hit(brand, "homoglyph", steps, f"{foreign}{folded} looks like {brand}", max(score, 0.4))

    def _slips(self, folded: str, foreign: str) -> Iterator[Hit]:
        forms = {folded, *(folded[:at] + folded[at + 1 :] for at in range(len(folded)))}
        near = {brand for form in forms for brand in self._deletes.get(form, ())}
        for brand in near:
            yield from _slip_hits(brand, folded, foreign)

    def _two_slips(self, folded: str, foreign: str) -> Iterator[Hit]:
        """Two slips in the same half of a long name: the other half stands as it is."""
        if len(folded) < TWO_EDIT_LENGTH - 2:
            return
        length = len(folded)
        near = (
            *self._long_heads.get((folded[:HALF], length), ()),
            *self._long_tails.get((folded[-HALF:], length), ()),
        )
        letters = set(folded)
        for brand, half, others in dict.fromkeys(near):
            if (
                # Two slips bring in at most two letters, and take away at most two.
                (folded.startswith(brand[:half]) or folded.endswith(brand[-half:]))
                and len(letters ^ others) <= 4
                and two_edits(brand, folded)
                and not kinds_of_one_edit(brand, folded)
            ):
                score = 0.3 + 0.03 * len(brand)
                yield Hit(brand, "replacement", 2, f"{foreign}two slips from {brand}", min(score, 0.8))

    def _around(self, folded: str, foreign: str) -> Iterator[Hit]:
        """The brand with words around it, as a token, glued on, or inside."""
        tokens = folded.split("-")
        near = {token for token in tokens if token in self.brands and len(token) > SHORT_LENGTH}
        near.update(brand for brand in self._heads.get(folded[:HALF], ()) if folded.startswith(brand))
        near.update(brand for brand in self._tails.get(folded[-HALF:], ()) if folded.endswith(brand))
        pieces = [folded[at : at + INSIDE_LENGTH] for at in range(1, len(folded) - INSIDE_LENGTH + 1)]
        if not self._inside.keys().isdisjoint(pieces):
            for at, piece in enumerate(pieces, 1):
                near.update(brand for brand in self._inside.get(piece, ()) if folded.startswith(brand, at))
        for brand in near:
            if brand != folded and (hit := self._combination(brand, folded, tokens, foreign)) is not None:
                yield hit

    def _combination(self, brand: str, folded: str, tokens: list[str], foreign: str) -> Hit | None:
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
        if word[:2] not in self._lure_heads or word[-2:] not in self._lure_tails:
            return False
        return any(word[:at] in self._lures and word[at:] in self._lures for at in range(2, len(word) - 1))

    def _sound(self, folded: str, sound: str, foreign: str) -> Iterator[Hit]:
        for brand in self._sounds.get(sound, ()):
            if brand != folded:
                score = min(0.8, 0.3 + 0.04 * len(brand))
                yield Hit(brand, "soundsquat", 1, f"{foreign}{folded} sounds like {brand}", score)

    def _unknown_letters(self, folded: str, shown: str) -> Iterator[Hit]:
        """One or two letters that look like none we know, and all others as in the brand."""
        strange = {at for at, char in enumerate(folded) if not char.isascii()}
        if len(strange) > 2 or len(folded) - len(strange) < SHORT_LENGTH:
            return
        slack = 2 - len(strange) // 2
        for brand in self._lengths.get(len(folded), ()):
            others = 0
            for at, (one, other) in enumerate(zip(brand, folded, strict=True)):
                if one != other and at not in strange:
                    others += 1
                    if others > slack or not confusable.alike(one, other):
                        break
            else:
                reason = f"written {shown!r}, {brand} with letters of another script"
                yield Hit(brand, "homoglyph", len(strange), reason, 0.75)


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


def _piece_after(label: str, pieces: set[str]) -> bool:
    return any(label[at : at + 5] in pieces for at in range(8, len(label) - 4, 4))


def _slip_hits(brand: str, label: str, foreign: str) -> Iterator[Hit]:
    score = min(0.92, 0.4 + 0.05 * len(brand))
    for kind in kinds_of_one_edit(brand, label):
        yield Hit(brand, kind, 1, f"{foreign}one slip from {brand}: {_REASONS[kind]}", score)


def builtin_protected() -> list[str]:
    """The built-in protected labels: international brands; banks, posts, tax offices, telecoms, governments."""
    return _words("protected.txt")


def builtin_lures() -> list[str]:
    """The built-in words that go with a brand in a combosquat."""
    return _words("lures.txt")


def _words(name: str) -> list[str]:
    text = (resources.files("panopticond.shared") / "data" / name).read_text(encoding="utf-8")
    return [word for line in text.splitlines() if not line.startswith("#") for word in line.split()]
