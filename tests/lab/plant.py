"""One plot of the world: from a recipe and a name to a Domain with its hosts, rows in feeds, contacts and truth.

Called by ``world.make_world`` for every domain; what a recipe leaves to chance is drawn here, from the world's seed.
"""

from __future__ import annotations

import datetime as dt
import random
from typing import Any

import msgspec

from tests.lab.behaviours import Recipe
from tests.lab.model import (
    Behaviour,
    Delegation,
    Domain,
    DomainTruth,
    ExpectedNotice,
    Host,
    IndicatorTruth,
    Listing,
    Mailbox,
    Network,
    Party,
    Registration,
)
from tests.lab.networks import desk_of

_GIVEN = ("amalia", "bento", "celina", "dario", "evora", "fabio", "graca", "horta", "ilda", "jonas", "kaia", "lino")
_FAMILY = ("tavares", "moniz", "arruda", "pacheco", "serrao", "valadao", "bettencourt", "teves", "raposo", "furtado")
_DIRECTORIES = ("documents", "portale", "fr", "step", "home1", "mobile", "de", "personal")
VICTIM = "victim@person.example"
_ROLES = (("registrant",), ("administrative",), ("technical",))
_HOUR = dt.timedelta(hours=1)
SETTLES, CONTENT_SETTLES = 8 * _HOUR, 31 * _HOUR
"""From a change to a publication that must know of it: a round, or the day a page must stay away and a round."""


class Plot:
    """Where one domain is planted: its name, its recipe, its moments and the seed's dice."""

    def __init__(
        self,
        *,
        number: int,
        behaviour: str,
        recipe: Recipe,
        name: str,
        tld: str,
        rng: random.Random,
        start: dt.datetime,
        change: dt.datetime,
        publications: tuple[dt.datetime, ...],
        providers: tuple[str, ...],
        abroad: str,
        networks: tuple[Network, ...] = (),
    ) -> None:
        self.number, self.behaviour, self.recipe, self.name, self.tld = number, behaviour, recipe, name, tld
        self.rng, self.start, self.change, self.publications = rng, start, change, publications
        self.providers, self.abroad, self.networks = providers, abroad, networks
        self.mailboxes: list[Mailbox] = []
        plain_host = recipe.where in ("path", "mailbox") and recipe.special is None and rng.random() < 0.25
        self.host = f"{rng.choice(('cdn', 'files', 'app', 'www'))}.{name}" if plain_host else name
        self.registrar_abuse = f"abuse-desk@registrar-{number}.{tld}"
        self.listed_at = start + recipe.listed_hours[0] * _HOUR + rng.uniform(0.0, 2.5) * _HOUR
        low, high = recipe.age_days
        self.registered_at = start - dt.timedelta(days=rng.randint(low, high), seconds=rng.randint(0, 80_000))


def plant(plot: Plot) -> Domain:
    """The domain of a plot, servers' side and truth."""
    recipe = plot.recipe
    if recipe.special == "shared":
        return _shared(plot)
    parties = _parties(plot)
    texts = [_indicator(plot, at) for at in range(recipe.uris)]
    hosts = _hosts(plot, [text for text, _ in texts])
    listings = tuple(_listing(plot, feed, text) for text, _ in texts for feed in _feeds(plot))
    if recipe.joins is not None:
        joined = (_listing(plot, recipe.joins, text) for text, _ in texts)
        listings += tuple(msgspec.structs.replace(listing, start=plot.change) for listing in joined)
    return Domain(
        name=plot.name,
        tld=plot.tld,
        behaviour=plot.behaviour,
        delegation=_delegation(plot),
        registration=_registration(plot, parties),
        hosts=hosts,
        listings=listings,
        truth=_truth(plot, parties),
        indicators=tuple(_indicator_truth(plot, key) for _, key in texts),
        tranco_rank=recipe.rank + plot.number * 7 if recipe.rank else None,
        webrisk=("SOCIAL_ENGINEERING",) if plot.rng.random() < 0.3 else (),
        quad9_blocked=recipe.delegation == "delegated" and plot.rng.random() < 0.3,
    )


def _indicator(plot: Plot, at: int) -> tuple[str, str]:
    """(what the feed writes, the normalised key) of a plot's indicator number ``at``."""
    scheme = "https" if plot.recipe.first.get("http") is False else "http"
    directory = f"{plot.rng.choice(_DIRECTORIES)}{plot.rng.randint(10, 99)}"
    base = f"{scheme}://{plot.host}"
    match plot.recipe.where:
        case "host":
            return plot.host, plot.host
        case "root":
            return f"{base}/", f"{base}/"
        case "gate":
            uri = f"{base}:8080/gate{at}.php"
        case "cms":
            uri = f"{base}/wp-content/uploads/2024/{directory}/index.php"
        case "unsubscribe":
            uri = f"{base}/unsubscribe/{directory}?list={at}"
        case "mailbox":
            uri = f"{base}/{directory}/index.php?email={VICTIM}"
            return uri, uri.replace(VICTIM, "redacted")
        case _:
            uri = f"{base}/{directory}/page{at}.html"
    return uri, uri


