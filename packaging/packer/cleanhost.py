"""Both packages tried on a clean Debian 12: made by debootstrap, booted by systemd-nspawn where that may be done.

After ``debian``. What happens there stands in ``packaging/cleanhost/``. Without the right to mount (a container,
say) it runs under chroot and says what it left out; without the right to make a system at all it says so and passes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from packer.errors import PackingError
from packer.source import ROOT

SUITE = "bookworm"
LIFE = ROOT / "packaging" / "cleanhost"
OLDER = {
    "panopticond": ROOT / "tests/data/databases/store-schema-1.sql",
    "arke": ROOT / "tests/data/databases/ledger-schema-0.sql",
}
"""What software of a former schema left, as statements: laid on the clean host before the first start."""
NEXT_SCHEMA = {
    "panopticond": (
        "usr/lib/panopticond/site/panopticond/store/schema.py",
        'MIGRATIONS += ((\n    "ALTER TABLE indicator ADD COLUMN next_build {int}",\n'
        '    "UPDATE indicator SET next_build = recorded",\n),)\n',
    ),
    "arke": (
        "usr/lib/arke/site/arke/cases/tables.py",
        "SCHEMA_VERSION += 1\n"
        'SCHEMA += "ALTER TABLE queue ADD COLUMN next_build TEXT; UPDATE queue SET next_build = at;"\n',
    ),
}
"""What the next build changes in the tables: these lines at the end of the module that holds them."""
MAKE_SECONDS, LIFE_SECONDS = 600.0, 420.0
_UNIT = """[Unit]
Description=The packages' life on this host
[Service]
Type=oneshot
ExecStart=/usr/bin/python3 /try/life.py
ExecStopPost=/usr/bin/systemctl poweroff --no-block
"""


def try_packages(debs: Path) -> int:
    """Take both packages of ``debs`` through their life; 0 good (or not possible here, as it says), 1 not."""
    packages = sorted(debs.glob("*.deb"))
    if len(packages) != 2:
        raise PackingError(f"{debs}: holds {len(packages)} packages, not the two of one build; empty it and make deb")
    if reason := _impossible():
        print(f"left out: a clean Debian 12: {reason}")
        return 0
    with tempfile.TemporaryDirectory(prefix="clean-debian-") as place:
        host = Path(place) / "host"
        _make(host, packages)
        shutil.copytree(LIFE, host / "try", ignore=shutil.ignore_patterns("__pycache__"))
        (host / "try/older").mkdir()
        for name, statements in OLDER.items():
            shutil.copy(statements, host / f"try/older/{name}.sql")
        for package in packages:
            (host / "try/old").mkdir(exist_ok=True)
            shutil.copy(package, host / "try/old")
            _next_build(package, host / "try/new")
        return _live(host)


def _impossible() -> str:
    """Why no clean system can be made here; empty where it can."""
    if os.geteuid() != 0:
        return "only root may make one"
    if shutil.which("debootstrap") is None:
        return "debootstrap is not installed"
    with tempfile.TemporaryDirectory() as place:
        if subprocess.run(["mknod", f"{place}/null", "c", "1", "3"], capture_output=True, check=False).returncode:
            return "this container may not make device nodes"
    return ""


def mirror() -> str | None:
    """Where this host's own apt gets Debian's packages from; None where its sources do not say (debootstrap knows)."""
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]:
        text = path.read_text(errors="replace") if path.suffix in {".list", ".sources"} and path.is_file() else ""
        for stanza in re.split(r"\n\s*\n", text) if path.suffix == ".sources" else ():
            fields = dict(re.findall(r"^(\w[\w-]*):\s*(.+)$", stanza, re.MULTILINE))
            if SUITE in fields.get("Suites", "").split() and "debian" in fields.get("URIs", ""):
                return str(fields["URIs"].split()[0])
        if found := re.search(rf"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+{SUITE}\s", text, re.MULTILINE):
            return found[1]
    return None


def _make(host: Path, packages: list[Path]) -> None:
    """A minimal system with exactly what the packages depend on, so that nothing is fetched inside it."""
    depends = {"systemd-sysv", "dbus"}  # systemd as process 1, and systemctl's way to talk to it
    for package in packages:
        said = subprocess.run(["dpkg-deb", "-f", str(package), "Depends"], capture_output=True, text=True, check=True)
        depends |= {re.split(r"[ (|]", name.strip())[0] for name in said.stdout.split(",")}
    command = ["debootstrap", "--variant=minbase", f"--include={','.join(sorted(depends))}", SUITE, str(host)]
    command += [found] if (found := mirror()) else []
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MAKE_SECONDS)
    if done.returncode:
        raise PackingError(f"debootstrap failed: {done.stdout[-800:]}{done.stderr[-800:]}")


def _next_build(package: Path, out: Path) -> None:
    """The build that comes after this one: a higher version, another example configuration, other tables."""
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="next-") as place:
        tree = Path(place) / "tree"
        subprocess.run(["dpkg-deb", "-R", str(package), str(tree)], check=True)
        control = tree / "DEBIAN/control"
        control.write_text(re.sub(r"^Version: (.*)$", r"Version: \1+next", control.read_text(), flags=re.MULTILINE))
        for name in (tree / "DEBIAN/conffiles").read_text().split():
            example = tree / name.lstrip("/")
            example.write_text(example.read_text() + "\n")
        module, lines = NEXT_SCHEMA[package.name.partition("_")[0]]
        with (tree / module).open("a", encoding="utf-8") as tables:
            tables.write(lines)
        command = ["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", str(tree), str(out / package.name)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _live(host: Path) -> int:
    result = host / "try/result.txt"
    if not _boot(host):
        print("left out: systemd as process 1: systemd-nspawn cannot boot a system here; under chroot instead")
        result.unlink(missing_ok=True)
        mounted = subprocess.run(["mount", "-t", "proc", "proc", str(host / "proc")], capture_output=True, check=False)
        if mounted.returncode:
            print("left out: /proc of the clean system: this host lets nobody mount")
        try:
            subprocess.run(["chroot", str(host), "/usr/bin/python3", "/try/life.py"], check=False, timeout=LIFE_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"the packages' life did not end in {LIFE_SECONDS:.0f} s")
        finally:
            if not mounted.returncode:
                subprocess.run(["umount", "--lazy", str(host / "proc")], check=False)
    else:
        print(result.read_text(), end="")
    lines = result.read_text().splitlines() if result.exists() else []
    return 0 if lines and lines[-1] == "end" else 1


def _boot(host: Path) -> bool:
    """Boot the system and let it live; False where it could not even begin."""
    nspawn = ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "-D", str(host)]
    if shutil.which("systemd-nspawn") is None:
        return False
    if subprocess.run([*nspawn, "/bin/true"], capture_output=True, check=False).returncode:
        return False
    (host / "etc/systemd/system/try.service").write_text(_UNIT)
    wants = host / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / "try.service").symlink_to("../try.service")
    with (host.parent / "console.log").open("wb") as console:
        boot = [*nspawn, "--console=pipe", "--boot"]
        try:
            subprocess.run(
                boot, stdin=subprocess.DEVNULL, stdout=console, stderr=console, check=False, timeout=LIFE_SECONDS
            )
        except subprocess.TimeoutExpired:
            print(f"the clean system did not end in {LIFE_SECONDS:.0f} s")
    return (host / "try/result.txt").exists()
