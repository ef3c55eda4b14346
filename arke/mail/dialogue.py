"""One connection to a mail server: commands out, answers matched to them in order, one notice at a time.

Between ``smtp``, which opens and keeps connections, and ``wire``, which knows the bytes. MAIL, RCPT and DATA go in one
write where the server offers PIPELINING (RFC 2920), else one by one. Where it offers CHUNKING too (RFC 3030) and the
connection is in the clear, the message itself is in that write. A dialogue that is out of step, silent or lost is
closed; what stands about the notice then is how far it had come.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
from collections.abc import Mapping, Sequence

import trio
from trio.abc import Stream

from arke.mail.wire import Answer, Answers, OutOfStepError, Phase, Reply, chunk, dotted, envelope
from arke.model import Notice

READ_BYTES = 8192
QUIT_SECONDS = 2.0
DOT_TIMES = 10
"""How many times the time of a step the end of a message may take: RFC 5321 section 4.5.3.2.6 asks for ten minutes,
since whoever gives up earlier sends a mail twice."""
LOST = (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OutOfStepError, OSError)


class Dialogue:
    """A stream to a server, and what it offers; ``timeout`` is real seconds a step may take."""

    def __init__(self, stream: Stream, timeout: float) -> None:
        self.stream = stream
        self.features: Mapping[str, str] = {}
        """The extensions of its last EHLO, lower case, with their parameters."""
        self.open = True
        self.at_once = True
        """Whether a mail may be one write where EHLO allows it. Falls when the server knows no BDAT after all or lets
        the time pass: answers to single steps tell more."""
        self.used_at = trio.current_time()
        """When it last carried a notice, by trio's clock."""
        self._timeout = timeout
        self._answers = Answers()
        self._phase: Phase = "connect"
        self._refused: Reply | None = None

    async def answer(self) -> Answer:
        """The next answer; raises one of :data:`LOST` when none comes in time, or none of SMTP's."""
        with trio.fail_after(self._timeout):
            return await self._answer()

    async def ask(self, command: bytes, within: float | None = None) -> Answer:
        """One command and its answer; raises as :meth:`answer`."""
        with trio.fail_after(self._timeout if within is None else within):
            await self._send(command)
            return await self._answer()

    def renewed(self, stream: Stream) -> None:
        """TLS has begun: whatever was said in the clear, or slipped in behind, counts for nothing (RFC 3207)."""
        self.stream, self.features, self._answers = stream, {}, Answers()

    async def deliver(self, notice: Notice) -> Reply:
        """One transaction (RFC 5321 section 3.3); the connection is closed unless it can be used again."""
        commands = envelope(notice, self.features)
        if isinstance(commands, Reply):
            return commands
        self._phase, self._refused = "mail", None
        reply = Reply(0, "", "mail")
        try:
            self._nothing_unasked()
            with trio.CancelScope(deadline=trio.current_time() + self._timeout) as limit:
                reply = await self._transact(commands, notice, limit)
            if limit.cancelled_caught:
                reply = await self._late()
        except LOST as error:
            await self.close()
            return self._refused or Reply(0, told(error), self._phase)
        except BaseException:
            await self.close()
            raise
        if reply.phase != "sent" and self.open:
            await self._reset(reply)
        self.used_at = trio.current_time()
        return reply

    async def _late(self) -> Reply:
        """The server let a step's time pass."""
        self.at_once = False
        await self.close()
        return self._refused or Reply(0, "no answer in time", self._phase)

    async def _transact(self, commands: tuple[bytes, bytes], notice: Notice, limit: trio.CancelScope) -> Reply:
        """In as few writes as the server allows."""
        if "pipelining" not in self.features:
            await self._singly(commands, limit)
        elif self.at_once and "chunking" in self.features and isinstance(self.stream, trio.SocketStream):
            reply = await self._in_one_write(self.stream.socket, commands, notice, limit)
            if reply.phase == "data" and reply.code in _NOT_UNDERSTOOD:
                self.at_once = False
                await self.close()  # it takes the message's lines for commands and answers each
            return reply
        else:
            await self._together(commands)
        return self._refused or await self._content(notice, limit)

    async def _in_one_write(
        self, plain: trio.socket.SocketType, commands: tuple[bytes, bytes], notice: Notice, limit: trio.CancelScope
    ) -> Reply:
        """All of it in one write. From its last byte on the server may take it, however silent it is.

        So each of its answers has the time that the end of a message has, and only a refusal proves that it did not.
        """
        if (goodbye := await self._heard(plain)) is not None:
            return goodbye
        if (refused := await self._write(b"".join((*commands, chunk(notice.message))), limit, _PHASES)) is not None:
            return refused
        # Servers answer MAIL and RCPT in one small packet and hold the next one back until this one is acknowledged.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        for phase in _PHASES[:2]:
            answer = self._judge(phase, await self._answer())
            if answer.code < 400 and answer.code not in _GOOD[phase]:
                self._refused = None
                raise OutOfStepError("neither a yes nor a no")
        reply = await self._taken()
        return self._refused if self._refused is not None and reply.phase == "data" else reply

    async def _heard(self, plain: trio.socket.SocketType) -> Reply | None:
        """What a kept connection's server said while nobody asked: nothing, or that it closes; LOST for all else."""
        try:
            data = os.read(plain.fileno(), READ_BYTES)
        except BlockingIOError:
            return None
        if not data:
            raise trio.BrokenResourceError("the server closed the connection")
        self._answers.feed(data)
        answer = self._answers.next()
        if answer is None or answer.code != 421:
            raise OutOfStepError("the server spoke out of turn")
        await self.close()
        return Reply(answer.code, answer.text, "mail")

    async def _together(self, commands: tuple[bytes, bytes]) -> None:
        """MAIL, RCPT and DATA in one write; every answer is read, the first refusal counts."""
        await self._send(b"".join((*commands, b"DATA\r\n")))
        for phase in _PHASES:
            self._phase = phase
            answer = self._judge(phase, await self._answer())
        if self._refused is not None and answer.code == 354:  # it waits for a message all the same: an empty one
            await self._send(b".\r\n")
            await self._answer()

    async def _singly(self, commands: tuple[bytes, bytes], limit: trio.CancelScope) -> None:
        """The same, each command after the answer to the one before, each with its own time."""
        for phase, command in zip(_PHASES, (*commands, b"DATA\r\n"), strict=True):
            limit.deadline = trio.current_time() + self._timeout
            self._phase = phase
            self._nothing_unasked()
            await self._send(command)
            self._judge(phase, await self._answer())
            if self._refused is not None:
                return

    def _nothing_unasked(self) -> None:
        """What came before we spoke answers nothing, and all that follows would be matched with the wrong command."""
        if self._answers.pending:
            raise OutOfStepError("the server spoke out of turn")

    def _judge(self, phase: Phase, answer: Answer) -> Answer:
        """Keep the first answer that is not the one that lets the dialogue go on."""
        if answer.code not in _GOOD[phase] and self._refused is None:
            self._refused = Reply(answer.code, answer.text, phase)
        return answer

    async def _content(self, notice: Notice, limit: trio.CancelScope) -> Reply:
        """The message after 354, and what becomes of it."""
        self._nothing_unasked()
        return await self._write(dotted(notice.message), limit, ("data",)) or await self._taken()

    async def _write(self, data: bytes, limit: trio.CancelScope, phases: Sequence[Phase]) -> Reply | None:
        """A message to its last byte, before which nobody can have taken it; else why it was not sent whole."""
        limit.deadline = math.inf
        try:
            with trio.fail_after(self._timeout):
                await self._send(data)
        except LOST as error:
            return await self._broken_off(error, phases)
        self._phase = "unknown"
        limit.deadline = trio.current_time() + self._timeout * DOT_TIMES
        return None

    async def _taken(self) -> Reply:
        """What became of a message that was sent whole."""
        answer = await self._answer()
        if 400 <= answer.code < 600:
            return Reply(answer.code, answer.text, "data")
        if answer.code != 250 or self._refused is not None or self._answers.pending:
            await self.close()  # of two answers neither proves anything
            return Reply(answer.code, answer.text, "unknown")
        return Reply(answer.code, answer.text, "sent")

    async def _broken_off(self, error: BaseException, phases: Sequence[Phase]) -> Reply:
        """The server takes no more of what is written: what it says of that, where it says it."""
        reply = Reply(0, told(error), phases[0])
        with contextlib.suppress(*LOST), trio.fail_after(min(self._timeout, QUIT_SECONDS)):
            for phase in phases:
                answer = await self._answer()
                if 400 <= answer.code < 600:
                    reply = Reply(answer.code, answer.text, phase)
                    break
        await self.close()
        return reply

    async def _reset(self, reply: Reply) -> None:
        """Make a refused transaction's connection fit for the next one, or close it."""
        if reply.code < 400:  # an answer out of turn
            await self.close()
            return
        try:
            if (await self.ask(b"RSET\r\n", QUIT_SECONDS)).code != 250:
                await self.close()
        except LOST:
            await self.close()

    async def quit(self) -> None:
        """Say QUIT and close; the server's answer is worth two seconds at most."""
        try:
            with contextlib.suppress(*LOST):
                await self.ask(b"QUIT\r\n", QUIT_SECONDS)
        finally:
            await self.close()

    async def close(self) -> None:
        """Close without a word; a checkpoint, as every closing of trio's."""
        self.open = False
        await trio.aclose_forcefully(self.stream)

    async def _answer(self) -> Answer:
        while not self._answers.pending or (answer := self._answers.next()) is None:
            if not (data := await self._receive()):
                raise trio.BrokenResourceError("the server closed the connection")
            self._answers.feed(data)
        return answer

    async def _send(self, data: bytes) -> None:
        """All of it; in the clear to the socket itself, since what the stream around it costs is a third of a mail."""
        if not isinstance(self.stream, trio.SocketStream):
            await self.stream.send_all(data)
            return
        socket, left = self.stream.socket.fileno(), memoryview(data)
        while left:
            try:
                left = left[os.write(socket, left) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(socket)

    async def _receive(self) -> bytes:
        if not isinstance(self.stream, trio.SocketStream):
            return bytes(await self.stream.receive_some(READ_BYTES))
        socket = self.stream.socket.fileno()
        while True:
            await trio.lowlevel.wait_readable(socket)
            try:
                return os.read(socket, READ_BYTES)
            except BlockingIOError:  # woken for nothing
                continue


def told(error: BaseException) -> str:
    """An error of the network as the text of a reply: the cause under trio's own, where there is one."""
    cause = error.__cause__ or error
    name = "no answer in time" if isinstance(cause, trio.TooSlowError) else type(cause).__name__
    return f"{name}: {cause}" if str(cause) else name


_PHASES: tuple[Phase, ...] = ("mail", "rcpt", "data")
_GOOD: Mapping[Phase, frozenset[int]] = {
    "mail": frozenset({250}),
    "rcpt": frozenset({250, 251, 252}),
    "data": frozenset({354}),
}
_NOT_UNDERSTOOD = frozenset({500, 501, 502, 503, 504})
"""Said of a command, not of a mail (RFC 5321 section 4.2.2): who offers CHUNKING may know no BDAT all the same."""
