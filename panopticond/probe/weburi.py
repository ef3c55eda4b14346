"""What the web probe does with URIs: parts of one, its twin of the other scheme, a path nobody made, redirects. Pure.

WHATWG rules throughout (can_ada), because that is what the victims' browsers follow.
"""

from __future__ import annotations

import secrets
from typing import Literal

import can_ada

from panopticond.probe.webwire import Reply, Target

URI_BYTES = 8192
"""A Location longer than this is not followed."""
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})


def twin_of(uri: str) -> str | None:
    """The same URI with the other scheme, for default ports only; None where there is no such twin."""
    try:
        url = can_ada.parse(uri)
    except ValueError:
        return None
    if url.port or url.protocol not in {"http:", "https:"}:
        return None
    other = "https" if url.protocol == "http:" else "http"
    return f"{other}:{url.href.partition(':')[2]}"


def random_sibling(uri: str) -> str | None:
    """A URI nobody made, beside the given one: same directory, same ending, no query; None for a front page.

    For a directory it is a sibling directory, because a kit's own rewriting rules answer for everything below it.
    """
    url = can_ada.parse(uri)
    path = str(url.pathname)
    if path in {"", "/"}:
        return None
    directory = path.endswith("/")
    parent, _, last = path.rstrip("/").rpartition("/")
    ending = last.rpartition(".")[2] if "." in last else ""
    suffix = "/" if directory else f".{ending}" if ending.isalnum() and ending.isascii() and len(ending) <= 5 else ""
    return f"{url.protocol}//{url.host}{parent}/{secrets.token_hex(8)}{suffix}"


def target_of(uri: str) -> Target:
    """The parts of a URI a request needs; ValueError when it is not http or https."""
    url = can_ada.parse(uri)
    scheme: Literal["http", "https"] = "https" if url.protocol == "https:" else "http"
    if url.protocol not in {"http:", "https:"}:
        raise ValueError(f"no web URI: {url.protocol}")
    port = int(url.port) if url.port else {"http": 80, "https": 443}[scheme]
    return Target(scheme, url.hostname, port, f"{url.pathname}{url.search}" or "/")


def location_of(reply: Reply, base: str) -> str | None:
    """Where a redirect leads, fragment dropped; None when the answer is none or its Location is not usable."""
    given = reply.headers.get("location", "")
    if reply.status not in _REDIRECT_STATUSES or not given or len(given) > URI_BYTES:
        return None
    try:
        # Header bytes arrive as Latin-1; browsers read a raw Location as UTF-8.
        text = given.encode("latin-1").decode("utf-8", "replace")
        url = can_ada.parse(base) + text
    except ValueError:
        return None
    href = str(url.href)
    if url.protocol not in {"http:", "https:"} or not url.hostname or len(href) > URI_BYTES:
        return None
    if url.username or url.password:
        href = f"{url.protocol}//{url.host}{url.pathname}{url.search}"
    return href.partition("#")[0]


def is_address(host: str) -> bool:
    """Whether a WHATWG host is an IP literal: in brackets, or dotted numbers (names never end in a number there)."""
    return host.startswith("[") or host.rpartition(".")[2].isdigit()
