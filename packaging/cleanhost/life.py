"""The life of both packages on a clean Debian 12, told line by line; runs inside it, with Debian's own Python alone.

``packer.cleanhost`` lays it beside the packages and starts it: as a unit where systemd is process 1, else under chroot.
Each line of the result begins with ``ok``, ``FAILED`` or ``left out``, and names what was looked at.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BOOTED = Path("/run/systemd/system").is_dir()
PROGRAMS = {"panopticond": "panopticon", "arke": "arke"}
STARTED_WITHIN_SECONDS = 60.0
UNTOUCHED = ("/proc", "/sys", "/dev", "/run", "/tmp",  # noqa: S108 - looked past, never used
             "/var/cache", "/var/log", "/var/lib/apt", "/var/lib/dpkg",
             "/var/lib/systemd", "/root", str(HERE))  # fmt: skip
EXPOSURE = 1.5
_SYSTEMS = re.compile(r"^/etc/(passwd|group|shadow|gshadow|subuid|subgid)-$|\.pyc$|/__pycache__$")
"""What the system writes by itself beside our packages: former files of users, byte code of Debian's own modules."""
_OURS = re.compile(r"/usr/lib/(arke|panopticond)(/|$)")
ROWS = 5
LIST = "".join(f"https://shop{number}.zz/login\n" for number in range(ROWS))
PANOPTICOND_TOML = """
[publish]
secret_key_file = "/etc/panopticon/secrets/panopticon.key"
[[tld]]
name = "zz"
suffixes = ["zz"]
[[feed]]
name = "own"
url = "/var/lib/panopticon/list.txt"
format = "url-list"
threat = "phishing"
trust = "reputable"
every = "1m"
licence = "redistributable"
absence = "aged-out"
[tranco]
enabled = false
[serve]
enabled = false
[[vantage]]
name = "here"
country = "NZ"
[[vantage]]
name = "far"
country = "DE"
proxy = "http://127.0.0.1:3128"
"""
RDAP = {"url": "https://rdap.nic.example/", "username": "arke",
        "password_file": "/run/credentials/arke.service/secret_rdap"}  # fmt: skip


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
        os.makedirs(f"/run/{PROGRAMS[name]}", exist_ok=True)
        user = pwd.getpwnam(PROGRAMS[name])
        os.chown(f"/run/{PROGRAMS[name]}", user.pw_uid, user.pw_gid)
        path = f"/run/{name}.notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            Path(path).unlink(missing_ok=True)
            listener.bind(path)
            os.chown(path, user.pw_uid, user.pw_gid)
            listener.settimeout(STARTED_WITHIN_SECONDS)
            environment = {**os.environ, "NOTIFY_SOCKET": path, "HOME": user.pw_dir}
            with (HERE / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [f"/usr/bin/{name}", "run"],
                    stdout=log,
                    stderr=log,
                    env=environment,
                    user=user.pw_uid,
                    group=user.pw_gid,
                    extra_groups=(),
                )
            try:
                while "READY=1" not in listener.recv(4096).decode().split("\n"):
                    pass
            except TimeoutError:
                said = (HERE / f"{name}.log").read_text(errors="replace")
                raise FailedError(f"{name} is not ready: {said[-800:]}") from None

    def stop(self, name: str) -> None:
        """SIGTERM, and a good end."""
        if BOOTED:
            run("systemctl", "stop", name)
            return
        process = self.processes.pop(name)
        process.terminate()
        claim(process.wait(30) == 0, f"{name} ended with {process.returncode}")

    def main_pid(self, name: str) -> str:
        """The main process's number."""
        return run("systemctl", "show", "-P", "MainPID", name).strip()


