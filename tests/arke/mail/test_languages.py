"""The shipped templates: every language says what English says, with the same names, under the same conditions."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import functools
import re
from collections import Counter
from importlib import resources
from typing import get_args

import msgspec
import pytest

from arke.mail import template
from arke.mail.template import KINDS, SHIPPED_LANGUAGES
from arke.mail.words import KEYS, OUTCOMES, REASONS
from arke.model import Recheck
from panopticond.judge.classify import Facts, classify
from panopticond.model import THREATS, AbuseClass
from tests.arke.mail.cases import NOW, SIGHT, case, compose, indicator

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


@functools.cache
def vocabulary(language: str) -> dict[str, str]:
    """The words of a shipped file, by their names."""
    data = (resources.files("arke.mail") / "templates" / f"{language}.xml").read_bytes()
    return dict(template.parse(data, language).words)


@pytest.mark.parametrize("language", SHIPPED_LANGUAGES)
def test_every_language_has_every_word(language: str) -> None:
    """No word is missing, and each has as many gaps as in English."""
    words = vocabulary(language)
    assert set(words) == KEYS
    assert all(text.count("{}") == vocabulary("en")[name].count("{}") for name, text in words.items())


def every_reason() -> tuple[str, ...]:
    """All that the classification can say, from its own code: facts that bring out each reason at least once."""
    hour = dt.timedelta(hours=1)
    plain = Facts("shop.zz", frozenset({"registered"}), ("http://shop.zz/",), ("shop.zz",), NOW, NOW - hour)
    made = [
        plain,
        msgspec.structs.replace(plain, scopes=frozenset({"shared"})),
        msgspec.structs.replace(plain, registered=None),
        msgspec.structs.replace(plain, lookalike_of="bank.example", generated=True, burst_siblings=4),
        msgspec.structs.replace(plain, domain="bank-login.zz", rank=12),
        msgspec.structs.replace(
            plain, uris=("http://x.shop.zz/wp-content/a",), hosts=("x.shop.zz",), registered=NOW - 40_000 * hour,
            apex_outcome="live", apex_page="s1:200:aaaaaaaaaaaaaaaa:1:shop.zz", abuse_pages=("other",),
        ),
    ]  # fmt: skip
    return tuple(reason for facts in made for reason in classify(facts).reasons)


def test_every_reason_of_a_class_has_its_words() -> None:
    """Each sentence of the classification is known, so that none can reach a mail in the wrong language."""
    words = template.load().words("fr")
    said = every_reason()
    assert len({re.sub(r"[0-9]+", "", reason) for reason in said}) >= len(REASONS)
    assert [reason for reason in said if words.reason(reason) == reason] == []
    assert words.reason("a sentence of tomorrow") == "a sentence of tomorrow"


@pytest.mark.parametrize("language", OTHERS)
def test_no_english_word_of_ours_is_left(language: str) -> None:
    """Every kind of notice, for every class, threat, outcome and reason: not one English word of the vocabulary."""
    looks = tuple(
        msgspec.structs.replace(SIGHT, outcome=outcome, country="", title="", final="") for outcome in OUTCOMES[:8]
    )
    shown = [
        indicator(f"http://h{at}.zz/{at}", id=f"i{at}", threats=(t,), evidence=looks) for at, t in enumerate(THREATS)
    ]
    english = "|".join(
        part for text in vocabulary("en").values() for part in map(re.escape, text.split("{}")) if part.strip()
    )
    for abuse_class in get_args(AbuseClass):
        about = case(abuse_class=abuse_class, indicators=tuple(shown), reasons=every_reason())
        for kind in KINDS[:8]:
            for one in (about, [about, about]):
                unchecked = Recheck("unchecked", "timeout co-hosted no-answer", NOW)
                made = compose(one, kind=kind, language=language, recheck=unchecked)
                parsed = email.message_from_bytes(made.message, policy=email.policy.default)
                body = parsed.get_body(("plain",))
                assert body is not None
                text = f"{parsed['Subject']} {' '.join(body.get_content().split())}"
                assert re.findall(rf"(?<![\w.-])(?:{english})(?![\w-])", text) == []


def test_a_language_nobody_has_falls_back() -> None:
    """What is not there in the language asked for comes in the file's own, else in English."""
    templates = template.load()
    assert templates.select("new", "xx").language == "en"
    assert templates.select("resolved", "fr").language == "fr"
