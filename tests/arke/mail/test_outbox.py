"""The outbox over a real database file, with a scripted mail server as an argument."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import apsw
import pytest
import trio

from arke.mail.outbox import SCHEMA, Outbox, digest_of, scrub
from arke.mail.smtp import Reply
from arke.model import Notice
from panopticond.shared.clock import Clock
from tests.arke.mail.cases import NOW, compose, contact

T = TypeVar("T")


class StillClock(Clock):
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        super().__init__()
        self.at = NOW

    def now(self) -> dt.datetime:
        return self.at


class Ledger:
    """A connection with the outbox's table, and ``run`` as the ledger offers it."""

    def __init__(self, path: Path) -> None:
        self.connection = apsw.Connection(str(path))
        self.connection.execute(SCHEMA)

    async def run(self, fn: Callable[[apsw.Connection], T]) -> T:
        await trio.lowlevel.checkpoint()
        with self.connection:
            return fn(self.connection)

    def dump(self) -> str:
        return json.dumps(self.connection.execute("SELECT * FROM outbox").fetchall(), default=repr)


class Server:
    """Answers from a list, then 250; keeps what it was given."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.got: list[Notice] = []

    async def send(self, notice: Notice) -> Reply:
        await trio.lowlevel.checkpoint()
        self.got.append(notice)
        return self.replies.pop(0) if self.replies else Reply(250, "2.0.0 ok", "sent")


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.db")


async def test_put_once_sent_once(ledger: Ledger) -> None:
    """A Message-ID known in any state is never queued again; an accepted one leaves no address and no body."""
    outbox, clock, server = Outbox(ledger.run), StillClock(), Server()
    assert await outbox.put(compose(), NOW)
    assert not await outbox.put(compose(), NOW)
    (sent,) = await outbox.send_due(server.send, clock)
    assert (sent.state, sent.reply_code) == ("accepted", 250)
    assert not await outbox.put(compose(), NOW)
    assert await outbox.send_due(server.send, clock) == []
    assert len(server.got) == 1
    assert "holder@example.test" not in ledger.dump()
    assert await outbox.next_due() is None


async def test_greylisting_comes_back_after_five_minutes(ledger: Ledger) -> None:
    """A 4xx is tried again after five policy minutes, then at growing steps, and given up after two days."""
    outbox, clock = Outbox(ledger.run), StillClock()
    server = Server(*[Reply(451, "4.7.1 greylisted", "rcpt")] * 100)
    await outbox.put(compose(), NOW)
    await outbox.send_due(server.send, clock)
    clock.at += dt.timedelta(minutes=4)
    assert await outbox.send_due(server.send, clock) == []
    clock.at += dt.timedelta(minutes=1)
    assert len(await outbox.send_due(server.send, clock)) == 1
    for _ in range(60):
        clock.at += dt.timedelta(hours=1)
        await outbox.send_due(server.send, clock)
    (row,) = await outbox.states()
    assert row.state == "failed"
    assert len({notice.message_id for notice in server.got}) == 1
    assert len(server.got) < 25


async def test_permanent_refusal_fails_and_is_scrubbed(ledger: Ledger) -> None:
    """A 5xx is final; its text is kept without the address it quotes."""
    outbox, server = Outbox(ledger.run), Server(Reply(550, "5.1.1 <holder@example.test>: unknown", "rcpt"))
    await outbox.put(compose(), NOW)
    (sent,) = await outbox.send_due(server.send, StillClock())
    assert (sent.state, sent.reply_text) == ("failed", "5.1.1 <address>: unknown")
    assert "example.test" not in ledger.dump()


async def test_refused_content_goes_once_as_plain_text(ledger: Ledger) -> None:
    """A 5.7.x for the content is answered by one more mail without attachments, under the same Message-ID."""
    outbox, server = Outbox(ledger.run), Server(Reply(554, "5.7.1 no such content here", "data"))
    await outbox.put(compose(), NOW)
    (sent,) = await outbox.send_due(server.send, StillClock())
    assert sent.state == "accepted"
    first, second = server.got
    assert first.message_id == second.message_id
    assert b"application/json" in first.message
    assert b"application/json" not in second.message


async def test_unknown_outcome_goes_again_under_the_same_id(ledger: Ledger) -> None:
    """A connection lost after DATA is sent again with the same Message-ID: at least once, one id."""
    outbox, clock, server = Outbox(ledger.run), StillClock(), Server(Reply(0, "lost", "unknown"))
    await outbox.put(compose(), NOW)
    (sent,) = await outbox.send_due(server.send, clock)
    assert sent.state == "unknown"
    clock.at += dt.timedelta(minutes=5)
    (sent,) = await outbox.send_due(server.send, clock)
    assert sent.state == "accepted"
    assert len({notice.message_id for notice in server.got}) == 1


async def test_killed_between_intent_and_reply(tmp_path: Path) -> None:
    """After a crash in the middle of a send the intent is still there and goes out under the same Message-ID."""
    ledger = Ledger(tmp_path / "ledger.db")
    await Outbox(ledger.run).put(compose(), NOW)

    async def die(_: Notice) -> Reply:
        await trio.lowlevel.checkpoint()
        raise KeyError("the process ended here")

    with pytest.raises(KeyError):
        await Outbox(ledger.run).send_due(die, StillClock())
    ledger.connection.close()
    again, server = Ledger(tmp_path / "ledger.db"), Server()
    (sent,) = await Outbox(again.run).send_due(server.send, StillClock())
    assert (sent.state, server.got[0].message_id) == ("accepted", compose().message_id)


async def test_a_dead_server_ends_the_pass(ledger: Ledger) -> None:
    """When nobody answers, one notice is tried, and all stay due."""
    outbox, server = Outbox(ledger.run), Server(Reply(0, "refused", "connect"))
    for at in range(5):
        await outbox.put(compose(to=contact(f"u{at}@example.test")), NOW)
    assert len(await outbox.send_due(server.send, StillClock())) == 1
    assert {row.state for row in await outbox.states()} == {"queued", "retry"}


async def test_order_is_that_of_queueing(ledger: Ledger) -> None:
    """A pass sends in the order in which notices were queued."""
    outbox, server = Outbox(ledger.run), Server()
    made = [compose(to=contact(f"u{at}@example.test")) for at in (3, 1, 2)]
    for notice in made:
        await outbox.put(notice, NOW)
    await outbox.send_due(server.send, StillClock())
    assert [notice.recipient for notice in server.got] == [notice.recipient for notice in made]


async def test_a_notice_that_waited_is_looked_at_again(ledger: Ledger) -> None:
    """After an hour in the queue the case is looked at again; no longer right means withdrawn, never sent."""
    outbox, clock, server = Outbox(ledger.run), StillClock(), Server()
    await outbox.put(compose(), NOW)
    clock.at += dt.timedelta(hours=2)

    async def look(_: Notice) -> bool:
        await trio.lowlevel.checkpoint()
        return False

    (sent,) = await outbox.send_due(server.send, clock, look=look)
    assert (sent.state, server.got) == ("withdrawn", [])
    assert "holder@" not in ledger.dump()


async def test_bounce_and_withdrawal(ledger: Ledger) -> None:
    """A bounce marks the accepted notice; a queued one can be taken back; an unknown digest is nothing."""
    outbox, server = Outbox(ledger.run), Server()
    made, other = compose(), compose(to=contact("u@example.test"))
    await outbox.put(made, NOW)
    await outbox.send_due(server.send, StillClock())
    assert await outbox.bounced(digest_of(made.message_id), "5.1.1", NOW) == made.message_id
    assert await outbox.bounced("00" * 10, "5.1.1", NOW) is None
    await outbox.put(other, NOW)
    assert await outbox.withdraw(other.message_id, NOW, "held by the operator")
    assert not await outbox.withdraw(made.message_id, NOW, "too late")
    assert [row.state for row in await outbox.states()] == ["bounced", "withdrawn"]


def test_scrub() -> None:
    """No address survives in a reply, and no control character."""
    text = scrub("550 <a@b.zz> also c.d+e@f.zz,\x07\r\n orcpt=rfc822;x@y.zz " + "z" * 400)
    assert "@" not in text
    assert text.isprintable()
    assert len(text) <= 200
