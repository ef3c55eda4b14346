"""The fingerprint of a page: enough to say same or different, nothing personal, nothing that gives the page back.

Pure. The web probe makes one from every answer that has a body and compares it with the answer of a random path (soft
404); the judge compares those of several rounds (state ``changed``). It reads ``domain;class;title;size;shape``: the
final registered domain, the status class (``2xx``), a hash of the title, a power-of-two size bucket and a hash of the
document's shape, that is the sequence of its tag names.
"""

from __future__ import annotations

import hashlib
import itertools
import re

_TAG = re.compile(rb"<([a-z][a-z0-9-]{0,31})")
_NUMBERS = re.compile(r"[0-9]+")
# A run of hexadecimal digits with a decimal one in it. Only where a run begins, and never going back: tried from each
# letter of 64 KiB of them, one page would take seconds.
_BYTE_NUMBERS = re.compile(rb"(?<![a-fA-F])[a-fA-F]*+[0-9][0-9a-fA-F]*+")
_UNSTEADY = frozenset({b"script", b"style", b"link", b"meta", b"br", b"noscript", b"img", b"iframe", b"ins"})
"""Tags that content networks, analytics and advertising add and remove between two requests for one page."""
SHAPE_BYTES = 64 << 10
"""How much of a body its shape is taken from: a page without end has the shape of its beginning."""
_NONE = "-"


def fingerprint(domain: str, status: int, title: str, size: int, body: bytes) -> str:
    """``domain;2xx;titlehash;sizebucket;shapehash`` of one answer; ``-`` stands for no title or an empty body.

    ``size`` is the bytes read, ``body`` those bytes. Numbers are left out of the title, runs of one tag count once, and
    a body without a single tag is hashed as text without its numbers, so that counters, dates and tokens do not make
    two answers of one page differ.
    """
    return ";".join((domain, f"{status // 100}xx", _title_hash(title), str(size.bit_length()), _shape_hash(body)))


def same_page(a: str, b: str) -> bool:
    """Whether two fingerprints are of one page: same domain and status class, and an equal title or an equal shape.

    A text that is no fingerprint is the same as nothing.
    """
    first, second = a.split(";"), b.split(";")
    if len(first) != 5 or len(second) != 5 or first[:2] != second[:2]:
        return False
    same_title = first[2] == second[2] != _NONE
    same_shape = first[4] == second[4] != _NONE
    both_empty = first[2:] == second[2:] and first[4] == _NONE
    return same_title or same_shape or both_empty


def _title_hash(title: str) -> str:
    plain = " ".join(_NUMBERS.sub("", title.casefold()).split())
    return _hash(plain.encode()) if plain else _NONE


def _shape_hash(body: bytes) -> str:
    start = body[:SHAPE_BYTES]
    names = _TAG.findall(start.lower())
    shape = [name for name, _ in itertools.groupby(itertools.filterfalse(_UNSTEADY.__contains__, names))]
    if shape:
        return _hash(b" ".join(shape))
    text = b" ".join(_BYTE_NUMBERS.sub(b"", start).split())
    if text:
        return _hash(b"text " + text)
    return _hash(b" ".join(names)) if names else _NONE


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=6).hexdigest()