def _feeds(plot: Plot) -> tuple[str, ...]:
    if plot.recipe.feeds:
        return plot.recipe.feeds
    if plot.recipe.where == "host":
        return ("hostblock",)
    return (plot.rng.choice(("openlist", "openlist", "tankcheck")),)


def _listing(plot: Plot, feed: str, value: str) -> Listing:
    end = plot.recipe.listed_hours[1]
    threat = {"urlcatch": "malware", "c2watch": "botnetCc"}.get(feed, "phishing")
    if feed in ("openlist", "helper-one") and plot.rng.random() < 0.15:
        value = value.replace("http", "hxxp", 1).replace(".", "[.]", 1)
    return Listing(feed, value, plot.listed_at, plot.start + end * _HOUR if end is not None else None, threat)


def _behaviour(plot: Plot, start: dt.datetime, fields: dict[str, Any]) -> Behaviour:
    return Behaviour(start=start, seed=plot.number, **fields)


def _hosts(plot: Plot, texts: list[str]) -> tuple[Host, ...]:
    recipe = plot.recipe
    addresses: list[tuple[dt.datetime, tuple[str, ...]]] = [(plot.start, (_address(plot),))]
    if recipe.address_later:
        changed = {"hold": ("127.66.0.1",), "sinkhole": ("127.77.0.1",), "none": ()}[recipe.address_later]
        addresses.append((plot.change, changed))
    paths = tuple("/" + text.split("/", 3)[3] for text in texts if "://" in text)
    first = dict(recipe.first)
    landing: list[Host] = []
    if recipe.special is not None:
        target = f"login.{plot.name}" if recipe.special == "redirect-home" else f"www{plot.number}.{plot.abroad}"
        first |= {"page": "redirect", "location": f"http://{target}/landing{plot.number}/"}
        kit = _behaviour(plot, plot.start, {})
        landing = [
            Host(
                target, ((plot.start, (f"198.51.100.{1 + plot.number % 250}",)),), (f"/landing{plot.number}/",), (kit,)
            )
        ]
    timeline = [_behaviour(plot, plot.start, first)]
    if recipe.later is not None:
        timeline.append(_behaviour(plot, plot.change, {**_staying(first), **recipe.later}))
    hosts = [Host(plot.host, tuple(addresses), paths, tuple(timeline)), *landing]
    if plot.host != plot.name:
        front = _behaviour(plot, plot.start, {"page": "not-found"})
        hosts.append(Host(plot.name, tuple(addresses), (), (front,)))
    return tuple(hosts)


def _address(plot: Plot) -> str:
    """Where a plot's hosts stand at first, and while anybody is told of them: neighbours in networks of their own."""
    v4 = f"203.0.113.{1 + plot.number % 31 * 8 + plot.number // 31 % 8}"
    return v4 if plot.recipe.address == "v4" else f"2001:db8:1::{plot.number + 1:x}"


def _staying(first: dict[str, Any]) -> dict[str, Any]:
    """What a host keeps when its page changes: on which ports it answers, and nothing of a cloak."""
    return {key: value for key, value in first.items() if key in ("http", "tls")}


def _delegation(plot: Plot) -> tuple[Delegation, ...]:
    first = Delegation(plot.start - dt.timedelta(days=3000), plot.recipe.delegation)
    if plot.recipe.delegation_later is None:
        return (first,)
    gone = Delegation(plot.change, plot.recipe.delegation_later)
    return (
        (first, gone, Delegation(plot.change + dt.timedelta(days=1), first.kind))
        if plot.recipe.returns
        else (first, gone)
    )


def _person(plot: Plot) -> str:
    choose = plot.rng.choice
    name = f"{choose(_GIVEN)}.{choose(_FAMILY)}.{plot.rng.randint(100, 999)}{plot.number}"
    return f"{name}@{choose(plot.providers)}"


def _parties(plot: Plot) -> tuple[Party, ...]:
    match plot.recipe.contacts:
        case "one-address":
            address = _person(plot)
            return tuple(Party(roles, address) for roles in _ROLES)
        case "redacted":
            return (
                Party(_ROLES[0], _person(plot), "redacted-remark"),
                Party(_ROLES[1], _person(plot), "redacted-9537"),
            )
        case "placeholder":
            return (Party(_ROLES[0], "Please query the RDDS service of the registrar", "placeholder"),)
        case "missing":
            return (Party(_ROLES[0], _person(plot), "missing"), Party(_ROLES[2], _person(plot), "contact-uri"))
        case "inside-domain":
            return (Party(_ROLES[0], f"owner{plot.number}@{plot.name}"),)
        case _:
            parties = tuple(Party(roles, _person(plot)) for roles in _ROLES)
    treatment = {"greylisted": "greylist", "rejected": "reject"}.get(plot.recipe.contacts)
    if treatment == "greylist":
        plot.mailboxes.append(Mailbox(parties[0].address, "greylist"))
    elif treatment == "reject":
        plot.mailboxes.extend(Mailbox(party.address, "reject") for party in parties)
    return parties


