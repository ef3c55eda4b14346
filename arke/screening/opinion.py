"""An opinion on one name about to be registered: pass, review or hold, by the registry's policy, with the reasons.

The pure middle of ``arke screen`` and of its answers over the status socket: :mod:`panopticond.shared.lookalike` and
:mod:`panopticond.shared.dga` find, the policy weighs, this says why. The registry decides (design section 5).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from panopticond.shared.dga import Model
from panopticond.shared.lookalike import confusable
from panopticond.shared.lookalike.hits import Hit
from panopticond.shared.lookalike.protected import Protected
from panopticond.shared.ranking import GENERATED_AT_MOST, KNOWN_SCORE, REASON_LIMIT
from panopticond.shared.settings import convert, read_json

Decision = Literal["pass", "review", "hold", "invalid"]
Word = Literal["pass", "review", "hold"]
KINDS = frozenset(
    {
        "homoglyph", "addition", "bitsquatting", "hyphenation", "insertion", "omission", "repetition", "replacement",
        "transposition", "vowel-swap", "plural", "keyboard", "combosquat", "soundsquat", "tld-in-label", "dga",
    }
)  # fmt: skip
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
NAME_LIMIT = 1000  # characters; 253 octets are a name, in any spelling of them
_ORDER: dict[Word, int] = {"pass": 0, "review": 1, "hold": 2}


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The registry's rules for ``arke screen``; the defaults are ours (docs/how-to/screening.md)."""

    review_from: Share = 0.5
    hold_from: Share = 0.8
    kinds: dict[str, Word] = {}
    """The most that a kind alone may lead to, as ``{"soundsquat": "review"}``."""
    brands: dict[str, Word] = {}
    """The least that any imitation of a protected name leads to, as ``{"nationalbank": "hold"}``."""
    allow: tuple[str, ...] = ()
    """Names or labels that always pass."""
    mixed_scripts: Word = "review"
    """What letters of several scripts in one label lead to."""
    known_dga: Word = "hold"
    """What a name in a list of known generated names leads to."""


class Opinion(msgspec.Struct, frozen=True):
    """What ``arke screen`` says of one name; scores 0 to 1, higher is worse."""

    name: str
    decision: Decision
    score: float
    lookalike_of: str | None
    kinds: tuple[str, ...]
    lookalike_score: float
    dga_score: float
    reasons: tuple[str, ...]


def read_policy(path: Path) -> Policy:
    """The policy in a JSON file; ConfigurationError carries every fault with its path."""
    return convert(read_json(path), Policy, _faults)


def screen_name(
    text: str,
    protected: Protected,
    model: Model | None,
    tld: str | None = None,
    *,
    policy: Policy | None = None,
    known: Mapping[str, str] | None = None,
) -> Opinion:
    """An opinion on a label or a whole name, A-label or U-label, any case; never raises for what is in ``text``.

    ``known`` are names of known-DGA lists with the list's name.
    """
    name = text.strip()
    label, problem = label_of(name, tld)
    if problem:
        return Opinion(name[:NAME_LIMIT], "invalid", 0.0, None, (), 0.0, 0.0, (problem,))
    rules = policy or Policy()
    hits = protected.look(label)
    shown = confusable.to_unicode(label) or label
    alike = hits[0].score if hits else 0.0
    generated = model.score(shown) if model is not None and shown.isascii() else 0.0
    reasons = [hit.reason for hit in hits[:REASON_LIMIT]]
    kinds = [*dict.fromkeys(hit.kind for hit in hits if hit.brand == hits[0].brand)]
    score, decision = alike, _of_hits(hits, rules)
    if mixture := _scripts(shown):
        reasons.append(mixture)
        score, decision = max(score, rules.review_from), _worse(decision, rules.mixed_scripts)
    source = known_in(known, name.lower().rstrip("."), label, tld)
    if source is not None:
        generated = max(generated, KNOWN_SCORE)
        kinds.append("dga")
        reasons.append(f"stands in the list of generated names {source}")
        score, decision = max(score, KNOWN_SCORE), _worse(decision, rules.known_dga)
    elif model is not None and generated >= model.review_from:
        kinds.append("dga")
        reasons.append("looks generated: its letters hardly ever stand together in registered names")
        strange = min(generated, GENERATED_AT_MOST)
        score, decision = max(score, strange), _worse(decision, _word(strange, "dga", rules))
    if label in rules.allow or name.lower().rstrip(".") in rules.allow:
        decision = "pass"
        reasons.insert(0, "allowed by the policy")
    brand = hits[0].brand if hits else None
    return Opinion(
        name, decision, round(score, 4), brand, tuple(kinds), round(alike, 4), round(generated, 4), tuple(reasons)
    )


