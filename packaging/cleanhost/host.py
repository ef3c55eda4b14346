"""The clean host as the life sees it: its commands, its files, and both daemons as they are started there.

Beside ``life``, with Debian's own Python alone.
"""

from __future__ import annotations

import os
import pwd
import re
import socket
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
BOOTED = Path("/run/systemd/system").is_dir()
PROGRAMS = {"panopticond": "panopticon", "arke": "arke"}
STARTED_WITHIN_SECONDS = 60.0
UNTOUCHED = ("/proc", "/sys", "/dev", "/run", "/tmp",  # noqa: S108 - looked past, never used
             "/var/cache", "/var/log", "/var/lib/apt", "/var/lib/dpkg",
             "/var/lib/systemd", "/root", str(HERE))  # fmt: skip
_SYSTEMS = re.compile(r"^/etc/(passwd|group|shadow|gshadow|subuid|subgid)-$|\.pyc$|/__pycache__$")
"""What the system writes by itself beside our packages: former files of users, byte code of Debian's own modules."""
_OURS = re.compile(r"/usr/lib/(arke|panopticond)(/|$)")


class FailedError(Exception):
    """What was looked at is not so."""


def run(*command: str, status: int | None = 0, user: str = "", seconds: float = 300.0) -> str:
    """A command's output, both streams; FailedError when it ends with another status."""
    whole = ["runuser", "-u", user, "--", *command] if user else list(command)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(whole, capture_output=True, text=True, check=False, env=environment, timeout=seconds)
    said = done.stdout + done.stderr
    if status is not None and done.returncode != status:
        raise FailedError(f"{' '.join(command)}: status {done.returncode}: {said.strip()[-1500:]}")
    return said


def claim(holds: object, sentence: str) -> None:
    """FailedError with the sentence where it does not hold."""
    if not holds:
        raise FailedError(sentence)


def listing() -> set[str]:
    """Every path of this host, but what the system itself writes while it runs; and its users and groups."""
    found = set()
    for folder, folders, files in os.walk("/"):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in UNTOUCHED]
        found |= {os.path.join(folder, name) for name in [*folders, *files]}
    found -= {path for path in found if _SYSTEMS.search(path) and not _OURS.match(path)}
    for name in ("passwd", "group"):
        found |= {f"{name}: {line.partition(':')[0]}" for line in Path("/etc", name).read_text().splitlines()}
    return found


def processes_of(user: str) -> list[str]:
    """The numbers of a user's processes."""
    number = pwd.getpwnam(user).pw_uid
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            found += [entry.name] if entry.stat().st_uid == number else []
        except FileNotFoundError:
            continue  # it ended while we looked
    return found


class Daemons:
    """Both daemons: as units where systemd runs, else as processes of their users with a notify socket of ours."""

    def __init__(self) -> None:
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Returns once the daemon said READY=1; systemd's start does so by itself (Type=notify)."""
        if BOOTED:
            run("systemctl", "start", name)
            return
        user = pwd.getpwnam(PROGRAMS[name])
        path = f"/run/{name}.notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            Path(path).unlink(missing_ok=True)
            listener.bind(path)
            os.chown(path, user.pw_uid, user.pw_gid)
            listener.settimeout(STARTED_WITHIN_SECONDS)
            self.processes[name] = self._begin(name, path)
            try:
                while "READY=1" not in listener.recv(4096).decode().split("\n"):
                    pass
            except TimeoutError:
                said = (HERE / f"{name}.log").read_text(errors="replace")
                raise FailedError(f"{name} is not ready: {said[-800:]}") from None

    def _begin(self, name: str, notify: str) -> subprocess.Popen[bytes]:
        user = pwd.getpwnam(PROGRAMS[name])
        os.makedirs(f"/run/{PROGRAMS[name]}", exist_ok=True)
        os.chown(f"/run/{PROGRAMS[name]}", user.pw_uid, user.pw_gid)
        with (HERE / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [f"/usr/bin/{name}", "run"],
                stdout=log,
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": notify, "HOME": user.pw_dir},
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=(),
            )

    def stop(self, name: str) -> None:
        """SIGTERM, and a good end."""
        if BOOTED:
            run("systemctl", "stop", name)
            return
        process = self.processes.pop(name)
        process.terminate()
        claim(process.wait(30) == 0, f"{name} ended with {process.returncode}")

    def refusal(self, name: str) -> list[str]:
        """Try to start a daemon that must refuse: its lines since then. FailedError when it does not end with 1."""
        log = HERE / f"{name}.log"
        if not BOOTED:
            before = log.stat().st_size if log.exists() else 0
            status = self._begin(name, "").wait(STARTED_WITHIN_SECONDS)
            claim(status == 1, f"{name} ended with {status}")
            return log.read_bytes()[before:].decode(errors="replace").splitlines()
        before = len(self._journal(name))
        claim("failed" in run("systemctl", "start", name, status=1), f"{name} was started")
        ended = run("systemctl", "show", "-P", "ExecMainStatus", name).strip()
        claim(ended == "1", f"{name} ended with {ended}")
        run("systemctl", "stop", name)  # or systemd tries again
        run("systemctl", "reset-failed", name, status=None)
        return self._journal(name)[before:]

    def _journal(self, name: str) -> list[str]:
        run("journalctl", "--sync")
        user = str(pwd.getpwnam(PROGRAMS[name]).pw_uid)  # what the daemon said; what systemd says of it is root's
        said = run("journalctl", "-q", "-o", "cat", f"_SYSTEMD_UNIT={name}.service", f"_UID={user}")
        return said.splitlines()

    def main_pid(self, name: str) -> str:
        """The main process's number."""
        return run("systemctl", "show", "-P", "MainPID", name).strip()

    def active(self, name: str) -> bool:
        """Whether systemd holds the unit for running."""
        return run("systemctl", "is-active", name, status=None).strip() == "active"
