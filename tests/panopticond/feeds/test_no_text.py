"""A body that is no text is told as such, whatever a lenient format makes of its bytes, and its good rows are kept."""

from __future__ import annotations

import datetime as dt
import lzma

import pytest

from panopticond.feeds.catalogue import FeedSpec
from panopticond.feeds.formats import FORMATS
from panopticond.feeds.health import Attempt, assess, may_end_sightings
from panopticond.feeds.ingest import Ingest
from panopticond.model import Indicator
from panopticond.shared.names import Names, TldPolicy
from panopticond.store.interface import FeedHealth

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
LIST = "# one a line\n" + "".join(f"http://row{at}.zz/{at * 7919 % 10007:x}\n" for at in range(400))


def read(form: str, body: bytes) -> tuple[Ingest, list[Indicator]]:
    ingest = Ingest([body], FORMATS[form], Names([TldPolicy("zz")]))
    return ingest, ingest.take(10_000)


@pytest.mark.parametrize("form", ["url-list", "adblock", "dnsmasq", "hosts-file"])
@pytest.mark.parametrize(
    "body",
    [lzma.compress(LIST.encode()), LIST.encode("cp500"), LIST.encode("utf-16-le"), LIST.encode("utf-32")],
    ids=["xz", "ebcdic", "utf-16 without its mark", "utf-32"],
)
def test_no_text_is_never_taken_for_a_list(form: str, body: bytes) -> None:
    """PARSE and no sighting ended, even for a new feed; some bytes of it would pass for names of another TLD."""
    ingest, _ = read(form, body)
    attempt = Attempt(NOW, "body", "", len(body), ingest.tally, body_sha256="x")
    health = assess(FeedHealth("lab"), FeedSpec("lab", "/x", form), attempt)
    assert ingest.tally.rejected["no-text"] == 1
    assert (health.state, may_end_sightings(health, attempt)) == ("PARSE", False)
    assert "is no text" in health.reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1251", "gbk"])
def test_a_list_in_an_old_encoding_is_a_list(encoding: str) -> None:
    """Titles in remarks do not make a list unreadable: every row is there."""
    remark = {"cp1251": "# \u0441\u043f\u0438\u0441\u043e\u043a", "gbk": "# \u5217\u8868", "latin-1": "# \u00e9t\u00e9"}
    body = "".join(f"{remark.get(encoding, '#')}\n{line}\n" for line in LIST.splitlines()[1:]).encode(encoding)
    ingest, found = read("url-list", body)
    assert len(found) == 400
    assert ingest.tally.rejected == {}


def test_the_good_rows_of_a_spoilt_body_are_kept() -> None:
    """A block of NUL bytes, as a crashed server leaves it, costs no row behind it."""
    ingest, found = read("url-list", b"\0" * 5000 + b"\n" + LIST.encode())
    assert len(found) == 400
    assert ingest.tally.no_text
