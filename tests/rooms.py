"""``python -m tests.rooms``: writes every module's first sentence into docs/architecture.md; a house test compares."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- rooms: written by python -m tests.rooms -->", "<!-- end of rooms -->"


def table() -> str:
    """The rooms as Markdown, folder by folder, in the order of the tree."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    for package in ("panopticond", "arke"):
        folders = sorted({path.parent for path in (ROOT / package).rglob("*.py")}, key=str)
        for folder in folders:
            modules = sorted(path for path in folder.glob("*.py") if path.stem != "__init__" and _first(path))
            if not modules:
                continue
            about = _first(folder / "__init__.py")
            yield f"\n**`{folder.relative_to(ROOT)}/`** {about}\n"
            yield "| module | |"
            yield "|---|---|"
            yield from (f"| `{path.stem}` | {_first(path)} |" for path in modules)


def _first(path: Path) -> str:
    sentence = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0].split("\n")[0]
    return sentence.replace("``", "`").replace("|", r"\|")


def page() -> str:
    """The whole page as it should stand."""
    text = PAGE.read_text()
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page())
