"""panopticond.zonelist: names of a TLD's own zone that no feed has, for a person."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from panopticond.commands.review_zone import table, zone_lists
from panopticond.config import Config, StoreSettings, Tld
from panopticond.shared.clock import Clock
from panopticond.shared.errors import ConfigurationError, PanopticonError
from panopticond.shared.zone import Zone
from panopticond.zonelist import find_names, read_list, watch_zone, write_list

AT = "2026-08-20T06:00:00Z"
HEAD = "$ORIGIN zz.\n$TTL 3600\n@ IN SOA ns.nic.zz. h.nic.zz. {serial} 1 1 1 1\n@ IN NS ns.nic.zz.\n"


def written(path: Path, serial: int, *labels: str, origin: str = "zz") -> None:
    rows = "".join(f"{label} IN NS ns1.isp.test.\n" for label in labels)
    path.write_text(HEAD.format(serial=serial).replace("$ORIGIN zz.", f"$ORIGIN {origin}.") + rows)


def configured(tmp_path: Path, **tld: Any) -> Config:
    return Config(
        tld=(Tld(name="zz", zone=str(tmp_path / "zz.zone"), **tld),), store=StoreSettings(path=str(tmp_path / "p.db"))
    )


def test_new_names_come_first_and_listed_ones_are_counted() -> None:
    """What the last zone lacked stands before worse names; what a feed has is counted; an owner's own name is neither."""
    names = ("paypal-login.zz", "paypall.zz", "nationalbank.zz", "nationalbenk.zz", "bakery.zz", "netflix-login.zz")
    zone = Zone("zz", 2, dict.fromkeys(names, ("ns1.isp.test",)))
    tld = Tld(name="zz", critical=("nationalbank.zz",))
    found = find_names(tld, zone, set(names) - {"paypall.zz"}, {"netflix-login.zz"}, AT)
    assert [(item.name, item.new) for item in found.names] == [
        ("paypall.zz", True), ("nationalbenk.zz", False), ("paypal-login.zz", False),
    ]  # fmt: skip
    assert (found.size, found.already_listed) == (6, 1)


def test_a_list_is_kept_and_shown(tmp_path: Path) -> None:
    """The command shows the last list with the zone's size; a broken file is none, another TLD's zone is refused."""
    config = configured(tmp_path)
    assert table(zone_lists(config)) == "no list yet: the running daemon makes one within the hour"
    written(tmp_path / "zz.zone", 1, "bakery", "paypa1")
    write_list(config, config.tld[0], (), AT)
    written(tmp_path / "zz.zone", 2, "bakery", "paypa1", "netflix-login")
    write_list(config, config.tld[0], (), AT)
    kept = read_list(config, "zz")
    assert kept is not None
    assert (kept.serial, kept.size) == (2, 3)
    assert {item.name: item.new for item in kept.names} == {"netflix-login.zz": True, "paypa1.zz": False}
    shown = table(zone_lists(config, "zz"))
    assert ".zz, zone 2 of 3 names" in shown
    assert "new netflix-login.zz" in shown
    with pytest.raises(ConfigurationError, match="yy gives no zone"):
        zone_lists(config, "yy")
    written(tmp_path / "zz.zone", 3, "bakery", origin="yy")
    with pytest.raises(PanopticonError, match=r"of \.yy"):
        write_list(config, config.tld[0], (), AT)
    (tmp_path / "zones" / "zz.json").write_text("{")
    assert read_list(config, "zz") is None


def test_without_a_zone_there_is_nothing(tmp_path: Path) -> None:
    """A TLD that gives no zone has no list, and the command says so."""
    with pytest.raises(ConfigurationError, match="gives its zone"):
        zone_lists(Config(tld=(Tld(name="zz"),), store=StoreSettings(path=str(tmp_path / "p.db"))))


class Empty:
    """A store that knows no indicator."""

    async def standings(self, _tld: str) -> AsyncIterator[Any]:
        for one in ():
            yield one


async def test_the_zone_is_looked_at_again_when_it_changed(tmp_path: Path) -> None:
    """A missing zone is told and tried again within the hour; then the list is there, and the trouble is over."""
    config, told, first, well = configured(tmp_path), list[str](), trio.Event(), trio.Event()
    store: Any = Empty()
    clock = Clock(dt.datetime.now(dt.UTC), 36_000)  # an hour is a tenth of a second

    def tell(_task: str, said: str) -> None:
        told.append(said)
        (first if said else well).set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_zone, config, config.tld[0], store, clock, tell)
        await first.wait()
        assert "zz.zone" in told[0]
        written(tmp_path / "zz.zone", 1, "paypa1")
        with trio.fail_after(30):
            await well.wait()
        nursery.cancel_scope.cancel()
    kept = read_list(config, "zz")
    assert kept is not None
    assert [item.name for item in kept.names] == ["paypa1.zz"]
