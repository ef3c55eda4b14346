"""arke's rooms opened once and handed on: ledger, look-ups, probes for the re-check, mail.

Between the configuration and ``main``: every collaborator is made here, from arke.json alone, and closed here.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from arke import lock
from arke.cases.enrich import CsvSource, RdapSource, Source
from arke.cases.follow import Follower
from arke.cases.hoster import Hosters
from arke.cases.ledger import Ledger, reopen
from arke.cases.recheck import Rechecker
from arke.config import Account, Config, Mosapi, Rdap
from arke.mail import template
from arke.mail.outbox import Outbox
from arke.mail.smtp import Mailer
from arke.watch import USER_AGENT, SnapshotWatch, ZoneTransfer, ZoneWatch
from panopticond.probe.delegation import Delegations, ZonePolicy
from panopticond.probe.dnsclient import DnsClient
from panopticond.probe.guard import Guard
from panopticond.probe.quad9 import Resolvers
from panopticond.probe.web import WebProber
from panopticond.probe.webcontrol import WebLimits
from panopticond.probe.webvantage import web_vantage
from panopticond.shared.clock import Clock
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.http import Http
from panopticond.shared.names import Names, TldPolicy
from panopticond.shared.otherclocks import OtherClocks
from panopticond.shared.settings import read_secret, seconds

DNS_TIMEOUT_SECONDS = 2.0
DNS_ATTEMPTS = 3
PER_HOST_SECONDS = 1.0
SUPPRESSION_LIMIT_BYTES = 16 << 20


class Rooms(msgspec.Struct, frozen=True):
    """Everything the flow needs, open."""

    config: Config
    clock: Clock
    ledger: Ledger
    source: Source | None
    follower: Follower
    outbox: Outbox
    mailer: Mailer | None
    """None where nothing is sent: a dry run, a preview, no ``smtp``."""
    snapshots: dict[str, SnapshotWatch]
    zones: dict[str, ZoneWatch | ZoneTransfer]
    clocks: OtherClocks = msgspec.field(default_factory=OtherClocks)
    """What the servers we ask say of the time."""
    preview: bool = False
    """Nothing may be written but drafts."""


@contextlib.asynccontextmanager
async def open_rooms(
    config: Config, *, drafts: Path | None = None, trace: bool = True, alone: bool = True
) -> AsyncIterator[Rooms]:
    """Open every room; ``drafts`` set, or a dry run, or no source of contacts, means that mails are written, not sent.

    Whoever may send notices is ``alone``: it holds the state directory's lock; a preview never needs it.
    Raises ConfigurationError (secrets, templates) and StoreError before anything is asked of the network.
    """
    clock = Clock.from_settings(config.clock, lab=config.lab)
    state = Path(config.state)
    http = Http(USER_AGENT)
    source = _source(config, http)
    if drafts is None and (config.dry_run or config.smtp is None or source is None):
        drafts = state / "drafts"
    templates = template.load(Path(config.template) if config.template else None, config.language)
    _suppression(config)
    async with contextlib.AsyncExitStack() as stack:
        if alone and trace:
            stack.enter_context(lock.held(state))
        ledger = await stack.enter_async_context(Ledger.open(state))
        outbox = Outbox(ledger.run, withdrawn=reopen)
        if alone and trace:
            await outbox.recover()
        client = dns_client(config)
        await stack.enter_async_context(client)
        delegations = delegations_of(config, client)
        resolvers = _resolvers(config, client)
        mailer = None
        if drafts is None and config.smtp is not None:
            mailer = await stack.enter_async_context(Mailer(config.smtp))
        follower = Follower(
            config,
            ledger,
            clock,
            source=source,
            rechecker=_rechecker(config, resolvers, clock, delegations),
            hosters=_hosters(config, resolvers, clock, http) if config.ladder.has_hoster else None,
            templates=templates,
            suppressed=lambda: _suppression(config),
            host_id=socket.gethostname(),
            drafts=drafts,
            trace=trace,
        )
        yield Rooms(
            config=config,
            clock=clock,
            ledger=ledger,
            source=source,
            follower=follower,
            outbox=outbox,
            mailer=mailer,
            snapshots={tld: snapshot_watch(config, tld, ledger, http) for tld in config.tlds},
            zones={tld: zone for tld in config.tlds if (zone := zone_watch(config, tld, http)) is not None},
            clocks=http.clocks,
            preview=not trace,
        )


def snapshot_watch(config: Config, tld: str, ledger: Ledger, http: Http) -> SnapshotWatch:
    """What looks for the newest snapshot of a TLD, with the account the configuration has."""
    account = config.account
    auth = None
    if account is not None and account.username is not None and account.password_file is not None:
        auth = (account.username, read_secret(account.password_file))
    spool = Path(config.state) / "spool"
    shown = with_certificate(http, account)
    return SnapshotWatch(tld, config.records, config.keys, ledger, shown, auth=auth, spool=spool)


def with_certificate(http: Http, holder: Rdap | Account | Mosapi | None) -> Http:
    """An adapter that shows the client certificate a section names, or the one given where it names none."""
    if holder is None or holder.certificate_file is None:
        return http
    context = ssl.create_default_context()
    try:
        context.load_cert_chain(holder.certificate_file, holder.certificate_key_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError([f"{holder.certificate_file}: no usable client certificate: {error}"]) from error
    return Http(USER_AGENT, verify=context, clocks=http.clocks)


def rdap_headers(rdap: Rdap) -> dict[str, str]:
    """The headers that prove who asks, from their files: a Bearer token (RFC 6750), or one the server names."""
    headers = {}
    if rdap.token_file is not None:
        headers["authorization"] = f"Bearer {read_secret(rdap.token_file)}"
    if rdap.header is not None and rdap.header_file is not None:
        headers[rdap.header.lower()] = read_secret(rdap.header_file)
    return headers


def zone_watch(config: Config, tld: str, http: Http) -> ZoneWatch | ZoneTransfer | None:
    """What looks for the registry's zone, by path, URL or transfer; None where there is none."""
    if config.transfer is not None:
        return ZoneTransfer(tld, config.transfer)
    return ZoneWatch(tld, config.zone, http, Path(config.state) / "spool") if config.zone else None