def known_in(known: Mapping[str, str] | None, name: str, label: str, tld: str | None) -> str | None:
    """The known-DGA list a name stands in, or None."""
    if not known:
        return None
    return known.get(f"{label}.{tld}" if tld is not None else name)


def label_of(name: str, tld: str | None) -> tuple[str, str]:
    """(the label that would be registered, as an A-label, "") or ("", why there is none)."""
    if len(name) > NAME_LIMIT:
        return "", "longer than any name"
    text = unicodedata.normalize("NFC", name).lower().rstrip(".")
    for dot in "\u3002\uff0e\uff61":
        text = text.replace(dot, ".")
    if tld is not None and text.endswith("." + tld):
        text = text[: -len(tld) - 1]
    first = text.split(".", 1)[0]
    if not text or not all(text.split(".")):
        return "", "empty, or an empty label"
    if not first.isascii():
        try:
            first = first.encode("idna").decode("ascii")
        except UnicodeError:
            return "", "not a name that IDNA can write"
    if len(first) > 63:
        return "", "longer than 63 octets"
    if not first.replace("-", "").isalnum():
        return "", "holds a character that no host name may hold"
    if first.startswith("-") or first.endswith("-"):
        return "", "a hyphen at its beginning or end"
    if first[2:4] == "--" and (not first.startswith("xn--") or confusable.to_unicode(first) is None):
        return "", "invalid punycode" if first.startswith("xn--") else "hyphens in third and fourth place"
    return first, ""


def _of_hits(hits: Sequence[Hit], rules: Policy) -> Word:
    decision: Word = "pass"
    for hit in hits:
        decision = _worse(decision, _word(hit.score, hit.kind, rules))
        if hit.brand in rules.brands:
            decision = _worse(decision, rules.brands[hit.brand])
    return decision


def _word(score: float, kind: str, rules: Policy) -> Word:
    """What a score leads to, no more than the policy lets its kind."""
    word: Word = "hold" if score >= rules.hold_from else "review" if score >= rules.review_from else "pass"
    most = rules.kinds.get(kind, "hold")
    return word if _ORDER[word] <= _ORDER[most] else most


def _worse(one: Word, other: Word) -> Word:
    return one if _ORDER[one] >= _ORDER[other] else other


def _faults(policy: Policy) -> list[str]:
    problems = [
        f"kinds.{kind}: there is no such kind; one of {', '.join(sorted(KINDS))}"
        for kind in policy.kinds.keys() - KINDS
    ]
    if policy.hold_from < policy.review_from:
        problems.append("hold_from: must not be below review_from")
    return problems


def _scripts(shown: str) -> str:
    """A sentence when one label mixes letters of several scripts, or holds symbols, as nobody's own language does."""
    if shown.isascii():
        return ""
    strange = next((char for char in shown if char != "-" and unicodedata.category(char)[0] in "CPSZ"), "")
    if strange:
        return f"holds {unicodedata.name(strange, 'an unassigned character').lower()}, which is no letter (RFC 5892)"
    scripts = {unicodedata.name(char, "UNKNOWN").split(" ", 1)[0] for char in shown if char.isalpha()}
    scripts -= {"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"}
    if len(scripts) < 2:
        return ""
    return f"mixes letters of {' and '.join(sorted(script.capitalize() for script in scripts))}"
