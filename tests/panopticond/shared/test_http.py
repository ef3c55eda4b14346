"""The HTTP adapter on real loopback sockets: bodies, bounds, redirects, words for failures, and no leak on cancel."""

from __future__ import annotations

import gc
import gzip
import io
import os
import random
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trio

from panopticond.shared.errors import FetchError
from panopticond.shared.http import REASONS, Http, _reason, is_inward
from tests.panopticond.webservers import answer, certificate, listen, over_tls, site

HTTP = Http("panopticon-test/1")
LIMITS = {"limit_bytes": 1 << 20, "deadline_seconds": 5.0}


def _fails(reason: str) -> pytest.RaisesExc[FetchError]:
    return pytest.raises(FetchError, check=lambda error: error.reason == reason)


async def test_get_decodes_gzip_and_joins_members(nursery: trio.Nursery) -> None:
    """A gzip body of two members arrives decoded and whole, with lower-case header names."""
    body = gzip.compress(b"one ") + gzip.compress(b"two")
    port = await listen(nursery, site(lambda _path, _headers: answer(200, body, Content_Encoding="gzip", ETag='"x"')))
    reply = await HTTP.get(f"http://127.0.0.1:{port}/", **LIMITS)
    assert (reply.status, reply.body, reply.headers["etag"]) == (200, b"one two", '"x"')


async def test_download_keeps_the_encoding_as_served(nursery: trio.Nursery) -> None:
    """Raw bytes go to the file; a 404's body does not."""
    body = gzip.compress(b"rows")
    port = await listen(
        nursery,
        site(lambda path, _h: answer(200, body, content_encoding="gzip") if path == "/feed" else answer(404, b"no")),
    )
    into = io.BytesIO()
    reply = await HTTP.download(f"http://127.0.0.1:{port}/feed", into, **LIMITS)
    assert (into.getvalue(), reply.body, reply.headers["content-encoding"]) == (body, b"", "gzip")
    missing = io.BytesIO()
    reply = await HTTP.download(f"http://127.0.0.1:{port}/gone", missing, **LIMITS)
    assert (reply.status, missing.getvalue()) == (404, b"")


async def test_bounds(nursery: trio.Nursery) -> None:
    """Too many raw bytes, a bomb past the limit, a bomb past the ratio, and a foreign encoding have their words."""
    bombs = {
        "/big": answer(200, b"x" * 5000),
        "/bomb": answer(200, gzip.compress(b"0" * 100_000), content_encoding="gzip"),
        "/ratio": answer(200, gzip.compress(b"0" * (3 << 20)), content_encoding="gzip"),
        "/br": answer(200, b"x", content_encoding="br"),
        "/liar": answer(200, b"not gzip", content_encoding="gzip"),
        "/cut": answer(200, gzip.compress(os.urandom(2000))[:-500], content_encoding="gzip"),
        "/short": answer(200, b"x", content_length="100"),
        "/junk": b"SSH-2.0-nonsense\r\n\r\n",
    }
    port = await listen(nursery, site(lambda path, _headers: bombs[path]))
    for path, reason, limit in (
        ("/big", "too-large", 4000),
        ("/bomb", "too-large", 4000),
        ("/ratio", "too-large", 8 << 20),
        ("/br", "protocol", 4000),
        ("/liar", "protocol", 4000),
        ("/cut", "cut-short", 4000),
        ("/short", "cut-short", 4000),
        ("/junk", "protocol", 4000),
    ):
        with _fails(reason):
            await HTTP.get(f"http://127.0.0.1:{port}{path}", limit_bytes=limit, deadline_seconds=5)
    gc.collect()


async def test_redirects_stay_home_and_secrets_too(nursery: trio.Nursery) -> None:
    """A redirect to another origin is refused; where it is allowed neither Basic credentials nor keys go along."""
    seen: list[dict[str, str]] = []

    def far(_path: str, headers: dict[str, str]) -> bytes:
        seen.append(headers)
        return answer(200, b"far")

    def near(path: str, headers: dict[str, str]) -> bytes:
        seen.append(headers)
        if path == "/loop":
            return answer(302, location="/loop")
        return answer(200, b"home") if path == "/b" else answer(302, location="/b" if path == "/a" else far_url)

    far_url = f"http://127.0.0.1:{await listen(nursery, site(far))}/x"
    home = f"http://127.0.0.1:{await listen(nursery, site(near))}"
    secret = {"Auth-Key": "k", "accept": "text/csv"}
    reply = await HTTP.get(home + "/a", headers=secret, auth=("u", "p"), redirects=1, **LIMITS)
    assert (reply.body, reply.url, seen[1]["auth-key"]) == (b"home", home + "/b", "k")
    assert seen[1]["authorization"].startswith("Basic ")
    with _fails("redirect-refused"):
        await HTTP.get(home + "/far", redirects=3, **LIMITS)
    with _fails("redirect-refused"):
        await HTTP.get(home + "/loop", redirects=3, **LIMITS)
    seen.clear()
    reply = await HTTP.get(home + "/far", headers=secret, auth=("u", "p"), redirects=3, same_origin=False, **LIMITS)
    assert reply.body == b"far"
    assert "authorization" not in seen[1]
    assert "auth-key" not in seen[1]
    assert seen[1]["accept"] == "text/csv"
    assert (await HTTP.get(home + "/far", **LIMITS)).status == 302


