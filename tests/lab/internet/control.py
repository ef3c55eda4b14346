"""The lab's own window: ``/health``, ``/requests`` (counts by server), ``/arrivals`` (at the TLD's servers) and ``/mails`` (how many were accepted)."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.lab.internet.http import Reply
from tests.lab.internet.smtp import Mailboxes
from tests.lab.internet.state import Internet


class Control:
    """What the runner asks while a world runs."""

    def __init__(self, state: Internet, boxes: Mailboxes) -> None:
        self._state = state
        self._boxes = boxes

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> Reply:  # noqa: ARG002 - a handler's form
        pages = {
            "/health": {"now": self._state.now().isoformat()},
            "/requests": dict(sorted(self._state.requests.items())),
            "/arrivals": {str(number): times for number, times in self._state.arrivals.items()},
            "/mails": {"accepted": self._boxes.accepted, "rejected": self._boxes.rejected},
            "/control": {"control": "ok"},
        }
        if target not in pages:
            return 404, {}, b""
        return 200, {"Content-Type": "application/json"}, json.dumps(pages[target]).encode()
