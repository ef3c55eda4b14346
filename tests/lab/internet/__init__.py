"""The lab's internet: every server a World needs, on loopback, acting out the truth at whatever time the clock says.

``serve_internet`` starts them all in one nursery and reports their Ports; ``python -m tests.lab.internet`` is the same
as a process of its own. Nothing here knows what the daemons should conclude: that is the scorer's.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import trio

from panopticond.shared.clock import Clock
from tests.lab.hands import Hands
from tests.lab.internet import control, dns, feeds, networks, rdap, smtp, tranco, webrisk
from tests.lab.internet.http import serve_http
from tests.lab.internet.proxy import serve_proxy
from tests.lab.internet.state import Internet
from tests.lab.internet.web import Sites
from tests.lab.model import Ports, World


async def serve_internet(
    world: World,
    clock: Clock | Hands,
    *,
    certs: Path,
    mails: Path,
    task_status: trio.TaskStatus[Ports] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the whole world until cancelled; accepted mails go to ``mails`` as NDJSON, synced before the 250."""
    state = Internet(world, clock, Counter())
    sites = Sites(state, certs)
    box = smtp.Mailboxes(state, mails)
    async with trio.open_nursery() as nursery:
        tld_dns = [
            await nursery.start(dns.serve, dns.Authority(state).answer, state.arrivals.setdefault(number, []))
            for number in range(2)
        ]
        registry_dns = [await nursery.start(dns.serve, dns.Authority(state).answer) for _ in tld_dns]
        resolver = await nursery.start(dns.serve, dns.Resolver(state, filtering=False).answer)
        filtering = await nursery.start(dns.serve, dns.Resolver(state, filtering=True).answer)
        proxies = {
            name: await nursery.start(serve_proxy, state, sites, name, country) for name, country in world.vantages
        }
        address_rdap: list[int] = []
        for number in range(3):
            address_rdap.append(await nursery.start(serve_http, networks.registry(state, number, lambda: address_rdap)))
        ports = Ports(
            tld_dns=tuple(tld_dns),
            registry_dns=tuple(registry_dns),
            resolver=resolver,
            filtering=filtering,
            proxies=proxies,
            feeds=await nursery.start(serve_http, feeds.Feeds(state).answer),
            webrisk=await nursery.start(serve_http, webrisk.WebRisk(state).answer),
            tranco=await nursery.start(serve_http, tranco.Tranco(state).answer),
            rdap=await nursery.start(serve_http, rdap.Rdap(state).answer),
            address_rdap=tuple(address_rdap),
            smtp=await nursery.start(box.serve),
            control=await nursery.start(serve_http, control.Control(state, box).answer),
        )
        task_status.started(ports)
