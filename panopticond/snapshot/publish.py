"""From tables to a signed tree on disk, whole or not at all; and the task that does it once a day for a TLD.

Last step of the flow. Everything is written and synced in a directory beside the published ones, renamed to its serial,
and only then does ``latest`` move: a crash at any point leaves the old snapshot or the new one, and what it left is
swept or adopted at the next run. The chain (serial, SHA-256 of the manifest) continues from the store's last one.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import zoneinfo
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import trio

from panopticond.config import Tld
from panopticond.report.monthly import publish_month
from panopticond.shared.clock import Clock, rfc3339
from panopticond.shared.errors import PanopticonError, RefusedError, StoreError
from panopticond.shared.minisign import SecretKey
from panopticond.snapshot import tree
from panopticond.snapshot.build import build
from panopticond.snapshot.conclude import Terms
from panopticond.snapshot.licences import FeedFacts
from panopticond.snapshot.press import Press, signer
from panopticond.snapshot.spool import Spool
from panopticond.store.interface import Publication, Store

LATE_AFTER = dt.timedelta(hours=1)
RETRY_SECONDS = 300.0
"""Policy seconds before a failed publication is tried again."""
MISSED_DAYS = 31
"""No more snapshots than this are made up for after downtime."""
BEFORE = ("listed_domains", "validated_domains")
"""Figures of the snapshot before that stand in the next as ``..._before``: what changed."""
_DAY = dt.timedelta(days=1)
_log = logging.getLogger(__name__)


class Today(msgspec.Struct, frozen=True):
    """What only the running daemon knows at the hour of publication."""

    feeds: tuple[FeedFacts, ...]
    tranco_list: str | None = None
    zone_size: int | None = None


async def publish_tld(
    press: Press,
    store: Store,
    tld: Tld,
    today: Today,
    now: dt.datetime,
    *,
    late: bool = False,
    until: dt.datetime | None = None,
) -> Publication:
    """Build, sign and publish one TLD's snapshot, issued at ``now``; returns what was published.

    ``until`` is the end of a missed day's interval; left out, the interval ends with the last round. Raises
    PanopticonError when the clock stands before the last publication or the disk refuses; the old snapshot then stays
    what it was.
    """
    name = str(tld.name)
    try:
        with await trio.to_thread.run_sync(tree.claim, press.root / name):
            publication = await _publish(press, store, tld, today, now.replace(microsecond=0), until, late=late)
    except BlockingIOError as error:
        raise StoreError(f"another process is publishing .{name} just now; try again in a minute") from error
    except OSError as error:
        raise StoreError(
            f"cannot publish .{name} under {press.root}: {error.strerror}; the last snapshot stands, mend the disk"
        ) from error
    _log.info("published tld=%s serial=%d to=%s late=%s", name, publication.serial, rfc3339(publication.end), late)
    return publication


async def _publish(
    press: Press, store: Store, tld: Tld, today: Today, now: dt.datetime, until: dt.datetime | None, *, late: bool
) -> Publication:
    name = str(tld.name)
    directory = press.root / name
    previous = await _recover(press, store, name)
    terms = await _terms(press, store, tld, today, previous, now, until, late=late)
    key, keys_next = await trio.to_thread.run_sync(signer, press, directory, now)
    with Spool(directory) as spool:
        built = await build(store, tld, today.feeds, terms, veil=press.veil, spool=spool, lookalike=press.lookalike)
        if previous is not None:
            before = directory / str(previous.serial)
            built.tables["aggregate"] += await trio.to_thread.run_sync(tree.figures_before, before, BEFORE)
        said = tree.Said(
            terms=terms,
            expires=terms.end + press.expires,
            previous=None if previous is None else (previous.serial, previous.manifest_sha256),
            keys_next=keys_next,
        )
        staged = await trio.to_thread.run_sync(tree.stage, directory, name, built, said, key)
    await store.record_incidents(built.incidents)
    await trio.to_thread.run_sync(tree.switch, staged, directory, terms.serial)
    manifest_sha256 = await trio.to_thread.run_sync(tree.manifest_sha256, directory / str(terms.serial))
    publication = Publication(name, terms.serial, manifest_sha256, terms.start, terms.end, terms.issued)
    await store.record_publication(publication)
    await _retain(directory, tld, press.keep)
    await _month(directory, tld, now, key)
    return publication


async def _retain(directory: Path, tld: Tld, keep: int) -> None:
    """Old snapshots go; one that cannot be removed undoes no publication, and the next one tries again."""
    try:
        await trio.to_thread.run_sync(tree.retain, directory, keep)
    except OSError as error:
        _log.error("old snapshots of tld=%s cannot be removed: %s; mend the disk", tld.name, error.strerror)


async def _month(directory: Path, tld: Tld, now: dt.datetime, key: SecretKey) -> None:
    """The report of the month before, once; its failure undoes no publication, and the next one tries again."""
    try:
        made = await trio.to_thread.run_sync(publish_month, directory, tld.timezone, now, key)
    except (OSError, RefusedError) as error:
        _log.error("the monthly report failed tld=%s: %s", tld.name, error)
    else:
        if made is not None:
            _log.info("published tld=%s month=%s", tld.name, made.name)


async def publish_daily(
    press: Press,
    store: Store,
    tld: Tld,
    clock: Clock,
    today: Callable[[], Awaitable[Today]],
    tell: Callable[[str, str], None] = lambda _task, _problem: None,
) -> None:
    """For ever: publish one TLD at its hours in its time zone; after downtime one for each day missed at once, as late.

    A failure is logged, told to ``tell`` and tried again every five minutes of policy time; it never ends the task.
    """
    last = await store.last_publication(str(tld.name))
    done = last.issued if last is not None else clock.now()
    while True:
        due = next_hour(tld, done)
        await clock.sleep_until(due)
        try:
            *missed, due = hours_between(tld, done, clock.now()) or [due]
            for day in missed:
                await publish_tld(press, store, tld, await today(), clock.now(), late=True, until=day)
            now = clock.now()
            published = await publish_tld(press, store, tld, await today(), now, late=now - due >= LATE_AFTER)
        except PanopticonError as error:
            _log.error("publication failed tld=%s: %s", tld.name, error)
            tell(f"publication of .{tld.name}", str(error))
            await clock.sleep(RETRY_SECONDS)
            with contextlib.suppress(StoreError):  # still locked, say: what was known of the last one stands
                last = await store.last_publication(str(tld.name))
            done = done if last is None else max(done, min(last.end, last.issued))
            continue
        tell(f"publication of .{tld.name}", "")
        done = max(published.issued, due)


def next_hour(tld: Tld, after: dt.datetime) -> dt.datetime:
    """The first of the TLD's hours (``publish_at``, ``publish_also``) in its time zone later than ``after``, UTC."""
    return min(_next(tld.timezone, hour, after) for hour in (tld.publish_at, *tld.publish_also))


