"""The review list and the opinions on new names, over small made-up zones."""

import argparse
import csv
import datetime as dt
import io
import json
from pathlib import Path

import pytest

from arke import screen
from arke.screening import lists, opinion
from panopticond.shared import ranking
from panopticond.shared.dga import Model
from panopticond.shared.errors import ConfigurationError, PanopticonError
from panopticond.shared.lookalike.protected import Protected

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
    found = ranking.review_list(ZONE, (), INDEX, (), None, None, model=MODEL)
    assert {item.name for item in found} == set(ZONE) - {"bakery.zz", "tallinn.zz"}
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)
    assert found[-1].name == "netflix.zz"
    assert all(item.kinds and item.reasons for item in found)
    spoof = next(item for item in found if item.name.startswith("xn--"))
    assert (spoof.unicode, spoof.lookalike_of) == ("p\u0430ypal.zz", "paypal")


def test_new_listed_and_excluded() -> None:
    """What the last zone had is not new; a name in a feed or cleared by a person is not repeated; top cuts."""
    before = set(ZONE) - {"paypa1.zz"}
    found = ranking.review_list(ZONE, {"netflix-login.zz"}, INDEX, {"netflix"}, None, before)
    assert {item.name: item.new for item in found} == {"paypa1.zz": True, "xn--pypal-4ve.zz": False}
    assert len(ranking.review_list(ZONE, (), INDEX, (), 1, before)) == 1
    assert not any(item.new for item in ranking.review_list(ZONE, (), INDEX, (), None, None))


def test_newness_weighs() -> None:
    """The same name scores higher when it is new."""
    old, new = (
        ranking.review_list(["paypa1.zz"], (), INDEX, (), None, before)[0].score for before in ({"paypa1.zz"}, set())
    )
    assert new > old


def test_csv() -> None:
    """The CSV has the columns of the design, one row a name."""
    out = io.StringIO()
    ranking.write_csv(ranking.review_list(ZONE, (), INDEX, (), None, set(), model=MODEL), out)
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    assert list(rows[0]) == ["name", "unicode", "score", "kinds", "reasons", "lookalike_of", "new"]
    assert len(rows) == 5


@pytest.mark.parametrize(
    ("name", "decision"),
    [
        ("PayPa1.zz", "review"), ("paypal", "hold"), ("\u0440\u0430\u0443\u0440\u0430l.zz", "hold"), ("netflix-login", "hold"),
        ("bakery", "pass"), ("bäckerei", "pass"), ("qjxkwvzptlrwq", "review"), ("b\u0430kery", "review"), ("\U0001f4a9.zz", "review"),
        ("", "invalid"), ("bad name", "invalid"), ("-x", "invalid"), ("a..zz", "invalid"), ("x" * 64, "invalid"),
        ("xn--zzz999--", "invalid"), ("ab--cd", "invalid"), ("under_score", "invalid"), ("é" * 60, "invalid"),
    ],
)  # fmt: skip
def test_opinions(name: str, decision: str) -> None:
    """Imitations are held or reviewed, ordinary names pass, malformed ones are invalid with the reason."""
    said = opinion.screen_name(name, INDEX, MODEL, "zz")
    assert said.decision in ({"review", "hold"} if decision == "review" else {decision}), said
    assert 0 <= said.score <= 1
    assert said.reasons or said.decision == "pass"


@pytest.mark.parametrize(
    ("name", "rules", "decision"),
    [
        ("netflix-login", {"kinds": {"combosquat": "review"}}, "review"),
        ("netflix-login", {"kinds": {"combosquat": "pass"}}, "pass"),
        ("netflix-login", {"hold_from": 0.99}, "review"),
        ("paypel", {"brands": {"paypal": "hold"}}, "hold"),
        ("netflix-login", {"allow": ["netflix-login"]}, "pass"),
        ("netflix-login", {"allow": ["netflix-login.zz"]}, "hold"),
        ("qjxkwvzptlrwq", {"kinds": {"dga": "pass"}}, "pass"),
        ("b\u0430kery", {"mixed_scripts": "hold"}, "hold"),
        ("quiet", {}, "hold"), ("quiet", {"known_dga": "review"}, "review"),
    ],
)  # fmt: skip
def test_policy(tmp_path: Path, name: str, rules: dict[str, object], decision: str) -> None:
    """The policy file says how far a kind may go, what a brand demands at least, and what always passes."""
    (tmp_path / "policy.json").write_text(json.dumps(rules))
    policy = opinion.read_policy(tmp_path / "policy.json")
    known = {"quiet.zz": "tinba"}
    said = opinion.screen_name(name, INDEX, MODEL, "zz", policy=policy, known=known)
    assert said.decision == decision, said
    assert said.reasons


