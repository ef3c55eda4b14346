"""The daily review list: what of the registry's zone looks like an imitation or generated, and is in no feed yet.

Beside match, once a snapshot and zone: :mod:`arke.screen` scores, this keeps the list and remembers the names of the
last zone, so that new ones stand out. The list is for a person; nothing is sent or suspended by it.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Collection
from pathlib import Path

from arke.config import Config
from arke.ranking import review_list, write_csv
from arke.report import REVIEW, replace_file
from panopticond.shared.dga import Model
from panopticond.shared.errors import StoreError
from panopticond.shared.lookalike import Protected, builtin_protected
from panopticond.shared.zone import Zone, read_names

KEPT = 2
"""Zones whose names are kept: the present one and the one before it."""


def review_path(config: Config, tld: str) -> Path:
    """Where the list of a TLD lies: in the state directory, below the TLD's name where several are served."""
    state = Path(config.state)
    return state / REVIEW if len(config.tlds) == 1 else state / tld / REVIEW


def write_review(config: Config, tld: str, zone: Zone, listed: Collection[str]) -> int:
    """Write the list anew, in a thread; returns how many names are on it. ``listed`` ones are in a feed already."""
    protected = Protected(
        (name for path in config.screen.protect for name in read_names(path)), also=builtin_protected()
    )
    exclude = {name for path in config.screen.exclude for name in read_names(path)}
    model = Model.load().calibrated([name.split(".", 1)[0] for name in zone.owners])
    before = _before(Path(config.state), tld, zone)
    found = review_list(zone.owners, listed, protected, exclude, config.screen.top, before, model=model)
    text = io.StringIO()
    write_csv(found, text)
    path = review_path(config, tld)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(path, text.getvalue())
    return len(found)


def _before(state: Path, tld: str, zone: Zone) -> frozenset[str] | None:
    """The names of the last zone with another serial, None at the first; remembers the present ones."""
    folder = state / "zones"
    present = folder / f"{tld}-{zone.serial}.gz"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        known = sorted(folder.glob(f"{tld}-*.gz"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        others = [path for path in known if path != present]
        before = frozenset(read_names(others[0])) if others else None
        if present not in known:
            partial = present.with_name(present.name + ".part")
            with gzip.open(partial, "wt", encoding="utf-8", compresslevel=1) as file:
                file.writelines(f"{name}\n" for name in zone.owners)
            partial.replace(present)
        for path in others[KEPT - 1 :]:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: cannot keep the zone's names: {error.strerror or error}") from error
    return before
