"""panopticond migrate, backup, restore: an older store comes along with all it knew, and there is a way back."""

from __future__ import annotations

import datetime as dt
import io
import sys
import tarfile
from functools import partial
from pathlib import Path

import apsw
import msgspec
import pytest
import trio

import panopticond.__main__
from panopticond.commands.upgrade import backup, migrate, restore
from panopticond.config import Config, Publish, StoreSettings, Tld
from panopticond.model import Indicator
from panopticond.premises import only_one
from panopticond.shared.errors import PanopticonError, StoreError
from panopticond.store.schema import MIGRATIONS
from panopticond.store.sqlite import open_store

FIRST = Path(__file__).parent.parent.parent / "data" / "databases" / "store-schema-1.sql"
"""A store as the software of schema 1 left it: two live indicators with four rounds each, published twice."""
NOW = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)


def config(root: Path) -> Config:
    publish = Publish(root=str(root / "repository"), secret_key_file=str(root / "key"))
    return Config(tld=(Tld("zz"),), store=StoreSettings(path=str(root / "store.db")), publish=publish)


def first_store(path: Path) -> None:
    """The store of schema 1, as a file."""
    connection = apsw.Connection(str(path))
    connection.execute(FIRST.read_text())
    connection.close()


def version(path: Path) -> int:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return int(connection.execute("SELECT max(version) FROM schema_version").get)
    finally:
        connection.close()


async def known(path: Path) -> tuple[list[str], list[int], list[int]]:
    """Domains, rounds of each and serials, as the store gives them."""
    async with await open_store(path) as store:
        standings = [standing async for standing in store.standings("zz")]
        rounds = [len(await store.rounds(standing.subject.id)) for standing in standings]
        last = await store.last_publication("zz")
        assert last is not None
        return [standing.subject.domain for standing in standings], rounds, [last.serial]


async def test_an_older_store_comes_along_and_the_old_one_is_kept(tmp_path: Path) -> None:
    """Indicators, rounds and the chain of publications are all there after it; so is the store as it was."""
    first_store(tmp_path / "store.db")
    said = await migrate(config(tmp_path))
    assert said == f"{tmp_path}/store.db: schema 1 became {len(MIGRATIONS)}"
    assert await known(tmp_path / "store.db") == (["bad.zz", "worse.zz"], [4, 4], [2026010202])
    kept = tmp_path / f"store.db.before-schema-{len(MIGRATIONS)}.tar"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert await migrate(config(tmp_path)) == f"{tmp_path}/store.db: has schema {len(MIGRATIONS)}; nothing to do"
    # and back: what was kept is the store of schema 1, as the older software needs it
    await restore(config(tmp_path), kept, replace=True)
    assert version(tmp_path / "store.db") == 1
    assert await known(tmp_path / "store.db") == (["bad.zz", "worse.zz"], [4, 4], [2026010202])
    again = kept.name.replace(".tar", "-2.tar")
    assert {path.name for path in tmp_path.glob("*.tar")} == {kept.name, again}


async def test_no_migration_without_a_backup(tmp_path: Path) -> None:
    """Where the backup cannot be written the store stays as it is, and the sentence says why."""
    first_store(tmp_path / "store.db")
    size = (tmp_path / "store.db").stat().st_size
    assert size > 36_864  # room for what SQLite keeps beside it, none for a copy of it
    child = (
        "import resource, signal, sys, trio; from pathlib import Path; "
        "from panopticond.store.sqlite import open_store; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2); trio.run(open_store, Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", child, str(tmp_path / "store.db"), str(size - 1)]
    done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    assert done.returncode == 1
    assert b"StoreError" in done.stderr
    assert b"the backup failed" in done.stderr
    assert version(tmp_path / "store.db") == 1
    assert list(tmp_path.glob("*.tar")) == []


async def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    """By the daemon, by migrate and by restore, with what to do; nothing is touched."""
    async with await open_store(tmp_path / "store.db"):
        pass
    connection = apsw.Connection(str(tmp_path / "store.db"))
    connection.execute("INSERT INTO schema_version VALUES (99)")
    connection.close()
    for attempt in (migrate(config(tmp_path)), open_store(tmp_path / "store.db")):
        with pytest.raises(StoreError, match=r"has schema 99, this software knows up to .* install the newer version"):
            await attempt
    await backup(config(tmp_path), tmp_path / "b.tar")
    with pytest.raises(StoreError, match="has schema 99"):
        await restore(config(tmp_path / "other"), tmp_path / "b.tar", replace=False)
    assert not (tmp_path / "other" / "store.db").exists()


