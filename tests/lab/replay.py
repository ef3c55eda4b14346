"""``make replay DATA=DIR TLD=xx``: captured feeds and the real zone of a TLD through both daemons, served by the lab.

Every delegation answer comes from the zone file, and from registry zones (``com.ee``) made up from the third-level names
in the feeds. Web hosts and registrations behave by a seeded model that keeps most of the noticeable ones alive; nothing
here resolves or fetches a captured name anywhere but on loopback.
"""

from __future__ import annotations

import datetime as dt
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import trio

from panopticond.feeds.formats import FORMATS
from panopticond.feeds.inflate import Body
from panopticond.feeds.ingest import Ingest
from panopticond.model import Indicator, Threat
from panopticond.shared.names import Names, TldPolicy
from panopticond.shared.zone import read_zone
from tests.lab.addresses import addresses_of, found_in
from tests.lab.collect import collect
from tests.lab.demo import clear, counts, gather, moments, review_names, tell
from tests.lab.model import Behaviour, Delegation, Domain, DomainTruth, FeedServer, Host, Party, Registration, World
from tests.lab.processes import LabError
from tests.lab.run import Outcome, run_world

CAPTURES: tuple[tuple[str, str, Threat], ...] = (
    ("openphish/feed.*.txt", "url-list", "phishing"),
    ("urlhaus/csv_*.csv", "urlhaus-csv", "malware"),
    ("urlhaus/*.txt", "url-list", "malware"),
    ("phishtank/*.csv", "phishtank-csv", "phishing"),
    ("tweetfeed/blocklists/urls.txt", "url-list", "phishing"),
    ("tweetfeed/blocklists/domains.txt", "url-list", "phishing"),
    ("tweetfeed/blocklists/hosts.txt", "hosts-file", "phishing"),
    ("tweetfeed/blocklists/adguard.txt", "adblock", "phishing"),
    ("tweetfeed/blocklists/dnsmasq.txt", "dnsmasq", "phishing"),
    ("tweetfeed/blocklists/rpz.txt", "rpz", "phishing"),
    ("tweetfeed/daily/*.csv", "tweetfeed-csv", "phishing"),
    ("tweetfeed/stix/week.json", "stix", "phishing"),
    ("ut1/phishing/urls", "url-list", "phishing"),
    ("ut1/malware/urls", "url-list", "malware"),
    ("domain_lists/alienvault-cert-pl", "url-list", "phishing"),
    ("domain_lists/phishing_army", "url-list", "phishing"),
    ("domain_lists/malwarebytes.com.txt", "url-list", "malware"),
    ("domain_lists/drb-ba.txt", "url-list", "botnetCc"),
    ("domain_lists/ut1-*", "url-list", "phishing"),
    ("blackbook/blackbook.txt", "url-list", "malware"),
    ("blackbook/blackbook.csv", "blackbook-csv", "malware"),
    ("jpcert/*.csv", "jpcert-csv", "phishing"),
    ("threatfox/format_sample.csv", "threatfox-csv", "malware"),
    ("discord/ublock_filter.txt", "adblock", "phishing"),
    ("eset_misp/*.json", "misp", "malware"),
)
"""(files below DATA/feeds, format, threat); a format this build does not read is left out, and said so."""
JOINABLE = frozenset({"url-list", "phishtank-csv", "tweetfeed-csv", "jpcert-csv"})
"""Formats of one row a line, in which many captures can stand in one body."""
SERIES_LIMIT = 10
"""Files of one pattern: the newest, and others spread evenly over the rest."""
HOURS = 23.0
"""Policy hours before the one publication."""
LEAST_SECONDS = 75.0
SECONDS_PER_INDICATOR = 0.06
PROVIDER = "post-office.zz"
_PLAIN_SUFFIX = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")
Fields = dict[str, object]
_ALIVE: Fields = {"page": "kit"}
_CLOAKED: Fields = {"page": "kit", "only_country": "DE"}
_MISSING: Fields = {"page": "not-found"}
_PARKED: Fields = {"page": "parked", "root": None}
_SUSPENDED: Fields = {"page": "suspended", "root": None}
_REFUSED: Fields = {"link": "refused"}
_CHALLENGE: Fields = {"page": "challenge", "root": None}
_TURNS = (
    *(_ALIVE, _MISSING, _ALIVE, _CLOAKED, _ALIVE, _PARKED, _ALIVE),
    *(_ALIVE, _REFUSED, _ALIVE, _SUSPENDED, _ALIVE, _CHALLENGE, _ALIVE),
)
"""Fields of the web hosts' Behaviour, in turn over the delegated domains, those with most indicators first."""


class Line(msgspec.Struct, frozen=True):
    """The last line of standard output."""

    rows: int
    indicators: int
    domains: int
    delegated: int
    not_in_zone: int
    validated: int
    notices_sent: int
    review_names: int


