"""What an answer of a site says: its title and whether it is the page, a stand-in for it or a wall before it. Pure.

Stands between the wire (:mod:`panopticond.probe.webwire`) and the decision (:mod:`panopticond.probe.web`). The known
challenge, suspension and parking pages are data: ``data/*.toml``, each signature with its source. Everything here works
on hostile bytes: every search is linear in the body, which the wire has already bounded.
"""

from __future__ import annotations

import functools
import html
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Literal

import msgspec

TITLE_CHARACTERS = 120
TEXT_BYTES = 64 << 10
"""How much of a body signatures are searched in."""
HOLD_BYTES = 16 << 10
"""How much of a body a registry's hold text is searched in."""
_CHARSET = re.compile(rb"charset=[\"']?([A-Za-z0-9_.:-]{2,40})")
_CHARSETS = frozenset(
    (
        *("utf8", "utf16", "utf16le", "utf16be", "ascii", "usascii", "latin1", "macintosh", "koi8r", "koi8u"),
        *("gb2312", "gbk", "gb18030", "big5", "big5hkscs", "shiftjis", "sjis", "eucjp", "iso2022jp", "euckr"),
        *("tis620", "windows874"),
        *(f"iso8859{part}" for part in (*range(1, 12), *range(13, 17))),
        *(f"{maker}125{part}" for maker in ("windows", "cp") for part in range(9)),
    )
)
"""Charsets pages come in (encoding.spec.whatwg.org), without their hyphens. No other codec is ever run on a hostile
body: some of Python's are no charsets of the web and take quadratic time (punycode)."""
_PASSWORD = re.compile(r"<input[^>]{0,300}type\s{0,3}=\s{0,3}[\"']?password")


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One known page: any of ``texts`` (lower case) at the place ``where`` says it is this one."""

    name: str
    where: Literal["title", "body", "uri", "header"]
    texts: tuple[str, ...]
    source: str
    statuses: tuple[int, ...] = ()
    """Statuses it may come with; empty: any."""
    maximum_bytes: int | None = None
    """A longer body is not this page."""


class Answer(msgspec.Struct, frozen=True):
    """The final answer of a site, after redirects: what a judgement is made of."""

    status: int
    uri: str
    headers: Mapping[str, str]
    """Lower-case names."""
    body: bytes


class Judgement(msgspec.Struct, frozen=True):
    """``live``, ``gone`` or ``guarded``, with the reason word and the challenge's name if one matched."""

    outcome: Literal["live", "gone", "guarded"]
    reason: str = ""
    challenge: str = ""


GUARDED_STATUSES = frozenset({401, 403, 429, 451})


@functools.cache
def signatures(name: Literal["challenge", "suspension", "parking"]) -> tuple[Signature, ...]:
    """The shipped signatures of a kind, from ``data/<name>.toml``."""
    text = (files("panopticond.probe") / "data" / f"{name}.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text)["signature"], tuple[Signature, ...], strict=True)


def decoded(body: bytes, content_type: str) -> str:
    """The body as text in the charset its header or first kilobyte names, if the web knows it, else UTF-8.

    Bad bytes are replaced.
    """
    named = _CHARSET.search(content_type.encode("ascii", "replace")) or _CHARSET.search(body[:1024])
    charset = named.group(1).decode() if named else "utf-8"
    if re.sub(r"[^a-z0-9]", "", charset.lower()) not in _CHARSETS:
        charset = "utf-8"
    try:
        return body.decode(charset, "replace")
    except (LookupError, ValueError, UnicodeError):  # an unknown charset, or one that is no text encoding
        return body.decode("utf-8", "replace")


def without_comments(text: str) -> str:
    """HTML without its comments: a kit that hides a parking provider's mark in one is still a kit."""
    parts, at = [], 0
    while (start := text.find("<!--", at)) >= 0:
        parts.append(text[at:start])
        end = text.find("-->", start + 4)
        if end < 0:
            return "".join(parts)
        at = end + 3
    parts.append(text[at:])
    return "".join(parts)


def title_of(text: str) -> str:
    """The document's title: entities resolved, control characters dropped, spaces collapsed, 120 characters at most."""
    low = text[:TEXT_BYTES].lower()
    start = low.find("<title")
    opened = low.find(">", start, start + 300) if start >= 0 else -1
    if opened < 0:
        return ""
    closed = low.find("</title", opened)
    raw = text[opened + 1 : closed if closed >= 0 else opened + 1000][:1000]
    plain = "".join(character if character.isprintable() else " " for character in html.unescape(raw))
    return " ".join(plain.split())[:TITLE_CHARACTERS]


def judge_page(answer: Answer, hold_pages: Sequence[str]) -> Judgement:
    """What an answer says, before any comparison with a random path; soft 404s are told by the caller.

    A page of status 2xx that asks for a password is live whatever marks it carries: kits print them to look parked.
    """
    text = without_comments(decoded(answer.body[:TEXT_BYTES], answer.headers.get("content-type", ""))).lower()
    good = 200 <= answer.status <= 299
    if good and _PASSWORD.search(text):
        return Judgement("live")
    title = title_of(text).lower()
    challenge = _matching(signatures("challenge"), answer, title, text)
    if challenge:
        return Judgement("guarded", "challenge", challenge)
    start = " ".join(text[:HOLD_BYTES].split())
    if any(" ".join(wanted.lower().split()) in start for wanted in hold_pages if wanted.strip()):
        return Judgement("gone", "hold")
    if _matching(signatures("suspension"), answer, title, text):
        return Judgement("gone", "suspended")
    if _matching(signatures("parking"), answer, title, text):
        return Judgement("gone", "parked")
    if good:
        return Judgement("live")
    reason = f"status-{answer.status:03d}"
    return Judgement("guarded" if answer.status in GUARDED_STATUSES else "gone", reason)


def _matching(known: Sequence[Signature], answer: Answer, title: str, text: str) -> str:
    places = {"title": title, "body": text, "uri": answer.uri.lower()}
    for signature in known:
        if signature.statuses and answer.status not in signature.statuses:
            continue
        if signature.maximum_bytes is not None and len(answer.body) > signature.maximum_bytes:
            continue
        place = places.get(signature.where)
        for wanted in signature.texts:
            if wanted in place if place is not None else _has_header(wanted, answer.headers):
                return signature.name
    return ""


def _has_header(wanted: str, headers: Mapping[str, str]) -> bool:
    name, _, value = wanted.partition(":")
    return name in headers and value.strip() in headers[name].lower()
