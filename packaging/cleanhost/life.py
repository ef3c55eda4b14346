"""The life of both packages on a clean Debian 12, told line by line; runs inside it, with Debian's own Python alone.

``packer.cleanhost`` lays it beside the packages and starts it: as a unit where systemd is process 1, else under chroot.
``host`` is what it does things with, ``kept`` what must come through an upgrade. Each line of the result begins with
``ok``, ``FAILED`` or ``left out``, and names what was looked at.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import kept
from host import BOOTED, HERE, PROGRAMS, Daemons, FailedError, claim, listing, processes_of, run

EXPOSURE = 1.5
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


class Life:
    """The steps in their order; what one leaves the next one finds."""

    def __init__(self) -> None:
        self.before = listing()
        self.daemons = Daemons()
        self.pids: dict[str, str] = {}
        self.schema: dict[str, int] = {}
        self.seen: dict[str, object] = {}
        self.serial = 0

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
        """Both start on nothing, say READY, answer status to a member of their group; panopticond takes in its feed."""
        run("useradd", "--no-create-home", "--groups", ",".join(PROGRAMS.values()), "somebody")
        for name in PROGRAMS:
            self.daemons.start(name)
            claim(json.loads(run(name, "status", "--json", user="somebody")), f"{name} says nothing")
        run("userdel", "somebody")
        kept.wait_for_indicators(ROWS)

    def older_data(self) -> None:
        """What software of an older schema left is backed up, brought forward and shown by the ordinary commands."""
        for name in PROGRAMS:
            self.daemons.stop(name)
        kept.lay()
        older = kept.versions()
        for name in PROGRAMS:
            self.daemons.start(name)
        self.schema = kept.versions()
        for name, version in self.schema.items():
            claim(version > older[name], f"{name}: schema {older[name]} became {version}")
            kept.backup(name, version)
        kept.wait_for_indicators(ROWS + kept.INDICATORS)
        run("arke", "forget", "--objection", "holder@nic.example", user="arke")
        self.seen = kept.seen()
        claim(self.seen["sighting"] and self.seen["incident"], "explain does not know the older store's case")
        claim(self.seen["accepted"] and self.seen["queue"], "the older ledger's snapshot and decision are lost")
        claim(self.seen["objections"] == 1, "the objection is not in the ledger")
        self.serial = kept.publish()
        claim(kept.SERIAL in kept.chain(), f"no snapshot goes on from {kept.SERIAL}: {kept.chain()}")

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
            if self.daemons.main_pid("arke") not in (first, "0") and self.daemons.active("arke"):
                break
        claim(self.daemons.main_pid("arke") not in (first, "0"), "it stands still and is left alone")
        drop_in.unlink()
        drop_in.parent.rmdir()
        run("systemctl", "daemon-reload")
        run("systemctl", "restart", "arke")

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
        """The next build, of the next schema, over the running one: data backed up, migrated, kept and shown."""
        for name in PROGRAMS:
            run(name, "backup", f"/var/backups/{name}.tar")
        self._change(sorted(HERE.glob("new/*.deb")), ())
        claim(
            Path("/etc/panopticon/panopticond.toml.dpkg-dist").exists(),
            "the new example is not laid beside the edited one",
        )
        for name, version in kept.versions().items():
            claim(version == self.schema[name] + 1, f"{name}: schema {self.schema[name]} became {version}")
            kept.backup(name, version)
        claim(kept.changed(), "the new schema's column is not there, or empty")
        self._same()
        self._next_serial()
        run("arke", "forget", "--objection", "another@nic.example", user="arke")
        claim(kept.seen()["objections"] == 2, "the new objection is not in the ledger")

    def roll_back(self) -> None:
        """As the page says: the former build refuses the newer schema, takes the backup, and runs on what it knew."""
        for name in PROGRAMS:
            self.daemons.stop(name)
        self._install(sorted(HERE.glob("old/*.deb")), ("--allow-downgrades",))
        for name, version in self.schema.items():
            said = self.daemons.refusal(name)
            sentence = f"has schema {version + 1}, this software knows up to {version}; install the newer version"
            claim(any(sentence in line for line in said), f"{name} does not say so: {said}")
            claim(not any("Traceback" in line for line in said), f"{name} has no sentence for it: {said}")
            file = str(kept.backup(name, version + 1))
            run(name, "restore", file, user=PROGRAMS[name], status=1)  # not over what is there, unless it was said
            run(name, "restore", "--replace", file, user=PROGRAMS[name])
            self.daemons.start(name)
        claim(kept.versions() == self.schema, f"{kept.versions()}")
        self._same()
        self._next_serial()

    def _same(self) -> None:
        """All that was shown before is shown now."""
        now = kept.seen()
        claim(now == self.seen, f"{self.seen} became {now}")

    def _next_serial(self) -> None:
        """A snapshot published now follows the last one a registry could have, whatever the store remembers of it."""
        serial = kept.publish()
        claim(serial > self.serial, f"serial {serial} after {self.serial}: a registry would refuse it")
        self.serial = serial

    def _change(self, packages: list[Path], more: tuple[str, ...]) -> None:
        if BOOTED:
            self.pids = {name: self.daemons.main_pid(name) for name in PROGRAMS}
        else:
            for name in PROGRAMS:
                self.daemons.stop(name)
        self._install(packages, more)
        for name in PROGRAMS:
            if BOOTED:
                claim(self.daemons.active(name), f"{name} is down: {run('systemctl', 'status', name, status=None)}")
                claim(self.daemons.main_pid(name) != self.pids[name], f"{name} still runs the former build")
            else:
                self.daemons.start(name)

    def _install(self, packages: list[Path], more: tuple[str, ...]) -> None:
        """By apt; edited configurations stay."""
        before = Path("/etc/panopticon/panopticond.toml").read_text(), Path("/etc/arke/arke.json").read_text()
        options = ("-y", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold", *more)
        run("apt-get", "install", *options, *(str(path) for path in packages))
        for name in PROGRAMS:
            package = next(path for path in packages if path.name.startswith(name))
            wanted = run("dpkg-deb", "-f", str(package), "Version").strip()
            claim(run("dpkg-query", "-W", "-f", "${Version}", name) == wanted, f"{name}: another version")
        now = Path("/etc/panopticon/panopticond.toml").read_text(), Path("/etc/arke/arke.json").read_text()
        claim(now == before, "an edited configuration was changed")

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
        for name in PROGRAMS:
            Path(f"/var/backups/{name}.tar").unlink()  # the administrator's, not ours
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
        steps = [life.install, life.units, life.configure, life.daemons_run, life.older_data]
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
