"""The dialogue with servers of every kind: pipelining, TLS and AUTH, and what a hostile one does."""

import ssl
from pathlib import Path

import msgspec
import pytest
import trio

from arke.mail.smtp import Mailer
from arke.model import Notice
from tests.arke.mail.cases import compose, contact
from tests.arke.mail.mailserver import Server, settings
from tests.lab.internet.certificates import contexts


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def chunking(server: Server) -> Server:
    """A server that takes a mail in one write."""
    server.features += ["PIPELINING", "CHUNKING"]
    return server


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server's context, and the file of the authority a client must trust for it: the certificate itself."""
    folder = tmp_path_factory.mktemp("certificates")
    return contexts(folder, ["localhost"])["self-signed"], folder / "self-signed.pem"


def made(number: int) -> list[Notice]:
    return [compose(to=contact(f"u{at}@example.test")) for at in range(number)]


async def test_the_envelope_is_one_write(server: Server, nursery: trio.Nursery) -> None:
    """Where PIPELINING is offered MAIL, RCPT and DATA go together: a server that waits for all three gets them."""
    server.features.append("PIPELINING")
    server.group_only = True
    async with Mailer(await settings(server, nursery)) as mailer:
        replies = [await mailer.send(notice) for notice in made(3)]
    assert [(reply.code, reply.phase) for reply in replies] == [(250, "sent")] * 3
    assert (len(server.mails), server.sessions) == (3, 1)


async def test_without_pipelining_one_by_one(server: Server, nursery: trio.Nursery) -> None:
    """Where it is not offered no command leaves before the answer to the last."""
    async with Mailer(await settings(server, nursery)) as mailer:
        assert [(await mailer.send(notice)).code for notice in made(3)] == [250] * 3
    assert not server.eager


async def test_an_old_server_gets_helo(server: Server, nursery: trio.Nursery) -> None:
    """A server that knows no EHLO gets HELO, and no extension is used."""
    server.script["EHLO"] = "502 5.5.1 what"
    async with Mailer(await settings(server, nursery)) as mailer:
        assert (await mailer.send(compose())).code == 250
    assert next(line for line in server.commands if line.startswith("MAIL")).endswith(">")


@pytest.mark.parametrize("data", ["354 go", "503 5.5.1 no recipients"])
async def test_a_refused_group_costs_no_connection(server: Server, nursery: trio.Nursery, data: str) -> None:
    """After a refused RCPT the DATA sent with it is ended empty where the server waits for one (RFC 2920), then RSET."""
    server.features.append("PIPELINING")
    server.turns = {"RCPT": ["550 5.1.1 nobody", "250 ok"], "DATA": [data, "354 go"]}
    async with Mailer(await settings(server, nursery)) as mailer:
        refused = await mailer.send(compose())
        assert (refused.code, refused.text, refused.phase) == (550, "5.1.1 nobody", "rcpt")
        assert (await mailer.send(compose(to=contact("v@example.test")))).phase == "sent"
    assert (server.sessions, len(server.mails)) == (1, 1)
    assert "RSET" in server.commands


@pytest.mark.parametrize(
    ("script", "code", "phase"),
    [
        ({"DATA": "354 go\n250 2.0.0 taken"}, 0, "data"),
        ({"dot": "250 2.0.0 taken\n451 4.3.0 not taken"}, 250, "unknown"),
        ({"dot": "354 more"}, 354, "unknown"),
        ({"dot": "252 perhaps"}, 252, "unknown"),
        ({"dot": "no answer at all"}, 0, "unknown"),
        ({"MAIL": "HTTP/1.1 400"}, 0, "mail"),
        ({"RCPT": "\n".join(["250-more"] * 200)}, 0, "rcpt"),
        ({"RCPT": "250 " + "x" * 5000}, 0, "rcpt"),
        ({"EHLO": "\n".join(["250-more"] * 200)}, 0, "connect"),
        ({"EHLO": "421 4.3.2 no"}, 421, "connect"),
    ],
)
@pytest.mark.parametrize("pipelining", [True, False])
async def test_an_answer_out_of_step_proves_nothing(
    server: Server, nursery: trio.Nursery, script: dict[str, str], code: int, phase: str, pipelining: bool
) -> None:
    """Answers before the question, of no protocol, of the wrong kind or without end: never accepted, and hung up on."""
    server.features += ["PIPELINING"] * pipelining
    server.script = script
    async with Mailer(await settings(server, nursery)) as mailer:
        reply = await mailer.send(compose())
        assert (reply.code, reply.phase) == (code, phase)
        server.script = {}
        assert (await mailer.send(compose())).phase == "sent"
    assert server.sessions == 2


