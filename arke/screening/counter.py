"""Opinions on new names over the status socket, for a registry that asks at registration time.

Beside the flow: the desk hands ``{"do": "screen", "names": [...]}`` here. The first question loads the protected names
and, where the daily list has remembered a zone, calibrates the model on it; files that changed are read again. An
answer is a look into indexes: no disk, no network.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import trio

from arke.config import Config
from arke.screening.lists import known_dga, labels_of, watched_by
from arke.screening.opinion import Policy, read_policy, screen_name
from panopticond.shared.dga import Model
from panopticond.shared.errors import PanopticonError
from panopticond.shared.lookalike.protected import Protected
from panopticond.shared.zone import read_names

NAMES_LIMIT = 1000
LOOK_SECONDS = 30.0  # real seconds between two looks at whether a file changed


class Loaded(msgspec.Struct, frozen=True):
    """Everything an opinion needs, in memory."""

    protected: Protected
    models: dict[str, Model]
    known: dict[str, dict[str, str]]
    policy: Policy


class Counter:
    """Answers for every TLD of a configuration; loads when first asked."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._loaded: Loaded | None = None
        self._mark: object = None
        self._looked = -LOOK_SECONDS
        self._lock = trio.Lock()

    async def answer(self, names: list[object], tld: object) -> Mapping[str, object]:
        """``{"opinions": [...]}`` in the order asked, or ``{"error": sentence}``; never raises for what is asked."""
        tlds = self._config.tlds
        asked = tlds[0] if tld is None and len(tlds) == 1 else str(tld).strip(".").lower()
        if asked not in tlds:
            return {"error": f"say for which tld: {', '.join(tlds)}"}
        if len(names) > NAMES_LIMIT:
            return {"error": f"at most {NAMES_LIMIT} names at once"}
        try:
            loaded = await self._current()
        except PanopticonError as error:
            return {"error": str(error)}
        model, known = loaded.models[asked], loaded.known[asked]
        return {
            "opinions": [
                msgspec.to_builtins(
                    screen_name(str(name), loaded.protected, model, asked, policy=loaded.policy, known=known)
                )
                for name in names
            ]
        }

    async def _current(self) -> Loaded:
        if self._loaded is not None and trio.current_time() - self._looked < LOOK_SECONDS:
            return self._loaded
        async with self._lock:
            mark = list(_marks(self._config))
            if self._loaded is None or mark != self._mark:
                self._loaded = await trio.to_thread.run_sync(load, self._config)
                self._mark = mark
            self._looked = trio.current_time()
            return self._loaded


def load(config: Config) -> Loaded:
    """Read every file of ``screen`` and calibrate on the zones remembered; PanopticonError names a faulty file."""
    settings = config.screen
    models = {}
    for tld in config.tlds:
        zone = _remembered(config, tld)
        models[tld] = Model.load().calibrated(labels_of(read_names(zone))) if zone else Model.load()
    return Loaded(
        watched_by(settings).protected,
        models,
        {tld: known_dga(settings.known_dga, tld) for tld in config.tlds},
        read_policy(Path(settings.policy)) if settings.policy else Policy(),
    )


def _remembered(config: Config, tld: str) -> Path | None:
    """The newest list of the zone's names that the daily list keeps, or None."""
    kept = (Path(config.state) / "zones").glob(f"{tld}-*.gz")
    return max(kept, key=lambda path: path.stat().st_mtime_ns, default=None)


def _marks(config: Config) -> Iterator[tuple[str, int, int]]:
    settings = config.screen
    files = [*settings.protect, *settings.known_dga, *(one for one in settings.keyboards if isinstance(one, str))]
    files += [path for path in (settings.policy, settings.popular) if path is not None]
    files += [str(path) for tld in config.tlds if (path := _remembered(config, tld)) is not None]
    for name in files:
        try:
            status = os.stat(name)  # noqa: PTH116 - one call, one value
        except OSError:
            yield name, 0, -1
        else:
            yield name, status.st_mtime_ns, status.st_size
