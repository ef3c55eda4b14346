"""From the configuration to the objects the flow needs: everything ``main`` and the commands hand to each other.

Nothing runs here; ``assemble`` opens the store and the DNS sockets and gives them back closed. What a room needs of the
configuration is read in this one place.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial

import msgspec

from panopticond import __version__
from panopticond.config import Config, Tld, tlds
from panopticond.feeds.catalogue import FeedSpec, resolve
from panopticond.fleet.sharing import Sharing, sharing
from panopticond.judge.listing import listing_of
from panopticond.judge.mistrial import Mistrials
from panopticond.judge.verdict import Listing, judge
from panopticond.model import Absence, Round, Subject, Verdict
from panopticond.probe.delegation import Delegations, ZonePolicy
from panopticond.probe.dnsclient import DnsClient
from panopticond.probe.dnsstream import Streams
from panopticond.probe.guard import Guard, must_not_fetch
from panopticond.probe.quad9 import Resolvers
from panopticond.probe.registration import RdapServer, Registrations
from panopticond.probe.round import Every, Prober, Probes, TldPlan
from panopticond.probe.tranco import Tranco
from panopticond.probe.web import WebProber
from panopticond.probe.webcontrol import WebLimits
from panopticond.probe.webrisk import WebRisk
from panopticond.probe.webvantage import web_vantage
from panopticond.shared.clock import Clock
from panopticond.shared.http import Http
from panopticond.shared.names import Names, TldPolicy, zones_of
from panopticond.shared.settings import seconds
from panopticond.snapshot.licences import FeedFacts
from panopticond.snapshot.publish import Today
from panopticond.store.interface import Standing
from panopticond.store.methods import SqlStore
from panopticond.store.opening import open_configured
from panopticond.window import Window
from panopticond.zonelist import read_list

USER_AGENT = f"panopticond/{__version__} (+domain-abuse validation for ccTLD registries)"


class Parts(msgspec.Struct, frozen=True):
    """What ``assemble`` made, by role."""

    config: Config
    tlds: tuple[Tld, ...]
    clock: Clock
    store: SqlStore
    http: Http
    names: Names
    feeds: tuple[FeedSpec, ...]
    guard: Guard
    authorities: DnsClient
    resolvers: Resolvers
    prober: Prober
    tranco: Tranco | None
    webrisk: WebRisk | None
    window: Window
    sharing: Sharing
    judge: Callable[[Subject, Sequence[Round], Listing], Verdict]
    """The judge of rounds; :class:`Mistrials` unless the lab has put a wrong one in its place."""
    listing_of: Callable[[Standing], Listing]

    def names_of(self, feed: str) -> Names:
        """The served names, narrowed to the TLDs that take this feed."""
        return Names([policy(tld) for tld in self.tlds if not tld.feeds or feed in tld.feeds])

    async def today(self, tld: Tld) -> Today:
        """What a publication needs to know of this moment."""
        facts = []
        for spec in self.feeds:
            if not tld.feeds or spec.name in tld.feeds:
                health = await self.store.feed_health(spec.name)
                facts.append(
                    FeedFacts(
                        spec.name,
                        spec.format,
                        spec.licence,
                        spec.trust,
                        spec.absence,
                        spec.threat,
                        health,
                        spec.delisting,
                    )
                )
        looked = read_list(self.config, str(tld.name)) if tld.zone is not None else None
        size = looked.size if looked is not None else None
        return Today(tuple(facts), tranco_list=self.tranco.list_id if self.tranco else None, zone_size=size)


@contextlib.asynccontextmanager
async def assemble(config: Config, *, waiting: Callable[[str], None] | None = None) -> AsyncIterator[Parts]:
    """Open what the flow needs; ConfigurationError and StoreError come first; ``waiting``: see ``store.opening``."""
    served = tuple(tlds(config))
    clock = Clock.from_settings(config.clock, lab=config.lab)
    feeds = tuple(resolve(feed) for feed in config.feed)
    names = Names([policy(tld) for tld in served])
    http = Http(USER_AGENT)
    guard = Guard(config.validation.allow_networks)
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(await open_configured(config.store, waiting))
        shared = sharing(config, store, clock)
        to_authorities = await stack.enter_async_context(_dns(config, "dns", config.dns.rate_per_server, shared))
        plain = await stack.enter_async_context(_dns(config, "quad9", config.quad9.rate, shared))
        to_resolvers = await stack.enter_async_context(_streams(config, plain, http, shared))
        resolvers = Resolvers(
            to_resolvers,
            filtered=config.quad9.filtered,
            unfiltered=config.quad9.unfiltered,
            sinkholes=config.validation.sinkholes,
            hold_ip={str(tld.name): frozenset(tld.hold_ip) for tld in served},
            canary=config.quad9.blocked_canary,
        )
        tranco = _tranco(config, http)
        webrisk = _webrisk(config, http, shared)
        probes = Probes(
            delegation=_delegations(config, served, to_authorities, guard),
            address=resolvers,
            quad9=resolvers if config.quad9.enabled else None,
            web=_web(config, guard, resolvers, names, clock, shared),
            webrisk=webrisk,
            tranco=tranco,
            registration=_registrations(config, served, http, shared),
        )
        absences = {spec.name: spec.absence for spec in feeds}
        yield Parts(
            config=config,
            tlds=served,
            clock=clock,
            store=store,
            http=http,
            names=names,
            feeds=feeds,
            guard=guard,
            authorities=to_authorities,
            resolvers=resolvers,
            prober=Prober(
                probes,
                {str(tld.name): TldPlan(_vantages(config, tld), tld.hold_page) for tld in served},
                must_not_fetch=must_not_fetch,
                every=_every(config),
                registered_domain=names.registered_domain,
            ),
            tranco=tranco,
            webrisk=webrisk,
            window=shared.window,
            sharing=shared,
            judge=Mistrials(partial(judge, popular_rank=config.tranco.popular_rank)),
            listing_of=partial(_listing, absences=absences, critical=_critical(served)),
        )


def _critical(served: Sequence[Tld]) -> frozenset[str]:
    return frozenset(name.lower() for tld in served for name in tld.critical)


def policy(tld: Tld) -> TldPolicy:
    """How a TLD delegates, as ``names`` needs it."""
    return TldPolicy(
        str(tld.name), frozenset(tld.suffixes), frozenset(tld.registry_zones), frozenset(tld.shared_services)
    )


def _listing(standing: Standing, *, absences: Mapping[str, Absence], critical: frozenset[str]) -> Listing:
    on_list = standing.subject.domain in critical
    return listing_of(standing.sightings, absences, decision=standing.decision, critical=on_list)


def _dns(config: Config, name: str, rate: float, shared: Sharing) -> DnsClient:
    timeout = seconds(config.dns.timeout)
    return DnsClient(
        rate_per_server=rate, timeout_seconds=timeout, attempts=config.dns.attempts, rate=shared.rate(name, rate)
    )


def _streams(config: Config, plain: DnsClient, http: Http, shared: Sharing) -> Streams:
    timeout, quad9 = seconds(config.dns.timeout), config.quad9
    trust = ssl.create_default_context(cafile=quad9.ca_file) if quad9.ca_file else None
    web = Http(USER_AGENT, verify=trust) if trust else http
    return Streams(
        plain,
        web,
        rate_per_server=quad9.rate,
        timeout_seconds=timeout,
        attempts=config.dns.attempts,
        tls=trust,
        rate=shared.rate("quad9", quad9.rate),
    )


def _delegations(config: Config, served: Sequence[Tld], client: DnsClient, guard: Guard) -> Delegations:
    policies = {
        str(tld.name): ZonePolicy(
            str(tld.name),
            tld.servers,
            zones_of(policy(tld)),
            frozenset(tld.hold_ns),
            frozenset(tld.hold_ip),
        )
        for tld in served
    }
    every = seconds(config.dns.wildcard_test_every)
    return Delegations(client, policies, roots=config.dns.roots, guard=guard, wildcard_test_seconds=every)


def _web(config: Config, guard: Guard, resolvers: Resolvers, names: Names, clock: Clock, shared: Sharing) -> WebProber:
    vantages = [
        web_vantage(
            name=vantage.name,
            country=vantage.country,
            proxy=vantage.proxy,
            credentials_file=vantage.credentials_file,
            username_template=vantage.username_template,
            control_uri=vantage.control_uri,
            error_headers=vantage.error_headers,
            proxy_error_statuses=vantage.proxy_error_statuses,
        )
        for vantage in config.vantage
    ]

    validation = config.validation
    limits = WebLimits(
        connect_seconds=seconds(validation.connect_timeout),
        deadline_seconds=seconds(validation.probe_deadline),
        body_bytes=validation.body_limit_bytes,
        per_host_seconds=validation.per_host_seconds,
    )
    return WebProber(
        vantages,
        guard=guard,
        resolve=resolvers.resolving(clock.now),
        registered_domain=names.registered_domain,
        limits=limits,
        pace=shared.pace,
    )


def _vantages(config: Config, tld: Tld) -> tuple[str, ...]:
    return tld.vantages or tuple(vantage.name for vantage in config.vantage)


def _every(config: Config) -> Every:
    def span(text: str) -> dt.timedelta:
        return dt.timedelta(seconds=seconds(text))

    return Every(
        webrisk=span(config.webrisk.every),
        tranco=span(config.tranco.every),
        registration=span(config.registration.every),
        apex=span(config.validation.apex_every),
    )


def _tranco(config: Config, http: Http) -> Tranco | None:
    settings = config.tranco
    every = dt.timedelta(seconds=seconds(settings.every))
    return Tranco(http, url=settings.url, id_url=settings.id_url, every=every) if settings.enabled else None


def _webrisk(config: Config, http: Http, shared: Sharing) -> WebRisk | None:
    settings = config.webrisk
    if settings.key_file is None:
        return None
    return WebRisk(
        http,
        key_file=settings.key_file,
        url=settings.url,
        daily_budget=settings.daily_budget,
        rate_per_second=settings.rate,
        rate=shared.rate("webrisk", settings.rate),
        spend=shared.spend,
    )


def _registrations(config: Config, served: Sequence[Tld], http: Http, shared: Sharing) -> Registrations | None:
    if not config.registration.enabled:
        return None
    rate = config.registration.rate
    servers = {str(tld.name): RdapServer(tld.rdap.url, tld.rdap.authoritative) for tld in served if tld.rdap.url}
    return Registrations(http, servers, rate_per_second=rate, rate=shared.rate("rdap", rate))
