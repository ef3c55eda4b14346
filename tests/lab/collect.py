"""Reads what a run left behind: the last snapshot, accepted mails, arke's ledger, and contact addresses in wrong places.

Between ``run`` and ``score``. It looks at files only, and at arke's database with SQLite's own reader.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import email
import email.policy
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from panopticond.shared.clock import parse_rfc3339
from panopticond.shared.records import read_tables
from tests.lab.configure import Places
from tests.lab.internet.smtp import AGAIN
from tests.lab.model import World
from tests.lab.plant import VICTIM
from tests.lab.score import Found, Mail

_ASIDE = frozenset(
    {"world.json", "ports.json", "mails.ndjson", "certs", "mail", "logs", "arke-state", "keys", "internet.log"}
)
"""What of an output directory is the lab's own or is looked at by another rule."""


def collect(world: World, places: Places) -> Found:
    """Everything the scorer needs; raises RefusedError when the last snapshot cannot be read."""
    tables = last_tables(places.published / world.tlds[0])
    told, queued = _ledger(places.arke_state / "arke.db")
    cases = {row.id: row.domain for row in tables.get("incident", ())}
    return Found(
        tables=tables,
        mails=tuple(_mails(places.mails, told)),
        in_review=frozenset(cases[case] for case in queued if case in cases),
        pii=leaks(world, places),
        again=unexcused(places),
    )


def unexcused(places: Places) -> tuple[str, ...]:
    """Message-IDs that came a second time, but for those the client could not know of.

    Between a server's yes and arke's record of it nobody can know: the notice goes out again under the same Message-ID,
    by which the receiver keeps one. Excused is what the server had kept before a kill of arke and got again after it,
    one mail a kill, and what it kept and gave no clear answer to, once.
    """
    killed = [parse_rfc3339(at) for name, at in _pairs(places.kills) if name == "arke"]
    kept: dict[str, tuple[dt.datetime, bool]] = {}
    for line in _lines(places.mails):
        kept.setdefault(line["message_id"], (parse_rfc3339(line["at"]), bool(line.get("doubtful"))))
    slack = dt.timedelta(seconds=max(1.0, places.clock_scale))  # a real second: what was on its way is kept after all
    found = []
    for line in _lines(places.mails.with_name(AGAIN)):
        first, doubtful = kept[line["message_id"]]
        between = [at for at in killed if first <= at + slack and at <= parse_rfc3339(line["at"]) + slack]
        if doubtful:
            kept[line["message_id"]] = (first, False)
        elif between:
            killed.remove(between[0])
        else:
            found.append(str(line["message_id"]))
    return tuple(found)


def _pairs(path: Path) -> list[list[str]]:
    return [line.split() for line in path.read_text(encoding="ascii").splitlines()] if path.is_file() else []


def _lines(path: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()] if path.is_file() else []


def last_tables(folder: Path) -> dict[str, list[Any]]:
    """The tables of ``latest``; empty when nothing was ever published."""
    records = folder / "latest" / "records.sql"
    return read_tables(records) if records.is_file() else {}


def _ledger(path: Path) -> tuple[dict[str, list[tuple[str, str, int]]], set[str]]:
    """What arke's ledger says it told, by Message-ID, and the cases in its queue."""
    told: dict[str, list[tuple[str, str, int]]] = {}
    queued: set[str] = set()
    if not path.is_file():
        return told, queued
    with contextlib.closing(sqlite3.connect(path)) as database:
        for message_id, domain, template, rung in database.execute(
            "SELECT message_id, domain, template, rung FROM notices"
        ):
            told.setdefault(message_id.strip("<>"), []).append((domain, template, rung))
        queued = {case for (case,) in database.execute("SELECT case_id FROM queue")}
    return told, queued


def _mails(path: Path, told: dict[str, list[tuple[str, str, int]]]) -> Iterator[Mail]:
    if not path.is_file():
        return
    for line in path.read_bytes().splitlines():
        entry = msgspec.json.decode(line)
        raw = base64.b64decode(entry["bytes_b64"])
        yield Mail(
            at=parse_rfc3339(entry["at"]),
            message_id=entry["message_id"],
            recipient=entry["recipient"],
            subject=entry["subject"],
            text=_text(raw),
            told=tuple(told.get(entry["message_id"].strip("<> "), ())),
        )


def _text(raw: bytes) -> str:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    parts = [part.get_content() for part in message.walk() if part.get_content_type() == "text/plain"]
    return "\n".join([str(message["Subject"]), *(part for part in parts if isinstance(part, str))])


def leaks(world: World, places: Places) -> dict[str, int]:
    """Bytes of contact addresses by file: anywhere outside arke, and in arke's logs, status, ledger and reports.

    In arke's own state an address may stand only in the outbox, and only while its mail is not settled.
    """
    people = [party.address for domain in world.domains for party in domain.registration.parties]
    needle = Needle([*people, *(network.abuse for network in world.networks), VICTIM])
    outside = [path for path in places.root.iterdir() if path.name not in _ASIDE]
    found: dict[str, int] = {}
    for path in _files([*outside, places.logs]):
        if path.name != "internet.log" and (count := needle.bytes_in(path.read_bytes())):
            found[str(path.relative_to(places.root))] = count
    waiting = _undelivered(places.arke_state / "arke.db")
    inside = Needle(address for address in needle.addresses if address not in waiting)
    for path in _files([places.arke_state]):
        if count := inside.bytes_in(path.read_bytes()):
            found[str(path.relative_to(places.root))] = count
    return found


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if folder.is_file():
            yield folder
        else:
            yield from (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())


def _undelivered(path: Path) -> frozenset[str]:
    if not path.is_file():
        return frozenset()
    with contextlib.closing(sqlite3.connect(path)) as database:
        rows = database.execute("SELECT recipient FROM outbox WHERE recipient IS NOT NULL")
        return frozenset(address.lower() for (address,) in rows)


class Needle:
    """Many addresses looked for in bytes at once, even glued to other bytes, by what stands around every ``@``."""

    def __init__(self, addresses: Iterable[str]) -> None:
        self.addresses = frozenset(address.lower() for address in addresses if address.count("@") == 1)
        self._locals: dict[bytes, set[bytes]] = {}
        for address in self.addresses:
            local, _, host = address.encode().partition(b"@")
            self._locals.setdefault(host, set()).add(local)
        self._host_lengths = sorted({len(host) for host in self._locals})

    def bytes_in(self, data: bytes) -> int:
        """How many bytes of these addresses are in ``data``, plain or with the ``@`` percent-encoded."""
        data = data.replace(b"%40", b"@").lower()
        total, at = 0, data.find(b"@")
        while at >= 0:
            total += self._at(data, at)
            at = data.find(b"@", at + 1)
        return total

    def _at(self, data: bytes, at: int) -> int:
        for length in self._host_lengths:
            host = data[at + 1 : at + 1 + length]
            for local in self._locals.get(host, ()):
                if data[at - len(local) : at] == local:
                    return len(local) + 1 + length
        return 0
