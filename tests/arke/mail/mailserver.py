"""A small SMTP server on loopback for the mailer's tests: trio streams, replies as a script says, faults on demand."""

from __future__ import annotations

import functools
import ssl

import trio
import trio.testing
from trio.abc import Stream

from arke.config import Smtp

_OLD = frozenset({"EHLO", "MAIL", "RCPT", "DATA", "RSET", "QUIT"})


class Server:
    """Replies as told: ``script`` maps a command word to a reply; several replies separated by line feeds are one write.

    ``dot`` in ``script`` and ``drop`` stands for the end of a message; a list there is taken in turn.
    """

    def __init__(self) -> None:
        self.script: dict[str, str] = {}
        self.turns: dict[str, list[str]] = {}
        """Replies taken one after another, from the first again when they are used up."""
        self.features = ["DSN", "8BITMIME"]
        self.drop: set[str] = set()
        self.hang: set[str] = set()
        self.mails: list[bytes] = []
        self.commands: list[str] = []
        self.sessions = 0
        self.tls: ssl.SSLContext | None = None
        self.injected = b""
        """Plain bytes sent behind the answer to STARTTLS."""
        self.group_only = False
        """Answers MAIL and RCPT only when DATA or BDAT has come too, as a server may that was promised pipelining."""
        self.farewell: bytes | None = None
        """What it says after the first message's reply, and then closes; None keeps the connection."""
        self.ignorant: str | None = None
        """What it says to BDAT and to each line of the message, as a server that offers CHUNKING and does not know it."""
        self.ended = trio.Event()
        """Set when a session's connection is closed."""
        self._late: list[str] = []
        self.eager = False
        """Whether a command came while the answer to the one before was not yet sent."""

    async def start(self, nursery: trio.Nursery) -> int:
        """Serve until the nursery ends; the port."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(functools.partial(trio.serve_listeners, self.serve, listeners))
        return int(listeners[0].socket.getsockname()[1])

    async def serve(self, stream: Stream) -> None:
        """One session."""
        self.sessions += 1
        try:
            if self.tls is not None and "STARTTLS" not in self.features:
                stream = trio.SSLStream(stream, self.tls, server_side=True)
            await stream.send_all(b"220 lab\r\n")
            buffered = bytearray()
            while (line := await self.until(stream, buffered, b"\r\n")) is not None:
                if line == b"STARTTLS" and self.tls is not None:
                    await stream.send_all(b"220 go\r\n" + self.injected)
                    stream, buffered = trio.SSLStream(stream, self.tls, server_side=True), bytearray()
                    continue
                if not await self.command(stream, buffered, line.decode()):
                    break
        except trio.BrokenResourceError:
            return
        finally:
            await trio.aclose_forcefully(stream)
            self.ended.set()

    async def until(self, stream: Stream, buffered: bytearray, end: bytes) -> bytes | None:
        """The bytes up to a mark; None when the client has gone."""
        while (at := buffered.find(end)) < 0:
            data = await stream.receive_some(65536)
            if not data:
                return None
            buffered += data
        taken = bytes(buffered[:at])
        del buffered[: at + len(end)]
        return taken

    async def command(self, stream: Stream, buffered: bytearray, line: str) -> bool:
        """One command and its reply; False ends the session. The replies of a group may wait for its last command."""
        word = line.split(maxsplit=1)[0].upper() if line.split() else ""
        self.commands.append(line)
        self.eager = self.eager or bool(buffered)
        if word in self.hang:
            await trio.sleep_forever()
        if word in self.drop:
            return False
        if word == "EHLO" and "EHLO" not in self.script:
            lines = ["lab", *self.features]
            await stream.send_all("".join(f"250{' ' if f == lines[-1] else '-'}{f}\r\n" for f in lines).encode())
            return True
        if self.ignorant is not None and word not in _OLD:
            await stream.send_all(f"{self.ignorant}\r\n".encode())
            return True
        if word == "BDAT":
            return await self.chunk(stream, buffered, int(line.split()[1]))
        reply = self.reply(word, "354 go" if word == "DATA" else "221 bye" if word == "QUIT" else "250 ok")
        if self.group_only and word in ("MAIL", "RCPT"):
            self._late.append(reply)
            return True
        await stream.send_all("".join(f"{text}\r\n" for text in (*self._late, *reply.split("\n"))).encode())
        self._late.clear()
        return await self.message(stream, buffered) if word == "DATA" and reply.startswith("354") else word != "QUIT"

    async def message(self, stream: Stream, buffered: bytearray) -> bool:
        """What comes after 354."""
        if "message" in self.hang:
            await trio.sleep_forever()
        buffered[:0] = b"\r\n"  # so that an empty message ends as any other
        mail = await self.until(stream, buffered, b"\r\n.\r\n")
        if mail is None:
            return False
        mail = mail[2:]
        reply = self.reply("dot", "250 2.0.0 taken" if mail else "554 5.5.1 no recipients")
        if reply.startswith("250"):
            self.mails.append(mail + b"\r\n")
        if "dot" in self.drop:
            return False
        await stream.send_all("".join(f"{text}\r\n" for text in reply.split("\n")).encode())
        return True

    async def chunk(self, stream: Stream, buffered: bytearray, size: int) -> bool:
        """The bytes of a BDAT (RFC 3030), read whatever the answer to it is."""
        while len(buffered) < size:
            if "message" in self.hang:
                await trio.sleep_forever()
            if not (data := await stream.receive_some(65536)):
                return False
            buffered += data
        mail = bytes(buffered[:size])
        del buffered[:size]
        reply = self.reply("dot", "250 2.0.0 taken")
        if reply.startswith("250"):
            self.mails.append(mail)
        if "dot" in self.drop:
            return False
        await stream.send_all("".join(f"{text}\r\n" for text in (*self._late, *reply.split("\n"))).encode())
        self._late.clear()
        if self.farewell is not None:
            await trio.testing.wait_all_tasks_blocked()  # until the client has read the reply
            await stream.send_all(self.farewell)
            self.farewell = None
            return False
        return True

    def reply(self, word: str, usual: str) -> str:
        """The next reply to a command."""
        if turns := self.turns.get(word):
            turns.append(turns.pop(0))
            return turns[-1]
        return self.script.get(word, usual)


async def settings(server: Server, nursery: trio.Nursery, **change: object) -> Smtp:
    """Start the server; the configuration of a mailer for it."""
    values = {"host": "127.0.0.1", "sender": "abuse@nic.zz", "port": await server.start(nursery), "timeout": "5s"}
    return Smtp(**(values | change))  # type: ignore[arg-type]
