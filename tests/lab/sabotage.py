"""Daemons made wrong on purpose: ``python -m tests.lab.sabotage NAME run -c FILE``, the real flow with one part replaced.

A scorer that cannot fail proves nothing: the integration tests start each of these in a daemon's place and see the score
fall in the figure that is about it. What is replaced is handed to the real ``main.run`` as an argument.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import logging
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import trio

import arke.config
import arke.main
import panopticond.config
import panopticond.main
from arke.mail.smtp import Mailer, Reply
from arke.model import Notice
from arke.rooms import Rooms, open_rooms
from panopticond.judge.verdict import judge
from panopticond.model import Verdict
from panopticond.wiring import Parts, assemble

WRONG_PANOPTICOND = ("flipped-verdict",)
WRONG_ARKE = ("wrong-recipient", "nothing-sent")


def flipped(*seen: Any, **rules: Any) -> Verdict:
    """The judge with its verdict turned round: what is active counts as gone, everything else as active."""
    verdict = judge(*seen, **rules)
    return msgspec.structs.replace(verdict, state="mitigated-content" if verdict.state == "active" else "active")


class Stray:
    """A mailer that keeps the first recipient it was ever given, as a look-up that carries over would."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer
        self._first: str | None = None

    async def send(self, notice: Notice) -> Reply:
        """Send to the first recipient ever seen, whoever this notice is for."""
        self._first = self._first or notice.recipient
        return await self._mailer.send(msgspec.structs.replace(notice, recipient=self._first))


class Silence:
    """A mailer that says yes to everything and sends nothing."""

    def __init__(self, mailer: Mailer) -> None:
        self._mailer = mailer

    async def send(self, notice: Notice) -> Reply:
        """Accepted, by nobody."""
        await trio.lowlevel.checkpoint()
        return Reply(250, f"2.0.0 {notice.message_id} accepted", "sent")


@contextlib.asynccontextmanager
async def wrong_parts(config: panopticond.config.Config) -> AsyncIterator[Parts]:
    """Panopticond's parts with the flipped judge."""
    async with assemble(config) as parts:
        yield msgspec.structs.replace(parts, judge=flipped)


@contextlib.asynccontextmanager
async def wrong_rooms(config: arke.config.Config, *, how: str) -> AsyncIterator[Rooms]:
    """Arke's rooms with one of the wrong mailers."""
    async with open_rooms(config) as rooms:
        if rooms.mailer is None:
            raise ValueError("a sabotaged mailer needs a configuration that sends")
        wrong: Any = Stray(rooms.mailer) if how == "wrong-recipient" else Silence(rooms.mailer)
        yield msgspec.structs.replace(rooms, mailer=wrong)


def main() -> int:
    """Run one sabotaged daemon until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.sabotage", description=__doc__)
    parser.add_argument("how", choices=(*WRONG_PANOPTICOND, *WRONG_ARKE))
    parser.add_argument("command", choices=("run",))
    parser.add_argument("-c", "--config", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    if arguments.how in WRONG_PANOPTICOND:
        flow = functools.partial(panopticond.main.run, assembled=wrong_parts)
        trio.run(flow, panopticond.config.read(arguments.config))
    else:
        opened = functools.partial(wrong_rooms, how=arguments.how)
        trio.run(functools.partial(arke.main.run, opened=opened), arke.config.read(arguments.config))
    return 0


if __name__ == "__main__":
    sys.exit(main())
