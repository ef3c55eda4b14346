"""A seed makes a world and its truth: registrations, web hosts, feeds, contacts, and what must come of each.

First step of every lab run. ``behaviours.RECIPES`` says what kinds of domain there are; here each becomes a Domain with
invented names and moments. Truth holds for the last publication; every change lies at least ten hours from every
publication and over a day and an interval before the last, so that a daemon that probes as it should has settled.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from panopticond.judge.classify import LURE_TOKENS
from tests.lab.behaviours import RECIPES, Recipe
from tests.lab.model import Delegation, Domain, FeedServer, Mailbox, World
from tests.lab.networks import networks_of
from tests.lab.plant import Plot, plant

HOUR = dt.timedelta(hours=1)
Answer = Literal["delegated", "absent", "hold-ns", "servfail", "in-zone"]
CHANGE_HOURS = (32.2, 34.8)
"""Between the first publication (22 h) and the second (46 h), over ten hours from either: what the first one asks for
has left by then, and the day and a round after which a page counts as gone end five hours before the third (70 h)."""
_ONSETS = tuple("b d f g k l m n p r s t v z br dr gl kr pl tr zv".split())  # noqa: SIM905 - a table reads better so
_VOWELS = ["a", "e", "i", "o", "u", "ai", "eu", "ou"]
_CODAS = ["", "", "n", "l", "r", "sk", "nd", "rv", "lm"]
_SQUATS = (
    *("paypa1", "rnicrosoft", "faceboook", "amaz0n-prime", "netfilx", "g00gle", "app1e-id", "instagrarn"),
    *("paypal-support", "linkedln", "whatsapq", "dropboxx", "rnastercard", "vlsa-card", "m1crosoft"),
)


def feeds(start: dt.datetime) -> tuple[FeedServer, ...]:
    """The world's feeds: every native format, both meanings of absence, and one that falls sick after a day."""
    return (
        FeedServer("openlist", "url-list", "phishing", "reputable", "aged-out"),
        FeedServer("tankcheck", "phishtank-csv", "phishing", "reputable", "withdrawn"),
        FeedServer("urlcatch", "urlhaus-csv", "malware", "reputable", "aged-out"),
        FeedServer("hostblock", "hosts-file", "phishing", "reputable", "aged-out"),
        FeedServer("c2watch", "url-list", "botnetCc", "reputable", "aged-out"),
        FeedServer("helper-one", "url-list", "phishing", "supporting", "aged-out"),
        FeedServer("helper-two", "url-list", "phishing", "supporting", "aged-out"),
        FeedServer(
            "sicklist", "url-list", "phishing", "reputable", "aged-out", sickness="html", sick_from=start + 26 * HOUR
        ),
    )


def publications_of(start: dt.datetime, days: float) -> tuple[dt.datetime, ...]:
    """Daily from 22 hours after the start, as many as leave six hours before the end."""
    times, at = [], start + 22 * HOUR
    while at <= start + dt.timedelta(days=days) - 6 * HOUR:
        times.append(at)
        at += 24 * HOUR
    return tuple(times)


def make_world(
    seed: int,
    domains: int,
    *,
    start: dt.datetime,
    tlds: Sequence[str] = ("zz",),
    days: float = 3.2,
    publications: Sequence[dt.datetime] | None = None,
    only: Sequence[str] | None = None,
    hosters: bool = False,
) -> World:
    """The world of a seed with so many domains, every behaviour in turn; ``only`` plants these behaviours alone.

    With ``hosters`` the addresses have networks, and who hosts must be told. ``start`` is policy time, UTC; the same arguments give the same world, byte for byte.
    """
    rng = random.Random(f"panopticon-lab-{seed}")
    published = tuple(publications) if publications is not None else publications_of(start, days)
    behaviours = list(only or RECIPES)
    turns = [behaviours[at % len(behaviours)] for at in range(domains)]
    rng.shuffle(turns)
    tld = tlds[0]
    names = _Names(rng)
    providers = [f"{names.fresh()}.{tld}" for _ in range(6)]
    quiet = [*providers, *(f"{names.fresh()}.{tld}" for _ in range(max(40, domains)))]
    quiet += [f"{label}.{tld}" for label in rng.sample(_SQUATS, 12)]
    networks = networks_of(tld) if hosters else ()
    planted: list[Domain] = []
    mailboxes: list[Mailbox] = []
    for number, behaviour in enumerate(turns):
        recipe = RECIPES[behaviour]
        plot = Plot(
            number=number,
            behaviour=behaviour,
            recipe=recipe,
            name=_name(recipe, names, rng, tld),
            tld=tld,
            rng=rng,
            start=start,
            change=start + rng.uniform(*CHANGE_HOURS) * HOUR,
            publications=published,
            providers=tuple(providers),
            abroad=rng.choice(quiet[6:40]),
            networks=networks,
        )
        planted.append(plant(plot))
        mailboxes += plot.mailboxes
    return World(
        seed=seed,
        tlds=tuple(tlds),
        registry_zones=(f"com.{tld}",),
        start=start,
        end=published[-1] + 6 * HOUR if published else start + dt.timedelta(days=days),
        publications=published,
        domains=tuple(planted),
        feeds=feeds(start),
        mailboxes=tuple(mailboxes),
        networks=networks,
        shared_services=tuple(domain.name for domain in planted if domain.behaviour == "shared-service"),
        quiet_names=tuple(quiet),
    )


