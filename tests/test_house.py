"""The house rules: lengths, names, docstrings, documented keys and commands, nothing of this workplace in the tree."""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import arke.__main__
import arke.config
import panopticond.__main__
import panopticond.config
from panopticond.shared.tables import TABLES, columns
from tests import rooms

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted([*(ROOT / "panopticond").rglob("*.py"), *(ROOT / "arke").rglob("*.py")])
LONGEST_MODULE_LINES, LONGEST_FUNCTION_LINES = 400, 60
BANNED_NAMES = {"utils", "helpers", "common", "misc", "manager"}
FIGURES = {"panopticond.toml": panopticond.config.Config, "arke.json": arke.config.Config}


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_modules_are_short_and_say_what_they_do(path: Path) -> None:
    """At most 400 lines, functions at most 60, a module docstring, and no catch-all name."""
    text = path.read_text()
    tree = ast.parse(text)
    assert text.count("\n") <= LONGEST_MODULE_LINES
    long = [f"{function.name}: {function.end_lineno - function.lineno + 1}" for function in _functions(tree)
            if function.end_lineno and function.end_lineno - function.lineno + 1 > LONGEST_FUNCTION_LINES]  # fmt: skip
    assert not long
    assert ast.get_docstring(tree), "a module opens with what it does and where it stands in the flow"
    assert path.stem not in BANNED_NAMES


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_public_names_have_docstrings(path: Path) -> None:
    """Every public function, method and class says what it gives."""
    tree = ast.parse(path.read_text())
    silent = []
    for parent in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]:
        for node in parent.body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            private = isinstance(parent, ast.ClassDef) and parent.name.startswith("_")
            if not private and ast.get_docstring(node) is None:
                silent.append(node.name)
    assert not silent


def _keys(struct: type[msgspec.Struct], path: str = "") -> Iterator[str]:
    for field in msgspec.structs.fields(struct):
        here = f"{path}.{field.encode_name}" if path else field.encode_name
        yield here
        for inner in _structs(field.type):
            yield from _keys(inner, here)


def _structs(kind: object) -> list[type[msgspec.Struct]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    return [inner for argument in getattr(kind, "__args__", ()) for inner in _structs(argument)]


@pytest.mark.parametrize("name", FIGURES)
def test_every_configuration_key_is_documented(name: str) -> None:
    """docs/reference names each key of both configuration files as `section.key`."""
    text = (ROOT / "docs" / "reference" / f"{name}.md").read_text()
    assert [key for key in _keys(FIGURES[name]) if f"`{key}`" not in text] == []


@pytest.mark.parametrize("program", ["panopticond", "arke"])
def test_every_command_is_documented(program: str) -> None:
    """docs/reference/commands.md names each command the program's own help names."""
    text = (ROOT / "docs" / "reference" / "commands.md").read_text()
    shown = subprocess.run(
        [str(ROOT / ".venv" / "bin" / program), "--help"], capture_output=True, text=True, check=True
    ).stdout
    commands = re.findall(r"^ {4}([a-z][a-z-]+)(?: |$)", shown, re.MULTILINE)
    assert len(commands) >= 5
    assert [command for command in commands if f"`{program} {command}" not in text] == []


def _commands(parser: argparse.ArgumentParser, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Every command with its long options, the words of its groups before it."""
    groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for group in groups:
        for name, inner in group.choices.items():
            yield from _commands(inner, (*words, name))
    if not groups:
        options = [word for action in parser._actions for word in action.option_strings if word.startswith("--")]
        yield words, [word for word in options if word not in ("--help", "--config")]


@pytest.mark.parametrize("program", ["panopticond", "arke"])
def test_every_option_is_documented(program: str) -> None:
    """docs/reference/commands.md has a row for each command that names each of its options, as --help does."""
    rows = (ROOT / "docs" / "reference" / "commands.md").read_text().splitlines()
    parser = {"panopticond": panopticond.__main__.command_line, "arke": arke.__main__.command_line}[program]()
    missing = []
    for words, options in _commands(parser, (program,)):
        mine = [row for row in rows if row.startswith(f"| `{' '.join(words[:2])}")]
        missing += [" ".join([*words, word]) for word in options if not any(word in row for row in mine)]
        missing += [] if mine else [" ".join(words)]
    assert missing == []


def test_every_table_and_column_is_documented() -> None:
    """docs/reference/records.md has a section for each table of records.sql that names each of its columns."""
    page = (ROOT / "docs" / "reference" / "records.md").read_text()
    for name, row in TABLES.items():
        section = re.split(r"^##", page.split(f"### {name}\n")[1], flags=re.MULTILINE)[0]
        assert [column for column, _, _ in columns(row) if f"`{column}`" not in section] == [], name


def test_every_room_is_in_the_architecture() -> None:
    """docs/architecture.md carries every module's own first sentence; `make format` writes them."""
    assert rooms.PAGE.read_text() == rooms.page()


def test_nothing_of_the_workplace_is_in_the_tree() -> None:
    """No machine path, package-registry host or session tool is committed."""
    files = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False
    ).stdout.split()
    marks = ["/" + "work/", "/" + "root/", "pypi" + ".org", "files.python" + "hosted", "farm-" + "studio"]
    found = []
    for name in files:
        path = ROOT / name
        if path.is_file() and path.stat().st_size < 1 << 20:
            text = path.read_text(errors="replace")
            found += [f"{name}: {mark}" for mark in marks if mark in text]
    assert found == []