async def test_a_backup_while_the_store_is_written(tmp_path: Path) -> None:
    """Taken in the middle of writing it is whole; restored, it holds what was committed when it was taken."""
    settings = config(tmp_path)
    async with await open_store(tmp_path / "store.db") as store:
        for at in range(5):
            name = f"a{at}.zz"
            await store.record_listing(
                "f", NOW, [Indicator(f"http://{name}/", name, name, "zz", "registered", "phishing")]
            )
            await backup(settings, tmp_path / f"{at}.tar")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(store.touch_listing, "f", NOW)
                nursery.start_soon(backup, settings, tmp_path / f"{at}-beside.tar")
    for at in range(5):
        for name in (f"{at}.tar", f"{at}-beside.tar"):
            other = config(tmp_path / name.removesuffix(".tar"))
            await restore(other, tmp_path / name, replace=False)
            async with await open_store(Path(other.store.path)) as store:
                assert len(await store.watches()) == at + 1
    with pytest.raises(StoreError, match="exists already"):
        await backup(settings, tmp_path / "0.tar")


async def test_the_surrogates_key_goes_with_the_store(tmp_path: Path) -> None:
    """Surrogates of names nobody may publish stay the same on the host it is restored to."""
    async with await open_store(tmp_path / "store.db"):
        pass
    (tmp_path / "surrogates.key").write_bytes(b"k" * 32)
    await backup(config(tmp_path), tmp_path / "b.tar")
    await restore(config(tmp_path / "other"), tmp_path / "b.tar", replace=False)
    assert (tmp_path / "other" / "surrogates.key").read_bytes() == b"k" * 32
    assert (tmp_path / "other" / "surrogates.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(StoreError, match="--replace"):
        await restore(config(tmp_path / "other"), tmp_path / "b.tar", replace=False)


async def test_what_is_no_backup_is_refused_and_leaves_the_store(tmp_path: Path) -> None:
    """A foreign tar, a text, a missing file, a damaged and an empty database: the store stays as it was."""
    async with await open_store(tmp_path / "store.db"):
        pass
    before = (tmp_path / "store.db").read_bytes()
    with tarfile.open(tmp_path / "foreign.tar", "w") as tar:
        tar.add(__file__, "../../evil")
    (tmp_path / "text.tar").write_text("hello")
    for name, data in (("damaged.tar", b"SQLite format 3\0" + b"\xff" * 5000), ("empty.tar", b"")):
        (tmp_path / "data").write_bytes(data)
        with tarfile.open(tmp_path / name, "w") as tar:
            tar.add(tmp_path / "data", "store.db")
    for name in ("foreign.tar", "text.tar", "missing.tar", "damaged.tar", "empty.tar"):
        with pytest.raises(StoreError):
            await restore(config(tmp_path), tmp_path / name, replace=True)
    assert (tmp_path / "store.db").read_bytes() == before
    assert not list(tmp_path.glob(".*restored*"))


async def test_nothing_is_put_under_a_running_daemon(tmp_path: Path) -> None:
    """Migrate and restore want the lock the daemon holds; backup does not."""
    settings = config(tmp_path)
    async with await open_store(tmp_path / "store.db"):
        pass
    with only_one(settings):
        await backup(settings, tmp_path / "b.tar")
        for attempt in (migrate(settings), restore(settings, tmp_path / "b.tar", replace=True)):
            with pytest.raises(PanopticonError, match="another panopticond runs on this store; stop it first"):
                await attempt


def test_the_commands_say_what_they_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As an operator types them; a store that is elsewhere is PostgreSQL's own to keep."""
    toml = tmp_path / "panopticond.toml"
    toml.write_text(
        '[[tld]]\nname = "zz"\n[[vantage]]\nname = "a"\ncountry = "NZ"\n[[vantage]]\nname = "b"\ncountry = "DE"\n'
        f'[store]\npath = "{tmp_path}/store.db"\n[publish]\nroot = "{tmp_path}/repository"\n'
    )
    run = panopticond.__main__.main
    assert run(["backup", "-c", str(toml), str(tmp_path / "b.tar")]) == 1
    assert "there is nothing to back up" in capsys.readouterr().err
    assert run(["migrate", "-c", str(toml)]) == 0
    assert run(["backup", "-c", str(toml), str(tmp_path / "b.tar")]) == 0
    assert run(["restore", "-c", str(toml), str(tmp_path / "b.tar")]) == 1
    assert run(["restore", "-c", str(toml), "--replace", str(tmp_path / "b.tar")]) == 0
    assert "restored from" in capsys.readouterr().out
    toml.write_text(toml.read_text().replace("[store]\n", '[store]\nurl = "postgresql://nobody@127.0.0.1:9/none"\n'))
    assert run(["backup", "-c", str(toml), str(tmp_path / "c.tar")]) == 1
    assert "pg_dump" in capsys.readouterr().err


@pytest.mark.parametrize(
    "spoilt",
    [
        "DROP TABLE incident",
        "DELETE FROM identity",
        "ALTER TABLE observation DROP COLUMN detail",
        "CREATE TRIGGER t AFTER INSERT ON indicator BEGIN DELETE FROM indicator; END",
        "CREATE VIEW v AS SELECT 1",
        "DELETE FROM schema_version; DROP TABLE schema_version; CREATE TABLE schema_version (version TEXT); "
        "INSERT INTO schema_version VALUES ('two')",
    ],
)
async def test_a_store_that_is_not_ours_replaces_nothing(tmp_path: Path, spoilt: str) -> None:
    """A backup whose database lacks something of ours, or does something of its own, is refused; ours stays."""
    strange = config(tmp_path / "strange")
    (tmp_path / "strange").mkdir()
    async with await open_store(Path(strange.store.path)):
        pass
    connection = apsw.Connection(strange.store.path)
    connection.execute(spoilt).fetchall()
    connection.close()
    await backup(strange, tmp_path / "b.tar")
    async with await open_store(tmp_path / "store.db"):
        pass
    held = (tmp_path / "store.db").read_bytes()
    with pytest.raises(StoreError):
        await restore(config(tmp_path), tmp_path / "b.tar", replace=True)
    assert (tmp_path / "store.db").read_bytes() == held
    assert [path.name for path in tmp_path.glob(".*restored*")] == []


def test_the_keys_of_a_backup_are_small_wherever_they_stand_in_it(tmp_path: Path) -> None:
    """A key before the database, and one as large as a database, are told apart by name."""
    with tarfile.open(tmp_path / "b.tar", "w") as tar:
        for name in ("surrogates.key", "store.db"):
            member = tarfile.TarInfo(name)
            member.size = 8192
            tar.addfile(member, io.BytesIO(bytes(8192)))
    with pytest.raises(StoreError, match=r"surrogates\.key.*larger than 4096"):
        trio.run(partial(restore, config(tmp_path), tmp_path / "b.tar", replace=True))
    assert not (tmp_path / "surrogates.key").exists()


async def test_a_store_is_not_moved_without_the_key_beside_it(tmp_path: Path) -> None:
    """What stands where the surrogates' key should be must be one, or published surrogates would all change."""
    first_store(tmp_path / "store.db")
    (tmp_path / "surrogates.key").write_bytes(b"x" * 7)
    shared = StoreSettings(url="postgresql://p@127.0.0.1:9/p")
    with pytest.raises(StoreError, match="surrogates' key"):
        await migrate(msgspec.structs.replace(config(tmp_path), store=shared), tmp_path / "store.db")


@pytest.mark.parametrize("rest", ["[::1/p", "127.0.0.1/p?nonsense=geheim", "127.0.0.1:9/%zz"])
async def test_a_database_url_libpq_cannot_read_is_one_sentence(tmp_path: Path, rest: str) -> None:
    """Told at once, and what was given is not repeated."""
    shared = StoreSettings(url=f"postgresql://{rest}")
    with pytest.raises(StoreError, match=r"^store\.url: ") as raised:
        await migrate(msgspec.structs.replace(config(tmp_path), store=shared))
    assert rest not in str(raised.value)
    assert "geheim" not in str(raised.value)
