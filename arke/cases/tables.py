"""The ledger's tables, by version: an older ledger is backed up and brought forward, a newer one is refused.

The first thing an opened ledger meets. The outbox keeps its own table in the same file.
"""

from __future__ import annotations

import logging
from pathlib import Path

import apsw

from arke.mail import rows
from panopticond.shared.backup import pack_beside
from panopticond.shared.errors import StoreError

log = logging.getLogger(__name__)

SCHEMA = """
CREATE TABLE IF NOT EXISTS accepted (
  tld TEXT PRIMARY KEY, serial INTEGER NOT NULL, sha256 TEXT NOT NULL, at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS cases (
  id TEXT PRIMARY KEY, opening TEXT NOT NULL, rung INTEGER NOT NULL, rung_at TEXT, said TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS notices (
  message_id TEXT NOT NULL, case_id TEXT NOT NULL, domain TEXT NOT NULL, template TEXT NOT NULL, rung INTEGER NOT NULL,
  role TEXT NOT NULL, party TEXT NOT NULL, opening TEXT NOT NULL, said TEXT NOT NULL, intent_at TEXT NOT NULL,
  PRIMARY KEY (message_id, case_id)) STRICT;
CREATE INDEX IF NOT EXISTS notices_case ON notices (case_id);
CREATE INDEX IF NOT EXISTS notices_time ON notices (intent_at);
CREATE TABLE IF NOT EXISTS queue (
  id INTEGER PRIMARY KEY AUTOINCREMENT, case_id TEXT NOT NULL, opening TEXT NOT NULL, reason TEXT NOT NULL,
  state TEXT NOT NULL, at TEXT NOT NULL, decided_at TEXT, UNIQUE (case_id, opening, reason)) STRICT;
CREATE TABLE IF NOT EXISTS suppressed (party TEXT PRIMARY KEY, at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS fixes (
  case_id TEXT NOT NULL, opening TEXT NOT NULL, gone TEXT NOT NULL, PRIMARY KEY (case_id, opening)) STRICT;
CREATE TABLE IF NOT EXISTS mailed (kind TEXT NOT NULL, period TEXT NOT NULL, PRIMARY KEY (kind, period)) STRICT;
CREATE TABLE IF NOT EXISTS sizes (tld TEXT PRIMARY KEY, serial INTEGER NOT NULL, size INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS outcomes (
  case_id TEXT PRIMARY KEY, serial INTEGER NOT NULL, what TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS pins (tld TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (tld, key)) STRICT;
CREATE TABLE IF NOT EXISTS registrations (name TEXT PRIMARY KEY, said TEXT NOT NULL, at TEXT NOT NULL) STRICT;
"""


SCHEMA_VERSION = 1
"""``PRAGMA user_version`` of a ledger as this software writes it; 0 is a new one, or one of before versions counted."""


def refuse_newer(connection: apsw.Connection) -> int:
    """The schema version of a ledger; StoreError for one that newer software wrote."""
    version = int(connection.pragma("user_version"))
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the ledger has schema {version}, this software knows up to {SCHEMA_VERSION}; "
            "install the newer version, or restore the backup made before it"
        )
    return version


def migrate(connection: apsw.Connection, ledger: Path, key: Path) -> None:
    """Bring a ledger to SCHEMA_VERSION, all in one transaction, after a backup where there is something to lose."""
    if refuse_newer(connection) == SCHEMA_VERSION:
        return
    if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'notices'").fetchone() is not None:
        kept = pack_beside(ledger, [key], f"before-schema-{SCHEMA_VERSION}")
        log.warning("%s: goes to schema %d; as it was it stands in %s", ledger, SCHEMA_VERSION, kept)
    connection.execute("BEGIN IMMEDIATE")
    try:
        if refuse_newer(connection) < SCHEMA_VERSION:  # nobody else was faster
            for schema in (SCHEMA, rows.SCHEMA):
                connection.execute(schema).fetchall()
            rows.migrate(connection)
            connection.pragma("user_version", SCHEMA_VERSION)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
