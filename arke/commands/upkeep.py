"""The commands that keep house: ``arke forget``, ``arke bounce``, ``arke backup`` and ``arke restore``.

Beside the daemon, straight on the state directory. A backup is one tar file (mode 0600) of the ledger as it stands and
the key its hashes are made with: whoever has it has both, so it belongs where the ledger does.
"""

from __future__ import annotations

import functools
from pathlib import Path

import apsw
import trio

from arke import lock
from arke.cases.erase import forget_address, forget_name
from arke.cases.ledger import FILE, KEY_FILE, Ledger
from arke.cases.tables import refuse_newer
from arke.config import Config
from arke.gates import stop_file
from arke.mail.intake import Intake
from arke.mail.outbox import Outbox
from arke.mail.smtp import Mailer, Reply
from arke.model import Notice
from arke.screening import registrations
from panopticond.shared.backup import pack, unpack
from panopticond.shared.clock import Clock
from panopticond.shared.control import ask
from panopticond.shared.errors import ControlError, PanopticonError, StoreError


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
        name = what.strip().lower().rstrip(".")
        await registrations.forget(ledger, name)
        found = await forget_name(ledger, name, clock.now())
        print(f"forgotten: {found['cases']} cases, {found['mails']} mails; nobody is written to about them again")


async def bounce(config: Config, message: bytes, recipient: str | None) -> None:
    """Take one mail that came back, as a mail server pipes it; nothing is printed and nobody is answered.

    Only the ledger is opened, and the mail server asked when a reply is forwarded: whoever delivers mail sees no other
    secret of arke's.
    """

    async def send(notice: Notice) -> Reply:
        if config.smtp is None or stop_file(config).exists():
            return Reply(0, "no mail leaves now", "connect")
        async with Mailer(config.smtp) as mailer:
            return await mailer.send(notice)

    clock = Clock.from_settings(config.clock, lab=config.lab)
    forward = config.bounces.forward and config.smtp is not None and not config.dry_run
    sender = config.smtp.sender if config.smtp else ""
    async with Ledger.open(Path(config.state)) as ledger:
        outbox, key = Outbox(ledger.run), ledger.secret("envelope")
        intake = Intake(outbox, key, sender=sender, manager=config.manager, send=send if forward else None)
        fate = await intake.take(message, clock.now(), recipient=recipient)
    if fate == "again":
        raise PanopticonError("arke bounce: the reply cannot be forwarded now; let the mail server try again")
    if fate == "kept":
        raise PanopticonError("arke bounce: a person's reply waits: see smtp, manager, dry_run and bounces.forward")


async def backup(config: Config, file: Path) -> None:
    """Write the ledger and its key to one new file, consistent while the daemon runs; never over an existing one."""
    state = Path(config.state)
    await trio.to_thread.run_sync(pack, state / FILE, [state / KEY_FILE], file)
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
    work = functools.partial(unpack, file, state / FILE, [state / KEY_FILE], _sound, needs_key=True)
    with lock.held(state):
        await trio.to_thread.run_sync(work)
    print(f"{state}: restored from {file}")


def _sound(connection: apsw.Connection) -> None:
    """A ledger this software can use: its tables are there, and its schema is not newer."""
    refuse_newer(connection)
    connection.execute("SELECT 1 FROM accepted, cases, notices, queue, suppressed, outbox LIMIT 1").fetchone()
