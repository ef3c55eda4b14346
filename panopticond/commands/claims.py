"""``panopticond review claim`` and ``review feeds``: what holders dispute, and how often each feed was found wrong.

A claim says that a listing is wrong. It comes from a registry or a holder by whatever way, is entered by its
indicator's id, URI, host or domain and keeps nothing else: no name, no address, no words. Until a person confirms or
dismisses the indicator it causes no notice; it is probed, counted and published as before, the claim beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from panopticond.commands.named import named, shown
from panopticond.config import Config, tlds
from panopticond.model import public_id
from panopticond.shared.clock import Clock
from panopticond.shared.errors import PanopticonError
from panopticond.store.interface import Standing
from panopticond.store.opening import open_configured

LIMIT_BYTES = 1 << 20
LIMIT_LINES = 10_000


class FeedRecord(msgspec.Struct, frozen=True):
    """What people decided about the indicators of one feed; one that several feeds list counts for each."""

    feed: str
    indicators: int
    claimed: int
    """Disputed and not yet decided."""
    confirmed: int
    dismissed: int
    """Found to be wrong."""

    @property
    def wrong_share(self) -> float | None:
        """Share of dismissed among those a person decided; None while nobody decided any."""
        decided = self.confirmed + self.dismissed
        return self.dismissed / decided if decided else None


def claims_in(path: Path) -> list[str]:
    """The claims in a file, one a line; blank lines and ``#`` comments are none. PanopticonError for what is no list.

    Of a line only the first word counts, so that a registry's case number may stand behind it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT_BYTES + 1)
        lines = data.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no UTF-8 text"
        raise PanopticonError(f"{path}: {reason}") from error
    if len(data) > LIMIT_BYTES or len(lines) > LIMIT_LINES:
        raise PanopticonError(f"{path}: more than {LIMIT_LINES} lines or {LIMIT_BYTES} bytes; enter it in parts")
    return [line.split()[0] for line in lines if line.strip() and not line.lstrip().startswith("#")]


async def claim(config: Config, texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Enter claims; (a sentence for each indicator now claimed or left as decided, the texts nobody knows)."""
    clock = Clock.from_settings(config.clock, lab=config.lab)
    told, unknown = [], []
    async with await open_configured(config.store) as store:
        for text in dict.fromkeys(texts):
            standings = await named(store, config, text)
            if not standings:
                unknown.append(shown(text))
            for standing in standings:
                told.append(_told(standing))
                if standing.decision is None:
                    await store.decide(standing.subject.id, "claim", clock.now())
    return told, unknown


def _told(standing: Standing) -> str:
    name = f"{public_id(standing.subject.key)} {standing.subject.key}"
    if standing.decision in (None, "claim"):
        return f"{name}: claimed to be wrong; no notice until a person confirms or dismisses it"
    return f"{name}: a person has decided already ({standing.decision}); decide anew to change that"


async def feed_records(config: Config) -> list[FeedRecord]:
    """The record of every feed that ever listed something in the served TLDs, by name."""
    seen: dict[str, Counter[str]] = {}
    async with await open_configured(config.store) as store:
        for tld in tlds(config):
            async for standing in store.standings(str(tld.name)):
                for feed in {sighting.feed for sighting in standing.sightings}:
                    seen.setdefault(feed, Counter()).update(("all", standing.decision or "none"))
    return [
        FeedRecord(feed, counts["all"], counts["claim"], counts["confirm"], counts["dismiss"])
        for feed, counts in sorted(seen.items())
    ]


def feed_table(records: Iterable[FeedRecord]) -> str:
    """The records for a terminal."""
    rows = [
        f"{'feed':20} {'indicators':>10} {'claimed':>8} {'confirmed':>10} {'dismissed':>10}  wrong of those decided"
    ]
    for one in records:
        share = "-" if one.wrong_share is None else f"{one.wrong_share:.1%}"
        rows.append(f"{one.feed:20} {one.indicators:10} {one.claimed:8} {one.confirmed:10} {one.dismissed:10}  {share}")
    return "\n".join(rows)
