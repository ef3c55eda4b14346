"""`arke onboard TLD`: a ready arke.json and a first look from the TLD, the operator's key and the zone; sends nothing.

Writes everything below one directory and nothing elsewhere. What can be found out is not asked for: the registry's RDAP
by IANA's bootstrap, name servers from the root, the notice template as shipped. Then it looks once: names of the zone
that a person should see, and, where the operator's records are named, every notice that would be due.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import trio

from arke.commands.everyday import checked, preview_command
from arke.config import Config
from arke.screening.review import draft_review, listed_now, write_review
from arke.watch import USER_AGENT
from panopticond.shared.clock import Clock
from panopticond.shared.errors import ConfigurationError, PanopticonError
from panopticond.shared.http import Http
from panopticond.shared.names import ascii_name
from panopticond.shared.rdap.bootstrap import find_rdap
from panopticond.shared.settings import read_json
from panopticond.shared.typed import program
from panopticond.shared.zone import read_zone

CONFIG = "arke.json"
SHOWN = 5
OWN = ("tld", "keys", "records", "zone", "transfer", "state", "status", "dry_run", "stop_file")
"""Keys of the surroundings that are another arke's own and not taken over."""


async def onboard(tld: str, key: str, zone: Path, records: str | None, out: Path, like: Path | None) -> None:
    """Write, look, and say what to do next; PanopticonError leaves no configuration behind that cannot be used."""
    name, out = ascii_name(tld), out.absolute()
    if not str(out).isprintable():
        raise ConfigurationError([f"--out: {str(out)!r}: holds what no configuration can, or no terminal shows"])
    if (out / CONFIG).exists():
        raise PanopticonError(f"{out / CONFIG}: is there already; give another --out, or begin with arke check-config")
    held = await trio.to_thread.run_sync(read_zone, zone)
    if held.origin != name:
        raise ConfigurationError([f"--zone: {zone} is the zone of .{held.origin}, not of .{name}"])
    print(f"zone: .{name} serial {held.serial}, {len(held.owners)} names")
    around = read_json(like) if like is not None else None
    rdap = None
    if around is None:
        rdap, sentence = await find_rdap(Http(USER_AGENT), name)
        print(sentence)
    path = _write(out, settings(name, key, zone.absolute(), records, out, rdap, around or {}))
    try:
        config = checked(path)
    except ConfigurationError:
        path.unlink()
        raise
    draft = await trio.to_thread.run_sync(draft_review, config, name, held, frozenset[str]())
    today = Clock.from_settings(config.clock, lab=config.lab).now().date()
    number = await trio.to_thread.run_sync(write_review, config, draft, {}, today)
    print(f"look-alikes: {number} names of the zone imitate somebody or look generated; the first are")
    for row in listed_now(config)[:SHOWN]:
        print(f"  {row['name']}: {row['reasons']}")
    refused = await _drafts(config, out) if records is not None else None
    _next(path, config.rdap is None and config.contacts is None, records)
    if refused is not None:
        raise refused


async def _drafts(config: Config, out: Path) -> BaseException | None:
    """Every notice due, written; or why the records are not believed or not to be had: the rest stands all the same."""
    try:
        await preview_command(config, out / "drafts")
    except PanopticonError as error:
        return error
    except BaseExceptionGroup as group:  # out of a nursery
        ours, others = group.split(PanopticonError)
        if others is not None:
            raise
        return ours
    return None


def settings(
    tld: str, key: str, zone: Path, records: str | None, out: Path, rdap: str | None, around: Mapping[str, Any]
) -> dict[str, Any]:
    """What arke.json says; every path of its own is below ``out``."""
    found: dict[str, Any] = {
        "tld": tld,
        "keys": [key],
        "records": records or str(out / "records" / tld / "latest" / "records.sql"),
        "zone": str(zone),
        "state": str(out / "state"),
        "status": {"socket": str(out / "arke.sock")},
        "dry_run": True,
    }
    if rdap is not None:
        found["rdap"] = {"url": rdap}
    return found | {name: value for name, value in around.items() if name not in OWN}


def _write(out: Path, found: Mapping[str, Any]) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        (out / CONFIG).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise PanopticonError(f"{out}: cannot be written: {error.strerror}; give another --out") from error
    return out / CONFIG


def _next(path: Path, nobody: bool, records: str | None) -> None:
    print(f"\nconfiguration: {path}")
    command, typed = program("arke"), shlex.quote(str(path))
    print(f"start:         {command} run -c {typed}      (writes drafts; sends nothing while dry_run is on)")
    print(f"watch:         {command} status -c {typed}")
    if records is None:
        print("to be named:   records, the operator's URL, and account, how it lets you in")
    if nobody:
        print("to be named:   rdap or contacts, so that notices find their people; till then drafts are for you")
    print("to be named:   smtp, when the drafts are what you would send; then dry_run: false")
