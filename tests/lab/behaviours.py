"""Every behaviour of the lab's world as a row of one table: what the servers do, when it changes, what is then true.

``world.py`` plants one domain for each row in turn; ``RECIPES`` is the list of names counted in ``behaviours``. The
truth columns say what design.md section 4 and 9 imply for perfect probing, not what any module happens to answer.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Contacts = Literal[
    "three",
    "one-address",
    "redacted",
    "placeholder",
    "missing",
    "inside-domain",
    "greylisted",
    "rejected",
]
Where = Literal["path", "root", "cms", "mailbox", "unsubscribe", "gate", "host"]
"""The indicator: a plain path, the root, a CMS upload path, a path with a victim's address, an unsubscribe link, a
command-and-control gate on port 8080, or the whole host."""


class Recipe(msgspec.Struct, frozen=True):
    """One behaviour: the first half is acted out by the servers, the second half is its truth."""

    first: dict[str, Any] = {}
    """Fields of the web host's Behaviour from the start on."""
    later: dict[str, Any] | None = None
    """... and from the change on; None: it never changes."""
    address_later: Literal["hold", "sinkhole", "none"] | None = None
    address: Literal["v4", "v6"] = "v4"
    delegation: Literal["delegated", "absent", "servfail"] = "delegated"
    delegation_later: Literal["absent", "hold-ns"] | None = None
    returns: bool = False
    """Whether the delegation comes back a day after the change."""
    where: Where = "path"
    uris: int = 1
    feeds: tuple[str, ...] = ()
    """Feeds that list it; empty: one of the reputable phishing feeds."""
    joins: str | None = None
    """A feed that lists it too, from the change on: what was told is no longer all."""
    listed_hours: tuple[float, float | None] = (0.0, None)
    """Earliest listing and end, in hours after the start."""
    age_days: tuple[int, int] = (400, 700)
    lure: bool = False
    zone: str | None = None
    """Registered below this suffix instead of the TLD."""
    contacts: Contacts = "three"
    rdap: Literal["none", "429-once", "500", "html", "other-object"] = "none"
    registered: bool = True
    hold_status: bool = False
    rank: int | None = None
    special: Literal["shared", "redirect-home", "redirect-abroad"] | None = None

    state: str = "active"
    delegation_truth: str = "delegated"
    cloaked: bool = False
    validated: bool | None = True
    notice: Literal["new", "malicious", "none"] = "new"
    review: bool = False
    abuse_class: str | None = "undetermined"
    publication: int = 0
    """The publication after which its notice is due."""

    @property
    def changes(self) -> bool:
        """Whether the world changes for it during the run."""
        return (
            self.later is not None
            or self.joins is not None
            or self.address_later is not None
            or self.delegation_later is not None
        )


def _dark(later: dict[str, Any]) -> Recipe:
    """Alive at first, noticed then, gone by content at the end."""
    return Recipe(later=later, state="mitigated-content", validated=False)


def _cut(delegation_truth: str, **changes: Any) -> Recipe:
    """Alive at first, noticed then, gone by DNS at the end."""
    return Recipe(state="mitigated-dns", delegation_truth=delegation_truth, validated=False, **changes)


def _never(state: str, **changes: Any) -> Recipe:
    """Never seen active: nobody may be told, and its class is nobody's business."""
    fields: dict[str, Any] = {"state": state, "validated": False, "notice": "none", "abuse_class": None}
    return Recipe(**(fields | changes))


def _silent(**changes: Any) -> Recipe:
    """Active and validated, but no usable contact: nobody can be told."""
    return Recipe(notice="none", **changes)


_CLOAK = {"only_country": "DE", "elsewhere": "not-found"}

