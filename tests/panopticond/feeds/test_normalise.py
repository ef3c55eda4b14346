"""Rows into indicators."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from panopticond.feeds.formats.row import OutOfScope, Row
from panopticond.feeds.normalise import Rejected, normalise, refang
from panopticond.model import Indicator
from panopticond.shared.names import Names, TldPolicy

ALL = Names(None)
SERVED = Names([TldPolicy("zz", frozenset({"zz", "com.zz"}))])


def uri(value: str) -> str | None:
    result = normalise(Row(value), ALL, "phishing")
    assert isinstance(result, Indicator), result
    return result.uri


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("HTTP://User:Secret@Example.ORG:8080/A?q#frag", "http://example.org:8080/A?q"),
        ("http://example.org:80", "http://example.org/"),
        ("https://example.org:443/x", "https://example.org/x"),
        ("example.org/x", "http://example.org/x"),
        ("example.org:8080/x", "http://example.org:8080/x"),
        ("//example.org/x", "http://example.org/x"),
        ("http:example.org/x", "http://example.org/x"),
        ("http://ex%61mple.org/%7Efoo", "http://example.org/%7Efoo"),
        ("http://\u00fcmlat.org/\u00e9?\u00e9", "http://xn--mlat-zra.org/%C3%A9?%C3%A9"),
        ("http://example.org/a/../b/./c", "http://example.org/b/c"),
        ("http://example.org\\a b", "http://example.org/a%20b"),
        (" http://exam\tple.org/\n", "http://example.org/"),
        ("http://example.org/?", "http://example.org/?"),
        ("http://example.org/x#", "http://example.org/x"),
        ("http://a@b@example.org/", "http://example.org/"),
    ],
)
def test_whatwg_form(value: str, expected: str) -> None:
    """The URI is the WHATWG serialisation with the port kept, user-info and fragment dropped."""
    assert uri(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("hxxp://evil[.]example[.]org/a[.]php", "http://evil.example.org/a.php"),
        ("hXXps://evil(.)example(dot)org", "https://evil.example.org/"),
        ("hxxps[:]//evil{.}example.org/x", "https://evil.example.org/x"),
        ("hxxp[://]evil[.]example.org", "http://evil.example.org/"),
        ("h**p://evil.example.org", "http://evil.example.org/"),
        ("meows://evil.example.org/", "https://evil.example.org/"),
        ("http[:]//evil[dot]example[dot]org", "http://evil.example.org/"),
        ("hxxp:\\\\evil.example.org\\x", "http://evil.example.org/x"),
        ("http://evil\\.example\\.org/x", "http://evil.example.org/x"),
        ("evil[.]example[.]org/x", "http://evil.example.org/x"),
        ("http://evil.example[.]org[:]8080/", "http://evil.example.org:8080/"),
        ("[hxxp]://evil.example.org", "http://evil.example.org/"),
        ("http://evil.example.org/a[.]b?c[]=(.)", "http://evil.example.org/a[.]b?c[]=(.)"),
    ],
)
def test_refanging(value: str, expected: str) -> None:
    """Common defanged forms are understood; brackets behind an intact host stay."""
    assert uri(value) == expected


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("EXAMPLE.org.", "example.org"),
        (".example.org", "example.org"),
        ("*.example.org", "example.org"),
        ("evil[.]example[.]org", "evil.example.org"),
        ("b\u00fccher.example.org", "xn--bcher-kva.example.org"),
        ("under_score.example.org", "under_score.example.org"),
    ],
)
def test_hosts(value: str, host: str) -> None:
    """A bare name is a host-level entry: A-label, lower case, no dot at its end."""
    result = normalise(Row(value), ALL, "malware")
    assert isinstance(result, Indicator)
    assert (result.uri, result.host, result.threat) == (None, host, "malware")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("http://192.0.2.1/", "address"),
        ("http://0xC0000201/", "address"),
        ("http://3221225985/x", "address"),
        ("http://[2001:db8::1]/", "address"),
        ("192.0.2.1:8080", "address"),
        ("192.0.2.0/24", "address"),
        ("http://example.org/", "other-tld"),
        ("example.org", "other-tld"),
        ("com.zz", "no-registrable-name"),
        ("someone@example.zz", "mail-address"),
        ("d41d8cd98f00b204e9800998ecf8427e", "other-tld"),
    ],
)
def test_out_of_scope(value: str, reason: str) -> None:
    """Addresses in any notation, other TLDs, suffixes and mail addresses are none of ours."""
    assert normalise(Row(value), SERVED, "phishing") == OutOfScope(reason)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "empty"),
        ("mailto:a@example.zz", "scheme-not-http"),
        ("ftp://example.zz/x", "scheme-not-http"),
        ("javascript:alert(1)", "scheme-not-http"),
        ("http://a b.zz/", "no-valid-uri"),
        ("http://example.zz:99999/", "no-valid-uri"),
        ("http://exa$mple.zz/", "no-valid-host"),
        ("http://" + "x" * 64 + ".zz/", "no-valid-host"),
        ("http://example.zz/" + "x" * 40_000, "uri-too-long"),
    ],
)
def test_rejections(value: str, reason: str) -> None:
    """What is neither URI nor host is rejected with a reason a person can check."""
    assert normalise(Row(value), SERVED, "phishing") == Rejected(reason)


def test_credentials_do_not_hide_the_host() -> None:
    """A served host behind another's name as user-info is found, in the quick way too."""
    result = normalise(Row("http://example.org:80@evil.zz/"), SERVED, "phishing")
    assert isinstance(result, Indicator)
    assert result.uri == "http://evil.zz/"


ANY = st.one_of(
    st.text(max_size=80),
    st.from_regex(r"\A(http|hxxp)s?(://|\[:\]//)[a-z@%.\[\]A-Z0-9:-]{0,30}(/[ -~]{0,30})?\Z"),
    st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")),
)


@given(ANY, st.sampled_from([True, False, None]))
@settings(max_examples=400, deadline=None)
def test_never_raises_and_is_idempotent(value: str, host_only: bool | None) -> None:
    """Whatever the text, there is an answer; a normalised URI or host normalises to itself."""
    first = normalise(Row(value, host_only), ALL, "phishing")
    assert isinstance(refang(value), str)
    if isinstance(first, Indicator):
        again = normalise(Row(first.key), ALL, "phishing")
        assert isinstance(again, Indicator)
        assert (again.uri, again.host, again.domain, again.scope) == (first.uri, first.host, first.domain, first.scope)
