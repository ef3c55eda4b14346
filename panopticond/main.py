"""The flow, as one coroutine: this file is the diagram.

feeds -rows-> normalise -indicators-> store <-> window -due-> probes -observations-> judge -> store
                                        | daily: snapshot, report, aggregates -> sign -> publish -> serve

Sinks stand outside, sources inside. SIGTERM ends the sources; what they had begun is either recorded whole or not at
all, so nothing is half done; a publication under way is given up whole, the last one stands, and the next start
makes up for it; answers under way get a second.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import msgspec
import trio

from panopticond.config import Config
from panopticond.feeds.follow import follow
from panopticond.judge.mistrial import netted
from panopticond.report.post import Alarm, mail_reports
from panopticond.schedule import Bell, Checked, Duty, probe_due
from panopticond.serve.door import serve
from panopticond.shared.control import notify, serve_control, serve_metrics
from panopticond.shared.settings import seconds
from panopticond.shared.watchdog import feed_watchdog
from panopticond.snapshot.press import press
from panopticond.snapshot.publish import publish_daily
from panopticond.status.answer import Health, status
from panopticond.status.vitals import Vitals
from panopticond.store.interface import Watch
from panopticond.upkeep import refresh_tranco, thin_history, watch_resolvers
from panopticond.wiring import Parts, assemble
from panopticond.zonelist import watch_zone

_PATIENCE_USEC = 60_000_000
"""How much longer systemd is to wait for us, asked for anew every twenty seconds."""
log = logging.getLogger(__name__)


def patiently(config: Config) -> AbstractAsyncContextManager[Parts]:
    """The parts of a daemon: one that starts before its database does waits for it, and says so."""
    last = ""

    def say(why: str) -> None:
        nonlocal last
        if why != last:
            log.warning("waiting for the store: %s", why)
        last = why
        notify(f"STATUS=waiting for the store: {why}\nEXTEND_TIMEOUT_USEC={_PATIENCE_USEC}")

    return assemble(config, waiting=say)


async def run(config: Config, *, assembled: Callable[[Config], AbstractAsyncContextManager[Parts]] = patiently) -> None:
    """Run the daemon until SIGTERM or SIGINT; returns once everything has drained.

    ``assembled`` opens its parts: the lab hands in a wrong one to show that its score falls.
    """
    async with assembled(config) as parts:
        health, bell = Health(), Bell()
        for watch in await parts.sharing.to_plan():
            _keep(parts, watch)

        async def answer(request: dict[str, Any]) -> Mapping[str, Any]:
            return await status(parts, health, request)

        async with trio.open_nursery() as sinks:
            socket = config.status
            if socket.metrics is not None:
                await sinks.start(serve_metrics, socket.metrics, answer, name="metrics")
            await sinks.start(serve_control, socket.socket, int(socket.mode, 8), answer, name="status")
            if config.serve.enabled and "serve" in config.roles:
                await sinks.start(serve, config, name="serve")
            async with trio.open_nursery() as publishers:
                async with trio.open_nursery() as sources:
                    await sources.start(_end_on_signal, sources.cancel_scope, name="signals")
                    if parts.sharing.fleet is not None:
                        await publishers.start(parts.sharing.fleet.keep, bell.ring, health.tell, name="fleet")
                    if "probe" in config.roles:
                        await _start_probing(parts, sources, publishers, health, bell)
                    if "collect" in config.roles:
                        await _start_collecting(parts, sources, bell)
                    if "publish" in config.roles:
                        await _start_publishing(parts, publishers, health)
                    vitals = Vitals(parts, health)
                    notify("READY=1")
                    sources.start_soon(feed_watchdog, vitals.pulse, vitals.describe, name="watchdog")
                    log.info("ready: %d feeds, %d indicators", len(parts.feeds), len(parts.window))
                notify("STOPPING=1")
                log.info("stopping")
                publishers.cancel_scope.cancel()
            sinks.cancel_scope.deadline = trio.current_time() + min(1.0, seconds(config.drain))


async def _start_probing(
    parts: Parts, sources: trio.Nursery, publishers: trio.Nursery, health: Health, bell: Bell
) -> None:
    alarm = _alarm(parts)
    if alarm is not None:
        publishers.start_soon(alarm.tell, parts.clock, health.tell, name="critical names")
    await sources.start(watch_resolvers, parts, health, name="quad9 self-test")

    async def on_round(checked: Checked) -> None:
        await health.count(checked)
        if alarm is not None:
            await alarm.consider(checked)

    on_trouble = partial(health.tell, "store")
    collaborators = (parts.window, parts.sharing.records, parts.prober, parts.clock, parts.judge, parts.listing_of)
    duty = Duty(*collaborators, on_round, on_trouble)

    async def probe() -> None:
        # Rounds begin once popularity is known, or known to be missing: what is popular goes to a person. Ready is
        # the daemon before that, for without a network the list takes its time to fail.
        if parts.tranco is not None:
            await sources.start(refresh_tranco, parts, health, name="tranco")
        await probe_due(duty, concurrency=parts.config.validation.concurrency, bell=bell)

    sources.start_soon(probe, name="probe due")


async def _start_collecting(parts: Parts, sources: trio.Nursery, bell: Bell) -> None:
    def on_new(watch: Watch) -> None:
        _keep(parts, watch)
        bell.ring()

    alone = parts.sharing.alone
    sources.start_soon(alone, "thin history", partial(thin_history, parts), name="thin history")
    for spec in parts.feeds:
        names, name = parts.names_of(spec.name), f"feed {spec.name}"
        visits = partial(follow, spec, parts.store, parts.http, names, parts.clock, on_new)
        await sources.start(alone, name, visits, name=name)


async def _start_publishing(parts: Parts, publishers: trio.Nursery, health: Health) -> None:
    printing = press(parts.config, await parts.sharing.surrogates())
    nets = netted(parts.judge)
    printing = msgspec.structs.replace(printing, judge=nets, assess=nets.assess)
    alone, clock, tell = parts.sharing.alone, parts.clock, health.tell
    if parts.tranco is not None and "probe" not in parts.config.roles:  # a snapshot names the list it was judged by
        publishers.start_soon(refresh_tranco, parts, health, name="tranco")
    for tld in parts.tlds:
        today = partial(parts.today, tld)
        publish = partial(publish_daily, printing, parts.store, tld, clock, today, tell)
        publishers.start_soon(alone, f"publish {tld.name}", publish, name=f"publish {tld.name}")
        if tld.zone is not None:
            look = partial(watch_zone, parts.config, tld, parts.store, clock, tell)
            publishers.start_soon(alone, f"zone {tld.name}", look, name=f"zone {tld.name}")
        if parts.config.mail.host is not None and tld.managers:
            mail = partial(mail_reports, parts.config, tld, clock, tell)
            publishers.start_soon(alone, f"mail {tld.name}", mail, name=f"mail {tld.name}")


def _alarm(parts: Parts) -> Alarm | None:
    mail = parts.config.mail
    if mail.host is None or not mail.critical:
        return None
    trusts = {spec.name: spec.trust for spec in parts.feeds if spec.licence not in ("verdict-only", "no-store")}
    return Alarm(parts.config, {str(tld.name): tld for tld in parts.tlds}, trusts, parts.store)


def _keep(parts: Parts, watch: Watch) -> None:
    if watch.check:
        parts.window.add(watch, parts.clock.now())


async def _end_on_signal(scope: trio.CancelScope, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for number in signals:
            log.info("%s: ending", signal.Signals(number).name)
            scope.cancel()
            return
