"""Which store a configuration means, opened: the embedded one by its path, or the shared one by its URL.

PostgreSQL's driver is an optional extra and loaded here only when a URL asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from panopticond.shared.errors import StoreError
from panopticond.store.methods import SqlStore
from panopticond.store.sqlite import open_store

EXTRA = "[store] url needs PostgreSQL's driver: install panopticon with the extra postgres (psycopg)"


class Where(Protocol):
    """``[store]`` of the configuration."""

    @property
    def path(self) -> str:
        """Of the embedded store's file."""
        ...

    @property
    def url(self) -> str | None:
        """Of a PostgreSQL, or None."""
        ...

    @property
    def password_file(self) -> str | None:
        """Where its password stands, or None."""
        ...


async def open_configured(where: Where, waiting: Callable[[str], None] | None = None) -> SqlStore:
    """The store of a configuration; StoreError in one sentence when it cannot be used.

    With ``waiting`` a shared database that is away is waited for, and why is told every so often.
    """
    if where.url is None:
        return await open_store(Path(where.path))
    try:
        from panopticond.store.postgres import open_postgres  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise StoreError(EXTRA) from error
    return await open_postgres(where.url, where.password_file, waiting=waiting)
