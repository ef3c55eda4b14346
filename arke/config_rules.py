"""What the values of arke.json must be: addresses, networks, names, URLs, files; each broken rule with its path.

Beside the rules between keys in ``config``, which calls ``check_values`` after the types hold. Opens no socket.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from arke.cases.settings import hoster_missing
from arke.screening.settings import screen_faults
from panopticond.shared.settings import seconds
from panopticond.shared.values import (
    address_fault,
    host_fault,
    is_file,
    loopback_fault,
    mail_fault,
    name_fault,
    network_fault,
    proxy_fault,
    server_fault,
    socket_fault,
    tld_fault,
    url_fault,
)

if TYPE_CHECKING:
    from arke.config import Config

Rule = Callable[[str], str | None]
SHORTEST_POLL_SECONDS = 1.0
_SECRETS = ("password_file", "token_file", "header_file", "certificate_file", "certificate_key_file")


def check_values(config: Config) -> list[str]:
    """Every value that cannot be what its key says, and a password that would cross a network in the clear."""
    single = [f"{path}: {fault}" for path, one, rule in _values(config) if one is not None and (fault := rule(one))]
    problems = single + [
        f"{path}[{at}]: {fault}"
        for path, many, rule in _lists(config)
        for at, one in enumerate(many)
        if (fault := rule(one))
    ]
    if len(set(config.tlds)) < len(config.tlds):
        problems.append("tld: one is given twice")
    if seconds(config.poll) < SHORTEST_POLL_SECONDS:
        problems.append(f"poll: {config.poll} is less than a second")
    names = [vantage.name for vantage in config.recheck.vantages]
    problems += [
        f"recheck.vantages[{at}].name: {name!r} is given twice" for at, name in enumerate(names) if name in names[:at]
    ]
    smtp = config.smtp
    if smtp is not None and (smtp.username is None) != (smtp.password_file is None):
        problems.append("smtp.username, smtp.password_file: give both or neither")
    if smtp is not None and smtp.tls == "none" and smtp.username is not None and not _loopback(smtp.host):
        problems.append("smtp.tls: without TLS a password is for loopback only; use starttls or implicit")
    return problems


def missing_files(config: Config) -> list[str]:
    """Every file the configuration names that is not there, or that this user cannot see; for who will read them."""
    named = {
        "template": config.template,
        "contacts": config.contacts,
        "suppression": config.suppression,
        "smtp.password_file": config.smtp.password_file if config.smtp else None,
        "smtp.ca_file": config.smtp.ca_file if config.smtp else None,
        **{
            f"{section}.{key}": getattr(holder, key)
            for section, holder in (("rdap", config.rdap), ("account", config.account), ("mosapi", config.mosapi))
            for key in _SECRETS
            if holder is not None and hasattr(holder, key)
        },
        "transfer.key_file": config.transfer.key_file if config.transfer else None,
    }
    for at, vantage in enumerate(config.recheck.vantages):
        named[f"recheck.vantages[{at}].credentials_file"] = vantage.credentials_file
    missing = [f"{key}: {path}: no such file" for key, path in named.items() if path and not is_file(path)]
    return missing + hoster_missing(config.hoster) + screen_faults(config.screen)


def _values(config: Config) -> list[tuple[str, str | None, Rule]]:
    smtp, rdap, transfer = config.smtp, config.rdap, config.transfer
    found: list[tuple[str, str | None, Rule]] = [
        ("manager", config.manager, mail_fault),
        ("verify_page", config.verify_page, url_fault),
        ("records", config.records, _some_fault),
        ("zone", config.zone, _some_fault),
        ("state", config.state, _some_fault),
        ("status.socket", config.status.socket, socket_fault),
        ("status.metrics", config.status.metrics, loopback_fault),
        ("smtp.from", smtp.sender if smtp else None, mail_fault),
        ("smtp.host", smtp.host if smtp else None, host_fault),
        ("smtp.helo", smtp.helo if smtp else None, host_fault),
        ("rdap.canary", rdap.canary if rdap else None, name_fault),
        ("transfer.server", transfer.server if transfer else None, server_fault),
    ]
    for at, vantage in enumerate(config.recheck.vantages):
        path = f"recheck.vantages[{at}]"
        found += [
            (f"{path}.proxy", vantage.proxy, proxy_fault),
            (f"{path}.control_uri", vantage.control_uri, url_fault),
        ]
    return found


def _lists(config: Config) -> list[tuple[str, Iterable[str], Rule]]:
    recheck = config.recheck
    return [
        ("tld", config.tlds, tld_fault),
        ("shared_services", config.shared_services, name_fault),
        ("recheck.servers", recheck.servers, server_fault),
        ("recheck.roots", recheck.roots, server_fault),
        ("recheck.resolver", recheck.resolver, server_fault),
        ("recheck.hold_ns", recheck.hold_ns, name_fault),
        ("recheck.hold_ip", recheck.hold_ip, address_fault),
        ("recheck.hold_page", recheck.hold_page, _some_fault),
        ("recheck.registry_zones", recheck.registry_zones, name_fault),
        ("recheck.allow_networks", recheck.allow_networks, network_fault),
    ]


def _some_fault(text: str) -> str | None:
    return None if text.strip() else "is empty"


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
