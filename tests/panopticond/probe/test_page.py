"""Judging a body: every shipped signature matches, kits that hide behind one do not, hostile bytes cost little."""

from __future__ import annotations

import time
from typing import Literal

import pytest

from panopticond.probe.page import Answer, Signature, decoded, judge_page, signatures, title_of

KINDS: tuple[Literal["challenge", "suspension", "parking"], ...] = ("challenge", "suspension", "parking")
CASES = [(kind, signature, text) for kind in KINDS for signature in signatures(kind) for text in signature.texts]
WANTED = {"challenge": "challenge", "suspension": "suspended", "parking": "parked"}


def page(body: bytes, status: int = 200, **headers: str) -> Answer:
    return Answer(status, "http://a.zz/x", headers, body)


@pytest.mark.parametrize(("kind", "signature", "text"), CASES, ids=lambda value: getattr(value, "name", None))
def test_every_signature_matches(kind: str, signature: Signature, text: str) -> None:
    """An answer with the mark in its place is judged as the signature's kind."""
    status = (*signature.statuses, 200)[0]
    title = text if signature.where == "title" else "x"
    body = f"<html><title>{title}</title><body>{text if signature.where == 'body' else ''}</body>".encode()
    name, _, value = text.partition(":")
    answer = Answer(
        status,
        f"http://{text}" if signature.where == "uri" else "http://a.zz/",
        {name: value.strip().upper()} if signature.where == "header" else {},
        body,
    )
    assert judge_page(answer, ()).reason == WANTED[kind]
    assert signature.source


def test_marks_do_not_hide_a_kit() -> None:
    """A mark inside a comment, or beside a password field, leaves the page live."""
    assert judge_page(page(b"<!-- this domain is parked --><p>hello"), ()).outcome == "live"
    assert judge_page(page(b"<p>This domain is parked<input name=p type='password'>"), ("domain",)).outcome == "live"
    assert judge_page(page(b"<p>This domain is parked<input type=text>"), ()).outcome == "gone"


def test_hold_pages_by_text() -> None:
    """A registry's text is found whatever its case and spacing; an empty text is no text."""
    assert judge_page(page(b"<title>Registry\n HOLD</title>"), ("registry hold",)).reason == "hold"
    assert judge_page(page(b"<p>hello"), ("", " ")).outcome == "live"


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b"<TITLE lang=x> a &amp;\n b\x00</TITLE>", "a & b"),
        (b"<title>never closed", "never closed"),
        (b"no title", ""),
        (b"<title", ""),
        (b"<title>" + b"x" * 900 + b"</title>", "x" * 120),
    ],
)
def test_titles(body: bytes, wanted: str) -> None:
    """Entities resolved, spaces and control characters tidied, 120 characters at most."""
    assert title_of(decoded(body, "")) == wanted


def test_charsets() -> None:
    """The header's charset or the document's own is used; an unknown or odd one falls back to UTF-8."""
    cyrillic = "\u0432\u0445\u043e\u0434"
    assert decoded(cyrillic.encode("cp1251"), "text/html; charset=windows-1251") == cyrillic
    assert decoded(b"<meta charset=windows-1251>" + cyrillic.encode("cp1251"), "").endswith(cyrillic)
    for odd in ("rot13", "nonsense", "idna", "undefined", "base64"):
        assert decoded(cyrillic.encode(), f"charset={odd}") == cyrillic


@pytest.mark.parametrize("piece", [b"<!--", b"<title", b"<input ", b"<", b"<input type", b"&#", b"charset=", b"\xff"])
def test_hostile_bodies_are_cheap(piece: bytes) -> None:
    """A body made of one awkward piece is judged in well under a second."""
    body = (piece * (128 << 10))[: 128 << 10]
    began = time.perf_counter()
    judge_page(page(body), ("hold",))
    title_of(decoded(body, ""))
    assert time.perf_counter() - began < 1.0


@pytest.mark.parametrize(
    "charset", ["punycode", "idna", "unicode_escape", "zlib", "rot13", "utf-7", "no-such", "raw-unicode-escape"]
)
def test_only_charsets_of_the_web_are_decoded(charset: str) -> None:
    """Whatever codec a page names, only the web's charsets run: punycode alone took a second a body."""
    body = b"<title>" + b"a-b" * 40_000
    begun = time.perf_counter()
    assert decoded(body, f"text/html; charset={charset}") == body.decode()
    assert time.perf_counter() - begun < 0.1


@pytest.mark.parametrize(
    "charset",
    [
        "utf-8",
        "iso-8859-1",
        "ISO-8859-15",
        "windows-1251",
        "cp1252",
        "koi8-r",
        "shift_jis",
        "Shift-JIS",
        "euc-jp",
        "gb2312",
        "gbk",
        "gb18030",
        "big5",
        "euc-kr",
        "us-ascii",
        "utf-16le",
    ],
)
def test_charsets_pages_come_in(charset: str) -> None:
    """A page in its own charset is read in it, however its name is written."""
    assert decoded("<title>hello".encode(charset), f"text/html;charset='{charset}'") == "<title>hello"
