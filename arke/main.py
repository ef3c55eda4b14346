"""arke as a diagram: snapshots and zone in, cases followed, notices out; two nurseries, every task named.

    watch ─Snapshot→ match ─cases→ ladder → enrich → re-check → notice ─intent→ outbox → SMTP
      │                 ↑ zone                                                     ↑ drained under a deadline
      └ status socket, report, review list

``run`` is the daemon: SIGTERM cancels the sources, the sinks drain, and it returns. ``once`` is one pass for cron.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import logging
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import trio

from arke.cases.enrich import RdapSource
from arke.cases.match import match
from arke.cases.outcome import Outcome
from arke.chores import intake_of, learn_registrations, retain, take_bounces, watch_registrations, write_report
from arke.config import Config
from arke.desk import WRITERS, Desk
from arke.gates import plausible, stopped, unless_stopped, whole_zone
from arke.mail.intake import look_into
from arke.mail.outbox import Sent
from arke.mail.smtp import Mailer, Reply
from arke.model import Notice
from arke.rooms import Rooms, open_rooms
from arke.screening.registrations import remembered
from arke.screening.review import draft_review, write_review
from panopticond.shared.control import notify, serve_control, serve_metrics
from panopticond.shared.errors import PanopticonError, RefusedError, StoreError
from panopticond.shared.settings import seconds
from panopticond.shared.watchdog import feed_watchdog
from panopticond.shared.zone import Zone

log = logging.getLogger(__name__)

SERVER_DOWN_SECONDS = 60.0  # policy time before a silent mail server is tried again, one real second at least
IDLE_SECONDS = 2.0  # real seconds between two passes at least, when nothing rings
BATCH = 50  # notices sent between two looks at the stop sign
# Real seconds after which the watchdog takes a loop for hanging; far more than the time-outs inside it add up to.
LOOK_WITHIN_SECONDS = 3600.0
PASS_WITHIN_SECONDS = 3600.0
CASE_WITHIN_SECONDS = 60.0
MAIL_WITHIN_SECONDS = 3600.0


async def run(
    config: Config,
    *,
    opened: Callable[[Config], AbstractAsyncContextManager[Rooms]] = open_rooms,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """The daemon: follow until SIGTERM or SIGINT, then drain for ``drain`` real seconds.

    ``opened`` opens its rooms: the lab hands in wrong ones to show that its score falls.
    """
    async with opened(config) as rooms:
        desk = Desk(rooms)
        async with trio.open_nursery() as sinks:
            mode, done = int(config.status.mode, 8), trio.Event()
            serve = functools.partial(serve_control, config.status.socket, mode, desk.answer, writers=WRITERS)
            await sinks.start(serve, name="status")
            if config.status.metrics is not None:
                await sinks.start(serve_metrics, config.status.metrics, desk.answer, name="metrics")
            sinks.start_soon(_send_notices, desk, done, name="outbox")
            notify("READY=1")
            async with trio.open_nursery() as sources:
                sources.start_soon(_stop_on_signal, sources.cancel_scope, name="signals")
                sources.start_soon(feed_watchdog, desk.pulse, desk.line, name="watchdog")
                for tld in config.tlds:
                    sources.start_soon(_watch, desk, tld, name=f"watch .{tld}")
                sources.start_soon(_follow, desk, name="follow cases")
                sources.start_soon(watch_registrations, desk, name="registrations")
                if config.bounces.maildir is not None:
                    sources.start_soon(take_bounces, desk, Path(config.bounces.maildir), name="bounces")
                task_status.started()
            notify("STOPPING=1")
            log.info("stopping: no new work; the outbox has %s to finish", config.drain)
            desk.draining = True
            desk.mail_bell.set()
            with trio.move_on_after(seconds(config.drain)):
                await done.wait()
            sinks.cancel_scope.cancel()
    log.info("stopped")


async def once(config: Config) -> None:
    """One pass: look, follow, send what is due, report; then the worst of what went wrong is raised."""
    async with open_rooms(config) as rooms:
        desk = Desk(rooms)
        failures: list[PanopticonError] = []
        for tld in config.tlds:
            try:
                snapshot = await rooms.snapshots[tld].look(rooms.clock.now())
            except PanopticonError as error:
                log.error(".%s: %s", tld, error)  # noqa: TRY400 - the sentence is all there is to say
                failures.append(error)
                continue
            if snapshot is not None:
                desk.accept(snapshot)
        if config.bounces.maildir is not None:
            await look_into(Path(config.bounces.maildir), intake_of(desk), rooms.clock.now)
        await work_through(desk)
        await retain(desk)
        desk.draining = True
        with trio.move_on_after(seconds(config.drain) if not config.lab else 600.0):
            await _send_notices(desk, trio.Event())
        await learn_registrations(desk)
        await write_report(desk)
        for failure in sorted(failures, key=lambda error: -error.exit_status):
            raise failure


async def preview(config: Config, out: Path) -> list[Outcome]:
    """Every notice due now, as .eml under ``out``; sends nothing and leaves no trace in the ledger."""
    async with open_rooms(config, drafts=out, trace=False) as rooms:
        desk = Desk(rooms)
        for tld in config.tlds:
            snapshot = await rooms.snapshots[tld].look(rooms.clock.now(), accept=False)
            if snapshot is not None:
                desk.accept(snapshot)
        return await work_through(desk)


async def _stop_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for _ in signals:
            scope.cancel()
            return


async def _watch(desk: Desk, tld: str) -> None:
    """Look for a new snapshot of one TLD at every poll; a refused one is said once, stands in status, sends nothing."""
    rooms = desk.rooms
    every_seconds = seconds(rooms.config.poll) / rooms.clock.scale
    while True:
        desk.pulse.beat(f"watch .{tld}", every_seconds + LOOK_WITHIN_SECONDS)
        try:
            snapshot = await rooms.snapshots[tld].look(rooms.clock.now())
            desk.refused.pop(tld, None)
            desk.problems.pop(f"records .{tld}", None)
            if snapshot is not None:
                log.info(".%s: snapshot %d accepted", tld, snapshot.manifest.serial)
                desk.accept(snapshot)
        except RefusedError as error:
            if desk.refused.get(tld) != str(error):
                log.error(".%s: %s", tld, error)  # noqa: TRY400 - the sentence is all there is to say
            desk.refused[tld] = str(error)
        except PanopticonError as error:
            if desk.trouble(f"records .{tld}", str(error)):
                log.warning(".%s: %s", tld, error)
        await rooms.clock.sleep(seconds(rooms.config.poll))


async def _follow(desk: Desk) -> None:
    """Follow the cases whenever a snapshot comes, somebody decides, or a poll's time has passed."""
    rooms = desk.rooms
    idle_seconds = max(IDLE_SECONDS, seconds(rooms.config.poll) / rooms.clock.scale)
    while True:
        with trio.move_on_after(idle_seconds):
            await desk.work_bell.wait()
        desk.work_bell = trio.Event()
        # A pass asks one server about each due case in turn, so what it may take grows with the cases.
        desk.pulse.beat("cases", PASS_WITHIN_SECONDS + CASE_WITHIN_SECONDS * len(desk.all_cases()))
        try:
            await work_through(desk)
            await retain(desk)
            await write_report(desk)
            desk.problems.pop("cases", None)
        except PanopticonError as error:
            if desk.trouble("cases", str(error)):
                log.error("cases: %s", error)  # noqa: TRY400 - one sentence for the operator
        desk.pulse.beat("cases", idle_seconds + PASS_WITHIN_SECONDS)
        desk.working = desk.work_bell.is_set()
        desk.mail_bell.set()


