"""What the manager reads after each pass: ``today.json`` and ``no-contact.csv`` in the state directory.

Last step of the flow, beside the outbox. Case numbers, domains and reasons only: no contact is in either file. A file
is replaced whole or not at all.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from arke.cases import enrich, hoster
from arke.cases.ledger import QueueEntry
from arke.model import Case
from panopticond.shared.clock import rfc3339
from panopticond.shared.errors import StoreError

TODAY = "today.json"
NO_CONTACT = "no-contact.csv"
REVIEW = "review.csv"
NO_CONTACT_WORDS = frozenset({"no-contact", "suppressed"})
_TOLD = frozenset({"sent", "told", "draft", "hold"})
_LACKING = ("hoster-", "holder-")
_TRANSIENT = enrich.TRANSIENT | hoster.TRANSIENT


def today(
    now: dt.datetime,
    cases: Sequence[Case],
    outcomes: Mapping[str, tuple[int, str, str]],
    queue: Iterable[QueueEntry],
    outbox: Mapping[str, int],
    serials: Mapping[str, int],
    reviews: Sequence[Path],
) -> dict[str, object]:
    """The day's figures (pure): what was sent, what waits and why, who could not be told, what the re-check stopped."""
    entries = list(queue)
    latest = {case.id: outcomes[case.id] for case in cases if case.id in outcomes}
    return {
        "at": rfc3339(now),
        "snapshots": dict(serials),
        "open_cases": sum(case.state == "open" for case in cases),
        "resolved_cases": sum(case.state == "mitigated" for case in cases),
        "reopened_cases": sum(case.state == "open" and bool(case.reopened) for case in cases),
        "by_outcome": dict(sorted(Counter(what for _, what, _ in latest.values()).items())),
        "mail": dict(outbox),
        "cancelled_by_recheck": [
            {"case": case, "reason": reason} for case, (_, what, reason) in latest.items() if what == "cancelled"
        ],
        "no_contact": [
            {"case": case, "reason": why} for case, (_, what, reason) in latest.items() if (why := untold(what, reason))
        ],
        "waiting_for_a_person": [
            {"id": entry.id, "case": entry.case_id, "reason": entry.reason, "state": entry.state, "since": entry.at}
            for entry in entries
            if entry.state in ("waiting", "held")
        ],
        "review_lists": [str(path) for path in reviews],
    }


def no_contact_csv(cases: Sequence[Case], outcomes: Mapping[str, tuple[int, str, str]]) -> str:
    """The full local list of who could not be told, with the reason: ``case,domain,class,reason``."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("case", "domain", "class", "reason"))
    for case in sorted(cases, key=lambda case: case.domain):
        _, what, reason = outcomes.get(case.id, (0, "", ""))
        if why := untold(what, reason):
            writer.writerow((case.id, case.host or case.domain, case.abuse_class, why))
    return out.getvalue()


def write_report(state: Path, figures: Mapping[str, object], no_contact: str) -> None:
    """Both files, each replaced whole; StoreError when the directory cannot be written."""
    replace_file(state / TODAY, json.dumps(figures, indent=1, sort_keys=True) + "\n")
    replace_file(state / NO_CONTACT, no_contact)


def replace_file(path: Path, text: str) -> None:
    """Write a file of the state directory (mode 0600) so that a reader sees the old one or the new one."""
    partial = path.with_name(path.name + ".part")
    try:
        handle = os.open(partial, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        partial.replace(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}; check the state directory") from error


def untold(what: str, reason: str) -> str:
    """Why somebody could not be told, by how a pass ended; also where others were: a hoster, or the holders (pure)."""
    if what in NO_CONTACT_WORDS or (what == "waiting" and reason in _TRANSIENT):
        return reason
    if what not in _TOLD:
        return ""
    return " ".join(word for word in reason.split() if word.startswith(_LACKING) and word != "hoster-rung")