def critical_names(world: World) -> tuple[str, ...]:
    """The names on the manager's list of critical names."""
    return tuple(domain.name for domain in world.domains if domain.behaviour == "critical")


def canary(world: World) -> str | None:
    """A name whose contacts the registry's RDAP always gives."""
    return next((domain.name for domain in world.domains if domain.behaviour in ("alive", "compromised")), None)


def behaviour_counts(world: World) -> dict[str, int]:
    """How many domains each behaviour has, by name."""
    names = sorted({domain.behaviour for domain in world.domains})
    return {name: sum(domain.behaviour == name for domain in world.domains) for name in names}


def delegation_at(
    domain: Domain, when: dt.datetime
) -> Literal["delegated", "absent", "hold-ns", "servfail", "in-zone"]:
    """What the TLD's servers say of a domain at a policy time."""
    standing: list[Delegation] = [entry for entry in domain.delegation if entry.start <= when]
    return standing[-1].kind if standing else "absent"


def zone_changes(world: World) -> list[dt.datetime]:
    """The policy times at which the zone changes after the start."""
    return sorted({entry.start for domain in world.domains for entry in domain.delegation if entry.start > world.start})


def write_zone(world: World, path: Path, when: dt.datetime) -> None:
    """The TLD's master file at a policy time, put in place whole by a rename."""
    tld = world.tlds[0]
    serial = int(when.timestamp()) % (1 << 32)
    lines = [
        f"$ORIGIN {tld}.",
        "$TTL 3600",
        f"@ IN SOA ns1.nic.{tld}. hostmaster.nic.{tld}. {serial} 1800 900 1209600 3600",
        f"@ IN NS ns1.nic.{tld}.",
        f"@ IN NS ns2.nic.{tld}.",
        "ns1.nic IN A 192.0.2.53",
        "ns2.nic IN A 198.51.100.53",
    ]
    delegations = dict.fromkeys(world.quiet_names, "delegated")
    delegations |= {domain.name: delegation_at(domain, when) for domain in world.domains}
    for name, kind in sorted(delegations.items()):
        server = world.hold_ns if kind == "hold-ns" else "ns1.hosting.example"
        if kind == "in-zone":
            lines.append(f"{name}. IN A 192.0.2.80")
        elif kind != "absent":
            lines.append(f"{name}. IN NS {server}.")
    temporary = path.with_suffix(".new")
    temporary.write_text("\n".join(lines) + "\n", encoding="ascii")
    temporary.replace(path)


class _Names:
    """Pronounceable made-up labels, each once, none with a word of a lure in it."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._given: set[str] = set()

    def fresh(self) -> str:
        """A label nobody has yet."""
        while True:
            syllables = self._rng.choice((3, 3, 4))
            parts = [
                self._rng.choice(_ONSETS) + self._rng.choice(_VOWELS) + self._rng.choice(_CODAS)
                for _ in range(syllables)
            ]
            label = "".join(parts)
            if label not in self._given and len(label) >= 8 and not any(token in label for token in LURE_TOKENS):
                self._given.add(label)
                return label


def _name(recipe: Recipe, names: _Names, rng: random.Random, tld: str) -> str:
    label = names.fresh()
    if recipe.lure:
        label = f"{rng.choice(('secure-login', 'verify-account', 'update-billing', 'login-portal'))}-{label}"
    if recipe.special == "shared":
        label = f"{label}-pages"
    return f"{label}.{recipe.zone or tld}"
