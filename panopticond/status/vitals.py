"""What the daemon says of itself to systemd: one line, and whether the checks that are due get made.

Beside the flow: ``main`` hands it to ``shared.watchdog``. Asking goes through the store and the window, as all work
does, so that a hanging store is silence too.
"""

from __future__ import annotations

from panopticond.shared.errors import PanopticonError
from panopticond.shared.watchdog import Pulse
from panopticond.status.answer import Health, status
from panopticond.wiring import Parts

ROUND_WITHIN_SECONDS = 1800.0
"""Real seconds in which some round is recorded while rounds are overdue: many times what one may take."""


class Vitals:
    """The pulse of a running daemon: its rounds."""

    def __init__(self, parts: Parts, health: Health) -> None:
        self.pulse = Pulse()
        self._parts, self._health = parts, health
        self._rounds = -1

    async def describe(self) -> str:
        """The line for ``systemctl status``: what there is to do, and what is wrong first of all."""
        self.feel()
        try:
            answer = await status(self._parts, self._health, {"do": "status"})
        except PanopticonError as error:
            return str(error)  # the store refuses, which is told and waited for; it does not hang
        wrong = answer["wrong"]
        first = f"{wrong[0]}{f' (and {len(wrong) - 1} more)' if len(wrong) > 1 else ''}; " if wrong else ""
        return f"{first}{answer['indicators']} indicators, {answer['rounds']} rounds since the start"

    def feel(self) -> None:
        """Beat when rounds get on: one was recorded, none is overdue, or the store is known to refuse them.

        A shared database that does not answer is one that refuses: a restart would only lose the rounds that wait.
        """
        due, rounds = self._parts.window.next_due(), self._health.rounds
        overdue = due is not None and due < self._parts.clock.now()
        fleet = self._parts.sharing.fleet
        refused = "store" in self._health.problems or (fleet is not None and fleet.away())
        if not overdue or rounds != self._rounds or refused:
            self.pulse.beat("rounds", ROUND_WITHIN_SECONDS)
        self._rounds = rounds
