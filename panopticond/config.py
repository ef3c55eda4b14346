"""panopticond.toml: its keys, their units and the rules between them (docs/reference/panopticond.toml.md).

First step of ``run`` and ``check-config``. ``read`` gives the file's own structs; nothing here opens a socket.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from panopticond.config_rules import check as check  # noqa: PLC0414 - part of what a configuration is
from panopticond.model import Absence, Licence, Threat, Trust
from panopticond.shared.clock import ClockSettings
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.names import ascii_name
from panopticond.shared.settings import Delay, Duration, convert, read_toml

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}\Z")]
Hour = Annotated[str, msgspec.Meta(pattern=r"^[0-2][0-9]:[0-5][0-9]\Z")]
Positive = Annotated[int, msgspec.Meta(ge=1, le=1 << 40)]
Rate = Annotated[float, msgspec.Meta(gt=0)]
Role = Literal["collect", "probe", "publish", "serve"]
ROLES: tuple[Role, ...] = ("collect", "probe", "publish", "serve")


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file: unknown keys are refused."""


class Account(Section, frozen=True):
    """Who may fetch a TLD's snapshots, by a password in a file, a client certificate, or either."""

    name: Name
    password_file: str | None = None
    certificate_file: str | None = None
    """The certificate (PEM) the client shows over our TLS; itself, not its issuer."""


class Rdap(Section, frozen=True):
    """Where a TLD's public RDAP is; without ``url`` its registrations are not asked about."""

    url: str | None = None
    authoritative: bool = True


class Tld(Section, frozen=True):
    """``[[tld]]``: one served TLD, or several alike by ``names``."""

    name: Name | None = None
    names: tuple[Name, ...] = ()
    suffixes: tuple[str, ...] = ()
    """The suffixes under which the registry delegates, as ``["zz", "com.zz"]``; empty: the Public Suffix List's."""
    registry_zones: tuple[str, ...] = ()
    """Zones of the registry's own below the TLD (``com.zz`` served apart): a referral to one is no delegation."""
    shared_services: tuple[str, ...] = ()
    """Suffixes under which strangers get their own host or path, beyond the PSL's private section."""
    servers: tuple[str, ...] = ()
    """The TLD's own servers, ``address:port`` each; empty: found from the root."""
    timezone: str = "UTC"
    publish_at: Hour = "06:00"
    publish_also: tuple[Hour, ...] = ()
    """Further hours of the day, for more than one publication."""
    language: Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2,3}$")] = "en"
    """Of the mails to its managers."""
    managers: tuple[str, ...] = ()
    critical: tuple[str, ...] = ()
    feeds: tuple[Name, ...] = ()
    """Names of feeds; empty: all of them."""
    vantages: tuple[Name, ...] = ()
    """Names of vantages; empty: all of them. Two at least."""
    rdap: Rdap = Rdap()
    zone: str | None = None
    zone_size: Positive | None = None
    hold_ns: tuple[str, ...] = ()
    hold_ip: tuple[str, ...] = ()
    hold_page: tuple[str, ...] = ()
    """Texts of which one in a page's title or first kilobytes says the registry holds the name."""
    accounts: tuple[Account, ...] = ()


class Group(Section, frozen=True):
    """``[[group]]``: several TLDs that share feeds, vantages and hours; the same keys as ``[[tld]]`` but the name."""

    names: tuple[Name, ...]
    timezone: str | None = None
    publish_at: Hour | None = None
    managers: tuple[str, ...] = ()
    feeds: tuple[Name, ...] = ()
    vantages: tuple[Name, ...] = ()


class Feed(Section, frozen=True):
    """``[[feed]]``: a catalogue name, or one's own by ``url`` and ``format``; the rest from the catalogue."""

    name: Name
    url: str | None = None
    """``https://...``, ``http://...`` or a path."""
    format: str | None = None
    threat: Threat | None = None
    every: Duration | None = None
    key_file: str | None = None
    licence: Licence | None = None
    absence: Absence | None = None
    trust: Trust | None = None
    stale_after: Duration | None = None
    """Without any change for so long the feed is STALE; by default two days, and at least four visits."""
    notify: str | None = None
    """For an ``axfr://`` url: ``address:port`` to listen at for NOTIFY, so that a change is seen at once."""
    map_file: str | None = None
    """For the formats csv, json and ndjson: the mapping of their columns or keys, as ``feeds parse --map`` takes it."""
    delisting: str | None = None
    """Where a holder asks to be taken off the list: a page or a mail address."""
    deadline: Duration = "10m"
    """For one whole body, real time; half a minute without a byte ends it too."""
    max_bytes: Positive = 64 << 20
    max_inflated_bytes: Positive = 256 << 20