async def test_answers_to_commands_not_yet_said(server: Server, nursery: trio.Nursery) -> None:
    """Three answers to MAIL say nothing of RCPT and DATA: no message is sent on them."""
    server.script = {"MAIL": "250 ok\n250 ok\n354 go"}
    async with Mailer(await settings(server, nursery)) as mailer:
        reply = await mailer.send(compose())
    assert (reply.code, reply.phase, server.mails) == (0, "rcpt", [])


async def test_a_server_that_takes_no_message(server: Server, nursery: trio.Nursery) -> None:
    """Nobody can have taken a message whose end was never sent: silence in the middle of it is no doubt."""
    server.hang.add("message")
    big = msgspec.structs.replace(compose(), message=b"x: y\r\n\r\n" + b"z" * (1 << 24))
    async with Mailer(await settings(server, nursery, timeout="500ms")) as mailer:
        reply = await mailer.send(big)
    assert (reply.code, reply.phase) == (0, "data")


@pytest.mark.parametrize("features", [[], ["PIPELINING"]])
async def test_silence_is_one_attempt(server: Server, nursery: trio.Nursery, features: list[str]) -> None:
    """A server that answers nothing to DATA is left at that: only who says that it knows no BDAT is asked at once."""
    server.features += features
    server.hang.add("DATA")
    async with Mailer(await settings(server, nursery, timeout="500ms")) as mailer:
        reply = await mailer.send(compose())
    assert (reply.code, reply.phase, server.sessions) == (0, "data", 1)


async def test_the_whole_mail_is_one_write(chunking: Server, nursery: trio.Nursery) -> None:
    """Where CHUNKING is offered too a server that answers nothing before BDAT gets all of it, byte for byte."""
    chunking.group_only = True
    mails = [
        msgspec.structs.replace(notice, message=notice.message + b".\r\n..dots\r\n.\r\n\r\nx: \xe2\x80\xa6\r\n")
        for notice in made(3)
    ]
    async with Mailer(await settings(chunking, nursery)) as mailer:
        replies = [await mailer.send(notice) for notice in mails]
    assert [(reply.code, reply.phase) for reply in replies] == [(250, "sent")] * 3
    assert (chunking.mails, chunking.sessions) == ([notice.message for notice in mails], 1)


async def test_chunks_need_pipelining_and_a_plain_connection(
    server: Server, nursery: trio.Nursery, certificates: tuple[ssl.SSLContext, Path]
) -> None:
    """Without the one no group may be sent; inside TLS nobody could see that a kept connection has ended."""
    server.features.append("CHUNKING")
    async with Mailer(await settings(server, nursery)) as mailer:
        assert (await mailer.send(compose())).phase == "sent"
    server.features += ["PIPELINING", "STARTTLS"]
    server.tls, ca_file = certificates[0], str(certificates[1])
    over_tls = await settings(server, nursery, host="localhost", tls="starttls", ca_file=ca_file)
    async with Mailer(over_tls) as mailer:
        assert (await mailer.send(compose())).phase == "sent"
    assert [line for line in server.commands if line.startswith(("BDAT", "DATA"))] == ["DATA", "DATA"]


