"""The one tree of errors both daemons raise; each carries the sentence an operator reads and an exit status.

Everything a caller is expected to handle is a value, not one of these. ``__main__`` alone turns them into an exit.
"""

from __future__ import annotations

from typing import ClassVar


class PanopticonError(Exception):
    """Something failed that the operator must know of; ``str(error)`` is one sentence that says what to do."""

    exit_status: ClassVar[int] = 1


class ConfigurationError(PanopticonError):
    """A configuration or a command line cannot be used; ``problems`` holds every fault with its path."""

    exit_status: ClassVar[int] = 2

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class RefusedError(PanopticonError):
    """Refused for safety: a bad signature, a rollback, an expired snapshot, a byte changed (exit status 3)."""

    exit_status: ClassVar[int] = 3


class DeferredError(PanopticonError):
    """Not now: whoever called shall try again later (``EX_TEMPFAIL`` of sysexits.h, by which mail servers go)."""

    exit_status: ClassVar[int] = 75


class StoreError(PanopticonError):
    """The embedded or remote store cannot be opened, read or written."""


class FetchError(PanopticonError):
    """A body could not be fetched whole; ``reason`` is one of the words in :mod:`panopticond.shared.http`."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


class ControlError(PanopticonError):
    """The status socket cannot be served or asked."""
