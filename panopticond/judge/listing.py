"""What the feeds say of an indicator at one time, as the verdict wants it: listed, withdrawn, last listed. Pure.

Beside the verdict: the schedule asks with the sightings in the store, ``snapshot/build`` and ``replay-verdict`` with
the published ones, so that all three reach the same flags.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import msgspec

from panopticond.judge.verdict import Listing
from panopticond.model import Absence, Sighting


def listing_of(
    sightings: Sequence[Sighting],
    absences: Mapping[str, Absence],
    *,
    decision: str | None = None,
    critical: bool = False,
) -> Listing:
    """The listing these sightings add up to; a feed whose absence is unknown counts as ``aged-out``."""
    withdrawn = bool(sightings) and all(
        sighting.ended is not None and absences.get(sighting.feed) == "withdrawn" for sighting in sightings
    )
    return Listing(
        listed=any(sighting.ended is None for sighting in sightings),
        withdrawn=withdrawn,
        last_listed=max((sighting.last for sighting in sightings), default=None),
        decision=decision,
        critical=critical,
    )


def as_at(sightings: Sequence[Sighting], to: dt.datetime) -> tuple[Sighting, ...]:
    """The sightings as they stood at ``to``: later ones left out, later ends undone."""
    return tuple(
        msgspec.structs.replace(
            sighting,
            last=min(sighting.last, to),
            ended=sighting.ended if sighting.ended is not None and sighting.ended <= to else None,
        )
        for sighting in sightings
        if sighting.first <= to
    )
