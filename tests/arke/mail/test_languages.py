"""The shipped templates: every language says what English says, with the same names, under the same conditions."""

from __future__ import annotations

import email
import email.policy
import re
from collections import Counter
from importlib import resources

import pytest

from arke.mail import template
from arke.mail.template import KINDS, SHIPPED_LANGUAGES
from tests.arke.mail.cases import compose

OTHERS = [language for language in SHIPPED_LANGUAGES if language != "en"]
CONTENT = r"<notice kind=\"{kind}\">(.*?)</notice>"


def notice(language: str, kind: str) -> str:
    text = (resources.files("arke.mail") / "templates" / f"{language}.xml").read_text(encoding="utf-8")
    found = re.search(CONTENT.format(kind=kind), text, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_language_says_what_english_says(language: str, kind: str) -> None:
    """The same conditions and lists, the same paragraphs, and every name English uses."""
    english, other = notice("en", kind), notice(language, kind)
    for mark in (r"<if name=\"(\w+)\"", r"<each name=\"(\w+)\""):
        assert Counter(re.findall(mark, other)) == Counter(re.findall(mark, english))
    assert other.count("<p>") == english.count("<p>")
    assert set(re.findall(r"{{(\w+)}}", other)) == set(re.findall(r"{{(\w+)}}", english))


@pytest.mark.parametrize("language", SHIPPED_LANGUAGES)
def test_a_notice_in_each_language_survives_the_mail(language: str) -> None:
    """Subject and text come out of the bytes as they were rendered, the defanged address on a line of its own."""
    made = compose(language=language)
    parsed = email.message_from_bytes(made.message, policy=email.policy.default)
    body = parsed.get_body(("plain",))
    assert body is not None
    lines = body.get_content().splitlines()
    assert any(re.fullmatch(r"  hxxps?://\S+", line) for line in lines)
    assert parsed["Subject"].count("\n") == 0
    english = compose(language="en")
    assert (made.message == english.message) == (language == "en")


def test_arabic_runs_from_right_to_left() -> None:
    """Every paragraph and label begins with the mark that makes a mail program lay it out so, whatever it begins with."""
    text = notice("ar", "new") + notice("ar", "digest")
    paragraphs = re.findall(r"<p>(.*?)</p>", text)
    assert paragraphs
    assert all(paragraph.startswith("\u200f") for paragraph in paragraphs)


def test_a_language_nobody_has_falls_back() -> None:
    """What is not there in the language asked for comes in the file's own, else in English."""
    templates = template.load()
    assert templates.select("new", "xx").language == "en"
    assert templates.select("resolved", "fr").language == "fr"
