"""Policy time is a function of real time and two numbers."""

from __future__ import annotations

import datetime as dt
import time

import pytest

from panopticond.shared.clock import Clock, ClockSettings, parse_rfc3339, rfc3339
from panopticond.shared.errors import ConfigurationError

UTC = dt.UTC


def test_both_times_meet_at_the_epoch() -> None:
    """Before a future epoch policy time lies further back, by the scale."""
    epoch = dt.datetime.fromtimestamp(time.time() + 100, UTC)
    behind = epoch - Clock(epoch, 60.0).now()
    assert dt.timedelta(seconds=60 * 98) < behind <= dt.timedelta(seconds=60 * 100)
    assert abs((Clock().now() - dt.datetime.now(UTC)).total_seconds()) < 1


def test_two_clocks_with_the_same_numbers_agree() -> None:
    """Processes need not talk to agree."""
    epoch = dt.datetime(2026, 1, 1, tzinfo=UTC)
    one, other = Clock(epoch, 1000.0), Clock(epoch, 1000.0)
    assert abs((one.now() - other.now()).total_seconds()) < 60


async def test_sleeping_until_a_policy_time() -> None:
    """An hour of policy time at scale 36,000 is a tenth of a second."""
    clock = Clock(dt.datetime.now(UTC), 36_000.0)
    target = clock.now() + dt.timedelta(hours=1)
    await clock.sleep_until(target)
    assert clock.now() >= target
    await clock.sleep_until(target)


@pytest.mark.parametrize(
    ("settings", "lab", "path"),
    [
        (ClockSettings(scale=2.0), True, "clock.epoch"),
        (ClockSettings(epoch=dt.datetime(2026, 1, 1, tzinfo=UTC), scale=2.0), False, "clock.scale"),
        (ClockSettings(epoch=dt.datetime(2026, 1, 1), scale=1.0), False, "clock.epoch"),  # noqa: DTZ001 - the fault
        (ClockSettings(epoch=dt.datetime(2026, 1, 1, tzinfo=UTC), scale=0.0), True, "clock.scale"),
    ],
)
def test_a_clock_that_cannot_be_is_refused(settings: ClockSettings, lab: bool, path: str) -> None:
    """A scale needs the lab and an epoch with a zone."""
    with pytest.raises(ConfigurationError) as caught:
        Clock.from_settings(settings, lab=lab)
    assert any(problem.startswith(path) for problem in caught.value.problems)


def test_times_are_written_one_way() -> None:
    """UTC, whole seconds, Z; a time without a zone is no time."""
    when = dt.datetime(2026, 1, 2, 5, 4, 5, 678, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert rfc3339(when) == "2026-01-02T03:04:05Z"
    assert parse_rfc3339("2026-01-02T03:04:05Z") == dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    with pytest.raises(ValueError, match="zone"):
        parse_rfc3339("2026-01-02T03:04:05")