RECIPES: dict[str, Recipe] = {
    "alive": Recipe(),
    "never-alive": _never("mitigated-content", first={"page": "not-found"}),
    "dies": _dark({"page": "not-found"}),
    "undelegated-later": _cut("undelegated", delegation_later="absent", hold_status=True),
    "nonexistent": _never("mitigated-dns", delegation="absent", delegation_truth="nonexistent", registered=False),
    "held-ns": _cut("held", delegation_later="hold-ns", later={"page": "not-found"}),
    "held-ip": _cut("held", address_later="hold", later={"page": "ordinary", "root": None}),
    "held-page": _cut("held", later={"page": "hold", "root": None}),
    "parked-later": _dark({"page": "parked", "root": None}),
    "suspended-later": _dark({"page": "suspended", "root": None}),
    "soft-404": _dark({"page": "soft-404", "root": None}),
    "cloaked": Recipe(first=_CLOAK, cloaked=True),
    "cloaked-forbidden": Recipe(first={"only_country": "NZ", "elsewhere": "forbidden"}, cloaked=True),
    "cloaked-ordinary": Recipe(first={"only_country": "DE", "elsewhere": "ordinary"}, cloaked=True),
    "cloaked-then-dark": Recipe(
        first=_CLOAK, later={"page": "not-found"}, state="unreachable", cloaked=True, validated=False
    ),
    "challenge": _never("unreachable", first={"page": "challenge", "root": None}, cloaked=True),
    "slow": Recipe(first={"page": "slow", "delay_seconds": 0.3}),
    "huge": Recipe(first={"page": "huge"}),
    "redirecting": Recipe(special="redirect-home"),
    "redirect-abroad": Recipe(special="redirect-abroad", cloaked=True),
    "changing": Recipe(later={"page": "ordinary"}, state="changed", validated=None, review=True),
    "tls-self-signed": Recipe(first={"http": False, "tls": "self-signed"}),
    "tls-expired": Recipe(first={"http": False, "tls": "expired"}),
    "tls-broken": _never("mitigated-content", first={"http": False, "tls": "broken"}),
    "connection-refused": _dark({"link": "refused"}),
    "connection-timeout": _dark({"link": "timeout"}),
    "ipv6-only": Recipe(address="v6"),
    "host-only": Recipe(where="host"),
    "host-only-no-address": Recipe(where="host", address_later="none", state="mitigated-content", validated=False),
    "host-only-sinkhole": Recipe(where="host", address_later="sinkhole", state="mitigated-dns", validated=False),
    "botnet-uri": Recipe(where="gate", first={"page": "not-found"}, feeds=("c2watch",)),
    "altered-alive": Recipe(where="mailbox"),
    "altered-dead": _never("indeterminate", where="mailbox", first={"page": "not-found"}),
    "supporting-once": Recipe(feeds=("helper-one",), validated=False, notice="none"),
    "supporting-twice": Recipe(feeds=("helper-one", "helper-two")),
    "withdrawn-while-live": Recipe(
        feeds=("tankcheck",), listed_hours=(0.5, 10.0), validated=None, notice="none", review=True
    ),
    "aged-out": Recipe(feeds=("openlist",), listed_hours=(0.5, 10.0)),
    "popular": Recipe(
        where="cms", age_days=(2000, 3000), rank=4200, notice="none", review=True, abuse_class="compromised"
    ),
    "critical": Recipe(where="cms", age_days=(2000, 3000), notice="none", review=True, abuse_class="compromised"),
    "shared-service": Recipe(special="shared", notice="none", review=True, abuse_class="shared-service"),
    "malicious": Recipe(
        first={"root": None},
        where="root",
        age_days=(15, 25),
        lure=True,
        notice="malicious",
        review=True,
        abuse_class="malicious",
    ),
    "compromised": Recipe(where="cms", age_days=(2800, 3100), abuse_class="compromised"),
    "several-uris": Recipe(uris=3),
    "several-threats": Recipe(feeds=("openlist", "urlcatch")),
    "malware": Recipe(feeds=("urlcatch",)),
    "another-threat": Recipe(feeds=("openlist",), joins="urlcatch"),
    "reopened": Recipe(delegation_later="absent", returns=True),
    "servfail": _never("indeterminate", delegation="servfail", delegation_truth="indeterminate"),
    "unsubscribe-uri": _never("indeterminate", where="unsubscribe"),
    "late-listing": Recipe(listed_hours=(29.0, None), publication=1),
    "sick-feed": Recipe(feeds=("sicklist",)),
    "contacts-redacted": _silent(contacts="redacted"),
    "contacts-placeholder": _silent(contacts="placeholder"),
    "contacts-missing": _silent(contacts="missing"),
    "contact-inside-domain": _silent(contacts="inside-domain"),
    "rdap-500": _silent(rdap="500"),
    "rdap-other-object": _silent(rdap="other-object"),
    "rdap-429-once": Recipe(rdap="429-once"),
    "shared-address": Recipe(contacts="one-address"),
    "greylisted": Recipe(contacts="greylisted"),
    "rejected": Recipe(contacts="rejected", notice="none"),
    "third-level": Recipe(zone="com.zz"),
}
"""name -> recipe, in planting order; the names are those of the ``behaviours`` count."""
