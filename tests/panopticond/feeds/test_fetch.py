"""What tells two bodies apart."""

from __future__ import annotations

import datetime as dt
import gzip
import io

import pytest

from panopticond.feeds.catalogue import FeedSpec
from panopticond.feeds.fetch import RETRY_AFTER_LIMIT, content_sha256, fetch
from panopticond.shared.http import Http, Response
from panopticond.store.interface import FeedHealth


def digest(body: bytes) -> str:
    return content_sha256(io.BytesIO(body), 1 << 20)[0]


def test_remarks_and_compression_do_not_count() -> None:
    """The same list under a new date, or compressed anew, is the same list; another row is another list."""
    body = b"# list\r\n# updated today\r\n\r\nhttp://a.zz/\n# 1 entry\n"
    same = body.replace(b"today", b"tomorrow, or so")
    assert digest(body) == digest(same) == digest(gzip.compress(same))
    assert digest(body) != digest(body.replace(b"a.zz", b"b.zz"))
    assert digest(body) != digest(body + b"http://b.zz/\n")


def test_size_is_as_it_came() -> None:
    """Bytes on the wire, whatever they inflate to."""
    packed = gzip.compress(b"http://a.zz/\n" * 1000)
    assert content_sha256(io.BytesIO(packed), 1 << 20)[1] == len(packed)


class TooMany(Http):
    """A server that says 429 and when to come again."""

    def __init__(self, retry_after: str) -> None:
        super().__init__("test")
        self.retry_after = retry_after

    async def download(self, *_args: object, **_more: object) -> Response:
        return Response(429, {"retry-after": self.retry_after}, b"", "http://127.0.0.1/")


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("120", 120.0),
        ("9" * 5000, RETRY_AFTER_LIMIT),
        ("Sun, 01 Mar 2026 00:01:00 GMT", 60.0),
        ("Sun, 01 Mar 2026 00:01:00", 60.0),
        ("Sun, 01 Mar 1999 00:01:00 GMT", 0.0),
        ("Sun, 01 Mar 99999999999999999999 00:01:00 GMT", 0.0),
        ("Sun, 01 Mar 2026 00:01:00 +99999999999999", 0.0),
        ("soon", 0.0),
    ],
)
async def test_when_a_server_wants_us_again(text: str, wait: float) -> None:
    """Seconds or a date, bounded; whatever else a server writes there asks for nothing."""
    now = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    spec = FeedSpec("lab", "http://127.0.0.1/", "url-list")
    fetched = await fetch(spec, io.BytesIO(), TooMany(text), FeedHealth("lab"), now)
    assert (fetched.result, fetched.retry_after) == ("rate-limited", wait)
