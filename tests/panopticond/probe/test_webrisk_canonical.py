"""Every canonicalisation vector of Google's documentation, and of its expressions and hashes (protocols, 1.6 and 1.7)."""

from __future__ import annotations

import pytest

from panopticond.probe.webrisk_canonical import canonical, expressions, full_hash, ipv4

G = "http://www.google.com/"
VECTORS = [
    ("http://host/%25%32%35", "http://host/%25"),
    ("http://host/%25%32%35%25%32%35", "http://host/%25%25"),
    ("http://host/%2525252525252525", "http://host/%25"),
    ("http://host/asdf%25%32%35asd", "http://host/asdf%25asd"),
    ("http://host/%%%25%32%35asd%%", "http://host/%25%25%25asd%25%25"),
    (G, G),
    (
        "http://%31%36%38%2e%31%38%38%2e%39%39%2e%32%36/%2E%73%65%63%75%72%65/%77%77%77%2E%65%62%61%79%2E%63%6F%6D/",
        "http://168.188.99.26/.secure/www.ebay.com/",
    ),
    (
        "http://195.127.0.11/uploads/%20%20%20%20/.verify/.eBaysecure=updateuserdataxplimnbqmn-xplmvalidateinfoswqpcmlx=hgplmcx/",
        "http://195.127.0.11/uploads/%20%20%20%20/.verify/.eBaysecure=updateuserdataxplimnbqmn-xplmvalidateinfoswqpcmlx=hgplmcx/",
    ),
    (
        "http://host%23.com/%257Ea%2521b%2540c%2523d%2524e%25f%255E00%252611%252A22%252833%252944_55%252B",
        "http://host%23.com/~a!b@c%23d$e%25f^00&11*22(33)44_55+",
    ),
    ("http://3279880203/blah", "http://195.127.0.11/blah"),
    ("http://www.google.com/blah/..", G),
    ("www.google.com/", G),
    ("www.google.com", G),
    ("http://www.evil.com/blah#frag", "http://www.evil.com/blah"),
    ("http://www.GOOgle.com/", G),
    ("http://www.google.com.../", G),
    ("  http://www.google.com/  ", G),
    ("http://www.google.com/foo\tbar\rbaz\n2", "http://www.google.com/foobarbaz2"),
    ("http://www.google.com/q?", "http://www.google.com/q?"),
    ("http://www.google.com/q?r?", "http://www.google.com/q?r?"),
    ("http://www.google.com/q?r?s", "http://www.google.com/q?r?s"),
    ("http://evil.com/foo#bar#baz", "http://evil.com/foo"),
    ("http://evil.com/foo;", "http://evil.com/foo;"),
    ("http://evil.com/foo?bar;", "http://evil.com/foo?bar;"),
    ("http://\x01\udc80.com/", "http://%01%80.com/"),
    ("http://notrailingslash.com", "http://notrailingslash.com/"),
    ("http://www.gotaport.com:1234/", "http://www.gotaport.com/"),
    ("http:// leadingspace.com/", "http://%20leadingspace.com/"),
    ("http://%20leadingspace.com/", "http://%20leadingspace.com/"),
    ("%20leadingspace.com/", "http://%20leadingspace.com/"),
    ("https://www.securesite.com/", "https://www.securesite.com/"),
    ("http://host.com/ab%23cd", "http://host.com/ab%23cd"),
    ("http://host.com//twoslashes?more//slashes", "http://host.com/twoslashes?more//slashes"),
    ("http://www.\u00fcmlat.com/", "http://www.xn--mlat-zra.com/"),
    ("http://g\u043e\u043egle.com/", "http://xn--ggle-55da.com/"),
    ("http://user:word@host.com:8080/x", "http://host.com/x"),
    ("http://[2001:DB8::1]:80/x", "http://[2001:db8::1]/x"),
    ("http://a.com?q=1", "http://a.com/?q=1"),
    ("http://a.com/a/./b/../c", "http://a.com/a/c"),
]


@pytest.mark.parametrize(("given", "wanted"), VECTORS)
def test_vector(given: str, wanted: str) -> None:
    """The documented form comes out, and it is its own canonical form."""
    assert canonical(given) == wanted
    assert canonical(wanted) == wanted


@pytest.mark.parametrize(
    "given", ["", "mailto:someone@host.com", "http://", "http:///path", "http://.../", "javascript:x", "#x"]
)
def test_no_web_url(given: str) -> None:
    """What has no host or another scheme has no canonical form."""
    assert canonical(given) is None


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("12.0x12.01234", "12.18.2.156"),
        ("276.2.3", "20.2.0.3"),
        ("012.034.01.055", "10.28.1.45"),
        ("0x12.0x43.0x44.0x01", "18.67.68.1"),
        ("167838211", "10.1.2.3"),
        ("10.192.95.89 xy", "10.192.95.89"),
        ("123.123.0.0.1", None),
        ("1.2.3.00x0", None),
        ("www.host.com", None),
    ],
)
def test_ipv4(given: str, wanted: str | None) -> None:
    """Every inet_aton spelling of the documentation is told from a name."""
    assert ipv4(given) == wanted


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        (
            "http://a.b.c/1/2.html?param=1",
            "a.b.c/1/2.html?param=1 a.b.c/1/2.html a.b.c/ a.b.c/1/ b.c/1/2.html?param=1 b.c/1/2.html b.c/ b.c/1/",
        ),
        (
            "http://a.b.c.d.e.f.g/1.html",
            "a.b.c.d.e.f.g/1.html a.b.c.d.e.f.g/ c.d.e.f.g/1.html c.d.e.f.g/ d.e.f.g/1.html d.e.f.g/ "
            "e.f.g/1.html e.f.g/ f.g/1.html f.g/",
        ),
        ("http://1.2.3.4/1/", "1.2.3.4/1/ 1.2.3.4/"),
        ("http://[2001:db8::1]/", "[2001:db8::1]/"),
        ("http://a.b/1/2/3/4/5?q", "a.b/1/2/3/4/5?q a.b/1/2/3/4/5 a.b/ a.b/1/ a.b/1/2/ a.b/1/2/3/"),
        ("http://a.b?q=x/y", "a.b/?q=x/y a.b/"),
    ],
)
def test_expressions(url: str, wanted: str) -> None:
    """Hosts and paths in the documented order, none twice; a slash in the query makes no directory."""
    form = canonical(url)
    assert form is not None
    assert expressions(form) == tuple(wanted.split())


def test_hashes() -> None:
    """The documented digests; the prefixes Google's look-ups send for a URL, the longest expression first."""
    assert full_hash("abc").hex().startswith("ba7816bf")
    assert full_hash("foo.com/").hex() == "af30010e4c011fc77e1ab03ef898ab2f8dec17c0bd178a875ad0cd9b7a6e5973"
    form = canonical("https://google.com/a/test/index.html?abc123")
    assert form is not None
    assert {full_hash(one)[:4].hex() for one in expressions(form)} == {
        *("88981e62", "a631338d", "b828f2ed", "180ceeae", "5c948d0a")
    }
