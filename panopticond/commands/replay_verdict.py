"""``panopticond replay-verdict records.sql``: every state again from the published observations; differences printed.

For whoever doubts a publication: needs no configuration, no key and no network.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from panopticond.snapshot.replay import replay


def replay_verdict(path: Path, say: Callable[[str], None]) -> int:
    """The exit status: 0 when every published state follows from the published observations, else 1.

    RefusedError when the file is not of the dialect.
    """
    differences = 0
    for found in replay(path):
        differences += 1
        say(f"{found.indicator} {found.name}: published {found.published}, replayed {found.replayed}")
    if not differences:
        say("every published state follows from the published observations")
    return 1 if differences else 0
