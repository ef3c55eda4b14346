"""Mail addresses out of URIs."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Callable
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panopticond.feeds.formats.row import Row
from panopticond.feeds.mask import mask
from panopticond.feeds.normalise import normalise
from panopticond.model import Indicator
from panopticond.shared.names import Names

ALL = Names(None)
WHO = "jo.doe+tag@mail.example.org"
JSON = base64.urlsafe_b64encode(b'{"e":"%s"}' % WHO.encode()).decode()
B64 = base64.b64encode(WHO.encode()).decode()


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (f"login?email={WHO}&x=1", "login?email=redacted&x=1"),
        (f"login?x={quote(WHO)}", "login?x=redacted"),
        (f"login?x={quote(quote(WHO))}", "login?x=redacted"),
        (f"a/{WHO}/b", "a/redacted/b"),
        (f"a?next=%2Fx%3Fe%3D{quote(WHO)}%26y", "a?next=%2Fx%3Fe%3Dredacted%26y"),
        (f"a/{B64}", "a/redacted"),
        (f"a/{B64.rstrip('=')}?q", "a/redacted?q"),
        (f"a?k={quote(B64)}", "a?k=redacted"),
        (f"a/{WHO.encode().hex()}", "a/redacted"),
        ("a?email=0123456789abcdef01234567", "a?email=redacted"),
        (f"a?{JSON}", "a?redacted"),
        ("a/x%C3%A9@example.org", "a/redacted"),
    ],
)
def test_addresses_become_redacted(tail: str, expected: str) -> None:
    """Plain, percent-encoded (twice too), base64 and hex addresses are masked and nothing around them."""
    assert mask("http://example.org/" + tail) == ("http://example.org/" + expected, True)


@pytest.mark.parametrize(
    "uri",
    [
        "http://example.org/@name/post",
        "http://example.org/npm/package@1.2.3/dist.js",
        "http://example.org/UserAccounts/QuickAccess/AdminABCD",
        "http://example.org/deadbeef40004000deadbeef",
        "http://example.org/?mail=short",
        "http://example.org/redacted?email=redacted",
        "http://example.org",
    ],
)
def test_what_is_no_address_stays(uri: str) -> None:
    """Handles, versions and ordinary words are left alone."""
    assert mask(uri) == (uri, False)


ADDRESS = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
ENCODERS = st.sampled_from(
    [
        lambda text: text,
        quote,
        lambda text: quote(quote(text)),
        lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
        lambda text: quote(base64.b64encode(text.encode()).decode(), safe=""),
    ]
)
PEOPLE = st.from_regex(r"\A[a-z0-9]([a-z0-9._+-]{0,12}[a-z0-9])?@[a-z0-9]{1,10}(\.[a-z]{2,5}){1,2}\Z")


@given(
    PEOPLE,
    ENCODERS,
    st.sampled_from(["?email=", "x/", "?q=1&z=", "a/b/", "?u%3D", ""]),
    st.sampled_from(["", "&b=2", "/x"]),
)
@settings(max_examples=300, deadline=None)
def test_never_keeps_an_address(person: str, encode: Callable[[str], str], before: str, after: str) -> None:
    """However an address is written, no look at the stored URI finds it: raw, decoded, base64-decoded."""
    indicator = normalise(Row(f"http://example.org/{before}{encode(person)}{after}"), ALL, "phishing")
    assert isinstance(indicator, Indicator)
    assert indicator.uri is not None
    text = indicator.uri
    for _ in range(3):
        assert person not in text
        assert not ADDRESS.search(text), text
        for token in re.findall(r"[A-Za-z0-9+/_-]{8,}", text):
            padded = token.replace("-", "+").replace("_", "/")
            try:
                decoded = binascii.a2b_base64(padded[: len(padded) - (len(padded) % 4 == 1)] + "==")
            except binascii.Error:
                continue
            assert person.encode() not in decoded
        text = unquote(text)
    assert mask(indicator.uri) == (indicator.uri, False)


@pytest.mark.parametrize(
    "tail",
    [
        "a" * 32_000 + "@",
        "a@" * 16_000,
        "a@b" + "%2525252e" * 3500,
        "%" + "25" * 16_000 + "40",
        "a@" + "a-" * 16_000,
        "QD" * 16_000,
        "/QDaaaaaaa" * 3000,
        "40" * 16_000,
        "&".join(f"e{at}=a{at}@b.example" for at in range(1500)),
    ],
)
def test_no_uri_takes_long(tail: str) -> None:
    """The longest URI, made to be slow, is masked in a fraction of a second; addresses go, however many."""
    started = time.process_time()
    masked, _ = mask("http://example.org/" + tail)
    assert time.process_time() - started < 0.5
    assert "@b.example" not in masked
