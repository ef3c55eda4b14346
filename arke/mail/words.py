"""Our own vocabulary in the language of a mail: threats, classes, outcomes, states, and the reasons of a class.

Read by ``template`` out of the same XML files as the notices (``<words>``), used by ``facts``. Pure. What the snapshot
says in English sentences is recognised by the English file's own words, so both have one source; a sentence nobody
knows stands as it is, for it may be newer than this file.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import get_args

import msgspec

from panopticond.model import THREATS, AbuseClass, State

OUTCOMES = ("live", "gone", "guarded", "failed", "indeterminate", "resolves", "no-address", "sinkhole")
RECHECKS = ("no-answer", "timeout", "refused", "unreachable", "challenge", "other")
REASONS = (
    "shared", "no-age", "age", "resembles", "lure", "root", "burst", "generated", "deep", "front", "rank",
)  # fmt: skip
KEYS = frozenset(
    [
        *(f"threat {threat}" for threat in THREATS),
        *(f"class {kind}" for kind in get_args(AbuseClass)),
        *(f"state {state}" for state in get_args(State)),
        *(f"outcome {outcome}" for outcome in OUTCOMES),
        *(f"recheck {reason}" for reason in RECHECKS),
        *(f"reason {reason}" for reason in REASONS),
        "and",
        "our resolver",
    ]
)
"""Every word a file may give, by its name in ``of``."""
_GAP = "{}"


class Words(msgspec.Struct, frozen=True):
    """The vocabulary of one language, over that of English, by the names of :data:`KEYS`."""

    said: Mapping[str, str]
    english: Mapping[str, str]

    def of(self, kind: str, code: str) -> str:
        """A code as a word of this language; a code nobody has a word for stays."""
        key = f"{kind} {code}" if kind else code
        return self.said.get(key) or self.english.get(key, code)

    def listed(self, kind: str, codes: Sequence[str]) -> str:
        """``a``, ``a and b``, ``a, b and c``."""
        names = [self.of(kind, code) for code in codes]
        if len(names) < 2:
            return "".join(names)
        return filled(self.of("", "and"), (", ".join(names[:-1]), names[-1]))

    def recheck(self, reason: str) -> str:
        """Why nobody could look again: codes in English, in other languages their words, the rest as one."""
        if self.said == self.english:
            return reason
        codes = [code if code in RECHECKS else "other" for code in reason.split()]
        return ", ".join(dict.fromkeys(self.of("recheck", code) for code in codes))

    def reason(self, sentence: str) -> str:
        """A reason of the classification, said in English, in this language."""
        for name in REASONS:
            english = self.english.get(f"reason {name}", "")
            if (found := _pattern(english).fullmatch(sentence)) is not None:
                return filled(self.of("reason", name), found.groups())
        return sentence


def filled(text: str, values: Sequence[str]) -> str:
    """The text with its gaps ``{}`` filled in turn."""
    parts = text.split(_GAP)
    gaps = [*values, *[""] * len(parts)]
    return "".join(part + (gaps[at] if at < len(parts) - 1 else "") for at, part in enumerate(parts))


@functools.lru_cache(maxsize=64)
def _pattern(english: str) -> re.Pattern[str]:
    return re.compile("(.{1,260})".join(re.escape(part) for part in english.split(_GAP)))
