"""The bytes of the SMTP dialogue: answers read whole or refused, envelopes by what a server offers, dots doubled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arke.mail.wire import (
    LINE_LIMIT,
    LINES_LIMIT,
    Answer,
    Answers,
    OutOfStepError,
    Reply,
    chunk,
    dotted,
    envelope,
    xtext,
)
from arke.model import Notice


def notice(recipient: str = "u@example.test", message: bytes = b"a: b\r\n\r\nc\r\n") -> Notice:
    return Notice("<zz-1@nic.zz>", ("zz-1",), "new", 1, "registrant", recipient, "bounce+t@nic.zz", message)


@given(st.lists(st.integers(1, 40), max_size=12))
def test_answers_come_whole_however_they_are_cut(cuts: list[int]) -> None:
    """Three answers in one stream are the same three wherever its packets end."""
    data, answers, found = b"250-one\r\n250 two\r\n550 no\n354\r\n", Answers(), []
    for cut in [*cuts, len(data)]:
        answers.feed(data[:cut])
        data = data[cut:]
        while (answer := answers.next()) is not None:
            found.append(answer)
    assert found == [Answer(250, "one\ntwo"), Answer(550, "no"), Answer(354, "")]
    assert not answers.pending


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 no\r\n",
        b"250-one\r\n451 two\r\n",
        b"25\r\n",
        b"199 odd\r\n",
        b"650 odd\r\n",
        b"2500 odd\r\n",
        b"\r\n",
        b"250 " + b"x" * (LINE_LIMIT + 1) + b"\r\n",
        b"250 " + b"x" * (LINE_LIMIT + 1),
        b"250-x\r\n" * (LINES_LIMIT + 1),
        b"250-x\r\n" * LINES_LIMIT + b"250 x\r\n",
    ],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    """Another protocol, two codes in one answer, a line or an answer without end: the dialogue is out of step."""
    answers = Answers()
    answers.feed(data)
    with pytest.raises(OutOfStepError):
        answers.next()


def test_an_answer_waits_for_its_end() -> None:
    """Half a line and a first line of several are no answer yet."""
    answers = Answers()
    for part in (b"25", b"0-o", b"ne\r\n", b"250"):
        answers.feed(part)
        assert answers.next() is None
        assert answers.pending
    answers.feed(b" two\r\n")
    assert answers.next() == Answer(250, "one\ntwo")


@given(st.lists(st.sampled_from([b".", b"..", b".x", b"x", b"", b"x.", b". "]), max_size=8))
def test_dots_are_doubled_and_can_be_undone(lines: list[bytes]) -> None:
    """A message comes out of DATA as it went in; its end is nowhere but at its end."""
    message = b"".join(line + b"\r\n" for line in lines)
    sent = dotted(message)
    assert sent == b".\r\n" or sent.find(b"\r\n.\r\n") == len(sent) - 5
    plain = [line.removeprefix(b".") for line in sent[:-3].split(b"\r\n")]
    assert b"\r\n".join(plain) == (message or b"\r\n")


@given(st.lists(st.sampled_from([b".", b"a", b"\r\n", b"\n", b"\r"]), max_size=12).map(b"".join))
def test_a_chunk_is_its_length_and_the_message_as_it_is(message: bytes) -> None:
    """Nothing is doubled, as the length tells the end; every line ends as SMTP has it."""
    command, plain = chunk(message).split(b"\r\n", 1)
    assert command == b"BDAT %d LAST" % len(plain)
    assert plain.endswith(b"\r\n")
    assert plain.splitlines() == (message.splitlines() or [b""])
    assert plain.count(b"\r\n") == plain.count(b"\r") == plain.count(b"\n")


@pytest.mark.parametrize("message", [b"a\n.\nb", b"a\r.\rb", b"a\r\n.\nb\r\n", b"a\n.\r\nb\r\n"])
def test_no_bare_line_end_leaves(message: bytes) -> None:
    """A bare CR or LF around a dot, which some servers take for the end of a message, becomes CRLF."""
    assert dotted(message) == b"a\r\n..\r\nb\r\n.\r\n"


def test_the_envelope_uses_what_is_offered() -> None:
    """SIZE, DSN, 8BITMIME and SMTPUTF8 are said where they are offered and needed, and nowhere else."""
    plain = envelope(notice(), {})
    assert plain == (b"MAIL FROM:<bounce+t@nic.zz>\r\n", b"RCPT TO:<u@example.test>\r\n")
    offered = {"size": "1000", "dsn": "", "8bitmime": "", "smtputf8": ""}
    assert envelope(notice(), offered) == (
        b"MAIL FROM:<bounce+t@nic.zz> SIZE=11 RET=HDRS ENVID=zz-1@nic.zz\r\n",
        b"RCPT TO:<u@example.test> NOTIFY=FAILURE,DELAY\r\n",
    )
    wide = envelope(notice("jürgen@example.test"), offered)
    assert isinstance(wide, tuple)
    assert wide[0].endswith(b" SMTPUTF8 BODY=8BITMIME RET=HDRS ENVID=zz-1@nic.zz\r\n")
    eight = envelope(notice(message="ü\r\n".encode()), {"8bitmime": ""})
    assert isinstance(eight, tuple)
    assert eight[0] == b"MAIL FROM:<bounce+t@nic.zz> BODY=8BITMIME\r\n"


@pytest.mark.parametrize(
    ("made", "features", "code"),
    [
        (notice("jürgen@example.test"), {}, 553),
        (notice("u@example.test>\r\nRCPT TO:<spy@example.test"), {}, 553),
        (notice("u u@example.test"), {}, 553),
        (notice(message=b"x" * 2000), {"size": "1000"}, 552),
    ],
)
def test_what_cannot_be_sent_is_refused_here(made: Notice, features: dict[str, str], code: int) -> None:
    """An address that would end the command, one the server cannot take, and a message too large never leave."""
    refused = envelope(made, features)
    assert isinstance(refused, Reply)
    assert refused.code == code


@pytest.mark.parametrize("size", ["", "0", "lots", "99999999999999999999", "-5", "²"])
def test_an_odd_size_stops_nothing(size: str) -> None:
    """A SIZE without a number, or zero, is no limit (RFC 1870)."""
    assert isinstance(envelope(notice(), {"size": size}), tuple)


def test_xtext() -> None:
    """RFC 3461 section 4."""
    assert xtext("a+b=c d") == "a+2Bb+3Dc+20d"
