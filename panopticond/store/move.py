"""From the embedded store into an empty shared one: every table as it stands, in one transaction.

Used by ``panopticond migrate --from FILE`` with the daemon stopped. Numbers stay what they are, for the secret they are
made with goes along; what the new store adds for many hosts is planned when the first of them starts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw

from panopticond.shared.errors import StoreError
from panopticond.store.schema import MIGRATIONS
from panopticond.store.sql import Row, Sql, first
from panopticond.store.sqlite import schema_of

TABLES = {
    "feed": "id, name, touched, health",
    "feed_history": "feed_id, at, state, reason",
    "indicator": "id, key, is_uri, host, domain, tld, scope, altered, recorded, watched, last_round, previous_round, "
    "first_validated, verdict, decision",
    "sighting": "feed_id, indicator_id, threat, first, last, ended, source_id",
    "observation": "indicator_id, round_at, place, kind, target, vantage, at, outcome, detail",
    "domain": "name, record",
    "incident": "id, tld, value",
    "decision": "indicator_id, at, decision",
    "publication": "tld, serial, value",
}
"""Every table that holds what was recorded, with its columns; a feed goes before its sightings."""
_BATCH = 2_000


def move(target: Sql, path: Path, surrogates: bytes | None, say: Callable[[str], None]) -> int:
    """Copy the store in a file into ``target``; returns how many rows went. StoreError when one of the two is not fit.

    ``surrogates`` is the key of surrogate names that stands beside the file, so that published ones stay the same.
    """
    if target.rows("SELECT 1 FROM indicator LIMIT 1") or target.rows("SELECT 1 FROM publication LIMIT 1"):
        raise StoreError("the store at [store] url holds data already; a store is moved into an empty one")
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    except apsw.Error as error:
        raise StoreError(f"{path}: the database cannot be opened: {error}") from error
    try:
        return _copy(target, connection, path, surrogates, say)
    except apsw.Error as error:
        raise StoreError(f"{path}: the database cannot be read: {error}") from error
    finally:
        connection.close()


def _copy(
    target: Sql, connection: apsw.Connection, path: Path, surrogates: bytes | None, say: Callable[[str], None]
) -> int:
    if (schema := schema_of(connection)) != len(MIGRATIONS):
        raise StoreError(f"{path}: has schema {schema}, not {len(MIGRATIONS)}; start this version on it once first")
    target.change("UPDATE identity SET secret = ?", (connection.execute("SELECT secret FROM identity").get,))
    if surrogates is not None:
        target.change("INSERT INTO shared_secret VALUES ('surrogates', ?)", (surrogates,))
    total = 0
    for table, columns in TABLES.items():
        marks = ", ".join("?" * len(columns.split(", ")))
        insert = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 - names of ours
        rows = connection.execute(f"SELECT {columns} FROM {table}")  # noqa: S608 - names of ours
        count = 0
        for batch in _batches(rows):
            count += target.change_each(insert, batch)
        say(f"{table}: {count} rows")
        total += count
    # feeds number themselves: the next one after these
    first(target, "SELECT setval(pg_get_serial_sequence('feed', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM feed))")
    return total


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(itertools.islice(rows, _BATCH)):
        yield batch
