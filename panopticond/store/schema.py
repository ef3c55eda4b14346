"""The embedded store's tables: numbered migrations as data, applied in order, each once, all in one transaction.

The first thing an opened database meets. The version table holds the number of every migration applied; a database of
a newer version, or of another program, is refused rather than guessed at. Times are microseconds since 1970, UTC,
policy time; details, and whole values nobody selects by, are JSON (thirty times as fast to read as encoded pairs).
"""

from __future__ import annotations

import apsw

from panopticond.shared.errors import StoreError

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # A keyed hash of an indicator's key is its row number: an upsert needs no text index, and nobody outside can
        # make two URIs collide without this key.
        "CREATE TABLE identity (one INTEGER PRIMARY KEY CHECK (one = 1), secret BLOB NOT NULL)",
        "INSERT INTO identity VALUES (1, randomblob(32))",
        "CREATE TABLE feed (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, touched INTEGER, health TEXT)",
        "CREATE TABLE feed_history (feed_id INTEGER NOT NULL, at INTEGER NOT NULL, state TEXT NOT NULL, "
        "reason TEXT NOT NULL)",
        "CREATE TABLE indicator (id INTEGER PRIMARY KEY, key TEXT NOT NULL, is_uri INTEGER NOT NULL, "
        "host TEXT NOT NULL, domain TEXT NOT NULL, tld TEXT NOT NULL, scope TEXT NOT NULL, altered INTEGER NOT NULL, "
        "recorded INTEGER NOT NULL, watched INTEGER NOT NULL DEFAULT 1, last_round INTEGER, previous_round INTEGER, "
        "first_validated INTEGER, verdict TEXT, decision TEXT)",
        "CREATE INDEX indicator_domain ON indicator (domain)",
        # Feed first: a whole body is one stretch of the tree; an indicator's sightings are one seek a feed.
        "CREATE TABLE sighting (feed_id INTEGER NOT NULL, indicator_id INTEGER NOT NULL, threat TEXT NOT NULL, "
        "first INTEGER NOT NULL, last INTEGER NOT NULL, ended INTEGER, source_id TEXT, "
        "PRIMARY KEY (feed_id, indicator_id, threat)) WITHOUT ROWID",
        "CREATE TABLE observation (indicator_id INTEGER NOT NULL, round_at INTEGER NOT NULL, place INTEGER NOT NULL, "
        "kind TEXT NOT NULL, target TEXT NOT NULL, vantage TEXT NOT NULL, at INTEGER NOT NULL, outcome TEXT NOT NULL, "
        "detail TEXT NOT NULL, PRIMARY KEY (indicator_id, round_at, place)) WITHOUT ROWID",
        "CREATE TABLE domain (name TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE incident (id TEXT PRIMARY KEY, tld TEXT NOT NULL, value TEXT NOT NULL) WITHOUT ROWID",
        "CREATE INDEX incident_tld ON incident (tld)",
        "CREATE TABLE decision (indicator_id INTEGER NOT NULL, at INTEGER NOT NULL, decision TEXT NOT NULL)",
        "CREATE TABLE publication (tld TEXT NOT NULL, serial INTEGER NOT NULL, value TEXT NOT NULL, "
        "PRIMARY KEY (tld, serial)) WITHOUT ROWID",
    ),
)
"""Each migration's statements; a migration that was released never changes, a new one is appended."""


def migrate(connection: apsw.Connection) -> int:
    """Bring a database to the newest schema and return its version; StoreError for a newer or a foreign database."""
    connection.transaction_mode = "IMMEDIATE"  # two processes may open a new database at once
    with connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        if tables and "schema_version" not in tables:
            raise StoreError("the database belongs to another program; give [store] path a file of its own")
        connection.execute("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY)")
        current = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").get
        if current > len(MIGRATIONS):
            raise StoreError(
                f"the database has schema {current}, this software knows up to {len(MIGRATIONS)}; "
                "install the newer version, or restore the backup made before it"
            )
        for number, statements in enumerate(MIGRATIONS[current:], start=current + 1):
            for statement in statements:
                connection.execute(statement)
            connection.execute("INSERT INTO schema_version VALUES (?)", (number,))
    return len(MIGRATIONS)
