from hypothesis import given
from hypothesis import strategies as st

from arke.mail.assemble import envelope_token
from arke.mail.bounce import Bounce, NotABounce, check_token, parse
from arke.mail.rows import digest_of
from tests.arke.mail.cases import KEY, compose

DSN = """From: MAILER-DAEMON@mx.test
To: {to}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain

It did not work.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.test

Final-Recipient: rfc822; holder@example.test
Action: {action}
Status: {status}
Diagnostic-Code: smtp; 550 5.1.1 no such user
--b--
"""


def dsn(to: str, action: str = "failed", status: str = "5.1.1") -> bytes:
    return DSN.format(to=to, action=action, status=status).replace("\n", "\r\n").encode()


def test_a_dsn_names_its_notice() -> None:
    """A bounce to the VERP address gives the notice's digest, the action and the enhanced status."""
    made = compose()
    assert parse(dsn(made.envelope_sender), KEY) == Bounce(digest_of(made.message_id), "failed", "5.1.1")
    delayed = parse(dsn(made.envelope_sender.upper(), "delayed", "4.4.7"), KEY)
    assert isinstance(delayed, Bounce)
    assert not delayed.final


def test_forged_and_foreign_mail_says_nothing() -> None:
    """A token of another key, no token, a person's reply and an oversized mail are each told by name."""
    made = compose(key=b"another")
    assert parse(dsn(made.envelope_sender), KEY) == NotABounce("bad-token")
    assert parse(dsn("abuse@nic.zz"), KEY) == NotABounce("no-token")
    assert parse(f"To: {compose().envelope_sender}\r\n\r\nhello".encode(), KEY) == NotABounce("reply")
    assert parse(b"x" * (1 << 20 | 1), KEY) == NotABounce("too-large")


@given(st.binary(max_size=400))
def test_any_bytes_are_survived(data: bytes) -> None:
    """No bytes make the parser raise."""
    assert isinstance(parse(data, KEY, envelope_recipient=compose().envelope_sender), Bounce | NotABounce)


@given(st.binary(min_size=10, max_size=10))
def test_token_round_trip(raw: bytes) -> None:
    """A token gives its digest back under its key only."""
    token = envelope_token(raw.hex(), KEY)
    assert check_token(token, KEY) == raw.hex()
    assert check_token(token, b"other") is None
