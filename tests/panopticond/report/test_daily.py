"""The daily report: three things first, hostile text inert, unknown never zero, nothing from outside the tables."""

from __future__ import annotations

import html.parser
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from panopticond.judge.aggregate import aggregates
from panopticond.report.daily import render, render_from_records
from panopticond.report.figures import defang
from panopticond.shared.errors import RefusedError
from panopticond.shared.tables import TABLES, DomainRow, FeedRow, IncidentRow, SightingRow, SnapshotRow, UriRow

EVIL = "<script>alert(1)</script>"
SNAPSHOT = SnapshotRow(
    tld="zz", serial=2026112101, format=1, from_at="2026-11-20T06:00:00Z", to_at="2026-11-21T06:00:00Z",
    issued="2026-11-21T06:10:00Z", late=0, checks_due=8, checks_done=8, zone_size=10_000, software="panopticon 0",
    timezone="UTC", vantages="near:NZ far:DE", tranco_list="ABCDE",
)  # fmt: skip
FEED = FeedRow(
    name="open", format="url-list", licence="redistributable", trust="reputable", absence="aged-out", threat="phishing",
    state="OK", since=None, reason="", last_success="2026-11-21T05:00:00Z", last_change=None, row_count=5,
    indicator_count=1, rejected_count=0, newest_row=None,
)  # fmt: skip


def domain(name: str, **changes: Any) -> DomainRow:
    row = DomainRow(
        name=name, scope_hint="domain", delegation="delegated", delegation_at=None, registered_at=None,
        registration_status=None, registrar=None, abuse_class="undetermined", class_reasons="", class_missing="",
        tranco_rank=None, flags="",
    )  # fmt: skip
    return msgspec.structs.replace(row, **changes)


def uri(name: str, **changes: Any) -> UriRow:
    row = UriRow(
        indicator=f"i-{name}", uri=f"http://{name}/x", host=name, domain=name, scope="registered", altered=0,
        threats="phishing", state="active", rule="live-at-a-vantage", since=None, last_known=None, last_known_at=None,
        flags="listed", validated=1, recorded="2026-11-20T00:00:00Z", first_active=None, last_active=None,
        first_gone=None, round_count=4, decision=None,
    )  # fmt: skip
    return msgspec.structs.replace(row, **changes)


def incident(name: str, **changes: Any) -> IncidentRow:
    row = IncidentRow(
        id=f"zz-2026-{name[:6]}", domain=name, host=None, registered_at=None, opened="2026-11-21T00:00:00Z", state="open",
        last_active="2026-11-21T05:00:00Z", first_gone=None, closed=None, how=None, reopened="", threats="phishing",
        abuse_class="undetermined",
    )  # fmt: skip
    return msgspec.structs.replace(row, **changes)


