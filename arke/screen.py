"""``arke scan`` and ``arke screen``: the commands over names and zones that no feed has reported yet.

The command lines, files and output; :mod:`panopticond.shared.ranking` makes the review list of a zone,
:mod:`arke.screening.opinion` the opinion on one name. Neither needs a configuration, and the registry decides
(design section 5).
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from arke.screening.lists import Watched, known_dga, labels_of, owners_of, registration_days, watched
from arke.screening.opinion import read_policy, screen_name
from arke.screening.popular import POPULAR_TOP, popular_argument
from panopticond.shared.clock import Clock
from panopticond.shared.dga import Model
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.lookalike.keyboard import LAYOUTS
from panopticond.shared.ranking import Finding, review_list, write_csv
from panopticond.shared.zone import read_names

LINE_LIMIT = 1024
SAMPLE = 1000  # names that tell a zone's TLD


def add_scan_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``arke scan``."""
    parser.add_argument(
        "--zone", type=Path, required=True, metavar="FILE", help="master file or plain list of names, compressed or not"
    )
    parser.add_argument(
        "--before", type=Path, metavar="FILE", help="the zone of an earlier day: what is not in it is new"
    )
    _add_watched_arguments(parser)
    parser.add_argument("--exclude", type=Path, metavar="FILE", help="labels or names never to list")
    parser.add_argument("--top", type=_positive, metavar="N", help="at most so many names")
    parser.add_argument(
        "--registered", type=Path, metavar="FILE", help="`name,date` lines: what was registered lately weighs more"
    )
    parser.add_argument(
        "--format",
        choices=("json", "csv", "table"),
        default="table" if sys.stdout.isatty() else "json",
        help="left out, a table on a terminal, else NDJSON",
    )


def add_screen_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of ``arke screen``."""
    parser.add_argument("--names", type=Path, metavar="FILE", help="names, one a line; - reads standard input")
    _add_watched_arguments(parser)
    parser.add_argument(
        "--calibrate", type=Path, metavar="FILE", help="registered names of the TLD, to judge letters by"
    )
    parser.add_argument("--policy", type=Path, metavar="FILE", help="JSON: what leads to pass, review or hold")
    parser.add_argument("--tld", metavar="TLD", help="the TLD the names are to stand in")
    parser.add_argument("name", nargs="*", metavar="NAME", help="a label, or a name with its TLD")


def _add_watched_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--known-dga",
        type=Path,
        action="append",
        metavar="PATH",
        default=[],
        help="lists of known generated names, file or folder",
    )
    parser.add_argument(
        "--protect",
        type=Path,
        action="append",
        metavar="FILE",
        default=[],
        help="whom not to imitate: labels or names, one a line",
    )
    parser.add_argument(
        "--popular",
        type=popular_argument,
        metavar="FILE[:N]",
        help=f"Tranco's list as published: its first N names ({POPULAR_TOP}) are protected too",
    )
    parser.add_argument(
        "--keyboard",
        action="append",
        metavar="NAME|FILE",
        help=f"layouts people type on, one of {', '.join(LAYOUTS)} or a file of rows of keys (all known ones)",
    )


def scan_command(options: argparse.Namespace) -> None:
    """``arke scan``: the review list of a zone on standard output, warnings on standard error."""
    with _uncollected():
        _scan(options)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Hundreds of thousands of names that all stay are looked through for garbage again and again, in vain."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _scan(options: argparse.Namespace) -> None:
    zone = owners_of(options.zone)
    before = _earlier(options.before, zone) if options.before else None
    guarded = _watched(options)
    found = review_list(
        zone,
        (),
        guarded.protected,
        guarded.owned.union(read_names(options.exclude) if options.exclude else ()),
        options.top,
        before,
        model=Model.load().calibrated(labels_of(zone)),
        known=known_dga(options.known_dga),
        registered=registration_days(options.registered) if options.registered else None,
        today=Clock().now().date(),
    )
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
    policy = read_policy(options.policy) if options.policy else None
    protected = _watched(options).protected
    model = Model.load()
    if options.calibrate:
        model = model.calibrated(labels_of(owners_of(options.calibrate)))
    tld = options.tld.strip(".").lower() if options.tld else None
    known = known_dga(options.known_dga, tld)
    for text in _given(options.names, options.name):
        opinion = screen_name(text, protected, model, tld, policy=policy, known=known)
        print(json.dumps(msgspec.to_builtins(opinion), ensure_ascii=False))


def _watched(options: argparse.Namespace) -> Watched:
    found = watched(options.protect, options.popular, options.keyboard or tuple(LAYOUTS))
    for warning in found.protected.warnings:
        print(f"arke: protected names: {warning}", file=sys.stderr)
    return found


def _earlier(path: Path, zone: Mapping[str, tuple[str, ...]]) -> Collection[str]:
    """The names of an earlier day; refused when they are of another TLD, for then every name would be new."""
    earlier = owners_of(path).keys()
    if not earlier:
        print(f"arke: {path} holds no name: every name counts as new", file=sys.stderr)
    else:
        tlds = tuple({"." + _tld(name) for name in itertools.islice(zone, SAMPLE)})
        if tlds and not any(name.endswith(tlds) for name in earlier):
            raise ConfigurationError([f"--before: {path} holds no name of {', '.join(tlds)}, as the zone does"])
    return earlier


def _tld(name: str) -> str:
    return name.rpartition(".")[2]


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
