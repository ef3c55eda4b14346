"""A published snapshot verifies, is reproducible, obeys the licences, and survives crashes whole."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import hashlib
import json
import sqlite3
import time
from pathlib import Path

import msgspec
import pytest
import trio

from panopticond.judge.aggregate import poisson_interval
from panopticond.report.daily import render_from_records
from panopticond.shared.clock import Clock
from panopticond.shared.errors import PanopticonError, RefusedError
from panopticond.shared.minisign import SecretKey
from panopticond.shared.records import read_tables
from panopticond.shared.snapshot import FILES, verify_tree
from panopticond.snapshot import tree
from panopticond.snapshot.publish import Today, hours_between, next_hour, publish_daily, publish_tld
from panopticond.snapshot.replay import replay
from tests.panopticond.snapshot.ledger import FEEDS, HOUR, NOW, TLD, TODAY, Ledger, feed, press, world


async def test_a_snapshot_is_published_whole_and_verifies(tmp_path: Path) -> None:
    """Every file of the design is there, signed; latest points at it; the store knows it; records.sql holds it all."""
    ledger = world()
    published = await publish_tld(press(tmp_path), ledger, TLD, TODAY, NOW)
    at = tmp_path / "zz" / "latest"
    assert published.serial == 2026112101
    assert str(at.readlink()) == "2026112101"
    manifest = verify_tree(at.resolve(), [press(tmp_path).key.public], tld="zz", now=NOW)
    assert sorted(entry.name for entry in manifest.files) == sorted(FILES)
    assert sorted(path.name for path in at.iterdir()) == sorted([*FILES, "manifest.json", "manifest.json.minisig"])
    assert manifest.ended_at == NOW - HOUR + dt.timedelta(seconds=1)
    assert manifest.expires_at == manifest.ended_at + 36 * HOUR
    assert ledger.publications == [published]
    assert gzip.decompress((at / "records.sql.gz").read_bytes()) == (at / "records.sql").read_bytes()
    for line in (at / "SHA256SUMS").read_text().splitlines():
        sha256, name = line.split("  ")
        assert hashlib.sha256((at / name).read_bytes()).hexdigest() == sha256
    tables = read_tables(at / "records.sql")
    assert tables["snapshot"][0].checks_done == tables["snapshot"][0].checks_due - 4  # new.zz was never checked
    assert {row.domain: row.state for row in tables["incident"]}["bank-login.zz"] == "open"
    assert len(ledger.kept_incidents) == len(tables["incident"])


async def test_states_flags_and_validation_are_as_judged(tmp_path: Path) -> None:
    """Live is active and validated, four dark rounds in 18 h are unreachable, a resolving host is active."""
    await publish_tld(press(tmp_path), world(), TLD, TODAY, NOW)
    tables = read_tables(tmp_path / "zz/latest/records.sql")
    uris = {row.host: row for row in tables["uri"] if row.uri is not None}
    assert (uris["bank-login.zz"].state, uris["bank-login.zz"].validated) == ("active", 1)
    assert (uris["gone.zz"].state, uris["gone.zz"].validated) == ("unreachable", 0)
    assert uris["gone.zz"].first_gone is not None
    assert uris["new.zz"].state == "indeterminate"
    hosts = {row.name: row for row in tables["host"]}
    assert (hosts["c2.botnet.zz"].state, hosts["c2.botnet.zz"].validated) == ("active", 1)
    assert hosts["bank-login.zz"].indicator is None
    domains = {row.name: row for row in tables["domain"]}
    assert domains["gov.zz"].flags.split() == ["critical", "popular"]
    assert domains["pages.zz"].abuse_class == "shared-service"
    assert domains["bank-login.zz"].abuse_class == "malicious"
    assert domains["bank-login.zz"].registrar == "R & Co"
    assert {row.host for row in tables["incident"] if row.domain == "pages.zz"} == {"me.pages.zz"}


async def test_licences_are_obeyed_in_every_file(tmp_path: Path) -> None:
    """A verdict-only name stands nowhere, nor does a no-store one; a remediation one not in misp.json."""
    await publish_tld(press(tmp_path), world(), TLD, TODAY, NOW)
    at = tmp_path / "zz/latest"
    texts = {name: (at / name).read_bytes() for name in FILES if name != "records.sql.gz"}
    for name, text in texts.items():
        assert b"hidden-name" not in text, name
        assert b"unspoken" not in text, name
    assert b"remedy" in texts["records.sql"]
    assert b"remedy" in texts["uris.csv"]
    assert b"remedy" not in texts["misp.json"]
    assert b"bank-login" in texts["misp.json"]
    tables = read_tables(at / "records.sql")
    (surrogate,) = [row for row in tables["uri"] if row.uri is None]
    assert surrogate.state == "active"
    assert surrogate.validated == 0
    assert surrogate.host.endswith(".withheld.invalid")
    assert {row.feed for row in tables["sighting"] if row.indicator == surrogate.indicator} == {"verdict"}
    both = next(row.indicator for row in tables["uri"] if row.host == "both.zz")
    assert {row.feed for row in tables["sighting"] if row.indicator == both} == {"open"}
    assert "secret" not in {row.name for row in tables["feed"]}
    assert any(row.indicator == surrogate.indicator for row in tables["observation"])


async def test_the_report_is_made_again_byte_for_byte(tmp_path: Path) -> None:
    """``render_from_records`` gives the published report.html and report.json, from .sql and from .gz."""
    await publish_tld(press(tmp_path), world(), TLD, TODAY, NOW)
    at = tmp_path / "zz/latest"
    for name in ("records.sql", "records.sql.gz"):
        render_from_records(at / name, tmp_path / name)
        for report in ("report.html", "report.json"):
            assert (tmp_path / name / report).read_bytes() == (at / report).read_bytes()


async def test_the_same_store_publishes_the_same_tables(tmp_path: Path) -> None:
    """Two stores alike give the same records.sql."""
    for name in ("a", "b"):
        await publish_tld(press(tmp_path / name), world(), TLD, TODAY, NOW)
    assert (tmp_path / "a/zz/latest/records.sql").read_bytes() == (tmp_path / "b/zz/latest/records.sql").read_bytes()


async def test_aggregates_equal_plain_sql_and_a_dead_feed_is_no_success(tmp_path: Path) -> None:
    """Figures equal SQL over the tables; a threat without a working feed reads -1; a rate has its exact interval."""
    await publish_tld(press(tmp_path), world(), TLD, TODAY, NOW)
    database = sqlite3.connect(":memory:")
    database.executescript((tmp_path / "zz/latest/records.sql").read_text())

    def one(sql: str) -> float:
        return database.execute(sql).fetchone()[0]

    figure = "SELECT value FROM aggregate WHERE name = '{}' AND threat = '{}' AND dimension = '{}'"
    assert one(figure.format("validated_domains", "phishing", "")) == one(
        "SELECT count(DISTINCT domain) FROM uri WHERE validated = 1 AND threats LIKE '%phishing%'"
    )
    assert (
        one(figure.format("indicators_by_state", "", "active"))
        == one("SELECT count(*) FROM uri WHERE state = 'active'") + 1
    )
    assert one(figure.format("validated_domains", "malware", "")) == -1
    assert one(figure.format("listed_uris", "malware", "")) == -1
    count = one(figure.format("validated_domains", "", ""))
    low, high = database.execute(
        "SELECT low, high FROM aggregate WHERE name = 'validated_domains_per_10000' AND threat = ''"
    ).fetchone()
    database.close()
    assert (low, high) == tuple(round(bound / 4, 6) for bound in poisson_interval(int(count)))


async def test_no_feed_at_all_is_unknown(tmp_path: Path) -> None:
    """With every feed dead, every figure of listed and validated is -1 and the report says unknown."""
    feeds = tuple(feed(one.name, one.licence, state="EMPTY") for one in FEEDS)
    await publish_tld(press(tmp_path), world(), TLD, Today(feeds), NOW)
    report = json.loads((tmp_path / "zz/latest/report.json").read_bytes())
    assert report["total"] == {"threat": "", "listed": None, "validated": None}
    assert b"Today's figures are unknown" in (tmp_path / "zz/latest/report.html").read_bytes()


def test_poisson_intervals_equal_the_textbook() -> None:
    """Garwood's exact 95 % limits: 0, 1, 10 and 100 events."""
    for count, low, high in ((0, 0.0, 3.6889), (1, 0.0253, 5.5716), (10, 4.7954, 18.3904), (100, 81.3640, 121.6268)):
        assert poisson_interval(count) == pytest.approx((low, high), abs=5e-5)


