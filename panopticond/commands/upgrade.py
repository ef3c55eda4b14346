"""`panopticond migrate|backup|restore`: the store brought to this version, copied while it runs, and put back.

Beside the daemon. A backup is one tar file (mode 0600) of the store and the surrogates' key beside it; the signing key
is none of it. In PostgreSQL the database's own tools do all this.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import apsw
import msgspec
import trio

from panopticond.config import Config
from panopticond.premises import furnish, only_one
from panopticond.shared.backup import pack, unpack
from panopticond.shared.errors import StoreError
from panopticond.shared.keyfile import own_key
from panopticond.store.interface import SURROGATES
from panopticond.store.move import TABLES, move
from panopticond.store.opening import open_configured
from panopticond.store.schema import MIGRATIONS
from panopticond.store.sqlite import schema_of

THERE = "the store in PostgreSQL"


async def migrate(config: Config, source: Path | None = None, say: Callable[[str], None] = print) -> str:
    """Bring the store to this software's schema, as the daemon does when it starts; refused while it runs.

    With ``source``, an embedded store, everything in it goes into the empty PostgreSQL of the configuration.
    """
    if source is not None:
        return await _move(config, source, say)
    if config.store.url is not None:
        async with await open_configured(config.store):
            return f"{THERE}: has schema {len(MIGRATIONS)}"
    path = Path(config.store.path)
    with only_one(config):
        before = await trio.to_thread.run_sync(_schema, path)
        furnish(config)
        async with await open_configured(config.store):
            after = await trio.to_thread.run_sync(_schema, path)
    if before == after:
        return f"{path}: has schema {after}; nothing to do"
    return f"{path}: schema {before} became {after}"


async def _move(config: Config, source: Path, say: Callable[[str], None]) -> str:
    if config.store.url is None:
        raise StoreError("migrate --from needs [store] url: the PostgreSQL the store goes into")
    if not source.is_file():
        raise StoreError(f"{source}: there is no store to move")
    beside = source.with_name(SURROGATES)
    try:
        key = own_key(beside) if beside.is_file() else None
    except (OSError, ValueError) as error:
        raise StoreError(f"{beside}: the surrogates' key cannot be read, or is none; restore or remove it") from error
    embedded = msgspec.structs.replace(config.store, url=None, password_file=None, path=str(source))
    with only_one(msgspec.structs.replace(config, store=embedded)):
        async with await open_configured(config.store) as store:
            rows = await store.engine.transact(partial(move, path=source, surrogates=key, say=say))
    return f"{source}: {rows} rows went to {THERE}; the file is as it was"


async def backup(config: Config, file: Path) -> str:
    """Write the store to one new file, consistent while the daemon runs; never over an existing one."""
    path = _embedded(config, "pg_dump")
    await trio.to_thread.run_sync(pack, path, [path.with_name(SURROGATES)], file)
    return f"{file}: written"


async def restore(config: Config, file: Path, *, replace: bool) -> str:
    """Put a backup in place; refused while the daemon runs, and over a store unless ``replace`` was said."""
    path = _embedded(config, "pg_restore")
    if path.exists() and path.stat().st_size and not replace:
        raise StoreError(f"{path}: there is a store already; with --replace it is overwritten by the backup")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with only_one(config):
        work = partial(unpack, file, path, [path.with_name(SURROGATES)], _sound, needs_key=False)
        await trio.to_thread.run_sync(work)
    return f"{path}: restored from {file}"


def _embedded(config: Config, tool: str) -> Path:
    if config.store.url is not None:
        raise StoreError(f"{THERE}: is backed up and restored by PostgreSQL's own tools, as {tool}")
    return Path(config.store.path)


def _sound(connection: apsw.Connection) -> None:
    """A store this software can use: every table of its schema with its columns, and the secret behind its numbers."""
    if not (schema := schema_of(connection)):
        raise StoreError("the database in the backup is empty")
    for table, columns in TABLES.items():
        wanted = columns if schema == len(MIGRATIONS) else "1"  # a migration may bring an older store some of them
        connection.execute(f"SELECT {wanted} FROM {table} LIMIT 1").fetchone()  # noqa: S608 - names of ours
    if connection.execute("SELECT 1 FROM identity WHERE length(secret) > 0").fetchone() is None:
        raise StoreError("the database in the backup lacks its own secret")


def _schema(path: Path) -> int:
    if not path.exists():
        return 0
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return schema_of(connection)
        finally:
            connection.close()
    except apsw.Error as error:
        raise StoreError(f"{path}: the database cannot be opened: {error}; check [store] path") from error