def tables(**rows: list[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {name: [] for name in TABLES}
    found.update({"snapshot": [SNAPSHOT], "feed": [FEED], **rows})
    found["aggregate"] = aggregates(found, vantage_worked=True, unchecked={"web:timeout": 3})
    return found


class _Links(html.parser.HTMLParser):
    """Every tag opened and every attribute that could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [
            f"{tag} {name}" for name, _ in attrs if name in ("href", "src", "action") or name.startswith("on")
        ]


def page(**rows: list[Any]) -> str:
    return render(tables(**rows))[0].decode()


def report(**rows: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(render(tables(**rows))[1])
    return found


def test_hostile_text_is_inert_and_nothing_is_loaded() -> None:
    """Markup in any text is escaped; the page has no script, link, image or handler; addresses are defanged."""
    text = page(
        domain=[domain("a.zz", registrar=EVIL, class_reasons=EVIL)],
        uri=[uri("a.zz", uri=f"http://a.zz/{EVIL}")],
        incident=[incident("a.zz")],
        feed=[FEED, msgspec.structs.replace(FEED, name="sick", state="AUTH", reason=EVIL)],
    )
    assert EVIL not in text
    assert "http://a.zz" not in text
    assert "hxxp://a[.]zz/" in text
    seen = _Links()
    seen.feed(text)
    assert not {"script", "a", "img", "link", "iframe", "form"} & set(seen.tags)
    assert seen.loads == []


def test_the_three_things_are_the_weightiest() -> None:
    """A critical name goes before a dead feed, that before likely malicious names; never more than three."""
    found = report(
        domain=[domain("gov.zz", flags="critical"), domain("bad.zz", class_reasons="why")],
        uri=[uri("gov.zz"), uri("bad.zz", flags="listed review")],
        incident=[incident("gov.zz"), incident("bad.zz", abuse_class="malicious")],
        feed=[FEED, msgspec.structs.replace(FEED, name="sick", state="AUTH", reason="the key was refused")],
    )
    titles = [task["title"] for task in found["tasks"]]
    assert len(titles) == 3
    assert titles[0].startswith("Look at gov[.]zz first")
    assert titles[1] == "Get 1 feed mended: sick"
    assert "bad[.]zz" in titles[2]
    assert "the key was refused" in found["tasks"][1]["draft"]


def test_a_quiet_day_says_so() -> None:
    """With nothing to do the page says that nothing needs the reader."""
    assert "Nothing needs you today" in page()


def test_unknown_is_not_zero() -> None:
    """Under half of the due checks: figures are unknown, and the report says so first."""
    poor = msgspec.structs.replace(SNAPSHOT, checks_done=3)
    found = report(snapshot=[poor], uri=[uri("a.zz")], domain=[domain("a.zz")])
    assert found["total"]["validated"] is None
    assert found["rate"] is None
    assert found["tasks"][0]["title"] == "Have the checks looked at: only 38% were made"
    assert "Today's figures are unknown" in page(snapshot=[poor])


def test_what_became_of_cases() -> None:
    """New, still active, reopened, mitigated by each way and lapsed are told apart; older endings are left out."""
    closed = {"state": "mitigated", "closed": "2026-11-21T03:00:00Z"}
    found = report(
        incident=[
            incident("new.zz"),
            incident("old.zz", opened="2026-11-01T00:00:00Z"),
            incident("again.zz", opened="2026-11-01T00:00:00Z", reopened="2026-11-21T01:00:00Z"),
            incident("dns.zz", **closed, how="dns"),
            incident("content.zz", **closed, how="content"),
            incident("lapsed.zz", state="lapsed", closed="2026-11-21T03:00:00Z"),
            incident("before.zz", state="mitigated", closed="2026-11-02T03:00:00Z", how="dns"),
        ]
    )
    assert found["counts"] == {
        "open": 3, "new": 1, "reopened": 1, "still-active": 1, "mitigated-dns": 1, "mitigated-content": 1, "lapsed": 1,
    }  # fmt: skip
    assert [case["what"] for case in found["cases"]] == [
        "new", "reopened", "still active", "mitigated by DNS", "mitigated by content", "lapsed",
    ]  # fmt: skip


def test_clean_but_listed_names_are_shown() -> None:
    """A name clean for 24 hours that a feed still lists is shown with the feed and its delisting address."""
    listing = SightingRow("i-a.zz", "open", "phishing", "2026-11-20T00:00:00Z", "2026-11-21T05:00:00Z", None)
    asked = msgspec.structs.replace(FEED, delisting="https://lists.example/delist")

    def shown(first_gone: str) -> Any:
        gone = uri("a.zz", state="mitigated-dns", validated=0, first_gone=first_gone)
        return report(uri=[gone], sighting=[listing], domain=[domain("a.zz")], feed=[asked])["clean_but_listed"]

    assert shown("2026-11-20T05:00:00Z") == [["a[.]zz", "open", "https://lists.example/delist"]]
    assert shown("2026-11-20T07:00:00Z") == []


def test_defang() -> None:
    """Scheme and host lose what makes a link; the path stays."""
    assert defang("https://a.b.zz:8443/x.php?y=z.w") == "hxxps://a[.]b[.]zz:8443/x.php?y=z.w"
    assert defang("a.zz") == "a[.]zz"


def test_files_that_are_no_records_are_refused(tmp_path: Path) -> None:
    """A missing file, and one that is something else, are refused."""
    (tmp_path / "x.sql").write_text("DROP TABLE uri;")
    for name in ("x.sql", "none.sql"):
        with pytest.raises(RefusedError):
            render_from_records(tmp_path / name, tmp_path)
