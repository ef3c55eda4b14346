"""What stands behind the words of a pass over the cases, and what to do about it: for `arke preview`.

Beside ``cases.outcome``, whose codes are for logs, reports and programs; here each gets a sentence for whoever has just
written his first arke.json (pure).
"""

from __future__ import annotations

from arke.cases import enrich, hoster

_CANCELLED = {
    "not in the registry's zone": "the zone does not delegate it; is the zone file today's?",
    "delegation-not-in-zone": "no longer delegated: nothing is left to be told",
    "delegation-held": "on hold at the registry: nothing is left to be told",
    "held-or-sinkholed": "on hold or led to a sinkhole: nothing is left to be told",
    "no-address": "no longer resolves: nothing is left to be told",
    "hold-page": "shows the registry's hold page: nothing is left to be told",
}
_NO_CONTACT = {
    "inside-domain": "its only contacts lie in the abused domain itself; it goes on the list no-contact.csv",
    "placeholder": "what stands there is a placeholder and no address; it goes on the list no-contact.csv",
}
_WORDS = {
    "hold": "a person must say so first: `arke queue list` and `arke queue approve`, once arke runs",
    "review": "a look just now shows it gone or clean; a person decides by `arke queue`, once arke runs",
    "suppressed": "every contact is on the suppression list",
    "told": "everybody to be told knows already",
    "cancelled": "by the look just now nothing is left to be told",
    "no-contact": "the registration data hold no address that can be used; it goes on the list no-contact.csv",
    "waiting": "it stays due and is tried again",
}


def advice(what: str, reason: str) -> str:
    """What an outcome means, and what to do, as half a sentence; empty where the code says it all."""
    if what == "waiting" and reason in hoster.TRANSIENT:
        return "the hoster cannot be looked up now: can this machine reach the registries' RDAP? it stays due"
    if what == "no-contact" and reason.startswith("hoster-"):
        return "the network that hosts it names no abuse address that can be used; it goes on the list no-contact.csv"
    if what == "waiting" and reason in enrich.TRANSIENT:
        return "RDAP gave no answer that can be used: check rdap.url and its account; it stays due"
    special = {"cancelled": _CANCELLED, "no-contact": _NO_CONTACT}.get(what, {})
    return special.get(reason) or _WORDS.get(what, "")
