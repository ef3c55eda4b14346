"""`panopticond status`: asks the running daemon's socket and shows the page, once or again and again."""

from __future__ import annotations

import json
import sys

import trio

from panopticond.shared.control import ask
from panopticond.shared.errors import ControlError
from panopticond.status.page import page

WATCH_SECONDS = 2.0
CLEAR = "\x1b[H\x1b[2J"


async def show(socket: str, *, as_json: bool, watch: bool) -> None:
    """Print how the daemon fares; ControlError when none answers, which a watch shows and waits out."""
    while True:
        try:
            answer = await ask(socket, {"do": "status"})
            text = json.dumps(answer, indent=None if watch else 1) if as_json else page(answer)
        except ControlError as error:
            if not watch:
                raise
            text = f"panopticond: {error}"
        clear = CLEAR if watch and not as_json and sys.stdout.isatty() else ""
        print(clear + text, flush=True)
        if not watch:
            return
        await trio.sleep(WATCH_SECONDS)
