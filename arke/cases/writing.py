"""One notice about checked cases, composed and handed over: into the outbox beside its intents, or as a draft.

Last step of a pass. Intents and the outbox's row are one transaction, so that a crash leaves the notice written down
once or still due.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Sequence
from pathlib import Path

import apsw
import trio

from arke.cases.ledger import Ledger, write_intents
from arke.cases.outcome import Checked, intents_of, write_draft
from arke.cases.parties import occasion
from arke.config import Config
from arke.mail import rows
from arke.mail.notice import Letterhead, Sending, compose
from arke.mail.template import Templates
from arke.model import Contact, Notice
from panopticond.shared.clock import Clock
from panopticond.shared.settings import seconds

log = logging.getLogger(__name__)

_NOT_HOLDERS = frozenset({"registrar", "hoster"})
"""Templates of notices to others than the contacts of the name, of whom a later notice says when they were told."""


class Writer:
    """Writes notices; ``drafts`` set means that they are files there instead of mails to be sent."""

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        clock: Clock,
        *,
        templates: Templates,
        host_id: str,
        drafts: Path | None,
    ) -> None:
        self._config = config
        self._ledger = ledger
        self._clock = clock
        self._templates = templates
        self._host_id = host_id
        self._drafts = drafts

    async def write(self, group: Sequence[Checked], contact: Contact, held_back: str = "") -> bool:
        """One notice, of one case or a digest; ``held_back`` is why a draft would not be sent as things stand.

        False when no mail can be made of it, for its address is none after all.
        """
        now, first = self._clock.now(), group[0]
        try:
            notice = self._compose(group, contact, now)
        except ValueError as error:
            log.warning("case %s: no mail can be made of it (%s)", first.case.id, type(error).__name__)
            return False
        if self._drafts is not None:
            await trio.to_thread.run_sync(write_draft, self._drafts, notice, held_back)
            return True
        intents = intents_of(group, contact, notice, self._ledger.party(contact.address), now)

        def write(connection: apsw.Connection) -> None:
            rows.enqueue(connection, notice, now)
            write_intents(connection, intents)

        await self._ledger.run(write)
        return True

    def _compose(self, group: Sequence[Checked], contact: Contact, now: dt.datetime) -> Notice:
        config, first = self._config, group[0]
        tld = first.case.tld
        unchecked = next((item.recheck for item in group if item.recheck.decision != "go"), first.recheck)
        told = first.plan.history.told if len(group) == 1 else ()
        holders = (item for item in told if item.opening == first.case.opening and item.template not in _NOT_HOLDERS)
        accepted = [item.accepted for item in holders if item.accepted]
        letterhead = Letterhead(
            sender=config.smtp.sender if config.smtp else config.manager_of(tld),
            organisation=config.organisation or f".{tld} registry",
            host_id=self._host_id,
            key=self._ledger.secret("envelope"),
            verify_page=config.verify_page,
            deadline=dt.timedelta(seconds=seconds(config.ladder.registrar_after)),
        )
        said = " ".join(occasion(item.case, item.plan.history.told) for item in group)
        sending = Sending(now, unchecked, said, min(accepted, default=None))
        cases = [item.case for item in group]
        return compose(cases, contact, first.plan.step, self._templates, letterhead, sending, language=config.language)
