"""How popular is the domain? The Tranco list, fetched once a policy day and looked up in memory.

One of the round's domain-level probes: popular names are re-routed to a person, never dropped. The list is a zip with
one ``top-1m.csv`` of ``rank,domain`` rows, by URL or path; its id goes into every snapshot. Kept as an
array of 64-bit words, hash and rank in each (8 MB for a million rows), because it stays resident.
"""

from __future__ import annotations

import array
import bisect
import datetime as dt
import hashlib
import re
import tempfile
import zipfile
import zlib
from typing import BinaryIO

import msgspec
import trio

from panopticond.model import Observation
from panopticond.shared.errors import FetchError
from panopticond.shared.http import Http

LAST_RANK = 1_000_000
RANK_BITS = 20
ZIP_BYTES = 64 << 20
INFLATED_BYTES = 128 << 20
DEADLINE_SECONDS = 300.0
RETRY = dt.timedelta(hours=1)
"""Policy time before a failed fetch is tried again; the list at hand serves until then."""
STALE = dt.timedelta(days=7)
"""A list older than this answers nothing."""
_ID = re.compile(r"^[A-Z0-9]{4,10}$")


class Ranks(msgspec.Struct, frozen=True):
    """Ascending words of 64 bits: 44 bits of a name's hash above 20 bits of its rank."""

    words: array.array[int]

    def rank(self, domain: str) -> int | None:
        """The rank of an A-label name, or None; two names share 44 bits of hash once in ten million look-ups."""
        wanted = _hash(domain)
        at = bisect.bisect_left(self.words, wanted << RANK_BITS)
        found = at < len(self.words) and self.words[at] >> RANK_BITS == wanted
        return self.words[at] & ((1 << RANK_BITS) - 1) if found else None


class Tranco:
    """The list at hand; ``list_id`` is its permanent id, or None without a list or an id."""

    def __init__(
        self,
        http: Http,
        *,
        url: str,
        id_url: str | None = None,
        every: dt.timedelta = dt.timedelta(days=1),
    ) -> None:
        """``url`` is http(s) or a path to the zip; ``id_url`` answers with the list's id in one line."""
        self._http = http
        self._url = url
        self._id_url = id_url
        self._every = every
        self._ranks: Ranks | None = None
        self._fetched: dt.datetime | None = None
        self._tried: dt.datetime | None = None
        self.list_id: str | None = None
        self.problem = "no-list"
        """Why the last fetch failed; empty when it did not."""

    async def refresh(self, now: dt.datetime) -> None:
        """Fetch the list if it is a day old; a failure keeps the old one and is told by ``problem``. Never raises."""
        if self._fetched is not None and now - self._fetched < self._every:
            return
        if self._tried is not None and self.problem and now - self._tried < RETRY:
            return
        self._tried = now
        try:
            # The id first: if a new list appears in between, the id is at worst the older one's.
            list_id = await self._ask_id()
            with tempfile.TemporaryFile() as file:
                await self._fetch(file)
                ranks = await trio.to_thread.run_sync(read_ranks, file)
        except FetchError as error:
            self.problem = error.reason
            return
        except OSError:
            self.problem = "unreadable"
            return
        self._ranks, self._fetched, self.list_id, self.problem = ranks, now, list_id, ""

    def check(self, domain: str, now: dt.datetime) -> Observation:
        """A ``tranco`` observation from the list at hand: ranked, unranked, or indeterminate without a recent list."""
        if self._ranks is None or self._fetched is None:
            return _observation(domain, now, "indeterminate", {"reason": self.problem or "no-list"})
        if now - self._fetched > STALE:
            return _observation(domain, now, "indeterminate", {"reason": "stale-list"})
        named = {"list": self.list_id} if self.list_id else {}
        rank = self._ranks.rank(domain)
        if rank is None:
            return _observation(domain, now, "unranked", named)
        return _observation(domain, now, "ranked", {"rank": str(rank), **named})

    async def _ask_id(self) -> str | None:
        if self._id_url is None:
            return None
        reply = await self._http.get(self._id_url, limit_bytes=1024, deadline_seconds=30.0, redirects=2)
        text = reply.body.decode("ascii", "replace").strip()
        return text if reply.status == 200 and _ID.match(text) else None

    async def _fetch(self, file: BinaryIO) -> None:
        if not self._url.startswith(("http://", "https://")):
            path = trio.Path(self._url.removeprefix("file://"))
            if (await path.stat()).st_size > ZIP_BYTES:
                raise FetchError("too-large", "the Tranco list is too large")
            file.write(await path.read_bytes())
            return
        reply = await self._http.download(
            self._url,
            file,
            headers={"accept-encoding": "identity"},
            limit_bytes=ZIP_BYTES,
            deadline_seconds=DEADLINE_SECONDS,
            same_origin=False,
        )
        if reply.status != 200:
            raise FetchError(f"status-{reply.status}", "the Tranco list could not be fetched")


def read_ranks(file: BinaryIO, inflated_bytes: int = INFLATED_BYTES) -> Ranks:
    """The ranks in a zip's first CSV, rows past the millionth and malformed ones left out; FetchError when it is none.

    What is inflated is counted while reading, not believed from the zip's directory.
    """
    words = array.array("Q")
    read_bytes = 0
    try:
        file.seek(0)
        with zipfile.ZipFile(file) as archive:
            names = [name for name in archive.namelist()[:10] if name.endswith(".csv")]
            if not names:
                raise FetchError("protocol", "the Tranco zip holds no CSV")
            with archive.open(names[0]) as rows:
                while read_bytes < inflated_bytes and len(words) < LAST_RANK and (row := rows.readline(512)):
                    read_bytes += len(row)
                    rank, comma, domain = row.strip().partition(b",")
                    if comma and domain and rank.isdigit() and len(rank) <= 7 and 1 <= int(rank) <= LAST_RANK:
                        name = domain.decode("utf-8", "replace").lower()
                        words.append(_hash(name) << RANK_BITS | int(rank))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise FetchError("protocol", "the Tranco list is no readable zip") from error
    if not words:
        raise FetchError("protocol", "the Tranco list is empty")
    return Ranks(array.array("Q", sorted(words)))


def _hash(domain: str) -> int:
    digest = hashlib.blake2b(domain.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> RANK_BITS


def _observation(domain: str, now: dt.datetime, outcome: str, detail: dict[str, str]) -> Observation:
    return Observation("tranco", domain, "direct", now, outcome, detail)
