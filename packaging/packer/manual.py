"""Manual pages: the commands from their own command lines, the files from the tables of docs/reference.

After ``commandline`` and ``roff``; ``debian`` puts them under /usr/share/man, ``make man`` into a directory.
"""

from __future__ import annotations

import re
from pathlib import Path

from packer.commandline import Command, Option, read
from packer.programs import PROGRAMS, Program
from packer.roff import NOTHING, bold, document, escaped, inline
from packer.source import ROOT, version

REFERENCE = ROOT / "docs" / "reference"
DOCUMENTS = {
    "panopticond.toml.5": ("panopticond.toml.md", "configuration of panopticond"),
    "arke.json.5": ("arke.json.md", "configuration of arke"),
    "panopticon-records.5": ("records.md", "records.sql, all raw data behind a published snapshot"),
    "panopticon-manifest.5": ("manifest.md", "manifest.json, the signed table of contents of a snapshot"),
    "arke-notice.5": ("notice-template.md", "XML templates of arke's mails"),
}
"""Pages that are a document of the reference: its file, and what the page is about."""
_STATUSES = (
    ("0", "done"),
    ("1", "failed"),
    ("2", "usage or configuration; every fault is told at once, each with its path"),
    ("3", "refused for safety: a bad signature, a rollback, an expired snapshot"),
)


def page(name: str) -> str:
    """The roff text of one page, as ``arke.json.5``."""
    if name in DOCUMENTS:
        source, about = DOCUMENTS[name]
        text = (REFERENCE / source).read_text(encoding="utf-8")
        return _head(name, about) + document(text) + _tail(name)
    return _of_program(PROGRAMS[name.rpartition(".")[0]], name)


def write(out: Path) -> list[Path]:
    """Every page of both programs into ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / name for program in PROGRAMS.values() for name in program.manuals]
    for path in paths:
        path.write_text(page(path.name), encoding="utf-8")
    return paths


def _head(name: str, about: str) -> str:
    stem, section = name.rsplit(".", 1)
    title = f'.TH "{stem.upper()}" {section} "" "panopticon {version()}" "Panopticon and Arke"'
    return f"{title}\n.SH NAME\n{escaped(stem)} \\- {escaped(about)}\n"


def _tail(name: str) -> str:
    every = sorted({page for program in PROGRAMS.values() for page in program.manuals} - {name})
    others = ", ".join(
        f"\\fB{escaped(stem)}\\fR({section})" for stem, section in (page.rsplit(".", 1) for page in every)
    )
    return f".SH SEE ALSO\n{others}\n"


def _of_program(program: Program, name: str) -> str:
    tree, told = read(program.name), _told(program.name)
    parts = [_head(name, program.summary), f".SH SYNOPSIS\n{bold(program.name)} COMMAND ...\n.SH DESCRIPTION\n"]
    parts += [f".PP\n{escaped(text)}\n" for text in program.description]
    parts.append(".SH COMMANDS\n")
    parts += [_of_command(command, told) for command in tree.all() if not command.commands]
    parts.append(".SH EXIT STATUS\n" + "".join(f".TP\n{bold(number)}\n{escaped(text)}\n" for number, text in _STATUSES))
    files = (
        (f"/etc/{program.user}/{program.configuration}", "the configuration"),
        (f"/etc/{program.user}/secrets", "secrets the daemon's user owns, one a file, mode 0600"),
        (f"/etc/{program.user}/credentials", "secrets of root alone; the unit's LoadCredential= hands them over"),
        (f"/var/lib/{program.user}", "its state"),
        (f"/run/{program.user}/status.sock", "the status socket"),
    )
    parts.append(".SH FILES\n" + "".join(f".TP\n\\fI{escaped(path)}\\fR\n{escaped(text)}\n" for path, text in files))
    parts.append(
        ".SH ENVIRONMENT\n.TP\n\\fBNOTIFY_SOCKET\\fR, \\fBWATCHDOG_USEC\\fR\nset by systemd: where the daemon says "
        "that it is ready, what it does and that it gets on, as in \\fBsd_notify\\fR(3)\n"
    )
    return "".join(parts) + _tail(name)


def _of_command(command: Command, told: dict[str, str]) -> str:
    words = " ".join(command.path)
    said = dict.fromkeys(text for row, text in told.items() if row == words or row.startswith(words + " "))
    text = " ".join(said) or escaped(command.help[:1].upper() + command.help[1:] + ".")
    entries = [entry for entry in (*command.arguments, *command.options) if "-h" not in entry.names]
    below = "".join(_of_option(entry) for entry in entries)
    return f".SS {escaped(words)}\n.PP\n{escaped(command.usage)}\n.PP\n{text}\n{below}"


def _of_option(option: Option) -> str:
    name = ", ".join(bold(name) for name in option.names)
    value = f"\\fI{escaped(option.value)}\\fR" if option.value else ""
    words = f"one of {', '.join(option.choices)}" if option.choices else ""
    text = "; ".join(part for part in (option.help, words) if part)
    return f".TP\n{' '.join(part for part in (name, value) if part)}\n{escaped(text) or NOTHING}\n"


def _told(program: str) -> dict[str, str]:
    """What docs/reference/commands.md says of each command, by the words it begins with."""
    rows = re.findall(
        r"^\| `([^`]+)` \| (.*) \|$", (REFERENCE / "commands.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    found: dict[str, str] = {}
    for shown, said in rows:
        words = re.split(r" (?=[-\[A-Z])", shown.replace("\\|", "|"))[0].split()
        if words[0] != program:
            continue
        *before, last = words
        for one in last.split("|"):
            found[" ".join([*before, one])] = inline(said)
    return found
