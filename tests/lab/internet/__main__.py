"""``python -m tests.lab.internet WORLD.json PORTS.json``: the lab's internet as a process of its own."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

import msgspec
import trio

from panopticond.shared.clock import Clock, parse_rfc3339
from tests.lab.hands import Hands
from tests.lab.internet import serve_internet
from tests.lab.model import World


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.lab.internet")
    parser.add_argument("world", type=Path)
    parser.add_argument("ports", type=Path)
    parser.add_argument("--epoch", type=parse_rfc3339)
    parser.add_argument("--scale", type=float)
    parser.add_argument("--hands", type=Path, help="a clock moved by hand instead: its file")
    parser.add_argument("--certs", type=Path, required=True)
    parser.add_argument("--mails", type=Path, required=True)
    args = parser.parse_args()
    world = msgspec.json.decode(args.world.read_bytes(), type=World)
    clock = Hands(args.hands) if args.hands is not None else Clock(args.epoch, args.scale)
    trio.run(_run, world, clock, args)


async def _run(world: World, clock: Clock | Hands, args: argparse.Namespace) -> None:
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:

            async def serve(task_status: trio.TaskStatus[object]) -> None:
                await serve_internet(world, clock, certs=args.certs, mails=args.mails, task_status=task_status)

            ports = await nursery.start(serve)
            waiting = args.ports.with_suffix(".new")
            waiting.write_bytes(msgspec.json.encode(ports))
            waiting.rename(args.ports)
            async for _ in signals:
                nursery.cancel_scope.cancel()
                return


main()
