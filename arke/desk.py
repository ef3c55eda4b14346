"""What arke's tasks share, and what the status socket says of it: case numbers and counts, never a contact.

Beside the flow: ``main`` makes one Desk, the tasks write to it, ``arke status`` and ``arke queue`` ask it.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import trio

from arke.cases.ledger import DECISIONS
from arke.cases.match import Matched
from arke.commands.statuspage import wrong
from arke.metrics import metrics
from arke.rooms import Rooms
from arke.screening.counter import Counter
from arke.screening.review import Draft
from arke.watch import Snapshot
from panopticond import __version__
from panopticond.shared.clock import rfc3339
from panopticond.shared.errors import PanopticonError
from panopticond.shared.watchdog import Pulse

API = 1
"""Of the status socket: another number means that keys were taken away or changed what they say."""
WRITERS = frozenset({"decide"})
"""Requests that change state: they need the daemon's own user or root."""


class Desk:
    """The last snapshots and their cases, what was refused and why, and the two bells tasks wake each other with."""

    def __init__(self, rooms: Rooms) -> None:
        self.rooms = rooms
        self.counter = Counter(rooms.config)
        self.snapshots: dict[str, Snapshot] = {}
        self.matched: dict[str, dict[str, Matched]] = {}
        """By TLD and case number, of the last pass."""
        self.marks: dict[str, object] = {}
        """What each TLD's cases were made of, so that an idle pass makes nothing anew."""
        self.sized: dict[str, int] = {}
        """The snapshot of each TLD that passed for plausible by its size."""
        self.zones_whole: dict[str, tuple[int | None, int]] = {}
        """Serial and names of each TLD's zone that passed for whole."""
        self.pruned: dt.datetime | None = None
        self.screened: dict[str, int] = {}
        """The snapshot each TLD's review list was last made for."""
        self.drafts: dict[str, Draft] = {}
        """Review lists whose names' registrations have not been asked about yet."""
        self.refused: dict[str, str] = {}
        self.problems: dict[str, str] = {}
        self.canary_sang = False
        self.working = False
        self.draining = False
        self.work_bell = trio.Event()
        self.mail_bell = trio.Event()
        self.pulse = Pulse()
        """Of the loops in ``main``: each says by when it will be heard of again."""

    def case(self, case_id: str) -> Matched | None:
        """An open case of the last snapshots, or None."""
        return next((cases[case_id] for cases in self.matched.values() if case_id in cases), None)

    def current(self, case_id: str) -> bool:
        """Whether what is known of a case is fresh: its TLD's snapshot is plausible, worked through and not too old."""
        tld = case_id.rsplit("-", 2)[0]
        snapshot = self.snapshots.get(tld)
        return (
            snapshot is not None
            and tld in self.matched
            and self.sized.get(tld) == snapshot.manifest.serial
            and not snapshot.too_old_for_mail(self.rooms.clock.now())
        )

    async def line(self) -> str:
        """How arke is in one line, for ``systemctl status``: case numbers and counts at the most."""
        try:
            status = await self.status()
        except PanopticonError as error:
            return str(error)  # the ledger refuses, which the loops tell and wait for; it does not hang
        wrong = [f".{tld}: {text}" for tld, text in status["refused"].items()] + list(status["problems"].values())
        first = f"{wrong[0]}{f' (and {len(wrong) - 1} more)' if len(wrong) > 1 else ''}; " if wrong else ""
        cases = sum(snapshot["open_cases"] for snapshot in status["snapshots"].values())
        return f"{first}{cases} open cases, {status['outbox']['waiting']} mails to be sent"

    def all_cases(self) -> list[Matched]:
        """Every open case of the last snapshots."""
        return [item for cases in self.matched.values() for item in cases.values()]

    def trouble(self, key: str, sentence: str) -> bool:
        """Keep a problem for status; True when it is new and worth a log line."""
        new = self.problems.get(key) != sentence
        self.problems[key] = sentence
        return new

    def accept(self, snapshot: Snapshot) -> None:
        """A verified snapshot came in: the cases are to be followed on it."""
        self.working = True
        self.snapshots[snapshot.manifest.tld] = snapshot
        self.work_bell.set()

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request on the status socket."""
        match request:
            case {"do": "status"}:
                return await self.status()
            case {"do": "metrics"}:
                return {"text": metrics(await self.status())}
            case {"do": "queue"}:
                return {"queue": [msgspec.to_builtins(entry) for entry in await self.rooms.ledger.queue()]}
            case {"do": "decide", "id": str(entry), "word": str(word)} if word in DECISIONS:
                changed = await self.rooms.ledger.decide(entry, word, self.rooms.clock.now())
                self.work_bell.set()
                return {"queue": [msgspec.to_builtins(item) for item in changed]}
            case {"do": "screen", "names": list(names)}:
                return dict(await self.counter.answer(names, request.get("tld")))
            case _:
                return {"error": "ask for status, metrics or queue, screen with names, or decide with id and word"}

    async def status(self) -> dict[str, Any]:
        """Last snapshots, what was refused, what waits, and when something happens next."""
        rooms = self.rooms
        counts = await rooms.ledger.counts()
        due = await rooms.outbox.next_due()
        clock = rooms.clocks.wrong()
        problems = {**({"clock": clock} if clock else {}), **self.problems}
        waiting = sum(counts["outbox"].get(state, 0) for state in ("queued", "sending", "retry", "unknown"))
        return {
            "api": API,
            "version": __version__,
            "at": rfc3339(rooms.clock.now()),
            "wrong": wrong({"refused": self.refused, "problems": problems}),
            "sending": rooms.mailer is not None,
            "working": self.working,
            "tlds": list(rooms.config.tlds),
            "snapshots": {
                tld: {
                    "serial": snapshot.manifest.serial,
                    "to": snapshot.manifest.end,
                    "expires": snapshot.manifest.expires,
                    "open_cases": sum(item.case.state == "open" for item in self.matched.get(tld, {}).values()),
                }
                for tld, snapshot in self.snapshots.items()
            },
            "refused": dict(self.refused),
            "problems": problems,
            "queue": counts["queue"],
            "outbox": {"waiting": waiting, "next_due": rfc3339(due) if due else None, **counts["outbox"]},
            "poll": rooms.config.poll,
        }
