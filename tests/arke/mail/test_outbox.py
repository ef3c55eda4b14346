"""The outbox over a real database file, with a scripted mail server as an argument."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

import apsw
import pytest
import trio

from arke.mail.outbox import Outbox, Standing, scrub
from arke.mail.rows import SCHEMA, digest_of
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

    async def run(self, fn: Callable[[apsw.Connection], T], *, durable: bool = True) -> T:  # noqa: ARG002 - the ledger's own word
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
    assert (
        await Outbox(again.run).send_due(server.send, StillClock()) == []
    )  # it might be another's, until the lock is ours
    assert await Outbox(again.run).recover() == 1
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


async def test_withdrawal_undoes_the_step_in_the_same_transaction(ledger: Ledger) -> None:
    """When the step cannot be undone the notice is not withdrawn either: a crash in between loses nobody."""
    told: list[tuple[str, ...]] = []

    def refuse(_: apsw.Connection, case_ids: tuple[str, ...]) -> None:
        told.append(case_ids)
        if len(told) == 1:
            raise KeyError("the process ended here")

    outbox, made = Outbox(ledger.run, withdrawn=refuse), compose()
    await outbox.put(made, NOW)
    with pytest.raises(KeyError):
        await outbox.withdraw(made.message_id, NOW, "x")
    assert [row.state for row in await outbox.states()] == ["queued"]

    async def no(_: Notice) -> Literal["withdraw"]:
        await trio.lowlevel.checkpoint()
        return "withdraw"

    (sent,) = await outbox.send_due(Server().send, StillClock(), stands=no)
    assert (sent.state, told[1]) == ("withdrawn", made.case_ids)


async def test_what_must_wait_stays_due_and_holds_up_nobody(ledger: Ledger) -> None:
    """``wait`` leaves a notice as it is, does not count against the limit, and next_due looks past it."""
    outbox, clock, server = Outbox(ledger.run), StillClock(), Server()
    for at in range(4):
        await outbox.put(compose(to=contact(f"u{at}@example.test")), NOW)

    async def last_only(notice: Notice) -> Standing:
        await trio.lowlevel.checkpoint()
        return "go" if notice.recipient.startswith("u3") else "wait"

    assert len(await outbox.send_due(server.send, clock, stands=last_only, limit=1)) == 1
    assert [notice.recipient for notice in server.got] == ["u3@example.test"]
    assert await outbox.next_due() == NOW
    assert await outbox.next_due(after=NOW) is None


async def test_two_senders_never_hold_the_same_notice(ledger: Ledger) -> None:
    """While one is being sent a second pass finds nothing to send."""
    outbox, other = Outbox(ledger.run), Outbox(ledger.run)
    await outbox.put(compose(), NOW)
    seen: list[int] = []

    async def send(_: Notice) -> Reply:
        seen.append(len(await other.send_due(Server().send, StillClock())))
        return Reply(250, "2.0.0 ok", "sent")

    assert len(await outbox.send_due(send, StillClock())) == 1
    assert seen == [0]


async def test_a_2xx_out_of_turn_is_no_acceptance(ledger: Ledger) -> None:
    """Only the answer to the whole mail accepts it; 2xx before that is tried again."""
    outbox = Outbox(ledger.run)
    await outbox.put(compose(), NOW)
    (sent,) = await outbox.send_due(Server(Reply(252, "2.0.0 perhaps", "rcpt")).send, StillClock())
    assert sent.state == "retry"


async def test_doubt_ends_too(ledger: Ledger) -> None:
    """A server that hangs up after every message may have taken them all: after two days nobody sends it another."""
    outbox, clock = Outbox(ledger.run), StillClock()
    server = Server(*[Reply(0, "lost", "unknown")] * 100)
    await outbox.put(compose(), NOW)
    states = []
    for _ in range(12):
        states += [sent.state for sent in await outbox.send_due(server.send, clock)]
        clock.at += dt.timedelta(hours=5)
    assert states == ["unknown"] * 10 + ["failed"]
    assert await outbox.next_due() is None


async def test_giving_up_counts_from_the_first_attempt(ledger: Ledger) -> None:
    """A notice that waited for days behind a stop file is tried as often as any other."""
    outbox, clock = Outbox(ledger.run), StillClock()
    server = Server(*[Reply(451, "4.7.1 greylisted", "rcpt")] * 100)
    await outbox.put(compose(), NOW)
    clock.at += dt.timedelta(days=5)
    (sent,) = await outbox.send_due(server.send, clock)
    assert sent.state == "retry"
    clock.at += dt.timedelta(days=5)
    for _ in range(5):
        (sent,) = await outbox.send_due(server.send, clock)
        clock.at += dt.timedelta(hours=5)
    assert (sent.state, sent.attempts) == ("failed", 6)


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
