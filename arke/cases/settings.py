"""``ladder``, ``limits`` and ``hoster`` of arke.json: who is told when and how much, and the rules between their keys.

Part of ``config``, in a file of its own. The ladder, the ceilings and the hoster's look-up go by them.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from arke.model import Role
from panopticond.shared.settings import Delay, Duration, seconds
from panopticond.shared.values import is_file, url_fault

Positive = Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
_NO_CONTACTS = frozenset({"manager", "hoster"})
"""Roles that are no contact of a domain."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object of the file: unknown keys are refused."""


class Hours(Section, frozen=True):
    """``ladder.hours``: when mails may leave; deadlines run on meanwhile."""

    zone: str
    """Time zone, as ``Asia/Dili``."""
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = ("mon", "tue", "wed", "thu", "fri")
    opens: Annotated[str, msgspec.Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")] = "08:00"
    closes: Annotated[str, msgspec.Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")] = "18:00"
    holidays: tuple[dt.date, ...] = ()
    first_rung: bool = False
    """Whether the first rung waits for office hours too; left out, only later rungs do."""


class Ladder(Section, frozen=True):
    """``ladder``: who stands on which rung, its deadlines, and what waits for a person."""

    first: tuple[Role, ...] = ("registrant", "administrative", "technical")
    """``hoster`` may stand among them: told beside the contacts, without anybody's word."""
    malicious_first: tuple[Role, ...] = ("registrant", "abuse", "registrar")
    """Of ``abuse`` and ``registrar`` the first there is gets the mail."""
    between: Delay = "24h"
    """Least time between two rungs."""
    stagger: Delay = "0s"
    """First notices are spread over this time by case number, so that their effect can be measured."""
    hours: Hours | None = None
    registrar_after: Delay = "24h"
    hoster_after: Delay | None = None
    """When the hoster is told, as a rung of its own; left out, it is none."""
    review_after: Delay = "72h"
    approve_popular: bool = True
    approve_later_rungs: bool = True

    @property
    def has_hoster(self) -> bool:
        """Whether the hoster stands anywhere on it."""
        return self.hoster_after is not None or "hoster" in (*self.first, *self.malicious_first)


class Limits(Section, frozen=True):
    """``limits``: ceilings on mail, in notices."""

    per_recipient_day: Positive = 20
    per_domain_day: Positive = 5
    per_hour: Positive = 500
    per_run: Positive = 1000
    digest_above: Positive = 5
    growth: Annotated[float, msgspec.Meta(gt=1)] = 4.0
    """A snapshot with so many times the rows of the last one (or so few) waits for a person before any mail."""


class Hoster(Section, frozen=True):
    """``hoster``: how the network that holds an address is looked up, where the ladder has a hoster at all."""

    bootstrap: tuple[str, ...] = ("https://data.iana.org/rdap/ipv4.json", "https://data.iana.org/rdap/ipv6.json")
    """Paths or URLs of the bootstrap registries for addresses (RFC 9224)."""
    rate: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    """Questions a second and service, real time."""
    timeout: Duration = "15s"


def ladder_faults(ladder: Ladder) -> list[str]:
    """Every broken rule between the keys of ``ladder``, with its path."""
    problems = []
    if seconds(ladder.review_after) < seconds(ladder.registrar_after):
        problems.append("ladder.review_after: must not come before ladder.registrar_after")
    hours = ladder.hours
    if hours is not None:
        if not hours.days or hours.opens >= hours.closes:
            problems.append("ladder.hours: must open on some day, and before it closes")
        try:
            zoneinfo.ZoneInfo(hours.zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
            problems.append(f"ladder.hours.zone: {hours.zone!r} is no time zone; write it as Asia/Dili")
    if "manager" in (*ladder.first, *ladder.malicious_first) or not set(ladder.first) - _NO_CONTACTS:
        problems.append("ladder.first: name contacts of a domain, and at least one")
    if ladder.malicious_first and not set(ladder.malicious_first) - _NO_CONTACTS:
        problems.append("ladder.malicious_first: the hoster alone is no first rung; name contacts of a domain too")
    return problems


def hoster_faults(hoster: Hoster) -> list[str]:
    """What is wrong with where the bootstrap registries are; whether files are there, :func:`hoster_missing` says."""
    problems = [] if hoster.bootstrap else ["hoster.bootstrap: name at least one registry, a path or a URL"]
    for at, source in enumerate(hoster.bootstrap):
        if "://" not in source:
            problems += [] if source.strip() else [f"hoster.bootstrap[{at}]: is empty"]
        elif fault := url_fault(source):
            problems.append(f"hoster.bootstrap[{at}]: {fault}")
        elif urlsplit(source).scheme == "http" and not (urlsplit(source).hostname or "").startswith("127."):
            problems.append(f"hoster.bootstrap[{at}]: plain http is for loopback only; use https")
    return problems


def hoster_missing(hoster: Hoster) -> list[str]:
    """The files of bootstrap registries that are not there."""
    return [
        f"hoster.bootstrap[{at}]: {source}: no such file"
        for at, source in enumerate(hoster.bootstrap)
        if "://" not in source and source.strip() and not is_file(source)
    ]
