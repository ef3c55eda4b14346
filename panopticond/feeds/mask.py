"""Personal data out of URIs: e-mail addresses become ``redacted`` before anything is stored or probed. Pure.

Part of ``normalise``. Phishing links carry their victim's address plain, percent-encoded (once or more), in hex or in
base64, in path or query; design section 4 calls the result ``altered``. The same URI is always masked the same way,
and a masked URI is masked no further.
"""

from __future__ import annotations

import binascii
import re
from urllib.parse import unquote_to_bytes

REDACTED = "redacted"
_ROUNDS = 12  # each round removes an address; a URI with more is emptied

_AT = r"(?:@|%(?:25)*40)"
_DOT = r"(?:\.|%(?:25)*2[Ee])"
# Percent-encoded once or more: letters, other word characters (digits, - _, beyond ASCII), marks a local part may hold.
_LETTER = r"[A-Za-z]|%(?:25)*(?:4[1-9A-Fa-f]|5[0-9Aa]|6[1-9A-Fa-f]|7[0-9Aa])"
_WORD = r"[0-9_-]|%(?:25)*(?:3[0-9]|2[Dd]|5[Ff]|[89A-Fa-f][0-9A-Fa-f])"
_MARK = r"[.+~!$'*^`{|}]|%(?:25)*(?:2[147ABEabe]|5[Ee]|6[0]|7[B-Eb-e])"
_LABEL = rf"(?:{_LETTER}|{_WORD}){{1,200}}"
# The local part that ends a text. Never from inside an escape, or its digits would pass for letters.
_LOCAL = re.compile(
    r"(?<!%(?=[0-9A-Fa-f]{2}))(?<!%[0-9A-Fa-f](?=[0-9A-Fa-f]))(?<!%25(?=[0-9A-Fa-f]{2}))(?<!%25[0-9A-Fa-f](?=[0-9A-Fa-f]))"
    rf"(?:(?:{_LETTER}|{_WORD}|{_MARK}){{1,128}}|%[0-9A-Fa-f]{{2}})\Z"
)
_DOMAIN = re.compile(
    rf"{_LABEL}(?:{_DOT}{_LABEL})*{_DOT}"
    rf"(?:(?:{_LETTER}|%(?:25)*[89A-Fa-f][0-9A-Fa-f]){{2}}|xn--)(?:{_LETTER}|{_WORD}){{0,200}}"
)
_AT_LIMIT = 64  # a URI with more is no place to look for one person
_LOCAL_CHARACTERS, _DOMAIN_CHARACTERS = 512, 1024
_HAS_AT = re.compile(_AT)
_PLAIN = re.compile(rb"[\w.+%=/-]@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
# @ is 0x40: in base64 it shows as one of these, whichever of the three places of a group it falls on; the characters
# around
# it are a local part's last and a domain's first (RFC 4648 table 1).
_BASE64_AT = re.compile(r"(?=(?:(Q[D-H])|([K-Za-e][EUk0][AB])|[BFJNRVZdhlptx159]A[M-Za-e]))")
_BASE64_HINT = re.compile(r"Q[D-H]|[K-Za-e][EUk0][AB]|[BFJNRVZdhlptx159]A[M-Za-e]")
_TOKEN = re.compile(r"(?:[A-Za-z0-9+_-]|%2[Bb]){8,}(?:=|%3[Dd])*")
_SLASHED = re.compile(r"(?:[A-Za-z0-9+/_-]|%2[BbFf]){8,}(?:=|%3[Dd])*")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){6,}")
_STANDARD = str.maketrans("-_", "+/")
# Parameters that hold a recipient: whatever opaque value they have stands for a person.
_RECIPIENT = re.compile(
    r"((?:^|[?&;/])(?:e-?mail|e-?mail_?address|user_?e?mail|login_?e?mail|rcpt|recipient|mailto|victim)=)"
    r"(?!redacted(?:[&;/#]|$))([^&;/#]{16,})",
    re.IGNORECASE,
)


def mask(uri: str) -> tuple[str, bool]:
    """The URI (WHATWG serialisation, no user-info, no fragment) without personal tokens, and whether it had any."""
    start = uri.find("/", 8)
    plain = "@" not in uri and "%" not in uri and "=" not in uri and "40" not in uri
    if start < 0 or (plain and not _BASE64_HINT.search(uri, start)):
        return uri, False
    head, tail = uri[: start + 1], uri[start + 1 :]
    masked = _mask_text(tail)
    return (uri, False) if masked == tail else (head + masked, True)


def _mask_text(text: str) -> str:
    for _ in range(_ROUNDS):
        masked = _mask_once(text)
        if masked == text:
            return text
        text = masked
    return REDACTED


def _mask_once(text: str) -> str:
    if _HAS_AT.search(text):
        text = _mask_addresses(text)
    if "=" in text:
        text = _RECIPIENT.sub(rf"\1{REDACTED}", text)
    if _BASE64_HINT.search(text):
        text = _TOKEN.sub(_mask_base64, text)
        text = _SLASHED.sub(_mask_base64, text)
    if "40" in text:
        text = _HEX.sub(_mask_hex, text)
    return text


def _mask_addresses(text: str) -> str:
    """Every ``local@domain`` redacted; looks a bounded way to both sides of each @, however long the text."""
    marks = list(_HAS_AT.finditer(text))
    if len(marks) > _AT_LIMIT:
        return REDACTED
    parts, done = [], 0
    for mark in marks:
        at = mark.start()
        domain = _DOMAIN.match(text, mark.end(), mark.end() + _DOMAIN_CHARACTERS)
        before = text[max(done, at - _LOCAL_CHARACTERS) : at] if at >= done else ""
        local = _LOCAL.search(before)
        if domain is not None and local is not None:
            parts += [text[done : at - len(before) + local.start()], REDACTED]
            done = domain.end()
    return "".join([*parts, text[done:]])


def _mask_base64(match: re.Match[str]) -> str:
    token = match[0]
    if not _BASE64_HINT.search(token):
        return token
    clean = unquote_to_bytes(token).decode("ascii", "replace").rstrip("=").translate(_STANDARD)
    tried = set()
    for at in _BASE64_AT.finditer(clean):
        # found at the first, first or third character of its group of four: so begins the group, whatever comes before
        offset = (at.start() - (0 if at[1] or at[2] else 2)) % 4
        if offset in tried:
            continue
        tried.add(offset)
        part = clean[offset:]
        part = part[: len(part) - 1] if len(part) % 4 == 1 else part
        try:
            data = binascii.a2b_base64(part + "=" * (-len(part) % 4))
        except (binascii.Error, ValueError):
            continue
        if _speaks_of_address(data):
            return REDACTED
    return token


def _mask_hex(match: re.Match[str]) -> str:
    return REDACTED if _speaks_of_address(bytes.fromhex(match[0])) else match[0]


def _speaks_of_address(data: bytes) -> bool:
    if b"\0" in data:
        data = data.replace(b"\0", b"")  # UTF-16
    if b"%40" in data:
        data = unquote_to_bytes(data)
    return b"@" in data and _PLAIN.search(data) is not None
