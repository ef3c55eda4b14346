"""What one value of a configuration may be: networks, server addresses, domain names, URLs, mail addresses, files.

Used by the rules of both configurations. Each function gives the fault in words, or None; the caller puts the key's
path before it. Nothing is opened or resolved but a secret's own file.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
import stat
from collections.abc import Collection
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from panopticond.shared.errors import ConfigurationError
from panopticond.shared.names import ascii_name, well_formed
from panopticond.shared.settings import read_secret

_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([A-Za-z0-9.-]{1,253})")
_SERVER = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})")
_TLD = re.compile(r"[a-z0-9-]{2,63}")
OTHERS = 0o077
"""The permission bits by which anybody but the owner reads a secret."""


def network_fault(text: str) -> str | None:
    """Neither an address nor a network without host bits."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return f"{text!r} is no address or network, as 192.0.2.0/24 or 2001:db8::1"
    return None


def address_fault(text: str) -> str | None:
    """No IP address in the one form in which probes write it down."""
    try:
        plain = str(ipaddress.ip_address(text))
    except ValueError:
        return f"{text!r} is no address, as 192.0.2.1 or 2001:db8::1"
    return None if plain == text else f"write {text!r} as {plain}"


def server_fault(text: str) -> str | None:
    """No ``address:port`` with a real address and a port from 1 to 65535."""
    match = _SERVER.fullmatch(text)
    if match is not None and 0 < int(match[3]) < 65536:
        try:
            ipaddress.ip_address(match[1] or match[2])
        except ValueError:
            pass
        else:
            return None
    return f"{text!r} must read address:port, as 192.0.2.1:53 or [2001:db8::1]:53"


def loopback_fault(text: str) -> str | None:
    """No ``address:port`` of this host alone: what is served there asks nobody who they are."""
    if fault := server_fault(text):
        return fault
    address = ipaddress.ip_address(text.rpartition(":")[0].strip("[]"))
    return None if address.is_loopback else f"{text!r} is not loopback; let a proxy with accounts stand before it"


def resolver_fault(text: str) -> str | None:
    """No server as :mod:`panopticond.probe.dnsstream` takes it: ``address:port``, or by tcp, tls or https."""
    scheme, mark, rest = text.partition("://")
    if not mark:
        return server_fault(text)
    if scheme in ("tcp", "tls"):
        return server_fault(rest.partition("#")[0])
    return url_fault(text, schemes=("https",))


def name_fault(text: str) -> str | None:
    """No domain name (U-labels pass), as ``com.zz``."""
    name = ascii_name(text)
    if text.strip(".") != text or not well_formed(name) or name.rpartition(".")[2].isdigit():
        return f"{text!r} is no domain name, as com.zz"
    return None


def tld_fault(text: str) -> str | None:
    """No top-level domain as snapshots, their repository and MoSAPI know them: one label of two characters or more."""
    if fault := name_fault(text):
        return fault
    if _TLD.fullmatch(ascii_name(text)) is None:
        return f"{text!r} is no top-level domain, as zz; a zone below one, as com.zz, belongs to its suffixes"
    return None


def mail_fault(text: str) -> str | None:
    """No single mail address, without a display name."""
    match = _MAIL.fullmatch(text)
    if match is None or name_fault(match[1].lower()) is not None or ".." in text or text.startswith("."):
        return f"{text!r} is no mail address, as abuse@nic.example"
    return None


def url_fault(text: str, *, schemes: Collection[str] = ("http", "https")) -> str | None:
    """No URL of one of the schemes with a host, and a port that exists where there is one."""
    try:
        parts = urlsplit(text)
        good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    good = good and not re.search(r"\s", text)
    return None if good else f"{text!r} must be a URL that begins {' or '.join(f'{scheme}://' for scheme in schemes)}"


def host_fault(text: str) -> str | None:
    """Neither a host name nor an address to connect to."""
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None if well_formed(ascii_name(text)) else f"{text!r} is neither a host name nor an address"
    return None


def proxy_fault(text: str) -> str | None:
    """No ``http://host:port`` or ``https://host:port`` and nothing else, credentials least of all."""
    scheme, _, rest = text.partition("://")
    host, _, port = rest.rpartition(":")
    good = scheme in ("http", "https") and port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536
    if good and host_fault(host) is None:
        return None
    return "must read http://host:port; credentials go to credentials_file"


def database_fault(text: str) -> str | None:
    """No ``postgresql://`` URL, or one with a password in it: URLs are printed, passwords are not."""
    scheme, _, rest = text.partition("://")
    if scheme not in ("postgresql", "postgres"):
        return "must begin with postgresql://"
    if not text.isprintable() or " " in text:
        return "holds a character no URL has; write it percent-encoded"
    user = rest.partition("/")[0].rpartition("@")[0]
    if ":" in user or "password=" in rest.lower():
        return "holds a password; put it in password_file or in libpq's own places"
    servers = rest.partition("?")[0].partition("/")[0].rpartition("@")[2].split(",")
    ports = [port for server in servers for port in [server.rpartition("]")[2].partition(":")[2]] if port]
    ports += ",".join(parse_qs(rest.partition("?")[2]).get("port", [])).split(",")
    for port in ports:
        if port and not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
            return f"{port[:20]!r} is no port; a port is a number from 1 to 65535"
    return None


def authority_fault(path: str) -> str | None:
    """No file of certificates (PEM) by which a server could be proven."""
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        return f"{path}: holds no certificate" if isinstance(error, ssl.SSLError) else f"{path}: {error.strerror}"
    return None


def secret_fault(path: str, *, mask: int = OTHERS) -> str | None:
    """A secret file that is missing, empty or open to others by the bits of ``mask``."""
    try:
        read_secret(path)
        mode = stat.S_IMODE(Path(path).stat().st_mode)
    except ConfigurationError as error:
        return "; ".join(error.problems)
    except OSError as error:
        return f"{path}: {error.strerror}"
    return f"{path} is open to others (mode {mode:04o}); do: chmod 600 {path}" if mode & mask else None


def folder_fault(path: Path) -> str | None:
    """A directory that is not there and could not be made, or where nothing may be written."""
    try:
        for place in (path, *path.parents):
            if place.is_dir():
                good = os.access(place, os.W_OK | os.X_OK)
                return None if good else f"{place}: this user may not write there"
            if place.exists() or place.is_symlink():
                return f"{place}: is no directory"
    except OSError as error:
        return f"{path}: {error.strerror}"
    return f"{path}: cannot be made"


def is_file(path: str) -> bool:
    """Whether a file is there, whatever the text: a name that cannot be one is none."""
    return os.path.isfile(path)  # noqa: PTH113 - pathlib raises for names too long


def socket_fault(path: str) -> str | None:
    """A path too long for the kernel (unix(7)), or none."""
    return None if 0 < len(os.fsencode(path)) < 108 else f"{path!r} must be a path of 1 to 107 bytes"
