"""Does Google Web Risk flag the URI? One Lookup (``uris.search``) at a time, under a rate and a daily budget.

One of the round's probes; it corroborates and never validates alone. Only Lookup is ever called: one call of
``threatLists.computeDiff`` would change the price of every look-up of the account. The answer is an observation with
its expiry, not a current verdict. What could not be asked is ``indeterminate`` with its reason, never clean.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from panopticond.model import Observation
from panopticond.probe.webrisk_canonical import canonical
from panopticond.shared.clock import parse_rfc3339, rfc3339
from panopticond.shared.errors import ConfigurationError, FetchError
from panopticond.shared.http import Http
from panopticond.shared.ratelimit import Buckets, Rate

THREAT_TYPES = ("MALWARE", "SOCIAL_ENGINEERING", "UNWANTED_SOFTWARE")
DEADLINE_SECONDS = 15.0
BODY_BYTES = 64 << 10
PAUSE = dt.timedelta(hours=6)
"""After a 429 or 403 nothing is asked for one check interval (policy time): the check is lost for this window."""
_FRACTION = re.compile(r"(\.[0-9]{6})[0-9]+")


class _Threat(msgspec.Struct):
    threatTypes: list[str] = []  # noqa: N815 - Google's spelling
    expireTime: str = ""  # noqa: N815


class _Found(msgspec.Struct):
    threat: _Threat | None = None


class WebRisk:
    """Looks URIs up; ``used`` counts today's calls, ``day`` is the policy day (UTC) they count for."""

    def __init__(
        self,
        http: Http,
        *,
        key_file: str | None,
        url: str = "https://webrisk.googleapis.com",
        daily_budget: int = 3000,
        rate_per_second: float = 10.0,
        pause: dt.timedelta = PAUSE,
        rate: Rate | None = None,
        spend: Callable[[dt.date, int], Awaitable[bool]] | None = None,
    ) -> None:
        """Without a ``key_file`` nothing is asked; ConfigurationError when it cannot be read or is empty.

        Where several hosts share them, ``rate`` stands in for our own buckets and ``spend`` takes one call of a day's
        budget, or says that none is left.
        """
        self._http = http
        self._key = _read_key(key_file) if key_file is not None else None
        self._url = f"{url.rstrip('/')}/v1/uris:search"
        self._budget = daily_budget
        self._buckets = rate if rate is not None else Buckets(rate_per_second)
        self._spend = spend
        self._pause = pause
        self._paused_until: dt.datetime | None = None
        self._paused_reason = ""
        self.day: dt.date | None = None
        self.used = 0

    async def check(self, uri: str, now: dt.datetime) -> Observation:
        """A ``webrisk`` observation of a URI (asked in its canonical form); ``now`` is policy time, UTC."""
        asked = canonical(uri)
        refused = self._refused(asked, now)
        if refused is not None or asked is None:
            return _indeterminate(uri, now, refused or "malformed")
        if self._spend is not None and not await self._spend(now.date(), self._budget):
            return _indeterminate(uri, now, "budget")
        self.used += 1
        await self._buckets.take("")
        query = urlencode([*(("threatTypes", kind) for kind in THREAT_TYPES), ("uri", asked)])
        try:
            reply = await self._http.get(
                f"{self._url}?{query}",
                headers={"x-goog-api-key": self._key or "", "accept": "application/json"},
                limit_bytes=BODY_BYTES,
                deadline_seconds=DEADLINE_SECONDS,
            )
        except FetchError as error:
            return _indeterminate(uri, now, error.reason)
        if reply.status != 200:
            if reply.status in {403, 429}:
                self._paused_until, self._paused_reason = now + self._pause, f"status-{reply.status}"
            return _indeterminate(uri, now, f"status-{reply.status}")
        return _read(uri, reply.body, now)

    def _refused(self, asked: str | None, now: dt.datetime) -> str | None:
        """Why nothing is asked now, or None; a new policy day has a new budget."""
        if self._key is None:
            return "no-key"
        if asked is None:
            return "malformed"
        if self._paused_until is not None and now < self._paused_until:
            return self._paused_reason
        if self.day != now.date():
            self.day, self.used = now.date(), 0
        return "budget" if self.used >= self._budget else None


def _read(uri: str, body: bytes, now: dt.datetime) -> Observation:
    """``{}`` is not listed; anything that is no such object is no answer."""
    try:
        found = msgspec.json.decode(body, type=_Found)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _indeterminate(uri, now, "not-json")
    if found.threat is None:
        return Observation("webrisk", uri, "direct", now, "not-listed", {})
    kinds = [kind for kind in found.threat.threatTypes[:8] if re.fullmatch(r"[A-Z_]{1,48}", kind)]
    if not kinds:
        return _indeterminate(uri, now, "malformed-answer")
    detail = {"threats": " ".join(kinds)}
    try:
        expires = parse_rfc3339(_FRACTION.sub(r"\1", found.threat.expireTime))
    except (ValueError, OverflowError):
        return Observation("webrisk", uri, "direct", now, "listed", detail)
    return Observation("webrisk", uri, "direct", now, "listed", detail | {"expires": rfc3339(expires)})


def _indeterminate(uri: str, now: dt.datetime, reason: str) -> Observation:
    return Observation("webrisk", uri, "direct", now, "indeterminate", {"reason": reason})


def _read_key(path: str) -> str:
    try:
        key = Path(path).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"webrisk.key_file: {path} cannot be read as text"]) from error
    if not key or not key.isprintable() or " " in key:
        raise ConfigurationError([f"webrisk.key_file: {path} holds no key"])
    return key
