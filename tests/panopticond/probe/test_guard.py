"""What the guard refuses, address by address and URI by URI."""

from __future__ import annotations

import pytest

from panopticond.probe.guard import Guard, must_not_fetch

REFUSED = {
    "0.0.0.0": "this-network",
    "10.1.2.3": "private",
    "100.64.0.1": "shared-address-space",
    "127.0.0.1": "loopback",
    "169.254.1.1": "link-local",
    "169.254.169.254": "metadata",
    "172.31.255.255": "private",
    "192.0.0.8": "reserved",
    "192.88.99.1": "reserved",
    "192.168.1.1": "private",
    "198.19.0.1": "benchmarking",
    "224.0.0.1": "multicast",
    "255.255.255.255": "reserved",
    "::": "unspecified",
    "::1": "loopback",
    "::10.0.0.1": "reserved",
    "::8.8.8.8": "reserved",
    "::ffff:10.0.0.1": "mapped-private",
    "::ffff:169.254.169.254": "mapped-metadata",
    "64:ff9b::a00:1": "nat64-private",
    "64:ff9b:1::1": "private",
    "2002:a00:1::": "6to4-private",
    "2002:7f00:1::1": "6to4-loopback",
    "100::1": "reserved",
    "2001::1": "reserved",
    "2001:20::1": "reserved",
    "3fff::1": "reserved",
    "5f00::1": "reserved",
    "4000::1": "reserved",
    "fc00::1": "private",
    "fd00:ec2::254": "metadata",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fec0::1": "private",
    "ff02::1": "multicast",
    "example.zz": "no-address",
    "": "no-address",
    "127.1": "no-address",
}
ALLOWED = [
    "8.8.8.8",
    "192.0.2.1",
    "198.51.100.7",
    "203.0.113.9",
    "2001:db8::1",
    "2a00::1",
    "64:ff9b::808:808",
    "100.128.0.1",
]


@pytest.mark.parametrize(("address", "reason"), REFUSED.items())
def test_refused_addresses(address: str, reason: str) -> None:
    """Everything private, special or leading there through a tunnel is refused with its reason."""
    assert Guard().refuse_address(address) == reason


@pytest.mark.parametrize("address", ALLOWED)
def test_allowed_addresses(address: str) -> None:
    """Global addresses and the documentation networks may be probed."""
    assert Guard().refuse_address(address) is None


def test_networks_given() -> None:
    """The lab's networks lift a refusal, through a mapped address too; our own addresses are refused all the same."""
    guard = Guard(["127.0.0.0/8", "::1/128"], ["127.0.0.53/32", "203.0.113.0/24"])
    assert guard.refuse_address("127.0.0.1") is None
    assert guard.refuse_address("::1") is None
    assert guard.refuse_address("::ffff:127.0.0.1") is None
    assert guard.refuse_address("10.0.0.1") == "private"
    assert guard.refuse_address("127.0.0.53") == "own"
    assert guard.refuse_address("203.0.113.5") == "own"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://shop.zz/", None),
        ("https://shop.zz:8443/a?b=c", None),
        ("http://shop.zz:8080/", None),
        ("http://shop.zz:41234/", None),
        ("http://192.0.2.1/", None),
        ("http://[2001:db8::1]/", None),
        ("ftp://shop.zz/", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("shop.zz", "malformed"),
        ("http://user@shop.zz/", "user-info"),
        ("http://user:word@shop.zz/", "user-info"),
        ("http://shop.zz:22/", "port"),
        ("http://shop.zz:25/", "port"),
        ("http://shop.zz:3306/", "port"),
        ("http://shop.zz:81/", "port"),
        ("http://127.0.0.1/", "loopback"),
        ("http://0x7f.1/", "loopback"),
        ("http://2130706433/", "loopback"),
        ("http://017700000001/", "loopback"),
        ("http://[::1]/", "loopback"),
        ("http://[::ffff:10.0.0.1]/", "mapped-private"),
        ("http://169.254.169.254/latest/meta-data/", "metadata"),
        ("http://localhost/", "local-name"),
        ("http://localhost.:8080/", "local-name"),
        ("http://intranet/", "local-name"),
        ("http://zz/", "local-name"),
        ("http://printer.local/", "local-name"),
        ("http://abc.onion/", "local-name"),
        ("http://metadata.google.internal/", "local-name"),
    ],
)
def test_refused_uris(uri: str, reason: str | None) -> None:
    """Schemes, ports, user-info, local names and literals in every spelling browsers know."""
    assert Guard().refuse_uri(uri) == reason


@pytest.mark.parametrize(
    ("uri", "word"),
    [
        ("http://shop.zz/", None),
        ("http://unsubscribe.zz/", None),
        ("http://reset.shop.zz/login.php", None),
        ("http://shop.zz/unsubscribe", "unsubscribe"),
        ("http://shop.zz/Unsubscribe.php?u=1", "unsubscribe"),
        ("http://shop.zz/a?action=confirm", "confirm"),
        ("http://shop.zz/a?confirm=1", "confirm"),
        ("http://shop.zz/verify-email/abc", "verify-email"),
        ("http://shop.zz/verify_email", "verify-email"),
        ("http://shop.zz/verifyEmail", "verify-email"),
        ("http://shop.zz/verify", None),
        ("http://shop.zz/email", None),
        ("http://shop.zz/resetPassword", "reset"),
        ("http://shop.zz/password/reset/token", "reset"),
        ("http://shop.zz/user/activate?k=1", "activate"),
        ("http://shop.zz/cancel-order", "cancel"),
        ("http://shop.zz/LOGOUT", "logout"),
        ("http://shop.zz/?do=log-out", "logout"),
        ("http://shop.zz/%6c%6f%67%6f%75%74", "logout"),
        ("http://shop.zz/%256c%256fgout", "logout"),
        ("http://shop.zz/presets/confirmation-bias", None),
        ("http://shop.zz/#unsubscribe", None),
    ],
)
def test_uris_that_would_do_something(uri: str, word: str | None) -> None:
    """Words of path and query count as words of their own, decoded and in any case; the host does not."""
    assert must_not_fetch(uri) == word
