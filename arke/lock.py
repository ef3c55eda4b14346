"""One arke at a time in a state directory: an advisory lock that ends with the process, however it ends.

Taken by ``rooms`` for the daemon, ``arke once`` and everything else that sends notices, and by ``arke restore``. A
preview and a bounce piped in by the mail server go without.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from panopticond.shared.errors import StoreError

FILE = "lock"


@contextlib.contextmanager
def held(state: Path) -> Iterator[None]:
    """Hold the state directory's lock (``flock``); StoreError at once when another process has it."""
    path = state / FILE
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened: {error.strerror}; check the directory's owner") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(f"{path}: another arke is at work in {state}; stop it or let it finish") from error
        yield
    finally:
        os.close(handle)