async def work_through(desk: Desk) -> list[Outcome]:
    """One pass over every TLD's cases on its last snapshot; nothing is done on one too old for mail."""
    rooms = desk.rooms
    outcomes: list[Outcome] = []
    for tld, snapshot in list(desk.snapshots.items()):
        if snapshot.too_old_for_mail(rooms.clock.now()):
            desk.matched.pop(tld, None)
            desk.marks.pop(tld, None)
            desk.trouble(f"age .{tld}", f"snapshot {snapshot.manifest.serial} is too old: no mail is sent on it")
            continue
        desk.problems.pop(f"age .{tld}", None)
        zone = await _zone(desk, tld)
        serial = snapshot.manifest.serial
        if desk.marks.get(tld) != (serial, zone and zone.serial):
            owners, addresses = (zone.owners, zone.addresses) if zone else (None, frozenset[str]())
            cases = await trio.to_thread.run_sync(match, snapshot.tables, owners, addresses)
            desk.matched[tld] = {item.case.id: item for item in cases}
            desk.marks[tld] = (serial, zone and zone.serial)
            await _screen(desk, tld, zone)
        if await plausible(desk, tld) and await _canary_sings(desk):
            outcomes += await rooms.follower.work_through(list(desk.matched[tld].values()), serial)
    return outcomes


