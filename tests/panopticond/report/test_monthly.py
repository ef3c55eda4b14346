"""The monthly report: medians over known days, written once, from the published tree alone, with its sums signed."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import json
import sqlite3
import statistics
from pathlib import Path
from typing import Any

import msgspec
import pytest

from panopticond.report.month import month_of
from panopticond.report.monthly import publish_month, render
from panopticond.shared import minisign
from panopticond.shared.snapshot import MONTH_FILES
from panopticond.snapshot.publish import Today, publish_tld
from tests.panopticond.snapshot.ledger import FEEDS, HOUR, NOW, TLD, TODAY, feed, press, round_at, world

DAY = 24 * HOUR


@pytest.fixture
async def published(tmp_path: Path) -> Path:
    """A week of November: a feed that dies for one day, a case that ends, none published on one day."""
    roomy = msgspec.structs.replace(press(tmp_path), keep=60)
    ledger = world()
    for days in range(7):
        now = NOW + days * DAY
        for number, one in ledger.kept.items():
            if one.subject.uri and one.subject.host != "new.zz":
                outcome = "gone" if one.subject.host == "remedy.zz" and days >= 2 else "live"
                for hours in (19, 13, 7, 1):
                    when = now - hours * HOUR
                    ledger.kept_rounds[number].append(
                        round_at(when, one.subject.uri, one.subject.host, one.subject.domain, outcome)
                    )
        dead = Today(tuple(feed(one.name, one.licence, state="EMPTY") for one in FEEDS))
        if days != 3:
            await publish_tld(roomy, ledger, TLD, dead if days == 5 else TODAY, now)  # type: ignore[arg-type]
    return tmp_path / "zz"


def _reports(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted(directory.glob("20261*/report.json"))]


async def test_medians_are_over_the_known_days(published: Path) -> None:
    """They equal the median of what the daily reports say; the day of the dead feed is unknown, a gap is named."""
    month = month_of(published, "2026-11", "UTC")
    assert month is not None
    daily = [report["total"]["validated"] for report in _reports(published)]
    assert daily.count(None) == 1
    known = [count for count in daily if count is not None]
    assert month.medians[0].validated == statistics.median(known)
    assert month.medians[0].days_known == len(known) == 5
    assert month.days_missing == ("2026-11-24",)
    assert [day.validated for day in month.days] == daily
    assert ("open", 5, 6) in month.feeds


async def test_figures_equal_plain_sql(published: Path) -> None:
    """What the monthly and the daily report say of the last day stands beside SQL over its records.sql."""
    month = month_of(published, "2026-11", "UTC")
    report = _reports(published)[-1]
    assert month is not None
    database = sqlite3.connect(":memory:")
    database.executescript((published / "latest/records.sql").read_text())

    def one(sql: str, *values: object) -> Any:
        return database.execute(sql, values).fetchone()[0]

    start, end = database.execute("SELECT from_at, to_at FROM snapshot").fetchone()
    validated = "SELECT domain FROM uri WHERE validated = 1 UNION SELECT domain FROM host WHERE validated = 1"
    assert report["total"]["validated"] == one(f"SELECT count(*) FROM ({validated})")  # noqa: S608
    listed = "SELECT indicator FROM sighting WHERE last >= ?"
    assert report["total"]["listed"] == one(
        "SELECT count(DISTINCT domain) FROM (SELECT domain, indicator, flags FROM uri UNION ALL "  # noqa: S608
        f"SELECT domain, indicator, flags FROM host) WHERE indicator IN ({listed}) OR ' '||flags||' ' LIKE '% listed %'",
        start,
    )
    for state, count in report["states"].items():
        assert count == one(
            "SELECT (SELECT count(*) FROM uri WHERE state = ?1) + (SELECT count(*) FROM host WHERE state = ?1)", state
        )
    for name, count in report["classes"].items():
        assert count == one(
            f"SELECT count(*) FROM domain WHERE abuse_class = ? AND name IN ({validated})",  # noqa: S608
            name,
        )
    assert report["counts"]["open"] == one("SELECT count(*) FROM incident WHERE state = 'open'")
    assert report["counts"]["new"] == one("SELECT count(*) FROM incident WHERE state = 'open' AND opened > ?", start)
    for how in ("dns", "content"):
        assert report["counts"][f"mitigated-{how}"] == one(
            "SELECT count(*) FROM incident WHERE state = 'mitigated' AND how = ? AND closed > ?", how, start
        )
    assert report["coverage"] == round(one("SELECT CAST(checks_done AS REAL) / checks_due FROM snapshot"), 6)
    unchecked = sum(count for _, _, count in report["unchecked"])
    assert unchecked == one(
        "SELECT count(*) FROM observation WHERE outcome = 'indeterminate' AND round_at > ? AND round_at <= ?",
        start,
        end,
    )
    assert month.cases["opened"] == one("SELECT count(*) FROM incident WHERE opened > ?", month.start)
    assert month.cases["mitigated-content"] == 1
    assert month.cases["open-at-the-end"] == report["counts"]["open"]
    for threat, classes in month.matrix.items():
        for name, count in classes.items():
            assert count == one(
                "SELECT count(*) FROM incident WHERE opened > ? AND abuse_class = ? AND threats LIKE '%'||?||'%'",
                month.start, name, threat,
            )  # fmt: skip
    assert sum(month.ages.values()) == report["counts"]["open"]
    database.close()


async def test_it_is_written_once_and_whole(published: Path) -> None:
    """In December November is written: every file, its sums, a signature over them; a second time nothing happens."""
    key = press(published).key
    at = publish_month(published, "UTC", dt.datetime(2026, 12, 1, 6, tzinfo=dt.UTC), key)
    assert at == published / "2026-11"
    assert sorted(path.name for path in at.iterdir()) == sorted(MONTH_FILES)
    sums = (at / "SHA256SUMS").read_bytes()
    assert minisign.verify(sums, (at / "SHA256SUMS.minisig").read_text(), [key.public]) == "tld:zz\tmonth:2026-11"
    for line in sums.decode().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((at / name).read_bytes()).hexdigest() == digest
    days = list(csv.DictReader((at / "days.csv").read_text().splitlines()))
    assert [day["date"] for day in days][:2] == ["2026-11-21", "2026-11-22"]
    assert days[4]["validated_domains"] == ""
    assert publish_month(published, "UTC", dt.datetime(2026, 12, 2, 6, tzinfo=dt.UTC), key) is None
    assert publish_month(published, "UTC", dt.datetime(2027, 3, 2, 6, tzinfo=dt.UTC), key) is None


async def test_the_same_tree_gives_the_same_bytes(published: Path) -> None:
    """Nothing but the published tree goes in, and nothing from outside is loaded."""
    pages = [render(month) for _ in range(2) if (month := month_of(published, "2026-11", "UTC")) is not None]
    assert pages[0] == pages[1]
    page = pages[0]["report.html"].decode()
    assert "Domain abuse in .zz, November 2026" in page
    assert not any(mark in page for mark in ("<script", "<a ", "src=", "href=", "http://"))


async def test_publication_in_a_new_month_writes_the_report(published: Path, tmp_path: Path) -> None:
    """The first snapshot of December makes November's report beside it."""
    roomy = msgspec.structs.replace(press(tmp_path), keep=60)
    ledger = world()
    await publish_tld(roomy, ledger, TLD, TODAY, NOW + 12 * DAY)  # type: ignore[arg-type]
    assert (published / "2026-11" / "report.html").is_file()
