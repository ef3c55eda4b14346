"""Replays: captured feeds joined, delegations from the zone file, most of what is noticeable alive."""

from __future__ import annotations

import datetime as dt
import gzip
from pathlib import Path

import pytest

from tests.lab.processes import LabError
from tests.lab.replay import captures, make_replay, read_indicators, registry_zones, zone_file
from tests.lab.run import clock_settings

START = dt.datetime(2026, 3, 2, 4, 0, tzinfo=dt.UTC)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of captures of a TLD ``zz`` that nobody has."""
    feeds = tmp_path / "data" / "feeds"
    (feeds / "openphish").mkdir(parents=True)
    for at in range(3):
        rows = "".join(f"http://name{number}.zz/page{at}/\n" for number in range(8)) + "http://elsewhere.test/\n"
        (feeds / "openphish" / f"feed.2026030{at}.txt").write_text(rows + "https://deep.shop.com.zz/a?b=c")
    (feeds / "phishtank").mkdir()
    header = "phish_id,url,phish_detail_url,submission_time,verified,verification_time,online,target\n"
    for at in range(2):
        row = f"{at},http://gone.zz/{at},http://phish.example/,2026-03-01T00:00:00+00:00,yes,2026-03-01T00:00:00+00:00,yes,Other\n"
        (feeds / "phishtank" / f"verified.{at}.csv").write_text(header + row)
    (tmp_path / "data" / "zones").mkdir()
    zone = "zz.\t3600\tIN\tSOA\tns.nic.zz. host.nic.zz. 1 1800 900 1209600 3600\nzz.\t3600\tIN\tNS\tns.nic.zz.\n"
    zone += "".join(f"name{number}.zz.\t3600\tIN\tNS\tns1.hosting.example.\n" for number in range(6))
    with gzip.open(tmp_path / "data" / "zones" / "zz.2026-03-01.zone.gz", "wt") as out:
        out.write("$ORIGIN zz.\n" + zone)
    (tmp_path / "data" / "psl").mkdir()
    (tmp_path / "data" / "psl" / "public_suffix_list.dat").write_text(
        "zz\ncom.zz\n// ===END ICANN DOMAINS===\npages.zz\n"
    )
    return tmp_path / "data"


def test_captures_of_one_feed_become_one_body(data: Path, tmp_path: Path) -> None:
    """All captures of a series are served as one feed, with a header they share once, and none lost at a missing newline."""
    found = {feed.name: path for path, feed in captures(data / "feeds", tmp_path / "joined")}
    assert len(found) == 2
    lists = next(path for name, path in found.items() if "openphish" in name).read_text().splitlines()
    assert len(lists) == 3 * 10
    table = next(path for name, path in found.items() if "phishtank" in name).read_text().splitlines()
    assert len(table) == 3
    assert sum(line.startswith("phish_id") for line in table) == 1


def test_the_zone_decides_and_most_hosts_live(data: Path, tmp_path: Path) -> None:
    """A name is delegated exactly when the zone file has it, registry zones aside, and at least half of those are alive."""
    captured = list(captures(data / "feeds", tmp_path / "joined"))
    zones = registry_zones(data, "zz")
    assert zones == ("com.zz",)
    indicators = read_indicators(captured, "zz", zones)
    world = make_replay(1, "zz", zone_file(data, "zz"), zones, captured, indicators, START)
    kinds = {domain.name: domain.delegation[0].kind for domain in world.domains}
    assert "shop.com.zz" in kinds
    assert {name for name, kind in kinds.items() if kind == "delegated"} - {"shop.com.zz"} == {
        f"name{number}.zz" for number in range(6)
    }
    assert kinds["gone.zz"] == "absent"
    alive = [
        any(host.timeline[0].page == "kit" and host.timeline[0].link == "up" for host in domain.hosts)
        for domain in world.domains
        if kinds[domain.name] == "delegated"
    ]
    assert sum(alive) * 2 >= len(alive)
    assert set(world.feed_files) == {feed.name for feed in world.feeds}


def test_a_folder_of_something_else_is_refused_in_one_sentence(tmp_path: Path) -> None:
    """Without captures or without the TLD's zone there is nothing to replay."""
    with pytest.raises(LabError, match="no captured feed"):
        list(captures(tmp_path, tmp_path / "joined"))
    with pytest.raises(LabError, match=r"no zone of \.zz"):
        zone_file(tmp_path, "zz")


def test_the_clock_starts_and_ends_where_it_should() -> None:
    """Policy time is the world's start when the run begins and the last publication when it ends."""
    epoch, scale = clock_settings(START, START + dt.timedelta(hours=70), 100.0, begins=1_000_000.0)

    def policy(real: float) -> float:
        return epoch.timestamp() + (real - epoch.timestamp()) * scale

    assert policy(1_000_000.0) == pytest.approx(START.timestamp(), abs=1.0)
    assert policy(1_000_100.0) == pytest.approx(START.timestamp() + 70 * 3600, abs=1.0)
