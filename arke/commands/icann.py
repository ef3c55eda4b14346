"""The commands that ask ICANN's MoSAPI, or our own: ``arke mosapi pull|state`` and ``arke reconcile``.

Beside the daemon. A reconciliation is written to the state directory, where the daily report finds its figures.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import trio

from arke.cases.ledger import Ledger
from arke.config import Config
from arke.mosapi import Mosapi
from arke.reconcile import compare, figures, ours, theirs, to_csv
from arke.report import replace_file
from arke.rooms import delegations_of, dns_client, snapshot_watch, with_certificate, zone_watch
from arke.watch import USER_AGENT
from panopticond.shared import mosapi
from panopticond.shared.clock import Clock, rfc3339
from panopticond.shared.errors import ConfigurationError, FetchError, PanopticonError
from panopticond.shared.http import Http
from panopticond.shared.settings import read_secret, seconds

LOOK_LIMIT = 2000  # names of theirs we ask the TLD's servers about in one run
LOOKS_AT_ONCE = 8


def client(config: Config, tld: str) -> Mosapi:
    """The MoSAPI client of a configuration; ConfigurationError where there is no account."""
    settings = config.mosapi
    if settings is None or (settings.password_file is None and settings.certificate_file is None):
        raise ConfigurationError(["mosapi: needs url and password_file, or certificate_file, for this command"])
    auth = None
    if settings.certificate_file is None and settings.password_file is not None:
        auth = (settings.username or f"{tld}_ry", read_secret(settings.password_file))
    return Mosapi(
        with_certificate(Http(USER_AGENT), settings),
        settings.url,
        tld,
        auth=auth,
        entity=settings.entity,
        reports=settings.reports,
        timeout_seconds=seconds(settings.timeout),
    )


async def pull(config: Config, date: str | None, out: Path | None) -> None:
    """Print every TLD's list of a day (the latest), a JSON line each, or write it as ``TLD-DATE.json``."""
    day = _day(date)
    for tld in config.tlds:
        icann = client(config, tld)
        report = await icann.domain_list(day)
        await icann.logout()
        text = mosapi.encode(report).decode()
        if out is None:
            print(text)
            continue
        out.mkdir(parents=True, exist_ok=True)
        path = out / f"{tld}-{report.domain_list_date}.json"
        replace_file(path, text + "\n")
        print(path)


async def state(config: Config, *, as_json: bool) -> None:
    """Print how ICANN's probes see each TLD's services."""
    for tld in config.tlds:
        icann = client(config, tld)
        found = await icann.state()
        await icann.logout()
        if as_json:
            print(mosapi.encode(found).decode())
            continue
        at = dt.datetime.fromtimestamp(found.last_update_api_database, dt.UTC)
        print(f".{tld}: {found.status}, as of {rfc3339(at)}")
        for name, service in sorted(found.tested_services.items()):
            incidents = service.incidents or ()
            active = sum(incident.state == "Active" for incident in incidents)
            print(f"  {name}: {service.status}" + (f", {active} incidents under way" if active else ""))


async def reconcile(config: Config, date: str | None, *, as_json: bool, dns: bool) -> None:
    """Compare each TLD's list with our last snapshot; FetchError when either cannot be had, then nothing is written."""
    day = _day(date)
    for tld in config.tlds:
        icann = client(config, tld)
        report = await icann.domain_list(day)
        await icann.logout()
        clock = Clock.from_settings(config.clock, lab=config.lab)
        serial, tables = await _tables(config, tld, clock)
        owners = await _owners(config, tld)
        known = ours(tables)
        missing = sorted(name for name in theirs(report) if name not in known)
        looked = await _look(config, tld, missing[:LOOK_LIMIT], clock) if dns else {}
        lines = compare(report, known, owners, looked)
        found = figures(report, lines, serial) | {
            "at": rfc3339(clock.now()),
            "not_looked_at": len(missing) - len(looked),
        }
        path = Path(config.state) / f"reconcile-{tld}.csv"
        replace_file(path, to_csv(lines))
        replace_file(path.with_suffix(".json"), json.dumps(found, indent=1, sort_keys=True) + "\n")
        print(json.dumps(found) if as_json else _text(found, path))


def _day(date: str | None) -> dt.date | None:
    day = mosapi.parse_day(date) if date is not None else None
    if date is not None and day is None:
        raise ConfigurationError([f"--date: {date!r} must read YYYY-MM-DD"])
    return day


async def _tables(config: Config, tld: str, clock: Clock) -> tuple[int, Mapping[str, Sequence[Any]]]:
    async with Ledger.open(Path(config.state)) as ledger:
        watch = snapshot_watch(config, tld, ledger, Http(USER_AGENT))
        snapshot = await watch.look(clock.now(), accept=False)
    if snapshot is None:
        raise FetchError("unreachable", f"there is no snapshot of .{tld} yet; see `arke status`")
    return snapshot.manifest.serial, snapshot.tables


async def _owners(config: Config, tld: str) -> Collection[str] | None:
    watch = zone_watch(config, tld, Http(USER_AGENT))
    if watch is None:
        return None
    try:
        return (await watch.look()).owners
    except PanopticonError as error:
        print(f"arke: without the zone: {error}", file=sys.stderr)
        return None


async def _look(config: Config, tld: str, names: Sequence[str], clock: Clock) -> dict[str, tuple[str, str]]:
    """What the TLD's own servers say now of names our snapshot does not have; a name not below the TLD is left out."""
    found: dict[str, tuple[str, str]] = {}
    async with dns_client(config) as resolver:
        delegations = delegations_of(config, resolver)

        async def one(name: str) -> None:
            async with slots:
                answer = await delegations.check(name, tld, clock.now())
                found[name] = (answer.outcome, rfc3339(clock.now()))

        slots = trio.CapacityLimiter(LOOKS_AT_ONCE)
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(one, name, name="delegation")
    return found


def _text(found: Mapping[str, Any], path: Path) -> str:
    lines = [f".{found['tld']}: list of {found['list_date']} beside snapshot {found['serial']}"]
    lines.append(
        f"  in both {found['both']}, only theirs {found['only_theirs']} "
        f"({found['only_theirs_not_delegated']} of them not delegated), only ours {found['only_ours']}"
    )
    if found["unnamed"]:
        lines.append(f"  {found['unnamed']} of theirs are counted but not named: they cannot be compared")
    for threat, counts in sorted(found["by_threat"].items()):
        count = "not monitored" if counts["their_count"] == mosapi.UNKNOWN else counts["their_count"]
        lines.append(
            f"  {threat}: theirs {count}, both {counts['both']}, only theirs {counts['only_theirs']}, "
            f"only ours {counts['only_ours']}"
        )
    lines.append(f"  every name: {path}")
    return "\n".join(lines)
