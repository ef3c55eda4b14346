"""arke.commands.upkeep: a backup brings everything back, and is never put over a ledger or under a daemon by accident."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

import msgspec
import pytest
import trio

from arke.cases.ledger import Ledger
from arke.commands.upkeep import backup, bounce, forget, restore
from arke.config import Config, Status
from arke.mail.assemble import envelope_token
from panopticond.shared.control import serve_control
from panopticond.shared.errors import PanopticonError, StoreError
from tests.arke.made import NOW
from tests.arke.mail.mailserver import Server
from tests.arke.mail.mailserver import settings as serve


def config(tmp_path: Path, state: str = "state") -> Config:
    socket = str(tmp_path / "ar.sock")
    return Config(tld="zz", keys=["x"], records="x", state=str(tmp_path / state), status=Status(socket=socket))


async def test_a_backup_brings_ledger_and_key_back(tmp_path: Path) -> None:
    """Restored elsewhere, the same address has the same hash and what was accepted stands; the file is private."""
    async with Ledger.open(tmp_path / "state") as ledger:
        await ledger.accept("zz", 7, "ab", NOW)
        party = ledger.party("a@isp.zz")
        await backup(config(tmp_path), tmp_path / "b.tar")
    assert (tmp_path / "b.tar").stat().st_mode & 0o777 == 0o600
    await restore(config(tmp_path, "other"), tmp_path / "b.tar", replace=False)
    async with Ledger.open(tmp_path / "other") as ledger:
        assert await ledger.accepted("zz") == (7, "ab")
        assert ledger.party("a@isp.zz") == party
    with pytest.raises(StoreError, match="--replace"):
        await restore(config(tmp_path, "other"), tmp_path / "b.tar", replace=False)
    await restore(config(tmp_path, "other"), tmp_path / "b.tar", replace=True)
    with pytest.raises(StoreError, match="exists"):
        await backup(config(tmp_path), tmp_path / "b.tar")


async def test_no_restore_under_a_running_daemon(tmp_path: Path, nursery: trio.Nursery) -> None:
    """The status socket answers: stop it first."""

    async def answer(_: dict[str, object]) -> dict[str, object]:
        return {}

    await nursery.start(serve_control, str(tmp_path / "ar.sock"), 0o600, answer)
    with pytest.raises(StoreError, match="stop it first"):
        await restore(config(tmp_path), tmp_path / "b.tar", replace=True)
    nursery.cancel_scope.cancel()


async def test_what_is_no_backup_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    """A foreign tar, a cut one and a text leave the state as it was."""
    with tarfile.open(tmp_path / "foreign.tar", "w") as tar:
        tar.add(__file__, "../../evil")
    (tmp_path / "text.tar").write_text("hello")
    for name in ("foreign.tar", "text.tar", "missing.tar"):
        with pytest.raises(StoreError):
            await restore(config(tmp_path), tmp_path / name, replace=False)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["lock"]


async def returned(settings: Config) -> bytes:
    """A person's answer to a notice of this state directory."""
    async with Ledger.open(Path(settings.state)) as ledger:
        token = envelope_token("00" * 10, ledger.secret("envelope"))
    return f"From: person@isp.zz\r\nTo: bounce+{token}@nic.zz\r\nSubject: sorry\r\n\r\nFixed.\r\n".encode()


async def test_a_piped_reply_is_forwarded_or_stays_with_the_mail_server(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Forwarded where mail leaves; in a dry run, behind the stop file and without a mail server it is not let go."""
    server = Server()
    smtp = await serve(server, nursery)
    settings = msgspec.structs.replace(config(tmp_path), smtp=smtp, manager="manager@nic.zz", dry_run=False)
    reply = await returned(settings)
    with pytest.raises(PanopticonError, match="dry_run"):
        await bounce(msgspec.structs.replace(settings, dry_run=True), reply, None)
    (tmp_path / "state" / "stop").touch()
    with pytest.raises(PanopticonError, match="try again"):
        await bounce(settings, reply, None)
    (tmp_path / "state" / "stop").unlink()
    assert server.mails == []
    await bounce(settings, reply, None)
    assert len(server.mails) == 1
    await bounce(settings, b"Auto-Submitted: auto-replied\r\n" + reply, None)
    await bounce(settings, b"Subject: spam\r\n\r\nbuy", None)
    assert len(server.mails) == 1
    nursery.cancel_scope.cancel()


def test_a_mail_server_is_told_to_try_again() -> None:
    """Whatever is wrong, a pipe's status is 75: with another one Postfix would answer whoever wrote."""
    words = [sys.executable, "-m", "arke", "bounce", "-c", "missing.json"]
    done = subprocess.run(words, input=b"x: y\r\n\r\nz", capture_output=True, check=False)
    assert (done.returncode, b"no such file" in done.stderr) == (75, True)


async def test_forget_says_what_went_and_repeats_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command prints counts, never the address."""
    settings = msgspec.structs.replace(config(tmp_path), dry_run=True)
    await forget(settings, "Person@isp.zz", objection=True)
    await forget(settings, "bad.zz", objection=False)
    text = capsys.readouterr().out
    assert "person" not in text.lower()
    assert "objection is kept" in text
    async with Ledger.open(tmp_path / "state") as ledger:
        assert await ledger.suppressed() == frozenset({ledger.party("person@isp.zz")})
