"""The manager's daily and monthly report as text: case numbers and counts, never a contact, never a domain.

After each pass: what was sent, what waits, what bounced, was resolved or reopened. The texts lie in the state directory
and are mailed to ``manager`` once each where mail is sent at all.
"""

from __future__ import annotations

import datetime as dt
import email.policy
import hashlib
import json
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import trio

from arke.cases.ledger import Ledger, QueueEntry
from arke.config import Config
from arke.effects import Effects, effects, told
from arke.mail import rows
from arke.model import Case, Notice
from arke.report import NO_CONTACT, REVIEW, replace_file
from panopticond.shared.clock import rfc3339

LISTED = 200  # case numbers written out in one section of a mail
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


async def write_letters(
    config: Config, ledger: Ledger, now: dt.datetime, cases: Sequence[Case], figures: Mapping[str, Any], *, mail: bool
) -> None:
    """Write today's report and, once, that of the month before; mail each once when ``mail`` and a manager is named."""
    state, openings = Path(config.state), await told(ledger)
    recent = await _templates_since(ledger, now - dt.timedelta(days=1))
    text = daily(now, cases, figures, recent, effects(openings, _EPOCH, now), reconciled(state, config.tlds))
    await trio.to_thread.run_sync(replace_file, state / "daily.txt", text)
    send = mail and config.manager is not None
    if send and config.report.daily:
        await _mail_once(config, ledger, "daily", now.strftime("%Y-%m-%d"), text, now)
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    start = (first - dt.timedelta(days=1)).replace(day=1)
    within = effects(openings, start, first)
    if not within.told and not within.mails_bounced:
        return
    month = start.strftime("%Y-%m")
    text = monthly(config, month, within, cases, await ledger.queue())
    path = state / f"monthly-{month}.txt"
    await trio.to_thread.run_sync(replace_file, path, text)
    if send and config.report.monthly:
        await _mail_once(config, ledger, "monthly", month, text, now)


def daily(
    now: dt.datetime,
    cases: Sequence[Case],
    figures: Mapping[str, Any],
    recent: Mapping[str, int],
    so_far: Effects,
    compared: Sequence[Mapping[str, Any]],
) -> str:
    """The day in plain text (pure)."""
    waiting = figures["waiting_for_a_person"]
    lines = [
        f"Arke, {rfc3339(now)}",
        "",
        f"Open cases: {sum(case.state == 'open' for case in cases)}",
        f"Notices of the last day: {_counts(recent) or 'none'}",
        f"Mail in all: {_counts(figures['mail']) or 'none'}",
        *_section("Waiting for a person (arke queue list)", [f"{item['case']}: {item['reason']}" for item in waiting]),
        *_section("No contact could be told", [f"{item['case']}: {item['reason']}" for item in figures["no_contact"]]),
        *_section(
            "Gone or held when looked at again",
            [f"{item['case']}: {item['reason']}" for item in figures["cancelled_by_recheck"]],
        ),
        *_section("Resolved by the snapshot", sorted(case.id for case in cases if case.state == "mitigated")),
        *_section("Reopened", sorted(case.id for case in cases if case.state == "open" and case.reopened)),
        "",
        "What became of the cases told so far:",
        *table(so_far),
    ]
    for tld, listed in figures.get("review", {}).get("lists", {}).items():
        asked = _counts(listed["registrations"])
        lines += [
            "",
            f"Review list of .{tld}: {listed['names']} names, {listed['new']} of them new, "
            f"{len(listed['already_listed'])} more in a feed already; registrations: {asked or 'none'}",
        ]
    for found in compared:
        lines += [
            "",
            f"ICANN's list of {found['list_date']} for .{found['tld']}: {found['both']} names in both, "
            f"{found['only_theirs']} only theirs ({found['only_theirs_not_delegated']} of them not delegated), "
            f"{found['only_ours']} only ours",
        ]
    lines += ["", f"Full lists lie beside the ledger: {NO_CONTACT}, {REVIEW}. This mail names no person and no domain."]
    return "\n".join(lines) + "\n"


