"""One connection to PostgreSQL that stays: it listens, beats, and holds the advisory locks that end with it.

Beside the store's pool, for ``fleet`` alone. Statements run one at a time in a worker thread; what other hosts tell is
waited for on the socket itself, by trio. A session that breaks is closed and another one opened: its locks are gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, TypeVar

import psycopg
import trio
from psycopg import errors

from panopticond.store.interface import AwayError
from panopticond.store.plan import WAKE
from panopticond.store.postgres import PostgresSql, connect, where
from panopticond.store.sql import Sql, first

T = TypeVar("T")


class Session:
    """See the module; an async context manager that closes the connection."""

    def __init__(self, url: str, connection: psycopg.Connection[Any]) -> None:
        self._url, self._connection = url, connection
        self._notices = 0
        connection.add_notify_handler(self._noticed)

    @classmethod
    async def open(cls, url: str, password_file: str | None) -> Self:
        """A session that listens; AwayError when the server does not answer."""
        try:
            connection = await trio.to_thread.run_sync(connect, url, password_file)
        except psycopg.Error as error:
            raise AwayError(f"{where(url)}: {' '.join(str(error).split())}") from error
        session = cls(url, connection)
        try:
            await session.turn(lambda sql: sql.rows(f"LISTEN {WAKE}"))
        except BaseException:
            connection.close()
            raise
        return session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._connection.close)

    async def turn(self, work: Callable[[Sql], T]) -> T:
        """Run ``work``, each statement a transaction of its own; AwayError when the connection broke."""
        try:
            return await trio.to_thread.run_sync(work, PostgresSql(self._connection))
        except (errors.OperationalError, errors.InterfaceError) as error:
            raise AwayError(f"{where(self._url)}: {' '.join(str(error).split())}") from error

    async def told(self, seconds: float) -> bool:
        """Wait for a word of another host, ``seconds`` (real) at most; True when one came."""
        with trio.move_on_after(seconds):
            await trio.lowlevel.wait_readable(self._connection.fileno())
        before = self._notices
        await self.turn(lambda sql: sql.rows("SELECT 1"))  # takes in what lies in the socket, an end included
        return self._notices > before

    async def hold(self, name: str) -> bool:
        """Take the advisory lock of a name if nobody has it; held until this session ends."""
        statement = "SELECT pg_try_advisory_lock(hashtextextended(?, 0))"
        return bool(await self.turn(lambda sql: first(sql, statement, (f"panopticon {name}",))))

    def _noticed(self, _: psycopg.Notify) -> None:
        self._notices += 1
