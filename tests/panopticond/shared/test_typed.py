"""The first word of a command that is printed to be typed."""

from __future__ import annotations

from pathlib import Path

from panopticond.shared.typed import program


def test_a_program_that_a_shell_finds_is_named_alone(tmp_path: Path) -> None:
    """As installed from a package, whichever way it was called by."""
    found = tmp_path / "arke"
    found.write_text("#!/bin/sh\n")
    found.chmod(0o755)
    assert program("arke", str(found), str(tmp_path)) == "arke"


def test_a_program_out_of_the_path_is_named_by_its_path(tmp_path: Path) -> None:
    """In a checkout ``arke`` alone would not be found; a space in the path is quoted."""
    assert program("arke", ".venv/bin/arke", str(tmp_path)) == str(Path.cwd() / ".venv/bin/arke")
    assert program("arke", "my files/arke", str(tmp_path)) == f"'{Path.cwd() / 'my files/arke'}'"


def test_a_module_run_by_python_keeps_the_name(tmp_path: Path) -> None:
    """``python -m arke``: the path of a module is no command."""
    assert program("arke", "/somewhere/arke/__main__.py", str(tmp_path)) == "arke"
