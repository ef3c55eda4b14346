"""From tables to a signed tree on disk, whole or not at all; and the task that does it once a day for a TLD.

Last step of the flow. Everything is written and synced in a directory beside the published ones, renamed to its serial,
and only then does ``latest`` move: a crash at any point leaves the old snapshot or the new one, and what it left is
swept or adopted at the next run. The chain (serial, SHA-256 of the manifest) continues from the store's last one.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import os
import secrets
import zoneinfo
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import trio

from panopticond.config import Config, Tld
from panopticond.judge.verdict import judge
from panopticond.model import Verdict
from panopticond.shared.clock import Clock, rfc3339
from panopticond.shared.errors import ConfigurationError, PanopticonError, RefusedError, StoreError
from panopticond.shared.minisign import PublicKey, SecretKey
from panopticond.shared.settings import seconds
from panopticond.snapshot import tree
from panopticond.snapshot.build import build
from panopticond.snapshot.conclude import Terms
from panopticond.snapshot.licences import FeedFacts, Veil
from panopticond.snapshot.spool import Spool
from panopticond.store.interface import Publication, Store

LATE_AFTER = dt.timedelta(hours=1)
RETRY_SECONDS = 300.0
"""Policy seconds before a failed publication is tried again."""
_DAY = dt.timedelta(days=1)
_log = logging.getLogger(__name__)


class Press(msgspec.Struct, frozen=True):
    """What every publication needs of the configuration, read once."""

    root: Path
    key: SecretKey
    veil: Veil
    expires: dt.timedelta
    keep: int
    check_interval: dt.timedelta
    popular_rank: int
    vantages: tuple[tuple[str, str], ...]
    """(name, country) of every configured vantage."""
    keys_next: tuple[PublicKey, ...] = ()
    """Announced to readers thirty days before use."""
    lookalike: Callable[[str], str | None] = lambda _name: None
    judge: Callable[..., Verdict] = judge
    """The same that judges after every round."""


class Today(msgspec.Struct, frozen=True):
    """What only the running daemon knows at the hour of publication."""

    feeds: tuple[FeedFacts, ...]
    tranco_list: str | None = None
    zone_size: int | None = None


def press(config: Config) -> Press:
    """The press a configuration describes; reads the secret key, makes the surrogates' key on first use."""
    validation = config.validation
    return Press(
        root=Path(config.publish.root),
        key=SecretKey.read(Path(config.publish.secret_key_file)),
        veil=Veil(_surrogate_key(Path(config.store.path).with_name("surrogates.key"))),
        expires=dt.timedelta(seconds=seconds(config.publish.expires)),
        keep=config.publish.keep,
        check_interval=dt.timedelta(seconds=seconds(validation.window) / validation.checks_per_window),
        popular_rank=config.tranco.popular_rank,
        vantages=tuple((vantage.name, vantage.country) for vantage in config.vantage),
    )


async def publish_tld(
    press: Press, store: Store, tld: Tld, today: Today, now: dt.datetime, *, late: bool = False
) -> Publication:
    """Build, sign and publish one TLD's snapshot, issued at ``now``; returns what was published.

    Raises PanopticonError when the clock stands before the last publication or the disk refuses; the old snapshot then
    stays what it was.
    """
    name = str(tld.name)
    try:
        with await trio.to_thread.run_sync(tree.claim, press.root / name):
            publication = await _publish(press, store, tld, today, now.replace(microsecond=0), late=late)
    except BlockingIOError as error:
        raise StoreError(f"another process is publishing .{name} just now; try again in a minute") from error
    except OSError as error:
        raise StoreError(
            f"cannot publish .{name} under {press.root}: {error.strerror}; the last snapshot stands, mend the disk"
        ) from error
    _log.info("published tld=%s serial=%d to=%s late=%s", name, publication.serial, rfc3339(publication.end), late)
    return publication


