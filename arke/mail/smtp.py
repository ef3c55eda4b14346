"""SMTP: the only place that speaks aiosmtplib, on its own asyncio loop in a thread, so that trio may cancel it at once.

The outbox hands it one notice at a time and gets a :class:`Reply`, never an exception: what a server says is a value.
Connections are kept for the next notice. STARTTLS is required off loopback unless the configuration says otherwise
(RFC 3207); AUTH only over TLS or loopback (RFC 4954); a DSN is asked for where offered (RFC 3461); SMTPUTF8 only for an
address that needs it (RFC 6531).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import ipaddress
import re
import socket
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import aiosmtplib
import msgspec
import trio

from arke.config import Smtp
from arke.model import Notice
from panopticond.shared.settings import read_secret, seconds

T = TypeVar("T")
Phase = Literal["connect", "tls", "auth", "mail", "rcpt", "data", "sent", "unknown", "withdrawn", "bounce"]
QUIT_SECONDS = 2.0
CANCEL_SECONDS = 0.5
JOIN_SECONDS = 5.0


class Reply(msgspec.Struct, frozen=True):
    """What the server said: ``code`` 0 when it said nothing; ``phase`` is how far the dialogue had come.

    ``unknown`` means that the connection was lost after DATA began: the mail may or may not have been taken.
    """

    code: int
    text: str
    phase: Phase


class Mailer:
    """A mail server to hand notices to; an async context manager. ``send`` may be called by several tasks at once."""

    def __init__(self, settings: Smtp, *, connections: int = 1) -> None:
        self._settings = settings
        self._password = read_secret(settings.password_file) if settings.password_file else None
        self._limit = trio.CapacityLimiter(connections)
        self._idle: list[aiosmtplib.SMTP] = []
        self._loop = _LoopThread()

    async def __aenter__(self) -> Self:
        self._loop.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            while self._idle:
                await self._loop.run(_quit(self._idle.pop(), polite=kind is None))
        finally:
            await self._loop.stop()

    async def send(self, notice: Notice) -> Reply:
        """Hand over one notice; one attempt, except that a kept connection found dead before DATA is replaced once."""
        async with self._limit:
            while self._idle:
                client = self._idle.pop()
                reply = await self._dialogue(client, notice)
                if not (reply.phase == "mail" and reply.code in {0, 421}):
                    return reply
            client = self._client()
            refused = await self._loop.run(self._open(client))
            return refused if refused is not None else await self._dialogue(client, notice)

    async def _dialogue(self, client: aiosmtplib.SMTP, notice: Notice) -> Reply:
        reply = await self._loop.run(_deliver(client, notice))
        if client.is_connected:
            self._idle.append(client)
        return reply

    def _client(self) -> aiosmtplib.SMTP:
        settings = self._settings
        return aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            timeout=seconds(settings.timeout),
            use_tls=settings.tls == "implicit",
            start_tls=False,
            local_hostname=settings.helo or socket.gethostname(),
        )

    async def _open(self, client: aiosmtplib.SMTP) -> Reply | None:
        """Connect, STARTTLS and AUTH on the loop's thread; None when ready, else why not."""
        settings = self._settings
        phase: Phase = "tls" if settings.tls == "implicit" else "connect"
        try:
            await client.connect()
            if settings.tls == "starttls" or (settings.tls is None and not _loopback(settings.host)):
                phase = "tls"
                await client.starttls()
            if settings.username is not None and self._password is not None:
                phase = "auth"
                await client.login(settings.username, self._password)
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
        except asyncio.CancelledError:
            client.close()
            raise
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            client.close()
            return _reply(error, phase)
        return None


