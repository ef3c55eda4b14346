"""A JSON body as a stream of its records: a body of any size, one record in memory at a time.

Used by the JSON formats. ``records`` walks down a tree of keys to where the records are and decodes each by itself; one
that is no JSON costs itself only, and a body cut in the middle gives all whole records before the cut and one bad row.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from panopticond.feeds.formats.row import BadRow

RECORD_LIMIT = 4 << 20
"""Characters one record may have."""
CUT_SHORT = BadRow("json-cut-short")
NO_JSON = BadRow("no-json")
RECORD: Final = None
"""The leaf of a tree: what stands here is a record. ``*`` stands for every key or element."""
Tree = dict[str, "Tree | None"]

_SPACE = re.compile(r"[ \t\r\n]*")
_NEXT_RECORD = re.compile(r"[}\]\"]\s*,\s*(?=[{\"])")
_BEGUN = re.compile(r"(?:t(?:r(?:u)?)?|f(?:a(?:l(?:s)?)?)?|n(?:u(?:l)?)?|-)?\s*\Z")
_SLACK = 12  # an error so near the end of what is there may only want more


class _CutShortError(Exception):
    """The body ended inside a value."""


class _BrokenError(Exception):
    """What stands here is no JSON."""


def records(pieces: Iterable[bytes], tree: Tree | None) -> Iterator[tuple[str, Any] | BadRow]:
    """Every record ``tree`` leads to, with the key or index it stands under; bad ones as BadRow.

    Without a tree the records are the elements of the body's list; of an object, the elements of the lists in it and
    the objects in it.
    """
    walker = _Walker(pieces)
    try:
        yield from walker.walk({"*": RECORD} if tree is None else tree, guess=tree is None)
    except _CutShortError:
        yield CUT_SHORT
    except _BrokenError:
        yield NO_JSON


class _Walker:
    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._raw = json.JSONDecoder(strict=False).raw_decode
        self._text = ""
        self._at = 0
        self._ended = False

    def walk(self, tree: Tree, *, guess: bool = False) -> Iterator[tuple[str, Any] | BadRow]:
        opening = self._peek()
        if opening == "[":
            yield from self._array(tree)
        elif opening == "{":
            yield from self._object(tree, guess=guess)
        else:
            self._value()

    def _array(self, tree: Tree) -> Iterator[tuple[str, Any] | BadRow]:
        self._at += 1
        index = 0
        while self._peek() != "]":
            yield from self._member(tree, "*", str(index))
            index += 1
            if self._peek() == ",":
                self._at += 1
        self._at += 1

    def _object(self, tree: Tree, *, guess: bool) -> Iterator[tuple[str, Any] | BadRow]:
        self._at += 1
        while self._peek() != "}":
            key = self._value()
            if not isinstance(key, str) or self._peek() != ":":
                raise _BrokenError
            self._at += 1
            if not guess or self._peek() == "{":
                yield from self._member(tree, key, key)
            else:
                yield from self.walk(tree)  # a list's elements; anything else is passed over
            if self._peek() == ",":
                self._at += 1
        self._at += 1

    def _member(self, tree: Tree, step: str, key: str) -> Iterator[tuple[str, Any] | BadRow]:
        known = step if step in tree else "*" if "*" in tree else None
        if known is None:
            self._peek()
            self._value()
            return
        below = tree[known]
        if below is not RECORD:
            yield from self.walk(below)
            return
        self._peek()
        try:
            yield key, self._value()
        except _BrokenError:
            yield NO_JSON
            self._skip_to_next()

    def _peek(self) -> str:
        """The next character that is no white space, the place moved to it."""
        while True:
            match = _SPACE.match(self._text, self._at)
            self._at = match.end() if match else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                raise _CutShortError

    def _value(self) -> Any:
        while True:
            try:
                value, end = self._raw(self._text, self._at)
            except json.JSONDecodeError as error:
                wants_more = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - _SLACK
                if not wants_more or len(self._text) - self._at > RECORD_LIMIT:
                    raise _BrokenError from error
                if not self._more():
                    raise (_CutShortError if self._cut_at(error) else _BrokenError) from error
            except RecursionError as error:
                raise _BrokenError from error
            else:
                # a number at the very end may have more digits to come
                if end < len(self._text) or self._ended or not self._more():
                    self._at = end
                    return value

    def _cut_at(self, error: json.JSONDecodeError) -> bool:
        """Whether an error at the very end of the body is the end's and not the value's."""
        return error.msg.startswith("Unterminated") or _BEGUN.match(self._text, error.pos) is not None

    def _skip_to_next(self) -> None:
        """Behind a broken record to where the next one seems to start."""
        while True:
            match = _NEXT_RECORD.search(self._text, self._at)
            if match is not None:
                self._at = match.end() - 1 if self._text[match.end() - 1] == "," else match.end()
                return
            self._at = max(self._at, len(self._text) - 64)
            if not self._more():
                raise _CutShortError

    def _more(self) -> bool:
        """Read on, dropping what is behind; as much as is waiting, so that a long record is tried only a few times."""
        if self._ended:
            return False
        waiting = self._text[self._at :]
        fresh: list[str] = []
        wanted = max(1 << 16, len(waiting))
        while wanted > 0:
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
                fresh.append(self._decode.decode(b"", final=True))
                break
            fresh.append(self._decode.decode(piece))
            wanted -= len(piece)
        self._text, self._at = waiting + "".join(fresh), 0
        return len(self._text) > len(waiting)
