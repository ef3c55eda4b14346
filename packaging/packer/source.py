"""The source that is packed: which files, which version, which time. Everything later depends on this alone.

Only files git knows are taken, so that nothing lying about gets into a package; outside a checkout (a tarball) all of
the rooms are, and ``SOURCE_DATE_EPOCH`` (reproducible-builds.org) must say the time.
"""

from __future__ import annotations

import datetime as dt
import functools
import os
import shutil
import subprocess
import tomllib
from pathlib import Path

from packer.errors import PackingError

ROOT = Path(__file__).resolve().parents[2]
WHEEL_FILES = ("pyproject.toml", "README.md", "LICENSE", "panopticond", "arke")
"""What the wheel is built from."""


def git(*arguments: str) -> str | None:
    """What git says of this tree, stripped; None where it is no checkout or git is not there."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


@functools.cache
def epoch() -> int:
    """Seconds since 1970 that every file of a build carries: ``SOURCE_DATE_EPOCH``, else the time of the commit."""
    said = os.environ.get("SOURCE_DATE_EPOCH") or git("log", "-1", "--format=%ct")
    if not said or not said.isdigit():
        raise PackingError("no commit to take the time from: set SOURCE_DATE_EPOCH to seconds since 1970")
    return int(said)


def version() -> str:
    """The distribution's version, as pyproject.toml has it."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


@functools.cache
def debian_version(revision: int) -> str:
    """``0.1.0-1`` of a tagged commit; otherwise ``0.1.0~git<time>.<commit>-1``, which sorts below the release."""
    commit, tag = git("rev-parse", "--short=10", "HEAD"), git("describe", "--exact-match", "--tags", "HEAD")
    if commit is None or tag == f"v{version()}":
        return f"{version()}-{revision}"
    when = dt.datetime.fromtimestamp(epoch(), dt.UTC).strftime("%Y%m%d%H%M%S")
    changed = "+changed" if git("status", "--porcelain", "--untracked-files=no") else ""
    return f"{version()}~git{when}.{commit}{changed}-{revision}"


def requirements(extras: tuple[str, ...] = ()) -> list[str]:
    """The distribution's own requirements and those of some of its extras, as pyproject.toml has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    more = [line for extra in extras for line in project["optional-dependencies"][extra]]
    return [str(line) for line in (*project["dependencies"], *more)]


def export(target: Path) -> Path:
    """A clean copy under ``target`` of what the wheel is built from; plain modes, whatever the umask was."""
    listed = git("ls-files", "-z", "--", *WHEEL_FILES)
    if listed is not None:
        names = [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    else:
        found = (path for top in WHEEL_FILES for path in [ROOT / top, *(ROOT / top).rglob("*")])
        names = [str(path.relative_to(ROOT)) for path in found if path.is_file() and "__pycache__" not in path.parts]
    for name in sorted(names):
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy)
        copy.chmod(0o644)
    return target


def settle(tree: Path) -> None:
    """Every file and directory of a tree at the build's time, directories 0755; what makes two builds identical."""
    when = epoch()
    for path in [tree, *sorted(tree.rglob("*"))]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
        os.utime(path, (when, when), follow_symlinks=False)
