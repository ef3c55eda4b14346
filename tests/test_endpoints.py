"""Every endpoint of the code stands in docs/reference: the status sockets, MoSAPI, the repository; and no other does."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from panopticond.shared import snapshot

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
ANSWERED = {
    "repository": ("panopticond/serve/repository.py",),
    "mosapi": ("panopticond/serve/mosapi.py", "panopticond/serve/mosapiwire.py"),
}
"""By page, the modules whose statuses it lists."""
PLAIN = {200, 304}
"""What MoSAPI's page says beside the requests, not in the table of its errors."""


def page(name: str) -> str:
    return (REFERENCE / f"{name}.md").read_text()


def words_asked(path: str) -> set[str]:
    """What a ``match`` over requests takes for ``do``: case "status", or case {"do": "status", ...}."""
    found = set()
    for case in (node for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.match_case)):
        pattern: ast.pattern | None = case.pattern
        if isinstance(pattern, ast.MatchMapping):
            pairs = zip(pattern.keys, pattern.patterns, strict=True)
            pattern = next((one for key, one in pairs if isinstance(key, ast.Constant) and key.value == "do"), None)
        if isinstance(pattern, ast.MatchValue) and isinstance(pattern.value, ast.Constant):
            found.add(str(pattern.value.value))
    return found


@pytest.mark.parametrize(
    ("name", "path"),
    [("panopticond-status-socket", "panopticond/status/answer.py"), ("arke-status-socket", "arke/desk.py")],
)
def test_the_status_sockets_requests_are_those_of_their_pages(name: str, path: str) -> None:
    """A row for each request the daemon answers, and none for another; each key of `status` has one row."""
    asked = words_asked(path)
    assert {"status", "metrics"} <= asked
    assert set(re.findall(r'^\| `\{"do": "(\w+)"', page(name), re.MULTILINE)) == asked
    keys = [
        key
        for row in re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page(name), re.MULTILINE)
        for key in re.findall(r"\w+", row)
    ]
    assert sorted(set(keys)) == sorted(keys)
    assert "api" in keys


def gathered(path: str, function: str) -> set[str]:
    """The keys of the dictionary that a function returns."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.AsyncFunctionDef) and node.name == function:
            (returned,) = (
                one.value for one in ast.walk(node) if isinstance(one, ast.Return) and isinstance(one.value, ast.Dict)
            )
            return {str(key.value) for key in returned.keys if isinstance(key, ast.Constant)}
    raise AssertionError(function)


@pytest.mark.parametrize(
    ("name", "path", "function"),
    [
        ("panopticond-status-socket", "panopticond/status/answer.py", "gather"),
        ("arke-status-socket", "arke/desk.py", "status"),
    ],
)
def test_every_key_of_status_is_documented(name: str, path: str, function: str) -> None:
    """The first column of the page's second table names each key of the answer, and no other."""
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page(name), re.MULTILINE)
    assert set(re.findall(r"\w+", " ".join(rows))) == gathered(path, function)


def statuses(path: str) -> Iterator[int]:
    """Each HTTP status a module answers with."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Call):
            given = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "status_code")]
            for one in given:
                if isinstance(one, ast.Constant) and isinstance(one.value, int) and 200 <= one.value < 600:
                    yield one.value


@pytest.mark.parametrize("name", ANSWERED)
def test_every_status_has_its_row(name: str) -> None:
    """The page says when each status comes that the code sends; it lists none that never comes."""
    sent = {status for path in ANSWERED[name] for status in statuses(path)}
    listed = {int(status) for status in re.findall(r"^\| (\d{3}) \|", page(name), re.MULTILINE)}
    assert sent - PLAIN == listed - PLAIN
    assert {401, 404, 405} <= listed


def test_mosapis_paths_are_documented() -> None:
    """Each path the server compares a request with."""
    text = (ROOT / "panopticond/serve/mosapi.py").read_text()
    paths = set(re.findall(r'"v2/([\w/]+)"', text)) | set(re.findall(r'\brest == "(\w+)"', text))
    assert {"metrica/domainLists", "monitoring/state", "login", "logout"} <= paths
    written = page("mosapi")
    assert [path for path in sorted(paths) if not re.search(rf"`[^`]*{path}[^`]*`", written)] == []


def test_the_repositorys_files_are_documented() -> None:
    """Every file of a snapshot and of a month, by its name."""
    names = {*snapshot.FILES, snapshot.MANIFEST, snapshot.SIGNATURE, *snapshot.MONTH_FILES}
    assert [name for name in sorted(names) if f"`{name}`" not in page("repository")] == []
