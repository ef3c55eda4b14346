"""Names nobody has reported yet: the ranked review list of a zone, and an opinion on names about to be registered.

Arke's daily run asks for the review list after matching; ``arke scan`` and ``arke screen`` do it from the command
line. Nothing here sends or suspends anything: a person reads the list, the registry decides (design section 5).
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Literal

import msgspec

from panopticond.shared import confusable
from panopticond.shared.dga import Model
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.lookalike import Hit, Protected, builtin_protected
from panopticond.shared.zone import looks_like_zone, read_names, read_zone

Decision = Literal["pass", "review", "hold", "invalid"]
HOLD_FROM = 0.8
REVIEW_FROM = 0.5
NEW_WEIGHT = 0.25  # of what is left to 1: a name that appeared since the last zone
OWN_NAME_SCORE = 0.45  # a protected name as it stands, in the zone already: mostly its owner's
GENERATED_AT_MOST = 0.75  # strange letters alone are worth a look, never a hold: acronyms have them too
REASON_LIMIT = 5
LINE_LIMIT = 1024
COLUMNS = ("name", "unicode", "score", "kinds", "reasons", "lookalike_of", "new")


class Finding(msgspec.Struct, frozen=True):
    """One line of the review list; ``score`` 0 to 1, higher is worse, newness included."""

    name: str
    unicode: str
    score: float
    kinds: tuple[str, ...]
    reasons: tuple[str, ...]
    lookalike_of: str | None
    new: bool


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


def review_list(
    owners: Iterable[str],
    listed: Collection[str],
    protected: Protected,
    exclude: Collection[str],
    top: int | None,
    before: Collection[str] | None,
    *,
    model: Model | None = None,
) -> list[Finding]:
    """The zone's names that imitate a protected one or look generated, worst first, at most ``top``.

    ``owners`` are full names; ``listed`` names (in a feed already) and ``exclude`` (names or labels a person cleared)
    are left out; ``before`` are the names of the last zone, and what is not among them is new. Without it nothing is.
    """
    skip = frozenset(listed) | frozenset(exclude)
    names: dict[str, list[str]] = {}
    for name in owners:
        label = name.split(".", 1)[0]
        if name not in skip and label not in skip:
            names.setdefault(label, []).append(name)
    imitating = dict(protected.scan(names.keys()))
    generated = model.generated(names.keys()) if model is not None else {}
    known = before if isinstance(before, (set, frozenset, dict)) else frozenset(before or ())
    found = [
        _finding(
            name, imitating.get(label, ()), generated.get(label, 0.0), new=before is not None and name not in known
        )
        for label in imitating.keys() | generated.keys()
        for name in names[label]
    ]
    found.sort(key=lambda finding: (-finding.score, finding.name))
    return found[:top]


def write_csv(findings: Iterable[Finding], out: IO[str]) -> None:
    """The review list as CSV with a header; several kinds and reasons of a name are joined by ``; ``."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for item in findings:
        kinds, reasons = "; ".join(item.kinds), "; ".join(item.reasons)
        new = "yes" if item.new else "no"
        writer.writerow((item.name, item.unicode, f"{item.score:.3f}", kinds, reasons, item.lookalike_of or "", new))


def screen_name(text: str, protected: Protected, model: Model | None, tld: str | None = None) -> Opinion:
    """An opinion on one name about to be registered: a label or a whole name, A-label or U-label, any case."""
    name = text.strip()
    label, problem = _label(name, tld)
    if problem:
        return Opinion(name, "invalid", 0.0, None, (), 0.0, 0.0, (problem,))
    hits = protected.look(label)
    shown = confusable.to_unicode(label) or label
    alike = hits[0].score if hits else 0.0
    generated = model.score(shown) if model is not None and shown.isascii() else 0.0
    reasons = [hit.reason for hit in hits[:REASON_LIMIT]]
    kinds = [*dict.fromkeys(hit.kind for hit in hits if hit.brand == hits[0].brand)]
    score = alike
    if mixture := _scripts(shown):
        reasons.append(mixture)
        score = max(score, REVIEW_FROM)
    if model is not None and generated >= model.review_from:
        kinds.append("dga")
        reasons.append("looks generated: its letters hardly ever stand together in registered names")
        score = max(score, min(generated, GENERATED_AT_MOST))
    decision: Decision = "hold" if score >= HOLD_FROM else "review" if score >= REVIEW_FROM else "pass"
    brand = hits[0].brand if hits else None
    return Opinion(
        name, decision, round(score, 4), brand, tuple(kinds), round(alike, 4), round(generated, 4), tuple(reasons)
    )


