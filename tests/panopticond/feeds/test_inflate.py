"""Compressed bodies, bounded and honest."""

from __future__ import annotations

import bz2
import gzip
import io
import zipfile
from collections.abc import Callable

import pytest
import zstandard

from panopticond.feeds.inflate import Body

DATA = b"http://example.org/%d\n" * 20_000


def zipped(*members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for at, member in enumerate(members):
            archive.writestr(f"m{at}", member)
    return file.getvalue()


def read(raw: bytes, limit: int = 1 << 30) -> tuple[bytes, str | None]:
    body = Body(io.BytesIO(raw), limit)
    return b"".join(body), body.problem


@pytest.mark.parametrize(
    "raw",
    [
        DATA,
        gzip.compress(DATA),
        gzip.compress(DATA[:1000]) + gzip.compress(DATA[1000:]),
        gzip.compress(gzip.compress(DATA)),
        gzip.compress(DATA) + b"\0" * 100,
        bz2.compress(DATA),
        bz2.compress(DATA[:1000]) + bz2.compress(DATA[1000:]),
        zstandard.compress(DATA),
        zstandard.compress(DATA[:1000]) + zstandard.compress(DATA[1000:]),
        zipped(DATA),
    ],
    ids=["bare", "gzip", "members", "twice", "padded", "bzip2", "bzip2s", "zstd", "zstds", "zip"],
)
def test_every_wrapping(raw: bytes) -> None:
    """Bare, gzip of many members, gzip in gzip, bzip2, zstd and zip give the same bytes."""
    plain, problem = read(raw)
    assert plain.rstrip() == DATA.rstrip()
    assert problem is None


@pytest.mark.parametrize("raw", [gzip.compress(DATA), bz2.compress(DATA), zstandard.compress(DATA)])
def test_cut_archives_keep_what_came(raw: bytes) -> None:
    """A cut archive gives its good part and says truncated."""
    plain, problem = read(raw[:-12])
    assert DATA.startswith(plain)
    assert problem == "truncated"


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"\x1f\x8b\x08" + b"\xff" * 50, "corrupt"),
        (b"BZh9" + b"\xff" * 50, "corrupt"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 50, "corrupt"),
        (zipped(DATA)[:-30], "truncated"),
        (zipped(*[b"x"] * 20), "too-many-members"),
    ],
)
def test_damage_is_named(raw: bytes, problem: str) -> None:
    """What cannot be read is named and never raised."""
    assert read(raw)[1] == problem


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, zstandard.compress, zipped])
def test_bombs_stop_at_the_limit(compress: Callable[[bytes], bytes]) -> None:
    """No more than the limit comes out of a bomb."""
    plain, problem = read(compress(b"\0" * (32 << 20)), 1 << 20)
    assert len(plain) <= 1 << 20
    assert problem == "too-large"


def test_zip_members_follow_each_other() -> None:
    """Every member of a zip is read, each ending its last line."""
    assert read(zipped(b"a", b"b"))[0] == b"a\nb\n"


def test_a_member_without_a_name() -> None:
    """Found by fuzzing: a member whose name is nothing but NULs is read like any other."""
    assert read(zipped(b"x").replace(b"m0", b"\0\0")) == (b"x\n", None)
