"""The public feeds Panopticon knows, as data: where, in what format, how often, under which licence.

First step of collection: ``resolve`` turns a ``[[feed]]`` of the configuration into the FeedSpec that ``follow`` obeys.
Addresses and terms are those of the providers' own pages; licence classes say what the exporter may publish (design
section 7).
"""

from __future__ import annotations

import re

import msgspec

from panopticond.config import Feed
from panopticond.feeds.formats import FORMATS
from panopticond.feeds.formats.mapped import read_map
from panopticond.model import Absence, Licence, Threat, Trust
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.settings import seconds

TRANSFER = re.compile(r"axfr://(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})/([^/?#]+)\Z")
"""The address of a zone to transfer: an IPv6 or IPv4 address, a port, the zone."""
_LISTEN = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})\Z")
HOUR = 3600.0
DAY = 24 * HOUR


class FeedSpec(msgspec.Struct, frozen=True):
    """All that is to be known of a feed to follow it."""

    name: str
    url: str
    """``https://``, ``http://``, ``axfr://address:port/zone`` or a path; ``{key}`` stands for the secret."""
    format: str
    threat: Threat | None = None
    """Of rows that do not say; None for the format's own."""
    every: float = HOUR
    """Policy seconds between two visits."""
    least: float = 60.0
    """The shortest interval the provider allows, policy seconds."""
    licence: Licence = "remediation"
    absence: Absence = "aged-out"
    trust: Trust = "supporting"
    stale_after: float = 2 * DAY
    """Policy seconds without a change after which a feed is STALE; far above the provider's own rhythm."""
    key_file: str | None = None
    key_header: str | None = None
    """The header that carries the secret, when the URL does not."""
    needs_key: bool = False
    same_origin: bool = True
    """Redirects stay with the configured origin; False where the provider sends readers to a content network."""
    deadline: float = 600.0
    """Real seconds for one whole body."""
    max_bytes: int = 64 << 20
    max_inflated_bytes: int = 256 << 20
    notify: str | None = None
    """Where to listen for NOTIFY of a transferred zone, ``address:port``."""
    map_file: str | None = None
    """The mapping of the formats csv, json and ndjson."""
    delisting: str | None = None
    """Where a holder asks to be taken off the list."""
    terms: str = ""
    """Where the provider's terms stand, or what they come to."""


_ABUSE_CH = "abuse.ch fair use; key since 2025"

KNOWN: tuple[FeedSpec, ...] = (
    FeedSpec(
        "urlhaus",
        "https://urlhaus-api.abuse.ch/v2/files/exports/{key}/recent.csv",
        "urlhaus-csv",
        "malware",
        every=900.0,
        least=300.0,
        licence="redistributable",
        trust="reputable",
        needs_key=True,
        terms=_ABUSE_CH,
    ),
    FeedSpec(
        "openphish",
        "https://raw.githubusercontent.com/openphish/public_feed/refs/heads/main/feed.txt",
        "url-list",
        "phishing",
        every=HOUR,
        least=300.0,
        licence="remediation",
        trust="reputable",
        terms="non-commercial: openphish.com/terms.html",
    ),
    FeedSpec(
        "phishtank",
        "https://data.phishtank.com/data/{key}/online-valid.csv.bz2",
        "phishtank-csv",
        "phishing",
        every=HOUR,
        least=HOUR,
        licence="remediation",
        absence="withdrawn",
        trust="reputable",
        needs_key=True,
        same_origin=False,
        max_inflated_bytes=512 << 20,
        terms="phishtank.org developer terms",
    ),
    FeedSpec(
        "phishtank-keyless",
        "https://data.phishtank.com/data/online-valid.csv.bz2",
        "phishtank-csv",
        "phishing",
        every=DAY,
        least=6 * HOUR,
        licence="remediation",
        absence="withdrawn",
        trust="reputable",
        same_origin=False,
        stale_after=4 * DAY,
        max_inflated_bytes=512 << 20,
        terms="phishtank.org developer terms; a few requests a day without a key",
    ),
    FeedSpec(
        "certpl",
        "https://hole.cert.pl/domains/v2/domains.json",
        "certpl-json",
        "phishing",
        every=900.0,
        least=300.0,
        absence="withdrawn",
        trust="reputable",
        terms="no licence stated",
    ),
    FeedSpec(
        "threatfox",
        "https://threatfox.abuse.ch/export/csv/recent/",
        "threatfox-csv",
        every=900.0,
        least=300.0,
        licence="redistributable",
        trust="reputable",
        key_header="auth-key",
        needs_key=True,
        terms=_ABUSE_CH,
    ),
    FeedSpec(
        "phishing-database-links",
        "https://phish.co.za/latest/phishing-links-ACTIVE.txt",
        "url-list",
        "phishing",
        every=6 * HOUR,
        least=HOUR,
        licence="redistributable",
        max_bytes=256 << 20,
        terms="MIT; notes as active what answers 403 or 5xx",
    ),
    FeedSpec(
        "phishing-database-domains",
        "https://phish.co.za/latest/phishing-domains-ACTIVE.txt",
        "url-list",
        "phishing",
        every=6 * HOUR,
        least=HOUR,
        licence="redistributable",
        max_bytes=256 << 20,
        terms="MIT; notes as active what answers 403 or 5xx",
    ),
    FeedSpec(
        "tweetfeed",
        "https://raw.githubusercontent.com/0xDanielLopez/TweetFeed/master/today.csv",
        "tweetfeed-csv",
        "phishing",
        every=HOUR,
        least=900.0,
        licence="redistributable",
        terms="CC0; unvetted",
    ),
    FeedSpec(
        "phishstats",
        "https://phishstats.info/phish_score.csv",
        "phishstats-csv",
        "phishing",
        every=2 * HOUR,
        least=5400.0,
        terms="non-commercial",
    ),
    FeedSpec(
        "feodotracker",
        "https://feodotracker.abuse.ch/downloads/ipblocklist.csv",
        "feodo-csv",
        "botnetCc",
        every=HOUR,
        least=300.0,
        licence="redistributable",
        trust="reputable",
        stale_after=7 * DAY,
        terms="CC0; addresses only, nothing of a TLD",
    ),
    FeedSpec(
        "circl-osint",
        "https://www.circl.lu/doc/misp/feed-osint/manifest.json",
        "misp",
        "malware",
        every=6 * HOUR,
        least=HOUR,
        licence="verdict-only",
        stale_after=14 * DAY,
        terms="by event: its TLP tag",
    ),
    FeedSpec(
        "botvrij",
        "https://www.botvrij.eu/data/feed-osint/manifest.json",
        "misp",
        "malware",
        every=6 * HOUR,
        least=HOUR,
        licence="verdict-only",
        stale_after=14 * DAY,
        terms="by event: its TLP tag",
    ),
)
"""Sorted by how much a ccTLD gets from them."""