def _source(config: Config, http: Http) -> Source | None:
    own = _own_addresses(config)
    if config.rdap is not None:
        rdap = config.rdap
        auth = (rdap.username, read_secret(rdap.password_file)) if rdap.username and rdap.password_file else None
        return RdapSource(
            with_certificate(http, rdap),
            rdap.url,
            auth=auth,
            headers=rdap_headers(rdap),
            rate_per_second=rdap.rate,
            timeout_seconds=seconds(rdap.timeout),
            own=own,
        )
    return CsvSource(Path(config.contacts), own) if config.contacts else None


def _own_addresses(config: Config) -> list[str]:
    """Ours, which are nobody's contact."""
    return [address for address in (config.smtp.sender if config.smtp else None, config.manager) if address]


def dns_client(config: Config) -> DnsClient:
    """The DNS client of the re-check, to be entered by the caller."""
    return DnsClient(
        rate_per_server=config.recheck.rate_per_server, timeout_seconds=DNS_TIMEOUT_SECONDS, attempts=DNS_ATTEMPTS
    )


def delegations_of(config: Config, client: DnsClient) -> Delegations:
    """The delegation probe at the TLDs' own servers."""
    settings = config.recheck
    policies = {
        tld: ZonePolicy(
            tld=tld,
            servers=settings.servers,
            registry_zones=frozenset(settings.registry_zones),
            hold_ns=frozenset(settings.hold_ns),
            hold_ip=frozenset(settings.hold_ip),
        )
        for tld in config.tlds
    }
    return Delegations(client, policies, roots=settings.roots, guard=Guard(settings.allow_networks))


def _resolvers(config: Config, client: DnsClient) -> Resolvers:
    settings = config.recheck
    return Resolvers(
        client,
        filtered=settings.resolver,
        unfiltered=settings.resolver,
        hold_ip=dict.fromkeys(config.tlds, frozenset(settings.hold_ip)),
    )


def _hosters(config: Config, resolvers: Resolvers, clock: Clock, http: Http) -> Hosters:
    """The look-up of hosters, by an adapter that holds no account of anybody's."""
    guard, resolve = Guard(config.recheck.allow_networks), resolvers.resolving(clock.now)
    return Hosters(http, config.hoster, clock, resolve=resolve, guard=guard, own=_own_addresses(config))


def _rechecker(config: Config, resolvers: Resolvers, clock: Clock, delegations: Delegations) -> Rechecker:
    settings = config.recheck
    vantages = [
        web_vantage(
            name=place.name,
            country=place.country,
            proxy=place.proxy,
            credentials_file=place.credentials_file,
            control_uri=place.control_uri,
        )
        for place in settings.vantages
    ] or [web_vantage(name="direct", country="ZZ")]
    web = WebProber(
        vantages,
        guard=Guard(settings.allow_networks),
        resolve=resolvers.resolving(clock.now),
        registered_domain=_names(config).registered_domain,
        # Politeness is promised in policy time, so that a lab whose days take minutes is not slowed to ours.
        limits=WebLimits(
            connect_seconds=seconds(settings.connect_timeout),
            deadline_seconds=seconds(settings.probe_deadline),
            per_host_seconds=PER_HOST_SECONDS / clock.scale,
        ),
    )
    return Rechecker(
        delegations,
        resolvers,
        web,
        vantages=[place.name for place in vantages],
        hold_pages=settings.hold_page,
        concurrency=settings.concurrency,
    )


def _names(config: Config) -> Names:
    zones = config.recheck.registry_zones
    return Names(
        TldPolicy(
            tld=tld,
            suffixes=frozenset({tld, *zones}) if zones else frozenset(),
            registry_zones=frozenset(zones),
            shared_services=frozenset(config.shared_services),
        )
        for tld in config.tlds
    )


def _suppression(config: Config) -> tuple[frozenset[str], frozenset[str]]:
    """(addresses, domains) of the suppression file, read anew for each pass: an entry holds from the next mail on."""
    if config.suppression is None:
        return frozenset(), frozenset()
    path = Path(config.suppression)
    try:
        if path.stat().st_size > SUPPRESSION_LIMIT_BYTES:
            raise ConfigurationError([f"suppression: {path}: over {SUPPRESSION_LIMIT_BYTES} bytes"])
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"suppression: {path}: cannot be read; no mail leaves without it"]) from error
    lines = {line.split("#")[0].strip().lower() for line in text.splitlines()} - {""}
    return (
        frozenset(line for line in lines if "@" in line.strip("@")),
        frozenset(line.lstrip("@") for line in lines if "@" not in line.strip("@")),
    )
