"""arke.screening.popular and what is made of it: popular names as Tranco publishes them, out of files."""

from __future__ import annotations

import bz2
import gzip
import io
import zipfile
from pathlib import Path

import pytest

from arke.screening.lists import watched
from arke.screening.popular import popular_argument, popular_names
from panopticond.shared.errors import PanopticonError
from panopticond.shared.ranking import review_list

ROWS = b"1,Bigsearch.test\r\n2,office.test\r\n3,xl.test\r\n4,bigbroker.zz\r\n5,b\xc3\xa4d.test\r\n"


def zipped(rows: bytes, name: str = "top-1m.csv") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, rows)
    return out.getvalue()


@pytest.mark.parametrize("content", [ROWS, gzip.compress(ROWS), bz2.compress(ROWS), zipped(ROWS)])
def test_the_list_is_read_as_it_is_published(tmp_path: Path, content: bytes) -> None:
    """A zip, a compressed CSV and a plain one give the same names, best first, no more than asked for."""
    path = tmp_path / "list"
    path.write_bytes(content)
    assert popular_names(path) == ["bigsearch.test", "office.test", "xl.test", "bigbroker.zz"]
    assert popular_names(path, 2) == ["bigsearch.test", "office.test"]


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 5000, b"rank,domain\n", b"PK\x03\x04broken", zipped(ROWS, "readme.md"), gzip.compress(ROWS)[:20]],
)
def test_what_is_no_list_is_named(tmp_path: Path, content: bytes) -> None:
    """An empty, foreign or broken file is one sentence with its path."""
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(PanopticonError, match="list: "):
        popular_names(tmp_path / "list")


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    """So is one that is not there."""
    with pytest.raises(PanopticonError, match="nowhere"):
        popular_names(tmp_path / "nowhere")


def test_only_what_is_wanted_is_read(tmp_path: Path) -> None:
    """A line without end, gigabytes compressed to little, is read no further than names are wanted of it."""
    (tmp_path / "list").write_bytes(gzip.compress(ROWS + b"a" * (8 << 20)))
    assert len(popular_names(tmp_path / "list", 3)) == 3


def test_the_argument_may_say_how_many(tmp_path: Path) -> None:
    """``FILE:N``; a file whose name ends so is that file; a number out of bounds is refused."""
    (tmp_path / "odd:7").touch()
    assert popular_argument("top.csv:250") == (Path("top.csv"), 250)
    assert popular_argument("top.csv") == (Path("top.csv"), 1000)
    assert popular_argument(str(tmp_path / "odd:7")) == (tmp_path / "odd:7", 1000)
    with pytest.raises(ValueError, match="100000"):
        popular_argument("top.csv:0")


def test_popular_names_are_protected_and_their_owners_left_alone(tmp_path: Path) -> None:
    """A slip of a popular name is found; its own name is not, nor a lure word; short ones by shape only, unwarned."""
    (tmp_path / "list").write_bytes(ROWS)
    found = watched((), (tmp_path / "list", 100))
    zone = ["bigsaerch.zz", "bigbroker.zz", "bigbroker-login.zz", "offices.zz", "xla.zz", "x1.zz"]
    names = [item.name for item in review_list(zone, (), found.protected, found.owned, None, None)]
    assert set(names) == {"bigsaerch.zz", "bigbroker-login.zz", "x1.zz"}
    assert found.protected.warnings == []
