"""Defang and refang over URIs that feeds really carried; only where the captures lie beside the tree."""

import bz2
import gzip
import os
import re
from collections.abc import Iterator
from pathlib import Path

from arke.mail.defang import defang, refang

DATA = Path(os.environ.get("PANOPTICON_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
__test__ = (DATA / "feeds").is_dir()  # without the captures nothing of this module is collected
WANTED = 100_000
FILE_LIMIT_BYTES = 32 << 20
_URI = re.compile(r"https?://[^\s\"'<>,]{1,2000}")


def captured() -> Iterator[str]:
    """Every URI in the captured feeds, file by file."""
    openers = {".gz": gzip.open, ".bz2": bz2.open}
    for path in sorted((DATA / "feeds").rglob("*")):
        if path.is_file() and path.suffix not in (".zip", ".zst"):
            with openers.get(path.suffix, open)(path, "rb") as file:
                yield from _URI.findall(file.read(FILE_LIMIT_BYTES).decode("utf-8", "surrogateescape"))


def test_a_hundred_thousand_captured_uris_come_back_exactly() -> None:
    """No two of them look the same defanged, none is a link any more, each comes back byte for byte."""
    uris = set[str]()
    for uri in captured():
        uris.add(uri)
        if len(uris) >= WANTED:
            break
    assert len(uris) == WANTED
    wrong = [uri for uri in uris if refang(defang(uri)) != uri]
    assert wrong == []
    shown = {defang(uri) for uri in uris}
    assert len(shown) == WANTED
    assert not any("http://" in text or "https://" in text for text in shown)