def hours_between(tld: Tld, after: dt.datetime, now: dt.datetime) -> list[dt.datetime]:
    """What was due later than ``after`` and by ``now``: one hour of each day missed, at most a month, and the last."""
    found = []
    while (after := _next(tld.timezone, tld.publish_at, after)) <= now:
        found.append(after)
    newest = max((_last(tld.timezone, hour, now) for hour in (tld.publish_at, *tld.publish_also)), default=now)
    if found and newest > found[-1]:
        found.append(newest)
    return found[-MISSED_DAYS:]


def _next(zone_name: str, at: str, after: dt.datetime) -> dt.datetime:
    zone, hour = zoneinfo.ZoneInfo(zone_name), dt.time.fromisoformat(at)
    day = after.astimezone(zone).date() - _DAY
    while (when := dt.datetime.combine(day, hour, zone).astimezone(dt.UTC)) <= after:
        day += _DAY
    return when


def _last(zone_name: str, at: str, now: dt.datetime) -> dt.datetime:
    """The last time by ``now`` that it was ``at``."""
    found = _next(zone_name, at, now - 2 * _DAY)
    while (following := _next(zone_name, at, found)) <= now:
        found = following
    return found


async def _terms(
    press: Press,
    store: Store,
    tld: Tld,
    today: Today,
    previous: Publication | None,
    now: dt.datetime,
    until: dt.datetime | None,
    *,
    late: bool,
) -> Terms:
    if previous is not None and now < previous.issued:
        raise StoreError(
            f"the clock stands at {rfc3339(now)}, before the last publication of .{tld.name}; set the clock right"
        )
    end = min(now, until or await _last_round(store) or now).replace(microsecond=0)
    if previous is not None:
        end = max(end, previous.end)
    serial = int(f"{now:%Y%m%d}01")
    taken = await trio.to_thread.run_sync(tree.serials, press.root / str(tld.name))
    newest = max([*taken, previous.serial if previous else 0], default=0)
    return Terms(
        start=previous.end if previous is not None else end - _DAY,
        end=end,
        issued=now,
        serial=max(serial, newest + 1),
        late=late,
        check_interval=press.check_interval,
        zone_size=tld.zone_size or today.zone_size,
        vantages=tuple(one for one in press.vantages if not tld.vantages or one[0] in tld.vantages),
        tranco_list=today.tranco_list,
        popular_rank=press.popular_rank,
        judge=press.judge,
        assess=press.assess,
    )


async def _last_round(store: Store) -> dt.datetime | None:
    """End of what has been checked: the newest round's whole second, rounded up; None when nothing is being checked.

    When checks are due but none is made, this stands still and the snapshot expires, as it should.
    """
    watches = await store.watches()
    if not any(watch.check for watch in watches):
        return None
    newest = max((watch.last_round for watch in watches if watch.last_round is not None), default=None)
    return None if newest is None else newest + dt.timedelta(seconds=1)


async def _recover(press: Press, store: Store, name: str) -> Publication | None:
    """The last publication; sweeps what a crash left over and adopts a snapshot that was published but not recorded."""
    recorded = await store.last_publication(name)
    directory = press.root / name
    await trio.to_thread.run_sync(tree.sweep, directory, 0 if recorded is None else recorded.serial)
    try:
        found = await trio.to_thread.run_sync(tree.latest, directory, *press.public_keys)
    except RefusedError as error:
        _log.warning("the published tree of tld=%s does not verify: %s", name, error)
        return recorded
    if found is None or (recorded is not None and found.serial <= recorded.serial):
        return recorded
    await store.record_publication(found)
    return found
