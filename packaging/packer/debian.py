"""A .deb of one program for Debian 12: a site directory, a launcher, unit, user, example configuration, manual pages.

After ``vendored``; writes the file tree of the package and has dpkg-deb(1) pack it. No byte code is shipped: it is
compiled on the host. The same commit gives the same bytes, whatever the directory, user or umask it is built with.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import textwrap
from email.utils import formatdate
from pathlib import Path

from packer import completion, manual
from packer.errors import PackingError
from packer.licences import copyright_text
from packer.programs import Program
from packer.source import ROOT, debian_version, epoch, settle
from packer.vendored import prune, site

MAINTAINER = "Panopticon maintainers <maintainers@panopticon.example>"
DEPENDS = (
    "python3 (>= 3.11~)", "python3 (<< 3.12~)",  # compiled libraries fit one Python
    "libc6 (>= 2.34)", "libgcc-s1", "libstdc++6",
    "passwd",  # userdel, on purge
    "systemd | systemd-standalone-sysusers", "systemd | systemd-standalone-tmpfiles",
    "ca-certificates", "tzdata",
)  # fmt: skip
LAUNCHER = """#!/usr/bin/python3 -IS
# Isolated and without Debian's own modules: only what the package brings is ever imported.
import sys

sys.path.insert(0, "{folder}/site")
from {name}.__main__ import main

sys.exit(main())
"""
_CHANGE = "Built from the project's source; changelog.gz tells what is new."
_TEMPLATES = ROOT / "packaging" / "debian"


def build(program: Program, work: Path, out: Path, *, revision: int = 1) -> Path:
    """Build the package of one program into ``out``; the path of the .deb."""
    for tool in ("dpkg-deb", "dpkg"):
        if shutil.which(tool) is None:
            raise PackingError(f"{tool} is not here; a .deb is built on Debian or with the package dpkg installed")
    version = debian_version(revision)
    architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout
    tree = work / program.name / "deb"
    shutil.rmtree(tree, ignore_errors=True)
    vendored = site(program, work)
    _write(tree / f"usr/share/doc/{program.name}/copyright", copyright_text(vendored))
    prune(vendored)
    target = tree / program.folder.lstrip("/") / "site"
    target.parent.mkdir(parents=True)
    shutil.move(vendored, target)
    _furnish(program, tree, version)
    _control(program, tree, version, architecture.strip())
    settle(tree)
    out.mkdir(parents=True, exist_ok=True)
    package = out / f"{program.name}_{version}_{architecture.strip()}.deb"
    command = ["dpkg-deb", "--root-owner-group", "-Zxz", "-z6", "--threads-max=2", "--build", str(tree), str(package)]
    settings = os.environ | {"SOURCE_DATE_EPOCH": str(epoch()), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PackingError(f"dpkg-deb: {done.stderr.strip()}")
    return package


def _furnish(program: Program, tree: Path, version: str) -> None:
    """Everything beside the modules."""
    name, docs = program.name, f"usr/share/doc/{program.name}"
    _write(tree / f"usr/bin/{name}", LAUNCHER.format(folder=program.folder, name=name), mode=0o755)
    _write(tree / f"lib/systemd/system/{name}.service", (ROOT / f"systemd/{name}.service").read_text())
    _write(tree / f"usr/lib/sysusers.d/{name}.conf", (ROOT / f"systemd/{name}.sysusers").read_text())
    _write(tree / f"usr/lib/tmpfiles.d/{name}.conf", (ROOT / f"systemd/{name}.tmpfiles").read_text())
    example = (ROOT / "packaging" / "etc" / program.configuration).read_text()
    _write(tree / f"etc/{program.user}/{program.configuration}", example)
    for page in program.manuals:
        _gzip(tree / f"usr/share/man/man{page[-1]}/{page}.gz", manual.page(page))
    _write(tree / f"usr/share/bash-completion/completions/{name}", completion.bash(name))
    _write(tree / f"usr/share/zsh/vendor-completions/_{name}", completion.zsh(name))
    _write(tree / f"usr/share/fish/vendor_completions.d/{name}.fish", completion.fish(name))
    _gzip(tree / f"{docs}/changelog.gz", (ROOT / "CHANGELOG.md").read_text())
    entry = f"{name} ({version}) bookworm; urgency=medium\n\n  * {_CHANGE}\n\n -- {MAINTAINER}  {formatdate(epoch())}\n"
    _gzip(tree / f"{docs}/changelog.Debian.gz", entry)
    _write(tree / f"usr/share/lintian/overrides/{name}", _filled(program, "lintian-overrides"))


def _control(program: Program, tree: Path, version: str, architecture: str) -> None:
    """The control directory: scripts, checksums, conffiles and the control file itself."""
    files = sorted(path for path in tree.rglob("*") if path.is_file())
    kib = sum((path.stat().st_size + 1023) // 1024 for path in files)
    sums = [f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(tree)}\n" for path in files]  # noqa: S324
    control = tree / "DEBIAN"
    _write(control / "md5sums", "".join(sums))
    _write(
        control / "conffiles", "".join(f"/{path.relative_to(tree)}\n" for path in files if tree / "etc" in path.parents)
    )
    for script in ("postinst", "prerm", "postrm"):
        _write(control / script, _filled(program, script), mode=0o755)
    told = "\n .\n".join(
        textwrap.fill(text, 78, initial_indent=" ", subsequent_indent=" ") for text in program.description
    )
    fields = {
        "Package": program.name,
        "Version": version,
        "Architecture": architecture,
        "Maintainer": MAINTAINER,
        "Installed-Size": str(kib),
        "Depends": ", ".join(DEPENDS),
        "Section": "net",
        "Priority": "optional",
        "Description": f"{program.summary}\n{told}",
    }
    _write(control / "control", "".join(f"{key}: {value}\n" for key, value in fields.items()))


def _filled(program: Program, name: str) -> str:
    text = (_TEMPLATES / name).read_text()
    words = {
        "name": program.name,
        "user": program.user,
        "folder": program.folder,
        "configuration": program.configuration,
    }
    for word, value in words.items():
        text = text.replace(f"@{word}@", value)
    return text


def _write(path: Path, text: str, *, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


def _gzip(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    path.chmod(0o644)
