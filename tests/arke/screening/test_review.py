"""arke.screening.review: the daily list of look-alikes nobody has reported, and which of them are new."""

from __future__ import annotations

import csv
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from arke.config import Config
from arke.screening.review import draft_review, print_list, review_path, summaries, take_decision
from arke.screening.review import write_review as write_drafted
from panopticond.shared.errors import PanopticonError
from panopticond.shared.zone import Zone

TODAY = dt.date(2026, 8, 20)


def write_review(config: Config, tld: str, zone: Zone, listed: set[str], said: dict[str, str] | None = None) -> int:
    return write_drafted(config, draft_review(config, tld, zone, listed), said or {}, TODAY)


def test_the_list_names_imitations_and_what_is_new(tmp_path: Path) -> None:
    """A typo of a protected label is listed, names in a feed and excluded ones are not; new is what the last zone lacked."""
    protect, exclude = tmp_path / "protect", tmp_path / "exclude"
    protect.write_text("bancomillen\n")
    exclude.write_text("bancomilen.zz\n")
    config = Config(tld="zz", keys=["x"], records="x", state=str(tmp_path / "state"))
    settings = {"protect": [str(protect)], "exclude": [str(exclude)]}
    config = Config(
        tld="zz", keys=["x"], records="x", state=str(tmp_path / "state"), screen=type(config.screen)(**settings)
    )
    names = dict.fromkeys(("bancomi11en.zz", "bancomilen.zz", "bancommillen.zz", "quietgarden.zz"), ("ns.x",))
    write_review(config, "zz", Zone("zz", 1, names), {"bancommillen.zz"})
    assert listed(config) == {"bancomi11en.zz": "no"}
    write_review(config, "zz", Zone("zz", 2, names | {"bancomillem.zz": ("ns.x",)}), {"bancommillen.zz"})
    assert listed(config) == {"bancomi11en.zz": "no", "bancomillem.zz": "yes"}
    write_review(config, "zz", Zone("zz", 2, names | {"bancomillem.zz": ("ns.x",)}), {"bancommillen.zz"})
    assert listed(config)["bancomillem.zz"] == "yes"
    assert len(list((tmp_path / "state" / "zones").iterdir())) == 2


def listed(config: Config) -> dict[str, str]:
    with review_path(config, "zz").open() as file:
        return {row["name"]: row["new"] for row in csv.DictReader(file)}


def test_decisions_stick_and_listed_names_are_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name somebody decided about does not come back; one in a feed is named in the summary, not on the list."""
    config = Config(tld="zz", keys=["x"], records="x", state=str(tmp_path / "state"))
    names = dict.fromkeys(("paypa1.zz", "paypal-login.zz", "netflix-login.zz", "xn--pypal-4ve.zz"), ("ns.x",))
    write_review(config, "zz", Zone("zz", 1, names), {"netflix-login.zz"})
    assert set(listed(config)) == {"paypa1.zz", "paypal-login.zz", "xn--pypal-4ve.zz"}
    take_decision(config, "PayPa1.zz.", "confirm")
    take_decision(config, "p\u0430ypal.zz", "dismiss")
    print_list(config, as_json=False)
    shown = capsys.readouterr().out
    assert "paypal-login.zz" in shown
    assert "0.50 (" in shown
    write_review(config, "zz", Zone("zz", 2, names), {"netflix-login.zz"})
    assert set(listed(config)) == {"paypal-login.zz"}
    told: Any = summaries(config)
    assert told["lists"]["zz"]["already_listed"] == ["netflix-login.zz"]
    assert (told["precision"]["decided"], told["precision"]["abuse"]) == (2, 1)
    print_list(config, as_json=True)
    assert len(json.loads(capsys.readouterr().out)["names"]) == 1
    with pytest.raises(PanopticonError, match="below none"):
        take_decision(config, "paypa1.yy", "confirm")


def test_days_of_registration_weigh_and_are_shown(tmp_path: Path) -> None:
    """What was registered lately rises; the list tells a day, none and not asked apart."""
    config = Config(tld="zz", keys=["x"], records="x", state=str(tmp_path / "state"))
    names = dict.fromkeys(("paypal-login.zz", "netflix-login.zz", "paypa1.zz", "bakery.zz"), ("ns.x",))
    zone = Zone("zz", 1, names)
    write_review(config, "zz", zone, set())
    plain = rows(config)
    assert {row["registered"] for row in plain.values()} == {"not asked"}
    last = list(plain)[-1]
    write_review(config, "zz", zone, set(), {last: "2026-08-19", next(iter(plain)): "none"})
    found = rows(config)
    assert next(iter(found)) == last
    assert float(found[last]["score"]) > float(plain[last]["score"])
    assert [row["registered"] for row in found.values()] == ["2026-08-19", "none", "not asked"]


def rows(config: Config) -> dict[str, dict[str, str]]:
    with review_path(config, "zz").open() as file:
        return {row["name"]: row for row in csv.DictReader(file)}