class Vantage(Section, frozen=True):
    """``[[vantage]]``: a place probes leave from; without ``proxy`` it is this host's own network."""

    name: Name
    country: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}$")]
    proxy: str | None = None
    """``http://host:port``; the credentials stand in ``credentials_file`` as ``user:password``."""
    credentials_file: str | None = None
    username_template: str | None = None
    """``customer-{user}-cc-{CC}-sessid-{session}`` as the provider has it; ``{cc}`` and ``{CC}`` are the country."""
    control_uri: str | None = None
    """A URI of the operator's own that must answer 2xx through this vantage; without it a failure is never a site's."""
    error_headers: tuple[str, ...] = ()
    proxy_error_statuses: tuple[int, ...] = (400, 401, 402, 403, 405, 407, 429, 525)
    """CONNECT answers that speak of the proxy; every other non-2xx says the site could not be reached."""


class Validation(Section, frozen=True):
    """``[validation]``: the window and its limits; probe time-outs are real seconds."""

    window: Duration = "24h"
    checks_per_window: Annotated[int, msgspec.Meta(ge=1, le=1440)] = 4
    first_check_within: Duration = "5m"
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 64
    per_host_seconds: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 1.0
    """Real seconds between two requests to one host at one vantage."""
    connect_timeout: Duration = "8s"
    probe_deadline: Duration = "25s"
    body_limit_bytes: Positive = 128 << 10
    retention: Duration = "35d"
    allow_networks: tuple[str, ...] = ()
    sinkholes: tuple[str, ...] = ()
    """Addresses or networks of sinkholes, beyond those shipped."""
    apex_every: Duration = "24h"


class Dns(Section, frozen=True):
    """``[dns]``: rates are queries a second and server, in real time."""

    roots: tuple[str, ...] = ()
    """Root servers as ``address:port``; empty: the shipped hints."""
    rate_per_server: Rate = 5.0
    timeout: Duration = "2s"
    attempts: Annotated[int, msgspec.Meta(ge=1, le=10)] = 3
    wildcard_test_every: Duration = "24h"


class Quad9(Section, frozen=True):
    """``[quad9]``: the filtering resolver and its unfiltered twin: ``address:port``, or by tcp, tls or https."""

    enabled: bool = True
    filtered: tuple[str, ...] = ("9.9.9.9:53", "149.112.112.112:53")
    unfiltered: tuple[str, ...] = ("9.9.9.10:53", "149.112.112.10:53")
    ca_file: str | None = None
    """The authority (PEM) that certifies resolvers asked over tls or https; left out: the system's."""
    rate: Rate = 50.0
    blocked_canary: str = "isitblocked.org"


class WebRisk(Section, frozen=True):
    """``[webrisk]``: Google Web Risk look-ups, once a day and an indicator, under a daily budget; off without a key."""

    key_file: str | None = None
    url: str = "https://webrisk.googleapis.com"
    every: Duration = "24h"
    daily_budget: Positive = 3000
    rate: Rate = 10.0


class Tranco(Section, frozen=True):
    """``[tranco]``: the daily popularity list, a zip by URL or path."""

    enabled: bool = True
    url: str = "https://tranco-list.eu/top-1m.csv.zip"
    id_url: str | None = "https://tranco-list.eu/top-1m-id"
    every: Duration = "24h"
    popular_rank: Positive = 100_000


class Registration(Section, frozen=True):
    """``[registration]``: public RDAP; contacts are dropped before any object is built."""

    enabled: bool = True
    every: Duration = "24h"
    rate: Rate = 1.0


class StoreSettings(Section, frozen=True):
    """``[store]``: where state lives; a path for the embedded store, or the url of a PostgreSQL that hosts share."""

    path: str = "/var/lib/panopticon/panopticon.db"
    url: str | None = None
    """``postgresql://user@host/database``, every parameter of libpq after ``?``; never a password."""
    password_file: str | None = None
    """Without it libpq's own places count: a service, ``~/.pgpass``, a client certificate, the peer's name."""
    lease: Duration = "60s"
    """Real time after which another host may make a check that this one took and did not finish."""


class Publish(Section, frozen=True):
    """``[publish]``: the repository on disk and the key that signs it."""

    root: str = "/var/lib/panopticon/repository"
    secret_key_file: str = "/etc/panopticon/panopticon.key"  # noqa: S105 - a path
    next_secret_key_file: str | None = None
    """The key after this one, announced to readers from now on."""
    next_key_from: Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None = None
    """The day (UTC) from which the next key signs; thirty days after its announcement at the earliest."""
    expires: Duration = "36h"
    keep: Positive = 400
    mosapi_counts: Annotated[str, msgspec.Meta(pattern="^(validated|listed)$")] = "validated"