async def _publish(press: Press, store: Store, tld: Tld, today: Today, now: dt.datetime, *, late: bool) -> Publication:
    name = str(tld.name)
    directory = press.root / name
    previous = await _recover(press, store, name)
    terms = await _terms(press, store, tld, today, previous, now, late=late)
    with Spool(directory) as spool:
        built = await build(store, tld, today.feeds, terms, veil=press.veil, spool=spool, lookalike=press.lookalike)
        said = tree.Said(
            terms=terms,
            expires=terms.end + press.expires,
            previous=None if previous is None else (previous.serial, previous.manifest_sha256),
            keys_next=tuple(key.text for key in press.keys_next),
        )
        staged = await trio.to_thread.run_sync(tree.stage, directory, name, built, said, press.key)
    await store.record_incidents(built.incidents)
    await trio.to_thread.run_sync(tree.switch, staged, directory, terms.serial)
    manifest_sha256 = await trio.to_thread.run_sync(tree.manifest_sha256, directory / str(terms.serial))
    publication = Publication(name, terms.serial, manifest_sha256, terms.start, terms.end, terms.issued)
    await store.record_publication(publication)
    await trio.to_thread.run_sync(tree.retain, directory, press.keep)
    return publication


async def publish_daily(
    press: Press, store: Store, tld: Tld, clock: Clock, today: Callable[[], Awaitable[Today]]
) -> None:
    """For ever: publish one TLD at its hour in its time zone; after downtime the newest one missed at once, as late.

    A failure is logged and tried again every five minutes of policy time; it never ends the task.
    """
    last = await store.last_publication(str(tld.name))
    done = last.issued if last is not None else clock.now()
    while True:
        due = next_hour(tld, done)
        await clock.sleep_until(due)
        now = clock.now()
        try:
            published = await publish_tld(press, store, tld, await today(), now, late=now - due >= LATE_AFTER)
        except PanopticonError as error:
            _log.error("publication failed tld=%s: %s", tld.name, error)
            await clock.sleep(RETRY_SECONDS)
            continue
        done = max(published.issued, due)


def next_hour(tld: Tld, after: dt.datetime) -> dt.datetime:
    """The first ``publish_at`` of the TLD's time zone later than ``after``, UTC."""
    zone = zoneinfo.ZoneInfo(tld.timezone)
    hour = dt.time.fromisoformat(tld.publish_at)
    day = after.astimezone(zone).date() - _DAY
    while (when := dt.datetime.combine(day, hour, zone).astimezone(dt.UTC)) <= after:
        day += _DAY
    return when


async def _terms(
    press: Press, store: Store, tld: Tld, today: Today, previous: Publication | None, now: dt.datetime, *, late: bool
) -> Terms:
    if previous is not None and now < previous.issued:
        raise StoreError(
            f"the clock stands at {rfc3339(now)}, before the last publication of .{tld.name}; set the clock right"
        )
    end = min(now, await _last_round(store) or now).replace(microsecond=0)
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
        found = await trio.to_thread.run_sync(tree.latest, directory, press.key.public)
    except RefusedError as error:
        _log.warning("the published tree of tld=%s does not verify: %s", name, error)
        return recorded
    if found is None or (recorded is not None and found.serial <= recorded.serial):
        return recorded
    await store.record_publication(found)
    return found


def _surrogate_key(path: Path) -> bytes:
    """32 random bytes kept in a file of mode 0600 beside the store."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        try:
            key = path.read_bytes()
        except OSError as error:
            raise ConfigurationError([f"{path}: cannot read the surrogates' key: {error.strerror}"]) from error
        if len(key) != hashlib.sha256().digest_size:
            raise ConfigurationError([f"{path}: not the surrogates' key; restore it or remove it"]) from None
        return key
    except OSError as error:
        raise ConfigurationError([f"{path}: cannot make the surrogates' key: {error.strerror}"]) from error
    key = secrets.token_bytes(32)
    with os.fdopen(handle, "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key
