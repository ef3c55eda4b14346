"""The first hour: both onboard commands on the lab's internet, and what they print followed to the letter."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent.parent


def run(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command of ours, as a person at a terminal starts it."""
    program, *rest = words
    done = subprocess.run(
        [sys.executable, "-m", program, *rest], cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120
    )
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def internet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """`make internet` for the length of this module: the folder with the two configuration files and the zone."""
    out = tmp_path_factory.mktemp("i") / "internet-out"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.lab", "internet", "--seed", "11", "--out", str(out)],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        assert "is up" in process.stderr.readline()
        yield out
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        process.stderr.close()


@pytest.fixture(scope="module")
def collector(internet: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """`panopticond onboard zz` there: its folder and what it printed."""
    out = tmp_path_factory.mktemp("p") / "zz"
    done = run("panopticond", "onboard", "zz", "--out", str(out), "--like", str(internet / "panopticond.toml"))
    return out, done.stdout


def test_a_first_report_and_a_configuration_that_is_good(internet: Path, collector: tuple[Path, str]) -> None:
    """Every feed visited, every indicator looked at, a report with findings, secrets closed, nothing written elsewhere."""
    out, said = collector
    feeds = re.findall(r"^feed (\S+): (\S+), (\d+) of (\d+) rows in scope", said, re.MULTILINE)
    assert len(feeds) >= 5
    assert {state for _, state, _, _ in feeds} == {"OK"}
    looked = re.search(r"looked at (\d+) of (\d+) indicators from 2 vantages", said)
    assert looked is not None
    assert looked[1] == looked[2] != "0"
    published = sqlite3.connect(":memory:")
    published.executescript((out / "repository" / "zz" / "latest" / "records.sql").read_text())
    seen = published.execute("SELECT COUNT(DISTINCT indicator) FROM observation").fetchone()[0]
    published.close()
    assert str(seen) == looked[1], "the first report holds every round that was made for it"
    assert re.search(r"^what it fetches: http://127\.0\.0\.1:\d+/zz/latest/records\.sql", said, re.MULTILINE)
    report = (out / "first-report.html").read_text()
    assert ".zz" in report
    assert json.loads((out / "repository" / "zz" / "latest" / "report.json").read_bytes())["threats"]
    assert [oct(path.stat().st_mode & 0o777) for path in (out / "panopticon.key", out / "secrets" / "zz")] == [
        "0o600"
    ] * 2
    assert run("panopticond", "check-config", "-c", str(out / "panopticond.toml")).stdout.endswith("2 vantages\n")
    again = run(
        "panopticond", "onboard", "zz", "--out", str(out), "--like", str(internet / "panopticond.toml"), check=False
    )
    assert again.returncode == 1
    assert "is there already; give another --out" in again.stderr


def test_what_it_prints_starts_the_daemon_and_shows_its_status(collector: tuple[Path, str]) -> None:
    """The lines `start:` and `watch:`, word for word."""
    _, said = collector
    lines = {name: shlex.split(words) for name, words in re.findall(r"^(start|watch): +(\S.*)$", said, re.MULTILINE)}
    daemon = subprocess.Popen(
        [sys.executable, "-m", *lines["start"]], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True
    )
    assert daemon.stderr is not None
    try:
        assert any("ready: " in line for line in daemon.stderr)
        page = run(*lines["watch"]).stdout
        assert page.startswith("panopticond ")
        assert re.search(r"^zz +20\d{8} ", page, re.MULTILINE)
    finally:
        daemon.send_signal(signal.SIGTERM)
        assert daemon.wait(20) == 0
        daemon.stderr.close()


def test_arke_from_a_tld_a_key_and_a_zone(internet: Path, collector: tuple[Path, str], tmp_path: Path) -> None:
    """Look-alikes of the zone, drafts of the notices due, a good configuration that sends nothing; then its own lines."""
    operator, said = collector
    key = re.search(r"this key: (RW\S+)", said)
    assert key is not None
    out, zone = tmp_path / "a", internet / "registry.zone"
    records = operator / "repository" / "zz" / "latest" / "records.sql"
    words = ["arke", "onboard", "zz", "--key", key[1], "--zone", str(zone), "--like", str(internet / "arke.json")]
    done = run(*words, "--records", str(records), "--out", str(out))
    assert re.search(
        r"^look-alikes: [1-9]\d* names of the zone imitate somebody or look generated", done.stdout, re.MULTILINE
    )
    drafts = list((out / "drafts").glob("*.eml"))
    assert drafts
    assert re.search(r"^[1-9]\d* cases have notices due", done.stdout, re.MULTILINE)
    assert "nothing is sent" in run("arke", "check-config", "-c", str(out / "arke.json")).stdout
    assert json.loads((out / "arke.json").read_bytes())["dry_run"] is True
    start = shlex.split(re.findall(r"^start: +(\S.*?)  ", done.stdout, re.MULTILINE)[0])
    daemon = subprocess.Popen([sys.executable, "-m", *start], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    assert daemon.stderr is not None
    try:
        assert any("accepted" in line for line in daemon.stderr)
        page = run("arke", "status", "-c", str(out / "arke.json")).stdout
        assert "sends nothing (drafts only)" in page
        assert "snapshot   .zz: 20" in page
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.communicate(timeout=20)
    assert daemon.returncode == 0


def test_arke_without_records_looks_at_the_zone_alone(internet: Path, tmp_path: Path) -> None:
    """A key and a zone are enough to begin with; the zone of another TLD, or a key that is none, is refused."""
    key = json.loads((internet / "arke.json").read_bytes())["keys"][0]
    like, zone = ["--like", str(internet / "arke.json")], str(internet / "registry.zone")
    done = run("arke", "onboard", "zz", "--key", key, "--zone", zone, *like, "--out", str(tmp_path / "a"))
    assert "to be named:   records" in done.stdout
    assert (tmp_path / "a" / "state" / "review.csv").stat().st_size > 100
    other = run("arke", "onboard", "yy", "--key", key, "--zone", zone, *like, "--out", str(tmp_path / "b"), check=False)
    assert other.returncode == 2
    assert "is the zone of .zz, not of .yy" in other.stderr
    words = ["--records", str(tmp_path / "none" / "records.sql"), "--out", str(tmp_path / "d")]
    absent = run("arke", "onboard", "zz", "--key", key, "--zone", zone, *like, *words, check=False)
    assert absent.returncode == 1
    assert "none" in absent.stderr
    assert "configuration: " in absent.stdout
    assert run("arke", "check-config", "-c", str(tmp_path / "d" / "arke.json")).returncode == 0
    bad = run(
        "arke", "onboard", "zz", "--key", "RWno", "--zone", zone, *like, "--out", str(tmp_path / "c"), check=False
    )
    assert bad.returncode == 2
    assert "keys[0]" in bad.stderr
    assert not (tmp_path / "c" / "arke.json").exists()


def test_no_feed_answers(tmp_path: Path) -> None:
    """Without a network the configuration stands, the report says that every feed is dead, and the status is 1."""
    like = tmp_path / "like.toml"
    like.write_text(
        'lab = true\n[[tld]]\nname = "zz"\nservers = ["127.0.0.1:9"]\n[[feed]]\nname = "own"\nurl = "http://127.0.0.1:9/f"\n'
        'format = "url-list"\nthreat = "phishing"\n[[vantage]]\nname = "a"\ncountry = "NZ"\n[[vantage]]\nname = "b"\n'
        'country = "DE"\n[tranco]\nenabled = false\n[quad9]\nfiltered = ["127.0.0.1:9"]\nunfiltered = ["127.0.0.1:9"]\n'
    )
    began = time.monotonic()
    done = run("panopticond", "onboard", "ZZ.", "--out", str(tmp_path / "p"), "--like", str(like), check=False)
    assert done.returncode == 1, done.stderr
    assert "feed own: UNREACHABLE" in done.stdout
    assert "no feed answered: it can only say that" in done.stdout
    assert (tmp_path / "p" / "first-report.html").is_file()
    assert run("panopticond", "check-config", "-c", str(tmp_path / "p" / "panopticond.toml")).returncode == 0
    assert time.monotonic() - began < 100


@pytest.mark.parametrize(
    ("tld", "folder", "word"),
    [
        ("no such tld", "q", "TLD: "),
        ("com.zz", "q", "TLD: "),
        ("../zz", "q", "TLD: "),
        ("zz", "q\n[tld]", "--out: "),
        ("zz", "q\udcff", "--out: "),
    ],
)
def test_what_no_configuration_can_hold_is_refused(tmp_path: Path, tld: str, folder: str, word: str) -> None:
    """No TLD, or a directory whose name would break the file or the terminal: one sentence, and nothing written."""
    wrong = run("panopticond", "onboard", tld, "--out", str(tmp_path / folder), check=False)
    assert wrong.returncode == 2
    assert word in wrong.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_name_in_its_own_script_and_what_is_there_already(tmp_path: Path) -> None:
    """A U-label is its A-label everywhere; a key and a password that were handed out stay what they are."""
    like = tmp_path / "like.toml"
    like.write_text(
        'lab = true\n[[vantage]]\nname = "a"\ncountry = "NZ"\n[[vantage]]\nname = "b"\ncountry = "DE"\n'
        '[dns]\nroots = ["127.0.0.1:9"]\n[tranco]\nenabled = false\n[quad9]\nfiltered = ["127.0.0.1:9"]\nunfiltered = ["127.0.0.1:9"]\n'
    )
    out = tmp_path / "a b'\U0001f600"
    (out / "secrets").mkdir(parents=True)
    (out / "secrets" / "xn--p1ai").write_text("handed out\n")
    (out / "secrets" / "xn--p1ai").chmod(0o600)
    done = run("panopticond", "onboard", "\u0440\u0444", "--out", str(out), "--like", str(like), check=False)
    assert done.returncode == 1, done.stderr  # no feed to answer
    assert "key: RW" in done.stdout
    assert (out / "secrets" / "xn--p1ai").read_text() == "handed out\n"
    assert (out / "repository" / "xn--p1ai" / "latest" / "records.sql").is_file()
    start = re.search(r"^start: +(\S.*)$", done.stdout, re.MULTILINE)
    assert start is not None
    assert shlex.split(start[1])[-1] == str(out / "panopticond.toml")
