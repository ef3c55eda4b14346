"""New snapshots and the registry's zone, by path or URL; nothing is believed before it is verified (design section 7).

First step of arke. The manifest and its signature are read from ``latest``, the records from ``../<serial>/``, so a
publication in between never tears a read. What is accepted is persisted in the ledger before anybody acts on it;
what is refused raises RefusedError and stops there.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import trio

from arke.cases.ledger import Ledger
from arke.cases.needed import needed
from arke.config import Transfer
from arke.pins import pin, pinned
from arke.zone import transfer
from arke.zone.zonecopy import Copy
from panopticond.shared.errors import FetchError, PanopticonError, RefusedError
from panopticond.shared.http import Http, Response
from panopticond.shared.minisign import SIGNATURE_LIMIT, PublicKey
from panopticond.shared.records import read_tables
from panopticond.shared.settings import seconds
from panopticond.shared.snapshot import (
    LATEST,
    MANIFEST,
    MANIFEST_LIMIT_BYTES,
    RECORDS,
    SIGNATURE,
    Manifest,
    ManifestFile,
    canonical,
    check_file,
    verify_manifest_bytes,
    verify_tree,
)
from panopticond.shared.zone import Zone, read_zone

USER_AGENT = "arke"
SMALL_SECONDS, LARGE_SECONDS = 30.0, 1800.0
ZONE_LIMIT_BYTES = 4 << 30
SMALL_ZONE = 100
"""Names below which a zone may shrink as it likes."""
MAIL_AGE = dt.timedelta(hours=36)
"""A snapshot whose ``to`` is older than this causes no mail."""
Auth = tuple[str, str] | None
Found = tuple[Manifest, str, dict[str, list[Any]], str]
"""The manifest, its signature file, the tables, and the SHA-256 of the manifest."""


class Snapshot(msgspec.Struct, frozen=True):
    """A verified, accepted snapshot with its tables; ``new`` when its serial was never accepted before."""

    manifest: Manifest
    tables: dict[str, list[Any]]
    new: bool

    @property
    def size(self) -> int:
        """How many indicators and incidents it holds: what a broken publisher or feed would make leap."""
        return len(self.tables["uri"]) + len(self.tables["host"]) + len(self.tables["incident"])

    def too_old_for_mail(self, now: dt.datetime) -> bool:
        """Whether its interval ended so long ago, or it has expired, that nobody may be written to on its word."""
        return now - self.manifest.ended_at >= MAIL_AGE or self.manifest.expires_at <= now


class SnapshotWatch:
    """Looks for one TLD's newest snapshot at ``records``, a path or URL of ``.../latest/records.sql``."""

    def __init__(
        self, tld: str, records: str, keys: Sequence[str], ledger: Ledger, http: Http, *, auth: Auth, spool: Path
    ) -> None:
        self.tld = tld
        self._records = records.replace("{tld}", tld)
        self._keys = tuple(PublicKey.parse(key) for key in keys)
        self._ledger = ledger
        self._http = http
        self._auth = auth
        self._spool = spool
        self._seen: object = None
        self._etag: str | None = None

    async def look(self, now: dt.datetime, *, accept: bool = True) -> Snapshot | None:
        """The newest snapshot, or None while it is the one returned last; ``accept`` False leaves no trace.

        Raises RefusedError (bad signature, rollback, expired, a byte changed) or FetchError when it cannot be had.
        """
        accepted = await self._ledger.accepted(self.tld)
        learnt = await pinned(self._ledger, self.tld)
        mark, found = await (self._fetch if "://" in self._records else self._open)(now, accepted, learnt)
        if found is None:
            return None
        manifest, signature, tables, sha256 = found
        rows = tables["snapshot"]
        if len(rows) != 1 or (rows[0].tld, rows[0].serial) != (manifest.tld, manifest.serial):
            raise RefusedError(f"{RECORDS} speaks of another snapshot than its manifest; refused")
        new = accepted is None or manifest.serial > accepted[0]
        if accept and new:
            await pin(self._ledger, manifest, signature, learnt)
            await self._ledger.accept(self.tld, manifest.serial, sha256, now)
        self._seen = mark
        return Snapshot(manifest, tables, new)

    async def _open(
        self, now: dt.datetime, accepted: tuple[int, str] | None, learnt: Sequence[PublicKey]
    ) -> tuple[object, Found | None]:
        """From disk: the directory behind ``latest`` is resolved once, and everything is read inside it."""

        def read() -> tuple[object, Found | None]:
            path = Path(self._records)
            try:
                directory = path.parent.resolve(strict=True)
                status = (directory / MANIFEST).stat()
            except OSError as error:
                where = f"records in arke.json is the path of its {RECORDS}, as in /srv/zz/latest/{RECORDS}"
                sentence = f"{path}: no snapshot here yet: {error.strerror}; {where}"
                raise FetchError("unreachable", sentence) from error
            mark = (directory, status.st_mtime_ns, status.st_size, status.st_ino)
            if mark == self._seen:
                return mark, None
            keys = (*self._keys, *learnt)
            manifest = verify_tree(directory, keys, tld=self.tld, now=now, accepted=accepted)
            signature = (directory / SIGNATURE).read_text("utf-8", "replace")
            sha256 = hashlib.sha256(canonical(manifest)).hexdigest()  # its bytes on disk are exactly these
            return mark, (manifest, signature, _read_signed(directory / path.name, manifest.file(path.name)), sha256)

        return await trio.to_thread.run_sync(read)

    async def _fetch(
        self, now: dt.datetime, accepted: tuple[int, str] | None, learnt: Sequence[PublicKey]
    ) -> tuple[object, Found | None]:
        """Over HTTP: manifest and signature first, then the records into the spool, checked before they are read."""
        base = self._records.rsplit("/", 1)[0]
        known = self._etag if self._seen is not None else None
        response = await self._get(f"{base}/{MANIFEST}", MANIFEST_LIMIT_BYTES, known=known)
        data = response.body
        sha256 = hashlib.sha256(data).hexdigest()
        if response.status == 304 or sha256 == self._seen:
            return self._seen, None
        signature = (await self._get(f"{base}/{SIGNATURE}", SIGNATURE_LIMIT)).body.decode("utf-8", "replace")
        keys = (*self._keys, *learnt)
        manifest = verify_manifest_bytes(data, signature, keys, tld=self.tld, now=now, accepted=accepted)
        path = self._spool / f"{self.tld}-{RECORDS}"
        await download_file(self._http, serial_base(base, manifest), manifest.file(RECORDS), path, self._auth)
        try:
            tables = await trio.to_thread.run_sync(functools.partial(read_tables, path, kept=needed))
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        self._etag = response.headers.get("etag")
        return sha256, (manifest, signature, tables, sha256)

    async def _get(self, url: str, limit_bytes: int, *, known: str | None = None) -> Response:
        try:
            response = await self._http.get(
                url,
                headers={"if-none-match": known} if known else {},
                auth=self._auth,
                limit_bytes=limit_bytes,
                deadline_seconds=SMALL_SECONDS,
            )
        except FetchError as error:
            raise FetchError(error.reason, f"{error}; check records in arke.json, or try again later") from error
        if response.status != 200 and not (known and response.status == 304):
            raise FetchError("unreachable", f"{url} answers {response.status}; check address and account")
        return response


