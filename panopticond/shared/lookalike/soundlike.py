"""How a label sounds to an English speaker, roughly: equal keys make a soundsquat in ``protected``. Pure."""

from __future__ import annotations

_SPELLINGS: tuple[tuple[bytes, bytes], ...] = (
    (b"4", b"for"), (b"2", b"to"), (b"8", b"ate"), (b"-", b""), (b"you", b"u"), (b"ough", b"o"), (b"igh", b"i"),
    (b"tch", b"j"), (b"sch", b"sk"), (b"ch", b"j"), (b"sh", b"j"), (b"ph", b"f"), (b"gh", b"g"), (b"kn", b"n"),
    (b"wr", b"r"), (b"wh", b"w"), (b"ck", b"k"), (b"x", b"ks"), (b"qu", b"kw"), (b"ce", b"se"), (b"ci", b"si"),
    (b"cy", b"si"), (b"ee", b"i"), (b"ea", b"i"), (b"ie", b"i"), (b"ey", b"i"), (b"ay", b"e"), (b"oo", b"u"),
    (b"ou", b"u"), (b"ai", b"e"), (b"oa", b"o"), (b"e\n", b"\n"),
)  # fmt: skip
_LETTERS = bytes.maketrans(b"cqvyz", b"kkfis")
_DOUBLES = tuple((bytes([letter, letter]), bytes([letter])) for letter in b"abdefgiklmnoprstu")


def keys(blob: bytes) -> bytes:
    """The sound of ASCII labels, each ended by a newline, in one pass; equal bytes sound alike."""
    for spelling, sound in _SPELLINGS:
        blob = blob.replace(spelling, sound)
    blob = blob.translate(_LETTERS)
    for double, letter in _DOUBLES:
        blob = blob.replace(double, letter)
    return blob


def key(label: str) -> str:
    """The sound of one label."""
    return keys(label.encode() + b"\n").decode().rstrip("\n")
