"""When the current registration of a domain began, and what of an indicator's past belongs to it. Pure.

Before the verdict: what was seen of an earlier holder says nothing of this one, so neither the schedule nor the
snapshot judges from rounds older than the registration (design section 4: validated, incident).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from panopticond.model import DomainRecord, Round
from panopticond.shared.clock import parse_rfc3339


def began(record: DomainRecord | None) -> dt.datetime | None:
    """RDAP's registration date, else the name's last return to the zone after five days' absence, else None."""
    if record is None:
        return None
    said = record.registration.detail.get("registered") if record.registration is not None else None
    return began_of(said, record.returned)


def began_of(said: str | None, returned: dt.datetime | None) -> dt.datetime | None:
    """The same from RDAP's text and the return; a date that is none counts as unsaid."""
    try:
        return parse_rfc3339(said) if said else returned
    except ValueError:
        return returned


def since_registration(rounds: Sequence[Round], start: dt.datetime | None) -> list[Round]:
    """The rounds of this registration; all of them when its beginning is unknown."""
    return [round_ for round_ in rounds if start is None or round_.at >= start]
