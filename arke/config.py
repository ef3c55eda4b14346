"""arke.json: its keys and the rules between them (design section 6; docs/reference/arke.json.md).

First step of every arke command that needs a configuration. Small on purpose: four main parts, the rest has defaults.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec

from panopticond.shared.clock import Clock, ClockSettings
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.settings import convert, read_json, seconds

Duration = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$")]
Positive = Annotated[int, msgspec.Meta(ge=1)]
PublicKey = Annotated[str, msgspec.Meta(pattern=r"^RW[A-Za-z0-9+/]{54}$")]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object of the file: unknown keys are refused."""


class Rdap(Section, frozen=True):
    """``rdap``: the registry's own server and the account that may see contacts."""

    url: str
    username: str | None = None
    password_file: str | None = None
    canary: str | None = None
    """A name whose contact must come back; without it a silent loss of rights goes unseen."""
    rate: Annotated[float, msgspec.Meta(gt=0)] = 5.0
    """Requests a second, real time."""
    timeout: Duration = "15s"


class Smtp(Section, frozen=True):
    """``smtp``: the mail server arke hands its notices to. ``from`` is the address holders see and answer."""

    host: str
    sender: str = msgspec.field(name="from")
    port: Positive = 25
    username: str | None = None
    password_file: str | None = None
    tls: Annotated[str, msgspec.Meta(pattern="^(starttls|implicit|none)$")] | None = None
    """Left out: STARTTLS off loopback, none on it."""
    timeout: Duration = "60s"
    helo: str | None = None


class Account(Section, frozen=True):
    """``account``: how arke signs in at the repository, when ``records`` is a URL."""

    username: str
    password_file: str


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


class Ladder(Section, frozen=True):
    """``ladder``: the rungs' deadlines and what waits for a person."""

    registrar_after: Duration = "24h"
    review_after: Duration = "72h"
    approve_popular: bool = True
    approve_later_rungs: bool = True


class Limits(Section, frozen=True):
    """``limits``: ceilings on mail, in notices."""

    per_recipient_day: Positive = 20
    per_domain_day: Positive = 5
    per_hour: Positive = 500
    per_run: Positive = 1000
    digest_above: Positive = 5


class Screen(Section, frozen=True):
    """``screen``: the daily list of look-alikes nobody has reported yet."""

    enabled: bool = True
    protect: tuple[str, ...] = ()
    """Files of protected labels or names, one a line."""
    exclude: tuple[str, ...] = ()
    top: Positive = 100


class Status(Section, frozen=True):
    """``status``: the Unix socket ``arke status`` asks."""

    socket: str = "/run/arke/status.sock"
    mode: Annotated[str, msgspec.Meta(pattern="^0[0-7]{3}$")] = "0660"


class Config(Section, frozen=True):
    """The whole of arke.json."""

    tld: str | list[str]
    keys: Annotated[list[PublicKey], msgspec.Meta(min_length=1, max_length=4)]
    records: str
    zone: str | None = None
    rdap: Rdap | None = None
    contacts: str | None = None
    """A CSV ``domain,role,email``, where there is no RDAP."""
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
    organisation: str | None = None
    """Who writes, as printed in the notice; left out: ``.tld registry``."""
    verify_page: str | None = None
    """Where a holder can check that the notice is genuine."""
    suppression: str | None = None
    """A file of addresses or domains, one a line, that must never be mailed."""
    recheck: RecheckSettings = RecheckSettings()
    ladder: Ladder = Ladder()
    limits: Limits = Limits()
    screen: Screen = Screen()
    status: Status = Status()
    shared_services: tuple[str, ...] = ()
    clock: ClockSettings = ClockSettings()
    lab: bool = False
    drain: Duration = "8s"

    @property
    def tlds(self) -> tuple[str, ...]:
        """Every TLD it serves, lower case."""
        return tuple(name.lower() for name in ([self.tld] if isinstance(self.tld, str) else self.tld))


def read(path: Path) -> Config:
    """The configuration in a JSON file; ConfigurationError carries every fault with its path."""
    return convert(read_json(path), Config, check)


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
    problems += _check_urls(config) + _check_files(config)
    if config.smtp is not None and config.smtp.sender.count("@") != 1:
        problems.append("smtp.from: must be one address, as abuse@nic.example")
    if not config.dry_run and config.smtp is None:
        problems.append("smtp: needed to send; leave dry_run on to get drafts only")
    if seconds(config.ladder.review_after) < seconds(config.ladder.registrar_after):
        problems.append("ladder.review_after: must not come before ladder.registrar_after")
    return problems


def _check_urls(config: Config) -> list[str]:
    problems = []
    given = {"records": config.records, "zone": config.zone, "rdap.url": config.rdap.url if config.rdap else None}
    for path, url in given.items():
        if url is None or "://" not in url:
            if path == "rdap.url" and url is not None:
                problems.append("rdap.url: must be a URL")
            continue
        parts = urlsplit(url)
        local = parts.hostname in ("localhost", "::1") or (parts.hostname or "").startswith("127.")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            problems.append(f"{path}: {parts.scheme!r} is neither http nor https")
        elif parts.username or parts.password:
            problems.append(f"{path}: credentials do not belong in a URL; use username and password_file")
        elif parts.scheme == "http" and not local:
            problems.append(f"{path}: plain http is for loopback only; use https")
    return problems


def _check_files(config: Config) -> list[str]:
    named = {
        "template": config.template,
        "contacts": config.contacts,
        "suppression": config.suppression,
        "rdap.password_file": config.rdap.password_file if config.rdap else None,
        "smtp.password_file": config.smtp.password_file if config.smtp else None,
        "account.password_file": config.account.password_file if config.account else None,
        **{f"screen.protect[{at}]": path for at, path in enumerate(config.screen.protect)},
        **{f"screen.exclude[{at}]": path for at, path in enumerate(config.screen.exclude)},
    }
    return [f"{key}: {path}: no such file" for key, path in named.items() if path and not Path(path).is_file()]