async def _screen(desk: Desk, tld: str, zone: Zone | None) -> None:
    """The review list anew, once a snapshot; a fault in it holds up no notice."""
    rooms, snapshot = desk.rooms, desk.snapshots[tld]
    serial = snapshot.manifest.serial
    if zone is None or not rooms.config.screen.enabled or rooms.preview or desk.screened.get(tld) == serial:
        return
    listed = {row.name for row in snapshot.tables["domain"]}
    now = rooms.clock.now()
    try:
        draft = await trio.to_thread.run_sync(draft_review, rooms.config, tld, zone, listed)
        said = await remembered(rooms.ledger, [item.name for item in draft.candidates], now)
        number = await trio.to_thread.run_sync(write_review, rooms.config, draft, said, now.date())
    except PanopticonError as error:
        if desk.trouble(f"review list .{tld}", str(error)):
            log.warning("review list .%s: %s", tld, error)
        return
    desk.screened[tld], desk.drafts[tld] = serial, draft
    log.info(".%s: %d names on the review list", tld, number)


async def _zone(desk: Desk, tld: str) -> Zone | None:
    watch = desk.rooms.zones.get(tld)
    if watch is None:
        return None
    try:
        zone = await watch.look()
    except PanopticonError as error:
        if desk.trouble(f"zone .{tld}", str(error)):
            log.warning("zone .%s: %s", tld, error)
        last = watch.last
        return last if last is not None and await whole_zone(desk, tld, last) else None
    if not await whole_zone(desk, tld, zone):
        return None
    desk.problems.pop(f"zone .{tld}", None)
    return zone


async def _canary_sings(desk: Desk) -> bool:
    """Whether the account sees contacts: asked until it does. A permissive server redacts in silence (RedDog does)."""
    rooms, rdap = desk.rooms, desk.rooms.config.rdap
    if desk.canary_sang or rdap is None or rdap.canary is None or not isinstance(rooms.source, RdapSource):
        return True
    problem = await rooms.source.canary(rdap.canary)
    if problem and desk.trouble("rdap", problem):
        log.error("%s; no mail is sent until it answers", problem)
    if not problem:
        desk.problems.pop("rdap", None)
    desk.canary_sang = not problem
    return desk.canary_sang


async def _send_notices(desk: Desk, done: trio.Event) -> None:
    """Send what is due, wait for the bell or the next due time; when draining, send what is due and finish."""
    mailer = desk.rooms.mailer
    while mailer is not None:
        desk.pulse.beat("outbox", seconds(desk.rooms.config.poll) / desk.rooms.clock.scale + MAIL_WITHIN_SECONDS)
        last, since, sent = desk.draining, desk.rooms.clock.now(), list[Sent]()
        halted = stopped(desk)
        if not halted:
            try:
                sent = await _send_pass(desk, mailer)
                desk.problems.pop("outbox", None)
            except PanopticonError as error:
                if desk.trouble("outbox", str(error)):
                    log.error("outbox: %s", error)  # noqa: TRY400 - one sentence for the operator
        down = any(item.state == "retry" and not item.reached for item in sent)
        if len(sent) == BATCH and not down:
            continue
        if last:
            break
        await _until_due(desk, None if halted else since, down=down)
    done.set()


async def _send_pass(desk: Desk, mailer: Mailer) -> list[Sent]:
    """One batch of what is due and still right; what an earlier pass broke off in the middle of is free again."""
    rooms = desk.rooms

    async def send(notice: Notice) -> Reply:
        desk.pulse.beat("outbox", MAIL_WITHIN_SECONDS)
        return await unless_stopped(desk, mailer, notice)

    await rooms.outbox.recover()
    sent = await rooms.outbox.send_due(
        send,
        rooms.clock,
        look=lambda notice: rooms.follower.still_right(notice, desk.case),
        stands=lambda notice: rooms.follower.stands(notice, desk.case, desk.current),
        limit=BATCH,
    )
    for item in sent:
        log.info("notice %s for %s: %s %d", item.message_id, " ".join(item.case_ids), item.state, item.reply_code)
    if sent:
        await rooms.ledger.tidy()
    return sent


async def _until_due(desk: Desk, since: dt.datetime | None, *, down: bool) -> None:
    """Wait for the bell, a poll, or what is due after ``since``: what was due before that has been tried."""
    rooms = desk.rooms
    wait_seconds = seconds(rooms.config.poll) / rooms.clock.scale
    due = None
    if since is not None:
        with contextlib.suppress(StoreError):  # the next pass says it
            due = await rooms.outbox.next_due(since)
    if due is not None:
        wait_seconds = min(wait_seconds, max(0.0, (due - rooms.clock.now()).total_seconds() / rooms.clock.scale))
    if down:
        wait_seconds = max(1.0, SERVER_DOWN_SECONDS / rooms.clock.scale)
    with trio.move_on_after(max(0.02, wait_seconds)):
        await desk.mail_bell.wait()
    if desk.mail_bell.is_set() and not desk.draining:
        desk.mail_bell = trio.Event()
