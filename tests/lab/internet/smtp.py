"""An SMTP server that accepts, greylists, rejects and misbehaves by recipient, and keeps what it accepts before its 250.

As real ones do now and then, it fails some recipients' first mail in a way of :data:`MISHAPS`, and takes the second.
As mailbox servers do (Cyrus and Dovecot by their duplicate databases), it keeps one copy of a Message-ID for each
recipient; a second one is answered the same and only noted, for the scorer to judge. Every other session offers
CHUNKING, so that both ways of handing a message over meet each of these.
"""

from __future__ import annotations

import base64
import datetime as dt
import email
import hashlib
import json
import os
import random
import re
from pathlib import Path

import trio

from panopticond.shared.clock import rfc3339
from tests.lab.internet.state import Internet

AGAIN = "mails-again.ndjson"
"""Beside the accepted mails: time and Message-ID of every mail that came a second time."""
GREYLIST_FOR = dt.timedelta(minutes=4)
MISHAPS = (
    "lost-after", "lost-before", "not-now", "closing", "flood", "early", "two-answers", "silent",
)  # fmt: skip
"""The connection lost after the mail was kept, or before; 451 to it; 421 to MAIL; an answer without end; one before the
message; a yes and a no to it at once, kept; silence, then the line cut, once in the run."""
SILENT_SECONDS = 0.5  # real ones, each many minutes of a world: longer silence is for the mailer's own tests
MISHAP_ONE_IN = 40  # recipients that meet each of them
_ADDRESS = re.compile(r"<([^>]*)>")


