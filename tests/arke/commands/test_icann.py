"""arke.mosapi and arke.reconcile against a server of our own that misbehaves; figures equal set arithmetic."""

from __future__ import annotations

import base64
import csv
import functools
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
import trio

from arke.commands.icann import reconcile
from arke.config import Config
from arke.config import Mosapi as Settings
from arke.mosapi import Mosapi
from arke.reconcile import compare, figures, ours, to_csv
from panopticond.shared import minisign
from panopticond.shared.clock import ClockSettings
from panopticond.shared.errors import FetchError
from panopticond.shared.http import Http
from panopticond.shared.mosapi import DomainList, ThreatList, encode
from tests.arke.made import NOW, publish, tables

Answer = tuple[int, dict[str, str], bytes]
LIST = DomainList(
    2, "zz", "2026-03-04", 4, (ThreatList("phishing", 3, ("bad.zz", "Theirs.zz")), ThreatList("malware", -1))
)


class Server:
    """A MoSAPI server whose every answer a test may bend; it counts logins and speaks gzip where asked."""

    def __init__(self) -> None:
        self.logins = 0
        self.asked: list[str] = []
        self.sessions: set[str] = set()
        self.refuse_sessions = False
        self.body = encode(LIST)
        self.bend: Callable[[str], Answer | None] = lambda _: None

    def answer(self, target: str, headers: dict[str, str]) -> Answer:
        self.asked.append(target)
        bent = self.bend(target)
        if bent is not None:
            return bent
        if target == "/ry/zz/login":
            wanted = "Basic " + base64.b64encode(b"zz_ry:secret").decode()
            if headers.get("authorization") != wanted:
                return 401, {}, b"no"
            self.logins += 1
            cookie = f"{self.logins:040x}"
            self.sessions = {cookie}
            expires = "Expires=Tue, 11-Jun-2030 16:34:21 GMT"
            return 200, {"Set-Cookie": f"id={cookie}; {expires}; Path=/ry/zz; Secure; HttpOnly"}, b"Login successful"
        if self.refuse_sessions or headers.get("cookie", "").removeprefix("id=") not in self.sessions:
            return 401, {}, b"The client could not be authenticated"
        if target == "/ry/zz/logout":
            self.sessions.clear()
            return 200, {"Set-Cookie": "id=id; Path=/ry/zz"}, b"Logout successful"
        if "gzip" in headers.get("accept-encoding", ""):
            return 200, {"Content-Encoding": "gzip"}, gzip.compress(self.body)
        return 200, {}, self.body

    async def handle(self, stream: trio.SocketStream) -> None:
        async with stream:
            data = b""
            while b"\r\n\r\n" not in data:
                data += await stream.receive_some(4096)
            lines = data.decode("latin-1").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
            status, extra, body = self.answer(lines[0].split()[1], headers)
            head = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
            text = f"HTTP/1.1 {status} X\r\n{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            await stream.send_all(text.encode() + body)


@pytest.fixture
async def served(nursery: trio.Nursery) -> tuple[Server, str]:
    server = Server()
    listeners = await nursery.start(functools.partial(trio.serve_tcp, server.handle, 0, host="127.0.0.1"))
    return server, f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"


class Seconds:
    """Real seconds, set by the test."""

    at = 0.0

    def __call__(self) -> float:
        return self.at


def client(url: str, seconds: Seconds | None = None, word: str = "secret") -> Mosapi:
    return Mosapi(Http("test"), url, "zz", auth=("zz_ry", word), seconds=seconds or Seconds())


async def test_one_login_serves_many_tasks_and_ends_before_its_time(served: tuple[Server, str]) -> None:
    """Ten questions at once log in once; after fourteen minutes the session is made anew before anybody refuses it."""
    server, url = served
    seconds = Seconds()
    mosapi = client(url, seconds)
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(mosapi.domain_list)
    assert server.logins == 1
    seconds.at = 14 * 60.0
    assert await mosapi.domain_list() == LIST
    assert server.logins == 2
    await mosapi.logout()
    assert server.sessions == set()


