"""Markdown into roff: what roff would take for a command or a mark is printed as it stands."""

from __future__ import annotations

import pytest
from packer.roff import document, escaped, inline


@pytest.mark.parametrize(
    ("text", "roff"),
    [("a-b", r"a\-b"), (r"back\slash", r"back\eslash"), (".TH x", r"\&.TH x"), ("it's ~^`", r"it\(aqs \(ti\(ha\(ga")],
)
def test_text_is_printed_as_it_stands(text: str, roff: str) -> None:
    """Hyphens are minus signs, backslashes backslashes, and a dot at the beginning is no command."""
    assert escaped(text) == roff


def test_marks_within_a_paragraph() -> None:
    """Code and strong become bold, emphasis italics, a link its text; a lone asterisk stays."""
    text = "`-c FILE` is **bold**, *slanted*, [a `page`](x.md) and 2 * 3"
    assert inline(text) == r"\fB\-c FILE\fR is \fBbold\fR, \fIslanted\fR, a \fBpage\fR and 2 * 3"


def test_a_page() -> None:
    """Headings, a table with what its columns are called, a list over two lines, and a fenced block left alone."""
    page = document(
        "# Title\n\nFirst\nlines.\n\n## Part one\n\n| key | default | meaning |\n|---|---|---|\n| `a\\|b` | `1` | What. |\n"
        "| `c` | — | Else. |\n\n* one\n  goes on\n* two\n\n```\n.raw -x\n\n```\n"
    )
    assert page == (
        '.SH DESCRIPTION\n.PP\nFirst lines.\n.SH "PART ONE"\n.PP\n.TP\n\\fBa|b\\fR\ndefault: \\fB1\\fR. What.\n'
        ".TP\n\\fBc\\fR\nElse.\n.IP \\(bu 4\none goes on\n.IP \\(bu 4\ntwo\n"
        ".PP\n.RS 4\n.nf\n\\&.raw \\-x\n\\&\n.fi\n.RE\n"
    )
