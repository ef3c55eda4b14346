"""The commands that keep house: ``arke forget``, ``arke backup`` and ``arke restore``.

Beside the daemon, straight on the state directory. A backup is one tar file (mode 0600) of the ledger as it stands and
the key its hashes are made with: whoever has it has both, so it belongs where the ledger does.
"""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from pathlib import Path
from typing import IO

import apsw
import trio

from arke import lock
from arke.cases.erase import forget_address, forget_name
from arke.cases.ledger import FILE, KEY_FILE, Ledger
from arke.config import Config
from arke.rooms import intake_of, open_rooms
from panopticond.shared.clock import Clock
from panopticond.shared.control import ask
from panopticond.shared.errors import ControlError, PanopticonError, StoreError

BACKUP_LIMIT_BYTES = 16 << 30
KEY_BYTES = 32


async def forget(config: Config, what: str, *, objection: bool) -> None:
    """Forget a recipient's address or a domain, and print what was erased; the argument is not repeated."""
    clock = Clock.from_settings(config.clock, lab=config.lab)
    async with Ledger.open(Path(config.state)) as ledger:
        if "@" in what:
            found = await forget_address(ledger, what, clock.now(), objection=objection)
            kept = "; the objection is kept as a keyed hash" if objection else ""
            print(f"forgotten: {found['waiting_mails']} waiting mails, {found['notices']} notices{kept}")
            return
        if objection:
            raise PanopticonError("arke forget --objection: an objection is a person's; give the address")
        found = await forget_name(ledger, what.strip().lower().rstrip("."), clock.now())
        print(f"forgotten: {found['cases']} cases, {found['mails']} mails; nobody is written to about them again")


async def bounce(config: Config, message: bytes, recipient: str | None) -> None:
    """Take one mail that came back, as a mail server pipes it; nothing is printed and nobody is answered."""
    async with open_rooms(config, alone=False) as rooms:
        fate = await intake_of(rooms).take(message, rooms.clock.now(), recipient=recipient)
    if fate == "again":
        raise PanopticonError("arke bounce: the reply cannot be forwarded now; let the mail server try again")


async def backup(config: Config, file: Path) -> None:
    """Write the ledger and its key to one new file, consistent while the daemon runs; never over an existing one."""
    state = Path(config.state)
    if not (state / FILE).is_file():
        raise StoreError(f"{state}: there is no ledger to back up; check state")
    await trio.to_thread.run_sync(_backup, state, file)
    print(f"{file}: written; keep it as safe as the ledger itself, it holds its key")


async def restore(config: Config, file: Path, *, replace: bool) -> None:
    """Put a backup in place; refused while the daemon runs, and over a ledger unless ``replace`` was said."""
    try:
        await ask(config.status.socket, {"do": "status"})
    except ControlError:
        pass
    else:
        raise StoreError("arke restore: the daemon is running; stop it first")
    state = Path(config.state)
    if (state / FILE).exists() and not replace:
        raise StoreError(
            f"{state / FILE}: there is a ledger already; with --replace it is overwritten, and what it knew since "
            "the backup is lost: mails sent since then may go out again"
        )
    with lock.held(state):
        await trio.to_thread.run_sync(_restore, state, file)
    print(f"{state}: restored from {file}")


def _backup(state: Path, file: Path) -> None:
    try:
        with tempfile.TemporaryDirectory(dir=state, prefix="backup-") as folder:
            copy = Path(folder) / FILE
            source = apsw.Connection(str(state / FILE), flags=apsw.SQLITE_OPEN_READONLY)
            target = apsw.Connection(str(copy))
            with target.backup("main", source, "main") as running:
                while not running.done:
                    running.step(1000)
            source.close()
            target.close()
            handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as out, tarfile.open(fileobj=out, mode="w") as tar:
                tar.add(copy, FILE, filter=_private)
                tar.add(state / KEY_FILE, KEY_FILE, filter=_private)
                out.flush()
                os.fsync(out.fileno())
    except (OSError, apsw.Error) as error:
        raise StoreError(f"{file}: the backup failed: {error}") from error


def _private(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o600
    return member


def _restore(state: Path, file: Path) -> None:
    """Both files beside their places first, checked, then put in place: key last, for the ledger is useless without."""
    try:
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tarfile.open(file, "r:") as tar:
            members = {member.name: member for member in tar.getmembers() if member.isreg()}
            if members.keys() != {FILE, KEY_FILE} or members[KEY_FILE].size != KEY_BYTES:
                raise StoreError(f"{file}: this is no backup of arke")
            for name in (FILE, KEY_FILE):
                stream = tar.extractfile(members[name])
                _write(state / f"{name}.restored", stream if stream is not None else io.BytesIO())
        connection = apsw.Connection(str(state / f"{FILE}.restored"))
        sound = connection.execute("PRAGMA integrity_check").fetchone()
        connection.execute("SELECT 1 FROM accepted, notices, queue, outbox LIMIT 1").fetchone()
        connection.close()
        if sound is None or sound[0] != "ok":
            raise StoreError(f"{file}: the ledger in it is damaged")
        for suffix in ("-wal", "-shm"):
            (state / f"{FILE}{suffix}").unlink(missing_ok=True)
        (state / f"{FILE}.restored").replace(state / FILE)
        (state / f"{KEY_FILE}.restored").replace(state / KEY_FILE)
    except (OSError, tarfile.TarError, apsw.Error) as error:
        raise StoreError(f"{file}: cannot be restored: {error}") from error
    finally:
        for name in (FILE, KEY_FILE):
            (state / f"{name}.restored").unlink(missing_ok=True)


def _write(path: Path, stream: IO[bytes]) -> None:
    handle = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    left = BACKUP_LIMIT_BYTES
    with os.fdopen(handle, "wb") as out:
        while chunk := stream.read(1 << 20):
            left -= len(chunk)
            if left < 0:
                raise StoreError(f"{path.name}: larger than {BACKUP_LIMIT_BYTES} bytes")
            out.write(chunk)
        out.flush()
        os.fsync(out.fileno())