async def test_words_for_no_answer(nursery: trio.Nursery, tmp_path: Path) -> None:
    """Refused, silent, closed, untrusted and malformed all have their word, and none names the path."""
    context, _, _ = certificate("localhost", tmp_path)
    tls = await listen(nursery, over_tls(site(lambda _p, _h: answer()), context))

    async def silent(stream: trio.abc.Stream) -> None:
        await stream.receive_some(100)
        await trio.sleep_forever()

    async def closed(stream: trio.abc.Stream) -> None:
        await stream.receive_some(1000)
        await stream.aclose()

    mute, shut = await listen(nursery, silent), await listen(nursery, closed)
    for url, reason in (
        ("http://127.0.0.1:1/key", "unreachable"),
        (f"http://127.0.0.1:{mute}/key", "timeout"),
        (f"http://127.0.0.1:{shut}/key", "cut-short"),
        (f"https://localhost:{tls}/key", "tls"),
        (f"https://127.0.0.1:{shut}/key", "tls|unreachable|cut-short"),
        ("ftp://127.0.0.1/key", "protocol"),
        ("http://[/key", "protocol"),
    ):
        with pytest.raises(FetchError) as caught:
            await HTTP.get(url, limit_bytes=1000, deadline_seconds=0.5)
        assert caught.value.reason in reason.split("|"), (url, caught.value)
        assert "key" not in str(caught.value)


def test_every_httpx_error_has_a_word() -> None:
    """No exception of the library maps to a reason that is not in REASONS."""
    errors = [value for value in vars(httpx).values() if isinstance(value, type) and issubclass(value, httpx.HTTPError)]
    assert len(errors) > 10
    for kind in errors:
        error = kind.__new__(kind)
        Exception.__init__(error, "x")
        assert _reason(error) in REASONS


async def test_nothing_leaks_when_fetches_are_cancelled(nursery: trio.Nursery) -> None:
    """Hundreds of fetches cancelled at random leave no file descriptor behind, and the adapter still works."""

    async def dawdle(stream: trio.abc.Stream) -> None:
        async with stream:
            try:
                await stream.receive_some(1000)
                await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
                for _ in range(20):
                    await trio.sleep(0.002)
                    await stream.send_all(b"x" * 5000)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    port = await listen(nursery, dawdle)
    chance = random.Random(4)
    limiter = trio.CapacityLimiter(20)

    async def one() -> None:
        async with limiter:
            with trio.move_on_after(chance.uniform(0.0005, 0.03)):
                await HTTP.get(f"http://127.0.0.1:{port}/", **LIMITS)

    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    async with trio.open_nursery() as many:
        for _ in range(300):
            many.start_soon(one)
    reply = await HTTP.get(f"http://127.0.0.1:{port}/", **LIMITS)
    assert len(reply.body) == 100_000
    await trio.sleep(0.2)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 3  # noqa: PTH208


class FullDisk(io.BytesIO):
    """A file with no room left."""

    def write(self, _chunk: object) -> int:
        raise OSError(28, "No space left on device")


async def test_a_full_disk_is_a_word_of_its_own(nursery: trio.Nursery) -> None:
    """A body our own disk will not take is a FetchError that says so."""
    port = await listen(nursery, site(lambda _path, _headers: answer(200, b"rows")))
    with pytest.raises(FetchError, match="No space left on device") as raised:
        await HTTP.download(f"http://127.0.0.1:{port}/", FullDisk(), **LIMITS)
    assert raised.value.reason == "unwritable"


@pytest.mark.parametrize(
    ("host", "inward"),
    [
        ("127.0.0.1", True),
        ("10.0.0.1", True),
        ("169.254.169.254", True),
        ("127.1", True),
        ("0x7f000001", True),
        ("2130706433", True),
        ("::1", True),
        ("fe80::1", True),
        ("::ffff:10.0.0.1", True),
        ("localhost", True),
        ("metadata.localhost", True),
        ("198.41.0.4", False),
        ("2606:4700::1", False),
        ("cdn.example", False),
        ("example.", False),
    ],
)
def test_where_a_foreign_redirect_may_not_lead(host: str, inward: bool) -> None:
    """An address of a private network, however written, is no place a public server may send a reader to."""
    assert is_inward(host) is inward


def test_the_client_comes_without_its_command_line() -> None:
    """No click, no rich; yet nothing of the import system is left changed, and httpx's other parts are there."""
    lines = (
        "import sys, panopticond.shared.http, httpx; "
        "assert not {'click', 'rich', 'pygments'} & set(sys.modules); "
        "assert 'httpx._main' not in sys.modules; assert httpx.AsyncClient and callable(httpx.main)"
    )
    subprocess.run([sys.executable, "-c", lines], check=True, timeout=60)