async def test_serials_chain_and_never_go_back(tmp_path: Path) -> None:
    """The second publication of a day gets the next serial and names the first's manifest; a clock set back is refused."""
    ledger = world()
    first = await publish_tld(press(tmp_path), ledger, TLD, TODAY, NOW)
    second = await publish_tld(press(tmp_path), ledger, TLD, TODAY, NOW + HOUR)
    assert second.serial == first.serial + 1
    manifest = json.loads((tmp_path / "zz/latest/manifest.json").read_bytes())
    assert manifest["previous_serial"] == first.serial
    assert manifest["previous_sha256"] == first.manifest_sha256
    assert second.start == first.end
    with pytest.raises(PanopticonError, match="clock"):
        await publish_tld(press(tmp_path), ledger, TLD, TODAY, NOW - 24 * HOUR)
    assert str((tmp_path / "zz/latest").readlink()) == str(second.serial)


async def test_only_so_many_are_kept(tmp_path: Path) -> None:
    """Retention keeps the newest ``keep`` snapshots."""
    ledger = world()
    for at in range(5):
        await publish_tld(press(tmp_path), ledger, TLD, TODAY, NOW + at * HOUR)
    assert tree.serials(tmp_path / "zz") == [2026112103, 2026112104, 2026112105]


async def test_what_a_crash_left_is_swept_or_adopted(tmp_path: Path) -> None:
    """Staging and orphaned serials go; a snapshot that became latest but was not recorded is adopted into the chain."""
    ledger = world()
    first = await publish_tld(press(tmp_path), ledger, TLD, TODAY, NOW)
    (tmp_path / "zz/.staging-2026112102").mkdir()
    (tmp_path / "zz/.staging-2026112102/records.sql").write_bytes(b"half")
    (tmp_path / "zz/.latest-2026112102").symlink_to("2026112102")
    (tmp_path / "zz/2026112102").mkdir()
    ledger.publications.clear()  # the crash came between the switch and the record
    second = await publish_tld(press(tmp_path), ledger, TLD, TODAY, NOW + HOUR)
    assert [one.serial for one in ledger.publications] == [first.serial, second.serial]
    assert ledger.publications[0] == first
    assert second.serial == 2026112102
    assert sorted(path.name for path in (tmp_path / "zz").iterdir()) == ["2026112101", "2026112102", "latest"]


