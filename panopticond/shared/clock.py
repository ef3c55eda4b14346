"""The one clock: every policy time (dates, serials, deadlines, windows, ladders) comes from here.

It stands beside the whole flow: ``main`` makes one from ``[clock]`` and hands ``now`` to whoever decides. Policy time
equals real time at ``epoch`` and runs ``scale`` times as fast before and after it, so several processes with the same
two numbers agree without talking. Socket time-outs are real seconds and do not come from here.
"""

from __future__ import annotations

import datetime as dt
import time

import msgspec

from panopticond.shared.errors import ConfigurationError

UTC = dt.UTC


class ClockSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[clock]``: ``epoch`` (RFC 3339) is the real instant at which policy time equals real time."""

    epoch: dt.datetime | None = None
    scale: float = 1.0


class Clock:
    """Policy time: ``epoch + (real - epoch) * scale``, always UTC."""

    def __init__(self, epoch: dt.datetime | None = None, scale: float = 1.0) -> None:
        self.scale = scale
        self._epoch = (epoch or dt.datetime(1970, 1, 1, tzinfo=UTC)).timestamp()

    @classmethod
    def from_settings(cls, settings: ClockSettings, *, lab: bool) -> Clock:
        """The clock a configuration asks for; a scale other than 1 is refused without ``lab = true``."""
        problems = []
        if settings.scale != 1 and not lab:
            problems.append("clock.scale: a scale other than 1 is for the lab; set lab = true or leave it out")
        if settings.scale <= 0:
            problems.append("clock.scale: must be above 0")
        if settings.scale != 1 and settings.epoch is None:
            problems.append("clock.epoch: a scaled clock needs the instant at which it equals real time")
        if settings.epoch is not None and settings.epoch.tzinfo is None:
            problems.append("clock.epoch: needs a time zone, as in 2026-01-01T00:00:00Z")
        if problems:
            raise ConfigurationError(problems)
        return cls(settings.epoch, settings.scale)

    def now(self) -> dt.datetime:
        """Policy time now, UTC, to the microsecond."""
        real = time.time()
        return dt.datetime.fromtimestamp(self._epoch + (real - self._epoch) * self.scale, UTC)

    async def sleep(self, policy_seconds: float) -> None:
        """Sleep for so many seconds of policy time."""
        import trio  # noqa: PLC0415 - commands that only ask the time start a tenth of a second sooner without it

        await trio.sleep(max(0.0, policy_seconds) / self.scale)

    async def sleep_until(self, when: dt.datetime) -> None:
        """Sleep until policy time reaches ``when``; returns at once if it has."""
        import trio  # noqa: PLC0415 - as in sleep

        left_seconds = (when - self.now()).total_seconds()
        while left_seconds > 0:
            await trio.sleep(min(left_seconds / self.scale, 3600.0))
            left_seconds = (when - self.now()).total_seconds()


def rfc3339(when: dt.datetime) -> str:
    """``2026-01-02T03:04:05Z``: UTC, whole seconds, as every published time is written (RFC 3339)."""
    return when.astimezone(UTC).isoformat()[:19] + "Z"  # a fifth of what strftime costs, a million times a snapshot


def parse_rfc3339(text: str) -> dt.datetime:
    """The UTC time an RFC 3339 text means; raises ``ValueError`` for anything else or a time without a zone."""
    when = dt.datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return when.astimezone(UTC)
