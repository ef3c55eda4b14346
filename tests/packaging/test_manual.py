"""The manual pages name every command, option, key, table column, manifest key and template word there is."""

from __future__ import annotations

import re

import msgspec
import pytest
from packer import manual
from packer.commandline import read
from packer.programs import PROGRAMS

from arke.mail import template
from panopticond.shared import tables
from panopticond.shared.snapshot import Manifest, ManifestFile
from tests.test_house import FIGURES, _keys


def plain(page: str) -> str:
    """A page's text without roff's marks."""
    text = re.sub(r"\\f[BIR]", "", manual.page(page))
    for mark, character in (("\\-", "-"), ("\\e", "\\"), ("\\(ti", "~"), ("\\(ha", "^"), ("\\(aq", "'"), ("\\&", "")):
        text = text.replace(mark, character)
    return text


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_command_and_option_has_its_place(program: str) -> None:
    """Each command has a section of its own with its usage, and each of its options stands in it."""
    sections = dict(re.findall(r"^\.SS (.+)\n((?:(?!\.SS |\.SH ).*\n)*)", plain(f"{program}.8"), re.MULTILINE))
    leaves = [command for command in read(program).all() if not command.commands]
    assert len(leaves) > 10
    for command in leaves:
        section = sections[" ".join(command.path)]
        assert command.usage in section
        names = [name for option in command.options for name in option.names if name not in {"-h", "--help"}]
        assert [name for name in names if name not in section] == []


@pytest.mark.parametrize(("page", "figure"), [("panopticond.toml.5", "panopticond.toml"), ("arke.json.5", "arke.json")])
def test_every_key_has_an_entry(page: str, figure: str) -> None:
    """Each configuration key is the head of an entry."""
    heads = set(re.findall(r"^\.TP\n(.+)$", plain(page), re.MULTILINE))
    assert set(_keys(FIGURES[figure])) - heads == set()


def test_every_table_and_column_of_records_sql_has_an_entry() -> None:
    """Tables are sections, columns their entries."""
    text = plain("panopticon-records.5")
    for table, row in tables.TABLES.items():
        section = text.split(f'.SS "{table}"\n')[1].split(".SS ")[0].split(".SH ")[0]
        heads = set(re.findall(r"^\.TP\n(.+)$", section, re.MULTILINE))
        assert {field.encode_name for field in msgspec.structs.fields(row)} - heads == set()


def test_every_key_of_the_manifest_has_an_entry() -> None:
    """Those of the manifest and those of a file in it."""
    heads = set(re.findall(r"^\.TP\n(.+)$", plain("panopticon-manifest.5"), re.MULTILINE))
    keys = {field.encode_name for field in msgspec.structs.fields(Manifest)}
    keys |= {f"files.{field.encode_name}" for field in msgspec.structs.fields(ManifestFile)}
    assert heads == keys


def test_the_page_of_templates_names_every_kind() -> None:
    """Each kind of notice a template may hold is named."""
    text = plain("arke-notice.5")
    assert [kind for kind in template.KINDS if kind not in text] == []
