"""Where a running panopticond lives on disk: its directories made, its store private, and only one daemon on it.

Between the configuration and ``main``: ``run`` and ``publish`` furnish a fresh host, ``run`` alone holds the lock. The
commands beside a running daemon take none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from panopticond.config import Config
from panopticond.shared.errors import ConfigurationError, PanopticonError


def furnish(config: Config) -> None:
    """Make the store's directory (0700), an empty store (0600) and the repository's root where they are not yet.

    An existing store is closed to others; one in PostgreSQL stands elsewhere. ConfigurationError when the system
    refuses.
    """
    if config.store.url is None:
        _furnish_store(Path(config.store.path))
    root = Path(config.publish.root)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise ConfigurationError([f"publish.root: {root}: cannot be made: {_reason(error)}"]) from error


def _furnish_store(store: Path) -> None:
    try:
        store.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(store, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(handle, 0o600)
        finally:
            os.close(handle)
    except (OSError, ValueError) as error:
        raise ConfigurationError([f"store.path: {store}: cannot be made: {_reason(error)}"]) from error


@contextlib.contextmanager
def only_one(config: Config) -> Iterator[None]:
    """Hold ``<store>.lock`` (flock(2)) while the daemon runs; PanopticonError when another one holds it.

    A PostgreSQL store is there for many: nothing is held.
    """
    if config.store.url is not None:
        yield
        return
    path = Path(f"{config.store.path}.lock")
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise PanopticonError(f"{path}: cannot be opened: {error.strerror}; check store.path") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise PanopticonError(
                f"{config.store.path}: another panopticond runs on this store; stop it first, or give this one its own"
            ) from error
        yield
    finally:
        os.close(handle)  # which lets go of it; the file stays, for removing it would let two in


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