def run_replay(data: Path, tld: str, out: Path, *, seed: int = 1) -> int:
    """Run it; the exit status is 0 when every count is above 0 and no address of a capture was kept."""
    clear(out)
    captured = list(captures((data / "feeds").resolve(), out / "feeds"))
    zone = zone_file(data, tld)
    zones = registry_zones(data, tld)
    tell(f"{len(captured)} captured feeds, the zone {zone.name}, registry zones {' '.join(zones) or 'none'}")
    indicators = read_indicators(captured, tld, zones)
    real_seconds = max(LEAST_SECONDS, len(indicators) * SECONDS_PER_INDICATOR)
    start, clock = moments(real_seconds, HOURS)
    world = make_replay(seed, tld, zone, zones, captured, indicators, start)
    tell(
        f"{len(indicators)} indicators of .{tld} in {len(world.domains)} domains; about {real_seconds + 30:.0f} seconds"
    )

    async def run() -> Outcome:
        return await run_world(world, out, real_seconds=real_seconds, on_stage=tell, clock=clock)

    outcome = trio.run(run)
    found = collect(world, outcome.places)
    gather(outcome.places, found.tables)
    domains = found.tables.get("domain", ())
    line = Line(
        **counts(found.tables),
        domains=len(domains),
        delegated=sum(row.delegation in ("delegated", "held") for row in domains),
        not_in_zone=sum(row.delegation in ("not-in-zone", "undelegated", "nonexistent") for row in domains),
        notices_sent=len(found.mails),
        review_names=review_names(out),
    )
    tell(f"done in {outcome.real_seconds:.0f} s; everything is under {out}")
    clean = no_address_kept([path for path, _ in captured], out)
    print(msgspec.json.encode(line).decode(), flush=True)
    return 0 if clean and all(msgspec.to_builtins(line).values()) else 1


