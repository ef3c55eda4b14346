"""records.sql of format 1 loads unchanged into SQLite, PostgreSQL and MariaDB, with the rows our own reader counts."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from panopticond.shared.records import read_tables
from panopticond.shared.tables import TABLES
from tests.panopticond.snapshot.test_golden import V1

RECORDS = V1 / "2026112101" / "records.sql"
COUNTS = "".join(f"SELECT '{table}', count(*) FROM {table};\n" for table in TABLES)  # noqa: S608
Ask = Callable[[str], str]


def run(*command: str, given: str = "") -> str:
    return subprocess.run(command, input=given, check=True, capture_output=True, text=True, timeout=60).stdout


def awaited(ask: Ask) -> Ask:
    """``ask`` once the server behind it answers."""
    deadline = time.monotonic() + 30
    while True:
        try:
            ask("SELECT 1;")
        except subprocess.CalledProcessError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return ask


@pytest.fixture
def mariadb(tmp_path: Path) -> Iterator[Ask]:
    """A MariaDB server of its own below ``tmp_path``, reached by socket only."""
    if not all(shutil.which(name) for name in ("mariadbd", "mariadb-install-db", "mariadb")):
        pytest.skip("MariaDB is not installed")
    owner = "root" if os.geteuid() == 0 else os.environ.get("USER", "")
    data, socket = tmp_path / "data", tmp_path / "s"
    run(
        "mariadb-install-db",
        "--no-defaults",
        f"--datadir={data}",
        f"--user={owner}",
        "--auth-root-authentication-method=normal",
    )
    server = subprocess.Popen(
        [
            "mariadbd",
            "--no-defaults",
            f"--datadir={data}",
            f"--socket={socket}",
            f"--user={owner}",
            "--skip-networking",
        ],
        stderr=subprocess.DEVNULL,
    )
    client = ("mariadb", "--no-defaults", f"--socket={socket}", "-u", "root", "-N", "-B")
    try:
        awaited(lambda text: run(*client, given=text))("CREATE DATABASE snapshot;")
        yield lambda text: run(*client, "snapshot", given=text)
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture
def postgresql() -> Iterator[Ask]:
    """A PostgreSQL server of its own, reached by socket only; as root it runs as its own user."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found or shutil.which("psql") is None:
        pytest.skip("PostgreSQL is not installed")
    drop: tuple[str, ...] = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()
    place = Path(run(*drop, "mktemp", "-d").strip())
    run(*drop, str(found[-1].with_name("initdb")), "-D", str(place / "d"), "-A", "trust", "-U", "postgres", "-N")
    server = subprocess.Popen(
        [*drop, str(found[-1]), "-D", str(place / "d"), "-k", str(place), "-c", "listen_addresses=", "-F"],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    client = ("psql", "-h", str(place), "-U", "postgres", "-X", "-q", "-t", "-A", "-F", "\t", "-v", "ON_ERROR_STOP=1")
    try:
        yield awaited(lambda text: run(*drop, *client, given=text))
    finally:
        server.terminate()
        server.wait(30)
        run(*drop, "rm", "-rf", str(place))


def expected() -> str:
    return "".join(f"{table}\t{len(rows)}\n" for table, rows in read_tables(RECORDS).items())


def test_sqlite(tmp_path: Path) -> None:
    """The shell loads it without a word and counts the same."""
    if shutil.which("sqlite3") is None:
        pytest.skip("the sqlite3 shell is not installed")
    said = run("sqlite3", "-bail", "-separator", "\t", str(tmp_path / "s.db"), given=RECORDS.read_text() + COUNTS)
    assert said == expected()


def test_mariadb(mariadb: Ask) -> None:
    """Loaded as the page says, it counts the same; a text with quotes comes back as it was."""
    assert mariadb(RECORDS.read_text() + COUNTS) == expected()
    assert "http://both.zz/login?x='1\n" in mariadb("SELECT uri FROM uri WHERE host = 'both.zz';")


def test_postgresql(postgresql: Ask) -> None:
    """Loaded as the page says, it counts the same; a text with quotes comes back as it was."""
    assert postgresql(RECORDS.read_text() + COUNTS) == expected()
    assert "http://both.zz/login?x='1\n" in postgresql("SELECT uri FROM uri WHERE host = 'both.zz';")