CATALOGUE: dict[str, FeedSpec] = {spec.name: spec for spec in KNOWN}


def resolve(feed: Feed) -> FeedSpec:
    """The FeedSpec of a ``[[feed]]``; ConfigurationError for neither a known name nor url and format."""
    known = CATALOGUE.get(feed.name)
    problems: list[str] = []
    if known is None and (feed.url is None or feed.format is None):
        problems.append(
            f"feed.{feed.name}: not in the catalogue; give it a url and a format, or see: panopticond feeds list"
        )
    if feed.format is not None and feed.format not in FORMATS:
        problems.append(f"feed.{feed.name}.format: {feed.format!r} is none of {', '.join(sorted(FORMATS))}")
    if feed.url is not None and (problem := address_problem(feed.url)):
        problems.append(f"feed.{feed.name}.url: {problem}")
    if problems:
        raise ConfigurationError(problems)
    base = known or FeedSpec(feed.name, feed.url or "", feed.format or "")
    given = {
        key: value
        for key in (
            "url",
            "format",
            "threat",
            "key_file",
            "licence",
            "absence",
            "trust",
            "map_file",
            "notify",
            "delisting",
        )
        if (value := getattr(feed, key)) is not None
    }
    own_address = feed.url is not None and (known is None or feed.url != known.url)
    spec = msgspec.structs.replace(
        base,
        **given,
        deadline=seconds(feed.deadline),
        max_bytes=feed.max_bytes,
        max_inflated_bytes=feed.max_inflated_bytes,
    )
    if own_address:  # a mirror or a file is nobody's limit but the operator's, and has its own way of telling readers
        spec = msgspec.structs.replace(spec, least=60.0, needs_key="{key}" in spec.url, same_origin=True)
    if feed.every is not None:
        every = seconds(feed.every)
        if every < spec.least:
            problems.append(f"feed.{feed.name}.every: the provider allows one request in {spec.least:.0f} s at most")
        spec = msgspec.structs.replace(spec, every=every)
    if spec.notify is not None and (not spec.url.startswith("axfr://") or listening_at(spec.notify)[1] < 0):
        problems.append(f"feed.{feed.name}.notify: address:port to listen at, for a feed with an axfr:// url")
    if spec.map_file is not None:
        problems += _map_problems(spec)
    if spec.needs_key and spec.key_file is None:
        problems.append(f"feed.{feed.name}.key_file: this feed needs a key; put it into a file and name the file here")
    if problems:
        raise ConfigurationError(problems)
    stale_after = max(spec.stale_after, 4 * spec.every) if feed.stale_after is None else seconds(feed.stale_after)
    return msgspec.structs.replace(spec, stale_after=stale_after)


def is_transfer(url: str) -> bool:
    """Whether a feed's address is a zone to transfer."""
    return url.startswith("axfr://")


def address_problem(url: str) -> str | None:
    """What is wrong with a feed's address, or None."""
    if url.startswith("axfr://"):
        good = TRANSFER.match(url) is not None
        return None if good else f"{url!r} must read axfr://address:port/zone, as axfr://192.0.2.1:53/rpz.example"
    if "://" in url and not url.startswith(("http://", "https://", "file://")):
        return f"{url!r}: only http, https, axfr and paths are read"
    return None


def listening_at(text: str) -> tuple[str, int]:
    """The address and port in ``address:port`` or ``[address]:port``; port -1 when it is neither."""
    match = _LISTEN.match(text)
    return ("", -1) if match is None else (match[1] or match[2], int(match[3]))


def _map_problems(spec: FeedSpec) -> list[str]:
    if FORMATS[spec.format].mapped is None:
        return [f"feed.{spec.name}.map_file: the format {spec.format} takes no mapping"]
    try:
        read_map(spec.map_file or "")
    except ConfigurationError as error:
        return [f"feed.{spec.name}.map_file: {problem}" for problem in error.problems]
    return []
