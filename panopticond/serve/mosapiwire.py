"""What MoSAPI's requests and answers are made of: the session cookie, the query, gzip and dates of RFC 9110. Pure.

Beside ``serve/mosapi``, which decides; nothing here knows a report or a session.
"""

from __future__ import annotations

import datetime as dt
import email.utils
from collections.abc import Sequence
from urllib.parse import parse_qs

import msgspec

from panopticond.shared import mosapi

TEXT, JSON = b"text/plain; charset=utf-8", b"application/json; charset=utf-8"
COOKIES_LIMIT = 16
QUERY_LIMIT_BYTES = 1024
Headers = Sequence[tuple[bytes, bytes]]


class Answer(msgspec.Struct, frozen=True):
    """What a request gets."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    media_type: bytes = TEXT


def wrong_method(allowed: str) -> Answer:
    """405, saying which methods there are."""
    return Answer(405, f"Only {allowed}.\n".encode(), ((b"allow", allowed.encode()),))


def header(headers: Headers, wanted: bytes) -> str | None:
    """The first header of a (lower-case) name, or None."""
    return next((value.decode("latin-1") for name, value in headers if name == wanted), None)


def cookies(headers: Headers) -> list[str]:
    """Every well-formed value of the session cookie: a client may hold one a TLD, or a stale one beside the good."""
    pairs = [
        pair.strip()
        for name, value in headers
        if name == b"cookie"
        for pair in value.decode("latin-1").split(";")[:COOKIES_LIMIT]
    ]
    values = [pair.removeprefix("id=") for pair in pairs[:COOKIES_LIMIT] if pair.startswith("id=")]
    return [value for value in values if mosapi.COOKIE_VALUE.fullmatch(value)]


def set_cookie(value: str, expires: float, tld: str) -> tuple[bytes, bytes]:
    """``Set-Cookie`` as observed, the date in its older form with dashes; the client's clock is real time."""
    day, rest = email.utils.formatdate(expires, usegmt=True).split(", ")
    date, month, year, clock, zone = rest.split()
    when = f"{day}, {date}-{month}-{year} {clock} {zone}"
    return b"set-cookie", f"{mosapi.COOKIE}={value}; Expires={when}; Path=/ry/{tld}; Secure; HttpOnly".encode()


def query_of(text: bytes) -> dict[str, list[str]]:
    """The query's parameters. One that cannot be read gives a startDate that is none."""
    if len(text) > QUERY_LIMIT_BYTES:
        return {"startDate": [""]}
    try:
        return parse_qs(text.decode("ascii"), keep_blank_values=True, max_num_fields=16)
    except ValueError:
        return {"startDate": [""]}


def takes_gzip(accepted: str | None) -> bool:
    """Whether ``Accept-Encoding`` takes gzip (RFC 9110, 12.5.3); the answer is never brotli."""
    if accepted is None:
        return False
    weights: dict[str, float] = {}
    for item in accepted[:256].lower().split(","):
        coding, _, parameter = item.partition(";")
        name, _, weight = parameter.strip().partition("=")
        try:
            weights[coding.strip()] = float(weight) if name == "q" else 1.0
        except ValueError:
            weights[coding.strip()] = 0.0
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def unchanged(since: str | None, issued: dt.datetime) -> bool:
    """Whether ``If-Modified-Since`` says that the client has what was issued then; a date that is none says no."""
    if since is None:
        return False
    try:
        return int(issued.timestamp()) <= email.utils.parsedate_to_datetime(since).timestamp()
    except (ValueError, OverflowError):
        return False
