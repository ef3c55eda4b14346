"""Whether a daemon gets on: its loops say so as they go round, and systemd's watchdog is fed only while all of them do.

Beside the flow of both daemons. A loop that hangs, a store that does not answer or an event loop that stands still
starves the watchdog (sd_notify(3), ``WatchdogSec=`` of the unit), and systemd ends the daemon and starts it anew.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable

import trio

from panopticond.shared.control import notify

log = logging.getLogger(__name__)

STATUS_SECONDS = 60.0
"""Between two STATUS lines where systemd asks for no watchdog."""


class Pulse:
    """When each loop promised to be heard of again. ``now`` gives seconds that only grow."""

    def __init__(self, now: Callable[[], float] = trio.current_time) -> None:
        self._now = now
        self._until: dict[str, float] = {}

    def beat(self, name: str, within_seconds: float) -> None:
        """A loop got on, and will again within so many (real) seconds; that is its promise, not its habit."""
        self._until[name] = self._now() + within_seconds

    def ended(self, name: str) -> None:
        """A loop is over and promises nothing any more."""
        self._until.pop(name, None)

    def late(self) -> list[str]:
        """The loops that broke their promise, in the order of their names."""
        return sorted(name for name, until in self._until.items() if until < self._now())


def watchdog_seconds() -> float | None:
    """How often systemd wants to be told that we live, halved as sd_watchdog_enabled(3) advises; None: not at all."""
    microseconds, whose = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or int(microseconds) == 0 or whose not in {"", str(os.getpid())}:
        return None
    return int(microseconds) / 2e6


async def feed_watchdog(pulse: Pulse, describe: Callable[[], Awaitable[str]]) -> None:
    """Tell systemd what the daemon does (``STATUS=``, one line), and that it lives while no loop is late.

    ``describe`` asks what the daemon itself works with (its store, its window): while that gives no answer, nothing is
    told. Until cancelled; without ``$NOTIFY_SOCKET`` nobody listens and it returns.
    """
    if "NOTIFY_SOCKET" not in os.environ:
        return
    asked = watchdog_seconds()
    silent: list[str] = []
    while True:
        line = (await describe()).replace("\n", " ")
        late = pulse.late()
        if late:
            notify(f"STATUS=stands still: {', '.join(late)}")
            if late != silent:
                log.error("%s: no sign of life for too long; the watchdog is not fed any more", ", ".join(late))
        elif asked is not None:
            notify(f"STATUS={line}\nWATCHDOG=1")
        else:
            notify(f"STATUS={line}")
        silent = late
        await trio.sleep(asked or STATUS_SECONDS)
