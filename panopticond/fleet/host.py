"""This host among the hosts on one database: it beats, hears the others, and does alone what only one may do.

Beside the flow, with a PostgreSQL store only. A feed is followed, and a TLD published, by whoever holds its advisory
lock: the lock ends with the session that holds it, the work is cancelled then, and the next host takes over. A session
that breaks is opened anew; meanwhile every lock counts as lost.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from panopticond.shared.clock import Clock
from panopticond.shared.errors import StoreError
from panopticond.store import hosts
from panopticond.store.hosts import HostState
from panopticond.store.interface import AwayError

if TYPE_CHECKING:
    from panopticond.fleet.leases import Leases
    from panopticond.store.postgres import PostgresStore
    from panopticond.store.session import Session

BEAT_SECONDS = 2.0
SILENT_SECONDS = 15.0
"""A beat that has no answer for so long will have none: the others count this host as gone by then."""
LATE_SECONDS = 5.0
"""A beat late by so much is told."""
_AGAIN_SECONDS = 1.0
_SWEEP_BEATS = 300
_END_SECONDS = 3.0
_MISSING = {
    "collect": "no living host collects: feeds are not followed",
    "probe": "no living host probes: no check is made",
    "publish": "no living host publishes: no snapshot is made",
}
log = logging.getLogger(__name__)


class Fleet:
    """One host, from :meth:`keep`'s start to its end; beats and waits in it are real seconds."""

    def __init__(
        self,
        store: PostgresStore,
        clock: Clock,
        roles: Sequence[str],
        leases: Leases | None,
        *,
        late_seconds: float = LATE_SECONDS,
        silent_seconds: float = SILENT_SECONDS,
    ) -> None:
        """``leases`` on a host that probes; a beat late by ``late_seconds`` is told, by ``silent_seconds`` given up."""
        self._store, self._clock, self.roles, self.leases = store, clock, tuple(roles), leases
        self._late_s, self._silent_s = late_seconds, silent_seconds
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.number = 0
        self.hosts: list[HostState] = []
        """Every living host, this one included, as of the last beat."""
        self.holding: set[str] = set()
        """What this host alone does just now."""
        self._wanted: dict[str, _Turn] = {}
        self._day: dt.date | None = None
        self._days_wanted = trio.Event()
        self._trouble = ""
        """Why there is no session, empty while there is one that beats."""
        self._heard: float | None = None
        """When a beat was last answered, or its session opened; None without a session."""

    async def keep(
        self,
        ring: Callable[[], None],
        tell: Callable[[str, str], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Enter, beat, listen and hold locks until cancelled; started once this host has a number."""
        self.number = await self._store.engine.transact(partial(hosts.enter, name=self.name, roles=self.roles))
        try:
            async with trio.open_nursery() as nursery:
                if self.leases is not None:
                    await self._plan_what_is_not()
                    await nursery.start(
                        partial(self.leases.keep, self.number, ring, partial(tell, "leases")), name="leases"
                    )
                nursery.start_soon(self._keep_days, name="days")
                task_status.started()
                try:
                    await self._sessions()
                finally:  # the end waits no longer than this for a server that does not answer
                    self._store.engine.servers.give_up_after(_END_SECONDS)
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 2.0):
                await self._leave()

    async def alone(
        self,
        name: str,
        task: Callable[[], Awaitable[None]],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run ``task`` whenever this host, and no other, may do what ``name`` says; until cancelled."""
        turn = self._wanted[name] = _Turn()
        task_status.started()
        while True:
            await turn.begun.wait()
            log.info("this host alone now does: %s", name)
            with turn.renewed():
                try:
                    await task()
                except AwayError as error:
                    log.warning("%s: %s", name, error)
                    await trio.sleep(_AGAIN_SECONDS)
                    continue
                return

    def figures(self) -> Mapping[str, float]:
        """What the other hosts may know of this one."""
        if self.leases is None:
            return {}
        coverage = self.leases.coverage(self._clock.now())
        return {
            "due": coverage.due,
            "late": coverage.late,
            "unchecked": coverage.unchecked,
            "held": self.leases.held,
            "taken": self.leases.taken,
            "recorded": self.leases.recorded,
            "lost": self.leases.lost,
            "waiting": self.leases.waiting,
        }

    def table(self) -> dict[str, Any]:
        """For the status socket: who lives, who does what."""
        return {
            "host": self.name,
            "roles": list(self.roles),
            "alone": sorted(self.holding),
            "database": self._told() or "answers",
            "leases": dict(self.figures()) if self.leases is not None else None,
            "hosts": [
                {"name": one.name, "roles": list(one.roles), **{name: int(n) for name, n in one.figures.items()}}
                for one in self.hosts
            ],
        }

    def wrong(self) -> list[str]:
        """What an operator should know first."""
        found = []
        if told := self._told():
            found.append(f"{told}; nothing is checked here until it is back{self._waiting()}")
        if self.leases is not None and self.leases.lost:
            lost = f"{self.leases.lost} results of this host were dropped"
            found.append(f"{lost}: another host had the check by then; see [store] lease")
        if self.hosts and not self.away():
            living = {role for one in self.hosts for role in one.roles}
            found += [sentence for role, sentence in _MISSING.items() if role not in living]
        return found

    def away(self) -> bool:
        """Whether the database did not answer when it was last asked."""
        return bool(self._told())

    def _told(self) -> str:
        """What is wrong with the database, empty while it answers."""
        engine = self._store.engine
        late = 0.0 if self._heard is None else trio.current_time() - self._heard - BEAT_SECONDS
        silence = f"{engine.servers.where}: no answer for {late:.0f} s" if late >= self._late_s else ""
        return engine.trouble or self._trouble or silence

    def _waiting(self) -> str:
        waiting = 0 if self.leases is None else self.leases.waiting
        return f", {waiting} finished rounds wait to be recorded" if waiting else ""

    async def _plan_what_is_not(self) -> None:
        """Plan what the store watches and no plan has: after a move from another store."""
        while True:
            found = await self._store.plan_missing(self._clock.now())
            if not found:
                return
            log.info("planned %d indicators that no host had planned", found)

    async def _keep_days(self) -> None:
        """Room for the observations of the days to come; a server that took over may lack what was cut last."""
        while True:
            await self._days_wanted.wait()
            self._days_wanted = trio.Event()
            try:
                await self._store.cut_days(self._clock.now())
            except StoreError as error:
                log.warning("no room is made for the days to come: %s", error)

    async def _sessions(self) -> None:
        while True:
            try:
                await self._one_session()
            except StoreError as error:
                if not self._trouble:
                    log.warning("what this host did alone is let go: %s", error)
                self._trouble = str(error)
            finally:
                self._heard = None
                self._let_go()
            await trio.sleep(_AGAIN_SECONDS)

    async def _one_session(self) -> None:
        from panopticond.store.session import Session  # noqa: PLC0415 - psycopg is an optional extra

        async with await Session.open(self._store.engine.servers, self._silent_s) as session:
            self._day, self._heard = None, trio.current_time()
            beats, due = 0, trio.current_time()
            while True:
                if trio.current_time() >= due:
                    due = trio.current_time() + BEAT_SECONDS
                    beats += 1
                    await self._beat(session)
                    if self.number not in {one.id for one in self.hosts}:  # away for so long that we were forgotten
                        self.number = await session.turn(partial(hosts.enter, name=self.name, roles=self.roles))
                    if beats % _SWEEP_BEATS == 0:
                        await session.turn(hosts.sweep)
                    if self._clock.now().date() != self._day:
                        self._day = self._clock.now().date()
                        self._days_wanted.set()
                    await self._take_turns(session)
                if await session.told(max(0.0, due - trio.current_time())) and self.leases is not None:
                    self.leases.wake()

    async def _beat(self, session: Session) -> None:
        self.hosts = await session.turn(partial(hosts.beat, host=self.number, figures=self.figures()))
        self._heard = trio.current_time()
        self._trouble = ""
        if self._store.engine.trouble:  # whoever met it may have given up: on a quiet host nobody else asks for hours
            self._days_wanted.set()

    async def _take_turns(self, session: Session) -> None:
        for name, turn in list(self._wanted.items()):
            if name not in self.holding and await session.hold(name):
                self.holding.add(name)
                turn.begun.set()

    def _let_go(self) -> None:
        for name in self.holding:
            self._wanted[name].begun = trio.Event()
            self._wanted[name].scope.cancel()
        self.holding.clear()

    async def _leave(self) -> None:
        try:
            await self._store.engine.transact(partial(hosts.leave, host=self.number))
        except StoreError as error:
            log.info("this host's line ends by itself: %s", error)


class _Turn:
    """One thing only one host may do: whether it is this host's turn, and what ends it."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.scope = trio.CancelScope()

    def renewed(self) -> trio.CancelScope:
        """The scope of one more time; ``begun`` stays set while it is still this host's turn."""
        self.scope = trio.CancelScope()
        return self.scope
