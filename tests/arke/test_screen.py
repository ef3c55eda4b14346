"""The review list and the opinions on new names, over small made-up zones."""

import argparse
import csv
import io
import json
from pathlib import Path

import pytest

from arke import screen
from panopticond.shared.dga import Model
from panopticond.shared.errors import ConfigurationError
from panopticond.shared.lookalike import Protected

INDEX = Protected(["paypal", "netflix"])
MODEL = Model.load()
ZONE = ["paypa1.zz", "netflix-login.zz", "bakery.zz", "netflix.zz", "qjxkwvzptlrw.zz", "tallinn.zz", "xn--pypal-4ve.zz"]


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    sub = parser.add_subparsers(dest="command")
    screen.add_scan_arguments(sub.add_parser("scan"))
    screen.add_screen_arguments(sub.add_parser("screen"))
    return parser.parse_args(words)


def test_review_list_is_ranked_and_explained() -> None:
    """Imitations and generated names stand there, worst first, with kinds and reasons; ordinary names do not."""
    found = screen.review_list(ZONE, (), INDEX, (), None, None, model=MODEL)
    assert {item.name for item in found} == set(ZONE) - {"bakery.zz", "tallinn.zz"}
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)
    assert found[-1].name == "netflix.zz"
    assert all(item.kinds and item.reasons for item in found)
    spoof = next(item for item in found if item.name.startswith("xn--"))
    assert (spoof.unicode, spoof.lookalike_of) == ("p\u0430ypal.zz", "paypal")


def test_new_listed_and_excluded() -> None:
    """What the last zone had is not new; a name in a feed or cleared by a person is not repeated; top cuts."""
    before = set(ZONE) - {"paypa1.zz"}
    found = screen.review_list(ZONE, {"netflix-login.zz"}, INDEX, {"netflix"}, None, before)
    assert {item.name: item.new for item in found} == {"paypa1.zz": True, "xn--pypal-4ve.zz": False}
    assert len(screen.review_list(ZONE, (), INDEX, (), 1, before)) == 1
    assert not any(item.new for item in screen.review_list(ZONE, (), INDEX, (), None, None))


def test_newness_weighs() -> None:
    """The same name scores higher when it is new."""
    old, new = (
        screen.review_list(["paypa1.zz"], (), INDEX, (), None, before)[0].score for before in ({"paypa1.zz"}, set())
    )
    assert new > old


def test_csv() -> None:
    """The CSV has the columns of the design, one row a name."""
    out = io.StringIO()
    screen.write_csv(screen.review_list(ZONE, (), INDEX, (), None, set(), model=MODEL), out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert list(rows[0]) == ["name", "unicode", "score", "kinds", "reasons", "lookalike_of", "new"]
    assert len(rows) == 5


@pytest.mark.parametrize(
    ("name", "decision"),
    [
        ("PayPa1.zz", "review"), ("paypal", "hold"), ("\u0440\u0430\u0443\u0440\u0430l.zz", "hold"), ("netflix-login", "hold"),
        ("bakery", "pass"), ("bäckerei", "pass"), ("qjxkwvzptlrwq", "review"), ("b\u0430kery", "review"),
        ("", "invalid"), ("bad name", "invalid"), ("-x", "invalid"), ("a..zz", "invalid"), ("x" * 64, "invalid"),
        ("xn--zzz999--", "invalid"), ("ab--cd", "invalid"), ("under_score", "invalid"), ("é" * 60, "invalid"),
    ],
)  # fmt: skip
def test_opinions(name: str, decision: str) -> None:
    """Imitations are held or reviewed, ordinary names pass, malformed ones are invalid with the reason."""
    opinion = screen.screen_name(name, INDEX, MODEL, "zz")
    assert opinion.decision in ({"review", "hold"} if decision == "review" else {decision}), opinion
    assert 0 <= opinion.score <= 1
    assert opinion.reasons or opinion.decision == "pass"


def test_screen_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One JSON line for every name, in order, with the fields of the design; the registry's list outranks ours."""
    (tmp_path / "protect.txt").write_text("paypol.zz\n# a comment\n")
    (tmp_path / "names.txt").write_text("bakery\nbad name\n")
    words = ("screen", "--protect", str(tmp_path / "protect.txt"), "--names", str(tmp_path / "names.txt"), "paypel")
    screen.screen_command(options(*words))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["name"] for line in lines] == ["paypel", "bakery", "bad name"]
    assert lines[0]["lookalike_of"] == "paypol"
    assert list(lines[0]) == [
        "name", "decision", "score", "lookalike_of", "kinds", "lookalike_score", "dga_score", "reasons",
    ]  # fmt: skip
    with pytest.raises(ConfigurationError):
        screen.screen_command(options("screen"))


@pytest.mark.parametrize("form", ["json", "csv", "table"])
def test_scan_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str) -> None:
    """A master file and a plain list are read alike; every format shows the imitation and not the bakery."""
    (tmp_path / "zone").write_text(
        "$ORIGIN zz.\n$TTL 60\n@ SOA ns.nic.zz. h.nic.zz. 1 2 3 4 5\n@ NS ns.nic.zz.\n"
        "paypa1 NS ns.x.test.\nbakery NS ns.x.test.\n"
    )
    (tmp_path / "before").write_text("bakery.zz\n")
    words = ("scan", "--zone", str(tmp_path / "zone"), "--before", str(tmp_path / "before"), "--format", form)
    screen.scan_command(options(*words))
    out = capsys.readouterr().out
    assert "paypa1.zz" in out
    assert "bakery" not in out
    if form == "json":
        assert json.loads(out.splitlines()[0])["new"] is True
