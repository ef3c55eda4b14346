"""Real captures, where there are any: every file read in its stated format, every row accounted for, no address kept.

The captures may not be part of the project; they are looked for beside it or where PANOPTICON_DATA says. Without them there are
no tests here. Their hosts are or were malicious: nothing below resolves or fetches anything but loopback.
"""

from __future__ import annotations

import binascii
import datetime as dt
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import pytest
import trio

from panopticond.feeds.catalogue import FeedSpec
from panopticond.feeds.formats import FORMATS
from panopticond.feeds.formats.mapped import FieldMap
from panopticond.feeds.inflate import Body
from panopticond.feeds.ingest import Ingest
from panopticond.feeds.visit import visit
from panopticond.model import Indicator
from panopticond.shared.http import Http
from panopticond.shared.names import Names, TldPolicy
from tests.panopticond.feeds.server import Answer, FeedServer, MemoryStore

FEEDS = Path(os.environ.get("PANOPTICON_DATA", Path(__file__).parents[3] / ".." / "shared" / "data")) / "feeds"
ALL = Names(None)

# Which format is whose. native: as the provider serves it, so hardly a row may be rejected.
TABLE: tuple[tuple[str, str, FieldMap | None], ...] = (
    ("openphish/feed.*.txt", "url-list", None),
    ("urlhaus/csv_online.*.csv", "urlhaus-csv", None),
    ("urlhaus/*.txt", "url-list", None),
    ("phishtank/*.csv", "phishtank-csv", None),
    ("threatfox/format_sample.csv", "threatfox-csv", None),
    ("threatfox/threatfox.csv", "csv", FieldMap(value=1)),
    ("threatfox/IPC2s-30day.csv", "csv", FieldMap(value=1, header=False)),
    ("feodotracker/*.csv", "feodo-csv", None),
    ("blackbook/**/*.csv", "blackbook-csv", None),
    ("blackbook/*.txt", "url-list", None),
    ("jpcert/*.csv", "jpcert-csv", None),
    ("discord/list.json", "json", None),
    ("discord/ublock_filter.txt", "adblock", None),
    ("domain_lists/*", "url-list", None),
    ("ut1/*/domains", "url-list", None),
    ("ut1/*/urls", "url-list", None),
    ("tweetfeed/daily/*.csv", "tweetfeed-csv", None),
    ("tweetfeed/blocklists/adguard.txt", "adblock", None),
    ("tweetfeed/blocklists/dnsmasq.txt", "dnsmasq", None),
    ("tweetfeed/blocklists/hosts.txt", "hosts-file", None),
    ("tweetfeed/blocklists/rpz.txt", "rpz", None),
    ("tweetfeed/blocklists/domains.txt", "url-list", None),
    ("tweetfeed/blocklists/urls.txt", "url-list", None),
    ("tweetfeed/blocklists/ips.txt", "url-list", None),
    ("tweetfeed/misp/*-*.json", "misp", None),
    ("tweetfeed/stix/*y.json", "stix", None),
    ("tweetfeed/stix/week.json", "stix", None),
    ("eset_misp/*vent*.json", "misp", None),
    ("eset_misp/*misp.json", "misp", None),
    ("eset_misp/dnsbirthday__*.json", "json", FieldMap(rows="duvelDetails.blockList.*")),
)
ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
TOKEN = re.compile(r"[A-Za-z0-9+/_-]{12,}")


def read(path: Path, form: str, mapping: FieldMap | None) -> tuple[Ingest, list[Indicator]]:
    with path.open("rb") as file:
        ingest = Ingest(Body(file, 1 << 32), FORMATS[form].with_map(mapping), ALL)
        found = []
        while not ingest.finished:
            found += ingest.take(10_000)
    return ingest, found


def addresses_in(uri: str) -> Iterator[str]:
    """Every mail address a reader could find in a URI: raw, decoded, base64-decoded."""
    for _ in range(3):
        yield from ADDRESS.findall(uri)
        for token in TOKEN.findall(uri):
            standard = token.replace("-", "+").replace("_", "/")
            data = binascii.a2b_base64(standard[: len(standard) - (len(standard) % 4 == 1)] + "==")
            yield from ADDRESS.findall(data.decode("latin-1"))
        uri = unquote(uri)


if FEEDS.is_dir():

    @pytest.mark.parametrize(("pattern", "form", "mapping"), TABLE, ids=[row[0] for row in TABLE])
    def test_every_row_is_accounted_for_and_no_address_kept(pattern: str, form: str, mapping: FieldMap | None) -> None:
        """Rows = indicators + out of scope + rejected; rejected under 1 %; no mail address in what would be stored."""
        files = sorted(FEEDS.glob(pattern))
        assert files
        rows = rejected = 0
        for path in files:
            ingest, found = read(path, form, mapping)
            tally = ingest.tally
            assert tally.rows == len(found) + tally.out_of_scope + tally.rejected_rows
            assert tally.rows > 0, path.name
            rows, rejected = rows + tally.rows, rejected + tally.rejected_rows
            kept = [address for row in found if row.uri for address in addresses_in(row.uri)]
            assert not kept, f"{len(kept)} addresses kept in {path.name}"
        assert rejected <= 0.01 * rows

    async def test_openphish_replayed_is_a_plain_set_computation(nursery: trio.Nursery) -> None:
        """147 snapshots served in order, with repeats and 304s between: first and last sighting are the snapshots'."""
        names = Names([TldPolicy(tld) for tld in ("ee", "cx", "tl", "in", "br", "ru", "nl")])
        snapshots = sorted(FEEDS.glob("openphish/feed.202505*.txt"))
        expected: dict[str, tuple[dt.datetime, dt.datetime]] = {}
        store, http, current = MemoryStore(), Http("test"), b""

        def answer(_path: str, headers: dict[str, str]) -> Answer:
            etag = f'"{binascii.crc32(current)}"'
            return (304, {}, b"") if headers.get("if-none-match") == etag else (200, {"etag": etag}, current)

        server = await FeedServer(answer).start(nursery)
        spec = FeedSpec("openphish", server.url, "url-list", "phishing")
        for path in snapshots:
            now = dt.datetime.strptime(path.name.split(".")[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
            current = path.read_bytes()
            form = FORMATS["url-list"]
            ingest = Ingest([current], form, names)
            keys = {indicator.key for indicator in ingest.take(1 << 20)}
            for moment in (now, now + dt.timedelta(seconds=1)):
                for key in keys:
                    expected[key] = (expected.get(key, (moment,))[0], moment)
                await visit(spec, cast("Any", store), http, names, moment, lambda _watch: None)
        assert len(snapshots) == 147
        assert {key[1]: sighting[:2] for key, sighting in store.sightings.items()} == expected
        assert store.listed("openphish") == keys
