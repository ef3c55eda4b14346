"""The lab's world as data: what every simulated server does at any policy time, and what is therefore true.

``world.py`` makes one from a seed; the servers under ``internet/`` act it out; ``score.py`` compares what the daemons
said and did with ``Truth``. Times are policy time, UTC. A World is JSON (msgspec) so that processes can share it.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

Page = Literal[
    "kit",  # the malicious page: 2xx; title and shape from `seed`
    "ordinary",  # ordinary content of the site: 2xx; another title and shape
    "not-found",  # 404
    "gone",  # 410
    "error",  # 500
    "soft-404",  # 200 with the same "not found" page on every path of the host
    "parked",  # 200 with a parking provider's page on every path
    "suspended",  # 200 or 403 with a big hoster's suspension page on every path
    "hold",  # 200 with the registry's hold page on every path
    "forbidden",  # 403
    "challenge",  # 403 or 503 with a challenge page of a big CDN
    "redirect",  # 302 to `location`
    "loop",  # 302 to itself for ever
    "huge",  # the kit page, then bytes without end
    "slow",  # the kit page, its first byte after `delay_seconds` real seconds
]
Link = Literal[
    "up",  # connects
    "refused",  # the proxy cannot connect: refused
    "timeout",  # the proxy cannot connect: no answer in time
    "reset",  # connects, then closes without an answer
]
Tls = Literal["valid", "self-signed", "expired", "name-mismatch", "broken", "none"]
"""none: nothing listens on 443; broken: 443 accepts and speaks no TLS."""


class Behaviour(msgspec.Struct, frozen=True):
    """What a web host does from `start` on (until the next entry of its timeline)."""

    start: dt.datetime
    page: Page = "kit"
    link: Link = "up"
    tls: Tls = "none"
    http: bool = True
    """Whether anything listens on port 80."""
    only_country: str | None = None
    """Cloaking: `page` for visitors from this country; everyone else gets `elsewhere`."""
    elsewhere: Page = "not-found"
    location: str = ""
    delay_seconds: float = 0.0
    seed: int = 0
    root: Page | None = "ordinary"
    """The page at ``/`` when the malicious path is deeper; None: the same page as everywhere."""


class Host(msgspec.Struct, frozen=True):
    """A host name with its addresses over time and its web behaviour over time."""

    name: str
    addresses: tuple[tuple[dt.datetime, tuple[str, ...]], ...]
    """(from, addresses): A and AAAA as text; an empty tuple means NODATA, ``("nxdomain",)`` NXDOMAIN."""
    paths: tuple[str, ...] = ()
    """The malicious paths (with query) on it; other paths get 404 unless the page says every path."""
    timeline: tuple[Behaviour, ...] = ()


class Delegation(msgspec.Struct, frozen=True):
    """What the TLD's servers say of a domain from `start` on."""

    start: dt.datetime
    kind: Literal["delegated", "absent", "hold-ns", "servfail", "in-zone"]
    """in-zone: no delegation, but the name's own address records in the TLD zone."""


class Party(msgspec.Struct, frozen=True):
    """One RDAP contact: its roles and its address, or what stands in the address's place."""

    roles: tuple[str, ...]
    address: str
    style: Literal["plain", "redacted-remark", "redacted-9537", "placeholder", "missing", "contact-uri"] = "plain"


class Registration(msgspec.Struct, frozen=True):
    """What RDAP says of a domain; `found` False is a 404."""

    found: bool = True
    registered: dt.datetime | None = None
    statuses: tuple[str, ...] = ("active",)
    registrar: str = "Example Registrar"
    registrar_abuse: str | None = None
    parties: tuple[Party, ...] = ()
    trouble: Literal["none", "429-once", "500", "html", "other-object"] = "none"


class Listing(msgspec.Struct, frozen=True):
    """A feed's row over time: it stands in the feed from `start` until `end`."""

    feed: str
    value: str
    """As the feed writes it (a URL, perhaps defanged, or a host)."""
    start: dt.datetime
    end: dt.datetime | None = None
    threat: str = "phishing"


Sickness = Literal[
    "none",
    "404",
    "500",
    "401",
    "403",
    "429",  # with Retry-After
    "html",
    "empty",
    "stale",  # the list as it was when it fell sick, for ever
    "truncated",  # a gzip file without its second half
    "cut",  # the connection closes in the middle of the body
    "garbled",  # an encoding nobody reads: EBCDIC
    "utf-16",  # another encoding, with a byte order mark: no sickness to a good reader
    "shrunk",  # a quarter of its noise and nothing else
    "elsewhere",  # a redirect to another host, which would answer
    "private",  # a redirect into a private network
    "silent",  # takes the request and never answers
    "stalled",  # half of the body, then nothing more
]


class FeedServer(msgspec.Struct, frozen=True):
    """One feed of the world and how its server behaves."""

    name: str
    format: str
    """``url-list``, ``urlhaus-csv``, ``phishtank-csv`` or ``hosts-file``; any format where it serves a file."""
    threat: str
    trust: Literal["reputable", "supporting"]
    absence: Literal["withdrawn", "aged-out"]
    licence: str = "redistributable"
    sickness: Sickness = "none"
    sick_from: dt.datetime | None = None
    every: str = "1h"
    """The interval the collector is configured with, policy time."""
    stale_after: str | None = None
    deadline: str | None = None
    """Real time the collector gives one body; None: its own default."""
    noise_rows: int = 20
    """Rows that concern nobody here: other TLDs, IP literals, malformed rows."""


