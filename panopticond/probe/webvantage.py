"""A vantage: the place web probes leave from, directly or through a proxy of a country.

Made by ``main`` from ``[[vantage]]`` and used by :mod:`panopticond.probe.webwire`. Providers carry the country and the
session in the proxy's user name, hence the template; the password comes from a file and never prints.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from pathlib import Path

import msgspec

from panopticond.shared.errors import ConfigurationError

PROXY_ERROR_STATUSES = (400, 401, 402, 403, 405, 407, 429, 525)
"""Answers to CONNECT that speak of the proxy itself; every other non-2xx says the site could not be reached."""


class WebVantage(msgspec.Struct, frozen=True):
    """A place probes leave from: this host's own network, or an HTTP proxy with credentials and a country."""

    name: str
    country: str
    proxy_host: str | None = None
    proxy_port: int = 0
    proxy_tls: bool = False
    user: str = ""
    password: str = ""
    username_template: str = "{user}"
    control_uri: str | None = None
    error_headers: tuple[str, ...] = ()
    proxy_error_statuses: tuple[int, ...] = PROXY_ERROR_STATUSES

    def __repr__(self) -> str:
        """Name and country only: credentials never print."""
        return f"WebVantage({self.name!r}, {self.country!r})"

    @property
    def rotates(self) -> bool:
        """Whether each request leaves by a session, and so perhaps an exit, of its own."""
        return self.proxy_host is not None and bool(self.user) and "{session}" in self.username_template

    def authorization(self) -> str | None:
        """The Proxy-Authorization value with a session of its own, or None without credentials."""
        if not self.user:
            return None
        name = self.username_template
        for word, value in (
            ("{user}", self.user),
            ("{CC}", self.country.upper()),
            ("{cc}", self.country.lower()),
            ("{session}", secrets.token_hex(4)),
        ):
            name = name.replace(word, value)
        return "Basic " + base64.b64encode(f"{name}:{self.password}".encode()).decode()


def web_vantage(
    *,
    name: str,
    country: str,
    proxy: str | None = None,
    credentials_file: str | None = None,
    username_template: str | None = None,
    control_uri: str | None = None,
    error_headers: Sequence[str] = (),
    proxy_error_statuses: Sequence[int] = PROXY_ERROR_STATUSES,
) -> WebVantage:
    """A vantage from the keys of ``[[vantage]]``; ConfigurationError when its proxy or credentials cannot be read."""
    user = password = host = ""
    port = 0
    if proxy is not None:
        host, _, digits = proxy.partition("://")[2].rstrip("/").rpartition(":")
        if not host or not digits.isdigit() or not 0 < int(digits) < 65536:
            raise ConfigurationError([f"vantage {name}: proxy must read http://host:port"])
        port = int(digits)
    if credentials_file is not None:
        try:
            line = Path(credentials_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError([f"vantage {name}: {credentials_file} cannot be read"]) from error
        user, _, password = line.partition(":")
    return WebVantage(
        name=name,
        country=country.upper(),
        proxy_host=host.strip("[]") or None,
        proxy_port=port,
        proxy_tls=proxy is not None and proxy.startswith("https:"),
        user=user,
        password=password,
        username_template=username_template or "{user}",
        control_uri=control_uri,
        error_headers=tuple(header.lower() for header in error_headers),
        proxy_error_statuses=tuple(proxy_error_statuses),
    )