def _read_signed(path: Path, entry: ManifestFile) -> dict[str, list[Any]]:
    """The tables of a records file that the manifest lists, hashed and read through one open handle."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != entry.sha256:
                raise RefusedError(f"{entry.name}: its content is not what was signed; refused")
            file.seek(0)
            return read_tables(path, opened=file, kept=needed)
    except OSError as error:
        raise RefusedError(f"{entry.name}: cannot be read: {error.strerror}; refused") from error


def serial_base(base: str, manifest: Manifest) -> str:
    """Where the rest of a snapshot lies: ``../<serial>`` beside ``latest``, else the place itself."""
    parent, _, last = base.rpartition("/")
    return f"{parent}/{manifest.serial}" if last == LATEST else base


async def download_file(http: Http, base: str, entry: ManifestFile, path: Path, auth: Auth) -> None:
    """One file of a snapshot to ``path``, of exactly the size and hash signed; else it is removed and refused."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("wb") as into:
            response = await http.download(
                f"{base}/{entry.name}",
                into,
                headers={"accept-encoding": "identity"},
                auth=auth,
                limit_bytes=entry.size,
                deadline_seconds=LARGE_SECONDS,
            )
        if response.status != 200:
            raise FetchError("unreachable", f"{entry.name} answers {response.status}; try again")  # noqa: TRY301
        await trio.to_thread.run_sync(check_file, path, entry)
    except BaseException as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _no_room(path, error) from error
        raise


def _no_room(path: Path, error: OSError) -> PanopticonError:
    """A full or lost disk as a sentence: the daemon goes on with what it has, and says so."""
    return PanopticonError(f"{path}: cannot be written: {error.strerror or error}; make room in the state directory")


