"""Between the model's frozen values and the store's columns: times, identities, observations, standings.

Used by the modules of SQL beside it, in both directions; a value read is equal to the value written.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from panopticond.model import Observation, Round, Sighting, Subject, Verdict
from panopticond.store.interface import Standing, Watch
from panopticond.store.sql import SIGHTINGS_OF_ONE, Sql

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_VERDICT = msgspec.json.Decoder(Verdict)
_DETAIL = msgspec.json.Decoder(dict[str, str])
_ENCODER = msgspec.json.Encoder()

STANDING_COLUMNS = (
    "id, key, is_uri, host, domain, tld, scope, altered, recorded, first_validated, verdict, decision, watched"
)
"""What :func:`standing` reads, in its order."""


def micros(when: dt.datetime) -> int:
    """Microseconds since 1970 of a UTC time."""
    return (when - _EPOCH) // _MICROSECOND


def optional_micros(when: dt.datetime | None) -> int | None:
    """The same, None for None."""
    return None if when is None else micros(when)


def moment(value: int) -> dt.datetime:
    """The UTC time of a column."""
    return _EPOCH + dt.timedelta(microseconds=value)


def optional_moment(value: int | None) -> dt.datetime | None:
    """The same, None for NULL."""
    return None if value is None else moment(value)


def identity(secret: bytes, key: str) -> int:
    """The row number of an indicator: 63 bits of a hash of its key under the database's own secret."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8, key=secret).digest(), "big") >> 1


def to_json(value: object) -> str:
    """A struct as JSON text."""
    return _ENCODER.encode(value).decode()


def verdict_of(text: str | None) -> Verdict | None:
    """The stored verdict, None before the first round."""
    return None if text is None else _VERDICT.decode(text)


def observation_rows(indicator_id: int, round_: Round) -> Iterator[tuple[Any, ...]]:
    """The rows of one round, in the order of its observations."""
    at = micros(round_.at)
    for place, seen in enumerate(round_.observations):
        detail = _detail_text(seen.detail)
        target = seen.target
        yield (indicator_id, at, place, seen.kind, target, seen.vantage, micros(seen.at), seen.outcome, detail)


def _detail_text(detail: Mapping[str, str]) -> str:
    if not detail:
        return ""
    try:
        return to_json(detail)
    except UnicodeEncodeError:  # a lone surrogate out of somebody's page; SQL and UTF-8 have none
        return to_json({key: value.encode(errors="replace").decode() for key, value in detail.items()})


def rounds_of(rows: Iterable[Sequence[Any]]) -> list[Round]:
    """Rounds of one indicator from rows (round_at, kind, target, vantage, at, outcome, detail) by round and place.

    Most rounds say what the round before said: equal observations, details and texts are one object each, so that eight
    days of rounds weigh a quarter of what they would (checks under way hold them, hundreds at once).
    """
    shared = _Shared()
    return [
        Round(moment(at), tuple([shared.observation(row) for row in group]))
        for at, group in groupby(rows, key=itemgetter(0))
    ]


class _Shared:
    """What the rounds of one indicator have in common, for as long as they are being read."""

    def __init__(self) -> None:
        self._observations: dict[tuple[Any, ...], Observation] = {}
        self._details: dict[str, dict[str, str]] = {"": {}}
        self._texts: dict[str, str] = {}

    def observation(self, row: Sequence[Any]) -> Observation:
        """The observation of a row; rounds repeat what is asked once a day as it was seen, with its own time."""
        key = tuple(row[1:])
        found = self._observations.get(key)
        if found is None:
            kind, target, vantage, seen, outcome, detail = key
            text = self._texts.setdefault
            found = self._observations[key] = Observation(
                text(kind, kind),  # type: ignore[arg-type]
                text(target, target),
                text(vantage, vantage),
                moment(seen),
                text(outcome, outcome),
                self._detail(detail),
            )
        return found

    def _detail(self, text: str) -> dict[str, str]:
        found = self._details.get(text)
        if found is None:
            same = self._texts.setdefault
            found = self._details[text] = {key: same(value, value) for key, value in _DETAIL.decode(text).items()}
        return found


def sightings_of(sql: Sql, numbers: Sequence[int]) -> dict[int, tuple[Sighting, ...]]:
    """Every sighting of indicators, by feed and threat; an unended one was last seen when its feed was touched."""
    found: dict[int, list[Sighting]] = {number: [] for number in numbers}
    rows = sql.each(
        "SELECT indicator_id, feed.name, threat, first, CASE WHEN ended IS NULL AND touched > last THEN touched "  # noqa: S608 - ours
        f"ELSE last END, ended, source_id FROM {SIGHTINGS_OF_ONE[sql.dialect]} "
        "ORDER BY feed.name, threat",
        [(number,) for number in numbers],
    )
    for number, feed, threat, begun, last, ended, source_id in rows:
        sighting = Sighting(feed, threat, moment(begun), moment(last), optional_moment(ended), source_id)
        found[number].append(sighting)
    return {number: tuple(sightings) for number, sightings in found.items()}


def subject_of(row: Sequence[Any], sightings: Sequence[Sighting]) -> Subject:
    """The subject in a row of ``STANDING_COLUMNS``, with the threats of all its sightings."""
    number, key, is_uri, host, domain, tld, scope, altered = row[:8]
    threats = tuple(sorted({sighting.threat for sighting in sightings}))
    return Subject(number, key if is_uri else None, host, domain, tld, scope, threats, bool(altered))


def standings_of(sql: Sql, rows: Sequence[Sequence[Any]]) -> list[Standing]:
    """The standings in rows of ``STANDING_COLUMNS``."""
    sightings = sightings_of(sql, [row[0] for row in rows])
    return [
        Standing(
            subject_of(row, sightings[row[0]]),
            moment(row[8]),
            verdict_of(row[10]),
            sightings[row[0]],
            optional_moment(row[9]),
            row[11],
        )
        for row in rows
    ]


def watch_of(row: Sequence[Any]) -> Watch:
    """The watch in a row (id, recorded, last_round, watched)."""
    return Watch(row[0], moment(row[1]), optional_moment(row[2]), bool(row[3]))
