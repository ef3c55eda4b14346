"""Every captured feed through a running daemon: no victim's e-mail address is in its store, snapshots, reports or log.

For the TLDs whose phishing links carry most addresses. Without the captures there is no test here; no captured name is
resolved or fetched.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import sqlite3
import time
from pathlib import Path

import pytest
import trio

from panopticond.shared.clock import UTC
from tests.integration.made import ended
from tests.integration.unreachable import configure, start
from tests.lab.addresses import addresses_of, found_in
from tests.lab.replay import captures
from tests.panopticond.feeds.test_captures import FEEDS

pytestmark = pytest.mark.lab

TLDS = ("au", "biz", "br", "by", "ge", "in", "jp", "lu", "monster", "ro", "sk", "tokyo", "tz", "za")
REAL_SECONDS = 16.0
"""Until the publication: time to read every feed once."""

if FEEDS.is_dir():

    async def test_no_address_of_a_feed_is_kept(tmp_path: Path) -> None:
        """Hundreds of addresses stood in the links it took; it masked them, and none is found, however it is decoded."""
        state = tmp_path / "state"
        state.mkdir()
        captured = list(captures(FEEDS, tmp_path / "joined"))
        feeds = [
            {"name": feed.name, "url": str(path), "format": feed.format, "threat": feed.threat, "trust": "reputable"}
            for path, feed in captured
        ]
        scale, publish = 600.0, dt.datetime.now(UTC).replace(second=0, microsecond=0)
        begins = time.time() + REAL_SECONDS
        epoch = dt.datetime.fromtimestamp((scale * begins - publish.timestamp()) / (scale - 1), UTC)
        configure(state, TLDS, feeds, clock=(epoch, scale), publish_at=f"{publish:%H:%M}")
        process = start(state)
        try:
            with trio.fail_after(90):
                while len(list(state.glob("published/*/latest/report.json"))) < len(TLDS):
                    assert process.poll() is None, (state / "log").read_text()
                    await trio.sleep(0.2)
            assert await ended(process) == 0
        finally:
            process.kill()
        addresses = addresses_of(path for path, _ in captured)
        kept = [path for path in state.rglob("*") if path.is_file() and not path.is_symlink()]
        assert len(addresses) > 500
        assert len(kept) > 5 * len(TLDS)
        with contextlib.closing(sqlite3.connect(state / "panopticon.db")) as database:
            ((indicators, altered),) = database.execute("SELECT count(*), sum(altered) FROM indicator")
        reports = [json.loads(path.read_bytes()) for path in state.glob("published/*/latest/report.json")]
        assert all(len(report["feeds"]) == len(captured) for report in reports)
        assert indicators > 4000
        assert altered > 80
        assert found_in(addresses, kept) == {}
