"""Markdown as docs/reference uses it, into roff's man macros (man(7)). Pure; ``manual`` writes pages with it.

Knows headings, paragraphs, tables, lists, fenced blocks, code, emphasis and links; that is all the reference uses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

_INLINE = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|(?<![\w*])\*([^*\s][^*]*)\*(?!\w)|\[([^\]]+)\]\([^)]*\)")
_SAFE = str.maketrans({"\\": "\\e", "-": "\\-", "~": "\\(ti", "^": "\\(ha", "`": "\\(ga", "'": "\\(aq"})
_BEGINS = re.compile(r"^\.", re.MULTILINE)
NOTHING = "\\&"
"""What stands where a line must not be empty."""
_FONTS = re.compile(r"\\f[BIR]")
_PLAIN_COLUMNS = {"", "meaning", "what it does", "what it is"}
"""Headings of columns whose texts speak for themselves."""


def escaped(text: str) -> str:
    """Text that roff prints as it stands: backslashes, hyphens that are minus signs, and dots that begin a line."""
    return _BEGINS.sub(r"\\&.", text.translate(_SAFE))


def bold(text: str) -> str:
    """Text in bold."""
    return f"\\fB{escaped(text)}\\fR"


def inline(text: str) -> str:
    """One paragraph's Markdown: code and strong in bold, emphasis in italics, a link as its text."""
    parts, at = [], 0
    for match in _INLINE.finditer(text):
        parts.append(escaped(text[at : match.start()]))
        code, strong, emphasis, link = match.groups()
        if code or strong:
            parts.append(bold(code or strong))
        else:
            parts.append(f"\\fI{escaped(emphasis)}\\fR" if emphasis else inline(link))
        at = match.end()
    return "".join(parts) + escaped(text[at:]).rstrip()


def document(text: str) -> str:
    """A whole page of Markdown, its title left out."""
    return "".join(_blocks(text.replace("\\|", "\0").splitlines())).replace("\0", "|")


def _blocks(lines: list[str]) -> Iterator[str]:
    yield ".SH DESCRIPTION\n"
    at = 0
    while at < len(lines):
        line = lines[at]
        end = at + 1
        if line.startswith("```"):
            end = next((n for n in range(at + 1, len(lines)) if lines[n].strip() == "```"), len(lines))
            yield (
                ".PP\n.RS 4\n.nf\n"
                + "".join(f"{escaped(code) or NOTHING}\n" for code in lines[at + 1 : end])
                + ".fi\n.RE\n"
            )
            end += 1
        elif line.startswith("#"):
            level, words = line.split(" ", 1)
            if len(level) > 1:
                yield f".{'SH' if len(level) == 2 else 'SS'} {_heading(words, upper=len(level) == 2)}\n"
        elif line.startswith("|"):
            end = _while(lines, at, lambda text: text.startswith("|"))
            yield from _table(lines[at:end])
        elif re.match(r"([*-]|\d+\.) ", line):
            end = _while(lines, at + 1, lambda text: text.startswith(("  ", "\t")) and bool(text.strip()))
            mark = "\\(bu" if line[0] in "*-" else line.split(" ", 1)[0]
            pieces = [line.split(" ", 1)[1], *lines[at + 1 : end]]
            yield f".IP {mark} 4\n{inline(' '.join(piece.strip() for piece in pieces))}\n"
        elif line.strip():
            end = _while(lines, at, lambda text: bool(text.strip()) and not re.match(r"```|#|\||[*-] ", text))
            yield f".PP\n{inline(' '.join(lines[at:end]))}\n"
        at = end


def _while(lines: list[str], at: int, goes_on: Callable[[str], bool]) -> int:
    """The first line from ``at`` on of which it does not hold."""
    while at < len(lines) and goes_on(lines[at]):
        at += 1
    return at


def _heading(words: str, *, upper: bool) -> str:
    text = inline(words.upper() if upper else words)
    return '"' + _FONTS.sub("", text) + '"'


def _table(lines: list[str]) -> Iterator[str]:
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines]
    heads = rows[0]
    yield ".PP\n"
    for row in rows[2:]:
        texts = [
            inline(cell) if heads[n] in _PLAIN_COLUMNS else f"{inline(heads[n])}: {inline(cell)}"
            for n, cell in enumerate(row)
            if n and cell not in {"", "—"} and n < len(heads)
        ]
        text = " ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in texts)
        yield f".TP\n{inline(row[0])}\n{text or NOTHING}\n"
