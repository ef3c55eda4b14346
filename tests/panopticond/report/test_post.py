"""Mail to the managers: a report once, in their language, with its files; a critical name at once; never in the clear."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import socket
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from panopticond.config import Config, Mail, Publish, Tld
from panopticond.model import DomainRecord, Sighting, Subject, Verdict
from panopticond.report import post
from panopticond.report.mails import Critical, critical_mail, daily_mail
from panopticond.report.post import Alarm, mail_reports, read_mailed, send
from panopticond.report.words import WORDS
from panopticond.schedule import Checked
from panopticond.shared.clock import Clock
from panopticond.shared.errors import PanopticonError
from panopticond.snapshot.publish import publish_tld
from panopticond.store.interface import Standing
from tests.panopticond.snapshot.ledger import HOUR, NOW, TLD, TODAY, press, round_at, world

MANAGED = msgspec.structs.replace(TLD, managers=("chief@registry.example", "desk@registry.example"))


class Server:
    """A mail server of a few words on a thread of its own; ``refusals`` sessions are turned away first."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.mails: list[EmailMessage] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                self._talk(stream)

    def _talk(self, stream: Any) -> None:
        def say(text: str) -> None:
            stream.write(text.encode() + b"\r\n")
            stream.flush()

        if self.refusals:
            self.refusals -= 1
            say("421 later")
            return
        say("220 here")
        while line := stream.readline():
            word = line.split()[0].upper()
            if word == b"DATA":
                say("354 go on")
                lines = []
                while (text := stream.readline()) != b".\r\n":
                    lines.append(text.removeprefix(b"."))
                self.mails.append(email.message_from_bytes(b"".join(lines), policy=email.policy.default))  # type: ignore[arg-type]
                say("250 taken")
            elif word == b"QUIT":
                say("221 bye")
                return
            else:
                say("250 yes")


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def config(root: Path, port: int, **more: Any) -> Config:
    mail = Mail(host="127.0.0.1", port=port, sender="panopticon@cocca.example", timeout="5s", **more)
    return Config(tld=(MANAGED,), mail=mail, publish=Publish(root=str(root)))


async def until(holds: Any) -> None:
    with trio.fail_after(10):
        while not holds():  # noqa: ASYNC110 - the other side is a thread
            await trio.sleep(0.02)


async def test_a_report_is_mailed_once_with_its_files(tmp_path: Path, server: Server, nursery: trio.Nursery) -> None:
    """To all managers, text and HTML, report and CSV attached; a refused mail is tried again, a sent one never."""
    server.refusals = 1
    await publish_tld(press(tmp_path), world(), MANAGED, TODAY, NOW)  # type: ignore[arg-type]
    clock = Clock(NOW, 100.0)
    nursery.start_soon(mail_reports, config(tmp_path, server.port), MANAGED, clock)
    await until(lambda: server.mails and read_mailed(tmp_path / ".zz.mailed").serial)
    await trio.sleep(1.2)  # two more looks
    nursery.cancel_scope.cancel()
    (mail,) = server.mails
    assert mail["To"] == "chief@registry.example, desk@registry.example"
    assert mail["Subject"].startswith("Domain abuse in .zz: ")
    assert mail["Message-ID"] == "<panopticon.daily.zz.2026112101@cocca.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    names = [part.get_filename() for part in mail.iter_attachments()]
    assert names == ["report.html", "uris.csv", "domains.csv"]
    assert next(mail.iter_attachments()).get_content() == (tmp_path / "zz/latest/report.html").read_text()
    plain, page = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert page is not None
    assert "Look at gov[.]zz first" in plain.get_content()
    assert "http://" not in plain.get_content() + page.get_content()
    assert "<td" in page.get_content()


