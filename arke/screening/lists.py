"""The files screening works with: protected and popular names, keyboards, known generated names, days, zones, lists.

Read here for :mod:`arke.screen`, :mod:`.review` and :mod:`.counter`; every fault is a PanopticonError that
names the file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from arke.screening.popular import popular_names
from arke.screening.settings import Screen
from panopticond.shared.errors import PanopticonError
from panopticond.shared.lookalike.keyboard import LAYOUTS, Keyboards, Layout, layout_fault
from panopticond.shared.lookalike.protected import Protected
from panopticond.shared.lookalike.words import builtin_lures, builtin_protected
from panopticond.shared.zone import looks_like_zone, read_names, read_zone

KNOWN_LIMIT = 5_000_000  # names of known-DGA lists held at once
LAYOUT_BYTES = 4096


class Watched(msgspec.Struct, frozen=True):
    """What is protected, and the whole names that are their owners' own: an owner imitates nobody."""

    protected: Protected
    owned: frozenset[str]


def watched(
    protect: Iterable[str | Path],
    popular: tuple[Path, int] | None = None,
    keyboards: Sequence[Layout] = tuple(LAYOUTS),
) -> Watched:
    """The registry's own protected names, which outrank the built-in ones and the first names of a popular list.

    A popular name that is nothing but a lure word (``office``, ``cloud``) would flag half a zone and is left out.
    Raises PanopticonError that names the file at fault.
    """
    given = [name for path in protect for name in read_names(path)]
    names = popular_names(*popular) if popular is not None else []
    lures = frozenset(builtin_lures())
    labels = (label for name in names if (label := name.partition(".")[0]) not in lures)
    protected = Protected(given, also=[*builtin_protected(), *labels], keyboards=_keyboards(keyboards))
    return Watched(protected, frozenset(name for name in (*given, *names) if "." in name.lstrip(".")))


def watched_by(screen: Screen) -> Watched:
    """The same out of arke.json."""
    popular = (Path(screen.popular), screen.popular_top) if screen.popular is not None else None
    return watched(screen.protect, popular, screen.keyboards)


def read_layout(path: Path) -> tuple[str, ...]:
    """Rows of keys out of a file, one a line from the top down; PanopticonError when it holds no layout."""
    try:
        with path.open("rb") as file:
            text = file.read(LAYOUT_BYTES + 1)
        rows = tuple(line.strip() for line in text.decode("utf-8").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise PanopticonError(f"{path}: cannot be read as a keyboard layout: {error}") from error
    fault = "too long for a layout" if len(text) > LAYOUT_BYTES else layout_fault(rows)
    if fault:
        raise PanopticonError(f"{path}: {fault}")
    return rows


def _keyboards(layouts: Iterable[Layout]) -> Keyboards:
    return Keyboards(
        read_layout(Path(layout)) if isinstance(layout, str) and layout not in LAYOUTS else layout for layout in layouts
    )


def owners_of(path: Path) -> Mapping[str, tuple[str, ...]]:
    """The names of a master file with their name servers, or of a plain list with none."""
    return read_zone(path).owners if looks_like_zone(path) else dict.fromkeys(read_names(path), ())


def known_dga(paths: Iterable[str | Path], tld: str | None = None) -> dict[str, str]:
    """Names of known-DGA lists (files, or folders of them; a name or ``name,...`` a line) with their list's name.

    Only names below ``tld`` where one is given. Raises PanopticonError for more than :data:`KNOWN_LIMIT` of them.
    """
    found: dict[str, str] = {}
    ending = f".{tld}" if tld else ""
    for given in paths:
        for path in _files(Path(given)):
            source = path.name.split(".", 1)[0]
            for line in read_names(path):
                name = line.partition(",")[0].strip('" \t')
                if "." in name and name.endswith(ending):
                    found.setdefault(name, source)
            if len(found) > KNOWN_LIMIT:
                raise PanopticonError(
                    f"{path}: more than {KNOWN_LIMIT} known generated names; give only those of the TLD"
                )
    return found


def registration_days(path: Path) -> dict[str, dt.date]:
    """Days of registration out of ``name,date`` lines (RFC 3339 dates or times)."""
    days = {}
    for number, line in enumerate(read_names(path), 1):
        name, _, text = line.partition(",")
        try:
            days[name.strip()] = dt.date.fromisoformat(text.strip()[:10])
        except ValueError as error:
            raise PanopticonError(f"{path}:{number}: no `name,date`, as `example.zz,2026-08-19`") from error
    return days


def labels_of(names: Iterable[str]) -> list[str]:
    """The first label of every name."""
    return [name.partition(".")[0] for name in names]


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(inner for inner in path.rglob("*") if inner.is_file() and not inner.name.startswith("."))
    else:
        yield path
