"""One file of each program for hosts with Python 3.11 (shiv), one directory for hosts without any Python (PyInstaller).

After ``vendored``: the same pruned site as in the .deb, so that what was tested is what runs. Both builders are pinned
in packaging/constraints.txt and installed beside the work, never into the project's environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

from packer.errors import PackingError
from packer.licences import copyright_text
from packer.programs import Program
from packer.source import epoch, settle, version
from packer.vendored import pip, prune, site

INTERPRETER = "/usr/bin/env -S python3.11 -I"
"""Isolated: no PYTHONPATH and no user's own modules."""
_ENTRY = """import sys

from {name}.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
"""


def shiv(program: Program, work: Path, out: Path) -> Path:
    """``<name>.pyz``: needs Python 3.11 on the host; unpacks itself once below ``SHIV_ROOT``, else ``~/.shiv``."""
    vendored = _ready(program, work)
    settle(vendored)
    out.mkdir(parents=True, exist_ok=True)
    made = out / f"{program.name}-{version()}.pyz"
    command = ["shiv", "--site-packages", str(vendored), "--entry-point", f"{program.name}.__main__:main"]
    command += ["--python", INTERPRETER, "--reproducible", "--compressed", "--output-file", str(made)]
    _run(sys.executable, [_tools(work, "shiv")], *command)
    return made


def onedir(program: Program, work: Path, out: Path) -> Path:
    """``<name>-<version>.tar.gz`` of a directory with the program and its Python; needs a C library as new as here."""
    vendored = _ready(program, work)
    entry = work / f"start_{program.name}.py"
    entry.write_text(_ENTRY.format(name=program.name))
    built = work / program.name / "onedir"
    command = ["PyInstaller", "--onedir", "--noconfirm", "--log-level", "ERROR", "--name", program.name]
    command += ["--distpath", str(built), "--workpath", str(work / program.name / "pyi"), "--specpath", str(work)]
    command += [
        "--hidden-import",
        "tldextract",
        "--collect-data",
        "tldextract",
        "--copy-metadata",
        "panopticon",
        "--collect-submodules",
        "anyio._backends",
    ]
    for room in sorted({room.partition("/")[0] for room in program.rooms}):
        command += ["--collect-data", room, "--collect-submodules", room]
    for builder in ("setuptools", "pkg_resources", "PyInstaller", "packaging"):
        command += ["--exclude-module", builder]
    _run(_bare(work), [_tools(work, "pyinstaller"), vendored], *command, str(entry))
    shutil.copy(vendored / "COPYRIGHT", built / program.name)
    settle(built)
    out.mkdir(parents=True, exist_ok=True)
    made = out / f"{program.name}-{version()}.tar.gz"
    with tarfile.open(made, "w:gz", compresslevel=6) as archive:
        archive.add(built / program.name, f"{program.name}-{version()}")
    return made


def _ready(program: Program, work: Path) -> Path:
    """A pruned site with the licences of all that is in it."""
    vendored = site(program, work)
    licences = copyright_text(vendored)
    prune(vendored)
    (vendored / "COPYRIGHT").write_text(licences, encoding="utf-8")
    return vendored


def _tools(work: Path, name: str) -> Path:
    target = work / "tools" / name
    if not target.exists():
        pip("install", "--target", str(target), "--no-warn-conflicts", name)
    return target


def _bare(work: Path) -> str:
    """An interpreter with no library of its own: PyInstaller packs whatever it finds importable."""
    home = work / "bare"
    venv.create(home, symlinks=True, with_pip=False)
    return str(home / "bin" / "python")


def _run(interpreter: str, path: list[Path], module: str, *arguments: str) -> None:
    """A builder out of directories of its own; PackingError with what it said when it fails."""
    settings = {
        "PYTHONPATH": os.pathsep.join(str(part) for part in path),
        "SOURCE_DATE_EPOCH": str(epoch()),
        "PYTHONHASHSEED": "0",
    }
    command = [interpreter, "-m", module, *arguments]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PackingError(f"{module} could not do it:\n{(done.stdout + done.stderr).strip()[-3000:]}")
