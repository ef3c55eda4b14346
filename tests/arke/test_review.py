"""arke.review: the daily list of look-alikes nobody has reported, and which of them are new."""

from __future__ import annotations

import csv
from pathlib import Path

from arke.config import Config
from arke.review import review_path, write_review
from panopticond.shared.zone import Zone


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
