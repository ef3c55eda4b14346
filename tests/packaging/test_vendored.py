"""What goes into a package and what does not, on made-up sites."""

from __future__ import annotations

from pathlib import Path

import pytest
from packer.errors import PackingError
from packer.licences import copyright_text
from packer.programs import ARKE, PANOPTICOND, PROGRAMS
from packer.source import ROOT, export, requirements
from packer.vendored import needed, prune

FENCED = (
    "feeds",
    "store",
    "window.py",
    "schedule.py",
    "snapshot",
    "report",
    "serve",
    "main.py",
    "config.py",
    "commands",
)
"""What arke may not import of panopticond (pyproject.toml, import-linter)."""


def record(site: Path, name: str, metadata: str, **texts: str) -> None:
    folder = site / f"{name}-1.0.dist-info"
    (folder / "licenses").mkdir(parents=True)
    (folder / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n{metadata}\n")
    for text_name, text in texts.items():
        (folder / "licenses" / text_name).write_text(text)


def test_a_site_is_left_with_what_a_daemon_reads(tmp_path: Path) -> None:
    """Tests, headers, stubs, scripts, byte code and zstandard's second back end go; interpreter lines too."""
    for name in ("lib/core.py", "lib/core.pyi", "lib/core.c", "lib/tests/test_core.py", "lib/_tests/x.py", "lib/data.txt",
                 "lib/__pycache__/core.pyc", "lib-stubs/core.pyi", "bin/tool", "zstandard/__init__.py", "lib/only.h",
                 "zstandard/backend_cffi.py", "zstandard/_cffi.cpython-311-x86_64-linux-gnu.so", "heads/one.h",
                 "lib-1.0.dist-info/METADATA", "lib-1.0.dist-info/RECORD", "lib-1.0.dist-info/licenses/LICENSE"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("#!/usr/bin/env python\nx = 1\n")
        path.chmod(0o700)
    prune(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"lib/core.py", "lib/data.txt", "zstandard/__init__.py", "lib-1.0.dist-info/METADATA"}
    assert not (tmp_path / "heads").exists()
    assert (tmp_path / "lib/core.py").read_text() == "x = 1\n"
    assert (tmp_path / "lib/data.txt").read_text().startswith("#!")
    assert (tmp_path / "lib/core.py").stat().st_mode & 0o777 == 0o644


def test_licences_stand_word_for_word_but_for_what_every_debian_has(tmp_path: Path) -> None:
    """A text of its own is kept whole; the Apache licence is named by its place; the classifier serves without a field."""
    record(
        tmp_path, "mit", "License-Expression: MIT", LICENSE="Copyright (c) 2020 Somebody\n\nPermission is hereby ..."
    )
    apache = "   Apache License\n  Version 2.0, January 2004\n lots of it"
    record(tmp_path, "apache", "Classifier: License :: OSI Approved :: Apache Software License", LICENSE=apache)
    text = copyright_text(tmp_path)
    assert "Copyright (c) 2020 Somebody\n\nPermission is hereby ..." in text
    assert "lots of it" not in text
    assert "LICENSE: see /usr/share/common-licenses/Apache-2.0." in text
    assert text.index("apache 1.0") < text.index("mit 1.0")


@pytest.mark.parametrize(("metadata", "texts"), [("License: MIT", {}), ("", {"LICENSE": "do what you like"})])
def test_what_has_no_licence_stops_the_build(metadata: str, texts: dict[str, str], tmp_path: Path) -> None:
    """Neither a licence's name without its text nor a text without a name may be passed on."""
    record(tmp_path, "loose", metadata, **texts)
    with pytest.raises(PackingError, match=r"loose-1\.0\.dist-info: no licence"):
        copyright_text(tmp_path)


def test_each_program_takes_what_it_may_import() -> None:
    """Arke brings nothing its fences keep it from, and each leaves out what only the other imports."""
    assert not {f"panopticond/{room}" for room in FENCED} & set(ARKE.rooms)
    assert all((ROOT / room).exists() for program in PROGRAMS.values() for room in program.rooms)
    assert set(needed(PANOPTICOND)) <= set(requirements(("postgres",)))
    assert not [line for line in needed(ARKE) if line.startswith(("jinja2", "starlette", "hypercorn", "psycopg"))]
    assert not [line for line in needed(PANOPTICOND) if line.startswith("aiosmtplib")]


def test_only_what_git_knows_is_packed(tmp_path: Path) -> None:
    """The export holds the packages' modules and data, no byte code, with plain modes."""
    export(tmp_path)
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert {
        "pyproject.toml",
        "panopticond/__main__.py",
        "arke/__main__.py",
        "panopticond/shared/data/dga.json",
    } <= names
    assert not [name for name in names if "__pycache__" in name or name.startswith(("tests", "docs", ".venv"))]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()} == {0o644}
