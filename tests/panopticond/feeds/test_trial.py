"""``feeds test``: what came, in words, and nothing recorded."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
import trio

from panopticond.config import Feed
from panopticond.feeds.catalogue import CATALOGUE, KNOWN, resolve
from panopticond.feeds.formats import FORMATS
from panopticond.feeds.trial import choose, try_feed
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.http import Http
from panopticond.shared.names import Names
from tests.panopticond.feeds.server import Answer, FeedServer

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


async def test_a_good_and_a_sick_feed(nursery: trio.Nursery) -> None:
    """Bytes, rows, reasons, examples and the state it would have; the exit status follows the state."""
    reply: Answer = (200, {"etag": '"1"'}, b"http://a.example.org/\nhttp://[\n192.0.2.1\n")
    server = await FeedServer(lambda _path, _headers: reply).start(nursery)
    spec = choose("own", (Feed(name="own", url=server.url + "/x", format="url-list", threat="malware"),))
    shown: list[str] = []
    assert await try_feed(spec, Http("test"), Names(None), NOW, shown.append) == 0
    assert shown[1:] == [
        "41 bytes came; told apart next time by ETag",
        "3 rows: 1 indicators, 1 out of scope, 1 rejected (no-valid-uri 1)",
        "  malware: http://a.example.org/",
        "state: OK",
    ]
    reply = (404, {}, b"")
    shown.clear()
    assert await try_feed(spec, Http("test"), Names(None), NOW, shown.append) == 1
    assert shown[-1].startswith("state: UNREACHABLE: the server answered 404")


def test_the_catalogue_is_sound() -> None:
    """Every entry has a known format and an interval the provider allows; keys are asked for where needed."""
    assert len(CATALOGUE) == len(KNOWN)
    for spec in KNOWN:
        assert spec.format in FORMATS
        assert spec.every >= spec.least
        assert spec.needs_key == ("{key}" in spec.url or spec.key_header is not None)
        assert spec.terms


@pytest.mark.parametrize(
    ("feed", "word"),
    [
        (Feed(name="nobody"), "not in the catalogue"),
        (Feed(name="urlhaus"), "needs a key"),
        (Feed(name="own", url="/x", format="pdf"), "none of"),
        (Feed(name="openphish", every="1m"), "allows one request"),
        (Feed(name="own", url="/x", format="url-list", map_file="/m"), "takes no mapping"),
        (Feed(name="own", url="/x", format="csv", map_file="/nowhere/m"), "map_file"),
        (Feed(name="own", url="/x", format="csv", notify="192.0.2.1:53"), "notify"),
        (Feed(name="own", url="axfr://192.0.2.1:53/rpz.example", format="rpz", notify="here"), "notify"),
        (Feed(name="own", url="axfr://ns.example/rpz.example", format="rpz"), "must read"),
        (Feed(name="own", url="gopher://a.example/", format="csv"), "only http"),
    ],
)
def test_feeds_that_cannot_be_followed_are_refused(feed: Feed, word: str) -> None:
    """Before anything starts, with the key's path."""
    with pytest.raises(ConfigurationError, match=word):
        resolve(feed)


def test_the_configuration_outranks_the_catalogue(tmp_path: Path) -> None:
    """What a [[feed]] names is taken, the rest stays the catalogue's; a mirror may be asked more often."""
    key = tmp_path / "key"
    key.write_text("k\n")
    spec = resolve(Feed(name="urlhaus", key_file=str(key), every="10m", trust="supporting"))
    assert (spec.every, spec.trust, spec.licence, spec.needs_key) == (600.0, "supporting", "redistributable", True)
    assert resolve(Feed(name="own", url="/x", format="csv", every="1d")).stale_after == 4 * 86400.0
    assert resolve(Feed(name="own", url="/x", format="csv", stale_after="2h")).stale_after == 7200.0
    mirror = resolve(Feed(name="urlhaus", url="https://mirror.example/urlhaus.csv", every="1m"))
    assert (mirror.every, mirror.format, mirror.needs_key) == (60.0, "urlhaus-csv", False)
