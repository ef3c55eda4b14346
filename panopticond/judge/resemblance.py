"""What the name of a registered domain says: whether it plainly resembles a protected one or looks generated (pure).

Signs for ``classify``, from the same models as arke's screening (:mod:`panopticond.shared.lookalike`, ``shared.dga``).
Only what is plain counts here: a name alone never makes a class, and an owner's own name resembles nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from panopticond.shared.dga import Model
from panopticond.shared.lookalike.hits import Hit
from panopticond.shared.lookalike.protected import Protected
from panopticond.shared.lookalike.words import builtin_protected

PLAIN_FROM = 0.7
"""Score of a look-alike from which it is a sign: one slip from six letters, or a brand with lure words only."""
GENERATED_FROM = 0.8
"""One registered name in a thousand scores above it."""


class Resemblance:
    """Answers for domain names; ``own`` (the managers' critical names) are protected beside the built-in ones."""

    def __init__(self, own: Iterable[str] = ()) -> None:
        self._protected = Protected(own, also=builtin_protected())

    def __call__(self, domain: str) -> str | None:
        """The protected name a domain plainly resembles, or None; a protected name as it stands resembles none."""
        hit = self.hit(domain)
        return hit.brand if hit is not None else None

    def hit(self, domain: str) -> Hit | None:
        """The same with how and how much, for whoever has to defend it."""
        label = domain.partition(".")[0]
        if label in self._protected.brands:
            return None
        hits = self._protected.look(label)
        return hits[0] if hits and hits[0].score >= PLAIN_FROM else None


def generated_score(domain: str) -> float:
    """How generated a name's letters look, 0 to 1."""
    return Model.load().score(domain.partition(".")[0])


def looks_generated(domain: str) -> bool:
    """Whether a name's letters are such as one registered name in a thousand has."""
    return generated_score(domain) >= GENERATED_FROM
