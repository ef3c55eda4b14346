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

from panopticond.shared import confusable, lookalike_bulk, soundlike
from panopticond.shared.edits import EVERY_KEYBOARD, across_the_middle, kinds_of_one_edit, one_edit_labels
from panopticond.shared.keyboard import Keyboards
from panopticond.shared.lookalike_halves import LONG_ENOUGH, Halves
from panopticond.shared.lookalike_strange import Strange

SHORT_LENGTH = 3  # labels this short are protected against exact and homoglyph forms only
LONG_LENGTH = 7
INSIDE_LENGTH = lookalike_bulk.WHOLE
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

    def __init__(
        self,
        labels: Iterable[str],
        *,
        also: Iterable[str] = (),
        lures: Iterable[str] | None = None,
        keyboards: Keyboards = EVERY_KEYBOARD,
    ) -> None:
        self._keyboards = keyboards
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
        # The brands of a key are words of one text: a hundred thousand lists would keep the garbage collector busy.
        self._deletes: dict[str, str] = {}
        self._sounds: dict[str, str] = {}
        self._skeletons: dict[str, str] = {}
        self._inside: dict[str, str] = {}
        self._pieces: set[str] = set()
        for brand in self.brands:
            self._index(brand)
        glued = [brand for brand in self.brands if len(brand) >= GLUED_LENGTH]
        self._heads = _grouped((brand[:HALF], brand) for brand in glued)
        self._tails = _grouped((brand[-HALF:], brand) for brand in glued)
        for shape, brand in confusable.expanded(self.brands):
            _add(self._skeletons, shape, brand)
        self._halves = Halves(self.brands)
        self._strange = Strange(self.brands)

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
        if len(brand) <= SHORT_LENGTH:
            return
        for form in {brand, *(brand[:at] + brand[at + 1 :] for at in range(len(brand)))}:
            _add(self._deletes, form, brand)
        sound = soundlike.key(brand)
        if len(brand) >= SOUND_LENGTH and len(sound) > SHORT_LENGTH:
            _add(self._sounds, sound, brand)
        if len(brand) >= INSIDE_LENGTH:
            _add(self._inside, brand[:INSIDE_LENGTH], brand)
            self._pieces |= lookalike_bulk.pieces(brand)

    def look(self, label: str) -> list[Hit]:
        """Every brand that a label (lower case, without TLD) imitates, worst first; none for an invalid one."""
        shown = confusable.to_unicode(label)
        if shown is None:
            return []
        folded = confusable.fold(shown)
        return self._ordered(self._hits(folded, shown), label)

    def scan(self, labels: Iterable[str]) -> Iterator[tuple[str, list[Hit]]]:
        """:meth:`look` for every label of a zone that imitates something, in no particular order.

        Labels of other scripts go through it as they read; where that imitates something they are looked at singly.
        """
        plain, foreign = _sorted_out(labels)
        every = set(plain)
        read = {text for text in foreign if text.isascii() and "\n" not in text} - every
        every |= read
        plain += read
        found: dict[str, list[Hit]] = {}
        for stage in (self._scan_slips(every), self._scan_forms(plain), self._scan_lengths(plain)):
            for label, hit in stage:
                found.setdefault(label, []).append(hit)
        for text, written in foreign.items():
            if text in found or text not in every or len(text) <= SHORT_LENGTH + 2:
                for label in written:
                    if hits := self.look(label):
                        yield label, hits
        for label, hits in found.items():
            if label not in read:
                yield label, self._ordered(hits, label)

    def _scan_slips(self, every: set[str]) -> Iterator[tuple[str, Hit]]:
        """The brands themselves, and their slips looked up among the labels; most of long brands' lie in a half."""
        for brand in self.brands:
            if brand in every:
                yield brand, self._same(brand, "")
            if len(brand) > SHORT_LENGTH:
                slips = (
                    across_the_middle(brand) if len(brand) >= LONG_ENOUGH else one_edit_labels(brand, self._keyboards)
                )
                for label in every.intersection(slips):
                    for hit in self._slip_hits(brand, label, ""):
                        yield label, hit

    def _scan_forms(self, plain: list[str]) -> Iterator[tuple[str, Hit]]:
        """Shapes and sounds: many labels reduced at once, then compared with the brands'."""
        for label, shape in lookalike_bulk.reduced(plain, confusable.skeletons, self._skeletons):
            for hit in self._shapes(label, shape, ""):
                yield label, hit
        for label, sound in lookalike_bulk.reduced(plain, soundlike.keys, self._sounds):
            for hit in self._sound(label, sound, ""):
                yield label, hit

    def _scan_lengths(self, plain: list[str]) -> Iterator[tuple[str, Hit]]:
        """What is sought among labels of one length: brands with words around them, and slips in one half."""
        for length, labels in lookalike_bulk.by_length(plain).items():
            around = [
                *(
                    (brand, label)
                    for brand, label in lookalike_bulk.worded(labels, self.brands)
                    if len(brand) > SHORT_LENGTH
                ),
                *lookalike_bulk.inside(labels, length, self._pieces, self._inside),
            ]
            for brand, label in lookalike_bulk.beginning(labels, self._heads, HALF):
                if self._worth(brand, label[len(brand) :]):
                    around.append((brand, label))
            for brand, label in lookalike_bulk.ending(labels, self._tails, HALF):
                rest = label[: -len(brand)]
                if self._worth(brand, rest) or brand in rest:
                    around.append((brand, label))
            for brand, label in around:
                if brand != label and (hit := self._combination(brand, label, label.split("-"), "")) is not None:
                    yield label, hit
            for brand, label in self._halves.near(labels, length):
                for hit in self._slip_hits(brand, label, "") or [_two_slips(brand, "")]:
                    yield label, hit

    def _worth(self, brand: str, rest: str) -> bool:
        """Whether :meth:`_combination` may find something in a brand with ``rest`` before or behind it.

        It does not, which spares nearly all of the labels, where a short brand is part of a longer word.
        """
        return (
            len(brand) >= INSIDE_LENGTH
            or not rest.isalpha()
            or rest in self._lures
            or rest in _GLUED_TLDS
            or (rest[:2] in self._lure_heads and rest[-2:] in self._lure_tails)
        )

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
            for brand, strange in self._strange.near(folded):
                reason = f"written {shown!r}, {brand} with letters of another script"
                yield Hit(brand, "homoglyph", strange, reason, 0.75)
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
        for brand in self._skeletons.get(shape, "").split():
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
        near = {brand for form in forms for brand in self._deletes.get(form, "").split()}
        for brand in near:
            yield from self._slip_hits(brand, folded, foreign)

    def _slip_hits(self, brand: str, label: str, foreign: str) -> list[Hit]:
        score = min(0.92, 0.4 + 0.05 * len(brand))
        return [
            Hit(brand, kind, 1, f"{foreign}one slip from {brand}: {_REASONS[kind]}", score)
            for kind in kinds_of_one_edit(brand, label, self._keyboards)
        ]

    def _two_slips(self, folded: str, foreign: str) -> Iterator[Hit]:
        for brand, label in self._halves.near([folded], len(folded)):
            if not kinds_of_one_edit(brand, label, self._keyboards):
                yield _two_slips(brand, foreign)

    def _around(self, folded: str, foreign: str) -> Iterator[Hit]:
        """The brand with words around it, as a token, glued on, or inside."""
        tokens = folded.split("-")
        near = {token for token in tokens if token in self.brands and len(token) > SHORT_LENGTH}
        near.update(brand for brand in self._heads.get(folded[:HALF], ()) if folded.startswith(brand))
        near.update(brand for brand in self._tails.get(folded[-HALF:], ()) if folded.endswith(brand))
        pieces = [folded[at : at + INSIDE_LENGTH] for at in range(1, len(folded) - INSIDE_LENGTH + 1)]
        if not self._inside.keys().isdisjoint(pieces):
            for at, piece in enumerate(pieces, 1):
                near.update(brand for brand in self._inside.get(piece, "").split() if folded.startswith(brand, at))
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
        for brand in self._sounds.get(sound, "").split():
            if brand != folded:
                score = min(0.8, 0.3 + 0.04 * len(brand))
                yield Hit(brand, "soundsquat", 1, f"{foreign}{folded} sounds like {brand}", score)


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


