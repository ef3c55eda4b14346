"""One connection to PostgreSQL that stays: it listens, beats, and holds the advisory locks that end with it.

Beside the store's pool, for ``fleet`` alone. Statements run one at a time in a worker thread; what other hosts tell is
waited for on the socket itself, by trio. A session that breaks, or has no answer for too long, is closed and another
one opened: its locks are gone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self, TypeVar

import psycopg
import trio

from panopticond.shared.errors import StoreError
from panopticond.store.interface import AwayError
from panopticond.store.plan import WAKE
from panopticond.store.postgres import BROKEN, PostgresSql
from panopticond.store.servers import Link, Servers
from panopticond.store.sql import Sql, first

T = TypeVar("T")

SILENCE = "it takes connections and does not answer; it hangs, or its synchronous standby is away"


class Session:
    """See the module; an async context manager that closes the connection."""

    def __init__(self, servers: Servers, link: Link, silent_seconds: float) -> None:
        self._servers, self._link, self._silent_s = servers, link, silent_seconds
        self._notices = 0
        link.connection.add_notify_handler(self._noticed)

    @classmethod
    async def open(cls, servers: Servers, silent_seconds: float) -> Self:
        """A session that listens and is cut when a statement has no answer for so long; AwayError without a server."""
        session = cls(servers, await trio.to_thread.run_sync(servers.connect), silent_seconds)
        try:
            await session.turn(lambda sql: sql.rows(f"LISTEN {WAKE}"))
        except BaseException:
            session._link.close()
            raise
        return session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._link.close)

    async def turn(self, work: Callable[[Sql], T]) -> T:
        """Run ``work``, each statement a transaction of its own; cancelled, it is cut and not waited for.

        AwayError when the connection broke or nothing was answered; StoreError when it was refused.
        """
        over = trio.Event()

        def caught() -> T | psycopg.Error:
            try:
                return work(PostgresSql(self._link.connection))
            except psycopg.Error as error:
                return error

        async def cut_when_silent() -> None:
            try:
                with trio.move_on_after(self._silent_s):
                    await over.wait()
            finally:
                if not over.is_set():
                    self._link.cut()

        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cut_when_silent, name="silence")
            found = await trio.to_thread.run_sync(caught)
            over.set()
        if not isinstance(found, psycopg.Error):
            return found
        self._servers.doubt()
        if trio.current_time() - began >= self._silent_s:
            raise AwayError(f"{self._servers.where}: {SILENCE}") from found
        sentence = self._servers.said(found)
        raise (AwayError(sentence) if isinstance(found, BROKEN) else StoreError(sentence)) from found

    async def told(self, seconds: float) -> bool:
        """Wait for a word of another host, ``seconds`` (real) at most; True when one came."""
        with trio.move_on_after(seconds):
            await trio.lowlevel.wait_readable(self._link.connection.fileno())
        before = self._notices
        await self.turn(lambda sql: sql.rows("SELECT 1"))  # takes in what lies in the socket, an end included
        return self._notices > before

    async def hold(self, name: str) -> bool:
        """Take the advisory lock of a name if nobody has it; held until this session ends."""
        statement = "SELECT pg_try_advisory_lock(hashtextextended(?, 0))"
        return bool(await self.turn(lambda sql: first(sql, statement, (f"panopticon {name}",))))

    def _noticed(self, _: psycopg.Notify) -> None:
        self._notices += 1