class Mail(Section, frozen=True):
    """``[mail]``: the server that takes the mails to the managers; without ``host`` none is sent."""

    host: str | None = None
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 25
    sender: str = msgspec.field(name="from", default="panopticon@localhost")
    username: str | None = None
    password_file: str | None = None
    starttls: bool | None = None
    """Left out: demanded unless the server is on loopback. AUTH is never spoken in the clear off loopback."""
    timeout: Duration = "30s"
    daily: bool = True
    monthly: bool = True
    critical: bool = True
    """At once, when a name on a TLD's critical list is first validated."""
    templates: str | None = None
    """Directory with templates of one's own, ``KIND.TLD.txt`` or ``KIND.LANGUAGE.txt``, before the shipped ones."""


class MosApiSettings(Section, frozen=True):
    """``[serve.mosapi]``: the MoSAPI interface beside the repository, with the same accounts."""

    enabled: bool = True
    session_minutes: Annotated[float, msgspec.Meta(gt=0, le=1440)] = 15.0
    """From login, in real time; nothing prolongs a session."""
    sessions_per_account: Positive = 1
    """At a time and for one TLD; one login more ends the oldest."""
    requests_per_certificate: Positive = 4
    """Answered at a time for one client certificate, which needs no session."""
    allow_networks: tuple[str, ...] = ()
    """Client addresses or networks that may connect; empty: all."""
    daar_alias: bool = False
    """Also answer under the DAAR-era names, which nobody has verified."""


class Serve(Section, frozen=True):
    """``[serve]``: the repository over HTTP; loopback unless told otherwise, TLS when both files are given."""

    enabled: bool = True
    bind: str = "127.0.0.1:8053"
    certificate_file: str | None = None
    key_file: str | None = None
    mosapi: MosApiSettings = MosApiSettings()


class Status(Section, frozen=True):
    """``[status]``: the Unix socket both ``panopticond status`` and ``curl --unix-socket`` ask."""

    socket: str = "/run/panopticon/status.sock"
    mode: Annotated[str, msgspec.Meta(pattern="^0[0-7]{3}$")] = "0660"
    metrics: str | None = None
    """``127.0.0.1:port``: ``/metrics`` there too, for a Prometheus that reads no Unix socket; loopback only."""


class Config(Section, frozen=True):
    """The whole of panopticond.toml."""

    tld: tuple[Tld, ...]
    group: tuple[Group, ...] = ()
    feed: tuple[Feed, ...] = ()
    vantage: tuple[Vantage, ...] = ()
    validation: Validation = Validation()
    dns: Dns = Dns()
    quad9: Quad9 = Quad9()
    webrisk: WebRisk = WebRisk()
    tranco: Tranco = Tranco()
    registration: Registration = Registration()
    store: StoreSettings = StoreSettings()
    publish: Publish = Publish()
    mail: Mail = Mail()
    serve: Serve = Serve()
    status: Status = Status()
    clock: ClockSettings = ClockSettings()
    roles: tuple[Role, ...] = ROLES
    """What this host does of the flow; with the embedded store everything."""
    lab: bool = False
    """This is a lab: scaled time and private addresses may be allowed."""
    drain: Delay = "8s"
    """Real seconds the sinks may take to drain after SIGTERM."""


def read(path: Path) -> Config:
    """The configuration in a TOML file; ConfigurationError carries every fault with its path."""
    try:
        return convert(read_toml(path), Config, check)
    except ConfigurationError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        sentence = "no such file; name yours with -c, or write one: docs/how-to/first-configuration.md shows it whole"
        raise ConfigurationError([f"{path}: {sentence}"]) from error


def tlds(config: Config) -> list[Tld]:
    """One Tld a name, groups applied: what a TLD leaves out comes from the group that names it.

    Names are written as they are compared: lower-case A-labels without a final dot.
    """
    single = []
    for tld in config.tld:
        for name in [tld.name] if tld.name else tld.names:
            merged = msgspec.structs.replace(tld, name=name, names=())
            for group in (group for group in config.group if name in group.names):
                merged = _inherit(merged, group)
            single.append(_normalised(merged))
    return single


def _normalised(tld: Tld) -> Tld:
    names = {
        key: tuple(ascii_name(one) for one in getattr(tld, key))
        for key in ("suffixes", "registry_zones", "shared_services", "critical", "hold_ns")
    }
    return msgspec.structs.replace(tld, **names)


def _inherit(tld: Tld, group: Group) -> Tld:
    default = Tld(name=tld.name)
    changes = {
        key: getattr(group, key)
        for key in ("timezone", "publish_at", "managers", "feeds", "vantages")
        if getattr(group, key) and getattr(tld, key) == getattr(default, key)
    }
    return msgspec.structs.replace(tld, **changes)