class Life:
    """The steps in their order; what one leaves the next one finds."""

    def __init__(self) -> None:
        self.before = listing()
        self.daemons = Daemons()
        self.pids: dict[str, str] = {}

    def install(self) -> None:
        """Both are installed by apt; neither is enabled or started."""
        run(
            "apt-get",
            "install",
            "-y",
            "--no-install-recommends",
            *(str(path) for path in sorted(HERE.glob("old/*.deb"))),
        )
        for name in PROGRAMS:
            claim(name in run(name, "--version"), "no version")
            claim(
                not Path(f"/etc/systemd/system/multi-user.target.wants/{name}.service").exists(), f"{name} is enabled"
            )
            if BOOTED:
                claim(run("systemctl", "is-active", name, status=None).strip() == "inactive", f"{name} was started")

    def units(self) -> None:
        """systemd-analyze verify is silent; security of each unit at most 1.5."""
        for name in PROGRAMS:
            unit = f"/lib/systemd/system/{name}.service"
            # Manual pages of a minimal system are left out by dpkg; the unit may still name one.
            claim(not run("systemd-analyze", "verify", "--man=no", unit).strip(), "verify says something")
            said = run("systemd-analyze", "security", "--offline=true", unit)
            found = re.search(r"exposure level for \S+: ([0-9.]+)", said)
            claim(found and float(found[1]) <= EXPOSURE, f"{name}: exposure {found and found[1]}")

    def configure(self) -> None:
        """The example of arke passes as shipped, that of panopticond once its key is made; wrong ones end with 2."""
        run("arke", "check-config", user="arke")
        run("panopticond", "check-config", user="panopticon", status=2)
        run("panopticond", "keys", "generate", "--out", "/etc/panopticon/secrets/panopticon.key", user="panopticon")
        run("panopticond", "check-config", user="panopticon")
        Path("/etc/panopticon/panopticond.toml").write_text(PANOPTICOND_TOML)
        Path("/var/lib/panopticon/list.txt").write_text(LIST)
        run("panopticond", "check-config", user="panopticon")
        settings = json.loads(Path("/etc/arke/arke.json").read_text()) | {"poll": "1m"}
        if BOOTED:  # what only the unit hands over
            secret = Path("/etc/arke/credentials/rdap")
            secret.write_text("made up\n")
            secret.chmod(0o600)
            settings["rdap"] = RDAP
        Path("/etc/arke/arke.json").write_text(json.dumps(settings))

    def daemons_run(self) -> None:
        """Both start, say READY and answer status; panopticond takes in its feed; arke keeps an objection."""
        for name in PROGRAMS:
            self.daemons.start(name)
            claim(json.loads(run(name, "status", "--json")), f"{name} says nothing")
        for _ in range(120):
            if self.indicators() == len(LIST.splitlines()):
                break
            time.sleep(0.5)
        claim(
            self.indicators() == len(LIST.splitlines()), f"{self.indicators()} indicators of {len(LIST.splitlines())}"
        )
        run("arke", "forget", "--objection", "holder@nic.example", "-c", self.plain_arke(), user="arke")
        claim(self.objections() == 1, "the objection is not in the ledger")

    def plain_arke(self) -> str:
        """arke.json without what only the unit can read, for a command beside it."""
        settings = json.loads(Path("/etc/arke/arke.json").read_text())
        settings.pop("rdap", None)
        path = Path("/etc/arke/by-hand.json")
        path.write_text(json.dumps(settings))
        return str(path)

    def indicators(self) -> int:
        """How many panopticond watches, as its socket tells."""
        return int(json.loads(run("panopticond", "status", "--json"))["indicators"])

    def objections(self) -> int:
        """How many objections arke's ledger holds."""
        path = next(Path("/var/lib/arke").glob("*.db"))
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as ledger:
            return int(ledger.execute("SELECT count(*) FROM suppressed").fetchone()[0])

    def watchdog(self) -> None:
        """A daemon that stands still is ended by systemd and started anew; one that gets on is not."""
        claim(BOOTED, "")
        drop_in = Path("/run/systemd/system/arke.service.d/soon.conf")
        drop_in.parent.mkdir(parents=True, exist_ok=True)
        drop_in.write_text("[Service]\nWatchdogSec=4\nRestartSec=1\n")
        run("systemctl", "daemon-reload")
        run("systemctl", "restart", "arke")
        first = self.daemons.main_pid("arke")
        time.sleep(10)
        claim(self.daemons.main_pid("arke") == first, "ended though it gets on")
        claim("open cases" in run("systemctl", "show", "-P", "StatusText", "arke"), "no STATUS line")
        os.kill(int(first), 19)
        for _ in range(60):
            time.sleep(0.5)
            if self.daemons.main_pid("arke") not in (first, "0") and self.active("arke"):
                break
        claim(self.daemons.main_pid("arke") not in (first, "0"), "it stands still and is left alone")
        drop_in.unlink()
        drop_in.parent.rmdir()
        run("systemctl", "daemon-reload")
        run("systemctl", "restart", "arke")

    def active(self, name: str) -> bool:
        """Whether systemd holds the unit for running."""
        return run("systemctl", "is-active", name, status=None).strip() == "active"

    def confined(self) -> None:
        """The unit's walls stand: only its state is writable, no capability is left, system calls are filtered."""
        claim(BOOTED, "")
        for name, user in PROGRAMS.items():
            status = Path(f"/proc/{self.daemons.main_pid(name)}/status").read_text()
            claim("CapEff:\t0000000000000000" in status, f"{name} has capabilities")
            claim("NoNewPrivs:\t1" in status and "Seccomp:\t2" in status, f"{name} is not confined")
            mounts = Path(f"/proc/{self.daemons.main_pid(name)}/mountinfo").read_text()
            by_place = {line.split()[4]: line.split()[5].split(",") for line in mounts.splitlines()}
            claim("ro" in by_place["/"], f"{name} sees a writable /")
            claim("rw" in by_place.get(f"/var/lib/{user}", ()), f"{name} cannot write its state")

    def upgrade(self) -> None:
        """The next build over the running one: restarted, data and edited configuration kept."""
        self._change(sorted(HERE.glob("new/*.deb")), ())
        claim(
            Path("/etc/panopticon/panopticond.toml.dpkg-dist").exists(),
            "the new example is not laid beside the edited one",
        )

    def roll_back(self) -> None:
        """The former build again: data and configuration kept."""
        self._change(sorted(HERE.glob("old/*.deb")), ("--allow-downgrades",))

    def _change(self, packages: list[Path], more: tuple[str, ...]) -> None:
        kept = Path("/etc/panopticon/panopticond.toml").read_text(), Path("/etc/arke/arke.json").read_text()
        if BOOTED:
            self.pids = {name: self.daemons.main_pid(name) for name in PROGRAMS}
        else:
            for name in PROGRAMS:
                self.daemons.stop(name)
        options = ("-y", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold", *more)
        run("apt-get", "install", *options, *(str(path) for path in packages))
        for name in PROGRAMS:
            wanted = run(
                "dpkg-deb", "-f", str(next(path for path in packages if path.name.startswith(name))), "Version"
            )
            claim(run("dpkg-query", "-W", "-f", "${Version}", name) == wanted.strip(), f"{name}: another version")
            if BOOTED:
                claim(self.active(name), f"{name} does not run: {run('systemctl', 'status', name, status=None)}")
                claim(self.daemons.main_pid(name) != self.pids[name], f"{name} still runs the former build")
            else:
                self.daemons.start(name)
        claim(self.indicators() == ROWS, "indicators are lost")
        claim(self.objections() == 1, "the objection is lost")
        now = Path("/etc/panopticon/panopticond.toml").read_text(), Path("/etc/arke/arke.json").read_text()
        claim(now == kept, "an edited configuration was changed")

    def remove(self) -> None:
        """Removed: stopped, no file of the program left; configuration and data stay."""
        if not BOOTED:
            for name in PROGRAMS:
                self.daemons.stop(name)
        run("apt-get", "remove", "-y", *PROGRAMS)
        for name, user in PROGRAMS.items():
            claim(not Path(f"/usr/lib/{name}").exists() and not Path(f"/usr/bin/{name}").exists(), f"{name} left files")
            claim(not processes_of(user), f"{name} still runs: {processes_of(user)}")
            claim(
                any(Path(f"/etc/{user}").iterdir()) and any(Path(f"/var/lib/{user}").iterdir()), f"{name} lost its data"
            )

    def purge(self) -> None:
        """Purged: this host is as it was, users and all."""
        run("apt-get", "purge", "-y", *PROGRAMS)
        after = listing()
        left = sorted(after - self.before)
        claim(not left, f"left behind: {' '.join(left[:20])}")
        gone = sorted(self.before - after)
        claim(not gone, f"taken along: {' '.join(gone[:20])}")


def main() -> int:
    """Every step; a failed one ends it, since the next ones build on it."""
    os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    with (HERE / "result.txt").open("w", encoding="utf-8") as result:

        def say(line: str) -> None:
            print(line, flush=True)
            result.write(line + "\n")
            result.flush()

        life = Life()
        steps = [life.install, life.units, life.configure, life.daemons_run]
        alone = [life.confined, life.watchdog]
        for step in [*steps, *alone, life.upgrade, life.roll_back, life.remove, life.purge]:
            name, told = step.__name__.replace("_", " "), (step.__doc__ or "").strip()
            if step in alone and not BOOTED:
                say(f"left out: {name}: systemd is not process 1 here ({told})")
                continue
            began = time.monotonic()
            try:
                step()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
                say(f"FAILED: {name}: {error!r}" if not isinstance(error, FailedError) else f"FAILED: {name}: {error}")
                for process in life.daemons.processes.values():
                    process.kill()
                return 1
            say(f"ok: {name}: {told} ({time.monotonic() - began:.0f} s)")
        say("end")
    return 0


if __name__ == "__main__":
    status = main()
    if BOOTED:
        subprocess.run(["systemctl", "poweroff", "--no-block"], check=False)
    sys.exit(status)