class Mailboxes:
    """Every recipient's treatment, and the accepted mails as NDJSON lines synced to disk."""

    def __init__(self, state: Internet, mails: Path) -> None:
        self._state = state
        self._treatment = {box.address.lower(): box.treatment for box in state.world.mailboxes}
        self._first_seen: dict[str, dt.datetime] = {}
        self._mails = mails
        self._again = mails.with_name(AGAIN)
        self._kept: set[tuple[str, str]] = set()
        self._met: set[str] = set()
        self._silent = False
        self._random = random.Random(state.world.seed)
        self._sessions = 0
        self.accepted = 0
        self.rejected = 0

    async def serve(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve on a free port of 127.0.0.1; reports the port."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=128)
        task_status.started(listeners[0].socket.getsockname()[1])
        await trio.serve_listeners(self._handle, listeners)

    async def _handle(self, stream: trio.SocketStream) -> None:
        async with stream:
            with trio.move_on_after(300):
                try:
                    self._sessions += 1
                    await _Session(self, stream, chunking=self._sessions % 2 == 0).run()
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass

    def mishap(self, address: str) -> str:
        """What the server does wrong with a recipient's first mail; nothing the second time, and with most."""
        if address in self._met or self._treatment.get(address.lower(), "accept") != "accept":
            return ""
        number = int.from_bytes(hashlib.sha256(address.lower().encode()).digest()[:4]) % MISHAP_ONE_IN
        name = MISHAPS[number] if number < len(MISHAPS) else ""
        if name == "silent":
            name, self._silent = ("" if self._silent else name), True
        if name:
            self._met.add(address)
        return name

    async def delay(self) -> None:
        """The time between keeping a mail and saying so."""
        await trio.sleep(self._random.uniform(0, self._state.world.mail_seconds))

    def recipient(self, address: str) -> str:
        """The reply to RCPT TO."""
        treatment = self._treatment.get(address.lower(), "accept")
        if treatment == "reject":
            self.rejected += 1
            return f"550 5.1.1 <{address}>: no such user here"
        if treatment == "greylist":
            now = self._state.now()
            first = self._first_seen.setdefault(address.lower(), now)
            if now - first < GREYLIST_FOR:
                return "451 4.7.1 greylisted, come back later"
        return "250 2.1.5 ok"

    def accept(self, sender: str, recipients: list[str], data: bytes, *, doubtful: bool = False) -> str:
        """Keep a message, synced, then the reply to the end of DATA; ``doubtful``: the client will not be told so."""
        message = email.message_from_bytes(data)
        with self._mails.open("ab") as out:
            for recipient in recipients:
                key = (str(message["Message-ID"]), recipient.lower())
                if key in self._kept:
                    self._note_again(key[0])
                    continue
                self._kept.add(key)
                line = {
                    "at": rfc3339(self._state.now()),
                    "message_id": str(message["Message-ID"]),
                    "envelope_from": sender,
                    "recipient": recipient,
                    "subject": str(message["Subject"]),
                    "doubtful": doubtful,
                    "bytes_b64": base64.b64encode(data).decode(),
                }
                out.write(json.dumps(line).encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())
        self.accepted += len(recipients)
        return "250 2.0.0 kept"

    def _note_again(self, message_id: str) -> None:
        with self._again.open("ab") as out:
            out.write(json.dumps({"at": rfc3339(self._state.now()), "message_id": message_id}).encode() + b"\n")


class _Session:
    def __init__(self, boxes: Mailboxes, stream: trio.SocketStream, *, chunking: bool) -> None:
        self._boxes = boxes
        self._chunking = chunking
        self._stream = stream
        self._buffer = b""
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._mishap = ""

    async def run(self) -> None:
        await self._say("220 lab ESMTP")
        while (line := await self._line()) is not None:
            verb = line[:4].upper()
            if verb == "QUIT":
                await self._say("221 2.0.0 bye")
                return
            await self._say(await self._reply(verb, line))

    async def _reply(self, verb: str, line: str) -> str:
        if verb in ("EHLO", "HELO"):
            extensions = ["SIZE 10485760", "8BITMIME", "SMTPUTF8", "DSN", "PIPELINING"]
            extensions += ["CHUNKING"] * self._chunking
            return "250-lab\r\n" + "".join(f"250-{name}\r\n" for name in extensions) + "250 ENHANCEDSTATUSCODES"
        if verb == "MAIL":
            found = _ADDRESS.search(line)
            self._sender, self._recipients = (found[1] if found else ""), []
            return "250 2.1.0 ok"
        if verb == "RCPT":
            found = _ADDRESS.search(line)
            if self._sender is None or found is None:
                return "503 5.5.1 MAIL first"
            self._mishap = self._boxes.mishap(found[1])
            if self._mishap == "closing":
                await self._say("421 4.3.2 closing")
                raise trio.BrokenResourceError
            if self._mishap == "flood":
                return "\r\n".join(["250-more"] * 1000)
            if self._mishap == "silent":
                await trio.sleep(SILENT_SECONDS)
                raise trio.BrokenResourceError
            reply = self._boxes.recipient(found[1])
            if reply.startswith("250"):
                self._recipients.append(found[1])
            return reply
        if verb == "DATA":
            return await self._data()
        if verb == "BDAT" and self._chunking:
            return await self._chunk(line)
        if verb in ("RSET", "NOOP"):
            self._sender, self._recipients = None, []
            return "250 2.0.0 ok"
        return "502 5.5.2 unknown"

    async def _data(self) -> str:
        if not self._recipients or self._sender is None:
            return "503 5.5.1 RCPT first"
        mishap, self._mishap = self._mishap, ""
        await self._say("354 go on\r\n250 2.0.0 kept" if mishap == "early" else "354 go on")
        while b"\r\n.\r\n" not in self._buffer:
            chunk = await self._stream.receive_some(65536)
            if not chunk:
                raise trio.BrokenResourceError
            self._buffer += chunk
        data, self._buffer = self._buffer.split(b"\r\n.\r\n", 1)
        return await self._end(mishap, data.replace(b"\r\n..", b"\r\n.") + b"\r\n")

    async def _chunk(self, line: str) -> str:
        """A message in one chunk, read whatever the answer is (RFC 3030 section 2)."""
        size = int(line.split()[1])
        while len(self._buffer) < size:
            if not (more := await self._stream.receive_some(65536)):
                raise trio.BrokenResourceError
            self._buffer += more
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        if not self._recipients or self._sender is None:
            return "503 5.5.1 RCPT first"
        mishap, self._mishap = self._mishap, ""
        return await self._end("two-answers" if mishap == "early" else mishap, data)

    async def _end(self, mishap: str, data: bytes) -> str:
        """What becomes of a whole message, and what the client hears of it."""
        if self._sender is None or mishap == "lost-before":
            raise trio.BrokenResourceError
        sender, recipients = self._sender, self._recipients
        self._sender, self._recipients = None, []
        if mishap == "not-now":
            return "451 4.3.0 not now"
        doubtful = mishap in ("lost-after", "two-answers", "early")
        reply = self._boxes.accept(sender, recipients, data, doubtful=doubtful)
        await self._boxes.delay()
        if mishap == "lost-after":
            raise trio.BrokenResourceError
        return f"{reply}\r\n451 4.3.0 not kept" if mishap == "two-answers" else reply

    async def _line(self) -> str | None:
        while b"\r\n" not in self._buffer:
            chunk = await self._stream.receive_some(65536)
            if not chunk or len(self._buffer) > 1 << 16:
                return None
            self._buffer += chunk
        line, self._buffer = self._buffer.split(b"\r\n", 1)
        return line.decode("utf-8", "replace")

    async def _say(self, text: str) -> None:
        await self._stream.send_all(text.encode() + b"\r\n")
