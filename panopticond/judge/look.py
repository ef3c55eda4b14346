"""One round, read: what its observations say together, before any rule looks back at earlier rounds.

First step of the verdict. The vantages' answers to a URI and its twin become one word each, and the signs of cloaking
(design section 4) are read from their disagreement.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import msgspec

from panopticond.judge.fingerprint import same_page
from panopticond.model import Observation, Round, Subject

ANSWERED = frozenset({"live", "gone", "guarded", "failed"})
"""Outcomes by which a vantage has been checked: an answer of the site, or no connection beside a good control."""


class Look(msgspec.Struct, frozen=True):
    """One round in the judge's words."""

    at: dt.datetime
    delegation: str
    """delegated, held, not-in-zone, undelegated, nonexistent or indeterminate."""
    address: str
    live: bool
    checked: bool
    """Every vantage has an answer of the site, or a failed connection beside a good control probe."""
    agreed: bool
    """Every vantage saw the same: all gone, all refused or all without connection."""
    pages: tuple[str, ...]
    """Fingerprints of the live answers."""
    cloak_sign: bool
    rank: int | None
    vantages: tuple[tuple[str, str], ...] = ()
    """(vantage, what it saw), sorted."""


def look(subject: Subject, round_: Round) -> Look:
    """What a round says about a subject."""
    of = _by_kind(round_)
    web = of.get("web", [])
    by_vantage = {name: _merged([answer for answer in web if answer.vantage == name]) for name in _names(web)}
    addresses = of.get("address", [])
    ranks = [answer.detail["rank"] for answer in of.get("tranco", ()) if answer.outcome == "ranked"]
    live_answers = [answer for answer in web if answer.outcome == "live"]
    return Look(
        at=round_.at,
        delegation=_delegation(of),
        address=addresses[-1].outcome if addresses else "indeterminate",
        live="live" in by_vantage.values(),
        checked=bool(by_vantage) and all(outcome in ANSWERED for outcome in by_vantage.values()),
        agreed=len(set(by_vantage.values())) == 1,
        pages=tuple(sorted({answer.detail.get("fingerprint", "") for answer in live_answers} - {""})),
        cloak_sign=_cloak_sign(subject, web, by_vantage),
        rank=int(ranks[-1]) if ranks and ranks[-1].isdigit() else None,
        vantages=tuple(sorted(by_vantage.items())),
    )


def answered(subject: Subject, round_: Round) -> bool:
    """Whether a round says anything: the delegation was told and, where the name stands, some vantage had an answer.

    For host-level entries the resolver. A round in which nothing of that could be checked is none that was made: a day
    of such rounds must never look like a day without abuse.
    """
    told = round_.of("delegation")
    if not told or told[-1].outcome == "indeterminate":
        return False
    asked = round_.of("address") if subject.host_level else round_.of("web")
    return told[-1].outcome != "delegated" or not asked or any(one.outcome != "indeterminate" for one in asked)


def delegation(round_: Round) -> str:
    """The round's delegation, refined: by RDAP when not in the zone, by the hold address or page when delegated."""
    return _delegation(_by_kind(round_))


def _by_kind(round_: Round) -> dict[str, list[Observation]]:
    """One walk over the round; millions of rounds are read for a snapshot."""
    found: dict[str, list[Observation]] = {}
    for seen in round_.observations:
        found.setdefault(seen.kind, []).append(seen)
    return found


def _delegation(of: Mapping[str, Sequence[Observation]]) -> str:
    asked = of.get("delegation", ())
    outcome = asked[-1].outcome if asked else "indeterminate"
    if outcome == "not-in-zone":
        registration = of.get("registration", ())
        known = registration[-1].outcome if registration else "indeterminate"
        return {"registered": "undelegated", "nonexistent": "nonexistent"}.get(known, "not-in-zone")
    if outcome == "delegated":
        on_hold_address = any(answer.detail.get("reason") == "hold-ip" for answer in of.get("address", ()))
        return "held" if on_hold_address or _on_hold_page(of.get("web", ())) else "delegated"
    return outcome


def _on_hold_page(web: Sequence[Observation]) -> bool:
    """Whether the registry's hold page is what every vantage gets; seen from one place only it may be a disguise."""
    own = [answer for answer in web if answer.detail.get("twin") != "1" and answer.outcome in ANSWERED]
    alive = any(answer.outcome == "live" for answer in web)
    return bool(own) and not alive and all(answer.detail.get("reason") == "hold" for answer in own)


def _names(web: Sequence[Observation]) -> list[str]:
    return sorted({answer.vantage for answer in web})


def _merged(answers: Sequence[Observation]) -> str:
    """One vantage's word on the URI and its twin: live wins; what the URI as it stands says outweighs the twin."""
    outcomes = {_word(answer) for answer in answers}
    if "live" in outcomes:
        return "live"
    own = [_word(answer) for answer in answers if answer.detail.get("twin") != "1"]
    if any(outcome in ("indeterminate", "not-probed") for outcome in own):
        return "indeterminate"
    for outcome in ("guarded", "gone", "failed"):
        if outcome in outcomes:
            return outcome
    return "indeterminate"


def _word(answer: Observation) -> str:
    """Too many requests is no answer of the page: the vantage could not check."""
    return "indeterminate" if answer.detail.get("reason") == "status-429" else answer.outcome


def _cloak_sign(subject: Subject, web: Sequence[Observation], by_vantage: dict[str, str]) -> bool:
    seen = {outcome for outcome in by_vantage.values() if outcome in ANSWERED}
    if "live" in seen and len(seen) > 1:
        return True  # live from one place only
    if "guarded" in seen and len(seen) > 1:
        return True  # refused in one place only
    hold = False
    for answer in web:
        if answer.outcome == "guarded" and answer.detail.get("challenge"):
            return True
        if answer.outcome in ANSWERED and answer.detail.get("domain", subject.domain) != subject.domain:
            return True  # a redirect abroad
        hold = hold or answer.detail.get("reason") == "hold"
    if hold and not _on_hold_page(web):
        return True  # the registry's hold page, in one place only
    return _pages_differ([answer for answer in web if answer.outcome == "live"])


def _pages_differ(live: Sequence[Observation]) -> bool:
    """Whether two vantages were served different pages under one and the same URI."""
    if len({answer.detail.get("fingerprint", "") for answer in live}) < 2:
        return False
    for at, one in enumerate(live):
        for other in live[at + 1 :]:
            pages = one.detail.get("fingerprint", ""), other.detail.get("fingerprint", "")
            if one.vantage != other.vantage and one.target == other.target and all(pages) and not same_page(*pages):
                return True
    return False
