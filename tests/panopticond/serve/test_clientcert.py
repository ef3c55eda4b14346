"""Client certificates over real TLS: repository and MoSAPI open to the very certificate an account names, to no other."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path

import msgspec
import pytest
import trio
import trio.testing
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from panopticond.config import Account, MosApiSettings, Tld, check
from panopticond.serve.accounts import Accounts, Login
from panopticond.serve.domainlists import Published
from panopticond.serve.door import serve
from panopticond.serve.mosapi import MosApi
from panopticond.shared.errors import ConfigurationError
from panopticond.snapshot.publish import publish_tld
from tests.panopticond.serve.test_repository import config
from tests.panopticond.snapshot.ledger import NOW, TLD, TODAY, press, world
from tests.panopticond.webservers import certificate

LATEST = "/ry/zz/v2/metrica/domainList/latest"
BASIC = {"authorization": "Basic enotbWFuYWdlcjpyaWdodA=="}
Shown = tuple[Path, Path] | None


def pair(name: str, directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key as files."""
    directory.mkdir(exist_ok=True)
    _, issued, key = certificate(name, directory)
    paths = directory / f"{name}.crt", directory / f"{name}.key"
    paths[0].write_bytes(issued.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


class Door:
    """A running server, and requests to it with or without a certificate."""

    def __init__(self, port: int, trusted: Path) -> None:
        self.port, self.trusted = port, trusted

    async def ask(self, path: str, shown: Shown = None, method: str = "GET", **headers: str) -> tuple[int, bytes]:
        return await trio.to_thread.run_sync(self._ask, path, shown, method, headers)

    def _ask(self, path: str, shown: Shown, method: str, headers: dict[str, str]) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=str(self.trusted))
        if shown is not None:
            context.load_cert_chain(*shown)
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=10, context=context)
        try:
            connection.request(method, path, headers=headers)
            reply = connection.getresponse()
            return reply.status, reply.read()
        finally:
            connection.close()


@pytest.fixture
def registry(tmp_path: Path) -> tuple[Path, Path]:
    return pair("registry.test", tmp_path / "registry")


@pytest.fixture
async def door(tmp_path: Path, registry: tuple[Path, Path], nursery: trio.Nursery) -> Door:
    """A server where zz's account may sign in by password or certificate, and yy's by password only."""
    own = pair("localhost", tmp_path / "own")
    await publish_tld(press(tmp_path / "root"), world(), TLD, TODAY, NOW)  # type: ignore[arg-type]
    settings = config(tmp_path, certificate_file=str(own[0]), key_file=str(own[1]))
    account = msgspec.structs.replace(settings.tld[0].accounts[0], certificate_file=str(registry[0]))
    first = msgspec.structs.replace(settings.tld[0], accounts=(account,))
    urls = await nursery.start(serve, msgspec.structs.replace(settings, tld=(first, settings.tld[1])))
    return Door(int(urls[0].rpartition(":")[2]), own[0])


async def test_the_account_s_certificate_opens_its_own_tld(door: Door, registry: tuple[Path, Path]) -> None:
    """No login and no cookie on MoSAPI, no password on the repository; another TLD's stays shut, login wants its word."""
    status, body = await door.ask(LATEST, registry)
    assert (status, json.loads(body)["tld"]) == (200, "zz")
    assert (await door.ask("/zz/latest/manifest.json", registry))[0] == 200
    assert (await door.ask("/ry/yy/v2/monitoring/state", registry))[0] == 401
    assert (await door.ask("/yy/latest/manifest.json", registry))[0] == 401
    assert (await door.ask("/ry/zz/login", registry))[0] == 401
    assert (await door.ask("/ry/zz/logout", registry))[0] == 401
    assert (await door.ask(LATEST, registry, "DELETE"))[0] == 405


async def test_without_a_certificate_passwords_do_as_before(door: Door) -> None:
    """Nobody has to show one; nothing is known of a connection from the one before it."""
    assert (await door.ask(LATEST))[0] == 401
    assert (await door.ask("/zz/latest/manifest.json"))[0] == 401
    assert (await door.ask("/zz/latest/manifest.json", **BASIC))[0] == 200
    assert (await door.ask("/ry/zz/login", **BASIC))[0] == 200


async def test_a_stranger_s_certificate_is_refused_in_the_handshake(door: Door, tmp_path: Path) -> None:
    """Even under the same name: the certificate is what is known, not what it says of itself."""
    stranger = pair("registry.test", tmp_path / "stranger")
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
        await door.ask(LATEST, stranger)


async def test_a_certificate_has_so_many_answers_at_a_time() -> None:
    """One request more than configured gets 429; when the others are done there is room again."""
    accounts = Accounts({}, {b"der": ("registry", frozenset({"zz"}))})
    assert accounts.holder(b"der") == Login("registry", frozenset({"zz"}))
    assert accounts.holder(b"another") == accounts.holder(None) == Login(None)
    published = _Slow(Path("nowhere"), counts="validated")
    mosapi = MosApi(
        published, accounts, MosApiSettings(requests_per_certificate=2), now=lambda: NOW, shown=lambda: b"der"
    )
    statuses: list[int] = []

    async def send(message: dict[str, object]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(int(str(message["status"])))

    scope = {"type": "http", "method": "GET", "path": LATEST, "headers": [], "query_string": b"", "client": ("::1", 1)}
    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(mosapi, scope, None, send)
        await trio.testing.wait_all_tasks_blocked()
        assert statuses == [429]
        published.open.set()
    await mosapi(scope, None, send)
    assert statuses == [429, 404, 404, 404]


class _Slow(Published):
    """A tree without any report, which takes until it is told to find that out."""

    open = trio.Event()

    async def latest(self, tld: str) -> None:
        del tld
        await self.open.wait()


def test_what_is_configured_wrongly_is_said(tmp_path: Path) -> None:
    """An account without either, a certificate without TLS, a file that holds none."""
    neither = msgspec.structs.replace(config(tmp_path), tld=(Tld(name="zz", accounts=(Account("a"),)),))
    assert any("a password_file, a certificate_file or both" in problem for problem in check(neither))
    (tmp_path / "c").write_text("no certificate")
    alone = Tld(name="zz", accounts=(Account("a", certificate_file=str(tmp_path / "c")),))
    assert any(
        "give serve.certificate_file" in problem for problem in check(msgspec.structs.replace(neither, tld=(alone,)))
    )
    with pytest.raises(ConfigurationError, match="not one certificate"):
        Accounts.of((alone,))
    missing = Tld(name="zz", accounts=(Account("a", certificate_file=str(tmp_path / "none")),))
    with pytest.raises(ConfigurationError, match="cannot read the certificate"):
        Accounts.of((missing,))
