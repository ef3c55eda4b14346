"""A build asked to do its work: its version, its configuration checked, its daemon asked for status, a small world.

After every build but the .deb, which ``cleanhost`` tries. The programs are told by their paths and run as they stand,
with nothing of this checkout in their environment; only the lab around them comes from it.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from packer.errors import PackingError
from packer.programs import PROGRAMS
from packer.source import ROOT, version

STARTED_SECONDS, ENDED_SECONDS = 90.0, 30.0
WORLD_SECONDS, WORLD_HOURS, WORLD_SEED = 22.0, 22.0, 7
BEHAVIOURS = ("alive", "compromised", "malicious", "nonexistent")


def smoke(panopticond: Path, arke: Path, *, world: bool) -> int:
    """Try both programs; 0 when all holds. PackingError says what does not."""
    with tempfile.TemporaryDirectory(prefix="smoke-") as place:
        home = Path(place)
        settings = {"PATH": os.environ["PATH"], "HOME": str(home), "SHIV_ROOT": str(home / "shiv"), "LANG": "C.UTF-8"}
        for program in (panopticond.resolve(), arke.resolve()):
            began = time.monotonic()
            said = _said(settings, program, "--version")
            if said.split()[-1] != version():
                raise PackingError(f"{program}: says it is {said.strip()!r}, not {version()}")
            name = said.split()[0]
            configuration = _configured(name, home / name, functools.partial(_said, settings, program))
            _said(settings, program, "check-config", "-c", str(configuration))
            _serves(settings, program, configuration, home / name / "status.sock")
            print(
                f"ok: {program.name}: check-config, run, status, SIGTERM ({time.monotonic() - began:.0f} s)", flush=True
            )
        if world:
            began = time.monotonic()
            _world(home, panopticond.resolve(), arke.resolve(), settings)
            print(f"ok: both in a world of {len(BEHAVIOURS)} domains ({time.monotonic() - began:.0f} s)", flush=True)
    return 0


def _said(settings: Mapping[str, str], program: Path, *arguments: str) -> str:
    done = subprocess.run([str(program), *arguments], env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PackingError(f"{program} {' '.join(arguments)}: status {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def smallest(name: str, *, state: Path, runtime: Path, secrets: Path) -> str:
    """The smallest configuration that needs no network, as text; its secrets are ``key`` or ``secret_rdap``.

    ``state``, ``runtime`` and ``secrets`` are the directories the unit gives a daemon.
    """
    if name == "arke":
        settings = json.loads((ROOT / "packaging/etc/arke.json").read_text())
        settings |= {"state": str(state), "records": str(state / "records.sql")}
        settings |= {"status": {"socket": str(runtime / "status.sock")}}
        rdap = {"url": "https://rdap.nic.example/", "username": "arke", "password_file": str(secrets / "secret_rdap")}
        return json.dumps(settings | {"rdap": rdap})
    tables = {
        "status": f'socket = "{runtime}/status.sock"',
        "store": f'path = "{state}/panopticon.db"',
        "publish": f'root = "{state}/published"\nsecret_key_file = "{secrets}/key"',
        "tranco": "enabled = false",
        "serve": "enabled = false",
    }
    vantages = "".join(f'[[vantage]]\nname = "{n}"\ncountry = "{c}"\n' for n, c in (("here", "NZ"), ("far", "DE")))
    text = "".join(f"[{key}]\n{lines}\n" for key, lines in tables.items())
    return f'[[tld]]\nname = "zz"\n{text}{vantages}proxy = "http://127.0.0.1:9"\n'


def _configured(name: str, home: Path, said: functools.partial[str]) -> Path:
    """A configuration of one program in a directory of its own, with the secrets it names."""
    home.mkdir()
    if name == "arke":
        (home / "secret_rdap").write_text("made up\n")
        (home / "secret_rdap").chmod(0o600)
    else:
        said("keys", "generate", "--out", str(home / "key"))
    path = home / PROGRAMS[name].configuration
    path.write_text(smallest(name, state=home / "state", runtime=home, secrets=home))
    return path


def _serves(settings: Mapping[str, str], program: Path, configuration: Path, socket: Path) -> None:
    """The daemon starts, answers status to its own command, and ends with 0 at SIGTERM."""
    log = configuration.with_suffix(".log")
    with log.open("wb") as stream:
        command = [str(program), "run", "-c", str(configuration)]
        daemon = subprocess.Popen(command, env=settings, stdout=stream, stderr=stream)
    try:
        until = time.monotonic() + STARTED_SECONDS
        while not socket.exists():
            if daemon.poll() is not None or time.monotonic() > until:
                raise PackingError(f"{program} run: is not there: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        json.loads(_said(settings, program, "status", "--json", "--socket", str(socket)))
        daemon.send_signal(signal.SIGTERM)
        if daemon.wait(ENDED_SECONDS):
            raise PackingError(f"{program} run: ended with {daemon.returncode}: {log.read_text()[-2000:]}")
    finally:
        daemon.kill()
        daemon.wait()


def _world(home: Path, panopticond: Path, arke: Path, settings: Mapping[str, str]) -> None:
    """The lab's shortest world with these programs as its daemons: no notice wrong, missing or doubled."""
    sys.path.insert(0, str(ROOT))
    import datetime as dt

    import trio

    from tests.lab.collect import collect
    from tests.lab.demo import moments
    from tests.lab.run import run_world
    from tests.lab.score import score
    from tests.lab.world import make_world

    start, clock = moments(WORLD_SECONDS, WORLD_HOURS)
    publications = [start + dt.timedelta(hours=WORLD_HOURS)]
    world = make_world(WORLD_SEED, len(BEHAVIOURS), start=start, publications=publications, only=list(BEHAVIOURS))
    out = home / "world"
    bare = ["env", "-i", *(f"{key}={value}" for key, value in settings.items())]
    commands = {
        "panopticond": [*bare, str(panopticond), "run", "-c", str(out / "panopticond.toml")],
        "arke": [*bare, str(arke), "run", "-c", str(out / "arke.json")],
    }
    run = functools.partial(
        run_world, world, out, real_seconds=WORLD_SECONDS, on_stage=lambda _: None, clock=clock, commands=commands
    )
    outcome = trio.run(run)
    line, faults = score(world, collect(world, outcome.places))
    bad = [f"{name} ended with {status}" for name, status in outcome.exits.items() if status]
    if faults or bad or line.notices_due != line.notices_right:
        raise PackingError(f"the lab's world: {line}; {'; '.join([*bad, *faults[:5]])}")
