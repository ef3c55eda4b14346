"""What holds back all mail at once: an odd snapshot until a person approves it, a zone that shrank, the stop file.

Asked by ``main`` before cases are followed and before each mail; what is held stays due, and status says why.
"""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path

from arke.cases.erase import remember_size, remembered_size
from arke.config import Config
from arke.desk import Desk
from arke.mail.smtp import Mailer, Reply
from arke.model import Notice
from panopticond.shared.zone import Zone

log = logging.getLogger(__name__)

SMALL_SNAPSHOT = 50
"""Rows below which a snapshot may grow and shrink as it likes."""
SMALL_ZONE = 100
"""Names below which a zone may shrink as it likes."""
_ZONES = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""Entries about a zone belong to no incident's opening."""


async def plausible(desk: Desk, tld: str) -> bool:
    """Whether a snapshot is about as large as the last one mails were sent on; else a person must say so first."""
    rooms, snapshot = desk.rooms, desk.snapshots[tld]
    serial, size = snapshot.manifest.serial, snapshot.size
    if desk.sized.get(tld) == serial:
        return True
    last, growth = await remembered_size(rooms.ledger, tld), rooms.config.limits.growth
    odd = last is not None and (
        size > growth * max(last, SMALL_SNAPSHOT) or (last >= SMALL_SNAPSHOT and size * growth < last)
    )
    if odd:
        entry, opening = f"snapshot-{tld}-{serial}", snapshot.manifest.ended_at
        decisions = (await rooms.ledger.history(entry, opening)).decisions
        if decisions.get("row-counts") != "approved":
            if not rooms.preview:
                await rooms.ledger.wait_for_person(entry, opening, "row-counts", rooms.clock.now())
            sentence = f"snapshot {serial} has {size} rows, the last one had {last}: no mail until a person approves"
            if desk.trouble(f"size .{tld}", sentence):
                log.warning(".%s: %s it (`arke queue list`)", tld, sentence)
            return False
    desk.problems.pop(f"size .{tld}", None)
    desk.sized[tld] = serial
    if not rooms.preview:
        await remember_size(rooms.ledger, tld, serial, size)
    return True


async def whole_zone(desk: Desk, tld: str, zone: Zone) -> bool:
    """Whether a zone is not less than half as large as the last one used, also before a restart; else a person says so.

    A zone cut in the middle would take every name behind the cut for undelegated.
    """
    ledger, known = desk.rooms.ledger, f"zone {tld}"
    if desk.zones_whole.get(tld) == (mark := (zone.serial, len(zone.owners))):
        return True
    last = await remembered_size(ledger, known)
    if last is not None and last >= SMALL_ZONE and len(zone.owners) * 2 < last:
        entry = f"zone-{tld}-{zone.serial or 0}-{len(zone.owners)}"
        decisions = (await ledger.history(entry, _ZONES)).decisions
        if decisions.get("zone-shrank") != "approved":
            if not desk.rooms.preview:
                await ledger.wait_for_person(entry, _ZONES, "zone-shrank", desk.rooms.clock.now())
            sentence = (
                f"the zone shrank from {last} names to {len(zone.owners)}; it is not used until a person approves"
            )
            if desk.trouble(f"zone .{tld}", sentence):
                log.warning("zone .%s: %s it (`arke queue list`)", tld, sentence)
            return False
    desk.zones_whole[tld] = mark
    if not desk.rooms.preview:
        await remember_size(ledger, known, zone.serial or 0, len(zone.owners))
    return True


async def unless_stopped(desk: Desk, mailer: Mailer, notice: Notice) -> Reply:
    """Send, unless the stop file came in between: then the pass ends and the notice stays due."""
    return Reply(0, "stopped by the operator", "connect") if stopped(desk) else await mailer.send(notice)


def stop_file(config: Config) -> Path:
    """The file that stops all mail while it is there."""
    return Path(config.stop_file) if config.stop_file else Path(config.state) / "stop"


def stopped(desk: Desk) -> bool:
    """Whether the operator's stop file is there: then nothing leaves, and status says so."""
    path = stop_file(desk.rooms.config)
    if not path.exists():
        desk.problems.pop("stop", None)
        return False
    if desk.trouble("stop", f"{path} is there: no mail leaves until it is removed"):
        log.warning("%s is there: no mail leaves until it is removed", path)
    return True
