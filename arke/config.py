"""arke.json: its keys and the rules between them (design section 6; docs/reference/arke.json.md).

First step of every arke command that needs a configuration. Small on purpose: four main parts, the rest has defaults.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from arke.cases.settings import Hoster, Ladder, Limits, Positive, Section, hoster_faults, ladder_faults
from arke.config_rules import check_values
from arke.screening.settings import Screen
from panopticond.shared.clock import Clock, ClockSettings
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.settings import Delay, Duration, convert, read_json

PublicKey = Annotated[str, msgspec.Meta(pattern=r"^RW[A-Za-z0-9+/]{54}\Z")]


class Rdap(Section, frozen=True):
    """``rdap``: the registry's own server and the account that may see contacts."""

    url: str
    username: str | None = None
    password_file: str | None = None
    token_file: str | None = None
    """File with a Bearer token, in place of name and password."""
    header: str | None = None
    """Name of a header the server wants, as ``X-Api-Key``; its value stands in ``header_file``."""
    header_file: str | None = None
    certificate_file: str | None = None
    """PEM file of a client certificate."""
    certificate_key_file: str | None = None
    canary: str | None = None
    """A name whose contact must come back; without it a silent loss of rights goes unseen."""
    rate: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    """Requests a second, real time."""
    timeout: Duration = "15s"


class Smtp(Section, frozen=True):
    """``smtp``: the mail server arke hands its notices to. ``from`` is the address holders see and answer."""

    host: str
    sender: str = msgspec.field(name="from")
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 25
    username: str | None = None
    password_file: str | None = None
    tls: Annotated[str, msgspec.Meta(pattern="^(starttls|implicit|none)$")] | None = None
    """Left out: STARTTLS off loopback, none on it."""
    ca_file: str | None = None
    """PEM file of the authority that signed the server's certificate; left out, those this host trusts."""
    timeout: Duration = "60s"
    helo: str | None = None


class Account(Section, frozen=True):
    """``account``: how arke signs in at the repository, when ``records`` is a URL."""

    username: str | None = None
    password_file: str | None = None
    certificate_file: str | None = None
    """PEM file of a client certificate, beside or in place of name and password."""
    certificate_key_file: str | None = None


class Transfer(Section, frozen=True):
    """``transfer``: the zone by AXFR (RFC 5936), then IXFR (RFC 1995), in place of a file."""

    server: str
    """``address:port`` of a server that lets this host transfer the zone."""
    key_file: str | None = None
    """File with one line ``algorithm:name:secret``, as ``hmac-sha256:arke:BASE64`` (TSIG, RFC 8945)."""
    every: Duration = "6h"
    timeout: Duration = "10m"


class Mosapi(Section, frozen=True):
    """``mosapi``: the account at a MoSAPI server, for ``arke mosapi`` and ``arke reconcile``."""

    url: str = "https://mosapi.icann.org"
    username: str | None = None
    """Left out: ``<tld>_ry``."""
    password_file: str | None = None
    certificate_file: str | None = None
    """A client certificate in place of name and password: then nobody logs in."""
    certificate_key_file: str | None = None
    entity: Literal["ry", "rr"] = "ry"
    reports: Literal["metrica", "daar"] = "metrica"
    timeout: Duration = "30s"


class RecheckVantage(Section, frozen=True):
    """One place the re-check looks from; without ``proxy`` it is this host."""

    name: str
    country: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{2}$")]
    proxy: str | None = None
    credentials_file: str | None = None
    control_uri: str | None = None


class RecheckSettings(Section, frozen=True):
    """``recheck``: the look within the hour before each mail."""

    servers: tuple[str, ...] = ()
    """The TLD's own servers, ``address:port``; empty: found from the root."""
    roots: tuple[str, ...] = ()
    resolver: tuple[str, ...] = ("9.9.9.10:53", "149.112.112.10:53")
    vantages: tuple[RecheckVantage, ...] = ()
    hold_ns: tuple[str, ...] = ()
    hold_ip: tuple[str, ...] = ()
    hold_page: tuple[str, ...] = ()
    registry_zones: tuple[str, ...] = ()
    allow_networks: tuple[str, ...] = ()
    connect_timeout: Duration = "8s"
    probe_deadline: Duration = "25s"
    concurrency: Positive = 8
    rate_per_server: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    """DNS queries a second and server, real time."""


class Bounces(Section, frozen=True):
    """``bounces``: where the mail server puts what comes to ``bounce+...``."""

    maildir: str | None = None
    forward: bool = True
    """Whether replies of people are forwarded to ``manager``."""


class Report(Section, frozen=True):
    """``report``: what is mailed to ``manager``: case numbers, never a contact."""

    daily: bool = True
    monthly: bool = True


class Retention(Section, frozen=True):
    """``retention``: how long the ledger keeps what it knows; an objection is kept for good."""

    notices: Duration = "400d"
    """Keyed hashes of recipients, counted from the last thing that happened to a case."""


class Status(Section, frozen=True):
    """``status``: the Unix socket ``arke status`` asks."""

    socket: str = "/run/arke/status.sock"
    mode: Annotated[str, msgspec.Meta(pattern="^0[0-7]{3}$")] = "0660"
    metrics: str | None = None
    """``127.0.0.1:port``: ``/metrics`` there too; loopback only."""


