"""arke.watch: what is believed, and what is refused."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import trio

from arke.cases.ledger import Ledger
from arke.config import Rdap
from arke.rooms import rdap_headers
from arke.watch import SnapshotWatch, ZoneWatch, verify_url
from panopticond.shared.clock import rfc3339
from panopticond.shared.errors import FetchError, PanopticonError, RefusedError
from panopticond.shared.http import Http
from panopticond.shared.minisign import SecretKey
from tests.arke.made import NOW, publish, tables


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with Ledger.open(tmp_path / "state") as opened:
        yield opened


@pytest.fixture
def key() -> SecretKey:
    return SecretKey.generate()


def watch(records: str, key: SecretKey, ledger: Ledger, tmp_path: Path) -> SnapshotWatch:
    return SnapshotWatch("zz", records, [key.public.text], ledger, Http("x"), auth=("a", "b"), spool=tmp_path / "spool")


async def test_a_new_snapshot_is_accepted_once_and_its_serial_persisted(
    tmp_path: Path, key: SecretKey, ledger: Ledger
) -> None:
    """The first look gives the tables, the second nothing; a restart gives them again, as not new."""
    path = publish(tmp_path / "r", key, tables())
    looker = watch(str(path), key, ledger, tmp_path)
    found = await looker.look(NOW)
    assert found is not None
    assert found.new
    assert found.tables["uri"][0].uri == "http://bad.zz/kit/"
    assert await looker.look(NOW) is None
    assert (await ledger.accepted("zz") or (0, ""))[0] == 2026030501
    again = await watch(str(path), key, ledger, tmp_path).look(NOW)
    assert again is not None
    assert not again.new


async def test_a_snapshot_is_too_old_for_mail_once_it_expires(tmp_path: Path, key: SecretKey, ledger: Ledger) -> None:
    """36 hours after its interval ended, or at its own expiry where that is sooner."""
    found = await watch(str(publish(tmp_path / "r", key, tables())), key, ledger, tmp_path).look(NOW)
    assert found is not None
    assert not found.too_old_for_mail(NOW)
    assert found.too_old_for_mail(NOW + dt.timedelta(hours=34))
    sooner = msgspec.structs.replace(found.manifest, expires=rfc3339(NOW + dt.timedelta(hours=1)))
    brief = msgspec.structs.replace(found, manifest=sooner)
    assert not brief.too_old_for_mail(NOW)
    assert brief.too_old_for_mail(NOW + dt.timedelta(hours=1))


@pytest.mark.parametrize("fault", ["key", "byte", "older", "expired", "same-serial", "other-tld"])
async def test_what_cannot_be_trusted_is_refused_and_leaves_no_trace(
    fault: str, tmp_path: Path, key: SecretKey, ledger: Ledger
) -> None:
    """A wrong signature, a changed byte, an older serial, an expired manifest, another content or TLD: RefusedError."""
    now = NOW
    if fault in ("older", "same-serial"):
        await ledger.accept("zz", 2026030502 if fault == "older" else 2026030501, "0" * 64, NOW)
    rows = tables()
    path = publish(tmp_path / "r", SecretKey.generate() if fault == "key" else key, rows)
    if fault == "byte":
        data = bytearray(path.read_bytes())
        data[-40] ^= 1
        path.write_bytes(bytes(data))
    if fault == "expired":
        now = NOW + dt.timedelta(hours=40)
    looker = watch(str(path), key, ledger, tmp_path)
    if fault == "other-tld":
        looker.tld = "yy"
    before = await ledger.accepted("zz")
    with pytest.raises(RefusedError):
        await looker.look(now)
    assert await ledger.accepted("zz") == before


async def test_over_http_the_records_come_from_the_serials_own_place(
    tmp_path: Path, key: SecretKey, ledger: Ledger, nursery: trio.Nursery
) -> None:
    """Manifest and signature from latest, the rest from ../<serial>/, with the account's credentials; verify_url too."""
    publish(tmp_path / "r", key, tables())
    asked: list[str] = []
    listeners = await nursery.start(
        functools.partial(trio.serve_tcp, functools.partial(_serve, tmp_path / "r", asked), 0, host="127.0.0.1")
    )
    port = listeners[0].socket.getsockname()[1]
    base = f"http://127.0.0.1:{port}/zz/latest"
    found = await watch(f"{base}/records.sql", key, ledger, tmp_path).look(NOW)
    assert found is not None
    assert found.manifest.serial == 2026030501
    assert asked == [
        "/zz/latest/manifest.json yes", "/zz/latest/manifest.json.minisig yes", "/zz/2026030501/records.sql yes"
    ]  # fmt: skip
    into = tmp_path / "verify"
    into.mkdir()
    manifest = await verify_url(Http("x"), base, into, [key.public], tld="zz", now=NOW)
    assert manifest.serial == 2026030501
    with pytest.raises(FetchError):
        await watch(f"http://127.0.0.1:{port}/none/latest/records.sql", key, ledger, tmp_path).look(NOW)
    nursery.cancel_scope.cancel()


