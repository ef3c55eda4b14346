"""What tells two bodies apart."""

from __future__ import annotations

import gzip
import io

from panopticond.feeds.fetch import content_sha256


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