async def test_a_full_disk_leaves_the_old_snapshot(tmp_path: Path) -> None:
    """When nothing can be written the error says so and latest stays what it was."""
    ledger = world()
    await publish_tld(press(tmp_path), ledger, TLD, TODAY, NOW)
    before = str((tmp_path / "zz/latest").readlink())
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the root should be")
    with pytest.raises(PanopticonError, match="last snapshot stands"):
        await publish_tld(press(blocked), ledger, TLD, TODAY, NOW + HOUR)
    assert str((tmp_path / "zz/latest").readlink()) == before


def test_the_hour_is_the_tlds_own() -> None:
    """19:00 in Auckland is 06:00 UTC in summer and 07:00 UTC in winter; the next one is strictly later."""
    assert next_hour(TLD, dt.datetime(2026, 11, 21, 5, 59, tzinfo=dt.UTC)) == NOW
    assert next_hour(TLD, NOW) == NOW + 24 * HOUR
    assert next_hour(TLD, dt.datetime(2026, 7, 1, tzinfo=dt.UTC)) == dt.datetime(2026, 7, 1, 7, tzinfo=dt.UTC)


async def test_the_daily_task_publishes_at_its_hour_and_late_after_downtime(tmp_path: Path) -> None:
    """A clock that runs a day a second: three days' downtime are made up for, late, the next is not."""
    ledger = world()
    await publish_tld(press(tmp_path), ledger, TLD, TODAY, NOW)
    clock = _shifted(NOW + 75 * HOUR)
    enough = trio.Event()
    ledger.published = lambda count: enough.set() if count >= 5 else None
    with trio.move_on_after(5):
        async with trio.open_nursery() as nursery:

            async def today() -> Today:
                return TODAY

            roomy = msgspec.structs.replace(press(tmp_path), keep=9)
            nursery.start_soon(publish_daily, roomy, ledger, TLD, clock, today)
            await enough.wait()
            nursery.cancel_scope.cancel()
    late = [
        json.loads((tmp_path / f"zz/{one.serial}/manifest.json").read_bytes())["late"] for one in ledger.publications
    ]
    assert late[:5] == [False, True, True, True, False]
    assert [one.serial for one in ledger.publications][1:5] == [2026112401, 2026112402, 2026112403, 2026112501]
    assert [one.end for one in ledger.publications][1:3] == [NOW + 24 * HOUR, NOW + 48 * HOUR]


