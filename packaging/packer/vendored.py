"""From the source to a site directory for one program: our modules and the pinned wheels it needs, nothing else.

Used by every build. Wheels come by pip from constraints.txt; nothing is compiled here. What a running daemon never
reads (tests, headers, command line scripts) is left out, and licence texts move to the package's copyright file.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from packer.errors import PackingError
from packer.programs import Program
from packer.source import ROOT, WHEEL_FILES, epoch, export, requirements, version

BUILD_PINS = ROOT / "packaging" / "constraints.txt"
"""Pins of the tools that build: setuptools, shiv, PyInstaller."""
_NEVER_READ = {"__pycache__", "tests", "_tests", "sqlite_extra_binaries", "bin"}
_NEVER_READ_SUFFIXES = {".pyi", ".c", ".h", ".cpp", ".pxd", ".pyx"}
_SECOND = ("backend_cffi.py", "_cffi.")
"""How the files of zstandard's second back end, which only PyPy uses, begin: 12 MB."""
_ENOUGH = {"METADATA"}
"""Of a dist-info: what importlib.metadata is asked for."""


def pip(*arguments: str) -> None:
    """Run pip of this interpreter; PackingError with what it said when it fails."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", *arguments]
    settings = {"PIP_CONSTRAINT": str(BUILD_PINS), "SOURCE_DATE_EPOCH": str(epoch())}
    done = subprocess.run(command, env=os.environ | settings, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise PackingError(f"pip could not do it: {' '.join(arguments)}\n{done.stderr.strip()}")


def wheel(work: Path, out: Path | None = None) -> Path:
    """The distribution as a wheel, made from a clean copy of the source in ``work``; laid into ``out`` if given."""
    out = out or work / "wheel"
    if not (found := list(out.glob(f"panopticon-{version()}-*.whl"))) or out != work / "wheel":
        pip("wheel", "--no-deps", "--wheel-dir", str(out), str(export(work / "source")))
        found = list(out.glob(f"panopticon-{version()}-*.whl"))
    return found[0]


def needed(program: Program) -> list[str]:
    """The requirements of one program: the distribution's but those only the other one imports, and its extras'."""
    every = requirements(program.extras)
    return [line for line in every if re.split(r"[<>=\[ ;~!]", line)[0].lower() not in program.without]


def site(program: Program, work: Path) -> Path:
    """A site directory for ``program`` under ``work``, as pip leaves it but for our own modules it has no use for."""
    if sys.version_info[:2] != (3, 11):
        raise PackingError("the packages are for Debian 12, whose Python is 3.11; run this with python3.11")
    target = work / program.name / "site"
    shutil.rmtree(target, ignore_errors=True)
    pins = str(ROOT / "constraints.txt")
    install = ("install", "--target", str(target), "--no-compile", "--only-binary", ":all:", "--no-warn-conflicts")
    pip(*install, "-c", pins, *needed(program))
    pip(*install, "--no-deps", "--upgrade", str(wheel(work)))
    for top in (name for name in WHEEL_FILES if (ROOT / name).is_dir()):
        _keep_only(target, top, program.rooms)
    return target


def _keep_only(target: Path, top: str, rooms: tuple[str, ...]) -> None:
    kept = [target / room for room in rooms]
    for path in sorted((target / top).rglob("*"), reverse=True):
        inside = any(path == room or room in path.parents for room in kept)
        if not inside and path.is_file():
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    if (target / top).is_dir() and not any((target / top).iterdir()):
        (target / top).rmdir()


def prune(target: Path) -> None:
    """Leave out of a site what a daemon never reads, and give every file a plain mode and no interpreter line."""
    for path in sorted(target.rglob("*"), reverse=True):
        in_record = path.parent.suffix == ".dist-info" and path.name not in _ENOUGH
        if path.is_dir():
            if path.name in _NEVER_READ or path.name.endswith("-stubs") or in_record:
                shutil.rmtree(path)
            elif not any(path.iterdir()):
                path.rmdir()
        elif path.suffix in _NEVER_READ_SUFFIXES or in_record or _second(path):
            path.unlink()
        else:
            path.chmod(0o644)
            if path.suffix == ".py" and path.read_bytes().startswith(b"#!"):
                path.write_bytes(path.read_bytes().partition(b"\n")[2])


def _second(path: Path) -> bool:
    return path.parent.name == "zstandard" and path.name.startswith(_SECOND)
