"""What may be probed: addresses, URIs and words of URIs that no probe of ours ever touches.

Before every connection, on every hop: feeds, DNS answers and redirects are all hostile. The table of networks is our
own, since ``ipaddress.is_global`` differs between Python versions and lets tunnels to private addresses through.
Pure: no look-up is made here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote_plus

import can_ada

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Documentation networks (192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32) are allowed on purpose: nothing
# real lives there, and a test world in a network namespace does. First match counts: the narrow before the wide.
_REFUSED: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "this-network"),  # RFC 1122
    ("10.0.0.0/8", "private"),  # RFC 1918
    ("100.64.0.0/10", "shared-address-space"),  # RFC 6598
    ("127.0.0.0/8", "loopback"),
    ("169.254.169.254/32", "metadata"),  # the clouds' metadata service
    ("169.254.0.0/16", "link-local"),  # RFC 3927
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved"),  # RFC 6890
    ("192.88.99.0/24", "reserved"),  # 6to4 relays, RFC 7526
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),  # RFC 2544
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),  # RFC 1112, and broadcast
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::/96", "reserved"),  # IPv4-compatible, RFC 4291 2.5.5.1
    ("64:ff9b:1::/48", "private"),  # local-use NAT64, RFC 8215
    ("100::/64", "reserved"),  # discard-only, RFC 6666
    ("2001:db8::/32", ""),
    ("2001::/23", "reserved"),  # protocol assignments: Teredo, benchmarking, ORCHID
    ("fd00:ec2::254/128", "metadata"),
    ("fd20:ce::254/128", "metadata"),
    ("fc00::/7", "private"),  # RFC 4193
    ("fe80::/10", "link-local"),
    ("fec0::/10", "private"),  # site-local, RFC 3879
    ("ff00::/8", "multicast"),
    ("3fff::/20", "reserved"),  # documentation, RFC 9637
)
# Addresses that carry an IPv4 address and lead to it: mapped, NAT64 (RFC 6052), 6to4 (RFC 3056); the shift finds it.
_CARRIERS: tuple[tuple[str, str, int], ...] = (
    ("::ffff:0:0/96", "mapped", 0),
    ("64:ff9b::/96", "nat64", 0),
    ("2002::/16", "6to4", 80),
)
_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
_TABLE = tuple((ipaddress.ip_network(network), reason) for network, reason in _REFUSED)
_CARRIER_TABLE = tuple((ipaddress.IPv6Network(network), word, shift) for network, word, shift in _CARRIERS)

_WEB_PORTS = frozenset({80, 443, 8080, 8443})
# Services that take harm, or speak up, when a stranger sends them HTTP: databases, queues, remote control, mail, chat.
_DENIED_PORTS = frozenset(
    {
        1080, 1194, 1433, 1434, 1521, 1723, 1900, 2049, 2181, 2375, 2376, 2379, 2380, 3128, 3268, 3269, 3306, 3389,
        4333, 4444, 5000, 5060, 5061, 5222, 5269, 5353, 5432, 5555, 5601, 5672, 5900, 5901, 5984, 5985, 5986, 6000,
        6379, 6443, 6566, 6660, 6661, 6662, 6663, 6664, 6665, 6666, 6667, 6668, 6669, 6697, 7001, 9042, 9092, 9100,
        9200, 9300, 10080, 10250, 11211, 15672, 25565, 27017, 27018, 27019,
    }
)  # fmt: skip
_LOCAL_SUFFIXES = ("localhost", "local", "internal", "onion", "home.arpa", "localdomain", "lan")

_WORDS = frozenset({"unsubscribe", "confirm", "reset", "activate", "cancel", "logout"})
_PAIRS = {("verify", "email"): "verify-email", ("log", "out"): "logout"}
_JOINED = {
    "verifyemail": "verify-email",
    "emailverify": "verify-email",
    "resetpassword": "reset",
    "passwordreset": "reset",
    "confirmemail": "confirm",
}
_DECODE_LIMIT = 3
_TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_RUN = re.compile(r"[A-Za-z]+")


class Guard:
    """Says of an address or URI why it may not be probed.

    ``allow_networks`` (the lab's) lifts refusals of addresses; ``refuse_networks`` (our own public ones) adds to them
    and wins. ValueError for a text that is no network.
    """

    def __init__(self, allow_networks: Iterable[str] = (), refuse_networks: Iterable[str] = ()) -> None:
        self._allowed: tuple[Network, ...] = tuple(ipaddress.ip_network(network) for network in allow_networks)
        self._own: tuple[Network, ...] = tuple(ipaddress.ip_network(network) for network in refuse_networks)

    def refuse_address(self, address: str) -> str | None:
        """Why no connection may go to ``address``, one word or ``nat64-private`` and the like; None when it may."""
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return "no-address"
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.scope_id is not None:
            return "link-local"
        return self._refuse(parsed)

    def refuse_uri(self, uri: str) -> str | None:
        """Why ``uri`` may not be asked for: its scheme, user-info, port or host; None when it may.

        A host name is not looked up: each of its addresses goes through :meth:`refuse_address` at connection time.
        """
        try:
            url = can_ada.parse(uri)
        except ValueError:
            return "malformed"
        if url.protocol not in ("http:", "https:"):
            return "scheme"
        if url.username or url.password:
            return "user-info"
        if url.port and not _port_allowed(int(url.port)):
            return "port"
        host = url.hostname.rstrip(".")
        literal = host[1:-1] if host.startswith("[") else host
        try:
            return self._refuse(ipaddress.ip_address(literal))
        except ValueError:
            pass
        if "." not in host or any(host == suffix or host.endswith("." + suffix) for suffix in _LOCAL_SUFFIXES):
            return "local-name"
        return None

    def _refuse(self, address: Address) -> str | None:
        if _inside(address, self._own):
            return "own"
        if _inside(address, self._allowed):
            return None
        for carrier, word, shift in _CARRIER_TABLE:
            if address in carrier:
                inner = self._refuse(ipaddress.IPv4Address(int(address) >> shift & 0xFFFFFFFF))
                return None if inner is None else f"{word}-{inner}"
        for network, reason in _TABLE:
            if address in network:
                return reason or None
        return "reserved" if address.version == 6 and address not in _GLOBAL_IPV6 else None


def must_not_fetch(uri: str) -> str | None:
    """The word of the URI's path or query that says fetching it may do something for its reader, or None.

    Unsubscribe, confirm, verify-email, reset, activate, cancel and logout, as words of their own: percent-decoded up to
    three times, in any case, ``camelCase`` taken apart. The host does not count.
    """
    try:
        url = can_ada.parse(uri)
        text = url.pathname + url.search
    except ValueError:
        text = uri.split("://", 1)[-1].partition("/")[2]
    for _ in range(_DECODE_LIMIT):
        for tokens in _tokens(text):
            for at, token in enumerate(tokens):
                if token in _WORDS:
                    return token
                word = _JOINED.get(token) or _PAIRS.get((token, tokens[at + 1] if at + 1 < len(tokens) else ""))
                if word is not None:
                    return word
        decoded = unquote_plus(text)
        if decoded == text:
            break
        text = decoded
    return None


def _tokens(text: str) -> Iterator[list[str]]:
    """The text's words, once by separators alone and once with camelCase taken apart."""
    yield [run.lower() for run in _RUN.findall(text)]
    yield [token.lower() for token in _TOKEN.findall(text)]


def _port_allowed(port: int) -> bool:
    return port in _WEB_PORTS or (port >= 1024 and port not in _DENIED_PORTS)


def _inside(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)