@pytest.mark.parametrize("where", ["MAIL", "RCPT"])
async def test_a_refused_chunk_costs_no_connection(chunking: Server, nursery: trio.Nursery, where: str) -> None:
    """The first refusal counts, the answers behind it are read, and the next notice goes over the same connection."""
    chunking.turns = {where: ["550 5.1.1 nobody", "250 ok"], "dot": ["554 5.5.1 no recipients", "250 taken"]}
    async with Mailer(await settings(chunking, nursery)) as mailer:
        refused = await mailer.send(compose())
        assert (refused.code, refused.text, refused.phase) == (550, "5.1.1 nobody", where.lower())
        assert (await mailer.send(compose(to=contact("v@example.test")))).phase == "sent"
    assert (chunking.sessions, len(chunking.mails)) == (1, 1)
    assert "RSET" in chunking.commands


@pytest.mark.parametrize(
    ("script", "code", "phase"),
    [
        ({"dot": "451 4.3.0 not now"}, 451, "data"),
        ({"dot": "554 5.7.1 content"}, 554, "data"),
        ({"dot": "250 2.0.0 taken\n451 4.3.0 not taken"}, 250, "unknown"),
        ({"dot": "354 more"}, 354, "unknown"),
        ({"dot": "no answer at all"}, 0, "unknown"),
        ({"MAIL": "HTTP/1.1 400"}, 0, "unknown"),
        ({"RCPT": "354 2.0.0 perhaps"}, 0, "unknown"),
        ({"RCPT": "250 " + "x" * 5000}, 0, "unknown"),
        ({"RCPT": "550 5.1.1 nobody", "dot": "250 2.0.0 taken"}, 250, "unknown"),
        ({"MAIL": "421 4.3.2 closing", "dot": "421 4.3.2 closing", "RSET": "421 4.3.2 closing"}, 421, "mail"),
    ],
)
async def test_only_a_refusal_proves_that_a_chunk_was_not_taken(
    chunking: Server, nursery: trio.Nursery, script: dict[str, str], code: int, phase: str
) -> None:
    """After the one write the server has everything: silence, noise and two answers leave it unknown."""
    chunking.script = script
    async with Mailer(await settings(chunking, nursery)) as mailer:
        reply = await mailer.send(compose())
        assert (reply.code, reply.phase) == (code, phase)
        chunking.script = {}
        assert (await mailer.send(compose())).phase == "sent"


@pytest.mark.parametrize("where", ["MAIL", "RCPT", "dot"])
async def test_a_connection_lost_after_the_chunk(chunking: Server, nursery: trio.Nursery, where: str) -> None:
    """Wherever it was lost, the server may hold the mail."""
    chunking.drop.add(where)
    async with Mailer(await settings(chunking, nursery)) as mailer:
        reply = await mailer.send(compose())
    assert (reply.code, reply.phase) == (0, "unknown")


@pytest.mark.parametrize("refusal", ["500 5.5.2 what", "502 5.5.1 not implemented", "503 5.5.1 bad sequence"])
async def test_chunking_offered_and_bdat_unknown(chunking: Server, nursery: trio.Nursery, refusal: str) -> None:
    """Whoever takes the message's lines for commands gets the notice again by DATA, and every later one at once so."""
    chunking.ignorant = refusal
    async with Mailer(await settings(chunking, nursery)) as mailer:
        assert [(await mailer.send(notice)).phase for notice in made(3)] == ["sent"] * 3
    assert (len(chunking.mails), chunking.sessions) == (3, 2)
    assert len([line for line in chunking.commands if line.startswith("BDAT")]) == 1


async def test_answers_that_fill_the_line_are_read(chunking: Server, nursery: trio.Nursery) -> None:
    """Where unread answers to a large message's lines leave neither side able to go on, the first ones tell all."""
    chunking.ignorant = "500 " + "what " * 100
    large = msgspec.structs.replace(compose(), message=b"x: y\r\n\r\n" + b"w\r\n" * (1 << 21))
    async with Mailer(await settings(chunking, nursery, timeout="500ms")) as mailer:
        assert (await mailer.send(large)).phase == "sent"
    assert (len(chunking.mails), chunking.sessions) == (1, 2)


