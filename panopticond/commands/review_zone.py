"""``panopticond review zone``: names of a TLD's own zone that a person should look at and no feed has."""

from __future__ import annotations

from collections.abc import Sequence

from panopticond.config import Config, tlds
from panopticond.shared.errors import ConfigurationError
from panopticond.zonelist import ZoneList, read_list


def zone_lists(config: Config, only: str | None = None) -> list[ZoneList]:
    """The last lists, of one TLD or of all that give a zone; ConfigurationError where there can be none."""
    given = [str(tld.name) for tld in tlds(config) if tld.zone is not None and only in (None, str(tld.name))]
    if not given:
        which = f".{only} gives no zone" if only is not None else "no TLD gives its zone"
        raise ConfigurationError([f"review zone: {which}; name the file in tld.zone"])
    return [found for name in given if (found := read_list(config, name)) is not None]


def table(lists: Sequence[ZoneList]) -> str:
    """The lists for a terminal."""
    if not lists:
        return "no list yet: the running daemon makes one within the hour"
    lines = []
    for one in lists:
        new = sum(item.new for item in one.names)
        lines.append(
            f".{one.tld}, zone {one.serial} of {one.size} names, looked through {one.at}: {len(one.names)} to look at, "
            f"{new} of them new; {one.already_listed} more are in a feed"
        )
        lines += [
            f"{item.score:5.3f} {'new' if item.new else '   '} {item.unicode}: {'; '.join(item.reasons)}"
            for item in one.names
        ]
    return "\n".join(lines)
