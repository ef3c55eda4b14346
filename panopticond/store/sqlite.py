"""The embedded store: SQLite in WAL mode through apsw, one connection, every method one transaction in a worker thread.

Between collection and validation, and under publication. One thread at a time holds the connection, so methods never
meet half a change; commands of another process (``explain``, ``publish``) use the same file and wait their turn.
``synchronous=NORMAL`` keeps every commit through ``kill -9``; publications and an operator's decisions, which nobody
could work out again, are also synced against loss of power.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import apsw
import msgspec
import trio

from panopticond.shared.backup import pack_beside
from panopticond.shared.errors import StoreError
from panopticond.store.interface import SURROGATES
from panopticond.store.methods import SqlStore
from panopticond.store.schema import MIGRATIONS, migrate, newer
from panopticond.store.sql import Dialect, Row, Sql, first

T = TypeVar("T")
log = logging.getLogger(__name__)
_BUSY_MILLISECONDS = 15_000


async def open_store(path: Path) -> SqliteStore:
    """Open or make the database at ``path``; StoreError when it cannot be used (newer, foreign, damaged, no right)."""
    return await trio.to_thread.run_sync(_open, path)


def _open(path: Path) -> SqliteStore:
    try:
        connection = apsw.Connection(str(path))
        try:
            connection.set_busy_timeout(_BUSY_MILLISECONDS)
            connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
            connection.pragma("journal_mode", "wal")
            connection.pragma("synchronous", "NORMAL")
            connection.pragma("cache_size", -32 * 1024)
            connection.pragma("wal_autocheckpoint", 4000)
            engine = SqliteEngine(connection, path)
            _keep_what_was(connection, path)
            engine.within("BEGIN IMMEDIATE", migrate)
            secret = first(SqliteSql(connection), "SELECT secret FROM identity")
        except BaseException:
            connection.close()
            raise
    except apsw.Error as error:
        raise StoreError(f"{path}: the database cannot be opened: {error}; check [store] path") from error
    return SqliteStore(engine, secret)


def schema_of(connection: apsw.Connection) -> int:
    """The schema a database has: 0 for a new one; StoreError for one that newer software or another program wrote."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if not tables:
        return 0
    if "schema_version" not in tables:
        raise StoreError("the database belongs to another program; give [store] one of its own")
    version = connection.execute("SELECT coalesce(max(version), 0) FROM schema_version").get
    if not isinstance(version, int):
        raise StoreError("the database belongs to another program; give [store] one of its own")
    if version > len(MIGRATIONS):
        raise StoreError(newer(version))
    return version


def _keep_what_was(connection: apsw.Connection, path: Path) -> None:
    """Before an older database is migrated, a backup beside it."""
    if 0 < schema_of(connection) < len(MIGRATIONS):
        kept = pack_beside(path, [path.with_name(SURROGATES)], f"before-schema-{len(MIGRATIONS)}")
        log.warning("%s: the store goes to schema %d; as it was it stands in %s", path, len(MIGRATIONS), kept)


class SqliteSql:
    """``panopticond.store.sql.Sql`` on a connection that is in a transaction."""

    dialect: Dialect = "sqlite"

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def rows(self, statement: str, values: Sequence[Any] = ()) -> Sequence[Row]:
        """Every row of one statement."""
        return self._connection.execute(statement, values).fetchall()

    def each(self, statement: str, many: Iterable[Sequence[Any]]) -> Iterator[Row]:
        """The rows of one statement run for each of many values, in their order."""
        return self._connection.executemany(statement, many)

    def change(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Run a statement; how many rows it changed."""
        self._connection.execute(statement, values)
        return self._connection.changes()

    def change_each(self, statement: str, many: Iterable[Sequence[Any]]) -> int:
        """Run a statement for each of many values; how many rows they changed together."""
        before = self._connection.total_changes()
        self._connection.executemany(statement, many)
        return self._connection.total_changes() - before


class SqliteEngine:
    """``panopticond.store.methods.Engine`` on one connection and one thread at a time."""

    def __init__(self, connection: apsw.Connection, path: Path) -> None:
        self.connection, self.path = connection, path
        self.limiter = trio.CapacityLimiter(1)

    async def close(self) -> None:
        """Flush the log into the file and close; waits for the running transaction, even when cancelled."""
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self.connection.close, limiter=self.limiter)

    async def transact(self, work: Callable[[Sql], T], *, synced: bool = False) -> T:
        """Run ``work`` in a writing transaction in the worker thread; commits whole or not at all."""
        return await trio.to_thread.run_sync(self._transact, work, synced, limiter=self.limiter)

    def _transact(self, work: Callable[[Sql], T], synced: bool) -> T:
        try:
            if synced:
                self.connection.pragma("synchronous", "FULL")
            try:
                return self.within("BEGIN IMMEDIATE", work)
            finally:
                if synced:
                    self.connection.pragma("synchronous", "NORMAL")
        except apsw.Error as error:
            raise StoreError(f"{self.path}: the database cannot be written: {error}") from error

    def within(self, begin: str, work: Callable[[Sql], T]) -> T:
        """Run ``work`` in a transaction opened by ``begin``, in the calling thread."""
        self.connection.execute(begin)
        try:
            result = work(SqliteSql(self.connection))
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        return result

    async def read(self, work: Callable[[Sql], T]) -> T:
        """Run ``work`` on one unchanging view of the database in the worker thread."""
        return await trio.to_thread.run_sync(self._read, work, limiter=self.limiter)

    def _read(self, work: Callable[[Sql], T]) -> T:
        try:
            return self.within("BEGIN DEFERRED", work)
        except (apsw.Error, msgspec.DecodeError, ValueError) as error:
            raise StoreError(f"{self.path}: the database cannot be read: {error}") from error


class SqliteStore(SqlStore):
    """The store in one file, which can be copied while it is used. See open_store."""

    def __init__(self, engine: SqliteEngine, secret: bytes) -> None:
        super().__init__(engine, secret)
        self._sqlite = engine

    async def backup(self, target: Path) -> None:
        """A copy of the whole database as of now in a new file; StoreError when ``target`` exists."""
        if await trio.Path(target).exists():
            raise StoreError(f"{target}: exists already; a backup never overwrites a file")
        await trio.to_thread.run_sync(self._backup_sync, target, limiter=self._sqlite.limiter)

    def _backup_sync(self, target: Path) -> None:
        try:
            self._sqlite.connection.execute("VACUUM INTO ?", (str(target),))
        except apsw.Error as error:
            raise StoreError(f"{target}: the backup failed: {error}") from error
