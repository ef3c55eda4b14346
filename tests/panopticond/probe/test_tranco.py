"""The Tranco list: fetched once a day, bounded, looked up in memory, honest about a list it does not have."""

from __future__ import annotations

import datetime as dt
import io
import zipfile
from pathlib import Path

import pytest
import trio

from panopticond.probe.tranco import Tranco, read_ranks
from panopticond.shared.errors import FetchError
from panopticond.shared.http import Http
from tests.panopticond.webservers import answer, listen, site

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


def packed(rows: bytes, name: str = "top-1m.csv") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, rows)
    return file.getvalue()


async def test_fetched_once_a_day_with_its_id(nursery: trio.Nursery) -> None:
    """Ranks and id come from the list; the next fetch is a day later; a failure keeps the old list."""
    asked: list[str] = []
    body = [answer(200, packed(b"1,google.zz\r\n2,Shop.zz\n1000001,late.zz\nx,y\n3\n"))]

    def serve(path: str, _headers: dict[str, str]) -> bytes:
        asked.append(path)
        return answer(200, b"Z3WG9\n") if path == "/id" else body[0]

    base = f"http://127.0.0.1:{await listen(nursery, site(serve))}"
    tranco = Tranco(Http("panopticon-test/1"), url=base + "/zip", id_url=base + "/id")
    assert tranco.check("shop.zz", NOW).detail == {"reason": "no-list"}
    await tranco.refresh(NOW)
    found = tranco.check("shop.zz", NOW)
    assert (found.outcome, found.detail, tranco.list_id) == ("ranked", {"rank": "2", "list": "Z3WG9"}, "Z3WG9")
    assert tranco.check("late.zz", NOW).outcome == "unranked"
    await tranco.refresh(NOW + HOUR)
    assert asked == ["/id", "/zip"]
    body[0] = answer(502)
    await tranco.refresh(NOW + DAY)
    await tranco.refresh(NOW + DAY + HOUR / 2)
    assert (len(asked), tranco.problem) == (4, "status-502")
    assert tranco.check("shop.zz", NOW + DAY).outcome == "ranked"
    assert tranco.check("shop.zz", NOW + 8 * DAY).detail == {"reason": "stale-list"}


async def test_by_path_and_without(tmp_path: Path) -> None:
    """A path serves as well as a URL; a missing file and a damaged one leave every answer indeterminate."""
    (tmp_path / "good.zip").write_bytes(packed(b"7,a.zz\n"))
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    http = Http("panopticon-test/1")
    good = Tranco(http, url=str(tmp_path / "good.zip"))
    await good.refresh(NOW)
    assert good.check("a.zz", NOW).detail == {"rank": "7"}
    for name, reason in (("bad.zip", "protocol"), ("none.zip", "unreadable")):
        tranco = Tranco(http, url=str(tmp_path / name))
        await tranco.refresh(NOW)
        found = tranco.check("a.zz", NOW)
        assert (found.outcome, found.detail["reason"]) == ("indeterminate", reason)


@pytest.mark.parametrize("body", [packed(b""), packed(b"1,a.zz", "x.txt"), packed(b"1,a.zz")[:-30], b"", b"PK" * 50])
def test_no_list(body: bytes) -> None:
    """An empty list, a zip without a CSV, a cut one and no zip at all are refused."""
    with pytest.raises(FetchError):
        read_ranks(io.BytesIO(body))


def test_a_bomb_is_read_to_its_bound() -> None:
    """A member that inflates without end costs its cap, not the memory."""
    body = packed(b"1,a.zz\n" + b"0" * (4 << 20) + b"\n2,b.zz\n")
    assert read_ranks(io.BytesIO(body)).rank("b.zz") == 2
    assert read_ranks(io.BytesIO(body), 1 << 20).rank("b.zz") is None
