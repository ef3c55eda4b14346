"""The published snapshot as a contract: its files, its manifest, and the one way to verify it before use.

Between ``snapshot/publish``, which writes it, and whoever reads it: ``arke watch`` (HTTP or disk), ``arke verify``.
Signature first, then whose it is and how old, then the size and hash of every file; nothing is parsed before its turn.
The manifest is canonical JSON (RFC 8785) and must be so byte for byte; times are RFC 3339 UTC.
"""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec

from panopticond.shared import minisign
from panopticond.shared.clock import parse_rfc3339, rfc3339
from panopticond.shared.errors import RefusedError

FORMAT = 1
MANIFEST = "manifest.json"
SIGNATURE = "manifest.json.minisig"
RECORDS = "records.sql"
RECORDS_GZ = "records.sql.gz"
REPORT_HTML = "report.html"
REPORT_JSON = "report.json"
URIS = "uris.csv"
DOMAINS = "domains.csv"
AGGREGATES = "aggregates.json"
MISP = "misp.json"
SUMS = "SHA256SUMS"
LATEST = "latest"
FILES = (RECORDS, RECORDS_GZ, REPORT_HTML, REPORT_JSON, URIS, DOMAINS, AGGREGATES, MISP, SUMS)
"""Every file a manifest lists: all but itself and its signature. SHA256SUMS covers all of these but itself."""
MONTH_DAYS = "days.csv"
MONTH_FILES = (REPORT_HTML, REPORT_JSON, MONTH_DAYS, SUMS, f"{SUMS}.minisig")
"""What stands in ``<root>/<tld>/<YYYY-MM>/``: the month's report, its days, their sums, and a signature of those."""
MANIFEST_LIMIT_BYTES = 64 << 10
FILE_LIMIT_BYTES = 8 << 30
CLOCK_SKEW = dt.timedelta(minutes=10)
"""How far ahead of our clock a snapshot may have been issued."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_BUFFER_BYTES = 1 << 20

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Time = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")]
Serial = Annotated[int, msgspec.Meta(ge=1970010100, le=9999123199)]


class ManifestFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the snapshot: name without a path, size in bytes, SHA-256 in hexadecimal."""

    name: str
    size: Annotated[int, msgspec.Meta(ge=0, le=FILE_LIMIT_BYTES)]
    sha256: Sha256


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What manifest.json says; times as the RFC 3339 text it holds, with properties that read them."""

    format: int
    tld: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{2,63}$")]
    serial: Serial
    previous_serial: Serial | None
    previous_sha256: Sha256 | None
    """SHA-256 of the previous snapshot's manifest.json."""
    start: Time = msgspec.field(name="from")
    end: Time = msgspec.field(name="to")
    issued: Time
    expires: Time
    late: bool
    keys_next: Annotated[tuple[str, ...], msgspec.Meta(max_length=4)]
    files: Annotated[tuple[ManifestFile, ...], msgspec.Meta(max_length=32)]

    @property
    def started_at(self) -> dt.datetime:
        """Start of the interval it reports."""
        return parse_rfc3339(self.start)

    @property
    def ended_at(self) -> dt.datetime:
        """End of the interval it reports."""
        return parse_rfc3339(self.end)

    @property
    def issued_at(self) -> dt.datetime:
        """When it was issued."""
        return parse_rfc3339(self.issued)

    @property
    def expires_at(self) -> dt.datetime:
        """From when on nobody may act on it."""
        return parse_rfc3339(self.expires)

    def file(self, name: str) -> ManifestFile:
        """The entry of a file; RefusedError when the manifest does not list it."""
        for entry in self.files:
            if entry.name == name:
                return entry
        raise RefusedError(f"the snapshot has no {name}; refused")


def canonical(value: object) -> bytes:
    """RFC 8785 canonical JSON of a struct or plain data of text, integers, booleans, null, lists and maps.

    Figures with a fraction are not among them: their RFC 8785 form is ECMAScript's, which Python's differs from.
    """
    plain = msgspec.to_builtins(value)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def trusted_comment(manifest: Manifest) -> str:
    """What the signature's trusted comment must read."""
    return f"tld:{manifest.tld}\tserial:{manifest.serial}\texpires:{manifest.expires}"


def parse_manifest(data: bytes) -> Manifest:
    """The manifest in bytes, strictly: known keys, valid values, canonical form; else RefusedError. Verify first."""
    if len(data) > MANIFEST_LIMIT_BYTES:
        raise RefusedError(f"{MANIFEST} has over {MANIFEST_LIMIT_BYTES} bytes; refused")
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
        times = (manifest.started_at, manifest.ended_at, manifest.issued_at, manifest.expires_at)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise RefusedError(f"{MANIFEST} is not one of ours: {error}; refused") from error
    if canonical(manifest) != data:
        raise RefusedError(f"{MANIFEST} is not in canonical form; refused")
    if manifest.format != FORMAT:
        raise RefusedError(f"the snapshot is of format {manifest.format}, this software reads {FORMAT}; upgrade it")
    names = [entry.name for entry in manifest.files]
    if len(set(names)) != len(names) or not all(safe_name(name) for name in names):
        raise RefusedError(f"{MANIFEST} lists a file twice or under a name that is a path; refused")
    if not times[0] <= times[1] <= times[2] or not times[1] < times[3]:
        raise RefusedError(f"{MANIFEST}: from, to, issued and expires are out of order; refused")
    return manifest


