"""The daemon's pulse: rounds that are due get made, or somebody says why not."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, cast

from panopticond.status.answer import Health
from panopticond.status.vitals import Vitals

NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)


class Away:
    """A fellowship whose database does not answer."""

    def away(self) -> bool:
        return True


@dataclass
class Fake:
    """As much of the parts as the pulse is felt by."""

    due: dt.datetime | None = NOW - dt.timedelta(hours=1)
    fleet: Away | None = None

    @property
    def sharing(self) -> Fake:
        return self

    @property
    def window(self) -> Fake:
        return self

    @property
    def clock(self) -> Fake:
        return self

    def next_due(self) -> dt.datetime | None:
        return self.due

    def now(self) -> dt.datetime:
        return NOW


def felt(parts: Fake, health: Health) -> tuple[Vitals, list[float]]:
    """Vitals whose pulse runs on a clock of ours."""
    vitals, now = Vitals(cast("Any", parts), health), [0.0]
    vitals.pulse._now = lambda: now[0]
    return vitals, now


def test_overdue_and_no_round_is_standstill() -> None:
    """Rounds overdue and none recorded for half an hour: late; one more round, and it is not."""
    health = Health()
    vitals, now = felt(Fake(), health)
    vitals.feel()
    now[0] = 1801.0
    vitals.feel()
    assert vitals.pulse.late() == ["rounds"]
    health.rounds += 1
    vitals.feel()
    assert vitals.pulse.late() == []


def test_nothing_due_is_no_standstill() -> None:
    """With nothing planned, or all of it in the future, no round has to come."""
    for due in (None, NOW + dt.timedelta(hours=5)):
        vitals, now = felt(Fake(due), Health())
        vitals.feel()
        now[0] = 9000.0
        vitals.feel()
        assert vitals.pulse.late() == []


def test_a_store_that_refuses_is_told_and_not_killed_for() -> None:
    """A full disk costs rounds; a restart would not mend it, so the pulse goes on while status tells it."""
    health = Health()
    vitals, now = felt(Fake(), health)
    vitals.feel()
    health.tell("store", "the disk is full")
    now[0] = 9000.0
    vitals.feel()
    assert vitals.pulse.late() == []


def test_a_shared_database_that_is_away_is_waited_for() -> None:
    """However long it is away: the rounds that wait for it would be lost by a restart."""
    vitals, now = felt(Fake(fleet=Away()), Health())
    vitals.feel()
    now[0] = 9000.0
    vitals.feel()
    assert vitals.pulse.late() == []
