"""Was the domain registered for abuse, or broken into? An explainable, three-valued answer that abstains by default.

After the verdict, daily and again at the registry with what only it can see. The rules are those that fall out of the
COMAR, .nl/.ie/.be and Swiss figures gathered in the decisions; every answer lists its reasons and what was missing.
A shared service comes before the two; harm is calling a victim a criminal, so nothing is malicious by age alone.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from panopticond.judge.fingerprint import same_page
from panopticond.model import AbuseClass, Scope

YOUNG = dt.timedelta(days=90)
"""The line the Swiss ordinance draws (AS 784.104.2, art. 15bis)."""
RECENT = dt.timedelta(days=365)
OLD = dt.timedelta(days=730)

LURE_TOKENS = frozenset(
    (  # noqa: SIM905 - a word list reads best as one text
        "account alert auth authenticate bank banking billing card check claim client confirm connect customer "
        "delivery ebank invoice login logon mail netbank online parcel password pay payment portal post promo recover "
        "refund secure security server service sign signin sso support tax track tracking unlock update validate "
        "verification verify wallet webmail "
    ).split()
)
"""Words of lures in names: a label is malicious by them only beside a young registration."""
_LONG_TOKENS = tuple(sorted(token for token in LURE_TOKENS if len(token) >= 5))
_DEEP_PATH = re.compile(
    r"/(?:wp-(?:content|includes|admin)|\.well-known|components/com_|modules/|plugins/|uploads?/|tmp/|cache/|"
    r"sites/default|administrator/|vendor/|images?/|css/|js/|cgi-bin/|~[a-z0-9]+/)",
    re.IGNORECASE,
)
_ORDINARY_HOST_LABELS = frozenset({"", "www", "m", "shop", "mail", "blog"})


class Facts(msgspec.Struct, frozen=True):
    """What is known of one domain when its class is asked."""

    domain: str
    scopes: frozenset[Scope]
    uris: tuple[str, ...]
    hosts: tuple[str, ...]
    first_reported: dt.datetime | None
    registered: dt.datetime | None
    """Of the current registration."""
    apex_outcome: str = "indeterminate"
    apex_page: str | None = None
    """Fingerprint of the domain's front page."""
    abuse_pages: tuple[str, ...] = ()
    """Fingerprints of the pages first validated."""
    rank: int | None = None
    lookalike_of: str | None = None
    generated: bool = False
    """Whether the letters of the name look generated: told beside the other reasons, never counted as one."""
    burst_siblings: int = 0
    """Other reported names of the same registration day and name servers."""


class Classification(msgspec.Struct, frozen=True):
    """The class with its reasons and what was missing; printed as an assessment, never as a finding."""

    abuse_class: AbuseClass
    reasons: tuple[str, ...]
    missing: tuple[str, ...]


def classify(facts: Facts) -> Classification:
    """The class of a domain: shared-service first, then malicious or compromised where the rules hold, else neither."""
    missing = _missing(facts)
    if facts.scopes == frozenset({"shared"}):
        return Classification("shared-service", ("below a shared hosting service",), missing)
    age = facts.first_reported - facts.registered if facts.first_reported and facts.registered else None
    if age is None:
        return Classification("undetermined", ("age of the registration unknown",), missing)
    for_malice, for_compromise = _signs_of_malice(facts), _signs_of_compromise(facts)
    days = f"registered {max(age.days, 0)} days before the first report"
    told = ("the letters of the name look generated",) if facts.generated else ()
    if age <= YOUNG and for_malice and not for_compromise:
        return Classification("malicious", (days, *for_malice, *told), missing)
    if age <= RECENT and len(for_malice) >= 2 and not for_compromise:
        return Classification("malicious", (days, *for_malice, *told), missing)
    if age >= OLD and _deep(facts) and _lives_its_own_life(facts):
        return Classification("compromised", (days, *for_compromise), missing)
    return Classification("undetermined", (days, *for_malice, *told, *for_compromise), missing)


def _missing(facts: Facts) -> tuple[str, ...]:
    missing = []
    if facts.registered is None:
        missing.append("registration date")
    if facts.apex_outcome == "indeterminate":
        missing.append("front page")
    if facts.rank is None:
        missing.append("popularity rank")
    return tuple(missing)


def _signs_of_malice(facts: Facts) -> tuple[str, ...]:
    signs = []
    if facts.lookalike_of:
        signs.append(f"resembles {facts.lookalike_of}")
    elif token := _lure(facts.domain):
        signs.append(f"the name holds the lure word {token}")
    if any(urlsplit(uri).path in ("", "/") for uri in facts.uris):
        signs.append("abuse at the root of the site")
    if facts.burst_siblings >= 2:
        signs.append(f"{facts.burst_siblings} reported names of the same day and name servers")
    return tuple(signs)


def _lure(domain: str) -> str | None:
    label = domain.split(".", 1)[0]
    for part in re.split(r"[-0-9]+", label):
        if part in LURE_TOKENS:
            return part
    return next((token for token in _LONG_TOKENS if token in label), None)


def _signs_of_compromise(facts: Facts) -> tuple[str, ...]:
    signs = []
    if _deep(facts):
        signs.append("abuse deep in the site or on an unrelated host")
    if _apex_is_ordinary(facts):
        signs.append("the front page shows other, ordinary content")
    if facts.rank is not None:
        signs.append(f"popularity rank {facts.rank}")
    return tuple(signs)


def _deep(facts: Facts) -> bool:
    return any(_DEEP_PATH.search(urlsplit(uri).path) for uri in facts.uris) or _unrelated_host(
        facts.domain, facts.hosts
    )


def _unrelated_host(domain: str, hosts: Sequence[str]) -> bool:
    return any(host.removesuffix(domain).rstrip(".") not in _ORDINARY_HOST_LABELS for host in hosts)


def _apex_is_ordinary(facts: Facts) -> bool:
    if facts.apex_outcome != "live" or not facts.apex_page or not facts.abuse_pages:
        return False
    return not any(same_page(facts.apex_page, page) for page in facts.abuse_pages)


def _lives_its_own_life(facts: Facts) -> bool:
    return _apex_is_ordinary(facts) or facts.rank is not None
