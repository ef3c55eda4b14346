"""The store for many hosts: PostgreSQL through psycopg, every method one transaction in a worker thread.

The same SQL as the embedded store's, over a small pool of connections. A server that is restarted, or fails over to
another (``servers``), breaks transactions that had not committed: each is made again on a new connection, for a while;
every write of the interface may be made twice, so that a commit whose answer was lost does no harm.
"""

from __future__ import annotations

import datetime as dt
import logging
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import msgspec
import psycopg
import trio
from psycopg import errors

from panopticond.model import Indicator
from panopticond.shared.errors import StoreError
from panopticond.store import hosts, listing, partitions, plan
from panopticond.store.interface import Watch
from panopticond.store.methods import SqlStore
from panopticond.store.rows import watch_of
from panopticond.store.schema import migrate
from panopticond.store.servers import Link, NoServerError, Servers
from panopticond.store.sql import Dialect, Row, Sql, first, numbered

T = TypeVar("T")
POOL = 8
"""Connections a process opens for its transactions; one more listens, see fleet."""
PATIENCE_SECONDS = 20.0
"""Real seconds a transaction is tried again for when the server does not answer."""
_AGAIN_SECONDS = 0.25
BROKEN = (
    errors.OperationalError,
    errors.InterfaceError,
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.ReadOnlySqlTransaction,  # the server is a standby now
    errors.IdleInTransactionSessionTimeout,
)
"""What another try may heal, on another connection."""
_log = logging.getLogger(__name__)


class PostgresSql:
    """``panopticond.store.sql.Sql`` on a connection that is in a transaction."""

    dialect: Dialect = "postgresql"

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def rows(self, statement: str, values: Sequence[Any] = ()) -> Sequence[Row]:
        """Every row of one statement."""
        cursor = self._connection.execute(numbered(statement), values)
        return cursor.fetchall() if cursor.description is not None else []

    def each(self, statement: str, many: Iterable[Sequence[Any]]) -> Iterator[Row]:
        """The rows of one statement run for each of many values, in their order and in one flight of messages."""
        cursor = self._connection.cursor()
        cursor.executemany(numbered(statement), many, returning=True)
        return chain.from_iterable(cursor.results()) if cursor.pgresult is not None else iter(())

    def change(self, statement: str, values: Sequence[Any] = ()) -> int:
        """Run a statement; how many rows it changed."""
        return max(0, self._connection.execute(numbered(statement), values).rowcount)

    def change_each(self, statement: str, many: Iterable[Sequence[Any]]) -> int:
        """Run a statement for each of many values; how many rows they changed together."""
        cursor = self._connection.cursor()
        cursor.executemany(numbered(statement), many)
        return max(0, cursor.rowcount)


