"""What both daemons remember on the clean host: as former software left it, and as the ordinary commands show it.

Beside ``life``. ``older/`` beside this file holds a store and a ledger of former schemas, as statements (the project's
own tests bring the very same ones forward).
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from pathlib import Path

from host import HERE, PROGRAMS, claim, run

DATABASES = {
    "panopticond": Path("/var/lib/panopticon/panopticon.db"),
    "arke": Path("/var/lib/arke/arke.db"),
}
_VERSION = {"panopticond": "SELECT max(version) FROM schema_version", "arke": "PRAGMA user_version"}
_NEXT = {
    "panopticond": "SELECT count(*), count(next_build) FROM indicator",
    "arke": "SELECT count(*), count(next_build) FROM queue",
}
"""Rows of the table that the next build's schema changes, and how many of them it gave their new value."""
INDICATORS = 2
"""Of the former store."""
SERIAL = 2026010202
"""The last one the former store published."""
REPOSITORY = Path("/var/lib/panopticon/repository/zz")


def lay() -> None:
    """The state that former software left in the place of what is there: the daemons' own, and closed to others."""
    for name, path in DATABASES.items():
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        with sqlite3.connect(path) as database:
            database.executescript((HERE / "older" / f"{name}.sql").read_text())
        database.close()
        path.chmod(0o600)
        run("chown", f"{PROGRAMS[name]}:", str(path))
    key = DATABASES["arke"].with_name("recipients.key")
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    run("chown", "arke:", str(key))


def versions() -> dict[str, int]:
    """The schema of each database."""
    return {name: _one(name, statement)[0] for name, statement in _VERSION.items()}


def changed() -> bool:
    """Whether both databases have what the next build's schema adds, in every row."""
    return all(whole == filled > 0 for whole, filled in (_one(name, _NEXT[name]) for name in DATABASES))


def backup(name: str, version: int) -> Path:
    """The backup a daemon made before it went to a schema; FailedError where it is not there, or open to others."""
    path = DATABASES[name].with_name(f"{DATABASES[name].name}.before-schema-{version}.tar")
    claim(path.is_file(), f"{path}: was not made")
    claim(path.stat().st_mode & 0o777 == 0o600, f"{path}: is open to others")
    return path


def wait_for_indicators(number: int) -> None:
    """Until panopticond's status shows so many; FailedError where it does not within a minute."""
    found = -1
    for _ in range(120):
        found = int(json.loads(run("panopticond", "status", "--json"))["indicators"])
        if found == number:
            return
        time.sleep(0.5)
    claim(False, f"{found} indicators of {number}")


def seen() -> dict[str, object]:
    """What the ordinary commands show of what is remembered, but for what goes on changing by itself."""
    explained = run("panopticond", "explain", "bad.zz", user="panopticon")
    return {
        "indicators": int(json.loads(run("panopticond", "status", "--json"))["indicators"]),
        "sighting": re.findall(r"sighting: good .*", explained),
        "incident": re.findall(r"incident (\S+): .* opened (\S+)", explained),
        "accepted": _one("arke", "SELECT serial FROM accepted WHERE tld = 'zz'"),
        "decided": json.loads(run("arke", "status", "--json"))["queue"],
        "queue": run("arke", "queue", "list", user="arke").splitlines(),
        "objections": _one("arke", "SELECT count(*) FROM suppressed")[0],
    }


def publish() -> int:
    """Publish now, as the operator; the serial, once its report was made again byte for byte from its records."""
    run("panopticond", "publish", "--tld", "zz", user="panopticon")
    latest = REPOSITORY / "latest"
    again = Path("/run/again")
    run("panopticond", "report", "--from", str(latest / "records.sql"), "--out", str(again))
    claim((again / "report.html").read_bytes() == (latest / "report.html").read_bytes(), "the report is another one")
    return int(json.loads((latest / "manifest.json").read_text())["serial"])


def chain() -> set[int | None]:
    """The serials that published snapshots name as the one before them."""
    return {json.loads(path.read_text()).get("previous_serial") for path in REPOSITORY.glob("2*/manifest.json")}


def _one(name: str, statement: str) -> tuple[int, ...]:
    database = sqlite3.connect(f"file:{DATABASES[name]}?mode=ro", uri=True)
    try:
        return tuple(int(value) for value in database.execute(statement).fetchone())
    finally:
        database.close()
