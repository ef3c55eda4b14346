"""The control probe: does a vantage work at all? Without its word a missing answer is nobody's failure.

Asked by :mod:`panopticond.probe.web` whenever a site gave no answer. A broken proxy, or our own network down, must
never make a site look dead (design section 4, ``unreachable``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import trio

from panopticond.probe.weburi import is_address, target_of
from panopticond.probe.webvantage import WebVantage
from panopticond.probe.webwire import Wire, WireError

Resolve = Callable[[str], Awaitable[tuple[str, ...] | None]]
"""Addresses of a host: empty when it has none, None when that could not be found out."""


class WebLimits(msgspec.Struct, frozen=True):
    """Real seconds and bytes; ``deadline_seconds`` bounds one URI with all its redirects, waiting our turn apart."""

    connect_seconds: float = 8.0
    deadline_seconds: float = 25.0
    body_bytes: int = 128 << 10
    per_host_seconds: float = 1.0
    control_seconds: float = 5.0
    """A control probe vouches for failures that began at most so long after it; a bad one is asked again after it."""


class Control:
    """Whether a vantage works at all: a GET of the operator's own ``control_uri`` through it, remembered a while."""

    def __init__(self, wire: Wire, resolve: Resolve, limits: WebLimits) -> None:
        self._wire = wire
        self._resolve = resolve
        self._limits = limits
        self._locks: dict[str, trio.Lock] = {}
        self._known: dict[str, tuple[float, str]] = {}

    async def state(self, vantage: WebVantage, began: float) -> str:
        """``good``, or why this vantage cannot vouch for a failure: ``none`` configured, or the probe's own reason.

        ``began`` is when the failed request began (trio's clock): a vantage that worked long before it may have broken
        since, so only a control probe of its own time, or a later one, counts. Failures meanwhile share the next one.
        """
        if vantage.control_uri is None:
            return "none"
        async with self._locks.setdefault(vantage.name, trio.Lock()):
            asked, state = self._known.get(vantage.name, (0.0, ""))
            if not state or asked < began - self._limits.control_seconds:
                asked = trio.current_time()
                state = await self._ask(vantage, vantage.control_uri)
                self._known[vantage.name] = (asked, state)
            return state

    async def _ask(self, vantage: WebVantage, uri: str) -> str:
        try:
            target = target_of(uri)
        except ValueError:
            return "malformed"
        if vantage.proxy_host is None:
            addresses = (target.host.strip("[]"),) if is_address(target.host) else await self._resolve(target.host)
            target = msgspec.structs.replace(target, addresses=addresses or ())
        try:
            reply = await self._wire.get(target, vantage, trio.current_time() + self._limits.deadline_seconds)
        except WireError as error:
            return error.reason
        return "good" if 200 <= reply.status <= 299 else f"status-{reply.status:03d}"
