"""How a label sounds to an English speaker, roughly: equal keys make a soundsquat in ``lookalike``. Pure."""

from __future__ import annotations

_SPELLINGS: tuple[tuple[bytes, bytes], ...] = (
    (b"4", b"for"), (b"2", b"to"), (b"8", b"ate"), (b"you", b"u"), (b"your", b"ur"), (b"ough", b"o"), (b"igh", b"i"),
    (b"tch", b"j"), (b"sch", b"sk"), (b"ch", b"j"), (b"ph", b"f"), (b"gh", b"g"), (b"kn", b"n"), (b"wr", b"r"),
    (b"wh", b"w"), (b"ck", b"k"), (b"sh", b"j"), (b"x", b"ks"), (b"qu", b"kw"), (b"q", b"k"), (b"ce", b"se"),
    (b"ci", b"si"), (b"cy", b"si"), (b"c", b"k"), (b"z", b"s"), (b"ee", b"i"), (b"ea", b"i"), (b"ie", b"i"),
    (b"ey", b"i"), (b"y", b"i"), (b"oo", b"u"), (b"ou", b"u"), (b"ew", b"u"), (b"ue", b"u"), (b"ai", b"e"),
    (b"ay", b"e"), (b"au", b"o"), (b"aw", b"o"), (b"oa", b"o"), (b"v", b"f"), (b"d\n", b"t\n"), (b"e\n", b"\n"),
)  # fmt: skip
_DOUBLES = tuple((bytes([letter, letter]), bytes([letter])) for letter in b"abcdefghijklmnopqrstuvwxyz")


def keys(blob: bytes) -> bytes:
    """The sound of ASCII labels, each ended by a newline, in one pass; equal bytes sound alike."""
    for spelling, sound in _SPELLINGS:
        blob = blob.replace(spelling, sound)
    blob = blob.replace(b"-", b"")
    for double, letter in _DOUBLES:
        blob = blob.replace(double, letter)
    return blob


def key(label: str) -> str:
    """The sound of one label."""
    return keys(label.encode() + b"\n").decode().rstrip("\n")
