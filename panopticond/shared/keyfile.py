"""A secret of our own, made on first use: 32 random bytes in a file of mode 0600 that is never half there.

Beside the flow: the surrogates' key of panopticond and the recipients' key of arke. The bytes are written and synced in
a file beside and linked to the name when they are whole: a crash leaves no file or the whole one, and of two processes
that start at once one makes the key and both use it.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

KEY_BYTES = 32


def own_key(path: Path) -> bytes:
    """The key at ``path``, made when there is no such file; OSError when it cannot be, ValueError if it is none."""
    if not path.exists():
        _make(path)
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise ValueError(f"{path}: not a key of {KEY_BYTES} bytes")
    return key


def _make(path: Path) -> None:
    beside = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(beside, path)  # unlike a rename it never takes the place of a key made meanwhile
        except FileExistsError:
            return
    finally:
        beside.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