def _shifted(start: dt.datetime) -> Clock:
    """Policy time that starts at ``start`` and runs a day in two real seconds."""
    scale, real = 43_200.0, time.time()
    return Clock(dt.datetime.fromtimestamp((real * scale - start.timestamp()) / (scale - 1), dt.UTC), scale)


async def test_an_empty_tld_publishes_too(tmp_path: Path) -> None:
    """Nothing known is a valid snapshot that says so."""
    await publish_tld(press(tmp_path), Ledger(), TLD, TODAY, NOW)
    page = (tmp_path / "zz/latest/report.html").read_text()
    assert "No case was open" in page


async def test_every_state_is_judged_again_from_the_file(tmp_path: Path) -> None:
    """Replaying the published observations finds no difference, surrogates included; a changed state is found."""
    await publish_tld(press(tmp_path), world(), TLD, TODAY, NOW)
    path = tmp_path / "zz/latest/records.sql"
    assert list(replay(path)) == []
    changed = tmp_path / "records.sql"
    changed.write_text(path.read_text().replace("'unreachable','dark-this-round'", "'active','live-at-a-vantage'"))
    (difference,) = replay(changed)
    assert (difference.name, difference.replayed) == ("http://gone.zz/x", "unreachable/dark-this-round")


async def test_two_publishers_do_not_meet(tmp_path: Path) -> None:
    """While one process publishes a TLD, another is told so."""
    with tree.claim(tmp_path / "zz"), pytest.raises(PanopticonError, match="another process"):
        await publish_tld(press(tmp_path), world(), TLD, TODAY, NOW)


async def test_the_next_key_is_announced_for_thirty_days_and_then_signs(tmp_path: Path) -> None:
    """Configured, it stands in keys_next; on its day it signs, but never before readers had thirty days to see it."""
    following = SecretKey(b"87654321", b"t" * 32)
    rotating = msgspec.structs.replace(press(tmp_path), next_key=following, next_from=NOW + 20 * 24 * HOUR, keep=9)
    ledger, signed = world(), []
    for days in (0, 21, 31, 32):
        await publish_tld(rotating, ledger, TLD, TODAY, NOW + days * 24 * HOUR)
        at = (tmp_path / "zz/latest").resolve()
        manifest = json.loads((at / "manifest.json").read_bytes())
        for name, key in (("old", rotating.key), ("new", following)):
            with contextlib.suppress(RefusedError):
                verify_tree(at, [key.public])
                signed.append((name, manifest["keys_next"]))
    announced = [following.public.text]
    assert signed == [("old", announced), ("old", announced), ("new", []), ("new", [])]
    assert len(ledger.publications) == 4


