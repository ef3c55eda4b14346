"""SMTP: where notices are handed to the mail server; the only place that knows aiosmtplib.

The outbox hands it one notice at a time and gets a :class:`Reply`, never an exception: what a server says is a value.
Connections are kept for the next notice. STARTTLS is required off loopback unless the configuration says otherwise
(RFC 3207); AUTH only over TLS or loopback (RFC 4954). The dialogue is our own, on trio, so that it can pipeline and be
cancelled at once (decision 0012); what EHLO offers and SASL's encodings are read and written by aiosmtplib.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
from types import TracebackType
from typing import Self

import trio
from aiosmtplib.auth import auth_login_encode, auth_plain_encode
from aiosmtplib.esmtp import parse_esmtp_extensions

from arke.config import Smtp
from arke.mail.dialogue import LOST, Dialogue, told
from arke.mail.wire import Phase, Reply
from arke.model import Notice
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.settings import read_secret, seconds

__all__ = ["Mailer", "Phase", "Reply", "tls_context"]

KEPT_SECONDS = 60.0
"""Real seconds a connection is kept for the next notice. Servers hold one for five minutes, but a firewall may forget
it without a word to us, and what is then written at once is in doubt, after the time the end of a message has."""


class Mailer:
    """A mail server to hand notices to; an async context manager. ``send`` may be called by several tasks at once.

    ``kept_seconds`` is how long a connection without work is used again. Raises ConfigurationError at once when the
    password or the certificates cannot be read.
    """

    def __init__(self, settings: Smtp, *, connections: int = 1, kept_seconds: float = KEPT_SECONDS) -> None:
        self._settings = settings
        self._password = read_secret(settings.password_file) if settings.password_file else None
        self._tls = tls_context(settings) if self._secured else None
        self._limit = trio.CapacityLimiter(connections)
        self._kept_seconds = kept_seconds
        self._idle: list[Dialogue] = []
        self._at_once = True

    @property
    def _secured(self) -> bool:
        """Whether a dialogue must be over TLS: as configured, else everywhere but on loopback."""
        return self._settings.tls != "none" if self._settings.tls else not loopback(self._settings.host)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say QUIT on every kept connection; when we are being cancelled, close them alone."""
        try:
            async with trio.open_nursery() as nursery:
                for dialogue in self._idle if kind is None else ():
                    nursery.start_soon(dialogue.quit, name="quit")
        finally:
            with trio.CancelScope(shield=True):
                for dialogue in self._idle:
                    await dialogue.close()
            self._idle.clear()

    async def send(self, notice: Notice) -> Reply:
        """Hand over one notice; one attempt, except that a kept connection found dead before the message is replaced.

        A server that offers CHUNKING and does not know BDAT gets the same notice by DATA.
        """
        try:
            self._limit.acquire_nowait()
        except trio.WouldBlock:
            await self._limit.acquire()
        try:
            while True:
                kept = await self._kept()
                dialogue = kept or await self._open()
                if isinstance(dialogue, Reply):
                    return dialogue
                at_once = dialogue.at_once = self._at_once
                reply = await self._deliver(dialogue, notice)
                dead = kept is not None and reply.phase == "mail" and reply.code in {0, 421}
                misunderstood = at_once and not dialogue.at_once and reply.phase == "data" and reply.code > 0
                if not dead and not misunderstood:
                    return reply
        finally:
            self._limit.release()

    async def _deliver(self, dialogue: Dialogue, notice: Notice) -> Reply:
        """Deliver, keep what can be used again; whom one write puzzled once is asked step by step from then on."""
        reply = await dialogue.deliver(notice)
        if dialogue.open:
            self._idle.append(dialogue)
        self._at_once = self._at_once and dialogue.at_once
        return reply

    async def _kept(self) -> Dialogue | None:
        """A connection kept from an earlier notice, the last one used first; one without work for too long is ended."""
        while self._idle:
            dialogue = self._idle.pop()
            if trio.current_time() - dialogue.used_at <= self._kept_seconds:
                return dialogue
            await dialogue.quit()
        return None

    async def _open(self) -> Dialogue | Reply:
        """A connection ready for MAIL, or why there is none."""
        settings, timeout = self._settings, seconds(self._settings.timeout)
        try:
            with trio.fail_after(timeout):
                stream: trio.abc.Stream = await trio.open_tcp_stream(settings.host, settings.port)
        except (OSError, trio.TooSlowError) as error:
            return Reply(0, told(error), "connect")
        dialogue = Dialogue(stream, timeout)
        try:
            refused = await self._begin(dialogue)
        except BaseException:
            await dialogue.close()
            raise
        if refused is None:
            return dialogue
        await dialogue.close()
        return refused

    async def _begin(self, dialogue: Dialogue) -> Reply | None:
        """Greeting, EHLO, TLS and AUTH; None when the server is ready, else its refusal."""
        settings = self._settings
        phase: Phase = "connect"
        try:
            if settings.tls == "implicit":
                phase = "tls"
                await self._secure(dialogue)
                phase = "connect"
            greeting = await dialogue.answer()
            if greeting.code != 220:
                return Reply(greeting.code, greeting.text, phase)
            if refused := await self._hello(dialogue):
                return refused
            if settings.tls != "implicit" and self._secured:
                phase = "tls"
                if refused := await self._starttls(dialogue):
                    return refused
            if settings.username is not None and self._password is not None:
                phase = "auth"
                return await self._login(dialogue, settings.username, self._password)
        except LOST as error:
            return Reply(0, told(error), phase)
        return None

    async def _hello(self, dialogue: Dialogue) -> Reply | None:
        """EHLO, and HELO for a server that knows no EHLO (RFC 5321 section 3.2)."""
        name = (self._settings.helo or socket.gethostname()).encode("ascii", "replace")
        answer = await dialogue.ask(b"EHLO " + name + b"\r\n")
        if answer.code == 250:
            dialogue.features, methods = parse_esmtp_extensions(answer.text)
            dialogue.features |= {"auth": " ".join(methods)} if methods else {}
            return None
        if answer.code in {500, 502, 504, 550}:
            answer = await dialogue.ask(b"HELO " + name + b"\r\n")
        return None if answer.code == 250 else Reply(answer.code, answer.text, "connect")

    async def _starttls(self, dialogue: Dialogue) -> Reply | None:
        if "starttls" not in dialogue.features:
            return Reply(0, "the mail server does not offer STARTTLS, and nothing is sent without", "tls")
        answer = await dialogue.ask(b"STARTTLS\r\n")
        if answer.code != 220:
            return Reply(answer.code, answer.text, "tls")
        await self._secure(dialogue)
        return await self._hello(dialogue)

    async def _secure(self, dialogue: Dialogue) -> None:
        """TLS over the connection as it stands; one of LOST when the handshake fails."""
        context = self._tls or tls_context(self._settings)
        stream = trio.SSLStream(dialogue.stream, context, server_hostname=self._settings.host)
        with trio.fail_after(seconds(self._settings.timeout)):
            await stream.do_handshake()
        dialogue.renewed(stream)

    async def _login(self, dialogue: Dialogue, username: str, password: str) -> Reply | None:
        """AUTH PLAIN, else LOGIN (RFC 4954, RFC 4616); never over a wire that others can read."""
        if not isinstance(dialogue.stream, trio.SSLStream) and not loopback(self._settings.host):
            return Reply(0, "no password is sent without TLS", "auth")
        methods = dialogue.features.get("auth", "").split()
        if "plain" in methods:
            lines = [b"AUTH PLAIN " + auth_plain_encode(username, password)]
        elif "login" in methods:
            lines = [b"AUTH LOGIN", *auth_login_encode(username, password)]
        else:
            return Reply(0, "the mail server offers neither AUTH PLAIN nor LOGIN", "auth")
        for at, line in enumerate(lines, 1):
            answer = await dialogue.ask(line + b"\r\n")
            if answer.code != (235 if at == len(lines) else 334):
                # A yes before the password, or no word of it: neither lets us in.
                return Reply(answer.code if answer.code >= 400 else 0, answer.text, "auth")
        return None


def tls_context(settings: Smtp) -> ssl.SSLContext:
    """What the server's certificate must be: of an authority the host trusts, or of ``ca_file``; ConfigurationError."""
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError([f"smtp.ca_file: {settings.ca_file}: no usable certificates: {error}"]) from error


def loopback(host: str) -> bool:
    """Whether a host is this one by its name or address: nobody else can read along."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
