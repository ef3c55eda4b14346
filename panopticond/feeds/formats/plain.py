"""Lists of one name or URI a line: plain lists (squidGuard and UT1 too) and hosts files.

Comments start with ``#``, ``;``, ``!`` or ``//`` at the start of a line or ``#`` after white space; a hash inside a
URI is its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from panopticond.feeds.formats.row import TOO_LONG, BadRow, Parsed, Row, text_of
from panopticond.feeds.lines import whole

_COMMENT = ("#", ";", "!", "//")
# Names every hosts file has for the machine itself; no rows.
_LOCAL = frozenset(
    [
        "localhost",
        "localhost.localdomain",
        "local",
        "broadcasthost",
        "ip6-localhost",
        "ip6-loopback",
        "ip6-localnet",
        "ip6-mcastprefix",
        "ip6-allnodes",
        "ip6-allrouters",
        "ip6-allhosts",
        "0.0.0.0",
    ]
)


def parse_url_list(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``url-list``: a URI or host a line, defanged or not."""
    for line in whole(lines):
        if line is None:
            yield TOO_LONG
            continue
        text = text_of(line)
        if not text or text.startswith(_COMMENT):
            continue
        if " #" in text or "\t#" in text:
            text = text.replace("\t#", " #").partition(" #")[0].rstrip()
        yield Row(text.strip("\"'"))


def parse_hosts_file(lines: Iterable[bytes]) -> Iterator[Parsed]:
    """``hosts-file``: an address and names; each name is a row, the machine's own names are none."""
    for line in whole(lines):
        if line is None:
            yield TOO_LONG
            continue
        text = text_of(line).partition("#")[0]
        words = text.split()
        if not words or text.startswith(_COMMENT):
            continue
        address, *names = words
        if not names:
            yield BadRow("no-name-after-address")
        elif not _looks_like_address(address):
            yield BadRow("no-address-before-name")
        else:
            for name in names:
                if name.lower() not in _LOCAL:
                    yield Row(name, host_only=True)


def _looks_like_address(text: str) -> bool:
    return all(mark in "0123456789abcdefABCDEF.:%" for mark in text.partition("%")[0]) and ("." in text or ":" in text)
