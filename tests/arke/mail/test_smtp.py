"""The mailer against a small SMTP server on loopback, written beside it: one script of replies a session."""

import re

import pytest
import trio

from arke.config import Smtp
from arke.mail.smtp import Mailer
from arke.model import Notice
from tests.arke.mail.cases import compose, contact
from tests.arke.mail.mailserver import Server, settings


@pytest.fixture
async def server() -> Server:
    return Server()


async def test_accepted_unchanged_over_one_connection(server: Server, nursery: trio.Nursery) -> None:
    """Ten notices go over one connection, arrive byte for byte, and ask for a delivery status."""
    made = [compose(to=contact(f"u{at}@example.test")) for at in range(10)]
    async with Mailer(await settings(server, nursery)) as mailer:
        replies = [await mailer.send(notice) for notice in made]
    assert {(reply.code, reply.phase) for reply in replies} == {(250, "sent")}
    assert [re.sub(rb"(?m)^\.\.", b".", mail) for mail in server.mails] == [notice.message for notice in made]
    assert server.sessions == 1
    assert any("NOTIFY=FAILURE,DELAY" in command for command in server.commands)
    assert server.commands[-1].upper() == "QUIT"


@pytest.mark.parametrize(
    ("word", "line", "code", "phase"),
    [
        ("RCPT", "451 4.7.1 greylisted, come back", 451, "rcpt"),
        ("RCPT", "550 5.1.1 no such user", 550, "rcpt"),
        ("MAIL", "452 4.3.1 full", 452, "mail"),
        ("dot", "554 5.7.1 content refused", 554, "data"),
        ("DATA", "421 4.3.2 going down", 421, "data"),
    ],
)
async def test_refusals_are_values(
    server: Server, nursery: trio.Nursery, word: str, line: str, code: int, phase: str
) -> None:
    """A refusal comes back with its code and phase, and the next notice still gets through."""
    server.script[word] = line
    async with Mailer(await settings(server, nursery)) as mailer:
        refused = await mailer.send(compose())
        assert (refused.code, refused.phase) == (code, phase)
        server.script.clear()
        assert (await mailer.send(compose())).code == 250


@pytest.mark.parametrize(
    ("word", "line", "code", "phase"),
    [("RCPT", "235 2.0.0 perhaps", 235, "rcpt"), ("DATA", "250 2.0.0 taken", 250, "data")],
)
async def test_an_answer_out_of_turn_ends_the_connection(
    server: Server, nursery: trio.Nursery, word: str, line: str, code: int, phase: str
) -> None:
    """A 2xx where another answer must stand accepts nothing, and the dialogue is begun anew for the next notice."""
    server.script[word] = line
    async with Mailer(await settings(server, nursery)) as mailer:
        odd = await mailer.send(compose())
        assert (odd.code, odd.phase, server.mails) == (code, phase, [])
        server.script.clear()
        assert (await mailer.send(compose())).phase == "sent"
    assert server.sessions == 2


@pytest.mark.parametrize(("where", "phase"), [("dot", "unknown"), ("RCPT", "rcpt"), ("EHLO", "connect")])
async def test_lost_connection(server: Server, nursery: trio.Nursery, where: str, phase: str) -> None:
    """A connection lost after the message is ``unknown``; lost before it, the phase says that nothing was taken."""
    server.drop.add(where)
    async with Mailer(await settings(server, nursery)) as mailer:
        reply = await mailer.send(compose())
    assert (reply.code, reply.phase) == (0, phase)


async def test_a_kept_connection_that_died_is_replaced(server: Server, nursery: trio.Nursery) -> None:
    """When the server closed an idle connection, the notice goes over a new one, once."""
    async with Mailer(await settings(server, nursery)) as mailer:
        assert (await mailer.send(compose())).code == 250
        server.drop.add("MAIL")
        lost = await mailer.send(compose())
        server.drop.clear()
        assert lost.phase == "mail"
        assert (await mailer.send(compose())).code == 250
    assert len(server.mails) == 2


async def test_nobody_listens() -> None:
    """No server is a reply of phase ``connect`` without a code."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = int(listeners[0].socket.getsockname()[1])
    await listeners[0].aclose()
    async with Mailer(Smtp(host="127.0.0.1", sender="a@nic.zz", port=port)) as mailer:
        reply = await mailer.send(compose())
    assert (reply.code, reply.phase) == (0, "connect")


async def test_starttls_missing_is_refused(server: Server, nursery: trio.Nursery) -> None:
    """With STARTTLS required and not offered, no notice is handed over."""
    async with Mailer(await settings(server, nursery, tls="starttls")) as mailer:
        assert (await mailer.send(compose())).phase == "tls"
    assert server.mails == []


async def test_smtputf8_only_where_needed(server: Server, nursery: trio.Nursery) -> None:
    """An address outside ASCII needs SMTPUTF8: refused where it is not offered, used where it is."""
    made = compose(to=contact("jürgen@example.test"))
    async with Mailer(await settings(server, nursery)) as mailer:
        assert (await mailer.send(made)).code == 553
        await mailer.send(compose())
    assert not any("SMTPUTF8" in command for command in server.commands)
    other = Server()
    other.features.append("SMTPUTF8")
    async with Mailer(await settings(other, nursery)) as mailer:
        assert (await mailer.send(made)).code == 250
    assert any("SMTPUTF8" in command for command in other.commands)


@pytest.mark.parametrize("where", ["EHLO", "MAIL", "QUIT"])
async def test_cancel_takes_less_than_a_second(server: Server, nursery: trio.Nursery, where: str) -> None:
    """Whatever the server keeps us waiting for, cancelling ends it at once."""
    server.hang.add(where)
    config = await settings(server, nursery, timeout="60s")
    with trio.move_on_after(0.3):
        async with Mailer(config) as mailer:
            await mailer.send(compose())
            await trio.sleep_forever()
    before = trio.current_time()
    with trio.move_on_after(0.2):
        async with Mailer(config) as mailer:
            await mailer.send(compose())
    assert trio.current_time() - before < 1.2


async def test_several_connections(server: Server, nursery: trio.Nursery) -> None:
    """Ten tasks share four connections."""
    made: list[Notice] = [compose(to=contact(f"u{at}@example.test")) for at in range(10)]
    codes: list[int] = []
    async with Mailer(await settings(server, nursery), connections=4) as mailer:

        async def one(notice: Notice) -> None:
            codes.append((await mailer.send(notice)).code)

        async with trio.open_nursery() as senders:
            for notice in made:
                senders.start_soon(one, notice)
    assert codes == [250] * 10
    assert 1 < server.sessions <= 4