async def verify_url(
    http: Http,
    url: str,
    into: Path,
    keys: Sequence[PublicKey],
    *,
    tld: str | None,
    now: dt.datetime,
    auth: Auth = None,
) -> Manifest:
    """Verify a whole published snapshot by URL (its directory, ``latest`` or a file in it), fetched under ``into``."""
    base = url.rstrip("/")
    if base.endswith((".sql", ".json")):
        base = base.rsplit("/", 1)[0]
    for name, limit in ((MANIFEST, MANIFEST_LIMIT_BYTES), (SIGNATURE, SIGNATURE_LIMIT)):
        response = await http.get(f"{base}/{name}", auth=auth, limit_bytes=limit, deadline_seconds=SMALL_SECONDS)
        if response.status != 200:
            raise FetchError("unreachable", f"{base}/{name} answers {response.status}; give a snapshot's directory")
        (into / name).write_bytes(response.body)
    signature = (into / SIGNATURE).read_text("utf-8", "replace")
    manifest = verify_manifest_bytes((into / MANIFEST).read_bytes(), signature, keys, tld=tld, now=now)
    for entry in manifest.files:
        await download_file(http, serial_base(base, manifest), entry, into / entry.name, auth)
    return await trio.to_thread.run_sync(functools.partial(verify_tree, into, keys, tld=tld, now=now))


class ZoneTransfer:
    """The registry's own zone by transfer: its serial every so often, what differs when that has changed."""

    def __init__(self, tld: str, settings: Transfer) -> None:
        self._tld = tld
        self._server = transfer.server(settings.server, settings.key_file, seconds(settings.timeout))
        self._every_seconds = seconds(settings.every)
        self._asked = -math.inf
        self._copy: Copy | None = None
        self._last: Zone | None = None

    @property
    def last(self) -> Zone | None:
        """The last whole zone, or None before there was one."""
        return self._last

    async def look(self) -> Zone:
        """The zone as last transferred, or anew; PanopticonError or FetchError when there is no whole one."""
        if self._last is not None and trio.current_time() - self._asked < self._every_seconds:
            return self._last
        serial = await transfer.serial(self._server, self._tld)
        if self._last is None or serial != self._last.serial:
            copy = await transfer.transfer(self._server, self._tld, self._copy)
            found = await trio.to_thread.run_sync(copy.zone)
            _plausible(found, self._last, self._tld)
            self._copy, self._last = copy, found
        self._asked = trio.current_time()
        return self._last


def _plausible(found: Zone, last: Zone | None, tld: str) -> None:
    """PanopticonError for another TLD's zone, and for one less than half as large as before: it may be cut."""
    if found.origin != tld and not found.origin.endswith(f".{tld}"):
        raise PanopticonError(f"this is the zone of .{found.origin}, not of .{tld}; check zone in arke.json")
    if last is not None and len(last.owners) >= SMALL_ZONE and len(found.owners) * 2 < len(last.owners):
        raise PanopticonError(
            f"the zone of .{found.origin} shrank from {len(last.owners)} names to {len(found.owners)}; "
            "it is not used: check it, and restart arke if it is right"
        )


class ZoneWatch:
    """The registry's own zone by path or URL; the last whole one is kept when a newer one is damaged."""

    def __init__(self, tld: str, zone: str, http: Http, spool: Path) -> None:
        self._zone = zone.replace("{tld}", tld)
        self._tld = tld
        self._http = http
        self._spool = spool
        self._seen: object = None
        self._last: Zone | None = None

    @property
    def last(self) -> Zone | None:
        """The last whole zone, or None before there was one."""
        return self._last

    async def look(self) -> Zone:
        """The zone, read again only when it changed; PanopticonError or FetchError when there is no whole one."""
        if "://" in self._zone:
            return await self._fetch()
        try:
            status = os.stat(self._zone)  # noqa: PTH116 - one call, one value
        except OSError as error:
            raise PanopticonError(f"{self._zone}: cannot read the zone: {error.strerror}; check zone") from error
        mark = (status.st_mtime_ns, status.st_size, status.st_ino)
        if mark != self._seen or self._last is None:
            found = await trio.to_thread.run_sync(read_zone, self._zone, self._tld)
            _plausible(found, self._last, self._tld)
            self._last, self._seen = found, mark
        return self._last

    async def _fetch(self) -> Zone:
        path = self._spool / f"{self._tld}.zone"
        headers = {"if-none-match": self._seen} if isinstance(self._seen, str) else {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with path.open("wb") as into:
                response = await self._http.download(
                    self._zone, into, headers=headers, limit_bytes=ZONE_LIMIT_BYTES, deadline_seconds=LARGE_SECONDS
                )
            if response.status == 304 and self._last is not None:
                return self._last
            if response.status != 200:
                raise FetchError("unreachable", f"the zone's address answers {response.status}; check zone")
            found = await trio.to_thread.run_sync(read_zone, path, self._tld)
            _plausible(found, self._last, self._tld)
            self._last, self._seen = found, response.headers.get("etag")
            return self._last
        except OSError as error:
            raise _no_room(path, error) from error
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
