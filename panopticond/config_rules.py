"""The rules between the keys of panopticond.toml: what no type can say, each broken one with its path.

Second half of ``config``, which calls ``check`` after the types hold. Opens no socket; looks only for named files.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from pathlib import Path
from typing import TYPE_CHECKING

from panopticond.shared.clock import Clock
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.settings import seconds

if TYPE_CHECKING:
    from panopticond.config import Config

_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")


def check(config: Config) -> list[str]:
    """Every broken rule between keys, with its path."""
    problems = []
    try:
        Clock.from_settings(config.clock, lab=config.lab)
    except ConfigurationError as error:
        problems += error.problems
    if config.validation.allow_networks and not config.lab:
        problems.append("validation.allow_networks: private addresses are probed in the lab only; set lab = true")
    problems += _check_tlds(config) + _check_vantages(config) + _check_addresses(config)
    problems += _check_networks(config.serve.mosapi.allow_networks, "serve.mosapi.allow_networks")
    problems += _check_publish(config)
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
        if len(tld.vantages or vantages) < 2:
            problems.append(f"{path}.vantages: two vantages at least; one place proves nothing against cloaking")
        for hour in (tld.publish_at, *tld.publish_also):
            if int(hour[:2]) > 23:
                problems.append(f"{path}.publish_at: {hour!r} is no hour of the day")
        if not _zone_exists(tld.timezone):
            problems.append(f"{path}.timezone: {tld.timezone!r} is no time zone of the tz database")
    for at, group in enumerate(config.group):
        problems += [f"group[{at}].names: no [[tld]] is called {name!r}" for name in group.names if name not in seen]
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
    addresses = [("mail.from", mail.sender)]
    addresses += [(f"tld[{at}].managers", one) for at, tld in enumerate(config.tld) for one in tld.managers]
    addresses += [(f"group[{at}].managers", one) for at, group in enumerate(config.group) for one in group.managers]
    problems += [f"{path}: {one!r} is no mail address" for path, one in addresses if not _ADDRESS.fullmatch(one)]
    return problems


def _check_vantages(config: Config) -> list[str]:
    problems = []
    names = [vantage.name for vantage in config.vantage]
    problems += [f"vantage[{at}].name: {name!r} is given twice" for at, name in enumerate(names) if name in names[:at]]
    for at, vantage in enumerate(config.vantage):
        if vantage.proxy is not None and not re.match(r"^https?://[^/@]+:[0-9]+$", vantage.proxy):
            problems.append(f"vantage[{at}].proxy: must read http://host:port; credentials go to credentials_file")
        if vantage.credentials_file is not None and not Path(vantage.credentials_file).is_file():
            problems.append(f"vantage[{at}].credentials_file: {vantage.credentials_file}: no such file")
    return problems


def _check_addresses(config: Config) -> list[str]:
    lists = {
        "dns.roots": config.dns.roots,
        "quad9.filtered": config.quad9.filtered,
        "quad9.unfiltered": config.quad9.unfiltered,
        **{f"tld[{at}].servers": tld.servers for at, tld in enumerate(config.tld)},
    }
    pattern = re.compile(r"^(\[[0-9a-f:.]+\]|[0-9.]+):[0-9]{1,5}$")
    return [
        f"{path}[{at}]: {address!r} must read address:port, as 192.0.2.1:53 or [2001:db8::1]:53"
        for path, addresses in lists.items()
        for at, address in enumerate(addresses)
        if not pattern.match(address)
    ]


def _check_networks(networks: tuple[str, ...], path: str) -> list[str]:
    problems = []
    for at, network in enumerate(networks):
        try:
            ipaddress.ip_network(network)
        except ValueError:
            problems.append(f"{path}[{at}]: {network!r} is no address or network, as 192.0.2.0/24 or 2001:db8::1")
    return problems


def _zone_exists(name: str) -> bool:
    import zoneinfo  # noqa: PLC0415 - the tz database is read only when a configuration is checked

    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return False
    return True
