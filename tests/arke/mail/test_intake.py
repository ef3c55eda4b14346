"""arke.mail.intake: bounces noted, replies forwarded, machines never answered, what is foreign kept for a person."""

from __future__ import annotations

import email
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arke.cases.ledger import Ledger
from arke.mail.intake import Intake, forwarded, is_automatic, look_into
from arke.mail.outbox import Outbox
from arke.mail.smtp import Phase, Reply
from arke.mail.wire import envelope
from arke.model import Notice
from panopticond.shared.clock import Clock
from panopticond.shared.errors import PanopticonError
from tests.arke.made import NOW
from tests.arke.mail.cases import KEY, compose
from tests.arke.mail.test_bounce import dsn

MADE = compose()
REPLY = f"From: person@isp.zz\r\nTo: {MADE.envelope_sender}\r\nSubject: sorry\r\n\r\nIt is fixed.\r\n".encode()


class Post:
    """A mail server that says what it is told to."""

    def __init__(self, code: int = 250, phase: Phase | None = None) -> None:
        self.code, self.sent = code, list[Notice]()
        self.phase: Phase = phase or ("sent" if code == 250 else "data")

    async def send(self, notice: Notice) -> Reply:
        self.sent.append(notice)
        return Reply(self.code, "x", self.phase)


@pytest.fixture
async def outbox(tmp_path: Path) -> AsyncIterator[Outbox]:
    async with Ledger.open(tmp_path / "state") as ledger:
        box = Outbox(ledger.run)
        await box.put(MADE, NOW)

        async def yes(_: Notice) -> Reply:
            return Reply(250, "ok", "sent")

        await box.send_due(yes, Clock())
        yield box


def intake(outbox: Outbox, post: Post, manager: str | None = "manager@nic.zz") -> Intake:
    return Intake(outbox, KEY, sender="abuse@nic.zz", manager=manager, send=post.send)


async def test_a_final_bounce_settles_its_notice_and_a_delay_does_not(outbox: Outbox) -> None:
    """The outbox row becomes bounced only by a failure whose token is ours."""
    taker = intake(outbox, Post())
    assert await taker.take(dsn(MADE.envelope_sender, "delayed", "4.4.7"), NOW) == "delayed"
    assert await taker.take(dsn("bounce+" + "a" * 26 + "@nic.zz"), NOW) == "foreign"
    assert [row.state for row in await outbox.states()] == ["accepted"]
    assert await taker.take(dsn(MADE.envelope_sender), NOW) == "bounced"
    assert [row.state for row in await outbox.states()] == ["bounced"]


async def test_a_reply_goes_to_the_manager_and_a_machine_gets_nothing(outbox: Outbox) -> None:
    """A person's answer is attached whole; an out-of-office, a list and our own forwarding end here."""
    post = Post()
    taker = intake(outbox, post)
    assert await taker.take(REPLY, NOW) == "forwarded"
    (sent,) = post.sent
    assert sent.recipient == "manager@nic.zz"
    parsed = email.message_from_bytes(sent.message)
    attached = next(part for part in parsed.walk() if part.get_filename() == "reply.eml").get_payload(decode=True)
    assert attached == REPLY
    assert is_automatic(sent.message)
    for header in ("Auto-Submitted: auto-replied", "Precedence: bulk", "X-Autoreply: yes", "X-Arke-Forwarded: 1"):
        assert await taker.take(f"{header}\r\n".encode() + REPLY, NOW) == "automatic"
    assert len(post.sent) == 1


@pytest.mark.parametrize(
    ("code", "phase", "fate"),
    [
        (550, "rcpt", "kept"),
        (0, "unknown", "kept"),
        (451, "data", "again"),
        (554, "connect", "again"),
        (0, "tls", "again"),
    ],
)
async def test_a_reply_that_is_not_forwarded_stays(
    outbox: Outbox, tmp_path: Path, code: int, phase: Phase, fate: str
) -> None:
    """Refused or in doubt it is kept for a person, never sent a second time by itself; else it is tried again."""
    maildir = tmp_path / "Maildir"
    for folder in ("new", "cur"):
        (maildir / folder).mkdir(parents=True)
    (maildir / "new" / "1").write_bytes(REPLY)
    post = Post(code, phase)
    for _ in range(2):
        await look_into(maildir, intake(outbox, post), lambda: NOW)
    assert len(post.sent) == (1 if fate == "kept" else 2)
    assert [path.parent.name for path in sorted(maildir.rglob("1*"))] == ["cur" if fate == "kept" else "new"]
    assert len({notice.message_id for notice in post.sent}) == 1


