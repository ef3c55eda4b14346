"""The mails handed to a mail server, and the tasks that do it: each report once, a critical name at once.

Last step beside publication. What was mailed stands in ``<root>/.<tld>.mailed`` and ``.told``, written after the server
took it: a crash between the two repeats a mail under the same Message-ID and never loses one. STARTTLS is demanded off
loopback (RFC 3207) unless the configuration says otherwise, AUTH is never spoken in the clear off loopback (RFC 4954).
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import logging
import os
import smtplib
import ssl
from collections.abc import Callable, Mapping
from email.message import EmailMessage
from pathlib import Path

import msgspec
import trio

from panopticond.config import Config, Mail, Tld
from panopticond.judge.verdict import validated
from panopticond.model import Trust
from panopticond.report.mails import Critical, critical_mail, daily_mail, monthly_mail
from panopticond.schedule import Checked
from panopticond.shared import snapshot
from panopticond.shared.clock import Clock
from panopticond.shared.errors import PanopticonError
from panopticond.shared.settings import read_secret, seconds
from panopticond.snapshot.rows import Known
from panopticond.store.interface import Store

LOOK_SECONDS = 60.0
"""Policy seconds between two looks for something new to mail, and before a failed one is tried again."""
TELL_AGAIN_AFTER = dt.timedelta(days=30)
_QUEUE, _TOLD = 100, 2_000
_log = logging.getLogger(__name__)

Tell = Callable[[str, str], None]
"""Hears of a task's problem in a sentence, or with an empty one that it went well."""


def _nobody(_task: str, _problem: str) -> None:
    return


class Mailed(msgspec.Struct):
    """What a TLD's managers were sent."""

    serial: int = 0
    month: str = ""
    critical: dict[str, dt.datetime] = {}
    """When they were told of a domain."""


def send(settings: Mail, message: EmailMessage) -> None:
    """Hand one mail to the server; PanopticonError says what it or the network said. Blocking."""
    loopback = _loopback(str(settings.host))
    encrypt = settings.starttls if settings.starttls is not None else not loopback
    try:
        with smtplib.SMTP(str(settings.host), settings.port, timeout=seconds(settings.timeout)) as server:
            if encrypt:
                server.starttls(context=ssl.create_default_context())
            if settings.username is not None and settings.password_file is not None:
                if not encrypt and not loopback:
                    raise PanopticonError("mail: no password is sent in the clear; set mail.starttls")
                server.login(settings.username, read_secret(settings.password_file))
            server.send_message(message)
    except smtplib.SMTPResponseException as error:
        raise PanopticonError(f"mail: the server answered {error.smtp_code}; the mail is tried again") from error
    except (smtplib.SMTPException, OSError, ssl.SSLError) as error:
        raise PanopticonError(f"mail: {settings.host} cannot be used: {type(error).__name__}: {error}") from error


async def mail_reports(config: Config, tld: Tld, clock: Clock, tell: Tell = _nobody) -> None:
    """For ever: mail each new snapshot's report and each new month's to the TLD's managers, once."""
    root = Path(config.publish.root)
    while True:
        try:
            await trio.to_thread.run_sync(_mail_new, config.mail, tld, root, clock.now)
        except (PanopticonError, OSError) as error:
            _log.error("mail failed tld=%s: %s", tld.name, error)
            tell(f"mail to the managers of .{tld.name}", str(error))
        else:
            tell(f"mail to the managers of .{tld.name}", "")
        await trio.sleep(max(0.5, LOOK_SECONDS / clock.scale))