def safe_name(name: str) -> bool:
    """Whether a file name is a bare name: no path, no dot in front, nothing odd."""
    return _NAME.fullmatch(name) is not None and name not in (MANIFEST, SIGNATURE)


def verify_manifest_bytes(
    data: bytes,
    signature: str,
    keys: Iterable[minisign.PublicKey],
    *,
    tld: str | None = None,
    now: dt.datetime | None = None,
    accepted: tuple[int, str] | None = None,
) -> Manifest:
    """The manifest, once its signature holds and it is for ``tld``, not expired at ``now`` and not older than accepted.

    ``accepted`` is (serial, SHA-256 of its manifest) of the newest one accepted before: a lower serial is a rollback,
    the same serial must be the same manifest. Raises RefusedError with what to do; ``now`` None checks no time.
    """
    if len(data) > MANIFEST_LIMIT_BYTES:
        raise RefusedError(f"{MANIFEST} has over {MANIFEST_LIMIT_BYTES} bytes; refused")
    comment = minisign.verify(data, signature, keys)
    manifest = parse_manifest(data)
    if comment != trusted_comment(manifest):
        raise RefusedError("the trusted comment does not repeat the manifest's tld, serial and expiry; refused")
    if tld is not None and manifest.tld != tld:
        raise RefusedError(f"the snapshot is for .{manifest.tld}, not for .{tld}; refused")
    if accepted is not None:
        serial, sha256 = accepted
        if manifest.serial < serial:
            raise RefusedError(f"rollback: snapshot {manifest.serial} is older than {serial}, accepted before; refused")
        if manifest.serial == serial and hashlib.sha256(data).hexdigest() != sha256:
            raise RefusedError(f"snapshot {serial} was accepted before with other content; refused")
    if now is not None:
        check_times(manifest, now)
    return manifest


def check_times(manifest: Manifest, now: dt.datetime) -> None:
    """RefusedError when the snapshot has expired at ``now`` or was issued in the future."""
    if manifest.expires_at <= now:
        raise RefusedError(
            f"snapshot {manifest.serial} expired at {manifest.expires}; ask its publisher for a newer one"
        )
    if manifest.issued_at > now + CLOCK_SKEW:
        raise RefusedError(
            f"snapshot {manifest.serial} is issued at {manifest.issued}, after {rfc3339(now)}: check the clock"
        )


def check_file(path: Path, entry: ManifestFile) -> None:
    """RefusedError unless ``path`` is a plain file of exactly the size and hash the manifest says."""
    state = hashlib.sha256()
    try:
        with _open(path) as file:
            if os.fstat(file.fileno()).st_size != entry.size:
                raise RefusedError(f"{entry.name}: not a file of the {entry.size} bytes the manifest says; refused")
            while chunk := file.read(_BUFFER_BYTES):
                state.update(chunk)
    except OSError as error:
        raise RefusedError(f"{entry.name}: cannot be read: {error.strerror}; refused") from error
    if state.hexdigest() != entry.sha256:
        raise RefusedError(f"{entry.name}: its content is not what was signed; refused")


def verify_tree(
    directory: Path,
    keys: Sequence[minisign.PublicKey],
    *,
    tld: str | None = None,
    now: dt.datetime | None = None,
    accepted: tuple[int, str] | None = None,
) -> Manifest:
    """The manifest of a snapshot on disk, once it and every file it lists are verified; RefusedError else."""
    manifest = verify_manifest_bytes(
        _read(directory / MANIFEST, MANIFEST_LIMIT_BYTES),
        _read(directory / SIGNATURE, minisign.SIGNATURE_LIMIT).decode("utf-8", "replace"),
        keys,
        tld=tld,
        now=now,
        accepted=accepted,
    )
    for entry in manifest.files:  # every size before the first hash: cheap refusals first
        if (size := _size(directory / entry.name)) != entry.size:
            raise RefusedError(f"{entry.name}: {size} bytes where the manifest says {entry.size}; refused")
    for entry in manifest.files:
        check_file(directory / entry.name, entry)
    return manifest


def _open(path: Path) -> BinaryIO:
    """A plain file open for reading: no link is followed, no pipe or device waited for. OSError as usual."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a plain file")
    return os.fdopen(handle, "rb")


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError as error:
        raise RefusedError(f"{path.name}: cannot be read: {error.strerror}; refused") from error


def _read(path: Path, limit_bytes: int) -> bytes:
    """At most ``limit_bytes`` of a plain file; RefusedError for a missing or larger one."""
    try:
        with _open(path) as file:
            data = file.read(limit_bytes + 1)
    except OSError as error:
        raise RefusedError(f"{path.name}: cannot be read: {error.strerror}; refused") from error
    if len(data) > limit_bytes:
        raise RefusedError(f"{path.name}: over {limit_bytes} bytes; refused")
    return data
