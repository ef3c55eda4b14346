"""A PostgreSQL of the tests' own: one cluster for a session, on a Unix socket in a temporary directory, ended with it.

It never runs as root (the server refuses to): started by root, it belongs to the ``postgres`` user or ``nobody``. Every
test gets a schema of its own in the one database.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

READY_SECONDS = 30.0
QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""For tests that end no server: nothing survives them anyway."""


class MissingError(Exception):
    """PostgreSQL is not installed; the sentence names its package."""


def program(name: str) -> str:
    """The newest installed PostgreSQL's program; MissingError when there is none."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    found = str(debian[-1]) if debian else shutil.which(name)
    if found is None:
        raise MissingError("postgres is not installed: apt-get install postgresql")
    return found


class Cluster:
    """A database cluster in a directory, started and stopped at will."""

    def __init__(self, root: Path, settings: tuple[str, ...]) -> None:
        self.root, self.settings = root, settings
        self._user = _owner()
        self._process: subprocess.Popen[bytes] | None = None
        self._schemas = 0

    @property
    def url(self) -> str:
        """The one database, by its socket."""
        return f"postgresql:///postgres?host={self.root}&user=postgres"

    def make(self) -> None:
        """Initdb, once."""
        if self._user is not None:
            os.chown(self.root, self._user.pw_uid, self._user.pw_gid)
        command = [program("initdb"), "-D", str(self.root / "data"), "-U", "postgres", "-A", "trust"]
        command += ["-E", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, **self._as_owner())
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr[-500:]}")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = ["listen_addresses=", f"unix_socket_directories={self.root}", "max_connections=100"]
        command = [program("postgres"), "-D", str(self.root / "data")]
        for setting in [*settings, *self.settings]:
            command += ["-c", setting]
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **self._as_owner()
            )
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url):
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"postgres does not answer: {(self.root / 'log').read_text()[-500:]}")

    def standby(self) -> Cluster:
        """A streaming copy of this running server, beside it; start it, then promote it when it is wanted."""
        beside = self.root / "standby"
        beside.mkdir()
        copy = Cluster(beside, self.settings)
        if self._user is not None:
            os.chown(beside, self._user.pw_uid, self._user.pw_gid)
        command = [program("pg_basebackup"), "-h", str(self.root), "-U", "postgres", "-D", str(beside / "data")]
        done = subprocess.run(
            [*command, "-R", "-X", "stream", "-c", "fast", "--no-sync"],
            capture_output=True, text=True, check=False, **self._as_owner(),
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"pg_basebackup failed: {done.stderr[-500:]}")
        return copy

    def change(self, setting: str, value: str) -> None:
        """A setting of the running server, from now on."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM SET {setting} = '{value}'".encode())
            connection.execute("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """A standby becomes the primary; returns once it takes writes."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            assert connection.execute("SELECT pg_promote(true, 20)").fetchone() == (True,)

    def kill(self) -> None:
        """Every process of the server at once, as a machine that loses its power."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Every process stands still, with its connections open: a machine that hangs."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it stood."""
        self._signal(signal.SIGCONT)

    def _signal(self, how: signal.Signals) -> None:
        if self._process is not None:
            children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            for pid in (self._process.pid, *map(int, children)):  # the server first, so that it replaces none
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, how)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT is its fast shutdown, SIGQUIT a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
            self._process = None

    def schema(self) -> str:
        """The URL of a new, empty schema."""
        self._schemas += 1
        name = f"s{self._schemas}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return f"{self.url}&options=-csearch_path%3D{name}"

    def _as_owner(self) -> dict[str, object]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": [], "cwd": str(self.root)}


def _owner() -> pwd.struct_passwd | None:
    """Whom the server runs as when we are root; None: as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise MissingError("postgres will not run as root, and there is no user postgres or nobody")


@contextlib.contextmanager
def cluster(*settings: str) -> Iterator[Cluster]:
    """A running cluster for the length of the block, with these server settings."""
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        made = Cluster(Path(name), settings)
        made.make()
        try:
            made.start()
            yield made
        finally:
            made.stop()
