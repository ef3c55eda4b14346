"""Which RDAP service answers for a TLD: IANA's bootstrap registry (RFC 9224), asked once when somebody begins."""

from __future__ import annotations

import json

from panopticond.shared.errors import FetchError
from panopticond.shared.http import Http
from panopticond.shared.values import url_fault

REGISTRY = "https://data.iana.org/rdap/dns.json"
LIMIT_BYTES = 4 << 20
DEADLINE_SECONDS = 20.0
URL_LIMIT = 2000


async def find_rdap(http: Http, tld: str) -> tuple[str | None, str]:
    """(the URL of a TLD's RDAP service or None, a sentence on what was found)."""
    try:
        reply = await http.get(REGISTRY, limit_bytes=LIMIT_BYTES, deadline_seconds=DEADLINE_SECONDS)
    except FetchError as error:
        return None, f"RDAP of .{tld}: could not be looked up ({error.reason}); name it in the configuration later"
    if reply.status != 200:
        why = f"status {reply.status}"
        return None, f"RDAP of .{tld}: could not be looked up ({why}); name it in the configuration later"
    found = rdap_of(tld, reply.body)
    return found, f"RDAP of .{tld}: {found or 'IANA knows none'}"


def rdap_of(tld: str, registry: bytes) -> str | None:
    """The service of a TLD out of the registry, https before http; None where it names none or is no such registry."""
    try:
        services = json.loads(registry)["services"]
        urls = [url for names, urls in services if isinstance(names, list) and tld in names for url in urls]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    good = [url for url in urls if isinstance(url, str) and _fit(url)]
    return max(good, default=None, key=lambda url: url.startswith("https"))


def _fit(url: str) -> bool:
    """Whether a stranger's URL may be printed and written into a configuration."""
    return len(url) <= URL_LIMIT and url.isascii() and url.isprintable() and url_fault(url) is None