class PostgresEngine:
    """``panopticond.store.methods.Engine`` over a pool of connections to the primary."""

    def __init__(self, servers: Servers, *, patience_seconds: float = PATIENCE_SECONDS, pool: int = POOL) -> None:
        self.servers = servers
        self._patience_seconds = patience_seconds
        self._idle: list[Link] = []
        self._limiter = trio.CapacityLimiter(pool)
        self.trouble = ""
        """Why the last try failed, empty when it went well."""

    async def close(self) -> None:
        """Close the idle connections; waits for those at work, even when cancelled."""
        with trio.CancelScope(shield=True):
            while self._limiter.borrowed_tokens:  # noqa: ASYNC110 - only at the very end, and for milliseconds
                await trio.sleep(0.01)
            for link in self._idle:
                await trio.to_thread.run_sync(link.close)
        self._idle.clear()
        self.servers.close()

    async def transact(self, work: Callable[[Sql], T], *, synced: bool = False) -> T:
        """Run ``work`` in a transaction; every commit is on disk unless the server is told otherwise (``synced``)."""
        del synced
        return await self._patiently(work, "BEGIN", abandon=False)

    async def read(self, work: Callable[[Sql], T]) -> T:
        """Run ``work`` on one unchanging view; cancelled, it is left to end by itself."""
        return await self._patiently(work, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", abandon=True)

    async def _patiently(self, work: Callable[[Sql], T], begin: str, *, abandon: bool) -> T:
        deadline = trio.current_time() + self._patience_seconds
        wait = _AGAIN_SECONDS
        while True:
            try:
                once = partial(self._once, work, begin)
                found = await trio.to_thread.run_sync(once, limiter=self._limiter, abandon_on_cancel=abandon)
            except (NoServerError, *BROKEN) as error:
                hopeless = isinstance(error, NoServerError) and error.hopeless
                sentence = str(error) if isinstance(error, NoServerError) else self.servers.said(error)
                if not self.trouble and not hopeless:
                    _log.warning("%s; trying again", sentence)
                self.trouble = sentence
                if hopeless or trio.current_time() + wait > deadline:
                    advice = "mend [store] url" if hopeless else "see [store] url, or wait until the server is back"
                    raise NoServerError(f"{sentence}; {advice}", hopeless=hopeless) from error
            else:
                self.trouble = ""
                return found
            await trio.sleep(wait)
            wait = min(2 * wait, 2.0)

    def _spare(self) -> Link | None:
        """An idle connection; several threads ask at once, and one of them gets it."""
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _once(self, work: Callable[[Sql], T], begin: str) -> T:
        """One try, in a worker thread: on a connection of the pool, or a new one."""
        link = self._spare() or self.servers.connect()
        try:
            link.connection.execute(begin.encode())
            found = work(PostgresSql(link.connection))
            link.connection.execute("COMMIT")
        except BROKEN:
            link.close()
            self.servers.doubt()
            while (other := self._spare()) is not None:  # what broke this one broke them all
                other.close()
            raise
        except psycopg.Error as error:
            link.close()
            raise StoreError(self.servers.said(error)) from error
        except (msgspec.DecodeError, ValueError) as error:
            link.close()
            raise StoreError(f"{self.servers.where}: what it holds cannot be read: {error}") from error
        except BaseException:
            link.close()
            raise
        self._idle.append(link)
        return found


class PostgresStore(SqlStore):
    """The store in a PostgreSQL database that many hosts share. See open_postgres."""

    def __init__(self, engine: PostgresEngine, secret: bytes) -> None:
        super().__init__(engine, secret)
        self.engine: PostgresEngine = engine
        self.planner: Callable[[Watch, dt.datetime], tuple[float, float]] | None = None
        """When an indicator is first due, and its deadline: what the window says of a new one."""

    async def plan_missing(self, now: dt.datetime) -> int:
        """Plan some of what is watched and in no plan; returns how many, 0 once all are."""

        def work(sql: Sql) -> int:
            watches = [watch_of(row) for row in plan.unplanned(sql, 5000)]
            if self.planner is not None:
                plan.add(sql, [(watch.id, *self.planner(watch, now)) for watch in watches])
            return len(watches)

        return 0 if self.planner is None else await self.engine.transact(work)

    async def cut_days(self, now: dt.datetime) -> None:
        """Make room for the observations of the days to come."""
        await self.engine.transact(lambda sql: partitions.cut(sql, now))

    async def thin(self, before: dt.datetime) -> int:
        """As every store does; days that are over altogether go first, each in one piece."""
        dropped = 0
        for day in await self.engine.read(lambda sql: partitions.over(sql, before)):
            dropped += await self.engine.transact(partial(partitions.drop, day=day, before=before))
        return dropped + await super().thin(before)

    async def secret(self, name: str) -> bytes:
        """32 bytes that all hosts share by this name, drawn on first use."""
        fresh = secrets.token_bytes(32)
        return await self.engine.transact(lambda sql: hosts.shared_secret(sql, name, fresh))

    async def record_listing(self, feed: str, seen: dt.datetime, batch: Sequence[Indicator]) -> list[Watch]:
        """As every store does; what is new is planned for all hosts in the same transaction."""

        def work(sql: Sql) -> list[Watch]:
            watches = listing.record_listing(sql, self._secret, feed, seen, batch)
            if self.planner is not None:
                plan.add(sql, [(watch.id, *self.planner(watch, seen)) for watch in watches])
            return watches

        return await self.engine.transact(work)


async def open_postgres(
    url: str,
    password_file: str | None = None,
    *,
    patience_seconds: float = PATIENCE_SECONDS,
    waiting: Callable[[str], None] | None = None,
) -> PostgresStore:
    """Open the database at ``url`` and bring its tables up to date; StoreError when it cannot be used.

    With ``waiting`` a server that is away is waited for as long as it takes, and ``waiting`` told why whenever patience
    has run out; what no waiting heals is raised at once all the same.
    """
    engine = PostgresEngine(Servers(url, password_file), patience_seconds=patience_seconds)
    try:
        while True:
            try:
                await engine.transact(migrate)
                break
            except NoServerError as error:
                if waiting is None or error.hopeless:
                    raise
                waiting(engine.trouble)
        secret: bytes = await engine.read(lambda sql: first(sql, "SELECT secret FROM identity"))
    except BaseException:
        await engine.close()
        raise
    return PostgresStore(engine, bytes(secret))
