"""Checks on lease: a window of what this host has taken out of the plan that all hosts share.

Between the plan in PostgreSQL and ``schedule``, which uses it as it uses the embedded store's window. One task takes
due checks, as many as this host has room for, and prolongs their leases; another writes finished rounds, several in one
transaction, each under its lease: a result whose lease went to another host is dropped and counted. While the
database is away finished rounds wait here, one for each slot of the schedule at most, and no new round begins.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import trio

from panopticond.model import DomainRecord, Round, Scope, Verdict
from panopticond.schedule import dark_day
from panopticond.shared.clock import Clock
from panopticond.shared.errors import PanopticonError, StoreError
from panopticond.status.coverage import Coverage
from panopticond.store import plan
from panopticond.store.interface import AwayError, LeaseLostError, Standing, Watch
from panopticond.store.plan import Finished, Lease
from panopticond.window import Window

if TYPE_CHECKING:
    from panopticond.store.postgres import PostgresStore

POLL_SECONDS = 2.0
"""Real seconds after which the plan is looked at again when nobody rang."""
LOOK_SECONDS = 15.0
"""Real seconds between two counts of the whole plan, for status."""
_TOGETHER = 64
"""Finished rounds written in one transaction at most."""
_GATHER_SECONDS = 0.02
_AGAIN_SECONDS = 1.0
_OVERDUE_SHOWN = 10_000
log = logging.getLogger(__name__)


class Leases(Window):
    """The window of one host among many; :meth:`keep` runs beside the schedule and feeds it."""

    def __init__(
        self,
        window_seconds: float,
        checks_per_window: int,
        first_check_within_seconds: float,
        *,
        store: PostgresStore,
        clock: Clock,
        room: int,
        lease_seconds: float,
    ) -> None:
        """``room`` is how many checks this host has on lease at once, ``lease_seconds`` (real) how long unrenewed."""
        super().__init__(window_seconds, checks_per_window, first_check_within_seconds)
        self._store, self._clock, self._room, self._lease_s = store, clock, room, lease_seconds
        self._held: dict[int, Lease] = {}
        self._over: list[Lease] = []
        """To be planned no more."""
        self._back: list[tuple[Lease, float | None]] = []
        """Not made: whoever is free may have them, from the time beside them on."""
        self._written: list[_Result] = []
        self._work, self._wake = trio.Event(), trio.Event()
        self._turn = trio.Lock()  # renewing, taking and settling touch the same rows
        self._total, self._late = 0, ()  # type: tuple[int, Sequence[tuple[int, float]]]
        self.host = 0
        self.lost = 0
        """Results dropped because their lease had gone to another host."""
        self.taken = self.recorded = 0

    # as a window
    def __len__(self) -> int:
        """How many indicators all hosts watch, as of the last look."""
        return self._total

    def add(self, watch: Watch, now: dt.datetime) -> None:
        """Nothing: the store plans what is new as it records it."""

    def done(self, indicator_id: int, at: dt.datetime, *, unchecked: str = "", even: dt.datetime | None = None) -> None:
        """Count a round that was recorded; its next check is in the plan already."""
        del even
        flight = self._flights.pop(indicator_id, None)
        if flight is not None:
            self._tally.made(indicator_id, flight[2], at.timestamp(), unchecked)
        self._let_go(indicator_id)

    def postpone(self, indicator_id: int, until: dt.datetime) -> None:
        """A check came to nothing: any host may make it at ``until``."""
        self._flights.pop(indicator_id, None)
        lease = self._let_go(indicator_id)
        if lease is not None:
            self._back.append((lease, until.timestamp()))

    def forget(self, indicator_id: int) -> None:
        """Plan it no more, on any host; nothing when its lease is over."""
        super().forget(indicator_id)
        lease = self._let_go(indicator_id)
        if lease is not None:
            self._over.append(lease)

    def coverage(self, now: dt.datetime) -> Coverage:
        """How this host's checks went, and whose checks are overdue on no host's account."""
        return self._tally.coverage(now.timestamp(), self._total, self._late)

    def _let_go(self, indicator_id: int) -> Lease | None:
        self._watched.discard(indicator_id)
        self._behind.pop(indicator_id, None)
        self._wake.set()
        return self._held.pop(indicator_id, None)

    @property
    def held(self) -> int:
        """Checks on lease now."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """Finished rounds that are not written yet."""
        return len(self._written)

    # as tasks
    def wake(self) -> None:
        """Something new may be due."""
        self._wake.set()

    async def keep(
        self,
        host: int,
        ring: Callable[[], None],
        tell: Callable[[str], None],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Take, prolong and write until cancelled, then give back what is left; ``tell`` hears of the database."""
        self.host = host
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._take_for_ever, ring, tell, name="take leases")
                nursery.start_soon(self._renew_for_ever, name="renew leases")
                nursery.start_soon(self._write_for_ever, tell, name="write rounds")
                task_status.started()
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 2.0):
                await self._leave()

    async def _take_for_ever(self, ring: Callable[[], None], tell: Callable[[str], None]) -> None:
        look = -LOOK_SECONDS
        while True:
            self._wake = trio.Event()
            wait = POLL_SECONDS
            try:
                await self._hand_in()
                if trio.current_time() - look >= LOOK_SECONDS:
                    look = trio.current_time()
                    await self._look()
                following = await self._take(ring)
            except StoreError as error:
                tell(str(error))
                wait = _AGAIN_SECONDS
            else:
                tell("")
                if following is not None:
                    policy = following - self._clock.now().timestamp()
                    wait = min(max(policy / self._clock.scale, _GATHER_SECONDS), POLL_SECONDS)
            await trio.sleep(_GATHER_SECONDS)
            with trio.move_on_after(wait):
                await self._wake.wait()

    async def _take(self, ring: Callable[[], None]) -> float | None:
        """Fill the room there is; when the next check is due that nobody has, None while there is no room."""
        room = self._room - len(self._held)
        if room <= 0:
            return None
        now = self._clock.now()
        async with self._turn:
            work = partial(plan.take, host=self.host, now=now.timestamp(), limit=room, lease_seconds=self._lease_s)
            taken = await self._store.engine.transact(work)
            for lease in taken.leases:
                again = lease.indicator_id in self._held  # our own old lease ran out and came back: it goes on
                self._held[lease.indicator_id] = lease
                if not again:
                    self.hold(lease.indicator_id, lease.due, lease.deadline, now)
            self._renew_written(taken.leases)
        self.taken += len(taken.leases)
        if taken.leases:
            ring()
        return taken.next_due

    def _renew_written(self, leases: Sequence[Lease]) -> None:
        """What waits to be written counts under a lease that ran out and came back, its plan as it was."""
        ours = {(lease.indicator_id, lease.due): lease for lease in leases}
        for result in self._written:
            old = result.finished.lease
            lease = ours.get((old.indicator_id, old.due), old)
            result.finished = msgspec.structs.replace(result.finished, lease=lease)

    async def _look(self) -> None:
        work = partial(plan.overdue, now=self._clock.now().timestamp(), limit=_OVERDUE_SHOWN)
        self._total, self._late = await self._store.engine.read(work)

    async def _hand_in(self) -> None:
        """Tell the plan what was given up here."""
        over, back = self._over[:], self._back[:]
        if over:
            await self._store.engine.transact(partial(plan.drop, leases=over))
        if back:
            await self._store.engine.transact(partial(plan.give_back, leases=back))
        del self._over[: len(over)], self._back[: len(back)]

    async def _renew_for_ever(self) -> None:
        while True:
            await trio.sleep(self._lease_s / 3)
            leases = list(self._held.values())
            if not leases:
                continue
            try:
                async with self._turn:
                    work = partial(plan.renew, host=self.host, leases=leases, lease_seconds=self._lease_s)
                    gone = await self._store.engine.transact(work)
            except StoreError as error:
                log.warning("%d leases are not renewed: %s", len(leases), error)
                continue
            for number in gone:
                lease = self._held.get(number)
                if lease in leases and number not in self._flights:  # one in flight may still be in time
                    super().forget(number)
                    self._let_go(number)

    async def write(
        self, indicator_id: int, round_: Round, verdict: Verdict, began: dt.datetime | None, domain: DomainRecord | None
    ) -> None:
        """Record a finished round under its lease; LeaseLostError when another host has it by now."""
        lease = self._held.get(indicator_id)
        if lease is None:
            self.lost += 1
            raise LeaseLostError(f"indicator {indicator_id} is on lease to another host; its round here is dropped")
        due, deadline = self.next_plan(indicator_id, round_.at, dark_day(verdict))
        result = _Result(Finished(lease, round_, verdict, began, due, deadline, domain))
        self._written.append(result)
        self._work.set()
        try:
            await result.settled.wait()
        finally:
            if result in self._written:
                self._written.remove(result)
        if result.refused is not None:
            if isinstance(result.refused, LeaseLostError) and (again := self._held.pop(indicator_id, None)) is not None:
                self._back.append((again, None))  # ours anew, maybe: what is forgotten here must stay in the plan
            raise result.refused

    async def _write_for_ever(self, tell: Callable[[str], None]) -> None:
        while True:
            await self._work.wait()
            self._work = trio.Event()
            while batch := [result for result in self._written if not result.settled.is_set()][:_TOGETHER]:
                try:
                    await self._write_batch(batch)
                except AwayError as error:
                    tell(f"{len(self._written)} finished rounds wait to be recorded: {error}")
                    await trio.sleep(_AGAIN_SECONDS)

    async def _write_batch(self, batch: Sequence[_Result]) -> None:
        """One transaction; should it be refused for one round's sake, each round has one of its own."""
        try:
            async with self._turn:
                finished = [result.finished for result in batch]
                kept = await self._store.engine.transact(partial(plan.record, finished=finished))
        except AwayError:
            raise
        except StoreError as error:
            if len(batch) > 1:
                for result in batch:
                    await self._write_batch([result])
            else:
                batch[0].settle(error)
            return
        for result in batch:
            number = result.finished.lease.indicator_id
            if number in kept:
                self.recorded += 1
                result.settle(None)
            else:
                self.lost += 1
                log.warning("the lease of indicator %d went to another host; its round here is dropped", number)
                result.settle(LeaseLostError(f"the lease of indicator {number} went to another host"))

    async def _leave(self) -> None:
        """Whoever stays may have at once what this host had."""
        self._back += [(lease, None) for lease in self._held.values()]
        try:
            await self._hand_in()
        except StoreError as error:
            log.info("leases of this host end by themselves: %s", error)