def test_more_hours_a_day_and_what_was_missed() -> None:
    """Further hours are hours too; of the days missed one each is made up for, and the last hour passed."""
    often = msgspec.structs.replace(TLD, publish_also=("07:00", "01:00"))
    assert next_hour(often, NOW) == NOW + 6 * HOUR
    assert hours_between(often, NOW, NOW + 7 * HOUR) == []
    missed = hours_between(often, NOW, NOW + 61 * HOUR)
    assert missed == [NOW + 24 * HOUR, NOW + 48 * HOUR, NOW + 60 * HOUR]
    assert len(hours_between(TLD, NOW - 90 * 24 * HOUR, NOW)) == 31


async def test_a_failure_is_told_and_the_next_run_mends_it(tmp_path: Path) -> None:
    """While the root cannot be written the task says so; once it can, the day is published and the problem gone."""
    ledger, told = world(), list[str]()
    root, away = tmp_path / "root", tmp_path / "away"
    await publish_tld(press(root), ledger, TLD, TODAY, NOW)
    (root / "zz").rename(away)
    (root / "zz").write_text("a file where the directory should be")
    mended = trio.Event()

    async def today() -> Today:
        if told and away.exists():
            (root / "zz").unlink()
            away.rename(root / "zz")
        return TODAY

    def tell(task: str, problem: str) -> None:
        assert task == "publication of .zz"
        told.append(problem)
        if not problem:
            mended.set()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish_daily, press(root), ledger, TLD, _shifted(NOW + 25 * HOUR), today, tell)
            await mended.wait()
            nursery.cancel_scope.cancel()
    assert "mend the disk" in told[0]
    assert verify_tree(root / "zz" / str(ledger.publications[1].serial), [press(root).key.public]).late


async def test_the_figures_before_stand_beside_todays(tmp_path: Path) -> None:
    """The second snapshot carries the first's totals; the first has none, and the report says so of neither."""
    ledger = world()
    reports = []
    for hours in (0, 1):
        await publish_tld(press(tmp_path), ledger, TLD, TODAY, NOW + hours * HOUR)
        reports.append(json.loads((tmp_path / "zz/latest/report.json").read_bytes()))
    assert reports[0]["before"] == {"threat": "", "listed": None, "validated": None}
    assert reports[1]["before"] == reports[0]["total"]
    count = reports[0]["total"]["validated"]
    assert f"before: {count}<" in (tmp_path / "zz/latest/report.html").read_text()


async def test_old_snapshots_that_cannot_be_removed_undo_no_publication(tmp_path: Path) -> None:
    """A disk that refuses to remove an old snapshot is logged; the new one stands, and none is made in its place."""
    ledger = world()

    def obstruct(count: int) -> None:
        if count == 4:  # where the oldest of more than three would be moved to
            (tmp_path / "zz" / ".staging-2026112101" / "in the way").mkdir(parents=True)

    ledger.published = obstruct
    for hours in range(4):
        await publish_tld(press(tmp_path), ledger, TLD, TODAY, NOW + hours * HOUR)
    assert tree.serials(tmp_path / "zz") == [2026112101, 2026112102, 2026112103, 2026112104]
    await publish_tld(press(tmp_path), ledger, TLD, TODAY, NOW + 4 * HOUR)
    assert tree.serials(tmp_path / "zz") == [2026112103, 2026112104, 2026112105]