async def _deliver(client: aiosmtplib.SMTP, notice: Notice) -> Reply:
    """MAIL, RCPT, DATA (RFC 5321), one recipient; the connection is closed unless it can be used again."""
    phase: Phase = "mail"
    utf8 = not (notice.recipient.isascii() and notice.envelope_sender.isascii())
    encoding = "utf-8" if utf8 else "ascii"
    try:
        if utf8 and not client.supports_extension("smtputf8"):
            return Reply(553, "5.6.7 the mail server does not offer SMTPUTF8", "rcpt")
        mail_options, rcpt_options = (["SMTPUTF8", "BODY=8BITMIME"] if utf8 else []), []
        if client.supports_extension("dsn"):
            mail_options += ["RET=HDRS", f"ENVID={_xtext(notice.message_id.strip('<>'))}"]
            rcpt_options += ["NOTIFY=FAILURE,DELAY"]
        await client.mail(notice.envelope_sender, options=mail_options, encoding=encoding)
        phase = "rcpt"
        await client.rcpt(notice.recipient, options=rcpt_options, encoding=encoding)
        phase = "data"
        answer = await client.data(notice.message)
        return Reply(answer.code, answer.message, "sent")
    except asyncio.CancelledError:
        client.close()
        raise
    except aiosmtplib.SMTPResponseException as error:
        if error.code in {0, -1} or 200 <= error.code < 400:  # an answer out of turn: the dialogue is out of step
            client.close()
        await _reset(client)
        return _reply(error, phase)
    except (aiosmtplib.SMTPException, OSError, ValueError) as error:
        client.close()
        return _reply(error, "unknown" if phase == "data" else phase)


async def _reset(client: aiosmtplib.SMTP) -> None:
    """Make a refused transaction's connection fit for the next one, or close it."""
    if not client.is_connected:
        return
    try:
        await client.rset(timeout=QUIT_SECONDS)
    except (aiosmtplib.SMTPException, OSError):
        client.close()


async def _quit(client: aiosmtplib.SMTP, *, polite: bool) -> None:
    """Say QUIT and close; when we are being cancelled, close alone: the server's answer is not worth a second."""
    try:
        if polite:
            await client.quit(timeout=QUIT_SECONDS)
    except (aiosmtplib.SMTPException, OSError):
        pass
    finally:
        client.close()


def _reply(error: BaseException, phase: Phase) -> Reply:
    """The library's exceptions as a value; a lost connection, also in DATA, has no code."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused) and error.recipients:
        return _reply(error.recipients[0], phase)
    if isinstance(error, aiosmtplib.SMTPResponseException) and error.code > 0:
        return Reply(error.code, str(error.message), phase)
    return Reply(0, f"{type(error).__name__}: {error}", "unknown" if phase == "data" else phase)


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _xtext(text: str) -> str:
    """RFC 3461 section 4: everything but printable ASCII, and ``+`` and ``=``, as ``+XX``."""
    return re.sub(r"[^!-*,-<>-~]", lambda match: "".join(f"+{byte:02X}" for byte in match[0].encode()), text)


class _LoopThread:
    """An asyncio loop in a thread of its own; trio tasks wait for its coroutines and may cancel them."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="arke-smtp", daemon=True)
        self._thread.start()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The coroutine's value; cancelling the caller cancels it on its loop and does not wait for the network."""
        if self._loop is None:
            work.close()
            raise RuntimeError("the mailer is used as 'async with Mailer(...)'")
        done = trio.Event()
        token = trio.lowlevel.current_trio_token()
        ended = threading.Event()

        async def watched() -> T:
            try:
                return await work
            finally:
                ended.set()

        def wake(_: concurrent.futures.Future[T]) -> None:
            try:
                token.run_sync_soon(done.set)
            except trio.RunFinishedError:
                return

        future = asyncio.run_coroutine_threadsafe(watched(), self._loop)
        future.add_done_callback(wake)
        try:
            await done.wait()
        except trio.Cancelled:
            future.cancel()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(ended.wait, CANCEL_SECONDS)
            raise
        return future.result()

    async def stop(self) -> None:
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._thread.join, JOIN_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()
        self._loop = None
