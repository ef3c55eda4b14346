"""The connection of a probe's last GET, kept for the next one to the same place: redirects, and the made-up path.

Between :mod:`panopticond.probe.web`, which makes one for every look at a URI, and :mod:`panopticond.probe.webwire`.
One task owns it and nothing else shares it, so no connection ever crosses from one site, vantage or session to another.
"""

from __future__ import annotations

from collections.abc import Collection

import trio

from panopticond.probe.webline import Line

Held = tuple[Line, str, tuple[bytes, ...]]
"""(the connection, the address it leads to or nothing through a proxy, the certificates shown on it)."""


class Kept:
    """At most one connection; to be closed by whoever made it."""

    def __init__(self) -> None:
        self._place: tuple[str, str, int] | None = None
        self._held: Held | None = None

    def take(self, place: tuple[str, str, int], addresses: Collection[str]) -> Held | None:
        """The connection if it leads to ``place`` (scheme, host, port); else it is closed.

        Where it leads directly it must still lead to one of ``addresses``, which the guard has just let through. One on
        which something came that was not asked for is closed: an early answer would pass for that to the next request.
        """
        held, self._held = self._held, None
        if held is None:
            return None
        line, address, _ = held
        if self._place == place and (not address or address in addresses) and not _spoken(line):
            return held
        line.close()
        return None

    def put(self, place: tuple[str, str, int], held: Held) -> None:
        """Keep the connection of a GET that has ended well."""
        self.close()
        self._place, self._held = place, held

    @property
    def holds(self) -> bool:
        """Whether there is a connection."""
        return self._held is not None

    async def close_after(self, seconds: float) -> None:
        """Close it then, unless cancelled before."""
        await trio.sleep(seconds)
        self.close()

    def close(self) -> None:
        """At once; any number of times."""
        if self._held is not None:
            self._held[0].close()
            self._held = None


def _spoken(line: Line) -> bool:
    """Whether there is anything to read, an end or a fault included."""
    try:
        return line.unasked() is not None
    except OSError:
        return True