async def test_the_zone_is_read_again_when_it_changes_and_a_damaged_one_is_said(tmp_path: Path) -> None:
    """A changed file is read; a cut one raises with its line."""
    path = tmp_path / "zz.zone"
    path.write_text("$ORIGIN zz.\n@ 1 IN SOA a b 1 1 1 1 1\nbad 1 IN NS ns.x.\n")
    looker = ZoneWatch("zz", str(path), Http("x"), tmp_path)
    assert (await looker.look()).owners == {"bad.zz": ("ns.x",)}
    path.write_text("$ORIGIN zz.\n@ 1 IN SOA a b 2 1 1 1 1\nbad 1 IN NS ns.x.\nworse 1 IN NS ns.x.\n")
    assert set((await looker.look()).owners) == {"bad.zz", "worse.zz"}
    path.write_text("$ORIGIN zz.\n@ 1 IN SOA a b 2 1 1 1 1\nbad 1 IN NS")
    with pytest.raises(PanopticonError, match=":3: "):
        await looker.look()


async def test_records_that_the_manifest_does_not_list_are_refused(
    tmp_path: Path, key: SecretKey, ledger: Ledger
) -> None:
    """On disk as over HTTP: a file beside the signed ones is not read, whatever it is called."""
    path = publish(tmp_path / "r", key, tables())
    other = path.with_name("other.sql")
    other.write_bytes(path.read_bytes())
    with pytest.raises(RefusedError, match=r"has no other\.sql"):
        await watch(str(other), key, ledger, tmp_path).look(NOW)
    assert await ledger.accepted("zz") is None


async def test_a_zone_that_lost_most_of_its_names_is_refused_and_the_last_kept(tmp_path: Path) -> None:
    """Under half of the names: a sentence, and the last whole zone stays at hand."""
    path = tmp_path / "zz.zone"
    head = "$ORIGIN zz.\n@ 1 IN SOA a b 1 1 1 1 1\n"
    path.write_text(head + "".join(f"n{at} 1 IN NS ns.x.\n" for at in range(300)))
    looker = ZoneWatch("zz", str(path), Http("x"), tmp_path)
    assert looker.last is None
    whole = await looker.look()
    path.write_text(head + "".join(f"n{at} 1 IN NS ns.x.\n" for at in range(100)))
    with pytest.raises(PanopticonError, match="shrank from 300 names to 100"):
        await looker.look()
    assert looker.last is whole


async def test_the_zone_of_another_tld_is_refused(tmp_path: Path) -> None:
    """By it every name of ours would be gone, and every case called off; one below the TLD is a registry zone."""
    path = tmp_path / "any.zone"
    for origin in ("yy", "zzz"):
        path.write_text(f"$ORIGIN {origin}.\n@ 1 IN SOA a b 1 1 1 1 1\nn 1 IN NS ns.x.\n")
        with pytest.raises(PanopticonError, match=rf"the zone of \.{origin}, not of \.zz; check zone"):
            await ZoneWatch("zz", str(path), Http("x"), tmp_path).look()
    path.write_text("$ORIGIN com.zz.\n@ 1 IN SOA a b 1 1 1 1 1\nn 1 IN NS ns.x.\n")
    assert (await ZoneWatch("zz", str(path), Http("x"), tmp_path).look()).origin == "com.zz"


async def test_a_spool_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, key: SecretKey, ledger: Ledger, nursery: trio.Nursery
) -> None:
    """A full or lost disk is no crash: records and zone say so, and the next look tries again."""
    publish(tmp_path / "r", key, tables())
    (tmp_path / "spool").write_text("a file where the folder should be")
    listeners = await nursery.start(
        functools.partial(trio.serve_tcp, functools.partial(_serve, tmp_path / "r", []), 0, host="127.0.0.1")
    )
    base = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/zz/latest"
    with pytest.raises(PanopticonError, match="make room"):
        await watch(f"{base}/records.sql", key, ledger, tmp_path).look(NOW)
    with pytest.raises(PanopticonError, match="make room"):
        await ZoneWatch("zz", f"{base}/zone", Http("x"), tmp_path / "spool").look()
    nursery.cancel_scope.cancel()


async def _serve(root: Path, asked: list[str], stream: trio.SocketStream) -> None:
    """HTTP as far as a test needs it: one GET, one file."""
    async with stream:
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive_some(4096)
        path = request.split(b" ")[1].decode()
        asked.append(f"{path} {'yes' if b'uthorization: Basic YTpi' in request else 'no'}")
        file = root / path.lstrip("/")
        body = file.read_bytes() if file.is_file() else b""
        status = b"200 OK" if file.is_file() else b"404 Not Found"
        await stream.send_all(
            b"HTTP/1.1 "
            + status
            + b"\r\ncontent-length: "
            + str(len(body)).encode()
            + b"\r\nconnection: close\r\n\r\n"
            + body
        )


def test_credentials_for_rdap_come_from_files(tmp_path: Path) -> None:
    """A Bearer token, a header of the server's own; both from files that nobody else may read."""
    for name, text in (("token", "abc\n"), ("value", "xyz\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    rdap = Rdap(
        "https://rdap.nic.zz/",
        token_file=str(tmp_path / "token"),
        header="X-Api-Key",
        header_file=str(tmp_path / "value"),
    )
    assert rdap_headers(rdap) == {"authorization": "Bearer abc", "x-api-key": "xyz"}
    assert rdap_headers(Rdap("https://rdap.nic.zz/")) == {}
