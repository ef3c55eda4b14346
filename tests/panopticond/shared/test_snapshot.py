"""The snapshot's contract: a good tree verifies, and every way of tampering with it is refused."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from panopticond.shared import snapshot
from panopticond.shared.errors import RefusedError
from panopticond.shared.minisign import SecretKey, sign
from panopticond.shared.snapshot import Manifest, ManifestFile, canonical, parse_manifest, verify_tree

KEY = SecretKey.generate()
KEYS = [KEY.public]
NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)


def manifest(**changes: Any) -> Manifest:
    base = Manifest(
        format=1,
        tld="zz",
        serial=2026112101,
        previous_serial=None,
        previous_sha256=None,
        start="2026-11-20T06:00:00Z",
        end="2026-11-21T06:00:00Z",
        issued="2026-11-21T06:05:00Z",
        expires="2026-11-22T18:00:00Z",
        late=False,
        keys_next=(),
        files=(ManifestFile("records.sql", 5, hashlib.sha256(b"hello").hexdigest()),),
    )
    return msgspec.structs.replace(base, **changes)


def tree(path: Path, said: Manifest, body: bytes = b"hello", data: bytes | None = None) -> Path:
    data = canonical(said) if data is None else data
    (path / "manifest.json").write_bytes(data)
    (path / "manifest.json.minisig").write_text(sign(data, KEY, snapshot.trusted_comment(said)))
    (path / "records.sql").write_bytes(body)
    return path


def test_a_good_tree_verifies(tmp_path: Path) -> None:
    """Signature, TLD, time, sizes and hashes hold: the manifest comes back."""
    assert verify_tree(tree(tmp_path, manifest()), KEYS, tld="zz", now=NOW) == manifest()
    assert manifest().ended_at == dt.datetime(2026, 11, 21, 6, tzinfo=dt.UTC)


def test_canonical_is_rfc_8785() -> None:
    """Keys sorted, no space, UTF-8 as it is, control characters in their short form."""
    assert canonical({"b": 1, "a": ["é", "\n\x01", None, True]}) == '{"a":["é","\\n\\u0001",null,true],"b":1}'.encode()
    assert json.loads(canonical(manifest()))["from"] == "2026-11-20T06:00:00Z"


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({}, {"tld": "yy"}, "not for .yy"),
        ({}, {"now": NOW + dt.timedelta(days=2)}, "expired"),
        ({}, {"now": NOW - dt.timedelta(days=1)}, "check the clock"),
        ({}, {"accepted": (2026112102, "0" * 64)}, "rollback"),
        ({}, {"accepted": (2026112101, "0" * 64)}, "other content"),
        ({"format": 2}, {}, "format 2"),
        ({"files": (ManifestFile("../x", 5, "0" * 64),)}, {}, "a path"),
        ({"files": (ManifestFile("manifest.json", 5, "0" * 64),)}, {}, "a path"),
        ({"files": (ManifestFile("a", 5, "0" * 64),) * 2}, {}, "twice"),
        ({"files": (ManifestFile("other", 5, "0" * 64),)}, {}, "other"),
        ({"start": "2026-11-22T06:00:00Z"}, {}, "out of order"),
        ({"start": "2026-13-22T06:00:00Z"}, {}, "not one of ours"),
        ({"expires": "2026-11-21T06:00:00Z"}, {}, "out of order"),
        ({"files": (ManifestFile("records.sql", 6, "0" * 64),)}, {}, "5 bytes"),
        ({"files": (ManifestFile("records.sql", 5, "0" * 64),)}, {}, "not what was signed"),
    ],
)
def test_a_tree_that_must_not_be_used(
    tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], words: str
) -> None:
    """Another TLD's, an expired, older, swapped or incomplete snapshot is refused in words that say why."""
    with pytest.raises(RefusedError, match=words):
        verify_tree(tree(tmp_path, manifest(**changes)), KEYS, **options)


def test_the_same_snapshot_again_is_fine(tmp_path: Path) -> None:
    """The serial accepted before, with the same manifest, verifies again."""
    sha256 = hashlib.sha256(canonical(manifest())).hexdigest()
    assert verify_tree(tree(tmp_path, manifest()), KEYS, accepted=(2026112101, sha256)).serial == 2026112101


def test_a_manifest_that_is_not_canonical_or_unknown_is_refused(tmp_path: Path) -> None:
    """Spaces, unknown keys, wrong types, huge and deep JSON are refused though well signed."""
    good = json.loads(canonical(manifest()))
    for data in (
        json.dumps(good).encode(),
        canonical(good | {"more": 1}),
        canonical(good | {"serial": "2026112101"}),
        b"[" * 60_000,
        b" " * 70_000,
        b"\xff",
    ):
        with pytest.raises(RefusedError):
            verify_tree(tree(tmp_path, manifest(), data=data), KEYS)
        with pytest.raises(RefusedError):
            parse_manifest(data)


def test_a_comment_that_says_otherwise_is_refused(tmp_path: Path) -> None:
    """The trusted comment must repeat tld, serial and expiry."""
    tree(tmp_path, manifest())
    (tmp_path / "manifest.json.minisig").write_text(sign(canonical(manifest()), KEY, "tld:zz\tserial:1\texpires:x"))
    with pytest.raises(RefusedError, match="repeat"):
        verify_tree(tmp_path, KEYS)


def test_links_and_missing_files_are_refused(tmp_path: Path) -> None:
    """A symlink where a file should be, or nothing at all, is refused."""
    tree(tmp_path, manifest())
    (tmp_path / "other").write_bytes(b"hello")
    (tmp_path / "records.sql").unlink()
    with pytest.raises(RefusedError, match="cannot be read"):
        verify_tree(tmp_path, KEYS)
    (tmp_path / "records.sql").symlink_to("other")
    with pytest.raises(RefusedError):
        verify_tree(tmp_path, KEYS)
    (tmp_path / "manifest.json.minisig").unlink()
    with pytest.raises(RefusedError, match="cannot be read"):
        verify_tree(tmp_path, KEYS)
    (tmp_path / "records.sql").unlink()
    (tmp_path / "records.sql").mkdir()
    with pytest.raises(RefusedError):
        snapshot.check_file(tmp_path / "records.sql", ManifestFile("records.sql", 5, "0" * 64))
