"""What leaves the ledger: forgetting a person or a name, an objection that stays, and what has been kept long enough.

Beside the flow: ``arke forget`` and the daily retention job call it, each as one transaction on the ledger.
docs/reference/data-protection.md says the same in words; keep the two together.
"""

from __future__ import annotations

import datetime as dt
import json
import secrets

import apsw

from arke.cases.ledger import FORGOTTEN, Ledger
from panopticond.shared.clock import rfc3339

_UNSETTLED = "recipient IS NOT NULL"


async def forget_address(ledger: Ledger, address: str, now: dt.datetime, *, objection: bool) -> dict[str, int]:
    """Erase what is known of a recipient: waiting mails, and the hash beside every notice; counts of both.

    With ``objection`` the hash alone is kept in the list of those who are never written to; one kept before stays.
    """
    party = ledger.party(address)

    def erase(connection: apsw.Connection) -> dict[str, int]:
        connection.execute(
            f"UPDATE outbox SET state = 'withdrawn', settled_at = ?, reply_code = 0, reply_text = 'forgotten', "  # noqa: S608 - our own words
            f"recipient = NULL, envelope_sender = NULL, message = NULL WHERE lower(recipient) = ? AND {_UNSETTLED}",
            (rfc3339(now), address.strip().lower()),
        )
        waiting = connection.changes()
        connection.execute("UPDATE notices SET party = ? WHERE party = ?", (f"forgotten-{secrets.token_hex(8)}", party))
        told = connection.changes()
        if objection:
            connection.execute("INSERT OR IGNORE INTO suppressed VALUES (?, ?)", (party, rfc3339(now)))
        return {"waiting_mails": waiting, "notices": told}

    found = await ledger.run(erase)
    await ledger.tidy()
    return found


async def forget_name(ledger: Ledger, domain: str, now: dt.datetime) -> dict[str, int]:
    """Erase every case of a domain, its notices and outcomes; nobody is written to about its present opening again."""

    def erase(connection: apsw.Connection) -> dict[str, int]:
        cases = dict(
            connection.execute("SELECT case_id, max(opening) FROM notices WHERE domain = ? GROUP BY case_id", (domain,))
        )
        mails = 0
        for case_id, opening in cases.items():
            mails += _erase_case(connection, str(case_id))
            connection.execute(
                "INSERT INTO queue (case_id, opening, reason, state, at, decided_at) "
                "VALUES (?, ?, ?, 'rejected', ?, ?)",
                (case_id, opening, FORGOTTEN, rfc3339(now), rfc3339(now)),
            )
        return {"cases": len(cases), "mails": mails}

    found = await ledger.run(erase)
    await ledger.tidy()
    return found


async def prune(ledger: Ledger, before: dt.datetime) -> int:
    """Erase every case in which nothing has happened since ``before`` and no mail waits; how many there were."""
    text = before.astimezone(dt.UTC).isoformat(timespec="microseconds")

    def erase(connection: apsw.Connection) -> int:
        old = [
            str(row[0])
            for row in connection.execute(
                "SELECT case_id FROM notices JOIN outbox USING (message_id) GROUP BY case_id "
                "HAVING max(intent_at) < ? AND max(coalesce(settled_at, '')) < ? AND count(recipient) = 0",
                (text, rfc3339(before)),
            )
        ]
        for case_id in old:
            _erase_case(connection, case_id)
        connection.execute(
            "DELETE FROM outcomes WHERE at < ? AND case_id NOT IN (SELECT case_id FROM notices)", (rfc3339(before),)
        )
        connection.execute(
            "DELETE FROM queue WHERE coalesce(decided_at, at) < ? AND case_id NOT IN (SELECT case_id FROM notices)",
            (rfc3339(before),),
        )
        return len(old)

    found = await ledger.run(erase)
    if found:
        await ledger.tidy()
    return found


async def remembered_size(ledger: Ledger, tld: str) -> int | None:
    """How many rows the last snapshot had that mails were sent on, None when there was none."""
    rows = await ledger.run(lambda c: list(c.execute("SELECT size FROM sizes WHERE tld = ?", (tld,))))
    return int(rows[0][0]) if rows else None


async def remember_size(ledger: Ledger, tld: str, serial: int, size: int) -> None:
    """Keep the size of a snapshot that passed for plausible."""
    await ledger.run(lambda c: c.execute("INSERT OR REPLACE INTO sizes VALUES (?, ?, ?)", (tld, serial, size)))


def _erase_case(connection: apsw.Connection, case_id: str) -> int:
    """Every row of a case; a digest's mail stays while another of its cases does. How many mails went."""
    ids = [str(row[0]) for row in connection.execute("SELECT message_id FROM notices WHERE case_id = ?", (case_id,))]
    for table in ("notices", "outcomes", "queue", "fixes"):
        connection.execute(f"DELETE FROM {table} WHERE case_id = ?", (case_id,))  # noqa: S608 - three words of ours
    connection.execute("DELETE FROM cases WHERE id = ?", (case_id,))
    gone = 0
    for message_id in ids:
        row = connection.execute("SELECT case_ids FROM outbox WHERE message_id = ?", (message_id,)).fetchone()
        others = [case for case in json.loads(str(row[0])) if case != case_id] if row is not None else []
        known = connection.execute("SELECT 1 FROM notices WHERE message_id = ?", (message_id,)).fetchone()
        if others and known is not None:
            connection.execute("UPDATE outbox SET case_ids = ? WHERE message_id = ?", (json.dumps(others), message_id))
        else:
            connection.execute("DELETE FROM outbox WHERE message_id = ?", (message_id,))
            gone += 1
    return gone
