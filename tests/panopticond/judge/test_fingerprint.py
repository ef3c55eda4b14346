"""Fingerprints tell pages apart and hold through the small changes of one page."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from panopticond.judge.fingerprint import SHAPE_BYTES, fingerprint, same_page

KIT = b"<html><head><title>Sign in</title></head><body><form><input><input></form></body></html>"
OTHER = b"<html><body><table><tr><td>Bread</td></tr></table></body></html>"


def make(body: bytes, title: str = "", domain: str = "shop.zz", status: int = 200) -> str:
    return fingerprint(domain, status, title, len(body), body)


def test_its_form() -> None:
    """Five fields, of which domain, class and size bucket can be read."""
    fields = make(KIT, "Sign in").split(";")
    assert (len(fields), fields[0], fields[1], fields[3]) == (5, "shop.zz", "2xx", str(len(KIT).bit_length()))


def test_small_changes_are_the_same_page() -> None:
    """Numbers, another count of equal tags, scripts added by a network, and text do not make another page."""
    for changed in (
        KIT.replace(b"<input><input>", b"<input><input><input>"),
        KIT.replace(b"</body>", b"<script src=x></script></body>"),
        KIT.replace(b"Sign in", b"Please sign in 12"),
    ):
        assert same_page(make(KIT), make(changed))
    assert same_page(make(KIT, "Order 17"), make(OTHER, "order  18"))
    assert same_page(make(b"token 4f6a9"), make(b"token 77120"))
    assert same_page(make(b""), make(b""))


def test_other_pages_differ() -> None:
    """Another shape and title, another domain, another status class, other text without tags."""
    assert not same_page(make(KIT, "Sign in"), make(OTHER, "Bakery"))
    assert not same_page(make(KIT), make(KIT, domain="other.zz"))
    assert not same_page(make(KIT), make(KIT, status=404))
    assert not same_page(make(b"alpha"), make(b"beta"))
    assert not same_page(make(b""), make(KIT))
    assert not same_page("", "")
    assert not same_page("no;fingerprint", "no;fingerprint")


@given(st.text("aF09 gz", max_size=60))
def test_a_text_without_tags_is_hashed_without_its_hexadecimal_numbers(text: str) -> None:
    """Runs with a digit in them go, words of the letters a to f stay; so it was before runs were read in one go."""
    plain = re.sub("[0-9a-fA-F]*[0-9][0-9a-fA-F]*", "", text)
    made, stripped = (fingerprint("a.zz", 200, "", 1, one.encode()) for one in (text, plain))
    assert made == stripped


def test_a_page_of_letters_is_read_once() -> None:
    """Sixty-four KiB of letters that could each begin a number: the whole is one word, and ends in no time."""
    pages = [letter * SHAPE_BYTES for letter in (b"a", b"F")]
    shapes = {fingerprint("a.zz", 200, "", len(page), page).split(";")[4] for page in pages for _ in range(100)}
    assert len(shapes) == 2
