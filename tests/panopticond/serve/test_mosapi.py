"""MoSAPI over real HTTP: every code of the reference, sessions, the figures of the snapshot, the state of the service."""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hypercorn
import hypercorn.trio
import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from panopticond.config import Account, Config, MosApiSettings, Serve, Tld, check
from panopticond.serve.accounts import FAILURES_ALLOWED, Accounts
from panopticond.serve.app import application
from panopticond.serve.domainlists import Dated, Published, by_day
from panopticond.serve.mosapi import MosApi
from panopticond.shared.clock import rfc3339
from panopticond.shared.records import read_tables
from panopticond.snapshot.publish import Today, publish_tld
from tests.panopticond.serve.mosapiclient import MosapiClient
from tests.panopticond.serve.test_sessions import Seconds
from tests.panopticond.snapshot.ledger import FEEDS, HOUR, NOW, TLD, feed, press, round_at, world

LATEST = "metrica/domainList/latest"
NOT_AUTHENTICATED = "The client could not be authenticated using any of the available methods: TLS-Client-Authentication or Session Cookie."
PUBLISHED_AT = (NOW, NOW + 24 * HOUR, NOW + 30 * HOUR)
ALL_FEEDS = (*FEEDS, *(msgspec.structs.replace(feed(name), threat=name) for name in ("malware", "botnetCc")))


class House:
    """The published tree, and the server's two clocks, which the test sets."""

    def __init__(self, root: Path, nursery: trio.Nursery) -> None:
        self.root, self.nursery = root, nursery
        self.seconds, self.now = Seconds(), NOW + 31 * HOUR
        self.ledger = world()

    async def publish(self, times: Sequence[dt.datetime], tld: Tld = TLD) -> None:
        """After the first time, one indicator alone was checked since: too few to say anything."""
        ledger = self.ledger
        for now in times:
            if now > NOW:
                uri = "http://remedy.zz/login?x='1"
                ledger.kept_rounds[2].append(round_at(now - HOUR, uri, "remedy.zz", "remedy.zz"))
            await publish_tld(press(self.root), ledger, tld, Today(ALL_FEEDS), now)  # type: ignore[arg-type]

    async def serve(self, counts: str = "validated", **settings: Any) -> int:
        """The port of a server on this tree."""
        tlds = []
        for name, password in (("zz", "right"), ("yy", "other")):
            (self.root.parent / name).write_text(password + "\n")
            tlds.append(Tld(name=name, accounts=(Account(f"{name}-manager", str(self.root.parent / name)),)))
        accounts = Accounts.of(tlds)
        published = Published(self.root, counts=counts)
        mosapi = MosApi(published, accounts, MosApiSettings(**settings), now=lambda: self.now, seconds=self.seconds)
        hyper = hypercorn.Config()
        hyper.bind, hyper.accesslog, hyper.errorlog = ["127.0.0.1:0"], None, None
        app: Any = application(self.root, accounts, mosapi)
        urls = await self.nursery.start(_serve, app, hyper)
        return int(urls[0].rpartition(":")[2])


async def _serve(app: Any, hyper: Any, *, task_status: trio.TaskStatus[list[str]]) -> None:
    await hypercorn.trio.serve(app, hyper, shutdown_trigger=trio.sleep_forever, mode="asgi", task_status=task_status)


@pytest.fixture
def house(tmp_path: Path, nursery: trio.Nursery) -> House:
    return House(tmp_path / "root", nursery)


@pytest.fixture
async def client(house: House) -> MosapiClient:
    """Signed in, to a tree of one sound day (2026-11-21) and one on which nothing was checked (two snapshots)."""
    await house.publish(PUBLISHED_AT)
    client = MosapiClient(await house.serve())
    assert (await client.login()).status == 200
    return client


