"""What a round asks of each probe: one question each, as types, so that a round can be made of any that answer.

The probes beside this module fit them without naming them; so do the stand-ins of the tests. Every answer is an
Observation, "could not check" among them; ``now`` is policy time.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Protocol

from panopticond.model import Observation


class DelegationProbe(Protocol):
    """``panopticond.probe.delegation.Delegations``, as far as a round needs it."""

    async def check(self, host: str, tld: str, now: dt.datetime) -> Observation:
        """Whether the TLD's own servers delegate the name."""
        ...


class AddressProbe(Protocol):
    """``panopticond.probe.quad9.Resolvers``, the unfiltered half."""

    async def address(self, host: str, tld: str, now: dt.datetime) -> Observation:
        """The host's addresses."""
        ...


class BlockProbe(Protocol):
    """``panopticond.probe.quad9.Resolvers``, the filtering half."""

    async def blocked(self, host: str, now: dt.datetime) -> Observation:
        """Whether the filtering resolver blocks the host."""
        ...


class WebProbe(Protocol):
    """``panopticond.probe.web.WebProber``."""

    async def check(
        self, uri: str, domain: str, vantage: str, now: dt.datetime, *, hold_pages: Sequence[str]
    ) -> tuple[Observation, ...]:
        """The URI as it stands and its twin, from one vantage."""
        ...

    async def apex(self, domain: str, vantage: str, now: dt.datetime, *, hold_pages: Sequence[str]) -> Observation:
        """A front page, as context."""
        ...


class UriLookup(Protocol):
    """``panopticond.probe.webrisk.WebRisk``."""

    async def check(self, uri: str, now: dt.datetime) -> Observation:
        """Whether the URI is flagged."""
        ...


class RegistrationProbe(Protocol):
    """``panopticond.probe.registration.Registrations``."""

    async def check(self, domain: str, tld: str, now: dt.datetime) -> Observation:
        """What public RDAP says of the domain, without contacts."""
        ...


class Ranking(Protocol):
    """``panopticond.probe.tranco.Tranco``: a local list, no question to anybody."""

    def check(self, domain: str, now: dt.datetime) -> Observation:
        """The domain's rank."""
        ...
