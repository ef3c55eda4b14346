"""A store in memory with what publication asks of one, and a small TLD to publish."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec

from panopticond.config import Tld
from panopticond.judge.fingerprint import fingerprint
from panopticond.model import (
    DomainRecord,
    Incident,
    Observation,
    Round,
    Sighting,
    Subject,
)
from panopticond.shared.minisign import SecretKey
from panopticond.snapshot.licences import FeedFacts, Veil
from panopticond.snapshot.press import Press
from panopticond.snapshot.publish import Today
from panopticond.store.interface import FeedHealth, Publication, Standing, Watch

NOW = dt.datetime(2026, 11, 21, 6, 0, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
TLD = Tld(name="zz", timezone="Pacific/Auckland", publish_at="19:00", critical=("gov.zz",), zone_size=40_000)
PAGE = fingerprint("bank-login.zz", 200, "Bank", 900, b"<html><form><input>")


class Ledger:
    """The parts of ``store.interface.Store`` that publication uses."""

    def __init__(self) -> None:
        self.kept: dict[int, Standing] = {}
        self.kept_rounds: dict[int, list[Round]] = {}
        self.domains: dict[str, DomainRecord] = {}
        self.kept_incidents: dict[str, Incident] = {}
        self.publications: list[Publication] = []
        self.published: Callable[[int], None] = lambda _count: None

    def add(
        self,
        uri: str | None,
        host: str,
        domain: str,
        *,
        feeds: Sequence[str] = ("open",),
        rounds: Sequence[Round] = (),
        scope: str = "registered",
        threat: str = "phishing",
        ended: dt.datetime | None = None,
        decision: str | None = None,
    ) -> int:
        number = len(self.kept) + 1
        seen = tuple(Sighting(feed, threat, NOW - 30 * HOUR, NOW - HOUR, ended) for feed in feeds)  # type: ignore[arg-type]
        subject = Subject(number, uri, host, domain, "zz", scope, (threat,))  # type: ignore[arg-type]
        self.kept[number] = Standing(subject, NOW - 30 * HOUR, None, seen, NOW - 20 * HOUR, decision)
        self.kept_rounds[number] = list(rounds)
        registered = Observation(
            "registration",
            domain,
            "direct",
            NOW,
            "registered",
            {"registered": "2026-10-01T00:00:00Z", "registrar": "R & Co"},
        )
        self.domains.setdefault(domain, DomainRecord(domain, "zz", registration=registered))
        return number

    async def watches(self) -> list[Watch]:
        return [
            Watch(number, one.recorded, max((r.at for r in self.kept_rounds[number]), default=None), check=True)
            for number, one in self.kept.items()
        ]

    async def standings(self, tld: str) -> AsyncIterator[Standing]:
        for one in sorted(self.kept.values(), key=lambda one: one.subject.key):
            if one.subject.tld == tld:
                yield one

    async def rounds(self, indicator_id: int, since: dt.datetime | None = None) -> list[Round]:
        del since
        return self.kept_rounds[indicator_id]

    async def rounds_of_many(
        self, indicator_ids: Sequence[int], since: dt.datetime | None = None
    ) -> dict[int, list[Round]]:
        del since
        return {number: self.kept_rounds[number] for number in indicator_ids}

    async def domains_of_many(self, domains: Sequence[str]) -> dict[str, DomainRecord]:
        return {name: self.domains[name] for name in domains if name in self.domains}

    async def incidents(self, tld: str) -> list[Incident]:
        return [one for one in self.kept_incidents.values() if one.tld == tld]

    async def record_incidents(self, incidents: Sequence[Incident]) -> None:
        self.kept_incidents.update({one.id: one for one in incidents})

    async def last_publication(self, tld: str) -> Publication | None:
        return next((one for one in reversed(self.publications) if one.tld == tld), None)

    async def record_publication(self, publication: Publication) -> None:
        self.publications.append(publication)
        self.published(len(self.publications))


def round_at(at: dt.datetime, uri: str | None, host: str, domain: str, outcome: str = "live", **detail: str) -> Round:
    """A round in which the name is delegated, resolves, and both vantages see ``outcome``."""
    seen = [
        Observation("delegation", domain, "direct", at, "delegated"),
        Observation("address", host, "direct", at, "resolves", {"addresses": "192.0.2.7"}),
    ]
    if uri is not None:
        said = {"fingerprint": PAGE} if outcome == "live" else {"reason": "status-404"}
        seen += [Observation("web", uri, name, at, outcome, said | detail) for name in ("near", "far")]
    return Round(at, tuple(seen))


def day(uri: str | None, host: str, domain: str, outcome: str = "live", **detail: str) -> list[Round]:
    """Four rounds in the day before NOW."""
    return [round_at(NOW - hours * HOUR, uri, host, domain, outcome, **detail) for hours in (19, 13, 7, 1)]


def feed(name: str, licence: str = "redistributable", state: str = "OK", absence: str = "aged-out") -> FeedFacts:
    health = FeedHealth(
        name, state=state, last_success=NOW - HOUR, rows=10, indicators=2, reason="" if state == "OK" else "why"
    )
    return FeedFacts(name, "url-list", licence, "reputable", absence, "phishing", health)  # type: ignore[arg-type]


def press(root: Path) -> Press:
    return Press(
        root=root,
        key=SecretKey(b"12345678", b"s" * 32),
        veil=Veil(b"k" * 32),
        expires=36 * HOUR,
        keep=3,
        check_interval=6 * HOUR,
        popular_rank=100_000,
        vantages=(("near", "NZ"), ("far", "DE")),
    )


FEEDS = (
    feed("open"),
    feed("fix", "remediation"),
    feed("verdict", "verdict-only"),
    feed("secret", "no-store"),
    feed("sick", state="AUTH"),
)
TODAY = Today(FEEDS)


def world() -> Ledger:
    """One of everything the licences and the counts tell apart."""
    ledger = Ledger()
    for name, feeds in (
        ("bank-login.zz", ("open",)),
        ("remedy.zz", ("fix",)),
        ("hidden-name.zz", ("verdict",)),
        ("unspoken.zz", ("secret",)),
        ("both.zz", ("open", "verdict", "secret")),
        ("gov.zz", ("open",)),
    ):
        uri = f"http://{name}/login?x='1"
        ledger.add(uri, name, name, feeds=feeds, rounds=day(uri, name, name, title=f"Welcome to {name}", final=uri))
    uri = "http://gone.zz/x"
    ledger.add(
        uri,
        "gone.zz",
        "gone.zz",
        rounds=[round_at(NOW - 29 * HOUR, uri, "gone.zz", "gone.zz"), *day(uri, "gone.zz", "gone.zz", "gone")],
    )
    ledger.add(
        None,
        "c2.botnet.zz",
        "botnet.zz",
        threat="botnetCc",
        rounds=day(None, "c2.botnet.zz", "botnet.zz"),
        scope="subordinate",
    )
    uri = "http://me.pages.zz/"
    ledger.add(uri, "me.pages.zz", "pages.zz", rounds=day(uri, "me.pages.zz", "pages.zz"), scope="shared")
    ledger.add("http://new.zz/", "new.zz", "new.zz")
    ledger.domains["gov.zz"] = msgspec.structs.replace(
        ledger.domains["gov.zz"], tranco=Observation("tranco", "gov.zz", "direct", NOW, "ranked", {"rank": "5000"})
    )
    return ledger
