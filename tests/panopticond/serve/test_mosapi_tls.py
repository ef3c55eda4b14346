"""MoSAPI from the daemon's own configuration over TLS, asked by a client that is not ours: Python's own cookie jar."""

from __future__ import annotations

import http.cookiejar
import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import msgspec
import pytest
import trio
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from panopticond.config import MosApiSettings
from panopticond.serve.door import serve
from panopticond.snapshot.publish import publish_tld
from tests.panopticond.serve.test_repository import config
from tests.panopticond.snapshot.ledger import NOW, TLD, TODAY, press, world
from tests.panopticond.webservers import certificate


@pytest.fixture
def tls(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    _, issued, key = certificate("localhost", tmp_path)
    paths = tmp_path / "certificate.pem", tmp_path / "key.pem"
    paths[0].write_bytes(issued.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


def _ask(opener: urllib.request.OpenerDirector, url: str, authorization: str | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers={"Authorization": authorization} if authorization else {})  # noqa: S310
    try:
        with opener.open(request, timeout=10) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def _session(base: str, trusted: Path) -> list[tuple[int, bytes]]:
    """Login, the latest list, the days, another TLD, logout, the list again."""
    jar = http.cookiejar.CookieJar()
    https = urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(trusted)))
    opener = urllib.request.build_opener(https, urllib.request.HTTPCookieProcessor(jar))
    answers = [_ask(opener, f"{base}/ry/zz/login", "Basic enotbWFuYWdlcjpyaWdodA==")]
    (cookie,) = jar
    assert (cookie.name, cookie.path, cookie.secure, len(cookie.value or "")) == ("id", "/ry/zz", True, 40)
    paths = ("zz/v2/metrica/domainList/latest", "zz/v2/metrica/domainLists", "yy/v2/monitoring/state")
    answers += [_ask(opener, f"{base}/ry/{path}") for path in (*paths, "zz/logout")]
    assert list(jar) == []
    return [*answers, _ask(opener, f"{base}/ry/{paths[0]}")]


async def test_a_cookie_jar_keeps_the_session_over_tls(
    tmp_path: Path, tls: tuple[Path, Path], nursery: trio.Nursery
) -> None:
    """The cookie's attributes and date mean to another client what they mean to us, from login to logout."""
    await publish_tld(press(tmp_path / "root"), world(), TLD, TODAY, NOW)  # type: ignore[arg-type]
    urls = await nursery.start(serve, config(tmp_path, certificate_file=str(tls[0]), key_file=str(tls[1])))
    base = f"https://localhost:{urls[0].rpartition(':')[2]}"
    answers = await trio.to_thread.run_sync(_session, base, tls[0])
    assert [status for status, _ in answers] == [200, 200, 200, 401, 200, 401]
    assert json.loads(answers[1][1])["domainListDate"] == "2026-11-21"
    assert [day["domainListDate"] for day in json.loads(answers[2][1])["domainLists"]] == ["2026-11-21"]


async def test_switched_off_there_is_no_mosapi(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Below /ry/ the repository then says 401 as for any TLD it does not know."""
    settings = config(tmp_path)
    off = msgspec.structs.replace(settings.serve, mosapi=MosApiSettings(enabled=False))
    urls = await nursery.start(serve, msgspec.structs.replace(settings, serve=off))
    base = f"http://127.0.0.1:{urls[0].rpartition(':')[2]}"
    opener = urllib.request.build_opener()
    status, body = await trio.to_thread.run_sync(_ask, opener, f"{base}/ry/zz/login", "Basic enotbWFuYWdlcjpyaWdodA==")
    assert (status, body) == (401, b"Not without an account of this TLD.\n")
