"""``panopticond feeds test``: one visit to a feed, out of the configuration's parts and without a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from panopticond.config import read, tlds
from panopticond.feeds.trial import choose, try_feed
from panopticond.shared.clock import Clock
from panopticond.shared.http import Http
from panopticond.shared.names import Names
from panopticond.wiring import USER_AGENT, policy


async def feeds_test(name: str, path: Path | None, show: Callable[[str], object]) -> int:
    """The exit status of a visit to ``name``; without a configuration, of the catalogue and for every public suffix."""
    if path is None:
        return await try_feed(choose(name, ()), Http(USER_AGENT), Names(None), Clock().now(), show)
    config = read(path)
    clock = Clock.from_settings(config.clock, lab=config.lab)
    names = Names([policy(tld) for tld in tlds(config)])
    return await try_feed(choose(name, config.feed), Http(USER_AGENT), names, clock.now(), show)
