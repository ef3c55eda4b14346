"""``panopticond status`` and ``arke status``: asks a daemon's socket and prints the page, once or again and again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import trio

from panopticond.shared.control import ask
from panopticond.shared.errors import ControlError

WATCH_SECONDS = 2.0
CLEAR = "\x1b[H\x1b[2J"


async def show_status(
    daemon: str, socket: str, page: Callable[[Mapping[str, Any]], str], *, as_json: bool, watch: bool
) -> None:
    """Print how ``daemon`` fares, as its ``page`` or as JSON: one object, a line each when watched.

    Raises ControlError when nobody answers at ``socket``; a watch shows the sentence and asks again.
    """
    while True:
        try:
            answer = await ask(socket, {"do": "status"})
            text = json.dumps(answer, indent=None if watch else 1) if as_json else page(answer)
        except ControlError as error:
            if not watch:
                raise
            text = f"{daemon}: {error}"
        clear = CLEAR if watch and not as_json and sys.stdout.isatty() else ""
        print(clear + text, flush=True)
        if not watch:
            return
        await trio.sleep(WATCH_SECONDS)
