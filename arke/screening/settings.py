"""``screen`` of arke.json: what the daily list and the opinions go by, and the rules between its keys.

Part of ``config``, in a file of its own: which lists protect what, on which keyboards people slip, how long the list
is and how many registrations may be asked about for it.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from panopticond.shared.lookalike.keyboard import LAYOUTS, layout_fault
from panopticond.shared.values import is_file

POPULAR_MOST = 100_000
LOOKUPS_MOST = 1000


class Screen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``screen``: the daily list of look-alikes nobody has reported yet."""

    enabled: bool = True
    protect: tuple[str, ...] = ()
    """Files of protected labels or names, one a line."""
    popular: str | None = None
    """A list of popular names as Tranco publishes it: a zip, or ``rank,domain`` lines, compressed or not."""
    popular_top: Annotated[int, msgspec.Meta(ge=1, le=POPULAR_MOST)] = 1000
    """How many of its first names are protected."""
    exclude: tuple[str, ...] = ()
    known_dga: tuple[str, ...] = ()
    """Lists of known generated names, files or folders."""
    keyboards: tuple[str | tuple[str, ...], ...] = tuple(LAYOUTS)
    """Layouts on which a finger slips: names of known ones, files with a row of keys a line, or such rows."""
    policy: str | None = None
    """JSON file: what leads to pass, review or hold when a registry asks over the socket."""
    top: Annotated[int, msgspec.Meta(ge=1, le=1 << 40)] = 100
    lookups: Annotated[int, msgspec.Meta(ge=0, le=LOOKUPS_MOST)] = 50
    """Names of the list whose registration is asked about over RDAP, a day and TLD; 0 asks about none."""


def screen_faults(screen: Screen) -> list[str]:
    """Files of ``screen`` that are not there, and keyboards that are none, each with its path."""
    named = {
        "popular": screen.popular,
        "policy": screen.policy,
        **{f"protect[{at}]": path for at, path in enumerate(screen.protect)},
        **{f"exclude[{at}]": path for at, path in enumerate(screen.exclude)},
    }
    problems = [f"screen.{key}: {path}: no such file" for key, path in named.items() if path and not is_file(path)]
    for at, layout in enumerate(screen.keyboards):
        of_file = isinstance(layout, str) and layout not in LAYOUTS and is_file(layout)
        if not of_file and (fault := layout_fault(layout)):
            problems.append(f"screen.keyboards[{at}]: {fault}")
    return problems
