"""The files screening works with: protected names, known generated names, days of registration, zones, name lists.

Read here for :mod:`arke.screen`, :mod:`arke.review` and :mod:`arke.counter`; every fault is a PanopticonError that
names the file.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from panopticond.shared.errors import PanopticonError
from panopticond.shared.lookalike import Protected, builtin_protected
from panopticond.shared.zone import looks_like_zone, read_names, read_zone

KNOWN_LIMIT = 5_000_000  # names of known-DGA lists held at once


def protected_names(files: Iterable[str | Path]) -> Protected:
    """The registry's own protected names before the built-in ones."""
    return Protected((name for path in files for name in read_names(path)), also=builtin_protected())


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