def _registration(plot: Plot, parties: tuple[Party, ...]) -> Registration:
    if not plot.recipe.registered:
        return Registration(found=False)
    return Registration(
        registered=plot.registered_at,
        statuses=("server hold",) if plot.recipe.hold_status else ("active",),
        registrar=f"Registrar {plot.number} Limited",
        registrar_abuse=plot.registrar_abuse,
        parties=parties,
        trouble=plot.recipe.rdap,
    )


def _truth(plot: Plot, parties: tuple[Party, ...]) -> DomainTruth:
    recipe = plot.recipe
    due = plot.publications[recipe.publication : recipe.publication + 1]
    not_before = due[0] if due else plot.start
    expected: list[tuple[str, str]] = []
    if not due:
        expected = []
    elif recipe.notice == "malicious":
        expected = [("malicious", parties[0].address), ("registrar", plot.registrar_abuse)]
    elif recipe.notice == "new":
        expected = [("new", address) for address in dict.fromkeys(party.address for party in parties)]
    afterwards = _afterwards(plot) if due else []
    desk = desk_of(plot.networks, _address(plot)) if due and _reaches_the_hoster(recipe) else None
    if desk is not None and recipe.contacts == "inside-domain":  # it is not alone any more
        expected = [("new", parties[0].address)]
    moments = [(template, recipient, not_before) for template, recipient in expected]
    if expected:
        moments += [(template, recipient, since) for template, since in afterwards for _, recipient in expected]
    hosted: tuple[ExpectedNotice, ...] = ()
    if desk is not None:
        times = 1 + sum(template in ("reminder", "reopened") for template, _ in afterwards)
        hosted = (ExpectedNotice(plot.name, None, "hoster", desk, not_before, times),)
    return DomainTruth(
        domain=plot.name,
        abuse_class=recipe.abuse_class if recipe.rdap in ("none", "429-once") else None,
        review=recipe.review,
        notices=tuple(
            ExpectedNotice(plot.name, None, template, recipient, since)  # type: ignore[arg-type]
            for template, recipient, since in moments
        )
        + hosted,
    )


def _reaches_the_hoster(recipe: Recipe) -> bool:
    """Whether a mail is due, or would be if only somebody could be told: then the hoster still can."""
    nobody = ("redacted", "placeholder", "missing", "inside-domain", "rejected")
    return recipe.notice != "none" or recipe.contacts in nobody


def _afterwards(plot: Plot) -> list[tuple[str, dt.datetime]]:
    """What everybody who was told must hear later, and since when it is so: over, more of it, or back again."""
    recipe, back = plot.recipe, plot.change + dt.timedelta(days=1)
    due: list[tuple[str, dt.datetime, dt.timedelta]] = []
    if recipe.joins is not None:
        due = [("reminder", plot.change, SETTLES)]
    elif recipe.returns:
        due = [("resolved", plot.change, SETTLES), ("reopened", back, SETTLES)]
    elif recipe.changes and recipe.state in ("mitigated-dns", "mitigated-content"):
        due = [("resolved", plot.change, SETTLES if recipe.state == "mitigated-dns" else CONTENT_SETTLES)]
    last = plot.publications[-1]
    return [(template, since) for template, since, settles in due if since + settles <= last]


def _indicator_truth(plot: Plot, key: str) -> IndicatorTruth:
    recipe = plot.recipe
    return IndicatorTruth(
        key=key,
        domain=plot.name,
        behaviour=plot.behaviour,
        state=recipe.state,
        delegation=recipe.delegation_truth,
        changed_at=_last_change(plot),
        cloaked=recipe.cloaked,
        validated=recipe.validated,
    )


def _last_change(plot: Plot) -> dt.datetime | None:
    """When the state last changed; a further listing changes none."""
    if plot.recipe.joins is not None or not plot.recipe.changes:
        return None
    return plot.change + dt.timedelta(days=1) if plot.recipe.returns else plot.change


def _shared(plot: Plot) -> Domain:
    """A hosting service whose strangers' sites are reported, one incident a host; it is told by a person only."""
    names = [f"{plot.rng.choice(_GIVEN)}{at}{plot.number}.{plot.name}" for at in range(plot.rng.randint(1, 2))]
    keys = [f"http://{name}/{plot.rng.choice(_DIRECTORIES)}/" for name in names]
    address = ((plot.start, (f"203.0.113.{1 + plot.number % 250}",)),)
    kit = (_behaviour(plot, plot.start, {}),)
    hosts = [Host(name, address, ("/" + key.split("/", 3)[3],), kit) for name, key in zip(names, keys, strict=True)]
    hosts.append(Host(plot.name, address, (), (_behaviour(plot, plot.start, {"page": "not-found"}),)))
    parties = _parties(plot)
    return Domain(
        name=plot.name,
        tld=plot.tld,
        behaviour=plot.behaviour,
        delegation=_delegation(plot),
        registration=_registration(plot, parties),
        hosts=tuple(hosts),
        listings=tuple(_listing(plot, "openlist", key) for key in keys),
        truth=_truth(plot, parties),
        indicators=tuple(_indicator_truth(plot, key) for key in keys),
    )