def monthly(config: Config, month: str, within: Effects, cases: Sequence[Case], queue: Sequence[QueueEntry]) -> str:
    """A month on one page for a board or a regulator (pure): found, told, fixed how fast, open."""
    still = [case for case in cases if case.state == "open"]
    classes: dict[str, int] = {
        kind: sum(case.abuse_class == kind for case in still) for kind in sorted({c.abuse_class for c in still})
    }
    decided = sum(entry.decided_at is not None and entry.decided_at.startswith(month) for entry in queue)
    tlds = ", ".join(f".{tld}" for tld in config.tlds)
    return "\n".join(
        [
            f"Abuse notices of {config.organisation or tlds}, {month}",
            "",
            f"Cases whose contacts were told for the first time in this month: {within.told}.",
            "What became of them:",
            *table(within),
            "",
            "A case counts as fixed when the content or the name can no longer be reached; the time runs from",
            "the first mail a server accepted, and is known to about six hours. Names that nobody could be told",
            "about are not in it.",
            "",
            f"Open now: {len(still)} cases" + (f" ({_counts(classes)})." if classes else "."),
            f"Decisions taken by a person in this month: {decided}.",
            "Nothing was suspended automatically.",
            "",
        ]
    )


def table(found: Effects) -> list[str]:
    """The outcome table as lines of text, with shares where there are cases."""
    rows = (
        ("gone within 24 hours", found.fixed_24h),
        ("gone within 72 hours", found.fixed_72h),
        ("gone within 16 days", found.fixed_16d),
        ("gone later", found.fixed_later),
        ("still open", found.still_open),
    )
    lines = [f"  {'cases told':<22}{found.told:>7}"]
    for name, count in rows:
        share = f"  {100 * count / found.told:5.1f} %" if found.told else ""
        lines.append(f"  {name:<22}{count:>7}{share}")
    mails = f"{found.mails_accepted} accepted, {found.mails_bounced} bounced, {found.mails_failed} refused"
    return [*lines, f"  mails: {mails}"]


def reconciled(state: Path, tlds: Sequence[str]) -> list[Mapping[str, Any]]:
    """The figures of the last reconciliations, where there were any that can be read."""
    found = []
    for tld in tlds:
        try:
            found.append(json.loads((state / f"reconcile-{tld}.json").read_text()))
        except (OSError, ValueError):
            continue
    return [item for item in found if isinstance(item, dict) and "only_theirs_not_delegated" in item]


def _section(title: str, lines: Sequence[str]) -> list[str]:
    more = [f"  and {len(lines) - LISTED} more"] if len(lines) > LISTED else []
    return ["", f"{title}: {len(lines)}", *(f"  {line}" for line in lines[:LISTED]), *more]


def _counts(found: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(found.items()) if count)


async def _templates_since(ledger: Ledger, since: dt.datetime) -> dict[str, int]:
    text = since.astimezone(dt.UTC).isoformat(timespec="microseconds")
    rows = await ledger.run(
        lambda c: list(
            c.execute(
                "SELECT template, count(DISTINCT message_id) FROM notices WHERE intent_at > ? GROUP BY 1",
                (text,),
            )
        )
    )
    return {str(name): int(count) for name, count in rows}


async def _mail_once(config: Config, ledger: Ledger, kind: str, period: str, text: str, now: dt.datetime) -> None:
    """The report into the outbox, once for its day or month: the mark and the row are one transaction."""
    sender, manager = config.smtp.sender if config.smtp else "", config.manager or ""
    tlds = ", ".join(f".{tld}" for tld in config.tlds)
    digest = hashlib.sha256(f"{kind} {period} {' '.join(config.tlds)}".encode() + ledger.secret("report")).hexdigest()
    mail = EmailMessage(policy=email.policy.SMTP)
    mail["From"], mail["To"], mail["Date"] = sender, manager, now
    mail["Subject"] = f"[{tlds} abuse] {kind.capitalize()} report {period}"
    message_id = f"<report-{kind}-{period}.{digest[:20]}@{sender.rpartition('@')[2]}>"
    mail["Message-ID"], mail["Auto-Submitted"] = message_id, "auto-generated"
    mail.set_content(text)
    notice = Notice(message_id, (), "manager", 0, "manager", manager, sender, mail.as_bytes())

    def write(connection: Any) -> None:
        if connection.execute("SELECT 1 FROM mailed WHERE kind = ? AND period = ?", (kind, period)).fetchone() is None:
            connection.execute("INSERT INTO mailed VALUES (?, ?)", (kind, period))
            rows.enqueue(connection, notice, now)

    await ledger.run(write)
