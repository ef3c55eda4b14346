"""arke's chores beside the flow: what came back is taken in, what was kept long enough erased, the reports written.

Called by ``main`` after each pass, and as a task for the Maildir.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
from pathlib import Path

import trio

from arke import report
from arke.cases.enrich import RdapSource
from arke.cases.erase import prune
from arke.desk import Desk
from arke.effects import record_fixes
from arke.gates import unless_stopped
from arke.letters import write_letters
from arke.mail.intake import Intake, look_into
from arke.screening.registrations import learn, remembered
from arke.screening.review import review_path, summaries, write_review
from panopticond.shared.errors import PanopticonError
from panopticond.shared.settings import seconds

log = logging.getLogger(__name__)


async def take_bounces(desk: Desk, maildir: Path) -> None:
    """Look into the Maildir at every poll: bounces into the outbox, replies to the manager."""
    rooms = desk.rooms
    while True:
        try:
            fates = await look_into(maildir, intake_of(desk), rooms.clock.now)
            desk.problems.pop("bounces", None)
            if fates:
                log.info("came back: %s", ", ".join(f"{count} {fate}" for fate, count in sorted(fates.items())))
        except PanopticonError as error:
            if desk.trouble("bounces", str(error)):
                log.warning("bounces: %s", error)
        await rooms.clock.sleep(seconds(rooms.config.poll))


def intake_of(desk: Desk) -> Intake:
    """What takes bounces and replies: replies are forwarded where mail is sent, a manager is named and it is wanted."""
    rooms, config = desk.rooms, desk.rooms.config
    send = functools.partial(unless_stopped, desk, rooms.mailer) if rooms.mailer and config.bounces.forward else None
    sender = config.smtp.sender if config.smtp else ""
    key = rooms.ledger.secret("envelope")
    return Intake(rooms.outbox, key, sender=sender, manager=config.manager, send=send)


async def watch_registrations(desk: Desk) -> None:
    """Ask about the registrations of a new review list, at every poll, beside the notices and slower than they do."""
    rooms = desk.rooms
    while True:
        await learn_registrations(desk)
        await rooms.clock.sleep(seconds(rooms.config.poll))


async def learn_registrations(desk: Desk) -> None:
    """What RDAP says of the registrations on a new list, within the day's budget; then the list is written again.

    Without RDAP nothing is asked. A fault is told, and the list stands as it is.
    """
    rooms, source = desk.rooms, desk.rooms.source
    while desk.drafts:
        _, draft = desk.drafts.popitem()
        if not isinstance(source, RdapSource):
            continue
        names, now = [item.name for item in draft.candidates], rooms.clock.now()
        budget = rooms.config.screen.lookups
        try:
            if await learn(rooms.ledger, source.registration, draft.tld, names, budget, now):
                said = await remembered(rooms.ledger, names, now)
                await trio.to_thread.run_sync(write_review, rooms.config, draft, said, now.date())
        except PanopticonError as error:
            if desk.trouble(f"registrations .{draft.tld}", str(error)):
                log.warning("registrations .%s: %s", draft.tld, error)
        else:
            desk.problems.pop(f"registrations .{draft.tld}", None)


async def retain(desk: Desk) -> None:
    """Once a day of policy time, erase what has been kept long enough."""
    rooms = desk.rooms
    now = rooms.clock.now()
    if rooms.preview or (desk.pruned is not None and now - desk.pruned < dt.timedelta(days=1)):
        return
    desk.pruned = now
    gone = await prune(rooms.ledger, now - dt.timedelta(seconds=seconds(rooms.config.retention.notices)))
    if gone:
        log.info("%d cases were kept long enough and are erased", gone)


async def write_report(desk: Desk) -> None:
    """The day's files, and the manager's letters where they are due."""
    rooms = desk.rooms
    cases = [item.case for item in desk.all_cases()]
    outcomes = await rooms.ledger.outcomes()
    lists = [review_path(rooms.config, tld) for tld in rooms.config.tlds]
    figures = report.today(
        rooms.clock.now(),
        cases,
        outcomes,
        await rooms.ledger.queue(),
        (await rooms.ledger.counts())["outbox"],
        {tld: snapshot.manifest.serial for tld, snapshot in desk.snapshots.items()},
        [path for path in lists if path.is_file()],
    )
    figures["review"] = summaries(rooms.config)
    text = report.no_contact_csv(cases, outcomes)
    await trio.to_thread.run_sync(report.write_report, Path(rooms.config.state), figures, text)
    await record_fixes(rooms.ledger, cases)
    mail = rooms.mailer is not None and bool(desk.snapshots)
    await write_letters(rooms.config, rooms.ledger, rooms.clock.now(), cases, figures, mail=mail)
