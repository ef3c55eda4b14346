"""What an operator types, found in the store: an indicator's id, or a URI, host or domain as people write it.

Behind ``explain``, ``review claim`` and the decisions: one reading for all of them, and the one a feed's row would get.
"""

from __future__ import annotations

from panopticond.config import Config, tlds
from panopticond.feeds.formats.row import Row
from panopticond.feeds.normalise import normalise
from panopticond.model import Indicator
from panopticond.shared.names import Names
from panopticond.store.interface import Standing, Store
from panopticond.wiring import policy

SHOWN = 200


async def named(store: Store, config: Config, text: str) -> list[Standing]:
    """The indicators meant by a text in any letter case, defanged or with a final dot; none when nobody listed it."""
    said = text.strip()
    found = normalise(Row(said), Names([policy(tld) for tld in tlds(config)]), "phishing")
    key = found.key if isinstance(found, Indicator) else said
    return await store.find(key) or await store.find(said.lower().rstrip("."))


def shown(text: str) -> str:
    """A text as an error may repeat it: on one line, printable, and no longer than a line or two."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text[: SHOWN + 1])
    return plain if len(text) <= SHOWN else f"{plain[:SHOWN]}..."
