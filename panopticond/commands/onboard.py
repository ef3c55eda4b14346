"""`panopticond onboard TLD`: a first report and a ready configuration from the TLD's name and the keyless feeds.

Writes everything below one directory and nothing elsewhere: the configuration, a key pair, the registry's password, the
store, the published tree. Then it does once what the daemon does all day: every feed is visited, what is new is looked
at, a snapshot is published, and its report stands beside the configuration.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import secrets
import shlex
import shutil
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from panopticond.commands.check_config import checked
from panopticond.commands.first_configuration import configuration, time_zone
from panopticond.commands.keys import generate_keys, public_key
from panopticond.config import Config, Tld
from panopticond.feeds.catalogue import FeedSpec
from panopticond.feeds.visit import visit
from panopticond.premises import furnish, only_one
from panopticond.probe.round import REGISTRATIONS_AT_ONCE
from panopticond.schedule import Duty, check_once
from panopticond.shared.clock import Clock
from panopticond.shared.errors import ConfigurationError, PanopticonError
from panopticond.shared.http import Http
from panopticond.shared.names import ascii_name
from panopticond.shared.rdap.bootstrap import find_rdap
from panopticond.shared.settings import read_toml
from panopticond.shared.snapshot import REPORT_HTML
from panopticond.shared.typed import program
from panopticond.shared.values import tld_fault
from panopticond.snapshot.press import press
from panopticond.snapshot.publish import publish_tld
from panopticond.wiring import USER_AGENT, Parts, assemble

CONFIG, REPORT = "panopticond.toml", "first-report.html"
ROUNDS = 500
"""Indicators looked at for the first report; the daemon looks at the rest within minutes of its start."""
BIND = "127.0.0.1:8053"
Show = Callable[[str], object]


async def onboard(tld: str, out: Path, surroundings: Path | None, show: Show) -> int:
    """Write, look, publish, and say what to do next. 1 when not one feed answered: the report then only says that."""
    name = ascii_name(tld)
    problems = [f"TLD: {fault}"] if (fault := tld_fault(name)) else []
    if not str(out.absolute()).isprintable():
        problems.append(f"--out: {str(out.absolute())!r}: holds what no configuration can, or no terminal shows")
    if problems:
        raise ConfigurationError(problems)
    config = await _write(name, out.absolute(), surroundings, show)
    furnish(config)
    with only_one(config):
        worked = await _first_report(config, name, out.absolute(), show)
    path = out.absolute() / CONFIG
    key = public_key(out.absolute() / "panopticon.key")
    show("")
    show(f"configuration: {path}")
    command = program("panopticond")
    show(f"start:         {command} run -c {shlex.quote(str(path))}")
    show(f"watch:         {command} status --socket {shlex.quote(config.status.socket)}")
    show(f"give the registry of .{name}, by a second way, this key: {key}")
    show(f"and its password for account {name}: it stands in {out.absolute() / 'secrets' / name}")
    show(f"what it fetches: http://{config.serve.bind}/{name}/latest/records.sql, once the daemon runs; to let others")
    show("reach that, with TLS: docs/how-to/serve-with-nginx.md")
    if surroundings is None:
        show(f"one thing no program can find out: a proxy abroad for the vantage `second`, in {path}")
    return 0 if worked else 1


async def _write(name: str, out: Path, surroundings: Path | None, show: Show) -> Config:
    path = out / CONFIG
    if path.exists():
        raise PanopticonError(
            f"{path}: is there already; give another --out, or start it with {program('panopticond')} run -c {path}"
        )
    around = read_toml(surroundings) if surroundings is not None else None
    rdap = None
    if around is None:
        rdap, sentence = await find_rdap(Http(USER_AGENT), name)
        show(sentence)
    text = configuration(name, out, bind=_free(BIND), rdap=rdap, zone=time_zone(name), surroundings=around)
    try:
        (out / "secrets").mkdir(parents=True, mode=0o700, exist_ok=True)
        if not (out / "panopticon.key").exists():
            generate_keys(out / "panopticon.key")
        secret = out / "secrets" / name
        if not secret.exists():  # one of an earlier attempt may be in somebody's hands already
            handle = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(24) + "\n")
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PanopticonError(f"{out}: cannot be written: {error.strerror}; give another --out") from error
    try:
        return checked(path)
    except ConfigurationError:
        path.rename(path.with_suffix(".refused"))  # so that the next attempt is not refused for this one
        raise


def _free(bind: str) -> str:
    """This address to serve at, or one with another port where it is taken."""
    host, _, port = bind.rpartition(":")
    for wanted in (int(port), 0):
        with contextlib.suppress(OSError), socket.socket() as bound:
            bound.bind((host, wanted))
            return f"{host}:{bound.getsockname()[1]}"
    return bind


async def _first_report(config: Config, name: str, out: Path, show: Show) -> bool:
    """Visit, look and publish once; whether any feed worked."""
    async with assemble(config) as parts:
        worked = await _visit_all(parts, show)
        if parts.tranco is not None:
            await parts.tranco.refresh(parts.clock.now())
        await _look(parts, show)
        printing = press(config, await parts.sharing.surrogates())
        tld = next(tld for tld in parts.tlds if tld.name == name)
        made = await publish_tld(printing, parts.store, tld, await parts.today(tld), await _whole_second(parts.clock))
        await trio.to_thread.run_sync(
            shutil.copyfile, printing.root / name / str(made.serial) / REPORT_HTML, out / REPORT
        )
        show(f"first report:  {out / REPORT}" + ("" if worked else " (no feed answered: it can only say that)"))
        return worked


async def _whole_second(clock: Clock) -> dt.datetime:
    """The next full second, once it has come.

    A snapshot is issued at a whole second and ends there: issued at once, it would leave out what was seen since.
    """
    when = clock.now().replace(microsecond=0) + dt.timedelta(seconds=1)
    await clock.sleep_until(when)
    return when


async def _visit_all(parts: Parts, show: Show) -> bool:
    good: list[str] = []

    async def one(spec: FeedSpec) -> None:
        names, now = parts.names_of(spec.name), parts.clock.now()
        try:
            health, _ = await visit(
                spec, parts.store, parts.http, names, now, lambda watch: parts.window.add(watch, now)
            )
        except Exception as error:  # noqa: BLE001 - one feed's body must not end the others
            show(f"feed {spec.name}: a defect of ours: {type(error).__name__}: {error}")
            return
        good.extend([spec.name] if health.state == "OK" else [])
        rows = f"{health.indicators} of {health.rows} rows in scope"
        show(f"feed {spec.name}: {health.state}, {rows}. {health.reason}".rstrip())

    async with trio.open_nursery() as nursery:
        for spec in parts.feeds:
            nursery.start_soon(one, spec, name=f"feed {spec.name}")
    return bool(good)


def at_once(config: Config, served: Sequence[Tld]) -> int:
    """How many rounds a first report makes at once.

    A daemon goes on without a registration that waits behind sixteen others, and asks in the next round; a first report
    has one round.
    """
    asked = config.registration.enabled and any(tld.rdap.url for tld in served)
    return min(config.validation.concurrency, REGISTRATIONS_AT_ONCE) if asked else config.validation.concurrency


async def _look(parts: Parts, show: Show) -> None:
    """One round of each indicator, the newest known first, a few at a time."""
    watches = await parts.store.watches()
    chosen = sorted((watch for watch in watches if watch.check), key=lambda watch: watch.recorded, reverse=True)[
        :ROUNDS
    ]
    slots, done = trio.CapacityLimiter(at_once(parts.config, parts.tlds)), 0

    async def heard(_: object) -> None:
        nonlocal done
        done += 1

    duty = Duty(parts.window, parts.sharing.records, parts.prober, parts.clock, parts.judge, parts.listing_of, heard)

    async def one(indicator_id: int) -> None:
        async with slots:
            await check_once(duty, indicator_id)

    async with trio.open_nursery() as nursery:
        for watch in chosen:
            nursery.start_soon(one, watch.id, name=f"round {watch.id}")
    show(f"looked at {done} of {len(watches)} indicators from {len(parts.config.vantage)} vantages")