async def test_language_and_own_templates(tmp_path: Path) -> None:
    """The TLD's language picks the template, an own directory goes first, an unknown language falls back to English."""
    await publish_tld(press(tmp_path), world(), MANAGED, TODAY, NOW)  # type: ignore[arg-type]
    at = (tmp_path / "zz/latest").resolve()

    def subject(language: str, templates: Path | None = None) -> str:
        settings = Mail(host="localhost", templates=str(templates) if templates else None)
        return str(daily_mail(settings, msgspec.structs.replace(MANAGED, language=language), at, NOW)["Subject"])

    assert subject("fr").startswith("Abus de noms de domaine en .zz")
    assert subject("pt").startswith("Abuso de domínios em .zz")
    assert subject("xx").startswith("Domain abuse in .zz")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "daily.zz.txt").write_text("Ours for {{ tld }}\nText")
    assert subject("fr", tmp_path / "own") == "Ours for zz"
    (tmp_path / "own" / "daily.zz.txt").write_text("{{ no_such_word }}")
    with pytest.raises(PanopticonError, match="templates"):
        subject("fr", tmp_path / "own")


async def test_a_critical_name_is_mailed_at_once_and_once(
    tmp_path: Path, server: Server, nursery: trio.Nursery
) -> None:
    """Validated means trusted feeds and active now; others are left alone; a second round of it tells nobody again."""
    alarm = Alarm(config(tmp_path, server.port), {"zz": MANAGED}, {"open": "reputable"}, Known())  # type: ignore[arg-type]
    nursery.start_soon(alarm.tell, Clock(NOW, 1.0))
    for domain, flags, feed in (
        ("shop.zz", (), "open"),
        ("doubted.zz", ("critical",), "unknown"),
        ("gov.zz", ("critical",), "open"),
        ("gov.zz", ("critical",), "open"),
    ):
        await alarm.consider(checked(domain, flags, feed))
    await until(lambda: "gov.zz" in read_mailed(tmp_path / ".zz.told").critical)
    await trio.sleep(0.2)
    nursery.cancel_scope.cancel()
    (mail,) = server.mails
    assert mail["Subject"] == "Abuse on a name of your critical list: gov[.]zz"
    body = mail.get_body(("plain",))
    assert body is not None
    assert "hxxp://gov[.]zz/x" in body.get_content()


def checked(domain: str, flags: Any, feed: str) -> Checked:
    uri = f"http://{domain}/x"
    subject = Subject(1, uri, domain, domain, "zz", "registered", ("phishing",))
    seen = (Sighting(feed, "phishing", NOW - HOUR, NOW),)
    verdict = Verdict("active", "live-at-a-vantage", NOW, NOW, flags=flags, first_active=NOW, last_active=NOW)
    return Checked(Standing(subject, NOW - HOUR, None, seen), round_at(NOW, uri, domain, domain), verdict)


class Known:
    """A store that knows no domain."""

    async def domain(self, name: str) -> DomainRecord | None:
        del name
        return None


def test_no_password_in_the_clear(tmp_path: Path) -> None:
    """Off loopback a password needs TLS, and an unreachable server is an error in words."""
    (tmp_path / "password").write_text("secret\n")
    found = Critical("http://gov.zz/", "gov.zz", ("phishing",), dt.datetime(2026, 11, 21, tzinfo=dt.UTC), 1)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    settings = Mail(host="127.0.0.1", port=port, timeout="1s")
    with pytest.raises(PanopticonError, match="cannot be used"):
        send(settings, critical_mail(settings, MANAGED, found, NOW))
    assert isinstance(MANAGED, Tld)


@pytest.mark.parametrize("language", sorted(WORDS))
async def test_every_language_has_every_mail_and_word(language: str, tmp_path: Path) -> None:
    """No mail falls back to English half-way: each template is there and renders, each word is said, and which way."""
    templates = Path(post.__file__).with_name("templates")
    assert {f"{kind}.{language}.txt" for kind in ("daily", "monthly", "critical")} <= {
        path.name for path in templates.iterdir()
    }
    assert WORDS[language].keys() == WORDS["en"].keys()
    await publish_tld(press(tmp_path), world(), MANAGED, TODAY, NOW)  # type: ignore[arg-type]
    spoken = msgspec.structs.replace(MANAGED, language=language)
    page = daily_mail(Mail(sender="panopticon@cocca.example"), spoken, (tmp_path / "zz/latest").resolve(), NOW)
    body = page.get_body(("html",))
    assert body is not None
    text = body.get_content()
    assert f'lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}"' in text
    assert all(f">{WORDS[language][word]}<" in text for word in ("listed", "validated", "malware"))
    assert language == "en" or WORDS["en"]["validated"] not in text.replace(WORDS[language]["validated"], "")
