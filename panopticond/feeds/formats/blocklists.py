"""Lists made for filters: AdGuard, ABP and uBlock rules, dnsmasq, response policy zones, rbldnsd zones.

A rule that blocks a name is a row; one that allows, hides an element or matches a pattern is out of scope, since it
accuses nobody by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from panopticond.feeds.formats.row import ADDRESS, TOO_LONG, BadRow, OutOfScope, Parsed, Row, text_of
from panopticond.feeds.lines import whole

ALLOWED = OutOfScope("exception")
PATTERN = OutOfScope("pattern")
COSMETIC = OutOfScope("neither-uri-nor-host")
_NO_RULE = BadRow("no-rule-of-this-format")

_COSMETIC = re.compile(r"#[@?$%]*#|##|\$\$")
_HOSTS_LINE = re.compile(r"(?:0\.0\.0\.0|127\.0\.0\.1|::1?)\s+(\S+)")
_DNSMASQ = re.compile(r"(address|server|local|ipset|nftset|bogus-nxdomain|alias)\s*=\s*(.*)")
_CLASS = frozenset({"in", "IN"})
_TRIGGERS_BY_ADDRESS = (".rpz-ip", ".rpz-client-ip", ".rpz-nsip")


def parse_adblock(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``adblock``: ``||name^``, ``|uri|``, bare names and hosts-file lines; comments ``!``, ``#`` and ``[...]``."""
    for line in whole(lines):
        if line is None:
            yield TOO_LONG
            continue
        text = text_of(line)
        if not text or text.startswith(("!", "# ", "[")) or text == "#":
            continue
        if text.startswith("@@"):
            yield ALLOWED
        elif _COSMETIC.search(text):
            yield COSMETIC
        elif text.startswith("#"):
            continue
        elif text.startswith("/") and text.rstrip("/") != text:
            yield PATTERN
        else:
            yield _adblock_rule(text)


def _adblock_rule(text: str) -> Parsed:
    hosts = _HOSTS_LINE.fullmatch(text)
    if hosts is not None:
        return Row(hosts[1], host_only=True)
    rule = text.partition("$")[0] if "$" in text and "://" not in text else text
    anchored = rule.startswith("||")
    rule = rule.removeprefix("||").removeprefix("|").removesuffix("|").removesuffix("^")
    if anchored and rule.startswith("*."):
        rule = rule[2:]
    if "*" in rule or "^" in rule or "|" in rule or (not anchored and "." not in rule):
        return PATTERN
    return Row(rule)


def parse_dnsmasq(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``dnsmasq``: ``address=/name/.../address``, ``server=/name/`` and ``local=/name/``; each name is a row."""
    for line in whole(lines):
        if line is None:
            yield TOO_LONG
            continue
        text = text_of(line).partition("#")[0].strip() if not line.strip().endswith(b"/#") else text_of(line)
        if not text:
            continue
        match = _DNSMASQ.fullmatch(text)
        if match is None:
            yield _NO_RULE
        elif not match[2].startswith("/") or match[1] in ("ipset", "nftset", "bogus-nxdomain", "alias"):
            yield COSMETIC
        else:
            *names, target = match[2][1:].split("/")
            if match[1] == "server" and target not in ("", "#", "0.0.0.0", "127.0.0.1", "::"):
                yield COSMETIC  # forwarded elsewhere, not blocked
                continue
            yield from (Row(name, host_only=True) for name in names if name)


def parse_rpz(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``rpz``: a response policy zone as a master file (draft-vixie-dnsop-dns-rpz); each policy record is a row.

    SOA, NS and TXT records and directives are none. ``rpz-passthru.`` allows; triggers by address are out of scope.
    """
    origin, owner, bracket = "", "", False
    for line in whole(lines):
        if line is None:
            yield TOO_LONG
            continue
        text = text_of(line.partition(b";")[0])
        if not text:
            continue
        if bracket:  # the inside of a SOA over several lines
            bracket = ")" not in text
            continue
        bracket = "(" in text and ")" not in text
        if text.startswith("$"):
            words = text.split()
            if words[0].upper() == "$ORIGIN" and len(words) > 1:
                origin = words[1].rstrip(".").lower()
            continue
        words = text.split()
        if line[:1] in (b" ", b"\t"):
            words = [owner, *words]
        owner = words[0]
        yield from _policy(owner, _without_ttl_and_class(words[1:]), origin)


def _without_ttl_and_class(words: list[str]) -> list[str]:
    while words and (words[0].isdigit() or words[0] in _CLASS):
        words = words[1:]
    return words


def _policy(owner: str, words: list[str], origin: str) -> Iterator[Parsed]:
    if len(words) < 2:
        yield _NO_RULE
        return
    kind, target = words[0].upper(), words[1].lower()
    if kind not in ("CNAME", "A", "AAAA", "DNAME"):
        if kind not in ("SOA", "NS", "TXT", "RRSIG", "DNSKEY", "NSEC", "NSEC3", "NSEC3PARAM", "MX", "ZONEMD"):
            yield _NO_RULE
        return
    name = owner.lower()
    if name.endswith("."):
        name = name.rstrip(".")
        name = name.removesuffix("." + origin) if origin else name
    if name in ("", "@", origin):
        return
    if target == "rpz-passthru.":
        yield ALLOWED
    elif name.endswith(_TRIGGERS_BY_ADDRESS) or name.endswith(".rpz-nsdname"):
        yield ADDRESS
    else:
        yield Row(name, host_only=True)


def parse_rbldnsd(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``rbldnsd``: a dnset, dnhash or ip4set file; ``!name`` excludes, ``:address:text`` and ``$`` are no rows."""
    for line in whole(lines):
        if line is None:
            yield TOO_LONG
            continue
        text = text_of(line)
        if not text or text[0] in "#;:$":
            continue
        if text[0] == "!":
            yield ALLOWED
            continue
        name = text.split()[0].partition(":")[0]
        if name.replace(".", "").replace("/", "").replace("-", "").isdigit():
            yield ADDRESS
        elif not name:
            yield _NO_RULE
        else:
            yield Row(name, host_only=True)
