"""Feed servers: each feed in its provider's exact form, conditional, and sick when the world says so."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import random
from collections.abc import Mapping
from email.utils import format_datetime
from pathlib import Path

from msgspec.structs import replace

from tests.lab.internet.http import FAULT, Reply
from tests.lab.internet.state import Internet
from tests.lab.model import FeedServer, Listing

TEXT = {"Content-Type": "text/plain; charset=utf-8"}


ANSWERS: dict[str, Reply] = {
    "404": (404, TEXT, b"broken\n"),
    "500": (500, TEXT, b"broken\n"),
    "401": (401, TEXT, b"who are you\n"),
    "403": (403, TEXT, b"not you\n"),
    "429": (429, {**TEXT, "Retry-After": "3600"}, b"slow down\n"),
    "html": (200, {"Content-Type": "text/html"}, b"<!doctype html><html><body>We have moved.</body></html>"),
    "empty": (200, TEXT, b""),
    "private": (302, {**TEXT, "Location": "http://10.0.0.1/feed.txt"}, b""),
    "silent": (200, {FAULT: "silent"}, b""),
}
"""What a sick server says whatever its list."""
SPOILT = ("truncated", "cut", "stalled", "garbled", "utf-16")
"""Sicknesses of a body that would have been good; such a server knows no 304."""


class Feeds:
    """``GET /<feed>``: the rows that stand in it now, with noise between them."""

    def __init__(self, state: Internet) -> None:
        self._state = state
        self._feeds = {feed.name: feed for feed in state.world.feeds}
        self._listings: dict[str, list[Listing]] = {name: [] for name in self._feeds}
        for domain in state.world.domains:
            for listing in domain.listings:
                self._listings[listing.feed].append(listing)
        self._asked: set[str] = set()
        self._files = {name: Path(path).read_bytes() for name, path in state.world.feed_files.items()}

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> Reply:
        feed = self._feeds.get(target.strip("/").partition("?")[0])
        self._state.requests[f"feed {target}"] += 1
        if feed is None or method != "GET":
            return 404, TEXT, b"no such feed\n"
        now = self._state.now()
        sick = feed.sickness if feed.sick_from is not None and feed.sick_from <= now else "none"
        if sick in ANSWERS:
            return ANSWERS[sick]
        if sick == "elsewhere":
            return (
                302,
                {**TEXT, "Location": f"http://localhost:{headers.get('host', '').rpartition(':')[2]}/moved"},
                b"",
            )
        at = feed.sick_from if sick == "stale" and feed.sick_from is not None else now
        if sick == "shrunk":
            feed = replace(feed, noise_rows=feed.noise_rows // 4)
        reply = self._body(feed, at, {} if sick in SPOILT else headers, bare=sick == "shrunk")
        return spoil(sick, reply) if sick in SPOILT else reply

    def _body(self, feed: FeedServer, at: dt.datetime, headers: Mapping[str, str], *, bare: bool = False) -> Reply:
        rows = [row for row in self._listings[feed.name] if row.start <= at and (row.end is None or at < row.end)]
        rows = [] if bare else rows
        moments = [
            moment for row in self._listings[feed.name] for moment in (row.start, row.end) if moment and moment <= at
        ]
        captured = self._files.get(feed.name)
        body = captured if captured is not None else render(feed, rows, self._state.world.seed).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:20]}"'
        changed = format_datetime(max(moments, default=self._state.world.start).replace(microsecond=0), usegmt=True)
        validators = {"ETag": etag, "Last-Modified": changed}
        if headers.get("if-none-match") == etag:
            return 304, validators, b""
        return 200, {**TEXT, **validators}, body


def spoil(sick: str, reply: Reply) -> Reply:
    """A good reply as a sick server sends it."""
    status, headers, body = reply
    match sick:
        case "truncated":
            packed = gzip.compress(body)
            return status, {**headers, "Content-Type": "application/gzip"}, packed[: len(packed) // 2]
        case "garbled":
            return status, headers, body.decode().encode("cp500")
        case "utf-16":
            return status, headers, body.decode().encode("utf-16")
        case _:
            return status, {**headers, FAULT: sick}, body


def render(feed: FeedServer, rows: list[Listing], seed: int) -> str:
    """The feed's body: its rows and its noise, shuffled the same way every time."""
    draw = random.Random(f"{seed} {feed.name}")
    noise = list(_noise(feed, draw))
    entries: list[Listing | str] = [*rows, *noise]
    entries.sort(key=lambda entry: hashlib.sha256((entry if isinstance(entry, str) else entry.value).encode()).digest())
    writer = {"url-list": _url_list, "urlhaus-csv": _urlhaus, "phishtank-csv": _phishtank, "hosts-file": _hosts}
    return writer[feed.format](entries)


def _noise(feed: FeedServer, draw: random.Random) -> list[str]:
    made = []
    for number in range(feed.noise_rows):
        word = "".join(draw.choice("abcdefghijklmnoprstu") for _ in range(8))
        if feed.format == "hosts-file":
            made.append([f"{word}.invalid-tld-test", f"{word}.test", f"{word}..test"][number % 3])
        else:
            made.append(
                [f"http://{word}.test/{number}", f"http://192.0.2.{number % 250}/{word}", f"https://{word}.example/a?b={number}",
                 "not a url at all", f"http://[2001:db8::{number + 1:x}]/x"][number % 5]
            )  # fmt: skip
    return made


def _value(entry: Listing | str) -> str:
    return entry if isinstance(entry, str) else entry.value


def _stamp(entry: Listing | str) -> str:
    return (entry.start if isinstance(entry, Listing) else dt.datetime(2026, 1, 1, tzinfo=dt.UTC)).strftime(
        "%Y-%m-%d %H:%M:%S"
    )


def _url_list(entries: list[Listing | str]) -> str:
    return "# lab list, one URL a line\n\n" + "".join(f"{_value(entry)}\n" for entry in entries)


def _hosts(entries: list[Listing | str]) -> str:
    return "# lab hosts file\n127.0.0.1 localhost\n" + "".join(f"0.0.0.0 {_value(entry)}\n" for entry in entries)


def _urlhaus(entries: list[Listing | str]) -> str:
    lines = ["#" * 64, "# lab URLhaus stand-in".ljust(63) + "#", "#" * 64, "#"]
    lines.append("# id,dateadded,url,url_status,last_online,threat,tags,urlhaus_link,reporter")
    for number, entry in enumerate(entries, 1):
        when = _stamp(entry)
        fields = [str(3000000 + number), when, _value(entry), "online", when, "malware_download", "elf,lab",
                  f"https://urlhaus.example/url/{number}/", "lab"]  # fmt: skip
        lines.append(",".join('"' + field.replace('"', '""') + '"' for field in fields))
    return "\r\n".join(lines) + "\r\n"


def _phishtank(entries: list[Listing | str]) -> str:
    lines = ["phish_id,url,phish_detail_url,submission_time,verified,verification_time,online,target"]
    for number, entry in enumerate(entries, 1):
        when = _stamp(entry).replace(" ", "T") + "+00:00"
        value = _value(entry)
        url = '"' + value.replace('"', '""') + '"' if any(mark in value for mark in ',"') else value
        lines.append(
            f"{9000000 + number},{url},http://phish.example/detail.php?phish_id={number},{when},yes,{when},yes,Other"
        )
    return "\n".join(lines) + "\n"