async def test_whom_one_write_silenced_is_asked_step_by_step(chunking: Server, nursery: trio.Nursery) -> None:
    """A mail in one write that nobody answered is in doubt; the next server that hangs at MAIL is known to hold none."""
    chunking.hang.add("MAIL")
    async with Mailer(await settings(chunking, nursery, timeout="50ms")) as mailer:
        replies = [await mailer.send(notice) for notice in made(2)]
    assert [(reply.code, reply.phase) for reply in replies] == [(0, "unknown"), (0, "mail")]


@pytest.mark.parametrize("features", [[], ["PIPELINING"], ["PIPELINING", "CHUNKING"]])
async def test_252_to_a_recipient_is_a_yes(server: Server, nursery: trio.Nursery, features: list[str]) -> None:
    """A server that cannot verify a recipient and takes the mail (RFC 5321 section 3.5.3) gets it, once."""
    server.features += features
    server.script["RCPT"] = "252 2.1.5 will try"
    async with Mailer(await settings(server, nursery)) as mailer:
        assert (await mailer.send(compose())).phase == "sent"
    assert len(server.mails) == 1


@pytest.mark.parametrize(("kept_seconds", "sessions"), [(60.0, 1), (0.0, 2)])
async def test_a_connection_is_kept_for_a_while(
    chunking: Server, nursery: trio.Nursery, kept_seconds: float, sessions: int
) -> None:
    """One without work for longer is ended in good form: a firewall may have forgotten it without a word to us."""
    async with Mailer(await settings(chunking, nursery), kept_seconds=kept_seconds) as mailer:
        for notice in made(2):
            await trio.sleep(0.001)
            assert (await mailer.send(notice)).phase == "sent"
    assert (len(chunking.mails), chunking.sessions) == (2, sessions)
    assert chunking.commands.count("QUIT") == sessions


@pytest.mark.parametrize("hangs", [{"hang": {"message"}}, {"drop": {"RCPT"}, "script": {"MAIL": "552 5.3.4 too big"}}])
async def test_half_a_chunk_is_not_taken(chunking: Server, nursery: trio.Nursery, hangs: dict[str, object]) -> None:
    """A server that reads no more, or closes, before the last byte was sent has no mail: what it says of it counts."""
    for name, value in hangs.items():
        setattr(chunking, name, value)
    big = msgspec.structs.replace(compose(), message=b"x: y\r\n\r\n" + b"z" * (1 << 24))
    async with Mailer(await settings(chunking, nursery, timeout="500ms")) as mailer:
        reply = await mailer.send(big)
    assert (reply.code, reply.phase) == (552 if "drop" in hangs else 0, "mail")


@pytest.mark.parametrize("farewell", [b"", b"421 4.4.2 idle for too long\r\n", b"250 odd\r\n", b"42"])
async def test_a_kept_connection_that_ended_is_seen_before_the_chunk(
    chunking: Server, nursery: trio.Nursery, farewell: bytes
) -> None:
    """Closed, or spoken on out of turn, while nothing was sent: the next notice takes a new one and is in no doubt."""
    chunking.farewell = farewell
    async with Mailer(await settings(chunking, nursery)) as mailer:
        assert (await mailer.send(compose())).phase == "sent"
        await chunking.ended.wait()
        assert (await mailer.send(compose())).phase == "sent"
    assert (len(chunking.mails), chunking.sessions) == (2, 2)


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
async def test_tls(server: Server, nursery: trio.Nursery, mode: str, certificates: tuple[ssl.SSLContext, Path]) -> None:
    """STARTTLS and TLS from the start, with the password said inside only; the authority may be one's own."""
    server.tls = certificates[0]
    server.features += ["PIPELINING", "AUTH PLAIN LOGIN"] + (["STARTTLS"] if mode == "starttls" else [])
    server.script["AUTH"] = "235 2.7.0 come in"
    config = await settings(server, nursery, host="localhost", tls=mode, ca_file=str(certificates[1]))
    async with Mailer(config) as mailer:
        assert [(await mailer.send(notice)).code for notice in made(3)] == [250] * 3
    assert server.sessions == 1


