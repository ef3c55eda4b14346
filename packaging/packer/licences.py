"""The licences of everything in a site directory, as Debian's copyright file tells them.

Between ``vendored`` and ``debian``. Texts every Debian host has under /usr/share/common-licenses are named, all others
stand word for word; a distribution without a licence text or a licence's name stops the build.
"""

from __future__ import annotations

import email.parser
from pathlib import Path

from packer.errors import PackingError

COMMON = {
    "Apache License\nVersion 2.0, January 2004": "Apache-2.0",
    "GNU LESSER GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007": "LGPL-3",
    "Mozilla Public License Version 2.0\n=====": "MPL-2.0",
}
"""How a text every Debian host has begins, white space aside; and its name under /usr/share/common-licenses."""
OURS = "Panopticon and Arke: copyright 2026 the Panopticon authors. Licensed under the Apache License, version 2.0."
_TEXTS = ("LICENSE*", "LICENCE*", "COPYING*", "NOTICE*", "licenses/**/*")


def copyright_text(site: Path) -> str:
    """The copyright file of a package that holds ``site``; PackingError names what has no licence."""
    parts = [OURS, "The text is in /usr/share/common-licenses/Apache-2.0.", _ABOUT]
    records = sorted(site.glob("*.dist-info"), key=lambda path: path.name.lower())
    parts += [_of(record) for record in records if not record.name.startswith("panopticon-")]
    return "\n\n".join(parts) + "\n"


_ABOUT = """The libraries below /usr/lib come from their authors' releases, unchanged but for tests, headers and type
stubs left out. Compiled ones hold the libraries they are built on: apsw SQLite (public domain), cryptography OpenSSL
(Apache-2.0), zstandard Zstandard (BSD-3-Clause), can_ada Ada (MIT or Apache-2.0), and
psycopg-binary libpq (PostgreSQL), OpenSSL, MIT Kerberos (MIT) and OpenLDAP (OLDAP-2.8)."""


def _of(record: Path) -> str:
    said = email.parser.Parser().parsestr((record / "METADATA").read_text(encoding="utf-8"))
    named = said["License-Expression"] or said["License"]
    if not named:
        named = next((one.rpartition(" :: ")[2] for one in said.get_all("Classifier", []) if "License" in one), None)
    texts = sorted({path for pattern in _TEXTS for path in record.glob(pattern) if path.is_file()})
    if not named or not texts:
        raise PackingError(f"{record.name}: no licence, or no text of it; it cannot be passed on")
    head = f"{said['Name']} {said['Version']}"
    line = f"{head}\n{'=' * len(head)}\nLicense: {named.splitlines()[0]}"
    return "\n\n".join([line, *(_text(path) for path in texts)])


def _text(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace").strip()
    plain = " ".join(text.split())
    for beginning, name in COMMON.items():
        if plain.startswith(" ".join(beginning.split())):
            return f"{path.name}: see /usr/share/common-licenses/{name}."
    return f"{path.name}:\n\n{text}"
