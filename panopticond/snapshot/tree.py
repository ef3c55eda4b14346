"""The published tree on disk: stage, switch, sweep, retain. Blocking; publish runs it in a thread.

``<root>/<tld>/.staging-<serial>`` becomes ``<serial>`` by one rename and ``latest`` moves by another; everything is
synced before the first and the directory after each, so that a power cut finds the old tree or the new one.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import datetime as dt
import fcntl
import gzip
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import IO

import msgspec

from panopticond.report.daily import render
from panopticond.shared import snapshot
from panopticond.shared.clock import rfc3339
from panopticond.shared.errors import RefusedError
from panopticond.shared.minisign import PublicKey, SecretKey, sign
from panopticond.shared.records import write_records
from panopticond.shared.snapshot import Manifest, ManifestFile
from panopticond.shared.tables import AggregateRow
from panopticond.snapshot import files
from panopticond.snapshot.build import Built
from panopticond.snapshot.conclude import Terms
from panopticond.store.interface import Publication

_STAGING, _LINK = ".staging-", ".latest-"
_GZIP_LEVEL = 6


class Said(msgspec.Struct, frozen=True):
    """What the manifest says beyond its files."""

    terms: Terms
    expires: dt.datetime
    previous: tuple[int, str] | None
    keys_next: tuple[str, ...] = ()


def claim(directory: Path) -> IO[bytes]:
    """Make the TLD's directory and lock it against another publisher, until the returned file is closed.

    ``BlockingIOError`` when another process is publishing this TLD.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = directory.with_name(f".{directory.name}.lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise
    return lock


def stage(directory: Path, tld: str, built: Built, said: Said, key: SecretKey) -> Path:
    """Write, sign and sync everything in a directory of its own; returns it. OSError as usual."""
    staged = directory / f"{_STAGING}{said.terms.serial}"
    staged.mkdir()
    _write_records(staged, built)
    html, report = render(built.tables)
    _write(staged / snapshot.REPORT_HTML, html)
    _write(staged / snapshot.REPORT_JSON, report)
    _write(staged / snapshot.URIS, files.uris_csv(built.tables))
    _write(staged / snapshot.DOMAINS, files.domains_csv(built.tables))
    _write(staged / snapshot.AGGREGATES, files.aggregates_json(built.tables))
    _write(staged / snapshot.MISP, files.misp_json(built.tables, built.redistributable))
    hashes = {name: _sha256(staged / name) for name in snapshot.FILES if name != snapshot.SUMS}
    _write(staged / snapshot.SUMS, "".join(f"{sha256}  {name}\n" for name, sha256 in hashes.items()).encode("ascii"))
    hashes[snapshot.SUMS] = _sha256(staged / snapshot.SUMS)
    manifest = _manifest(
        tld, said, [ManifestFile(name, (staged / name).stat().st_size, hashes[name]) for name in snapshot.FILES]
    )
    data = snapshot.canonical(manifest)
    _write(staged / snapshot.MANIFEST, data)
    _write(staged / snapshot.SIGNATURE, sign(data, key, snapshot.trusted_comment(manifest)).encode())
    _sync_directory(staged)
    return staged


def switch(staged: Path, directory: Path, serial: int) -> None:
    """Give the staged directory its serial, then move ``latest`` to it: two renames, each synced."""
    staged.rename(directory / str(serial))
    _sync_directory(directory)
    link = directory / f"{_LINK}{serial}"
    link.symlink_to(str(serial))
    link.rename(directory / snapshot.LATEST)
    _sync_directory(directory)


def sweep(directory: Path, recorded: int) -> None:
    """Remove what a crash left: staging directories, half-made links, and snapshots that never became ``latest``."""
    if not directory.is_dir():
        return
    newest = _target(directory)
    for entry in list(directory.iterdir()):
        if entry.name.startswith(_LINK):
            entry.unlink()
        elif entry.name.startswith(_STAGING):
            shutil.rmtree(entry)
        elif _is_serial(entry) and int(entry.name) > max(newest, recorded):
            _discard(entry)


def latest(directory: Path, *keys: PublicKey) -> Publication | None:
    """What ``latest`` points at, verified; None when there is none. RefusedError when it does not verify."""
    newest = _target(directory)
    if newest == 0:
        return None
    path = directory / str(newest)
    manifest = snapshot.verify_tree(path, keys, tld=directory.name)
    return Publication(
        tld=manifest.tld,
        serial=manifest.serial,
        manifest_sha256=manifest_sha256(path),
        start=manifest.started_at,
        end=manifest.ended_at,
        issued=manifest.issued_at,
    )


def announced_since(directory: Path, key: str) -> dt.datetime | None:
    """When the oldest snapshot kept that names a key in ``keys_next`` was issued; None when none does."""
    for serial in serials(directory):
        with contextlib.suppress(OSError, RefusedError):
            manifest = snapshot.parse_manifest((directory / str(serial) / snapshot.MANIFEST).read_bytes())
            if key in manifest.keys_next:
                return manifest.issued_at
    return None


def figures_before(path: Path, names: Collection[str]) -> list[AggregateRow]:
    """Figures of a published snapshot, each as ``NAME_before``; none where it is gone or cannot be read."""
    try:
        rows = json.loads((path / snapshot.AGGREGATES).read_bytes())["aggregates"]
        return [
            AggregateRow(f"{row['name']}_before", row["threat"], row["dimension"], float(row["value"]), None, None)
            for row in rows
            if row["name"] in names
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def serials(directory: Path) -> list[int]:
    """Every serial in the TLD's directory, oldest first."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(int(entry.name) for entry in directory.iterdir() if _is_serial(entry))
    return []


def retain(directory: Path, keep: int) -> None:
    """Remove all but the newest ``keep`` snapshots; never the one ``latest`` points at."""
    for serial in serials(directory)[:-keep]:
        if serial != _target(directory):
            _discard(directory / str(serial))


def manifest_sha256(path: Path) -> str:
    """SHA-256 of a snapshot's manifest.json, hexadecimal: its place in the chain."""
    return _sha256(path / snapshot.MANIFEST)


def _manifest(tld: str, said: Said, entries: list[ManifestFile]) -> Manifest:
    terms = said.terms
    return Manifest(
        format=snapshot.FORMAT,
        tld=tld,
        serial=terms.serial,
        previous_serial=said.previous[0] if said.previous else None,
        previous_sha256=said.previous[1] if said.previous else None,
        start=rfc3339(terms.start),
        end=rfc3339(terms.end),
        issued=rfc3339(terms.issued),
        expires=rfc3339(said.expires),
        late=terms.late,
        keys_next=said.keys_next,
        files=tuple(entries),
    )


def _write_records(staged: Path, built: Built) -> None:
    with (
        (staged / snapshot.RECORDS).open("xb") as file,
        (staged / snapshot.RECORDS_GZ).open("xb") as packed,
        concurrent.futures.ThreadPoolExecutor(1) as beside,
    ):
        with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=_GZIP_LEVEL, mtime=0) as press:
            pressed = beside.submit(int)
            for piece in write_records(built.tables):
                file.write(piece)
                pressed.result()  # one piece ahead: compression holds no interpreter lock
                pressed = beside.submit(press.write, piece)
            pressed.result()
        for open_file in (file, packed):
            open_file.flush()
            os.fsync(open_file.fileno())


def _write(path: Path, data: bytes | Iterable[bytes]) -> None:
    with path.open("xb") as file:
        file.writelines([data] if isinstance(data, bytes) else data)
        file.flush()
        os.fsync(file.fileno())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _target(directory: Path) -> int:
    """The serial ``latest`` points at, 0 when it points nowhere."""
    with contextlib.suppress(OSError, ValueError):
        return int(str((directory / snapshot.LATEST).readlink()))
    return 0


def _is_serial(entry: Path) -> bool:
    return entry.name.isdigit() and not entry.is_symlink() and entry.is_dir()


def _discard(path: Path) -> None:
    """Remove a snapshot so that no reader sees half of it: renamed first."""
    away = path.with_name(f"{_STAGING}{path.name}")
    path.rename(away)
    shutil.rmtree(away)
