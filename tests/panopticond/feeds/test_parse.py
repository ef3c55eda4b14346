"""``feeds parse``: NDJSON and a summary in which every row is accounted for."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from panopticond.feeds.parse import list_command, parse_command
from panopticond.shared.errors import ConfigurationError, PanopticonError

BODY = (
    b"http://a.example.ee/x?e=jo@example.org\nb.example.org\nhttp://192.0.2.1/\nhttp://[\n\n# comment\nb.example.org\n"
)


def parse(path: Path, form: str = "url-list", **more: Any) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
    out, err = io.BytesIO(), io.StringIO()
    status = parse_command(form, str(path), out=out, err=err, **more)
    return (
        status,
        [json.loads(line) for line in out.getvalue().splitlines()],
        json.loads(err.getvalue().splitlines()[-1]),
    )


def test_keys_and_summary(tmp_path: Path) -> None:
    """The nine keys in their order, null if unknown, nothing deduplicated; rows are the sum of the rest."""
    (tmp_path / "f").write_bytes(BODY)
    status, rows, summary = parse(tmp_path / "f")
    assert status == 0
    assert rows[0] == {
        "uri": "http://a.example.ee/x?e=redacted",
        "host": "a.example.ee",
        "domain": "example.ee",
        "tld": "ee",
        "scope": "subordinate",
        "threat": None,
        "first_seen": None,
        "source_id": None,
        "altered": True,
    }
    assert list(rows[0]) == ["uri", "host", "domain", "tld", "scope", "threat", "first_seen", "source_id", "altered"]
    assert [row["host"] for row in rows] == ["a.example.ee", "b.example.org", "b.example.org"]
    assert rows[1]["uri"] is None
    assert summary == {"rows": 5, "indicators": 3, "out_of_scope": 1, "rejected": {"no-valid-uri": 1}}


def test_tld_and_threat(tmp_path: Path) -> None:
    """--tld keeps that TLD's, --threat says what rows are that do not say."""
    (tmp_path / "f").write_bytes(BODY)
    _, rows, summary = parse(tmp_path / "f", tlds=["EE", "zz"], threat="malware")
    assert [(row["tld"], row["threat"]) for row in rows] == [("ee", "malware")]
    assert summary == {"rows": 5, "indicators": 1, "out_of_scope": 3, "rejected": {"no-valid-uri": 1}}


def zipped(body: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("feed.txt", body)
    return file.getvalue()


@pytest.mark.parametrize("wrap", [gzip.compress, bz2.compress, zstandard.compress, zipped])
def test_compressed_files_are_read_as_they_are(tmp_path: Path, wrap: Callable[[bytes], bytes]) -> None:
    """Whatever the name, the first bytes tell."""
    (tmp_path / "f").write_bytes(wrap(BODY))
    assert parse(tmp_path / "f")[2]["rows"] == 5


def test_a_cut_file_fails_and_keeps_its_rows(tmp_path: Path) -> None:
    """The summary still stands last; the exit status says that the file was not whole."""
    (tmp_path / "f").write_bytes(gzip.compress(BODY * 500)[:-20])
    status, rows, summary = parse(tmp_path / "f")
    assert status == 1
    assert len(rows) == summary["indicators"] > 0


def test_a_web_page_is_one_rejected_row(tmp_path: Path) -> None:
    """HTML in a feed's place accuses nobody."""
    (tmp_path / "f").write_bytes(b"\n<!-- x --><HTML><a href=http://a.example.ee/>x</a>")
    assert parse(tmp_path / "f")[2] == {"rows": 1, "indicators": 0, "out_of_scope": 0, "rejected": {"html-page": 1}}


def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    """Unknown formats and threats are usage errors, all at once; a missing file is one sentence."""
    with pytest.raises(ConfigurationError) as caught:
        parse(tmp_path / "f", "pdf", threat="boredom")
    assert len(caught.value.problems) == 2
    with pytest.raises(PanopticonError, match="No such file"):
        parse(tmp_path / "f")


def test_the_list_names_every_feed() -> None:
    """A line a feed under a header."""
    out = io.StringIO()
    assert list_command(out) == 0
    assert "urlhaus" in out.getvalue()
    assert out.getvalue().splitlines()[0].split()[:2] == ["name", "format"]
