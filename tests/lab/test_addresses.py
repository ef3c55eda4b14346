"""The search for the feeds' e-mail addresses finds one however it was written, and nothing where there is none."""

from __future__ import annotations

import base64
import gzip
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.addresses import addresses_of, found_in
from tests.lab.replay import no_address_kept

ADDRESS = "Jo.Victim+1@mail.example"


def packed(text: str) -> str:
    return base64.b64encode(text.encode()).decode().rstrip("=")


WRITTEN: dict[str, Callable[[str], str]] = {
    "plain": lambda address: f"http://bad.zz/?e={address}&x",
    "percent": lambda address: f"http://bad.zz/?e={address.replace('@', '%40').replace('.', '%2E')}",
    "percent twice": lambda address: f"http://bad.zz/?e={address.replace('@', '%2540')}",
    "base64": lambda address: f"http://bad.zz/#{packed(address)}",
    "base64 glued": lambda address: f"http://bad.zz/x1{packed('to:' + address + '.')}",
    "base64 of percent": lambda address: f"http://bad.zz/{packed(address.replace('@', '%40'))}",
    "percent of base64": lambda address: "http://bad.zz/" + "".join(f"%{ord(one):02X}" for one in packed(address)),
}


@pytest.mark.parametrize("captured", WRITTEN)
@pytest.mark.parametrize("kept", WRITTEN)
def test_an_address_is_found_however_it_is_written(tmp_path: Path, captured: str, kept: str) -> None:
    """In the capture one way, in what was made of it another: the file is named."""
    capture, made = tmp_path / "capture", tmp_path / "made"
    capture.write_text(f"http://other.zz/\n{WRITTEN[captured](ADDRESS)}\n")
    made.write_text(f"http://bad.zz/redacted\n{WRITTEN[kept](ADDRESS)}\n")
    addresses = addresses_of([capture])
    assert any(ADDRESS.lower() in address for address in addresses)
    assert list(found_in(addresses, [made])) == [made]


def test_a_replay_that_kept_one_fails_and_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Store, snapshot, report and log are searched, packed or not; the captures themselves, served from there, are not."""
    capture = tmp_path / "feeds" / "list"
    for folder in ("feeds", "logs", "panopticon-state", "published"):
        (tmp_path / folder).mkdir()
    capture.write_text(f"http://bad.zz/?e={ADDRESS}\n")
    (tmp_path / "logs" / "panopticond.log").write_text("feed list is OK: 1 rows\n")
    with sqlite3.connect(tmp_path / "panopticon-state" / "panopticon.db") as store:
        store.execute("CREATE TABLE indicator (key)")
        store.execute("INSERT INTO indicator VALUES ('http://bad.zz/?e=redacted')")
    assert no_address_kept([capture], tmp_path)
    assert "1 e-mail addresses of the captures were looked for in 2 files; none is there" in capsys.readouterr().err
    store.execute("INSERT INTO indicator VALUES (?)", (f"http://bad.zz/{packed(ADDRESS)}",))
    store.commit()
    store.close()
    (tmp_path / "published" / "records.sql.gz").write_bytes(gzip.compress(ADDRESS.encode()))
    assert not no_address_kept([capture], tmp_path)
    told = capsys.readouterr().err
    assert "panopticon-state/panopticon.db" in told
    assert "published/records.sql.gz" in told
    assert ADDRESS not in told
