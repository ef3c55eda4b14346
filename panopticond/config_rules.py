"""The rules between the keys of panopticond.toml: what no type can say, each broken one with its path.

Second half of ``config``, which calls ``check`` after the types hold. Opens no socket; looks only for named files.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from panopticond.shared.clock import Clock
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.settings import seconds
from panopticond.shared.values import (
    address_fault,
    authority_fault,
    database_fault,
    host_fault,
    loopback_fault,
    mail_fault,
    name_fault,
    network_fault,
    proxy_fault,
    resolver_fault,
    server_fault,
    socket_fault,
    tld_fault,
    url_fault,
)

if TYPE_CHECKING:
    from panopticond.config import Config


def check(config: Config) -> list[str]:
    """Every broken rule between keys, with its path."""
    problems = []
    try:
        Clock.from_settings(config.clock, lab=config.lab)
    except ConfigurationError as error:
        problems += error.problems
    if config.validation.allow_networks and not config.lab:
        problems.append("validation.allow_networks: private addresses are probed in the lab only; set lab = true")
    problems += _check_tlds(config) + _check_groups(config) + _check_accounts(config) + _check_vantages(config)
    problems += _check_values(config) + _check_publish(config) + _check_store(config)
    names = [feed.name for feed in config.feed]
    problems += [f"feed[{at}].name: {name!r} is given twice" for at, name in enumerate(names) if name in names[:at]]
    for at, feed in enumerate(config.feed):
        if feed.url is not None and feed.format is None:
            problems.append(f"feed[{at}].format: missing; a feed with its own url needs a format")
        if feed.every is not None and seconds(feed.every) < 60:
            problems.append(f"feed[{at}].every: no feed may be asked more than once a minute")
    return problems


def _check_tlds(config: Config) -> list[str]:
    problems = []
    feeds, vantages = {feed.name for feed in config.feed}, {vantage.name for vantage in config.vantage}
    seen: set[str] = set()
    for at, tld in enumerate(config.tld):
        path = f"tld[{at}]"
        if (tld.name is None) == (not tld.names):
            problems.append(f"{path}: give either name or names")
        for name in [tld.name] if tld.name else tld.names:
            if name in seen:
                problems.append(f"{path}.name: {name!r} is given twice")
            seen.add(name or "")
        problems += [f"{path}.feeds: no [[feed]] is called {name!r}" for name in tld.feeds if name not in feeds]
        problems += [
            f"{path}.vantages: no [[vantage]] is called {name!r}" for name in tld.vantages if name not in vantages
        ]
        if len(set(tld.vantages) or vantages) < 2:
            problems.append(f"{path}.vantages: two vantages at least; one place proves nothing against cloaking")
        for hour in (tld.publish_at, *tld.publish_also):
            if int(hour[:2]) > 23:
                problems.append(f"{path}.publish_at: {hour!r} is no hour of the day")
        if not _zone_exists(tld.timezone):
            problems.append(f"{path}.timezone: {tld.timezone!r} is no time zone of the tz database")
    return problems


def _check_groups(config: Config) -> list[str]:
    """What a group would hand on to its TLDs, by the group's own path."""
    problems = []
    served = {name for tld in config.tld for name in (tld.name, *tld.names) if name}
    feeds, vantages = {feed.name for feed in config.feed}, {vantage.name for vantage in config.vantage}
    for at, group in enumerate(config.group):
        path = f"group[{at}]"
        problems += [f"{path}.names: no [[tld]] is called {name!r}" for name in group.names if name not in served]
        problems += [f"{path}.feeds: no [[feed]] is called {name!r}" for name in group.feeds if name not in feeds]
        problems += [
            f"{path}.vantages: no [[vantage]] is called {name!r}" for name in group.vantages if name not in vantages
        ]
        if group.vantages and len(set(group.vantages)) < 2:
            problems.append(f"{path}.vantages: two vantages at least; one place proves nothing against cloaking")
        if group.publish_at is not None and int(group.publish_at[:2]) > 23:
            problems.append(f"{path}.publish_at: {group.publish_at!r} is no hour of the day")
        if group.timezone is not None and not _zone_exists(group.timezone):
            problems.append(f"{path}.timezone: {group.timezone!r} is no time zone of the tz database")
    return problems


def _check_accounts(config: Config) -> list[str]:
    """One name is one account wherever it stands: two password files would leave it to chance which counts."""
    problems = []
    files: dict[str, str | None] = {}
    for at, tld in enumerate(config.tld):
        for number, account in enumerate(tld.accounts):
            path = f"tld[{at}].accounts[{number}]"
            if account.password_file is None and account.certificate_file is None:
                problems.append(f"{path}: give {account.name!r} a password_file, a certificate_file or both")
            if account.certificate_file is not None and config.serve.certificate_file is None:
                problems.append(
                    f"{path}.certificate_file: clients show certificates over TLS; give serve.certificate_file"
                )
            if files.setdefault(account.name, account.password_file) != account.password_file:
                problems.append(
                    f"{path}.password_file: {account.name!r} has another file elsewhere; one account has one password"
                )
    return problems


