"""What goes to a mail server and what comes back, as bytes: commands, the dotted message, bounded answers.

Below ``dialogue``, which owns the connection; pure. A server is a stranger too: the length of its lines, their number
and the size of an answer are bounded, and an answer that is none ends the dialogue.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from arke.model import Notice

Phase = Literal["connect", "tls", "auth", "mail", "rcpt", "data", "sent", "unknown", "withdrawn", "bounce"]
LINE_LIMIT = 2048  # bytes of one line; RFC 5321 section 4.5.3.1.5 asks for 512
LINES_LIMIT = 128  # lines of one answer
_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])([^\n]*?))?\r?\n")
_ENDINGS = re.compile(rb"\r\n|\r|\n")
_UNSAFE = re.compile(r"[\x00-\x20<>\x7f]")


class Reply(msgspec.Struct, frozen=True):
    """What the server said: ``code`` 0 when it said nothing; ``phase`` is how far the dialogue had come.

    ``unknown`` means that the connection was lost after the whole message was sent: it may or may not have been taken.
    """

    code: int
    text: str
    phase: Phase


class Answer(msgspec.Struct, frozen=True):
    """One answer of a server: its code, and its lines' texts joined by line feeds."""

    code: int
    text: str


class OutOfStepError(Exception):
    """What came is no answer of SMTP, or more of one than anybody needs."""


class Answers:
    """Bytes in, answers out, in the order they came; what is not yet asked for stays."""

    def __init__(self) -> None:
        self._bytes = b""
        self._at = 0
        self._code = b""
        self._texts: list[bytes] = []

    @property
    def pending(self) -> bool:
        """Whether something came that no command has been matched with."""
        return self._at < len(self._bytes) or bool(self._texts)

    def feed(self, data: bytes) -> None:
        """More bytes from the server."""
        self._bytes, self._at = self._bytes[self._at :] + data, 0

    def next(self) -> Answer | None:
        """The next whole answer (RFC 5321 section 4.2), or None when more bytes are needed; OutOfStepError."""
        while (line := _LINE.match(self._bytes, self._at)) is not None:
            code, mark, text = line.groups()
            if (self._texts and code != self._code) or len(text or b"") > LINE_LIMIT:
                raise OutOfStepError("the server's answer is none of SMTP's")
            self._at = line.end()
            if mark != b"-" and not self._texts:
                return Answer(int(code), (text or b"").decode("utf-8", "replace"))
            self._code = code
            self._texts.append(text or b"")
            if mark != b"-":
                whole = b"\n".join(self._texts).decode("utf-8", "replace")
                self._texts = []
                return Answer(int(code), whole)
            if len(self._texts) >= LINES_LIMIT:
                raise OutOfStepError(f"an answer of more than {LINES_LIMIT} lines")
        if b"\n" in self._bytes[self._at :]:
            raise OutOfStepError("the server's answer is none of SMTP's")
        if len(self._bytes) - self._at > LINE_LIMIT:
            raise OutOfStepError(f"a line of more than {LINE_LIMIT} bytes")
        return None


def envelope(notice: Notice, features: Mapping[str, str]) -> tuple[bytes, bytes] | Reply:
    """MAIL and RCPT as this server can take them, or the refusal it would give: too large, or no SMTPUTF8.

    ``features`` are those of its EHLO, lower case: SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531) for an
    address that needs it, DSN (RFC 3461) for failures and delays, with the Message-ID as envelope id.
    """
    if _UNSAFE.search(notice.recipient) or _UNSAFE.search(notice.envelope_sender):
        return Reply(553, "5.1.3 an address that cannot stand in a command", "rcpt")
    utf8 = not (notice.recipient.isascii() and notice.envelope_sender.isascii())
    if utf8 and "smtputf8" not in features:
        return Reply(553, "5.6.7 the mail server does not offer SMTPUTF8", "rcpt")
    sender, recipient = f"MAIL FROM:<{notice.envelope_sender}>", f"RCPT TO:<{notice.recipient}>"
    if "size" in features:
        limit = features["size"].strip()
        if limit.isascii() and limit.isdigit() and 0 < int(limit[:18]) < len(notice.message):
            return Reply(552, "5.3.4 larger than the mail server takes", "data")
        sender += f" SIZE={len(notice.message)}"
    if utf8:
        sender += " SMTPUTF8"
    if utf8 or ("8bitmime" in features and not notice.message.isascii()):
        sender += " BODY=8BITMIME"
    if "dsn" in features:
        sender += f" RET=HDRS ENVID={xtext(notice.message_id.strip('<>'))}"
        recipient += " NOTIFY=FAILURE,DELAY"
    return sender.encode() + b"\r\n", recipient.encode() + b"\r\n"


def dotted(message: bytes) -> bytes:
    """The message as DATA takes it: CRLF line ends, dots at a line's start doubled, a dot to end it."""
    stuffed = _lines(message).replace(b"\r\n.", b"\r\n..")
    return (b"." if stuffed.startswith(b".") else b"") + stuffed + b".\r\n"


def chunk(message: bytes) -> bytes:
    """The message as the one chunk of a BDAT (RFC 3030 section 2): its length before it, its lines as they are."""
    plain = _lines(message)
    return b"BDAT %d LAST\r\n%b" % (len(plain), plain)


def xtext(text: str) -> str:
    """RFC 3461 section 4: everything but printable ASCII, and ``+`` and ``=``, as ``+XX``."""
    return re.sub(r"[^!-*,-<>-~]", lambda match: "".join(f"+{byte:02X}" for byte in match[0].encode()), text)


def _lines(message: bytes) -> bytes:
    """With CRLF at the end of every line: a bare CR or LF is an end of line to some servers and none to others."""
    plain = message if message.count(b"\r\n") == message.count(b"\n") == message.count(b"\r") else _crlf(message)
    return plain if plain.endswith(b"\r\n") else plain + b"\r\n"


def _crlf(message: bytes) -> bytes:
    return _ENDINGS.sub(b"\r\n", message)
