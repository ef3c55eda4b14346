"""The units: systemd finds nothing wrong with them, and both daemons live within the walls they put up."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from packer.programs import PROGRAMS, Program
from packer.smoke import smallest
from packer.source import ROOT

from panopticond.shared.minisign import SecretKey

EXPOSURE = 1.5
READY_SECONDS = 60.0
WALLS = """
set -e
# What ProtectSystem=strict leaves writable: StateDirectory=, RuntimeDirectory=, a /tmp of its own; credentials are read-only.
for place in "$STATE_DIRECTORY" "$RUNTIME_DIRECTORY" "$PRIVATE_TMP"; do mount --bind "$place" "$place"; done
mount -o remount,bind,ro /
"""
WALLED = ["unshare", "--user", "--map-root-user", "--mount"]


def unit(program: Program, tmp_path: Path) -> Path:
    """The unit as it is shipped, but for the program, which is not installed where tests run."""
    text = (ROOT / "systemd" / f"{program.name}.service").read_text()
    path = tmp_path / f"{program.name}.service"
    path.write_text(re.sub(rf"=/usr/bin/{program.name} ", "=/bin/true ", text))
    return path


@pytest.fixture
def analyze() -> str:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    return "systemd-analyze"


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_systemd_finds_nothing_wrong(program: Program, analyze: str, tmp_path: Path) -> None:
    """`verify` is silent, and `security` sees an exposure of at most 1.5."""
    path = unit(program, tmp_path)
    done = subprocess.run([analyze, "verify", "--man=no", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    command = [analyze, "security", "--offline=true", "--no-pager", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"exposure level for \S+: ([0-9.]+)", said)
    assert found is not None
    assert float(found[1]) <= EXPOSURE


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_unit_user_and_directories_speak_of_the_same(program: Program) -> None:
    """Unit, sysusers and tmpfiles name one user and the same directories; a relaxed wall has its reason above it."""
    text = (ROOT / "systemd" / f"{program.name}.service").read_text()
    users = (ROOT / "systemd" / f"{program.name}.sysusers").read_text()
    tmpfiles = (ROOT / "systemd" / f"{program.name}.tmpfiles").read_text()
    assert f"\nu {program.user} -" in users
    for key in ("User", "Group", "StateDirectory", "RuntimeDirectory"):
        assert f"\n{key}={program.user}\n" in text
    assert f"\nLoadCredential=secret:/etc/{program.user}/credentials\n" in text
    assert f"d /var/lib/{program.user} 0750 {program.user} {program.user} -" in tmpfiles
    assert f"d /etc/{program.user}/credentials 0700 root root -" in tmpfiles
    for relaxed in ("RestrictAddressFamilies=", "LoadCredential="):
        line = text.splitlines().index(next(row for row in text.splitlines() if row.startswith(relaxed)))
        assert text.splitlines()[line - 1].startswith("#")


@pytest.fixture
def walls() -> list[str]:
    if (
        shutil.which("unshare") is None
        or subprocess.run([*WALLED, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("this machine gives no user and mount namespace")
    return WALLED


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd would hear."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(READY_SECONDS)
        yield listener


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_daemon_lives_within_its_walls(
    program: Program, walls: list[str], heard: socket.socket, tmp_path: Path
) -> None:
    """Ready, feeding the watchdog, and ending with 0, with all but its own directories read-only.

    Its secrets come out of the credentials directory; nothing lies elsewhere afterwards.
    """
    places = {
        key: tmp_path / key for key in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY", "PRIVATE_TMP")
    }
    for place in places.values():
        place.mkdir(mode=0o700)
    secrets = places["CREDENTIALS_DIRECTORY"]
    configuration = tmp_path / program.configuration
    state, runtime = places["STATE_DIRECTORY"], places["RUNTIME_DIRECTORY"]
    configuration.write_text(smallest(program.name, state=state, runtime=runtime, secrets=secrets))
    if program.name == "arke":
        (secrets / "secret_rdap").write_text("made up\n")
    else:
        SecretKey.generate().write(secrets / "key")
    for secret in secrets.iterdir():
        secret.chmod(0o400)
    secrets.chmod(0o500)
    before = set(tmp_path.iterdir())
    settings = {key: str(place) for key, place in places.items()} | {
        "PATH": os.environ["PATH"],
        "TMPDIR": str(places["PRIVATE_TMP"]),
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "1000000",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    run = f"{WALLS}\n! touch {tmp_path}/elsewhere 2>/dev/null\nexec {sys.executable} -m {program.name} run -c {configuration}"
    with (places["STATE_DIRECTORY"] / "log").open("wb") as log:
        daemon = subprocess.Popen([*walls, "sh", "-c", run], cwd=ROOT, env=settings, stdout=log, stderr=log)
    try:
        words: set[str] = set()
        while not {"READY=1", "WATCHDOG=1"} <= words:
            words |= set(heard.recv(4096).decode().splitlines())
        assert any(word.startswith("STATUS=") for word in words)
        daemon.send_signal(signal.SIGTERM)
        while "STOPPING=1" not in words:
            words |= set(heard.recv(4096).decode().splitlines())
        assert daemon.wait(READY_SECONDS) == 0
    finally:
        daemon.kill()
        daemon.wait()
    assert set(tmp_path.iterdir()) == before
    assert any(state.glob("*.db"))
    assert not (runtime / "status.sock").exists()