class _Result:
    """A finished round on its way into the store."""

    def __init__(self, finished: Finished) -> None:
        self.finished = finished
        self.settled = trio.Event()
        self.refused: PanopticonError | None = None

    def settle(self, refused: PanopticonError | None) -> None:
        self.refused = refused
        self.settled.set()


class LeasedStore:
    """What the schedule needs of a store, with rounds recorded under their leases."""

    def __init__(self, store: PostgresStore, leases: Leases) -> None:
        self._store, self._leases = store, leases

    async def standing(self, indicator_id: int) -> Standing:
        """One indicator as it stands."""
        return await self._store.standing(indicator_id)

    async def rounds(self, indicator_id: int, since: dt.datetime | None = None) -> list[Round]:
        """Its retained rounds, oldest first."""
        return await self._store.rounds(indicator_id, since)

    async def record_round(
        self,
        indicator_id: int,
        round_: Round,
        verdict: Verdict,
        began: dt.datetime | None = None,
        domain: DomainRecord | None = None,
    ) -> None:
        """One round, its verdict and its domain, under this host's lease; LeaseLostError when that is over."""
        await self._leases.write(indicator_id, round_, verdict, began, domain)

    async def regroup(self, indicator_id: int, domain: str, scope: Scope) -> None:
        """Keep an indicator under the registered domain a referral proved."""
        await self._store.regroup(indicator_id, domain, scope)

    async def domain(self, domain: str) -> DomainRecord | None:
        """What is known of a registered domain."""
        return await self._store.domain(domain)
