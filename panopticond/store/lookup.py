"""The SQL of everything that is read by name: indicators as they stand, domains, incidents, what is listed.

Synchronous, called within a transaction; for the snapshot, the operator's questions and the window at start.
"""

from __future__ import annotations

import datetime as dt
import re
from array import array
from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from panopticond.model import THREATS, DomainRecord, Incident, Threat, public_id
from panopticond.shared.errors import StoreError
from panopticond.store.interface import Standing, Watch
from panopticond.store.rows import STANDING_COLUMNS, micros, standing_of, watch_of

_ONE = f"SELECT {STANDING_COLUMNS} FROM indicator WHERE id = ?"  # noqa: S608 - a constant
_PUBLIC_ID = re.compile("i[0-9a-f]{16}")
_DOMAIN = msgspec.json.Decoder(DomainRecord)
_INCIDENT = msgspec.json.Decoder(Incident)


def replace(connection: apsw.Connection, table: str, rows: Sequence[tuple[str | int, ...]]) -> None:
    """Insert or replace rows of a table of ours."""
    for row in rows:
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row)  # noqa: S608 - our own table's name


def incidents(connection: apsw.Connection, tld: str) -> list[Incident]:
    """Every incident of a TLD, by id."""
    rows = connection.execute("SELECT value FROM incident WHERE tld = ? ORDER BY id", (tld,))
    return [_INCIDENT.decode(text) for (text,) in rows]


def numbers(connection: apsw.Connection, tld: str) -> array[int]:
    """The row numbers of a TLD's indicators, in the order of their keys."""
    rows = connection.execute("SELECT id FROM indicator WHERE tld = ? ORDER BY key", (tld,))
    return array("q", (number for (number,) in rows))


def standings(connection: apsw.Connection, numbers: Sequence[int]) -> list[Standing]:
    """Several indicators as they stand."""
    return [standing_of(connection, row(connection, number)) for number in numbers]


def watches(connection: apsw.Connection) -> list[Watch]:
    """Every indicator, for the window."""
    rows = connection.execute("SELECT id, recorded, last_round, watched FROM indicator ORDER BY id")
    return [watch_of(row) for row in rows]


def row(connection: apsw.Connection, number: int) -> Sequence[Any]:
    """One indicator's row of ``STANDING_COLUMNS``; StoreError when there is none."""
    found: Sequence[Any] | None = connection.execute(_ONE, (number,)).fetchone()
    if found is None:
        raise StoreError(f"there is no indicator {number} in the store")
    return found


def domain(connection: apsw.Connection, domain: str) -> DomainRecord | None:
    """What is known of a registered domain."""
    text = connection.execute("SELECT record FROM domain WHERE name = ?", (domain,)).get
    return None if text is None else _DOMAIN.decode(text)


def decide(connection: apsw.Connection, number: int, decision: str, at: dt.datetime) -> None:
    """Keep an operator's decision and when it was made; StoreError for an unknown indicator."""
    connection.execute("UPDATE indicator SET decision = ? WHERE id = ?", (decision, number))
    if not connection.changes():
        raise StoreError(f"there is no indicator {number} in the store")
    connection.execute("INSERT INTO decision VALUES (?, ?, ?)", (number, micros(at), decision))


def find(connection: apsw.Connection, number: int, text: str) -> list[Standing]:
    """Indicators by number and key, by host or domain, or by public id (which reads every key)."""
    if _PUBLIC_ID.fullmatch(text):
        every = connection.execute("SELECT id, key FROM indicator")
        number, text = next(((at, key) for at, key in every if public_id(key) == text), (number, text))
    # A host lies below its domain, so the index on domains finds it: ask for every parent of the text.
    labels = text.split(".")[-20:]
    parents = [".".join(labels[at:]) for at in range(len(labels))]
    marks = ", ".join("?" * len(parents))
    rows = connection.execute(
        f"SELECT {STANDING_COLUMNS} FROM indicator WHERE id = ? AND key = ? UNION "  # noqa: S608 - constants and marks
        f"SELECT {STANDING_COLUMNS} FROM indicator WHERE domain IN ({marks}) AND (domain = ? OR host = ?) ORDER BY key",
        (number, text, *parents, text, text),
    )
    return [standing_of(connection, row) for row in list(rows)]


def threats_listed(connection: apsw.Connection, tld: str) -> dict[Threat, int]:
    """How many domains are listed now, by threat."""
    counted = dict(
        connection.execute(
            "SELECT threat, count(DISTINCT domain) FROM sighting JOIN indicator ON id = indicator_id "
            "WHERE ended IS NULL AND tld = ? GROUP BY threat",
            (tld,),
        )
    )
    return {threat: int(counted.get(threat, 0)) for threat in THREATS}