def _check_publish(config: Config) -> list[str]:
    publish, mail = config.publish, config.mail
    problems = []
    if (publish.next_secret_key_file is None) != (publish.next_key_from is None):
        problems.append("publish.next_secret_key_file, publish.next_key_from: give both or neither")
    if publish.next_key_from is not None:
        try:
            dt.date.fromisoformat(publish.next_key_from)
        except ValueError:
            problems.append(f"publish.next_key_from: {publish.next_key_from!r} is no date")
    if (mail.username is None) != (mail.password_file is None):
        problems.append("mail.username, mail.password_file: give both or neither")
    addresses = [("mail.from", mail.sender)] if mail.host is not None or "@localhost" not in mail.sender else []
    addresses += [(f"tld[{at}].managers", one) for at, tld in enumerate(config.tld) for one in tld.managers]
    addresses += [(f"group[{at}].managers", one) for at, group in enumerate(config.group) for one in group.managers]
    return problems + [f"{path}: {fault}" for path, one in addresses if (fault := mail_fault(one))]


def _check_store(config: Config) -> list[str]:
    store, problems = config.store, []
    if not config.roles:
        problems.append("roles: is empty; this host would do nothing")
    if store.url is None:
        if config.roles and set(config.roles) != {"collect", "probe", "publish", "serve"}:
            problems.append("roles: one host with the embedded store does everything; give [store] url to share it")
        if store.password_file is not None:
            problems.append("store.password_file: there is no store.url it would be for")
    elif fault := database_fault(store.url):
        problems.append(f"store.url: {fault}")
    if seconds(store.lease) < 1:
        problems.append("store.lease: a second at least; a round takes up to a minute")
    return problems


def _check_vantages(config: Config) -> list[str]:
    problems = []
    names = [vantage.name for vantage in config.vantage]
    problems += [f"vantage[{at}].name: {name!r} is given twice" for at, name in enumerate(names) if name in names[:at]]
    for at, vantage in enumerate(config.vantage):
        if vantage.proxy is not None and (fault := proxy_fault(vantage.proxy)):
            problems.append(f"vantage[{at}].proxy: {fault}")
    return problems


def _check_values(config: Config) -> list[str]:
    """Every value that must be an address, a network, a name or a URL."""
    validation, quad9 = config.validation, config.quad9
    lists: list[tuple[str, Iterable[str], Callable[[str], str | None]]] = [
        ("validation.allow_networks", validation.allow_networks, network_fault),
        ("validation.sinkholes", validation.sinkholes, network_fault),
        ("serve.mosapi.allow_networks", config.serve.mosapi.allow_networks, network_fault),
        ("dns.roots", config.dns.roots, server_fault),
        ("quad9.filtered", quad9.filtered, resolver_fault),
        ("quad9.unfiltered", quad9.unfiltered, resolver_fault),
    ]
    values: list[tuple[str, str | None, Callable[[str], str | None]]] = [
        ("quad9.blocked_canary", quad9.blocked_canary, name_fault),
        ("quad9.ca_file", quad9.ca_file, authority_fault),
        ("webrisk.url", config.webrisk.url, url_fault),
        ("tranco.url", config.tranco.url, _url_or_path_fault),
        ("tranco.id_url", config.tranco.id_url, _url_or_path_fault),
        ("mail.host", config.mail.host, host_fault),
        ("status.socket", config.status.socket, socket_fault),
        ("status.metrics", config.status.metrics, loopback_fault),
    ]
    for at, tld in enumerate(config.tld):
        path = f"tld[{at}]"
        lists += [
            (f"{path}.names", tld.names, tld_fault),
            (f"{path}.suffixes", tld.suffixes, name_fault),
            (f"{path}.registry_zones", tld.registry_zones, name_fault),
            (f"{path}.shared_services", tld.shared_services, name_fault),
            (f"{path}.critical", tld.critical, name_fault),
            (f"{path}.servers", tld.servers, server_fault),
            (f"{path}.hold_ns", tld.hold_ns, name_fault),
            (f"{path}.hold_ip", tld.hold_ip, address_fault),
            (f"{path}.hold_page", tld.hold_page, _empty_fault),
        ]
        values += [(f"{path}.name", tld.name, tld_fault), (f"{path}.rdap.url", tld.rdap.url, url_fault)]
    values += [(f"vantage[{at}].control_uri", one.control_uri, url_fault) for at, one in enumerate(config.vantage)]
    values += [(f"feed[{at}].url", one.url, _feed_fault) for at, one in enumerate(config.feed)]
    single = [f"{path}: {fault}" for path, one, rule in values if one is not None and (fault := rule(one))]
    return single + [
        f"{path}[{at}]: {fault}" for path, many, rule in lists for at, one in enumerate(many) if (fault := rule(one))
    ]


def _empty_fault(text: str) -> str | None:
    return None if text.strip() else "is empty, which every page would hold"


def _url_or_path_fault(text: str) -> str | None:
    """A URL where it looks like one, else a path."""
    if "://" in text:
        return url_fault(text)
    return None if text else "is empty; give a URL or a path"


def _feed_fault(text: str) -> str | None:
    """As the above; ``axfr://`` and other schemes are the catalogue's to judge."""
    if "://" in text and not text.startswith(("http://", "https://")):
        return None
    return _url_or_path_fault(text.replace("{key}", "key"))


def _zone_exists(name: str) -> bool:
    import zoneinfo  # noqa: PLC0415 - the tz database is read only when a configuration is checked

    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
