"""``panopticond publish --tld TLD``: a snapshot at once, from the same store the daemon writes."""

from __future__ import annotations

import msgspec

from panopticond.config import Config
from panopticond.judge.mistrial import netted
from panopticond.shared.errors import ConfigurationError
from panopticond.snapshot.press import press
from panopticond.snapshot.publish import publish_tld
from panopticond.wiring import assemble


async def publish(config: Config, name: str) -> str:
    """Publish one TLD now; the serial and where it stands."""
    async with assemble(config) as parts:
        printing, nets = press(config, await parts.sharing.surrogates()), netted(parts.judge)
        printing = msgspec.structs.replace(printing, judge=nets, assess=nets.assess)
        tld = next((tld for tld in parts.tlds if tld.name == name.lower().lstrip(".")), None)
        if tld is None:
            raise ConfigurationError([f"--tld: .{name} is not among the served TLDs"])
        made = await publish_tld(printing, parts.store, tld, await parts.today(tld), parts.clock.now())
        return f"{printing.root / made.tld / str(made.serial)}"