def _mail_new(settings: Mail, tld: Tld, root: Path, now: Callable[[], dt.datetime]) -> None:
    directory, ledger = root / str(tld.name), root / f".{tld.name}.mailed"
    mailed = read_mailed(ledger)
    newest = _newest(directory)
    if settings.daily and newest > mailed.serial:
        send(settings, daily_mail(settings, tld, directory / str(newest), now()))
        mailed.serial = newest
        write_mailed(ledger, mailed)
        _log.info("mailed tld=%s serial=%d", tld.name, newest)
    month = max((path.name for path in directory.glob("[0-9][0-9][0-9][0-9]-[0-9][0-9]")), default="")
    if settings.monthly and month > mailed.month:
        send(settings, monthly_mail(settings, tld, directory / month, now()))
        mailed.month = month
        write_mailed(ledger, mailed)
        _log.info("mailed tld=%s month=%s", tld.name, month)


class Alarm:
    """Watches every round for a name of a critical list that becomes validated, and mails it at once."""

    def __init__(self, config: Config, served: Mapping[str, Tld], trusts: Mapping[str, Trust], store: Store) -> None:
        self._config, self._served, self._trusts, self._store = config, served, trusts, store
        self._put, self._take = trio.open_memory_channel[tuple[Tld, Critical]](_QUEUE)

    async def consider(self, checked: Checked) -> None:
        """One more round; cheap for all but active names of a critical list."""
        verdict, subject = checked.verdict, checked.before.subject
        tld = self._served.get(subject.tld)
        if verdict.state != "active" or "critical" not in verdict.flags or tld is None or not tld.managers:
            return
        known = Known.of(await self._store.domain(subject.domain))
        sightings = checked.before.sightings
        if validated(
            verdict,
            sightings,
            self._trusts,
            registration_began=known.began,
            to=checked.round.at,
            decision=checked.before.decision,
        ):
            feeds = len({one.feed for one in sightings if one.feed in self._trusts})
            found = Critical(subject.key, subject.domain, subject.threats, checked.round.at, feeds)
            try:
                self._put.send_nowait((tld, found))
            except trio.WouldBlock:
                _log.error("too many critical names at once; %s stands in the report", subject.domain)

    async def tell(self, clock: Clock, tell: Tell = _nobody) -> None:
        """For ever: mail what was found, once a domain and thirty days; a failure is tried again until it succeeds."""
        async for tld, found in self._take:
            while True:
                try:
                    await trio.to_thread.run_sync(self._tell, tld, found, clock.now())
                except (PanopticonError, OSError) as error:
                    _log.error("mail failed tld=%s: %s", tld.name, error)
                    tell(f"mail of a critical name in .{tld.name}", str(error))
                    await trio.sleep(max(0.5, LOOK_SECONDS / clock.scale))
                else:
                    tell(f"mail of a critical name in .{tld.name}", "")
                    break

    def _tell(self, tld: Tld, found: Critical, now: dt.datetime) -> None:
        ledger = Path(self._config.publish.root) / f".{tld.name}.told"
        mailed = read_mailed(ledger)
        told = mailed.critical.get(found.domain)
        if told is not None and now - told < TELL_AGAIN_AFTER:
            return
        send(self._config.mail, critical_mail(self._config.mail, tld, found, now))
        fresh = {name: when for name, when in mailed.critical.items() if now - when < TELL_AGAIN_AFTER}
        mailed.critical = dict([*fresh.items(), (found.domain, now)][-_TOLD:])
        write_mailed(ledger, mailed)
        _log.info("mailed tld=%s critical name", tld.name)


def read_mailed(path: Path) -> Mailed:
    """What was mailed so far; nothing when the file is not there yet, PanopticonError when it is not ours."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Mailed)
    except FileNotFoundError:
        return Mailed()
    except (OSError, msgspec.DecodeError) as error:
        raise PanopticonError(f"{path}: cannot be read: {error}; remove it to begin anew") from error


def write_mailed(path: Path, mailed: Mailed) -> None:
    """Replace the file, whole or not at all."""
    beside = path.with_name(f"{path.name}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    with beside.open("wb") as file:
        file.write(msgspec.json.encode(mailed))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _newest(directory: Path) -> int:
    try:
        return int(str((directory / snapshot.LATEST).readlink()))
    except (OSError, ValueError):
        return 0


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