async def test_a_refused_session_is_renewed_once(served: tuple[Server, str]) -> None:
    """A lost session is renewed and the question asked again; a server that refuses fresh ones too is a fault, not a loop."""
    server, url = served
    mosapi = client(url)
    await mosapi.domain_list()
    server.sessions.clear()
    assert await mosapi.domain_list() == LIST
    assert server.logins == 2
    server.refuse_sessions = True
    with pytest.raises(FetchError, match="does not accept the account"):
        await mosapi.domain_list()
    assert server.logins == 3


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((200, {}, b"<html>welcome</html>"), "cannot be read"),
        ((200, {}, encode(msgspec.structs.replace(LIST, tld="yy"))), r"in place of \.zz"),
        ((200, {}, encode(msgspec.structs.replace(LIST, domain_list_date="2026-02-30"))), "cannot be read"),
        ((404, {}, b""), "no report"),
        ((403, {}, b""), "address"),
        ((429, {"Retry-After": "7"}, b""), "wait 7 s"),
        ((400, {}, b'{"resultCode":2013,"message":"syntax","description":"x"}'), "2013 syntax"),
        ((500, {}, b"oops"), "500"),
        ((302, {"Location": "http://127.0.0.1:9/"}, b""), "302"),
    ],
)
async def test_what_a_server_may_do_becomes_a_sentence(served: tuple[Server, str], answer: Answer, words: str) -> None:
    """HTML, another TLD's list, a wrong date and every status: FetchError that says what to do."""
    server, url = served
    server.bend = lambda target: answer if "domainList" in target else None
    with pytest.raises(FetchError, match=words):
        await client(url).domain_list()
    assert server.logins == 1


async def test_a_login_without_a_cookie_or_with_a_wrong_password_is_a_fault(served: tuple[Server, str]) -> None:
    """200 without a session is no session, and nothing is asked with it; the password is in no sentence."""
    server, url = served
    server.bend = lambda target: (200, {}, b"Login successful") if "login" in target else None
    with pytest.raises(FetchError, match="no session cookie"):
        await client(url).domain_list()
    server.bend = lambda _: None
    with pytest.raises(FetchError, match="account") as error:
        await client(url, word="hunter2").domain_list()
    assert "hunter2" not in str(error.value)
    assert server.asked == ["/ry/zz/login", "/ry/zz/login"]


async def test_reconcile_writes_every_name_and_figures_that_add_up(served: tuple[Server, str], tmp_path: Path) -> None:
    """The command end to end: a signed snapshot beside the served list; the CSV and the figures equal the sets."""
    server, url = served
    del server
    key = minisign.SecretKey.generate()
    records = publish(tmp_path / "published", key, tables(names=("bad", "mine")))
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "password").chmod(0o600)
    config = Config(
        tld="zz", keys=[key.public.text], records=str(records), state=str(tmp_path / "state"), lab=True,
        clock=ClockSettings(epoch=NOW, scale=1e-9), mosapi=Settings(url=url, password_file=str(tmp_path / "password")),
    )  # fmt: skip
    await reconcile(config, None, as_json=True, dns=False)
    rows = list(csv.DictReader((tmp_path / "state" / "reconcile-zz.csv").read_text().splitlines()))
    assert {row["name"]: row["where"] for row in rows} == {
        "bad.zz": "both", "mine.zz": "only-ours", "theirs.zz": "only-theirs",
    }  # fmt: skip
    found = json.loads((tmp_path / "state" / "reconcile-zz.json").read_text())
    assert (found["both"], found["only_theirs"], found["only_ours"], found["unnamed"]) == (1, 1, 1, 2)
    assert found["by_threat"]["malware"]["their_count"] == -1
    assert found["by_threat"]["phishing"] == {
        "their_count": 3, "named": 2, "both": 1, "only_theirs": 1, "only_ours": 1,
    }  # fmt: skip


def test_the_dns_status_stands_beside_a_name_of_theirs() -> None:
    """Asked now it counts before the snapshot's; a name of theirs that is gone is counted so."""
    known = ours(tables(names=("bad",)))
    looked = {"theirs.zz": ("not-in-zone", "2026-03-05T12:00:00Z")}
    lines = compare(LIST, known, {"bad.zz"}, looked)
    assert [(line.name, line.dns, line.in_zone) for line in lines] == [
        ("bad.zz", "delegated", True),
        ("theirs.zz", "not-in-zone", False),
    ]
    assert figures(LIST, lines, 1)["only_theirs_not_delegated"] == 1
    assert to_csv(lines).splitlines()[2].startswith("theirs.zz,only-theirs,phishing,,not-in-zone,")