def no_address_kept(captured: Iterable[Path], out: Path) -> bool:
    """Whether none of the captures' e-mail addresses is found under ``out``, the captures served from it aside."""
    addresses = addresses_of(captured)
    served = {"feeds", "certs", "keys"}
    files = [
        path
        for path in sorted(out.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.relative_to(out).parts[0] not in served
    ]
    found = found_in(addresses, files)
    told = f"{len(addresses)} e-mail addresses of the captures were looked for in {len(files)} files"
    tell(f"{told}; none is there" if not found else f"{told}; FOUND in {len(found)}")
    for path, count in found.items():
        tell(f"FAULT personal data of a feed: {count} bytes in {path.relative_to(out)}")
    return not found


def captures(folder: Path, joined: Path) -> Iterator[tuple[Path, FeedServer]]:
    """Every captured feed in a format this build reads, as a feed the lab can serve; LabError when there is none.

    The captures of one feed at many times become one body in ``joined``, its rows in the order of capture.
    """
    unread: set[str] = set()
    seen = 0
    for pattern, form, threat in CAPTURES:
        paths = [path for path in sorted(folder.glob(pattern)) if path.is_file()]
        if form not in FORMATS:
            unread |= {form} if paths else set()
            continue
        if len(paths) > 1 and form in JOINABLE:
            paths = [_join(paths, joined / re.sub(r"[^a-z0-9]+", "-", pattern.lower()).strip("-"))]
        for path in _spread(paths):
            seen += 1
            base = folder if path.is_relative_to(folder) else joined
            name = re.sub(r"[^a-z0-9]+", "-", str(path.relative_to(base)).lower()).strip("-")[:60]
            yield path, FeedServer(name, form, threat, "reputable", "aged-out", licence="remediation")
    if unread:
        tell(f"captures in formats not read by this build are left out: {' '.join(sorted(unread))}")
    if not seen:
        raise LabError(f"no captured feed is under {folder}; DATA must be the folder that holds feeds/ and zones/")


def _join(paths: Sequence[Path], target: Path) -> Path:
    """One file of many captures; a header line that every one of them begins with stands once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    bodies = [path.read_bytes() for path in paths]
    header = bodies[0].partition(b"\n")[0] + b"\n"
    shared = header if all(body.startswith(header) for body in bodies) else b""
    with target.open("wb") as out:
        out.write(shared)
        for body in bodies:
            rest = body.removeprefix(shared)
            out.write(rest if rest.endswith(b"\n") or not rest else rest + b"\n")
    return target


def _spread(paths: Sequence[Path]) -> list[Path]:
    if len(paths) <= SERIES_LIMIT:
        return list(paths)
    step = (len(paths) - 1) / (SERIES_LIMIT - 1)
    return [paths[round(at * step)] for at in range(SERIES_LIMIT)]


def zone_file(data: Path, tld: str) -> Path:
    """The newest zone of a TLD; LabError when there is none."""
    found = sorted((data / "zones").glob(f"{tld}.*.zone.gz"))
    if not found:
        raise LabError(f"no zone of .{tld} is under {data / 'zones'}; it should be called {tld}.DATE.zone.gz")
    return found[-1].resolve()


def registry_zones(data: Path, tld: str) -> tuple[str, ...]:
    """Suffixes below a TLD by the captured Public Suffix List's first section; none without it."""
    path = data / "psl" / "public_suffix_list.dat"
    if not path.is_file():
        return ()
    public = path.read_text(encoding="utf-8").partition("===END ICANN DOMAINS===")[0]
    rules = (line.strip() for line in public.splitlines())
    return tuple(sorted(rule for rule in rules if rule.endswith("." + tld) and _PLAIN_SUFFIX.fullmatch(rule)))


def read_indicators(captured: Iterable[tuple[Path, FeedServer]], tld: str, zones: Sequence[str]) -> list[Indicator]:
    """Every indicator of a TLD in the captures, once, as the collector itself would read them."""
    names = Names([TldPolicy(tld, frozenset({tld, *zones}), frozenset(zones))])
    found: dict[str, Indicator] = {}
    for path, feed in captured:
        with path.open("rb") as source:
            ingest = Ingest(Body(source, 1 << 30), FORMATS[feed.format], names)
            while not ingest.finished:
                for indicator in ingest.take(20_000):
                    found.setdefault(indicator.key, indicator)
    return list(found.values())


def make_replay(
    seed: int,
    tld: str,
    zone: Path,
    zones: Sequence[str],
    captured: Sequence[tuple[Path, FeedServer]],
    indicators: Sequence[Indicator],
    start: dt.datetime,
) -> World:
    """The world of a replay: delegations as the zone has them, hosts and registrations by the seeded model."""
    owners = read_zone(zone, tld).owners
    by_domain: dict[str, list[Indicator]] = {}
    for indicator in indicators:
        by_domain.setdefault(indicator.domain, []).append(indicator)
    delegated = {name: name in owners or _made_up(seed, tld, name) for name in by_domain}
    order = sorted(by_domain, key=lambda name: (not delegated[name], -len(by_domain[name]), name))
    turns = {name: at for at, name in enumerate(order)}
    return World(
        seed=seed,
        tlds=(tld,),
        registry_zones=tuple(zones),
        start=start,
        end=start + dt.timedelta(hours=HOURS + 6),
        publications=(start + dt.timedelta(hours=HOURS),),
        domains=tuple(
            _domain(seed, tld, name, rows, delegated[name], _TURNS[turns[name] % len(_TURNS)], start)
            for name, rows in sorted(by_domain.items())
        ),
        feeds=tuple(feed for _, feed in captured),
        mailboxes=(),
        shared_services=(),
        zone_files={tld: str(zone)},
        feed_files={feed.name: str(path.resolve()) for path, feed in captured},
    )


def _made_up(seed: int, tld: str, name: str) -> bool:
    """Whether a name below a registry zone, of which no zone file is at hand, is delegated; most are."""
    return name.count(".") > tld.count(".") + 1 and random.Random(f"{seed} zone {name}").random() < 0.8


def _domain(
    seed: int,
    tld: str,
    name: str,
    rows: Sequence[Indicator],
    delegated: bool,
    fields: Fields,
    start: dt.datetime,
) -> Domain:
    rng = random.Random(f"{seed} {name}")
    registered = delegated or rng.random() < 0.3
    hosts = {row.host for row in rows} | {name}
    return Domain(
        name=name,
        tld=tld,
        behaviour="replay",
        delegation=(Delegation(start - dt.timedelta(days=3000), "delegated" if delegated else "absent"),),
        registration=_registration(rng, name, start) if registered else Registration(found=False),
        hosts=tuple(_host(rng, host, rows, fields, start) for host in sorted(hosts)),
        listings=(),
        truth=DomainTruth(name, None),
        indicators=(),
    )


def _host(rng: random.Random, host: str, rows: Sequence[Indicator], fields: Fields, start: dt.datetime) -> Host:
    uris = [row.uri for row in rows if row.uri is not None and row.host == host]
    address = f"198.51.100.{rng.randint(1, 250)}"
    web = fields | {"start": start, "seed": rng.randint(1, 1 << 30)}
    if any(uri.startswith("https:") for uri in uris):
        web["tls"] = "valid"
    paths = tuple(dict.fromkeys(_path(uri) for uri in uris))
    if "/" in paths:
        web["root"] = None
    return Host(host, ((start, (address,)),), paths, (msgspec.convert(web, Behaviour),))


def _path(uri: str) -> str:
    parts = urlsplit(uri)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _registration(rng: random.Random, name: str, start: dt.datetime) -> Registration:
    people = [f"holder{rng.randint(1, 1 << 40)}@{PROVIDER}" for _ in range(2)]
    return Registration(
        registered=start - dt.timedelta(days=rng.choice((20, 60, 200, 500, 900, 2000, 4000)) + rng.randint(0, 30)),
        registrar=f"Registrar {rng.randint(1, 30)}",
        registrar_abuse=f"abuse-desk-{name.replace('.', '-')}@registrar.zz",
        parties=(Party(("registrant",), people[0]), Party(("administrative", "technical"), people[1])),
    )
