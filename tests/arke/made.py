"""Made-up snapshots, cases and look-ups that arke's tests share: tables of one domain, published and signed for real."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from arke.model import Case, CaseIndicator, Contact, Contacts
from panopticond.model import Observation
from panopticond.shared import minisign, snapshot
from panopticond.shared.clock import rfc3339
from panopticond.shared.records import encode_detail, write_records
from panopticond.shared.tables import (
    DomainRow,
    FeedRow,
    HostRow,
    IncidentRow,
    ObservationRow,
    SightingRow,
    SnapshotRow,
    UriRow,
)

NOW = dt.datetime(2026, 3, 5, 12, tzinfo=dt.UTC)
TO = NOW - dt.timedelta(hours=2)
OPENED = NOW - dt.timedelta(days=2)
ROUND = rfc3339(TO)


def indicator(**changes: Any) -> CaseIndicator:
    base = CaseIndicator(
        id="i1",
        uri="http://bad.zz/kit/",
        host="bad.zz",
        scope="registered",
        threats=("phishing",),
        state="active",
        flags=("listed",),
        validated=True,
        first_seen=OPENED,
        last_active=TO,
    )
    return msgspec.structs.replace(base, **changes)


def case(**changes: Any) -> Case:
    base = Case(
        id="zz-2026-00000a",
        tld="zz",
        domain="bad.zz",
        host=None,
        state="open",
        opened=OPENED,
        abuse_class="undetermined",
        reasons=(),
        indicators=(indicator(),),
    )
    return msgspec.structs.replace(base, **changes)


def contacts(domain: str = "bad.zz", **roles: str) -> Contacts:
    return Contacts(domain, tuple(Contact(role, address, "rdap") for role, address in roles.items()))


def seen(kind: str, outcome: str, vantage: str = "direct", **detail: str) -> Observation:
    return Observation(kind, "x", vantage, NOW, outcome, detail)


def tables(
    serial: int = 2026030501, names: Sequence[str] = ("bad",), *, to: dt.datetime = TO, **domain: Any
) -> dict[str, list[Any]]:
    """The tables of a snapshot of .zz with one phishing URI and one open incident for each name."""
    at = rfc3339(to)
    found: dict[str, list[Any]] = {
        "snapshot": [
            SnapshotRow(
                "zz", serial, 1, rfc3339(to - dt.timedelta(days=1)), at, at, 0, 4, 4, 9, "x", "UTC", "near:NZ", None
            )
        ],
        "feed": [
            FeedRow(
                "good",
                "url-list",
                "redistributable",
                "reputable",
                "aged-out",
                "phishing",
                "OK",
                None,
                "",
                at,
                at,
                1,
                1,
                0,
                None,
            ),
            FeedRow(
                "quiet",
                "url-list",
                "verdict-only",
                "reputable",
                "aged-out",
                "phishing",
                "OK",
                None,
                "",
                at,
                at,
                1,
                1,
                0,
                None,
            ),
        ],
        "domain": [],
        "host": [],
        "uri": [],
        "sighting": [],
        "observation": [],
        "incident": [],
        "aggregate": [],
    }
    for number, name in enumerate(names):
        host, public = f"{name}.zz", f"i{number:016x}"
        row = DomainRow(host, "domain", "delegated", at, None, None, "Reg", "undetermined", "", "", None, "")
        found["domain"].append(msgspec.structs.replace(row, **domain))
        found["host"].append(HostRow(host, host, "registered", *([None] * 15)))
        found["uri"].append(
            UriRow(
                public,
                f"http://{host}/kit/",
                host,
                host,
                "registered",
                0,
                "phishing",
                "active",
                "live",
                at,
                None,
                None,
                "listed",
                1,
                at,
                at,
                at,
                None,
                8,
                None,
            )
        )
        found["sighting"].append(SightingRow(public, "good", "phishing", rfc3339(OPENED), at, None))
        for vantage, outcome, detail in (
            ("far", "gone", {"status": "404", "country": "DE"}),
            ("near", "live", {"status": "200", "title": "Log in", "country": "NZ", "fingerprint": "a;2xx;b;1;c"}),
        ):
            found["observation"].append(
                ObservationRow(public, at, "web", f"http://{host}/kit/", vantage, at, outcome, encode_detail(detail))
            )
        found["incident"].append(
            IncidentRow(
                f"zz-2026-{number:06x}",
                host,
                None,
                None,
                rfc3339(OPENED),
                "open",
                at,
                None,
                None,
                None,
                "",
                "phishing",
                "undetermined",
            )
        )
    return found


def publish(
    root: Path,
    key: minisign.SecretKey,
    rows: dict[str, list[Any]],
    *,
    issued: dt.datetime = NOW,
    keys_next: tuple[str, ...] = (),
) -> Path:
    """Write and sign a snapshot of these tables under ``root/zz`` and point ``latest`` at it; its records.sql."""
    row = rows["snapshot"][0]
    folder = root / row.tld / str(row.serial)
    folder.mkdir(parents=True)
    (folder / snapshot.RECORDS).write_bytes(b"".join(write_records(rows)))
    data = (folder / snapshot.RECORDS).read_bytes()
    entry = snapshot.ManifestFile(snapshot.RECORDS, len(data), hashlib.sha256(data).hexdigest())
    expires = rfc3339(snapshot.parse_rfc3339(row.to_at) + dt.timedelta(hours=36))
    manifest = snapshot.Manifest(
        1, row.tld, row.serial, None, None, row.from_at, row.to_at, rfc3339(issued), expires, False, keys_next, (entry,)
    )
    text = snapshot.canonical(manifest)
    (folder / snapshot.MANIFEST).write_bytes(text)
    (folder / snapshot.SIGNATURE).write_text(minisign.sign(text, key, snapshot.trusted_comment(manifest)))
    latest = root / row.tld / snapshot.LATEST
    latest.unlink(missing_ok=True)
    latest.symlink_to(str(row.serial))
    return latest / snapshot.RECORDS