@pytest.mark.parametrize(
    "text", ['{"hold_from": 2}', '{"kinds": {"magic": "hold"}}', '{"hold_from": 0.1}', "[]", "{", '{"x": 1}']
)
def test_policy_faults(tmp_path: Path, text: str) -> None:
    """A wrong policy is refused with every fault."""
    (tmp_path / "policy.json").write_text(text)
    with pytest.raises(ConfigurationError):
        opinion.read_policy(tmp_path / "policy.json")


def test_known_generated_names(tmp_path: Path) -> None:
    """Names of known-DGA lists are found exactly, first, with the list's name; a folder is read whole."""
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "tinba.txt").write_text("garden.zz\nelsewhere.yy,2026-01-01\n")
    known = lists.known_dga([tmp_path / "lists"])
    assert known == {"garden.zz": "tinba", "elsewhere.yy": "tinba"}
    assert lists.known_dga([tmp_path / "lists"], "yy") == {"elsewhere.yy": "tinba"}
    found = ranking.review_list(["garden.zz", "bakery.zz"], (), INDEX, (), None, None, model=MODEL, known=known)
    assert [(item.name, item.kinds) for item in found] == [("garden.zz", ("dga",))]
    assert "tinba" in found[0].reasons[0]


def test_batches_rank_higher() -> None:
    """New names of nearly the same letters, and new names on servers of their own, rank above a single new one."""
    crowd = ("ns.crowd.test",)
    zone = {f"shop{at}.zz": ("ns.hoster.test",) for at in range(40)} | {"paypa1.zz": ("ns.hoster.test",)}
    batch = {f"paypal-login{at}.zz": crowd for at in range(4)}
    single = ranking.review_list(zone | {"paypal-login9.zz": crowd}, (), INDEX, (), 1, zone)[0]
    found = {item.name: item for item in ranking.review_list(zone | batch, (), INDEX, (), None, zone)}
    assert found["paypal-login1.zz"].score > single.score
    reasons = " ".join(found["paypal-login1.zz"].reasons)
    assert "4 new names of nearly the same letters" in reasons
    assert "4 new names on name servers with few others" in reasons
    hosted = ranking.review_list(zone | dict.fromkeys(batch, ("ns.hoster.test",)), (), INDEX, (), 1, zone)[0]
    assert "name servers" not in " ".join(hosted.reasons)


def test_lately_registered(tmp_path: Path) -> None:
    """A day of registration within thirty days raises the score and is said; a malformed one names its line."""
    (tmp_path / "days").write_text("paypa1.zz,2026-08-10T00:00:00Z\nnetflix-login.zz,2020-01-01\n")
    days = lists.registration_days(tmp_path / "days")
    found = ranking.review_list(
        ["paypa1.zz", "netflix-login.zz"], (), INDEX, (), None, None, registered=days, today=dt.date(2026, 8, 20)
    )
    assert {item.name: "registered on 2026-08-10" in item.reasons for item in found} == {
        "paypa1.zz": True, "netflix-login.zz": False,
    }  # fmt: skip
    (tmp_path / "days").write_text("paypa1.zz yesterday\n")
    with pytest.raises(PanopticonError, match="days:1"):
        lists.registration_days(tmp_path / "days")


def test_before_of_another_tld_is_refused(tmp_path: Path) -> None:
    """A list of another TLD would make every name new, so it is refused; an empty one is said."""
    (tmp_path / "zone").write_text("paypa1.zz\n")
    (tmp_path / "before").write_text("bakery.yy\n")
    with pytest.raises(ConfigurationError, match="zz"):
        screen.scan_command(options("scan", "--zone", str(tmp_path / "zone"), "--before", str(tmp_path / "before")))


def test_popular_names_and_keyboards_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``--popular FILE:N`` protects the first N; ``--keyboard`` takes a name or a file, and refuses what is neither."""
    (tmp_path / "zone").write_text("bigsaerch.zz\nsmollsite.zz\nnebs.zz\n")
    (tmp_path / "top").write_text("1,bigsearch.test\n2,smallsite.test\n3,news.test\n")
    (tmp_path / "rows").write_text("qéwb\nasdf\n")
    words = ("scan", "--format", "json", "--zone", str(tmp_path / "zone"))
    screen.scan_command(options(*words, "--popular", f"{tmp_path / 'top'}:1"))
    assert [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()] == ["bigsaerch.zz"]
    every = ("--popular", str(tmp_path / "top"), "--keyboard", str(tmp_path / "rows"))
    screen.scan_command(options(*words, *every))
    assert len(capsys.readouterr().out.splitlines()) == 3
    (tmp_path / "rows").write_text("q w\n")
    for wrong in ("dvorak", str(tmp_path / "rows")):
        with pytest.raises(PanopticonError, match=r"dvorak|rows"):
            screen.scan_command(options(*words, "--keyboard", wrong))


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