@pytest.mark.parametrize(("method", "body"), [("GET", b""), ("POST", b""), ("POST", b"a=b")])
async def test_login_and_logout(house: House, method: str, body: bytes) -> None:
    """Login by GET or POST gives 40 hexadecimal digits for 15 minutes; logout ends it and clears the cookie."""
    client = MosapiClient(await house.serve())
    reply = await client.login(method, body)
    assert (reply.status, reply.text, reply.headers["content-type"]) == (
        200,
        "Login successful",
        "text/plain; charset=utf-8",
    )
    assert client.cookie is not None
    assert len(bytes.fromhex(client.cookie)) == 20
    assert client.cookie_path == "/ry/zz"
    expires = email.utils.parsedate_to_datetime(reply.headers["set-cookie"].split("Expires=")[1].split(";")[0])
    left = expires - dt.datetime.now(dt.UTC)
    assert dt.timedelta(minutes=14) < left <= dt.timedelta(minutes=15)
    assert (await client.get("monitoring/state")).status == 200
    reply = await client.logout(method)
    assert (reply.status, reply.text) == (200, "Logout successful")
    assert reply.headers["set-cookie"] == "id=id; Expires=Thu, 01-Jan-1970 00:00:10 GMT; Path=/ry/zz; Secure; HttpOnly"
    assert (await client.get("monitoring/state")).status == 401
    assert (await client.logout()).status == 401


@pytest.mark.parametrize("user", ["zz-manager:wrong", "nobody:right", "yy-manager:other", "zz-manager"])
async def test_wrong_credentials(house: House, user: str) -> None:
    """A wrong password, an unknown account and another TLD's account are 401 without a cookie."""
    reply = await MosapiClient(await house.serve(), user=user).login()
    assert reply.status == 401
    assert "set-cookie" not in reply.headers


async def test_guessing_is_429(house: House) -> None:
    """After five failures even the right password waits, and is told how long."""
    port = await house.serve()
    for _ in range(FAILURES_ALLOWED):
        assert (await MosapiClient(port, user="zz-manager:guess").login()).status == 401
    reply = await MosapiClient(port).login()
    assert reply.status == 429
    assert 0 < int(reply.headers["retry-after"]) <= 61


async def test_without_a_session_everything_is_401(client: MosapiClient) -> None:
    """No cookie, a made-up one, Basic alone, another TLD's session: 401 and the text ICANN's server sends."""
    basic = {"authorization": "Basic enotbWFuYWdlcjpyaWdodA=="}
    for headers in ({"cookie": ""}, {"cookie": "id=" + "0" * 40}, {"cookie": "id=id"}, {"cookie": "", **basic}):
        for path in (LATEST, "metrica/domainLists", "monitoring/state", "nothing"):
            reply = await client.ask(f"/ry/zz/v2/{path}", headers=headers)
            assert (reply.status, reply.text.strip()) == (401, NOT_AUTHENTICATED)
    for tld in ("yy", "xx", "ZZ", "zz.."):
        reply = await client.ask(f"/ry/{tld}/v2/{LATEST}", headers={"cookie": f"id={client.cookie}"})
        assert (reply.status, reply.text.strip()) == (401, NOT_AUTHENTICATED)
    assert (await client.ask("/ry/", headers=basic)).status == 401


async def test_a_session_ends_after_fifteen_minutes(client: MosapiClient, house: House) -> None:
    """Use does not prolong it."""
    for _ in range(3):
        house.seconds.now += 299
        assert (await client.get(LATEST)).status == 200
    house.seconds.now += 4
    assert (await client.get(LATEST)).status == 401
    assert (await client.logout()).status == 401


@pytest.mark.parametrize("allowed", [1, 3])
async def test_one_session_too_many_ends_the_oldest(house: House, allowed: int) -> None:
    """Of N + 1 logins the first is out, the others are in."""
    port = await house.serve(sessions_per_account=allowed)
    clients = [MosapiClient(port) for _ in range(allowed + 1)]
    for client in clients:
        await client.login()
    statuses = [(await client.get("monitoring/state")).status for client in clients]
    assert statuses == [401] + [200] * allowed


