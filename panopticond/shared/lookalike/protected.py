"""Which protected name a label imitates, and how: typo-squats, homoglyphs, combosquats and sound-alikes.

Arke's ``screen`` asks it about names to be registered and about whole zones; panopticond uses it as evidence. Pure. One
label is answered from indexes in microseconds; many labels are answered by turning the question round: every slip of
every brand is looked up among the labels, so the cost goes by the brands and not by brands times labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from panopticond.shared.lookalike import bulk, confusable, soundlike
from panopticond.shared.lookalike.combosquat import INSIDE_LENGTH, Combosquats
from panopticond.shared.lookalike.edits import EVERY_KEYBOARD, across_the_middle, kinds_of_one_edit, one_edit_labels
from panopticond.shared.lookalike.halves import LONG_ENOUGH, Halves
from panopticond.shared.lookalike.hits import Hit, one_slip, same, sounding, two_slips
from panopticond.shared.lookalike.keyboard import Keyboards
from panopticond.shared.lookalike.strange import Strange
from panopticond.shared.lookalike.words import builtin_lures

SHORT_LENGTH = 3  # labels this short are protected against exact and homoglyph forms only
LONG_LENGTH = 7
GLUED_LENGTH = 5
SOUND_LENGTH = 5
HALF = 5
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


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
        self._combosquats = Combosquats(builtin_lures() if lures is None else lures)
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
            self._pieces |= bulk.pieces(brand)

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
                yield brand, same(brand, "")
            if len(brand) > SHORT_LENGTH:
                slips = (
                    across_the_middle(brand) if len(brand) >= LONG_ENOUGH else one_edit_labels(brand, self._keyboards)
                )
                for label in every.intersection(slips):
                    for hit in self._slip_hits(brand, label, ""):
                        yield label, hit

    def _scan_forms(self, plain: list[str]) -> Iterator[tuple[str, Hit]]:
        """Shapes and sounds: many labels reduced at once, then compared with the brands'."""
        for label, shape in bulk.reduced(plain, confusable.skeletons, self._skeletons):
            for hit in self._shapes(label, shape, ""):
                yield label, hit
        for label, sound in bulk.reduced(plain, soundlike.keys, self._sounds):
            for hit in self._sound(label, sound, ""):
                yield label, hit

    def _scan_lengths(self, plain: list[str]) -> Iterator[tuple[str, Hit]]:
        """What is sought among labels of one length: brands with words around them, and slips in one half."""
        for length, labels in bulk.by_length(plain).items():
            around = [
                *((brand, label) for brand, label in bulk.worded(labels, self.brands) if len(brand) > SHORT_LENGTH),
                *bulk.inside(labels, length, self._pieces, self._inside),
            ]
            for brand, label in bulk.beginning(labels, self._heads, HALF):
                if self._combosquats.worth(brand, label[len(brand) :]):
                    around.append((brand, label))
            for brand, label in bulk.ending(labels, self._tails, HALF):
                rest = label[: -len(brand)]
                if self._combosquats.worth(brand, rest) or brand in rest:
                    around.append((brand, label))
            for brand, label in around:
                if brand != label and (hit := self._combosquats.hit(brand, label, label.split("-"), "")) is not None:
                    yield label, hit
            for brand, label in self._halves.near(labels, length):
                for hit in self._slip_hits(brand, label, "") or [two_slips(brand, "")]:
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
            for brand, strange in self._strange.near(folded):
                reason = f"written {shown!r}, {brand} with letters of another script"
                yield Hit(brand, "homoglyph", strange, reason, 0.75)
            return
        if folded in self.brands:
            yield same(folded, foreign, marks_only=confusable.marks_only(shown))
        yield from self._shapes(folded, confusable.skeletons(folded.encode()).decode(), foreign)
        if len(folded) > 1:
            yield from self._slips(folded, foreign)
            yield from self._two_slips(folded, foreign)
            yield from self._around(folded, foreign)
            yield from self._sound(folded, soundlike.key(folded), foreign)

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
        return [one_slip(brand, kind, foreign) for kind in kinds_of_one_edit(brand, label, self._keyboards)]

    def _two_slips(self, folded: str, foreign: str) -> Iterator[Hit]:
        for brand, label in self._halves.near([folded], len(folded)):
            if not kinds_of_one_edit(brand, label, self._keyboards):
                yield two_slips(brand, foreign)

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
            if brand != folded and (hit := self._combosquats.hit(brand, folded, tokens, foreign)) is not None:
                yield hit

    def _sound(self, folded: str, sound: str, foreign: str) -> Iterator[Hit]:
        for brand in self._sounds.get(sound, "").split():
            if brand != folded:
                yield sounding(brand, folded, foreign)


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


def _add(words: dict[str, str], key: str, brand: str) -> None:
    words[key] = f"{words[key]} {brand}" if key in words else brand


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for key, brand in pairs:
        found.setdefault(key, []).append(brand)
    return {key: tuple(brands) for key, brands in found.items()}