class Config(Section, frozen=True):
    """The whole of arke.json."""

    tld: str | list[str]
    keys: Annotated[list[PublicKey], msgspec.Meta(min_length=1, max_length=4)]
    records: str
    zone: str | None = None
    transfer: Transfer | None = None
    rdap: Rdap | None = None
    contacts: str | None = None
    """A CSV ``domain,role,email``, where there is no RDAP."""
    language: Annotated[str, msgspec.Meta(pattern="^[a-z]{2}$")] | None = None
    """Language of the notices; left out, the template's own, else English."""
    template: str | None = None
    """The operator's notice template; left out, the one shipped."""
    smtp: Smtp | None = None
    account: Account | None = None
    state: str = "/var/lib/arke"
    """Directory of the ledger, the outbox, accepted serials and the reports."""
    dry_run: bool = True
    """Nothing is sent until the operator turns this off."""
    poll: Duration = "5m"
    manager: str | None = None
    """Who gets the reports, the replies, and drafts to pass on; left out, ``smtp.from`` or ``abuse@nic.TLD``."""
    organisation: str | None = None
    """Who writes, as printed in the notice; left out: ``.tld registry``."""
    verify_page: str | None = None
    """Where a holder can check that the notice is genuine."""
    suppression: str | None = None
    """A file of addresses or domains, one a line, that must never be mailed."""
    recheck: RecheckSettings = RecheckSettings()
    ladder: Ladder = Ladder()
    hoster: Hoster = Hoster()
    limits: Limits = Limits()
    bounces: Bounces = Bounces()
    report: Report = Report()
    retention: Retention = Retention()
    mosapi: Mosapi | None = None
    stop_file: str | None = None
    """While this file exists no mail leaves; left out, ``stop`` in the state directory."""
    screen: Screen = Screen()
    status: Status = Status()
    shared_services: tuple[str, ...] = ()
    clock: ClockSettings = ClockSettings()
    lab: bool = False
    drain: Delay = "8s"

    @property
    def tlds(self) -> tuple[str, ...]:
        """Every TLD it serves, lower case."""
        return tuple(name.lower() for name in ([self.tld] if isinstance(self.tld, str) else self.tld))

    def manager_of(self, tld: str) -> str:
        """Whom a draft goes to where no contacts are known: the manager, else the mail's own sender (RFC 2142)."""
        return self.manager or (self.smtp.sender if self.smtp else f"abuse@nic.{tld}")


def read(path: Path, more: Callable[[Config], list[str]] = lambda _: []) -> Config:
    """The configuration in a JSON file; ConfigurationError carries every fault with its path, those of ``more`` too."""
    told: list[str] = []
    try:
        data = read_json(path, told=told)
    except ConfigurationError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        sentence = "no such file; name yours with -c, or write one: docs/how-to/first-arke.md shows it whole"
        raise ConfigurationError([f"{path}: {sentence}"]) from error
    try:
        return convert(data, Config, lambda config: [*told, *check(config), *more(config)])
    except ConfigurationError as error:
        raise ConfigurationError([_plain(problem) for problem in error.problems]) from error


def _plain(problem: str) -> str:
    """A pattern is no sentence: what a key looks like, and where to find it."""
    if problem.startswith("keys[") and "regex" in problem:
        return f"{problem.partition(':')[0]}: no public key: RW and 54 more, the last line of the operator's .pub file"
    return problem


def check(config: Config) -> list[str]:
    """Every broken rule between keys, with its path."""
    problems = []
    try:
        Clock.from_settings(config.clock, lab=config.lab)
    except ConfigurationError as error:
        problems += error.problems
    if not config.tlds or not all(config.tlds):
        problems.append("tld: name at least one TLD")
    if config.recheck.allow_networks and not config.lab:
        problems.append("recheck.allow_networks: private addresses are probed in the lab only; set lab = true")
    problems += _check_urls(config) + _check_pairs(config) + check_values(config)
    if not config.dry_run and config.smtp is None:
        problems.append("smtp: needed to send; leave dry_run on to get drafts only")
    return problems + ladder_faults(config.ladder) + hoster_faults(config.hoster)


def _check_urls(config: Config) -> list[str]:
    problems = []
    given = {
        "records": config.records,
        "zone": config.zone,
        "rdap.url": config.rdap.url if config.rdap else None,
        "mosapi.url": config.mosapi.url if config.mosapi else None,
    }
    for path, url in given.items():
        if url is None or "://" not in url:
            if path.endswith(".url") and url is not None:
                problems.append(f"{path}: must be a URL")
            continue
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018 - a port that is none shows only when it is asked for
        except ValueError as error:
            problems.append(f"{path}: {error}")
            continue
        local = parts.hostname in ("localhost", "::1") or (parts.hostname or "").startswith("127.")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            problems.append(f"{path}: {parts.scheme!r} is neither http nor https")
        elif parts.username or parts.password:
            problems.append(f"{path}: credentials do not belong in a URL; use username and password_file")
        elif parts.scheme == "http" and not local:
            problems.append(f"{path}: plain http is for loopback only; use https")
    return problems


def _check_pairs(config: Config) -> list[str]:
    """Keys that need or exclude each other."""
    problems = []
    if len(config.tlds) > 1:
        problems += [
            f"{key}: with several TLDs it must hold {{tld}}, which stands for each in turn"
            for key, value in (("records", config.records), ("zone", config.zone))
            if value is not None and "{tld}" not in value
        ]
    if config.zone is not None and config.transfer is not None:
        problems.append("transfer: give zone or transfer, not both")
    rdap = config.rdap
    if rdap is not None and (rdap.header is None) != (rdap.header_file is None):
        problems.append("rdap.header: needs header and header_file together")
    if rdap is not None and rdap.token_file is not None and rdap.username is not None:
        problems.append("rdap.token_file: give a token or username and password_file, not both")
    for key, holder in (("rdap", rdap), ("account", config.account), ("mosapi", config.mosapi)):
        if holder is not None and holder.certificate_key_file is not None and holder.certificate_file is None:
            problems.append(f"{key}.certificate_key_file: needs certificate_file")
    account = config.account
    if account is not None and (account.username is None) != (account.password_file is None):
        problems.append("account: needs username and password_file together")
    return problems
