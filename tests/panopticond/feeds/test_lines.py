"""Bodies into bounded lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from panopticond.feeds.lines import LINE_LIMIT, lines, whole


@given(st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r\n", b"\r", b"", b"x" * 40])))
def test_chunks_do_not_matter(chunks: list[bytes]) -> None:
    """However a body is chunked, its lines are the same."""
    assert list(lines(chunks)) == list(lines([b"".join(chunks)]))
    assert b"".join(lines(chunks)) == b"".join(chunks)


def test_byte_order_marks() -> None:
    """UTF-8 loses its mark, UTF-16 becomes UTF-8."""
    assert list(lines([b"\xef\xbb", b"\xbfa\n"])) == [b"a\n"]
    assert list(lines(["\ufeffa\nb\n".encode("utf-16-le")])) == [b"a\n", b"b\n"]


def test_long_lines_are_one_bad_row() -> None:
    """A line of 10 MB comes in bounded pieces and is one item for line-wise formats; the next line is whole."""
    pieces = list(lines([b"x" * (10 << 20), b"\nok\n"]))
    assert max(map(len, pieces)) <= LINE_LIMIT
    assert list(whole(pieces)) == [None, b"ok\n"]
