"""One visit to a feed's server or file: the raw body into a spool file, conditionally, its key out of sight.

Between the catalogue and ``inflate``. An HTTP feed is asked with If-None-Match and If-Modified-Since (RFC 9110 section
13); a file is looked at by its size, time and inode. What came of it is a value, never an exception.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import hashlib
import os
import re
import stat
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import quote

import msgspec
import trio

from panopticond.feeds.catalogue import FeedSpec
from panopticond.feeds.inflate import Body
from panopticond.shared.errors import ConfigurationError, FetchError
from panopticond.shared.http import Http, Response
from panopticond.shared.settings import read_secret
from panopticond.store.interface import FeedHealth

RETRY_AFTER_LIMIT = 7 * 86400.0
HEAD_BYTES = 8192
_REMARKS = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t]*(?:[#;!][^\n]*)?\r?\n)*")
_BLOCK = 1 << 20
_KEPT = frozenset({"cut-short", "timeout", "too-large"})
"""FetchError reasons after which what came is still worth reading."""


class Fetched(msgspec.Struct, frozen=True):
    """What a visit gave; with ``body`` or ``partial`` the bytes stand in the spool."""

    result: Literal["body", "partial", "unchanged", "auth", "rate-limited", "unreachable"]
    sentence: str = ""
    etag: str | None = None
    last_modified: str | None = None
    retry_after: float = 0.0
    """Policy seconds the server asks us to stay away."""


async def fetch(spec: FeedSpec, spool: BinaryIO, http: Http, health: FeedHealth, now: dt.datetime) -> Fetched:
    """The feed's body into ``spool``, or why not; ``health`` holds the validators of the last good body."""
    if not spec.url.startswith(("http://", "https://")):
        return await trio.to_thread.run_sync(_read_file, spec, spool, health)
    try:
        key = read_secret(spec.key_file) if spec.key_file is not None else ""
    except ConfigurationError as error:
        return Fetched("auth", f"the key cannot be read: {error}")
    headers = {"accept-encoding": "gzip", "accept": "*/*"}
    if health.etag:
        headers["if-none-match"] = health.etag
    if health.last_modified:
        headers["if-modified-since"] = health.last_modified
    if key and spec.key_header:
        headers[spec.key_header] = key
    try:
        response = await http.download(
            spec.url.replace("{key}", quote(key, safe="")),
            spool,
            headers=headers,
            limit_bytes=spec.max_bytes,
            deadline_seconds=spec.deadline,
            same_origin=spec.same_origin,
        )
    except FetchError as error:
        return _failed(spec, error, key, spool.tell())
    return _answered(spec, response, now)


def content_sha256(spool: BinaryIO, limit_bytes: int) -> tuple[str, int]:
    """The SHA-256 in hex of what a body says, and its size as it came; leaves the spool at its start.

    Compression and the remarks above the first row do not count: many providers write the hour of the day there, and
    the same list under a new date is the same list.
    """
    digest, size = hashlib.sha256(), spool.seek(0, os.SEEK_END)
    spool.seek(0)
    head: bytes | None = b""
    for chunk in Body(spool, limit_bytes):
        if head is not None:
            head += chunk
            if len(head) < HEAD_BYTES:
                continue
            digest.update(_without_remarks(head))
            head = None
        else:
            digest.update(chunk)
    if head is not None:
        digest.update(_without_remarks(head))
    spool.seek(0)
    return digest.hexdigest(), size


def _without_remarks(head: bytes) -> bytes:
    match = _REMARKS.match(head)
    return head[match.end() :] if match else head


def masked(text: str, key: str) -> str:
    """``text`` without the secret, as it is and as it stands in a URL."""
    for secret in {key, quote(key, safe="")} - {""}:
        text = text.replace(secret, "***")
    return text


def _failed(spec: FeedSpec, error: FetchError, key: str, received: int) -> Fetched:
    sentence = masked(str(error), key)
    if error.reason == "too-large":
        return Fetched("partial", f"larger than max_bytes ({spec.max_bytes}); raise it if the feed has grown")
    if error.reason in _KEPT and received:
        return Fetched("partial", f"stopped half-way: {sentence}")
    if error.reason == "redirect-refused":
        return Fetched("unreachable", f"{sentence}; if the feed has moved, put its new address into the configuration")
    return Fetched("unreachable", f"{sentence}; the next visit tries again")


def _answered(spec: FeedSpec, response: Response, now: dt.datetime) -> Fetched:
    status, headers = response.status, response.headers
    wait = _retry_after(headers.get("retry-after", ""), now)
    if status == 304:
        return Fetched("unchanged", etag=headers.get("etag"), last_modified=headers.get("last-modified"))
    if 200 <= status < 300:
        return Fetched("body", etag=_short(headers.get("etag")), last_modified=_short(headers.get("last-modified")))
    if status in (429, 509):
        return Fetched(
            "rate-limited",
            f"the server answered {status}, too many requests; visited less often until it relents",
            retry_after=wait,
        )
    if status in (401, 403, 407):
        advice = "check the key in key_file" if spec.key_file else "it may want a key by now (key_file)"
        return Fetched("auth", f"the server answered {status}; {advice}", retry_after=wait)
    if status in (404, 410):
        return Fetched(
            "unreachable",
            f"the server answered {status}; the feed has moved or ended, check its address",
            retry_after=wait,
        )
    return Fetched("unreachable", f"the server answered {status}; the next visit tries again", retry_after=wait)


def _read_file(spec: FeedSpec, spool: BinaryIO, health: FeedHealth) -> Fetched:
    path = Path(spec.url.removeprefix("file://"))
    try:
        with path.open("rb", buffering=0) as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                return Fetched("unreachable", f"{path} is no regular file")
            etag = f"file:{about.st_mtime_ns}-{about.st_size}-{about.st_ino}"
            if etag == health.etag:
                return Fetched("unchanged", etag=etag)
            left = spec.max_bytes
            while left > 0 and (block := file.read(min(_BLOCK, left))):
                spool.write(block)
                left -= len(block)
            if not left and file.read(1):
                return Fetched("partial", f"larger than max_bytes ({spec.max_bytes}); raise it if the feed has grown")
    except OSError as error:
        return Fetched("unreachable", f"{path}: {error.strerror}; check the path and its permissions")
    return Fetched("body", etag=etag)


def _retry_after(text: str, now: dt.datetime) -> float:
    """Seconds in a Retry-After field (RFC 9110 section 10.2.3), 0 if there is none, bounded."""
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), RETRY_AFTER_LIMIT)
    try:
        when = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return min(max(0.0, (when - now).total_seconds()), RETRY_AFTER_LIMIT)


def _short(validator: str | None) -> str | None:
    """A validator of sane length, or None."""
    return validator if validator is not None and len(validator) <= 200 else None
