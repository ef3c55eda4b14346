"""Make a URI or host harmless to read in a mail, with an exact inverse (field-research section 6.4 of the protocols).

Used by ``notice`` for every name and URI in subject and body. ``refang(defang(text)) == text`` holds for every text,
so an abuse desk can get the very bytes back. The marks: ``http`` becomes ``hxxp``; in the host every dot ``[.]``;
after the host ``://`` becomes ``[:]//``; ``@`` becomes ``[at]`` everywhere; a bracket that stood there becomes ``[[]``.
"""

from __future__ import annotations

import re
import unicodedata

_SPLIT = re.compile(r"\A((?:[A-Za-z][A-Za-z0-9+.-]*:)?//)?([^/?#]*)(.*)\Z", re.DOTALL)
_CROSSED = re.compile(r"\Ah(x{2,})p")
_MARK = re.compile(r"\[(\[|\.|at|:)\]")
_MARKS = {"[": "[", ".": ".", "at": "@", ":": ":"}
_LINKABLE = re.compile(r"(?<=[^\s.])\.(?=[^\s.])")


def defang(text: str) -> str:
    """A URI, host or any other text such that no mail client makes a link of it; :func:`refang` undoes it exactly."""
    parts = _SPLIT.match(text)
    prefix, host, rest = (parts[1] or "", parts[2], parts[3]) if parts else ("", text, "")
    host = host.replace("[", "[[]").replace("@", "[at]").replace(".", "[.]")
    rest = rest.replace("[", "[[]").replace("@", "[at]").replace("://", "[:]//")
    return _scheme(prefix + host) + rest


def refang(text: str) -> str:
    """The text that :func:`defang` was given."""
    plain = _MARK.sub(lambda mark: _MARKS[mark[1]], text)
    if text.startswith("hxxp"):
        return "http" + plain[4:]
    return _CROSSED.sub(lambda match: f"h{match[1][1:]}p", plain)


def harmless(text: str, limit: int = 120) -> str:
    """Foreign text (a page title, a server's reply) fit to quote: one line, no controls, no direction marks, no link.

    At most ``limit`` characters; what was cut off is shown as three dots. It has no inverse: it is for reading.
    """
    line = re.sub(r"(?i)http(?=s?:)", "hxxp", one_line(text, limit))
    return _LINKABLE.sub("[.]", line).replace("@", "[at]")


def one_line(text: str, limit: int = 120) -> str:
    """A text of our own operator's as one line: no controls, no direction marks, at most ``limit`` characters."""
    line = "".join(" " if unicodedata.category(char) in {"Cc", "Zl", "Zp"} else char for char in text[: limit * 4])
    line = "".join(char for char in line if unicodedata.category(char) not in {"Cf", "Cs", "Co", "Cn"})
    line = " ".join(line.split())
    return line if len(line) <= limit else line[: limit - 3].rstrip() + "..."


def _scheme(text: str) -> str:
    """``http`` at the start gets its crosses; a text that starts with crossed letters gets one more."""
    if text.startswith(("http:", "https:")):
        return "hxxp" + text[4:]
    return _CROSSED.sub(lambda match: f"h{match[1]}xp", text)
