"""Where a TLD gives its zone: which of its names imitate a protected one or look generated and are in no feed yet.

Beside the flow, by the same models and ranking as arke's daily list; ``panopticond review zone`` shows it. Names and
reasons only: a person decides, nothing is probed, published or mailed because of it. What the zone's names were is kept
beside the store, so that new ones come first; how many they are gives the snapshot its zone size.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec
import trio

from panopticond.config import Config, Tld
from panopticond.shared.clock import Clock, rfc3339
from panopticond.shared.dga import Model
from panopticond.shared.errors import PanopticonError, StoreError
from panopticond.shared.lookalike.protected import Protected
from panopticond.shared.lookalike.words import builtin_protected
from panopticond.shared.ranking import Finding, review_list
from panopticond.shared.zone import Zone, read_zone
from panopticond.shared.zonedays import names_before
from panopticond.store.interface import Store

TOP = 100
LIST_BYTES = 1 << 20
LOOK_SECONDS = 3600.0  # policy time between two looks whether the zone is another one
log = logging.getLogger(__name__)


class ZoneList(msgspec.Struct, frozen=True):
    """What was found in a TLD's zone, new names first and then worst first."""

    tld: str
    serial: int
    at: str
    size: int
    """Names the zone delegates."""
    names: list[Finding]
    already_listed: int
    """Names that would stand here, but for being in a feed."""


def find_names(tld: Tld, zone: Zone, before: Collection[str] | None, listed: Collection[str], at: str) -> ZoneList:
    """The list of one zone (pure): its critical names are protected beside the built-in ones, and are their owners'."""
    protected = Protected(tld.critical, also=builtin_protected())
    model = Model.load().calibrated([name.partition(".")[0] for name in zone.owners])
    own = [name.lower() for name in tld.critical if "." in name]
    found = review_list(zone.owners, (), protected, own, None, before, model=model)
    unseen = [item for item in found if item.name not in listed]
    unseen.sort(key=lambda item: not item.new)
    return ZoneList(str(tld.name), zone.serial, at, len(zone.owners), unseen[:TOP], len(found) - len(unseen))


def folder_of(config: Config) -> Path:
    """Where lists and the zones' names lie: beside the store."""
    return Path(config.store.path).parent / "zones"


def write_list(config: Config, tld: Tld, listed: Collection[str], at: str) -> ZoneList:
    """Read the zone and write its list, blocking; PanopticonError for no zone of the TLD, StoreError for the disk."""
    name, folder = str(tld.name), folder_of(config)
    zone = read_zone(str(tld.zone), name)
    if zone.origin != name:
        raise PanopticonError(f"{tld.zone}: is the zone of .{zone.origin}, not of .{name}; mend tld.zone")
    made = find_names(tld, zone, names_before(folder, name, zone), listed, at)
    path = folder / f"{name}.json"
    try:
        partial = path.with_name(path.name + ".part")
        partial.write_bytes(msgspec.json.encode(made))
        partial.replace(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror or error}; mend the disk") from error
    return made


def read_list(config: Config, tld: str) -> ZoneList | None:
    """The last list of a TLD, or None where none was made yet; what is no list of ours is none."""
    try:
        with (folder_of(config) / f"{tld}.json").open("rb") as file:
            return msgspec.json.decode(file.read(LIST_BYTES), type=ZoneList)
    except (OSError, msgspec.DecodeError):
        return None


async def watch_zone(config: Config, tld: Tld, store: Store, clock: Clock, tell: Callable[[str, str], None]) -> None:
    """For ever: a new list when the zone's file has changed, and once a day; on a fault the last list stands."""
    task, name, done = f"zone .{tld.name}", str(tld.name), ""
    while True:
        mark = f"{clock.now().date()} {_mark(str(tld.zone))}"
        if mark != done:
            try:
                listed = {standing.subject.domain async for standing in store.standings(name)}
                at = rfc3339(clock.now())
                made = await trio.to_thread.run_sync(write_list, config, tld, listed, at)
            except PanopticonError as error:
                log.warning("%s: %s", task, error)
                tell(task, str(error))
            else:
                done = mark
                tell(task, "")
                log.info("%s: serial %d, %d names to look at", task, made.serial, len(made.names))
        await clock.sleep(LOOK_SECONDS)


def _mark(path: str) -> str:
    try:
        status = os.stat(path)  # noqa: PTH116 - one call, one value
    except OSError:
        return ""
    return f"{status.st_mtime_ns} {status.st_size}"
