"""The Web Risk probe against a loopback server."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
import trio

from panopticond.probe.webrisk import WebRisk
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.http import Http
from tests.panopticond.webservers import answer, listen, site

NOW = dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)
LISTED = b'{"threat":{"threatTypes":["MALWARE","SOCIAL_ENGINEERING"],"expireTime":"2026-11-21T20:31:45.045123456Z"}}'


@pytest.fixture
def key(tmp_path: Path) -> str:
    (tmp_path / "key").write_text("K-1\n")
    return str(tmp_path / "key")


async def test_outcomes_and_the_request(nursery: trio.Nursery, key: str) -> None:
    """Listed with types and expiry, not listed, and unusable answers; the key travels in a header only."""
    seen: list[tuple[str, dict[str, str]]] = []
    answers = {"listed": LISTED, "clean": b"{}", "html": b"<html>", "odd": b'{"threat":{}}', "list": b"[]"}

    def serve(path: str, headers: dict[str, str]) -> bytes:
        seen.append((path, headers))
        name = path.rpartition("%2F")[2]
        return answer(200, answers[name]) if name in answers else answer(500)

    url = f"http://127.0.0.1:{await listen(nursery, site(serve))}"
    probe = WebRisk(Http("panopticon-test/1"), key_file=key, url=url, rate_per_second=1000)
    found = await probe.check("http://a.zz:8080//x/../listed#top", NOW)
    assert (found.outcome, found.target) == ("listed", "http://a.zz:8080//x/../listed#top")
    assert found.detail == {"threats": "MALWARE SOCIAL_ENGINEERING", "expires": "2026-11-21T20:31:45Z"}
    path, headers = seen[0]
    assert path.endswith("&threatTypes=UNWANTED_SOFTWARE&uri=http%3A%2F%2Fa.zz%2Flisted")
    assert (headers["x-goog-api-key"], "K-1" in path) == ("K-1", False)
    assert (await probe.check("http://a.zz/clean", NOW)).outcome == "not-listed"
    for name, reason in (("html", "not-json"), ("odd", "malformed-answer"), ("list", "not-json"), ("x", "status-500")):
        found = await probe.check(f"http://a.zz/{name}", NOW)
        assert (found.outcome, found.detail["reason"]) == ("indeterminate", reason)
    assert (await probe.check("mailto:x", NOW)).detail["reason"] == "malformed"


async def test_budget_and_pause(nursery: trio.Nursery, key: str) -> None:
    """The day's budget and a 429 stop the asking; the next day, or the end of the pause, starts it again."""
    status = [200]
    count = [0]

    def serve(_path: str, _headers: dict[str, str]) -> bytes:
        count[0] += 1
        return answer(status[0], b"{}")

    url = f"http://127.0.0.1:{await listen(nursery, site(serve))}"
    probe = WebRisk(Http("panopticon-test/1"), key_file=key, url=url, daily_budget=2, rate_per_second=1000)
    outcomes = [(await probe.check("http://a.zz/", NOW)).detail.get("reason") for _ in range(3)]
    assert (outcomes, probe.used, count[0]) == ([None, None, "budget"], 2, 2)
    tomorrow = NOW + dt.timedelta(days=1)
    status[0] = 429
    reasons = [(await probe.check("http://a.zz/", tomorrow)).detail.get("reason") for _ in range(2)]
    assert (reasons, count[0]) == (["status-429", "status-429"], 3)
    status[0] = 200
    assert (await probe.check("http://a.zz/", tomorrow + dt.timedelta(hours=7))).outcome == "not-listed"


async def test_without_a_key_or_a_server(key: str, tmp_path: Path) -> None:
    """No key: never asked. No server: indeterminate. An unusable key file is a configuration error."""
    http = Http("panopticon-test/1")
    assert (await WebRisk(http, key_file=None).check("http://a.zz/", NOW)).detail["reason"] == "no-key"
    found = await WebRisk(http, key_file=key, url="http://127.0.0.1:1").check("http://a.zz/", NOW)
    assert (found.outcome, found.detail["reason"]) == ("indeterminate", "unreachable")
    (tmp_path / "empty").write_text(" \n")
    for name in ("empty", "none"):
        with pytest.raises(ConfigurationError):
            WebRisk(http, key_file=str(tmp_path / name))
