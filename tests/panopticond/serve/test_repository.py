"""The repository over real sockets: accounts, conditional requests, and nothing but the published files."""

from __future__ import annotations

import base64
import logging
import socket
from functools import partial
from pathlib import Path

import msgspec
import pytest
import trio

from panopticond.config import Account, Config, Publish, Serve, Tld
from panopticond.serve.accounts import FAILURES_ALLOWED, Accounts
from panopticond.serve.app import answer
from panopticond.serve.door import serve
from panopticond.shared.errors import ConfigurationError, PanopticonError
from panopticond.snapshot.publish import publish_tld
from tests.panopticond.snapshot.ledger import NOW, TLD, TODAY, press, world

FILE = "/zz/latest/manifest.json"


class Answer(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """Requests byte by byte over a fresh connection each."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def ask(self, path: str, user: str = "zz-manager:right", method: str = "GET", **headers: str) -> Answer:
        lines = [f"{method} {path} HTTP/1.1", "host: localhost", "connection: close"]
        if user:
            lines.append("authorization: Basic " + base64.b64encode(user.encode()).decode())
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with stream:
            await stream.send_all(("\r\n".join(lines) + "\r\n\r\n").encode())
            data = b"".join([chunk async for chunk in stream])
        head, _, body = data.partition(b"\r\n\r\n")
        status, *rest = head.decode().split("\r\n")
        return Answer(int(status.split()[1]), dict(line.lower().split(": ", 1) for line in rest), body)


def config(tmp_path: Path, **serve_changes: str) -> Config:
    for name, password in (("zz", "right"), ("yy", "other")):
        (tmp_path / name).write_text(password + "\n")
    accounts = {name: (Account(f"{name}-manager", str(tmp_path / name)),) for name in ("zz", "yy")}
    return Config(
        tld=(Tld(name="zz", accounts=accounts["zz"]), Tld(name="yy", accounts=accounts["yy"])),
        publish=Publish(root=str(tmp_path / "root")),
        serve=Serve(**({"bind": "127.0.0.1:0"} | serve_changes)),  # type: ignore[arg-type]
    )


@pytest.fixture
async def client(tmp_path: Path, nursery: trio.Nursery) -> Client:
    await publish_tld(press(tmp_path / "root"), world(), TLD, TODAY, NOW)  # type: ignore[arg-type]
    urls = await nursery.start(serve, config(tmp_path))
    return Client(int(urls[0].rpartition(":")[2]))


async def test_an_account_gets_its_files(client: Client, tmp_path: Path) -> None:
    """The bytes on disk, typed, with validators and no sniffing; by latest and by serial; HEAD without a body."""
    answer = await client.ask(FILE)
    assert answer.status == 200
    assert answer.body == (tmp_path / "root/zz/latest/manifest.json").read_bytes()
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (await client.ask("/zz/2026112101/records.sql")).body.startswith(b"-- Panopticon records")
    head = await client.ask(FILE, method="HEAD")
    assert (head.status, head.body) == (200, b"")


async def test_conditional_requests(client: Client) -> None:
    """An unchanged file is 304 by ETag or date, If-None-Match first."""
    first = await client.ask(FILE)
    etag, date = first.headers["etag"], first.headers["last-modified"]
    assert (await client.ask(FILE, if_none_match=etag)).status == 304
    assert (await client.ask(FILE, if_none_match=f'"x", W/{etag}')).status == 304
    assert (await client.ask(FILE, if_none_match='"x"', if_modified_since=date.title())).status == 200
    assert (await client.ask(FILE, if_modified_since=date)).status == 304
    assert (await client.ask(FILE, if_modified_since="nonsense")).status == 200


@pytest.mark.parametrize(
    ("path", "user"),
    [
        (FILE, ""),
        (FILE, "zz-manager:wrong"),
        (FILE, "nobody:right"),
        (FILE, "zz-manager"),
        (FILE, "yy-manager:other"),
        ("/yy/latest/manifest.json", "zz-manager:right"),
        ("/xx/latest/manifest.json", "zz-manager:right"),
        ("/", "zz-manager:right"),
    ],
)
async def test_nobody_else_gets_anything(client: Client, path: str, user: str) -> None:
    """No account, a wrong password, another TLD's account and an unknown TLD are all the same 401."""
    answer = await client.ask(path, user)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'basic realm="panopticon"'


@pytest.mark.parametrize(
    "path",
    [
        "/zz/latest/",
        "/zz/",
        "/zz/latest/../latest/manifest.json",
        "/zz/latest/%2e%2e/latest/manifest.json",
        "/zz/latest%2Fmanifest.json",
        "/zz//latest/manifest.json",
        "/zz/latest/surrogates.key",
        "/zz/2026112102/manifest.json",
        "/zz/latest/manifest.json%00",
        "/zz/linked/manifest.json",
    ],
)
async def test_nothing_but_the_files_of_the_design_exists(client: Client, tmp_path: Path, path: str) -> None:
    """Directories, tricks with the path, other files and other serials are 404."""
    (tmp_path / "root/zz/linked").symlink_to(tmp_path)
    assert (await client.ask(path)).status == 404


async def test_links_out_of_the_tree_are_not_followed(client: Client, tmp_path: Path) -> None:
    """A symlinked file, a symlinked serial and a ``latest`` that is no serial are 404."""
    (tmp_path / "secret").write_text("secret")
    file = tmp_path / "root/zz/2026112101/misp.json"
    file.unlink()
    file.symlink_to(tmp_path / "secret")
    (tmp_path / "root/zz/2026112109").symlink_to("2026112101")
    assert (await client.ask("/zz/2026112101/misp.json")).status == 404
    assert (await client.ask("/zz/2026112109/manifest.json")).status == 404
    (tmp_path / "root/zz/latest").unlink()
    (tmp_path / "root/zz/latest").symlink_to("../..")
    assert (await client.ask(FILE)).status == 404


async def test_other_methods_are_refused(client: Client) -> None:
    """Whatever is not GET or HEAD is 405 and says what is allowed, to those who may ask at all."""
    for method in ("POST", "DELETE", "OPTIONS", "TRACE", "FOO"):
        assert (await client.ask(FILE, "", method=method)).status == 401
        answer = await client.ask(FILE, method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "get, head")


async def test_guessing_is_throttled(client: Client) -> None:
    """After five failures from one address even the right password waits, and is told how long."""
    for _ in range(FAILURES_ALLOWED):
        assert (await client.ask(FILE, "zz-manager:guess")).status == 401
    answer = await client.ask(FILE)
    assert answer.status == 429
    assert 0 < int(answer.headers["retry-after"]) <= 61


async def test_every_access_is_one_line_without_secrets(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """The audit names account, file and status; never a password, nor what an unknown client typed."""
    with caplog.at_level(logging.INFO, logger="panopticond.audit"):
        await client.ask(FILE)
        await client.ask(FILE, "typed-password:oops")
    lines = [record.getMessage() for record in caplog.records if record.name == "panopticond.audit"]
    assert lines == [
        "access account=zz-manager method=GET tld=zz serial=latest file=manifest.json status=200",
        "access account=- method=GET tld=zz serial=latest file=manifest.json status=401",
    ]


async def test_it_will_not_serve_passwords_in_the_clear_or_without_files(tmp_path: Path) -> None:
    """Off loopback without TLS, half of TLS, or a missing password file is a configuration error."""
    for changes in ({"bind": "0.0.0.0:0"}, {"certificate_file": "/x"}, {"bind": "[::]:0"}):
        with pytest.raises(ConfigurationError):
            await serve(config(tmp_path, **changes))
    good = config(tmp_path)
    (tmp_path / "zz").unlink()
    with pytest.raises(ConfigurationError, match="secret"):
        await serve(good)


async def test_a_taken_port_is_one_sentence(client: Client, tmp_path: Path) -> None:
    """A bind address in use is an error that names the setting."""
    with pytest.raises(PanopticonError, match=r"serve\.bind"):
        await serve(config(tmp_path, bind=f"127.0.0.1:{client.port}"))


async def test_range_requests(client: Client, tmp_path: Path) -> None:
    """A part from either end is 206 with its place; beyond the end 416; an unclear or outdated wish gets it all."""
    whole = (tmp_path / "root/zz/latest/records.sql").read_bytes()
    path, size = "/zz/latest/records.sql", len(whole)
    first = await client.ask(path, range="bytes=0-9")
    assert (first.status, first.body) == (206, whole[:10])
    assert first.headers["content-range"] == f"bytes 0-9/{size}"
    assert (await client.ask(path, range="bytes=100-")).body == whole[100:]
    last = await client.ask(path, range="bytes=-7")
    assert (last.status, last.body) == (206, whole[-7:])
    beyond = await client.ask(path, range=f"bytes={size}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    for unclear in ("bytes=9-2", "bytes=0-1,5-6", "lines=1-2", "bytes=-"):
        assert (await client.ask(path, range=unclear)).status == 200
    etag = first.headers["etag"]
    assert (await client.ask(path, range="bytes=0-9", if_range=etag)).status == 206
    assert (await client.ask(path, range="bytes=0-9", if_range='"another"')).body == whole
    assert (await client.ask(path, range="bytes=0-9", if_range="Thu, 01 Jan 1970 00:00:00 GMT")).body == whole


async def test_ranges_made_to_confuse_get_the_whole_file(client: Client, tmp_path: Path) -> None:
    """Overlapping, two thousand, negative, in other digits, in two headers, endless, or with HEAD: no part, no error."""
    path = "/zz/latest/records.sql"
    whole = (tmp_path / "root/zz/latest/records.sql").read_bytes()
    many = "bytes=" + ",".join(f"{at}-{at + 1}" for at in range(1000))
    for confusing in ("bytes=0-100,50-150", many, "bytes=--5", "bytes=\u0661-5", "bytes=0-" + "9" * 40):
        answer = await client.ask(path, range=confusing)
        assert (answer.status, answer.body) == (200, whole)
    two = await client.ask(path, range="bytes=0-1", Range="bytes=2-3")
    assert (two.status, two.body) == (200, whole)
    head = await client.ask(path, method="HEAD", range="bytes=0-1")
    assert (head.status, head.headers["content-length"], head.body) == (200, str(len(whole)), b"")
    assert (await client.ask(path, range="bytes=-0")).status == 416


async def test_headers_made_to_break_are_answered(client: Client) -> None:
    """Credentials that are no ASCII are none (401), 20 KiB of cookies are too many (431), dates that are none are none."""
    assert (await client.ask(FILE, "", authorization="Basic \u00ff\u00fe")).status == 401
    assert (await client.ask(FILE, cookie="a" * 20_000)).status == 431
    assert (await client.ask(FILE, cookie="a" * 100_000)).status == 431
    for date in ("\u00ff", "Thu, 01 Jan 99999 00:00:00 GMT", "never"):
        assert (await client.ask(FILE, if_modified_since=date)).status == 200


async def test_silence_ends_a_connection_but_no_download(tmp_path: Path, nursery: trio.Nursery) -> None:
    """HTTP/2 opened and left is closed by the server; who reads a file after a long pause still gets all of it."""
    await publish_tld(press(tmp_path / "root"), world(), TLD, TODAY, NOW)  # type: ignore[arg-type]
    size = 16 << 20
    (tmp_path / "root/zz/latest/records.sql").write_bytes(bytes(size))
    bound = socket.create_server(("127.0.0.1", 0))
    port = bound.getsockname()[1]
    settings = config(tmp_path)
    nursery.start_soon(partial(answer, settings, Accounts.of(settings.tld), bound.detach(), silent_seconds=1))
    left = await trio.open_tcp_stream("127.0.0.1", port)
    await left.send_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    paused = await trio.open_tcp_stream("127.0.0.1", port)
    basic = base64.b64encode(b"zz-manager:right").decode()
    lines = ["GET /zz/latest/records.sql HTTP/1.1", "host: localhost", f"authorization: Basic {basic}"]
    await paused.send_all(("\r\n".join(lines) + "\r\n\r\n").encode())
    with trio.fail_after(20):
        async with left:
            assert b"".join([chunk async for chunk in left])[3:4] == bytes([4])  # its SETTINGS, and then the end
        data = b""
        async with paused:
            while len(data.partition(b"\r\n\r\n")[2]) < size and (chunk := await paused.receive_some(1 << 20)):
                data += chunk
    assert data.partition(b"\r\n\r\n")[2] == bytes(size)