def _sorted_out(labels: Iterable[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Plain labels, each once, and those of other scripts by how they read; invalid ones are left out.

    In the order given, which mostly is the order in memory: the order of a set would cost half as much again.
    """
    plain: list[str] = []
    foreign: dict[str, list[str]] = {}
    for label in dict.fromkeys(labels):
        if label.isascii() and label[:4] != "xn--":
            plain.append(label)
        elif (shown := confusable.to_unicode(label)) is not None:
            foreign.setdefault(confusable.fold(shown), []).append(label)
    return plain, foreign


def _two_slips(brand: str, foreign: str) -> Hit:
    return Hit(brand, "replacement", 2, f"{foreign}two slips from {brand}", min(0.3 + 0.03 * len(brand), 0.8))


def _add(words: dict[str, str], key: str, brand: str) -> None:
    words[key] = f"{words[key]} {brand}" if key in words else brand


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for key, brand in pairs:
        found.setdefault(key, []).append(brand)
    return {key: tuple(brands) for key, brands in found.items()}


def builtin_protected() -> list[str]:
    """The built-in protected labels: international brands; banks, posts, tax offices, telecoms, governments."""
    return _words("protected.txt")


def builtin_lures() -> list[str]:
    """The built-in words that go with a brand in a combosquat."""
    return _words("lures.txt")


def _words(name: str) -> list[str]:
    text = (resources.files("panopticond.shared") / "data" / name).read_text(encoding="utf-8")
    return [word for line in text.splitlines() if not line.startswith("#") for word in line.split()]