async def test_a_reply_nobody_is_named_for_is_kept(outbox: Outbox) -> None:
    """Without a manager, or where nothing is sent, a person must find it."""
    assert await intake(outbox, Post(), manager=None).take(REPLY, NOW) == "kept"


def test_a_forwarded_reply_has_an_identity() -> None:
    """The Message-ID is a function of the reply, and what DSN servers ask of an envelope id (RFC 3461) is met."""
    one, again, other = (forwarded(reply, "abuse@nic.zz", "m@nic.zz", NOW) for reply in (REPLY, REPLY, REPLY + b"x"))
    assert one.message_id == again.message_id
    assert one.message_id != other.message_id
    assert email.message_from_bytes(one.message)["Message-ID"] == one.message_id
    commands = envelope(one, {"dsn": ""})
    assert not isinstance(commands, Reply)
    assert f"ENVID={one.message_id[1:-1]}\r\n".encode() in commands[0]


HOSTILE = {
    "surrogate": b"Subject: \xed\xa0\x80 caf\xe9\r\n" + REPLY,
    "charset": REPLY.replace(b"\r\n\r\n", b'\r\nContent-Type: text/plain; charset="\xff"\r\n\r\n', 1) + b"\xff\xfe",
    "empty-multipart": REPLY.replace(b"\r\n\r\n", b"\r\nContent-Type: multipart/mixed\r\n\r\n", 1),
    "rfc822": REPLY.replace(b"\r\n\r\n", b"\r\nContent-Type: message/rfc822\r\n\r\n", 1),
    "address": REPLY.replace(b"person@isp.zz", b"=?utf-8?q?=00?= <@@>,;:[", 1),
}


@pytest.mark.parametrize("kind", sorted(HOSTILE))
async def test_a_reply_made_to_break_readers_is_forwarded_as_it_came(outbox: Outbox, kind: str) -> None:
    """Foreign bytes are attached, never written anew: no header or charset of theirs can end the daemon."""
    post = Post()
    assert await intake(outbox, post).take(HOSTILE[kind], NOW) == "forwarded"
    parts = list(email.message_from_bytes(post.sent[0].message).walk())
    assert parts[-1].get_payload(decode=True) == HOSTILE[kind]


async def test_a_mail_nested_without_end_is_foreign(outbox: Outbox) -> None:
    """What the library cannot read at all is kept for a person."""
    head = f"To: {MADE.envelope_sender}\r\n".encode()
    nested = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (at, at) for at in range(3000)
    )
    assert await intake(outbox, Post()).take(head + nested, NOW) == "foreign"


async def test_a_maildir_is_emptied_of_what_was_dealt_with(outbox: Outbox, tmp_path: Path) -> None:
    """Bounces and forwarded replies are erased; what could not be forwarded now stays new; foreign mail goes to cur."""
    maildir = tmp_path / "Maildir"
    for folder in ("new", "cur", "tmp"):
        (maildir / folder).mkdir(parents=True)
    (maildir / "new" / "1").write_bytes(dsn(MADE.envelope_sender))
    (maildir / "new" / "2").write_bytes(REPLY)
    (maildir / "new" / "3").write_bytes(b"Subject: spam\r\n\r\nbuy")
    (maildir / "new" / "4").symlink_to("/etc/hostname")
    fates = await look_into(maildir, intake(outbox, Post(451)), lambda: NOW)
    assert fates == {"bounced": 1, "again": 1, "foreign": 1}
    assert sorted(path.name for path in (maildir / "new").iterdir()) == ["2", "4"]
    assert [path.name for path in (maildir / "cur").iterdir()] == ["3:2,"]
    assert await look_into(maildir, intake(outbox, Post()), lambda: NOW) == {"forwarded": 1}
    with pytest.raises(PanopticonError, match="check bounces"):
        await look_into(tmp_path / "none", intake(outbox, Post()), lambda: NOW)


def test_forwarding_says_nothing_of_who_wrote() -> None:
    """Headers of the mail to the manager hold no byte of the writer; only the attached original does."""
    head = forwarded(REPLY, "abuse@nic.zz", "manager@nic.zz", NOW).message.partition(b"\r\n\r\n")[0]
    assert b"person" not in head
    assert b"sorry" not in head