async def test_addresses_not_on_the_list_are_403(house: House) -> None:
    """Login, logout and resources alike; a listed network passes."""
    client = MosapiClient(await house.serve(allow_networks=("192.0.2.0/24", "2001:db8::/32")))
    assert (await client.login()).status == 403
    assert (await client.logout()).status == 403
    assert (await client.get(LATEST)).status == 403
    client = MosapiClient(await house.serve(allow_networks=("192.0.2.0/24", "127.0.0.0/8")))
    assert (await client.login()).status == 200


def test_a_network_that_is_none_is_a_configuration_error() -> None:
    """check-config names it with its path."""
    serve = Serve(mosapi=MosApiSettings(allow_networks=("192.0.2.1", "192.0.2.1/24", "office")))
    problems = [
        problem for problem in check(Config(tld=(Tld(name="zz"),), serve=serve)) if problem.startswith("serve.")
    ]
    assert [problem.partition(":")[0] for problem in problems] == [
        f"serve.mosapi.allow_networks[{at}]" for at in (1, 2)
    ]


async def test_latest_is_the_newest_snapshot(client: MosapiClient) -> None:
    """Its ``to`` names the day; Last-Modified is when it was issued; a copy that is current is 304."""
    reply = await client.get(LATEST)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert reply.headers["last-modified"] == "sun, 22 nov 2026 12:00:00 gmt".title().replace("Gmt", "GMT")
    assert reply.json["domainListDate"] == "2026-11-22"
    assert (await client.get(LATEST, if_modified_since=reply.headers["last-modified"])).status == 304
    assert (await client.get(LATEST, if_modified_since="Sat, 21 Nov 2026 06:00:00 GMT")).status == 200
    assert (await client.get(LATEST, if_modified_since="yesterday")).status == 200
    head = await client.ask(f"/ry/zz/v2/{LATEST}", "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(reply.body)))


async def test_a_day_says_what_the_records_say(client: MosapiClient, house: House) -> None:
    """Counts and names equal those counted from records.sql; unique domains are those of all types together."""
    reply = await client.get("metrica/domainList/2026-11-21")
    assert reply.status == 200
    tables = read_tables(house.root / "zz/2026112101/records.sql")
    valid: dict[str, set[str]] = {threat: set() for threat in ("phishing", "malware", "botnetCc")}
    for row in [*tables["uri"], *(host for host in tables["host"] if host.indicator)]:
        for threat in row.threats.split() if row.validated else ():
            valid[threat].add(row.domain)
    assert len(valid["phishing"]) >= 3
    assert valid["botnetCc"] == {"botnet.zz"}
    expected = [
        {"threatType": name, "count": len(valid[name]), "domains": sorted(valid[name])}
        for name in ("phishing", "malware", "botnetCc")
    ]
    assert reply.json == {
        "version": 2,
        "tld": "zz",
        "domainListDate": "2026-11-21",
        "uniqueAbuseDomains": len(set.union(*valid.values())),
        "domainListData": [*expected, {"threatType": "spam", "count": -1, "domains": []}],
        "domainsInZone": 40_000,
    }
    aggregates = json.loads((house.root / "zz/2026112101/aggregates.json").read_bytes())["aggregates"]
    figures = {row["threat"]: row["value"] for row in aggregates if row["name"] == "validated_domains"}
    assert {item["threatType"]: item["count"] for item in reply.json["domainListData"]} == {
        name: value for name, value in figures.items() if name
    }


async def test_a_day_without_checks_counts_minus_one(client: MosapiClient) -> None:
    """Under half of the due checks made: every type -1, no names; of two snapshots that day the later one counts."""
    report = (await client.get("metrica/domainList/2026-11-22")).json
    assert report == (await client.get(LATEST)).json
    assert {(item["count"], tuple(item["domains"])) for item in report["domainListData"]} == {(-1, ())}
    assert report["uniqueAbuseDomains"] == -1


MALFORMED_DAYS = [
    "2026-11-20",
    "2026-02-30",
    "2026-11-1",
    "20261121",
    "yesterday",
    "",
    "2026-11-21/",
    "%32026-11-21",
    "../latest",
    "2026-11-21.json",
    "a" * 500,
]


def test_a_snapshot_without_an_interval_replaces_no_day() -> None:
    """Published again before anything was checked, it says nothing of the day that the one before has not said."""
    rows = [Dated(2026112101, NOW - 24 * HOUR, NOW, NOW), Dated(2026112102, NOW, NOW, NOW + HOUR)]
    assert [one.serial for one in by_day(rows).values()] == [2026112101]
    later = Dated(2026112103, NOW, NOW + 2 * HOUR, NOW + 3 * HOUR)
    assert [one.serial for one in by_day([*rows, later]).values()] == [2026112103]
    assert [one.serial for one in by_day(rows[1:]).values()] == [2026112102]


async def test_days_without_a_report_and_malformed_days_are_404(client: MosapiClient) -> None:
    """A day nobody published, one that does not exist and any other text in the path."""
    for day in MALFORMED_DAYS:
        assert (await client.get(f"metrica/domainList/{day}")).status == 404, day


async def test_the_list_of_reports(client: MosapiClient) -> None:
    """Oldest first, one a day, made when the day's last snapshot was issued; both bounds included, either alone."""
    lists = (await client.get("metrica/domainLists")).json
    first, second = lists["domainLists"]
    assert lists == {"version": 2, "tld": "zz", "domainLists": [first, second]}
    assert first == {"domainListDate": "2026-11-21", "domainListGenerationDate": rfc3339(NOW)}
    assert second == {"domainListDate": "2026-11-22", "domainListGenerationDate": rfc3339(PUBLISHED_AT[2])}
    for query, expected in (
        ("startDate=2026-11-22", [second]),
        ("endDate=2026-11-21", [first]),
        ("startDate=2026-11-21&endDate=2026-11-22", [first, second]),
        ("startDate=2020-01-01&endDate=2026-11-20", []),
        ("other=1", [first, second]),
    ):
        assert (await client.get(f"metrica/domainLists?{query}")).json["domainLists"] == expected


WRONG_QUERIES = (
    ("startDate=2026-11-22&endDate=2026-11-21", "2012"),
    ("startDate=22-11-2026", "2013"),
    ("startDate=", "2013"),
    ("startDate=2026-02-29", "2013"),
    ("startDate=2026-11-21&startDate=2026-11-22", "2013"),
    ("startDate=x&endDate=x", "2013"),
    ("endDate=2026-11-1", "2014"),
    ("startDate=2026-11-21&endDate=tomorrow", "2014"),
    ("a=" + "b" * 2000, "2013"),
)


async def test_wrong_queries_are_400_with_a_result_code(client: MosapiClient) -> None:
    """The body says which rule was broken, the code as text."""
    for query, code in WRONG_QUERIES:
        reply = await client.get(f"metrica/domainLists?{query}")
        assert (reply.status, reply.headers["content-type"]) == (400, "application/json; charset=utf-8")
        assert set(reply.json) == {"resultCode", "message", "description"}
        assert reply.json["resultCode"] == code, query


ENCODINGS = (
    ("", False),
    ("gzip", True),
    ("br, gzip, deflate", True),
    ("br", False),
    ("gzip;q=0", False),
    ("*", True),
    ("*;q=0.1, gzip;q=0", False),
    ("gzip;q=x", False),
)


async def test_gzip_only_when_asked_and_never_brotli(client: MosapiClient) -> None:
    """The same JSON either way."""
    plain = await client.get("metrica/domainList/2026-11-21")
    for accepted, packed in ENCODINGS:
        reply = await client.get("metrica/domainList/2026-11-21", **({"accept_encoding": accepted} if accepted else {}))
        assert reply.headers.get("content-encoding") == ("gzip" if packed else None), accepted
        assert reply.json == plain.json


async def test_other_methods_and_paths(client: MosapiClient) -> None:
    """405 says what is allowed; what is not of this interface is 404; DAAR-era names are off by default."""
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        reply = await client.ask(f"/ry/zz/v2/{LATEST}", method)
        assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
    assert (await client.ask("/ry/zz/login", "DELETE")).status == 401  # who is there comes before what he may do
    assert (await client.login("DELETE")).headers["allow"] == "GET, POST"
    assert (await client.ask("/ry/zz/logout", "PUT")).status == 405
    for path in (
        "",
        "v1/metrica/domainList/latest",
        "v2",
        "v2/monitoring/dns/alarmed",
        "v2/metrica/domainLists/",
        "v2/daar/report/latest",
        "login/",
        "v2/../v2/metrica/domainList/latest",
    ):
        assert (await client.ask(f"/ry/zz/{path}")).status == 404, path


async def test_the_repository_is_still_there(client: MosapiClient) -> None:
    """Beside /ry/ the published files answer to Basic, not to a session; switched off, /ry/ is the repository's 401."""
    basic = {"authorization": "Basic enotbWFuYWdlcjpyaWdodA=="}
    assert (await client.ask("/zz/latest/manifest.json", headers=basic)).status == 200
    assert (await client.ask("/zz/latest/manifest.json", headers={"cookie": f"id={client.cookie}"})).status == 401


async def test_daar_names_when_configured(house: House) -> None:
    """The alias answers with counts alone."""
    await house.publish(PUBLISHED_AT[:1])
    client = MosapiClient(await house.serve(daar_alias=True))
    await client.login()
    reply = await client.get("daar/report/latest")
    assert reply.status == 200
    assert reply.json["daarReportDate"] == "2026-11-21"
    assert {"threatType": "spam", "count": -1} in reply.json["daarReportData"]
    assert b".zz" not in reply.body
    assert (await client.get("daar/report/2026-11-21")).json == reply.json
    assert (await client.get("daar/reports?startDate=2026-11-21")).json["daarReports"] == [
        {"daarReportDate": "2026-11-21", "daarReportGenerationDate": rfc3339(NOW)}
    ]
    assert (await client.get("daar/reports?endDate=x")).json["resultCode"] == "2014"


async def test_listed_counts_as_daar_did(house: House) -> None:
    """Every listed domain, validated or not; one a licence withholds is counted but not named."""
    await house.publish(PUBLISHED_AT[:1])
    client = MosapiClient(await house.serve("listed"))
    await client.login()
    report = (await client.get(LATEST)).json
    phishing = report["domainListData"][0]
    assert "new.zz" in phishing["domains"]
    assert phishing["count"] == len(phishing["domains"]) + 1
    assert not any("withheld" in name or "hidden-name" in name for name in phishing["domains"])


async def test_without_a_zone_size_there_is_none(house: House) -> None:
    """``domainsInZone`` is left out, not 0 or null."""
    await house.publish(PUBLISHED_AT[:1], tld=msgspec.structs.replace(TLD, zone_size=None))
    client = MosapiClient(await house.serve())
    await client.login()
    assert "domainsInZone" not in (await client.get(LATEST)).json


async def test_before_the_first_snapshot(house: House) -> None:
    """No report is 404, no reports an empty list, the state inconclusive."""
    client = MosapiClient(await house.serve())
    await client.login()
    assert (await client.get(LATEST)).status == 404
    assert (await client.get("metrica/domainList/2026-11-21")).status == 404
    assert (await client.get("metrica/domainLists")).json["domainLists"] == []
    assert (await client.get("monitoring/state")).json["status"] == "Up-inconclusive"


async def test_a_new_snapshot_is_seen_at_once_and_an_unpublished_one_never(client: MosapiClient, house: House) -> None:
    """What is newer than ``latest`` was left by a crash; once ``latest`` moves, the day is there."""
    shutil.copytree(house.root / "zz/2026112202", house.root / "zz/2026112301")
    (house.root / "zz/nonsense").mkdir()
    assert len((await client.get("metrica/domainLists")).json["domainLists"]) == 2
    shutil.rmtree(house.root / "zz/2026112301")
    await house.publish([NOW + 48 * HOUR])
    assert (await client.get(LATEST)).json["domainListDate"] == "2026-11-23"
    assert (await client.get("metrica/domainList/2026-11-23")).status == 200


async def test_a_damaged_snapshot_is_503_not_an_empty_report(client: MosapiClient, house: House) -> None:
    """What cannot be read is said so; the other days answer."""
    (house.root / "zz/2026112202/aggregates.json").write_text("[]")
    assert (await client.get(LATEST)).status == 503
    assert (await client.get("metrica/domainList/2026-11-21")).status == 200


async def test_a_snapshot_is_read_once(client: MosapiClient, house: House) -> None:
    """What was read is kept: the answer does not need the files again."""
    before = await client.get("metrica/domainList/2026-11-21")
    os.truncate(house.root / "zz/2026112101/records.sql", 0)
    assert (await client.get("metrica/domainList/2026-11-21")).json == before.json


async def test_the_cache_is_bounded(house: House) -> None:
    """Over its bound the oldest report is dropped, never the one just read."""
    await house.publish(PUBLISHED_AT)
    published = Published(house.root, counts="validated", cache_bytes=1)
    for day in (21, 22, 21, 22):
        report = await published.on("zz", dt.date(2026, 11, day))
        assert report is not None
        assert len(published._reports) == 1
        assert published._held_bytes == report.size_bytes


async def test_the_audit_has_a_line_a_request(client: MosapiClient, caplog: pytest.LogCaptureFixture) -> None:
    """Account, TLD and status; never a cookie, nor what an unknown client typed."""
    with caplog.at_level(logging.INFO, logger="panopticond.audit"):
        await client.get(LATEST)
        await client.ask("/ry/typed/login", headers={"authorization": "Basic dHlwZWQ6b29wcw=="})
    lines = [record.getMessage() for record in caplog.records if record.name == "panopticond.audit"]
    assert lines == [
        "mosapi account=zz-manager method=GET tld=zz status=200",
        "mosapi account=- method=GET tld=- status=401",
    ]


@settings(max_examples=300, deadline=None)
@given(
    path=st.text(max_size=60) | st.from_regex(r"/ry/zz/v2/[ -~]{0,40}", fullmatch=True),
    query=st.binary(max_size=60),
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"cookie", b"authorization", b"accept-encoding", b"if-modified-since", b"x"]),
            st.binary(max_size=60),
        ),
        max_size=6,
    ),
    method=st.sampled_from(["GET", "HEAD", "POST", "BREW"]),
    signed_in=st.booleans(),
)
def test_no_request_is_an_error_of_ours(path: str, query: bytes, headers: list[tuple[bytes, bytes]], method: str, signed_in: bool) -> None:  # fmt: skip
    """Whatever bytes come in path, query and headers, the answer is one of the documented codes."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def ask() -> None:
        api = MosApi(
            Published(Path("/nonexistent"), counts="listed"),
            Accounts({}),
            MosApiSettings(daar_alias=True),
            now=lambda: NOW,
        )
        cookie = [(b"cookie", b"id=" + api._sessions.open("manager", "zz").encode())] if signed_in else []
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode("utf-8", "replace"),
            "query_string": query,
        }
        await api(scope | {"headers": [*headers, *cookie], "client": ("192.0.2.1", 1)}, None, send)

    trio.run(ask)
    assert sent[0]["status"] in {200, 400, 401, 404, 405}
    assert method != "HEAD" or sent[1]["body"] == b""


async def test_oversized_headers_are_refused(client: MosapiClient) -> None:
    """16 KiB of headers are enough for anybody, even when more come at once."""
    assert (await client.get(LATEST, x_much="a" * 20_000)).status == 431
    assert (await client.get(LATEST, x_much="a" * 10_000)).status == 200