def add_scan_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``arke scan``."""
    parser.add_argument(
        "--zone", type=Path, required=True, help="master file or plain list of names, compressed or not"
    )
    parser.add_argument("--before", type=Path, help="the zone of an earlier day: what is not in it is new")
    parser.add_argument("--protect", type=Path, action="append", default=[], help="labels or names, one a line")
    parser.add_argument("--exclude", type=Path, help="labels or names never to list")
    parser.add_argument("--top", type=_positive, help="at most so many names")
    parser.add_argument(
        "--format", choices=("json", "csv", "table"), default="table" if sys.stdout.isatty() else "json"
    )


def add_screen_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``arke screen``."""
    parser.add_argument("--names", type=Path, metavar="FILE", help="names, one a line; - reads standard input")
    parser.add_argument("--protect", type=Path, action="append", default=[], help="labels or names, one a line")
    parser.add_argument(
        "--calibrate", type=Path, metavar="FILE", help="registered names of the TLD, to judge letters by"
    )
    parser.add_argument("--tld", help="the TLD the names are to stand in")
    parser.add_argument("name", nargs="*", metavar="NAME")


def scan_command(options: argparse.Namespace) -> None:
    """``arke scan``: the review list of a zone on standard output, warnings on standard error."""
    zone = _owners(options.zone)
    before = set(_owners(options.before)) if options.before else None
    exclude = set(read_names(options.exclude)) if options.exclude else set()
    protected = _protected(options.protect)
    found = review_list(zone, (), protected, exclude, options.top, before, model=Model.load().calibrated(_labels(zone)))
    if options.format == "csv":
        write_csv(found, sys.stdout)
    elif options.format == "json":
        for item in found:
            print(json.dumps(msgspec.to_builtins(item), ensure_ascii=False))
    else:
        _table(found)


def screen_command(options: argparse.Namespace) -> None:
    """``arke screen``: one JSON line for every name given, in order."""
    if not options.name and options.names is None:
        raise ConfigurationError(["arke screen: give names, or a file of them with --names"])
    protected = _protected(options.protect)
    model = Model.load()
    if options.calibrate:
        model = model.calibrated(_labels(_owners(options.calibrate)))
    tld = options.tld.strip(".").lower() if options.tld else None
    for text in _given(options.names, options.name):
        print(json.dumps(msgspec.to_builtins(screen_name(text, protected, model, tld)), ensure_ascii=False))


def _finding(name: str, hits: Sequence[Hit], generated: float, *, new: bool) -> Finding:
    own = bool(hits) and hits[0].brand == name.split(".", 1)[0]
    score = (OWN_NAME_SCORE if own else hits[0].score) if hits else 0.0
    kinds = [*dict.fromkeys(hit.kind for hit in hits if hit.brand == hits[0].brand)]
    reasons = [hit.reason for hit in hits[:REASON_LIMIT]]
    if generated:
        kinds.append("dga")
        reasons.append("looks generated: its letters hardly ever stand together in names of this zone")
        score = max(score, generated * GENERATED_AT_MOST)
    if new:
        score += (1 - score) * NEW_WEIGHT
        reasons.append("new since the last zone")
    shown = ".".join(confusable.to_unicode(part) or part for part in name.split("."))
    brand = hits[0].brand if hits else None
    return Finding(name, shown, round(score, 4), tuple(kinds), tuple(reasons), brand, new)


def _label(name: str, tld: str | None) -> tuple[str, str]:
    """(the label that would be registered as an A-label, "") or ("", why it is none)."""
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


def _scripts(shown: str) -> str:
    """A sentence when one label mixes letters of several scripts, as nobody's own language does."""
    if shown.isascii():
        return ""
    scripts = {unicodedata.name(char, "UNKNOWN").split(" ", 1)[0] for char in shown if char.isalpha()}
    scripts -= {"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"}
    return (
        f"mixes letters of {' and '.join(sorted(script.capitalize() for script in scripts))}"
        if len(scripts) > 1
        else ""
    )


def _protected(files: Sequence[Path]) -> Protected:
    protected = Protected((name for path in files for name in read_names(path)), also=builtin_protected())
    for warning in protected.warnings:
        print(f"arke: protected names: {warning}", file=sys.stderr)
    return protected


def _owners(path: Path) -> list[str]:
    """The names of a master file or a plain list."""
    return list(read_zone(path).owners) if looks_like_zone(path) else read_names(path)


def _labels(names: Iterable[str]) -> list[str]:
    return [name.split(".", 1)[0] for name in names]


def _given(file: Path | None, names: Sequence[str]) -> Iterator[str]:
    yield from names
    if file is None:
        return
    with sys.stdin.buffer if str(file) == "-" else file.open("rb") as lines:
        while line := lines.readline(LINE_LIMIT):
            if text := line.decode("utf-8", "replace").strip():
                yield text


def _table(found: Sequence[Finding]) -> None:
    width = min(max((len(item.unicode) for item in found), default=4), 40)
    for item in found:
        mark = "new" if item.new else "   "
        print(f"{item.score:5.3f} {mark} {item.unicode:{width}} {', '.join(item.kinds)}: {'; '.join(item.reasons[:2])}")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
