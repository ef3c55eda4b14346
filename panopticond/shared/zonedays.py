"""The names of a zone from one day to the next: what was there before, so that new ones stand out in a review list.

Kept as one compressed list of names a zone's serial, in a folder of the caller's; arke's daily list and panopticond's
(where a TLD gives its zone) rest on it. Blocking.
"""

from __future__ import annotations

import gzip
from pathlib import Path

from panopticond.shared.errors import StoreError
from panopticond.shared.zone import Zone, read_names

KEPT = 2
"""Zones whose names are kept: the present one and the one before it."""


def names_before(folder: Path, tld: str, zone: Zone) -> frozenset[str] | None:
    """The names of the last zone with another serial, None at the first; remembers the present ones.

    Raises StoreError naming the folder when it cannot be written.
    """
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