async def test_plain_bytes_behind_starttls_are_thrown_away(
    server: Server, nursery: trio.Nursery, certificates: tuple[ssl.SSLContext, Path]
) -> None:
    """What somebody slipped in behind the answer to STARTTLS is taken for nothing the server said inside TLS."""
    server.tls, server.injected = certificates[0], b"250-evil\r\n250 AUTH PLAIN\r\n250 ok\r\n"
    server.features += ["STARTTLS"]
    config = await settings(server, nursery, host="localhost", tls="starttls", ca_file=str(certificates[1]))
    server.script["dot"] = "451 4.3.0 not now"
    async with Mailer(config) as mailer:
        reply = await mailer.send(compose())
        assert (reply.code, reply.text) == (451, "4.3.0 not now")
    assert server.mails == []


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
async def test_a_stranger_s_certificate_is_refused(
    server: Server, nursery: trio.Nursery, mode: str, certificates: tuple[ssl.SSLContext, Path]
) -> None:
    """A certificate of no authority the host trusts ends the connection before a word of the mail."""
    server.tls = certificates[0]
    server.features += ["STARTTLS"] if mode == "starttls" else []
    async with Mailer(await settings(server, nursery, host="localhost", tls=mode)) as mailer:
        reply = await mailer.send(compose())
    assert (reply.code, reply.phase) == (0, "tls")
    assert "certificate" in reply.text
    assert not any(line.startswith("MAIL") for line in server.commands)


@pytest.mark.parametrize(
    ("methods", "turns", "code", "phase", "said"),
    [
        ("PLAIN LOGIN", ["235 in"], 250, "sent", ["AUTH PLAIN AGFya2UAcHc="]),
        ("LOGIN", ["334 VXNlcm5hbWU6"], 0, "auth", ["AUTH LOGIN"]),
        ("PLAIN", ["535 5.7.8 no"], 535, "auth", ["AUTH PLAIN AGFya2UAcHc="]),
        ("PLAIN", ["250 whatever"], 0, "auth", ["AUTH PLAIN AGFya2UAcHc="]),
        ("GSSAPI", ["235 in"], 0, "auth", []),
    ],
)
async def test_auth(
    server: Server,
    nursery: trio.Nursery,
    tmp_path: Path,
    methods: str,
    turns: list[str],
    code: int,
    phase: str,
    said: list[str],
) -> None:
    """PLAIN before LOGIN; whatever is not a plain yes is a refusal, and no mail is handed over."""
    secret = tmp_path / "secret"
    secret.write_text("pw\n")
    secret.chmod(0o600)
    server.features.append(f"AUTH {methods}")
    server.turns["AUTH"] = turns
    server.drop.add("YXJRZQ==")
    config = await settings(server, nursery, username="arke", password_file=str(secret))
    async with Mailer(config) as mailer:
        reply = await mailer.send(compose())
    assert (reply.code, reply.phase) == (code, phase)
    assert [line for line in server.commands if line.startswith("AUTH")] == said
    assert "pw" not in reply.text


async def test_auth_login(server: Server, nursery: trio.Nursery, tmp_path: Path) -> None:
    """LOGIN's two questions are answered with name and password."""
    secret = tmp_path / "secret"
    secret.write_text("pw\n")
    secret.chmod(0o600)
    server.features.append("AUTH LOGIN")
    server.script |= {"AUTH": "334 VXNlcm5hbWU6", "YXJRZQ==": "334 UGFzc3dvcmQ6", "CHC=": "235 2.7.0 in"}
    config = await settings(server, nursery, username="arke", password_file=str(secret))
    async with Mailer(config) as mailer:
        assert (await mailer.send(compose())).phase == "sent"
    assert server.commands[1:4] == ["AUTH LOGIN", "YXJrZQ==", "cHc="]
