"""A database and the keys beside it into one file, while it is used, and back again: both daemons' backup and restore.

Beside the flow. The file is a tar of mode 0600: a consistent copy by SQLite's online backup (sqlite.org/backup.html)
and the key files, for a database of keyed hashes is worth nothing without its key. It is made whole or not at all,
never over an existing file, and nothing is put in place before it was found sound.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import apsw

from panopticond.shared.errors import StoreError

LIMIT_BYTES = 1 << 40
KEY_LIMIT_BYTES = 4096
_PAGES = 1000


def pack(database: Path, keys: Sequence[Path], file: Path) -> None:
    """Write a copy of the database, and of those keys that are there, to a new file; StoreError says why not."""
    if not database.is_file():
        raise StoreError(f"{database}: there is nothing to back up; check the configuration")
    if file.exists() or file.is_symlink():
        raise StoreError(f"{file}: exists already; a backup is never written over another file")
    try:
        with tempfile.TemporaryDirectory(dir=file.absolute().parent, prefix=".backup-") as folder:
            copied, whole = Path(folder) / database.name, Path(folder) / "whole"
            _copy(database, copied)
            handle = os.open(whole, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as out:
                with tarfile.open(fileobj=out, mode="w") as tar:
                    for path in (copied, *(key for key in keys if key.is_file())):
                        tar.add(path, path.name, filter=_private)
                out.flush()
                os.fsync(out.fileno())
            _place(whole, file)
    except (OSError, apsw.Error) as error:
        raise StoreError(f"{file}: the backup failed: {error}") from error


def _place(whole: Path, file: Path) -> None:
    """Give the finished backup its name, unless somebody else took it meanwhile."""
    try:
        os.link(whole, file)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        whole.rename(file)


def pack_beside(database: Path, keys: Sequence[Path], word: str) -> Path:
    """A backup beside the database under the first name that is free: ``panopticon.db.before-schema-2.tar``."""
    for number in itertools.count(1):
        file = database.with_name(f"{database.name}.{word}{'' if number == 1 else f'-{number}'}.tar")
        if not file.exists():
            pack(database, keys, file)
            return file
    raise AssertionError  # never: the numbers do not end


def unpack(
    file: Path, database: Path, keys: Sequence[Path], sound: Callable[[apsw.Connection], object], *, needs_key: bool
) -> None:
    """Put a backup in place of the database and its keys; StoreError leaves everything as it was.

    ``sound`` looks at the database before it is used and raises StoreError or apsw.Error for one that is not ours.
    """
    staged = {path.name: path.with_name(f".{path.name}.restored") for path in (database, *keys)}
    try:
        database.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = _unpack(file, staged, database.name)
        if database.name not in found or (needs_key and len(found) != len(staged)):
            raise StoreError(f"{file}: is no backup of this program: it lacks {', '.join(staged.keys() - found)}")
        _check(file, staged[database.name], sound)
        for suffix in ("-wal", "-shm"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        for path in (database, *keys):
            if path.name in found:
                staged[path.name].replace(path)
    except (OSError, tarfile.TarError, apsw.Error) as error:
        raise StoreError(f"{file}: cannot be restored: {error}") from error
    finally:
        for path in staged.values():
            for suffix in ("", "-wal", "-shm", "-journal"):
                with contextlib.suppress(OSError):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)


def _unpack(file: Path, staged: dict[str, Path], database: str) -> set[str]:
    """The members written beside their places; what else is in the tar is no backup of ours."""
    found = set[str]()
    with tarfile.open(file, "r:") as tar:
        for member in tar:
            if not member.isreg() or member.name not in staged or member.name in found:
                raise StoreError(f"{file}: is no backup of this program")
            limit = LIMIT_BYTES if member.name == database else KEY_LIMIT_BYTES
            _write(staged[member.name], tar.extractfile(member) or io.BytesIO(), limit)
            found.add(member.name)
    return found


def _check(file: Path, database: Path, sound: Callable[[apsw.Connection], object]) -> None:
    connection = apsw.Connection(str(database))
    try:
        whole = connection.execute("PRAGMA integrity_check").fetchone()
        if whole is None or whole[0] != "ok":
            raise StoreError(f"{file}: the database in it is damaged")
        # ours have tables and indexes only: what runs by itself, or works out what it seems to hold, is a stranger's
        if connection.execute("SELECT 1 FROM sqlite_schema WHERE type NOT IN ('table', 'index')").fetchone():
            raise StoreError(f"{file}: the database in it belongs to another program")
        sound(connection)
    finally:
        connection.close()


def _copy(database: Path, to: Path) -> None:
    source = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        source.set_busy_timeout(10_000)
        target = apsw.Connection(str(to))
        try:
            with target.backup("main", source, "main") as running:
                while not running.done:
                    running.step(_PAGES)
        finally:
            target.close()
    finally:
        source.close()


def _private(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o600
    return member


def _write(path: Path, stream: IO[bytes], limit_bytes: int) -> None:
    handle = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    left = limit_bytes
    with os.fdopen(handle, "wb") as out:
        while chunk := stream.read(1 << 20):
            left -= len(chunk)
            if left < 0:
                raise StoreError(f"{path.name}: larger than {limit_bytes} bytes")
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
