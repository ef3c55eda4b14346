"""Every state again from a published records.sql, by the same judge: what ``panopticond replay-verdict`` shows.

After publication, for whoever doubts it. Streams: observations stand grouped by indicator, so the
rounds of one are in memory at a time, beside the smaller tables.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec

from panopticond.judge.listing import listing_of
from panopticond.judge.mistrial import Mistrials
from panopticond.judge.verdict import judge
from panopticond.model import Absence, Observation, Round, Scope, Sighting, Subject, Threat
from panopticond.shared.clock import parse_rfc3339
from panopticond.shared.errors import RefusedError
from panopticond.shared.records import decode_detail, open_records, read_records
from panopticond.shared.tables import HostRow, ObservationRow, SightingRow, UriRow


class Difference(msgspec.Struct, frozen=True):
    """One indicator whose published state is not what its published observations say."""

    indicator: str
    name: str
    published: str
    """``state/rule``."""
    replayed: str


def replay(path: Path) -> Iterator[Difference]:
    """The differences, in the file's order; RefusedError when the file is not of the dialect."""
    absences: dict[str, Absence] = {}
    tld = ""
    judged: dict[str, UriRow | HostRow] = {}
    sightings: dict[str, list[SightingRow]] = defaultdict(list)
    try:
        with contextlib.closing(open_records(path)) as stream:
            for table, rows in itertools.groupby(read_records(stream), key=lambda pair: pair[0]):
                for _, row in rows if table in ("snapshot", "feed", "uri", "host", "sighting") else ():
                    if table == "snapshot":
                        tld = row.tld
                    elif table == "feed":
                        absences[row.name] = row.absence
                    elif table == "sighting":
                        sightings[row.indicator].append(row)
                    elif row.indicator is not None:
                        judged[row.indicator] = row
                if table == "observation":
                    for indicator, group in itertools.groupby((row for _, row in rows), key=lambda row: row.indicator):
                        if indicator not in judged:
                            raise RefusedError(
                                f"{path}: observations of {indicator}, which stands in no table; refused"
                            )
                        yield from _compare(judged.pop(indicator), group, sightings.pop(indicator, []), absences, tld)
    except (OSError, EOFError, ValueError, msgspec.ValidationError) as error:
        raise RefusedError(f"{path}: cannot be replayed: {error}") from error
    for indicator, row in judged.items():
        yield from _compare(row, (), sightings.pop(indicator, []), absences, tld)


def _compare(
    row: UriRow | HostRow,
    observations: Iterable[ObservationRow],
    sightings: Iterable[SightingRow],
    absences: dict[str, Absence],
    tld: str,
) -> Iterator[Difference]:
    name = (row.uri or row.host) if isinstance(row, UriRow) else row.name
    subject = Subject(
        id=0,
        uri=(row.uri or row.indicator) if isinstance(row, UriRow) else None,
        host=row.host if isinstance(row, UriRow) else row.name,
        domain=row.domain,
        tld=tld,
        scope=cast("Scope", row.scope),
        threats=cast("tuple[Threat, ...]", tuple((row.threats or "").split())),
        altered=isinstance(row, UriRow) and row.altered == 1,
    )
    listing = listing_of([_sighting(seen) for seen in sightings], absences, decision=row.decision)
    verdict = Mistrials(judge)(subject, list(_rounds(observations)), listing)
    published, replayed = f"{row.state}/{row.rule}", f"{verdict.state}/{verdict.rule}"
    if published != replayed:
        yield Difference(str(row.indicator), name, published, replayed)


def _rounds(observations: Iterable[ObservationRow]) -> Iterator[Round]:
    for at, group in itertools.groupby(observations, key=lambda row: row.round_at):
        yield Round(parse_rfc3339(at), tuple(_observation(row) for row in group))


def _observation(row: ObservationRow) -> Observation:
    kind: Any = row.kind
    return Observation(kind, row.target, row.vantage, parse_rfc3339(row.at), row.outcome, decode_detail(row.detail))


def _sighting(row: SightingRow) -> Sighting:
    ended: dt.datetime | None = parse_rfc3339(row.ended) if row.ended else None
    return Sighting(row.feed, cast("Threat", row.threat), parse_rfc3339(row.first), parse_rfc3339(row.last), ended)
