"""The SQL of everything that is read by name: indicators as they stand, domains, incidents, what is listed.

Synchronous, called within a transaction; for the snapshot, the operator's questions and the window at start.
"""

from __future__ import annotations

import datetime as dt
import re
from array import array
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from panopticond.model import THREATS, DomainRecord, Incident, Threat, public_id
from panopticond.shared.errors import StoreError
from panopticond.store.interface import Standing, Watch
from panopticond.store.rows import STANDING_COLUMNS, micros, standings_of, to_json, watch_of
from panopticond.store.sql import Sql, first

_ONE = f"SELECT {STANDING_COLUMNS} FROM indicator WHERE id = ?"  # noqa: S608 - a constant
_PUBLIC_ID = re.compile("i[0-9a-f]{16}")
_DOMAIN = msgspec.json.Decoder(DomainRecord)
_INCIDENT = msgspec.json.Decoder(Incident)


_REPLACE = {
    "domain": "INSERT INTO domain VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET record = excluded.record",
    "incident": "INSERT INTO incident VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET tld = excluded.tld, "
    "value = excluded.value",
    "publication": "INSERT INTO publication VALUES (?, ?, ?) ON CONFLICT (tld, serial) DO UPDATE SET "
    "value = excluded.value",
}


def replace(sql: Sql, table: Literal["domain", "incident", "publication"], rows: Sequence[Sequence[Any]]) -> None:
    """Insert or replace rows of a table of ours."""
    sql.change_each(_REPLACE[table], rows)


def incidents(sql: Sql, tld: str) -> list[Incident]:
    """Every incident of a TLD, by id."""
    rows = sql.rows("SELECT value FROM incident WHERE tld = ? ORDER BY id", (tld,))
    return [_INCIDENT.decode(text) for (text,) in rows]


def numbers(sql: Sql, tld: str) -> array[int]:
    """The row numbers of a TLD's indicators, in the order of their keys."""
    rows = sql.rows("SELECT id FROM indicator WHERE tld = ? ORDER BY key", (tld,))
    return array("q", (number for (number,) in rows))


def standings(sql: Sql, numbers: Sequence[int]) -> list[Standing]:
    """Several indicators as they stand."""
    found = list(sql.each(_ONE, [(number,) for number in numbers]))
    if len(found) != len(numbers):
        missing = sorted(set(numbers) - {row[0] for row in found})
        raise StoreError(f"there is no indicator {missing[0] if missing else 0} in the store")
    return standings_of(sql, found)


def watches(sql: Sql) -> list[Watch]:
    """Every indicator, for the window."""
    rows = sql.rows("SELECT id, recorded, last_round, watched FROM indicator ORDER BY id")
    return [watch_of(row) for row in rows]


def row(sql: Sql, number: int) -> Sequence[Any]:
    """One indicator's row of ``STANDING_COLUMNS``; StoreError when there is none."""
    found = sql.rows(_ONE, (number,))
    if not found:
        raise StoreError(f"there is no indicator {number} in the store")
    return found[0]


def domain(sql: Sql, domain: str) -> DomainRecord | None:
    """What is known of a registered domain."""
    text = first(sql, "SELECT record FROM domain WHERE name = ?", (domain,))
    return None if text is None else _DOMAIN.decode(text)


def domains(sql: Sql, names: Sequence[str]) -> dict[str, DomainRecord]:
    """What is known of several registered domains; those nothing is known of are left out."""
    rows = sql.each("SELECT name, record FROM domain WHERE name = ?", [(name,) for name in names])
    return {name: _DOMAIN.decode(text) for name, text in rows}


def record_domains(sql: Sql, records: Sequence[DomainRecord]) -> None:
    """Replace what is known of registered domains; the last of several records of one stands."""
    named = {record.domain: to_json(record) for record in records}
    replace(sql, "domain", sorted(named.items()))  # in one order: two hosts never wait for each other in a circle


def decide(sql: Sql, number: int, decision: str, at: dt.datetime) -> None:
    """Keep an operator's decision and when it was made; StoreError for an unknown indicator."""
    if not sql.change("UPDATE indicator SET decision = ? WHERE id = ?", (decision, number)):
        raise StoreError(f"there is no indicator {number} in the store")
    sql.change("INSERT INTO decision VALUES (?, ?, ?)", (number, micros(at), decision))


def find(sql: Sql, number: int, text: str) -> list[Standing]:
    """Indicators by number and key, by host or domain, or by public id (which reads every key)."""
    if _PUBLIC_ID.fullmatch(text):
        every = sql.rows("SELECT id, key FROM indicator")
        number, text = next(((at, key) for at, key in every if public_id(key) == text), (number, text))
    # A host lies below its domain, so the index on domains finds it: ask for every parent of the text.
    labels = text.split(".")[-20:]
    parents = [".".join(labels[at:]) for at in range(len(labels))]
    marks = ", ".join("?" * len(parents))
    rows = sql.rows(
        f"SELECT {STANDING_COLUMNS} FROM indicator WHERE id = ? AND key = ? UNION "  # noqa: S608 - constants and marks
        f"SELECT {STANDING_COLUMNS} FROM indicator WHERE domain IN ({marks}) AND (domain = ? OR host = ?) ORDER BY key",
        (number, text, *parents, text, text),
    )
    return standings_of(sql, rows)


def threats_listed(sql: Sql, tld: str) -> dict[Threat, int]:
    """How many domains are listed now, by threat."""
    rows = sql.rows(
        "SELECT threat, count(DISTINCT domain) FROM sighting JOIN indicator ON id = indicator_id "
        "WHERE ended IS NULL AND tld = ? GROUP BY threat",
        (tld,),
    )
    counted = {threat: int(count) for threat, count in rows}
    return {threat: counted.get(threat, 0) for threat in THREATS}
