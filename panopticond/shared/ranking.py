"""The review list: which names of a zone imitate a protected one or look generated, worst first, and why (pure).

Between the models and whoever shows a list: arke's scan and daily list, panopticond's where a TLD gives its zone. One
score a name: the worst kind, raised for what is new or lately registered and for what came in a batch: several new
names of near enough the same letters, or on name servers that hardly serve anything else.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import IO

import msgspec

from panopticond.shared.dga import Model
from panopticond.shared.lookalike import confusable
from panopticond.shared.lookalike.hits import Hit
from panopticond.shared.lookalike.protected import Protected

GENERATED_AT_MOST = 0.75  # strange letters alone are worth a look, never a hold: acronyms have them too
KNOWN_SCORE = 0.95  # a name that stands in a list of known generated names
REASON_LIMIT = 5
NEW_WEIGHT = 0.25  # of what is left to 1: a name that appeared since the last zone, or was registered lately
BATCH_WEIGHT = 0.15  # of what is left to 1, for near-identical labels and for name servers of their own each
BATCH_FROM = 3  # new names
BATCH_SHARE = 0.25  # of all names on the same servers: a hoster's customers are no batch
LATELY = dt.timedelta(days=30)
OWN_NAME_SCORE = 0.45  # a protected name as it stands, in the zone already: mostly its owner's
STEM_LENGTH = 4
NOT_ASKED = "not asked"
COLUMNS = ("name", "unicode", "score", "kinds", "reasons", "lookalike_of", "new")
_FILLING = re.compile(r"[0-9-]+")


class Finding(msgspec.Struct, frozen=True):
    """One line of the review list; ``score`` 0 to 1, higher is worse, newness included."""

    name: str
    unicode: str
    score: float
    kinds: tuple[str, ...]
    reasons: tuple[str, ...]
    lookalike_of: str | None
    new: bool


def review_list(
    owners: Iterable[str],
    listed: Collection[str],
    protected: Protected,
    exclude: Collection[str],
    top: int | None,
    before: Collection[str] | None,
    *,
    model: Model | None = None,
    known: Mapping[str, str] | None = None,
    registered: Mapping[str, dt.date] | None = None,
    today: dt.date | None = None,
) -> list[Finding]:
    """The zone's names that imitate a protected one or look generated, worst first, at most ``top``.

    ``owners`` are full names, with their name servers where it is a mapping; ``listed`` names (in a feed already) and
    ``exclude`` (names or labels a person cleared) are left out; ``before`` are the names of the last zone, and what is
    not among them is new. Without it nothing is. ``known`` are names of known-DGA lists, ``registered`` the days of
    registration that RDAP gave, reckoned back from ``today``.
    """
    skip = frozenset(listed) | frozenset(exclude)
    names: dict[str, str] = {}
    others: dict[str, list[str]] = {}  # a label may stand below several suffixes; hardly any does
    for name in owners:
        label = name.partition(".")[0]
        if name in skip or label in skip:
            continue
        if names.setdefault(label, name) != name:
            others.setdefault(label, []).append(name)
    imitating = dict(protected.scan(names.keys()))
    generated = model.generated(names.keys()) if model is not None else {}
    every = [*names.values(), *(name for more in others.values() for name in more)]
    lists = {name: known[name] for name in every if name in known} if known else {}
    earlier = before if isinstance(before, (AbstractSet, Mapping)) else frozenset(before or ())
    found = [
        _finding(
            name,
            imitating.get(label, ()),
            generated.get(label, 0.0),
            lists.get(name),
            new=before is not None and name not in earlier,
        )
        for label in imitating.keys() | generated.keys() | {name.partition(".")[0] for name in lists}
        for name in (names[label], *others.get(label, ()))
    ]
    if before is not None and any(item.new for item in found):
        fresh = [name for name in every if name not in earlier]
        found = _batches(found, fresh, owners if isinstance(owners, Mapping) else {})
    if registered and today is not None:
        found = dated(found, registered, today)
    return sorted(found, key=_worst_first)[:top]


def dated(found: Iterable[Finding], registered: Mapping[str, dt.date], today: dt.date) -> list[Finding]:
    """The findings again, worst first, those raised that were registered lately by the days of ``registered``."""
    return sorted((_dated(item, registered.get(item.name), today) for item in found), key=_worst_first)


def write_csv(findings: Iterable[Finding], out: IO[str], registered: Mapping[str, str] | None = None) -> None:
    """The review list as CSV with a header; several kinds and reasons of a name are joined by ``; ``.

    With ``registered``, what was learnt of each name's registration stands in a column more, ``not asked`` where it is
    silent.
    """
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS if registered is None else (*COLUMNS, "registered"))
    for item in findings:
        kinds, reasons = "; ".join(item.kinds), "; ".join(item.reasons)
        new = "yes" if item.new else "no"
        row = (item.name, item.unicode, f"{item.score:.3f}", kinds, reasons, item.lookalike_of or "", new)
        writer.writerow(row if registered is None else (*row, registered.get(item.name, NOT_ASKED)))


def _finding(name: str, hits: Sequence[Hit], generated: float, source: str | None, *, new: bool) -> Finding:
    own = bool(hits) and hits[0].brand == name.partition(".")[0]
    score = (OWN_NAME_SCORE if own else hits[0].score) if hits else 0.0
    kinds = [*dict.fromkeys(hit.kind for hit in hits if hit.brand == hits[0].brand)]
    reasons = [hit.reason for hit in hits[:REASON_LIMIT]]
    if source is not None:
        kinds.append("dga")
        reasons.append(f"stands in the list of generated names {source}")
        score = max(score, KNOWN_SCORE)
    elif generated:
        kinds.append("dga")
        reasons.append("looks generated: its letters hardly ever stand together in names of this zone")
        score = max(score, generated * GENERATED_AT_MOST)
    if new:
        score = _raised(score, NEW_WEIGHT)
        reasons.append("new since the last zone")
    shown = ".".join(confusable.to_unicode(part) or part for part in name.split("."))
    brand = hits[0].brand if hits else None
    return Finding(name, shown, round(score, 4), tuple(kinds), tuple(reasons), brand, new)


def _batches(found: list[Finding], fresh: Sequence[str], owners: Mapping[str, tuple[str, ...]]) -> list[Finding]:
    """New findings raised for the company they came in: ``fresh`` are all new names, imitations or not."""
    stems = Counter(stem for name in fresh if (stem := _stem(name)))
    servers = Counter(owners[name] for name in fresh if name in owners)
    crowds = {of: times for of, times in servers.items() if times >= BATCH_FROM}
    everywhere = Counter(of for of in owners.values() if of in crowds)
    crowds = {of: times for of, times in crowds.items() if times >= BATCH_SHARE * everywhere[of]}
    return [_in_company(item, stems[_stem(item.name)], crowds.get(owners.get(item.name, ()), 0)) for item in found]


def _in_company(item: Finding, alike: int, together: int) -> Finding:
    if not item.new:
        return item
    score, reasons = item.score, [*item.reasons]
    if alike >= BATCH_FROM:
        score = _raised(score, BATCH_WEIGHT)
        reasons.append(f"one of {alike} new names of nearly the same letters")
    if together >= BATCH_FROM:
        score = _raised(score, BATCH_WEIGHT)
        reasons.append(f"one of {together} new names on name servers with few others")
    return msgspec.structs.replace(item, score=round(score, 4), reasons=tuple(reasons))


def _dated(item: Finding, day: dt.date | None, today: dt.date) -> Finding:
    if day is None or not dt.timedelta(0) <= today - day <= LATELY:
        return item
    score = item.score if item.new else round(_raised(item.score, NEW_WEIGHT), 4)
    return msgspec.structs.replace(item, score=score, reasons=(*item.reasons, f"registered on {day.isoformat()}"))


def _worst_first(item: Finding) -> tuple[float, str]:
    return -item.score, item.name


def _stem(name: str) -> str:
    """The label without digits and hyphens, look-alike shapes made one; empty when hardly anything is left."""
    letters = _FILLING.sub("", name.partition(".")[0])
    if len(letters) < STEM_LENGTH or not letters.isascii():
        return ""
    return confusable.skeletons(letters.encode()).decode()


def _raised(score: float, weight: float) -> float:
    return score + (1 - score) * weight
