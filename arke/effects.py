"""What became of the notices: accepted, bounced, and how soon the abuse was gone after the first accepted mail.

Between the ledger and the reports. The clock starts at the first mail a server accepted in an opening of a case; it
ends when the snapshot says it was first gone, known to a round. What is still open is counted as such, never left out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

import apsw
import msgspec

from arke.cases.ledger import Ledger
from arke.model import Case
from panopticond.shared.clock import parse_rfc3339

DAY, THREE_DAYS, SIXTEEN_DAYS = dt.timedelta(hours=24), dt.timedelta(hours=72), dt.timedelta(days=16)


class Told(msgspec.Struct, frozen=True):
    """One opening of a case: its first accepted mail, its mails by fate, and when it was gone."""

    case_id: str
    first: dt.datetime | None
    accepted: int
    bounced: int
    failed: int
    gone: dt.datetime | None


class Effects(msgspec.Struct, frozen=True):
    """The outcome table. ``told`` counts openings of cases with an accepted mail; the next five add up to it."""

    told: int = 0
    fixed_24h: int = 0
    fixed_72h: int = 0
    fixed_16d: int = 0
    fixed_later: int = 0
    still_open: int = 0
    mails_accepted: int = 0
    mails_bounced: int = 0
    mails_failed: int = 0


async def record_fixes(ledger: Ledger, cases: Iterable[Case]) -> None:
    """Keep when mitigated cases were gone: the snapshot will not tell for ever."""
    rows = [
        (case.id, case.opening.astimezone(dt.UTC).isoformat(timespec="microseconds"), case.gone.isoformat())
        for case in cases
        if case.gone is not None
    ]
    if rows:
        await ledger.run(lambda c: c.executemany("INSERT OR REPLACE INTO fixes VALUES (?, ?, ?)", rows))


async def told(ledger: Ledger) -> list[Told]:
    """Every opening somebody was written to about, with the fates of its mails."""

    def read(connection: apsw.Connection) -> list[Told]:
        return [
            Told(
                str(row[0]),
                parse_rfc3339(row[1]) if row[1] else None,
                int(row[2]),
                int(row[3]),
                int(row[4]),
                parse_rfc3339(row[5]) if row[5] else None,
            )
            for row in connection.execute(
                "SELECT n.case_id, min(iif(o.state = 'accepted', o.settled_at, NULL)), sum(o.state = 'accepted'), "
                "sum(o.state = 'bounced'), sum(o.state = 'failed'), max(f.gone) FROM notices n "
                "JOIN outbox o USING (message_id) LEFT JOIN fixes f ON f.case_id = n.case_id AND f.opening = n.opening "
                "WHERE n.template <> 'resolved' GROUP BY n.case_id, n.opening"
            )
        ]

    return await ledger.run(read)


def effects(openings: Sequence[Told], start: dt.datetime, end: dt.datetime) -> Effects:
    """The table for openings first told from ``start`` to before ``end`` (pure); bounced ones belong to no time."""
    within = [item for item in openings if item.first is not None and start <= item.first < end]
    waits = [max(dt.timedelta(), item.gone - item.first) for item in within if item.gone and item.first]
    fixed = [sum(low < wait <= high for wait in waits) for low, high in ((DAY, THREE_DAYS), (THREE_DAYS, SIXTEEN_DAYS))]
    untold = [item for item in openings if item.first is None]
    return Effects(
        told=len(within),
        fixed_24h=sum(wait <= DAY for wait in waits),
        fixed_72h=fixed[0],
        fixed_16d=fixed[1],
        fixed_later=sum(wait > SIXTEEN_DAYS for wait in waits),
        still_open=sum(item.gone is None for item in within),
        mails_accepted=sum(item.accepted for item in within),
        mails_bounced=sum(item.bounced for item in (*within, *untold)),
        mails_failed=sum(item.failed for item in (*within, *untold)),
    )