class ExpectedNotice(msgspec.Struct, frozen=True):
    """One mail that must be accepted exactly so many times by the SMTP server."""

    domain: str
    host: str | None
    template: Literal["new", "malicious", "registrar", "reminder", "resolved", "reopened", "hoster"]
    recipient: str
    not_before: dt.datetime
    """The earliest of them, where there are several."""
    times: int = 1
    """How often: a hoster has one template for all that it is told."""


class IndicatorTruth(msgspec.Struct, frozen=True):
    """What is so of one indicator at the end of the run."""

    key: str
    """Its normalised URI or host, as the snapshot must write it."""
    domain: str
    behaviour: str
    """The name counted in ``behaviours``."""
    state: str
    delegation: str
    changed_at: dt.datetime | None = None
    """When the world last changed for it; None: it was so from the start."""
    cloaked: bool = False
    validated: bool | None = None
    """Whether it must be validated in the last snapshot; None: either."""
    state_decidable: bool = True


class DomainTruth(msgspec.Struct, frozen=True):
    """What is so of one domain: its class, where decidable, and what must happen to its case."""

    domain: str
    abuse_class: str | None
    """malicious, compromised, shared-service, undetermined, or None where nobody could know."""
    review: bool = False
    """Truth sends it to a person: in the snapshot's review flag or arke's queue."""
    notices: tuple[ExpectedNotice, ...] = ()
    may_notice: tuple[str, ...] = ()
    """Recipients that may, but need not, be told (a change fell too near a publication to call)."""


class Domain(msgspec.Struct, frozen=True):
    """One simulated registration: zone, registry data, hosts, listings and the truth of it."""

    name: str
    tld: str
    behaviour: str
    delegation: tuple[Delegation, ...]
    registration: Registration
    hosts: tuple[Host, ...]
    listings: tuple[Listing, ...]
    truth: DomainTruth
    indicators: tuple[IndicatorTruth, ...]
    tranco_rank: int | None = None
    webrisk: tuple[str, ...] = ()
    """Threat types Web Risk answers for its URIs."""
    quad9_blocked: bool = False


NetworkStyle = Literal[
    "plain",  # an abuse contact beside the holder
    "nested",  # ... under the holder
    "no-abuse",  # a technical contact and no other
    "redacted",  # an abuse contact without its address, with a remark
    "not-found",  # 404
    "silent",  # takes the question and never answers
    "elsewhere",  # a redirect to another registry, which answers
    "html",  # a web page with status 200
    "other-object",  # another network's object
]


class Network(msgspec.Struct, frozen=True):
    """A network of addresses, its abuse desk, and what its registry's RDAP says when asked for an address in it."""

    block: str
    """As ``203.0.113.0/29``."""
    abuse: str
    style: NetworkStyle


class Mailbox(msgspec.Struct, frozen=True):
    """How the SMTP server treats one recipient."""

    address: str
    treatment: Literal["accept", "greylist", "reject"] = "accept"


class World(msgspec.Struct, frozen=True):
    """Everything: the servers act it out, the scorer knows it."""

    seed: int
    tlds: tuple[str, ...]
    registry_zones: tuple[str, ...]
    start: dt.datetime
    end: dt.datetime
    publications: tuple[dt.datetime, ...]
    """The policy times at which snapshots are due."""
    domains: tuple[Domain, ...]
    feeds: tuple[FeedServer, ...]
    mailboxes: tuple[Mailbox, ...]
    networks: tuple[Network, ...] = ()
    """Who holds the hosts' addresses; with any, arke's ladder has the hoster beside its first rung."""
    mail_seconds: float = 0.0
    """Real seconds the SMTP server may take between keeping a mail and saying so: where a kill meets a mail in doubt."""
    vantages: tuple[tuple[str, str], ...] = (("near", "NZ"), ("far", "DE"))
    """(name, country) of the two proxies."""
    hold_ns: str = "hold.registry.zz"
    hold_ip: str = "127.66.0.1"
    sinkhole_ip: str = "127.77.0.1"
    shared_services: tuple[str, ...] = ("pages.zz",)
    quiet_names: tuple[str, ...] = ()
    """Registered names of the zone that no feed lists, typo-squats for the review list among them. Each is delegated."""
    hold_page: str = "This name is on hold by the registry"
    """Text of the registry's hold page: its title and its first paragraph (``hold_page`` of the daemons)."""
    zone_files: dict[str, str] = {}
    """By TLD: a master file (perhaps .gz) whose delegated owners exist beside the domains; for replays."""
    feed_files: dict[str, str] = {}
    """By feed name: a file served byte for byte instead of rows made from listings; for replays."""


class Ports(msgspec.Struct, frozen=True):
    """Where the running servers listen, all on 127.0.0.1; written by the lab for whoever configures the daemons."""

    tld_dns: tuple[int, ...] = ()
    """The TLD's two servers."""
    registry_dns: tuple[int, ...] = ()
    """The same two as arke asks them: apart, so that what panopticond's hosts ask is counted by itself."""
    zone_dns: dict[str, int] = {}
    """Registry zones served apart, by zone."""
    resolver: int = 0
    filtering: int = 0
    proxies: dict[str, int] = {}
    """By vantage name."""
    feeds: int = 0
    """HTTP; ``/<feed name>``."""
    webrisk: int = 0
    tranco: int = 0
    """HTTP; ``/top-1m.csv.zip``."""
    rdap: int = 0
    """HTTP; public at ``/public/``, with contacts and Basic authentication at ``/registry/``, as RedDog at ``/reddog/``."""
    address_rdap: tuple[int, ...] = ()
    """HTTP; the address registries at ``/rdap/``: one, one that it sends on to, one that is ill."""
    smtp: int = 0
    control: int = 0
    """HTTP; the lab's own: ``/mails`` (accepted mails as JSON), ``/requests`` (counts), ``/control`` (the control page)."""
