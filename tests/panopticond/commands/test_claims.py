"""``panopticond review claim`` and ``review feeds``: a dispute stops the notice, deletes nothing and keeps no person."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from panopticond.__main__ import main
from panopticond.commands.claims import claim, claims_in, feed_records, feed_table
from panopticond.commands.review import decide, matters
from panopticond.config import Config, StoreSettings, Tld
from panopticond.judge.verdict import Listing, judge
from panopticond.model import Indicator, Observation, Round, Subject, Verdict, public_id
from panopticond.shared.errors import PanopticonError
from panopticond.store.sqlite import open_store

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
async def config(tmp_path: Path) -> Config:
    """Three URIs of two domains, all active, one feed listing all and another two of them."""
    found = [
        Indicator(f"http://www.{name}/{path}", f"www.{name}", name, "zz", "registered", "phishing")
        for name, path in (("d1.zz", "a"), ("d1.zz", "b"), ("d2.zz", "c"))
    ]
    async with await open_store(tmp_path / "p.db") as store:
        for watch in await store.record_listing("all", NOW, found):
            await store.record_round(watch.id, Round(NOW, ()), Verdict("active", "r", NOW, NOW, last_active=NOW))
        await store.record_listing("some", NOW, found[:2])
    return Config(tld=(Tld(name="zz"),), store=StoreSettings(str(tmp_path / "p.db")))


async def test_a_claim_waits_for_a_person_and_a_decision_ends_it(config: Config) -> None:
    """By a domain all its indicators are claimed; confirmed or dismissed, none waits; a decision outlives a claim."""
    told, unknown = await claim(config, ["d1.zz", "d1.zz", "nobody.zz"])
    assert len(told) == 2
    assert unknown == ["nobody.zz"]
    waiting = await matters(config)
    assert [(one.target, one.reasons) for one in waiting] == [
        ("http://www.d1.zz/a", ("claimed",)),
        ("http://www.d1.zz/b", ("claimed",)),
    ]
    assert await matters(config, decided=True) == waiting
    await decide(config, waiting[0].id, "dismiss")
    await decide(config, waiting[1].id, "confirm")
    assert await matters(config) == []
    told, _ = await claim(config, [public_id("http://www.d1.zz/a")])
    assert "decided already (dismiss)" in told[0]
    assert await matters(config) == []


@pytest.mark.parametrize(
    "said", ["HTTP://WWW.D2.ZZ/c", "hxxp://www[.]d2[.]zz/c", " http://www.d2.zz:80/c#top ", "D2.zz", "www.D2.ZZ."]
)
async def test_a_claim_is_read_as_people_write(config: Config, said: str) -> None:
    """In capitals, defanged as in our own notices, with what a feed's row would lose: the same indicator is meant."""
    told, unknown = await claim(config, [said])
    assert (len(told), unknown) == (1, [])


async def test_what_nobody_knows_is_not_printed_as_it_came(config: Config) -> None:
    """One line, printable, cut: a claim comes from strangers."""
    _, unknown = await claim(config, ["x" * 100_000, "a\x1b[2Jb.zz"])
    assert unknown == ["x" * 200 + "...", "a?[2Jb.zz"]


async def test_the_record_of_each_feed_counts_what_people_found(config: Config) -> None:
    """Dismissed among decided is the feed's share of false positives; a claim alone is none."""
    await claim(config, ["d2.zz"])
    await decide(config, "http://www.d1.zz/a", "dismiss")
    await decide(config, "http://www.d1.zz/b", "confirm")
    everything, some = await feed_records(config)
    assert (everything.feed, everything.indicators, everything.claimed) == ("all", 3, 1)
    assert (everything.confirmed, everything.dismissed, everything.wrong_share) == (1, 1, 0.5)
    assert (some.feed, some.indicators, some.claimed, some.wrong_share) == ("some", 2, 0, 0.5)
    assert feed_table([everything]).splitlines()[1].endswith("50.0%")


@pytest.mark.parametrize(
    ("outcome", "state", "review"),
    [("resolves", "active", True), ("no-address", "unreachable", True), ("sinkhole", "mitigated-dns", False)],
)
def test_a_claimed_indicator_is_for_review_until_it_is_over(outcome: str, state: str, *, review: bool) -> None:
    """The state is what was seen; the flag keeps arke from any notice; what is mitigated needs no person."""
    subject = Subject(1, None, "d1.zz", "d1.zz", "zz", "registered", ("phishing",))
    seen = Observation("delegation", "d1.zz", "direct", NOW, "delegated")
    made = Round(NOW, (seen, Observation("address", "d1.zz", "direct", NOW, outcome)))
    for decision, expected in (("claim", review), ("confirm", False), ("dismiss", False), (None, False)):
        verdict = judge(subject, [made], Listing(listed=True, decision=decision))
        assert (verdict.state, "review" in verdict.flags) == (state, expected)


def test_a_file_of_claims_is_read_by_its_first_words(tmp_path: Path) -> None:
    """A case number behind a claim is not read; comments and blank lines are none; what is no list is refused."""
    file = tmp_path / "claims.txt"
    file.write_text("# from the registry\n\nhttp://www.d1.zz/a  zz-2026-abcdef\r\nd2.zz\n")
    assert claims_in(file) == ["http://www.d1.zz/a", "d2.zz"]
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PanopticonError, match="no UTF-8"):
        claims_in(file)
    file.write_bytes(b"d.zz\n" * 10_001)
    with pytest.raises(PanopticonError, match="more than 10000 lines"):
        claims_in(file)
    with pytest.raises(PanopticonError, match="No such file"):
        claims_in(tmp_path / "none")


def test_the_command_claims_and_says_what_is_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1 for an unknown one, 2 for none at all."""
    path = tmp_path / "p.toml"
    path.write_text(
        '[[tld]]\nname = "zz"\n[[vantage]]\nname = "a"\ncountry = "NZ"\n[[vantage]]\nname = "b"\ncountry = "DE"\n'
        f'[store]\npath = "{tmp_path}/p.db"\n'
    )
    assert main(["review", "claim", "-c", str(path), "d9.zz"]) == 1
    assert "d9.zz: no feed has listed this" in capsys.readouterr().err
    assert main(["review", "claim", "-c", str(path)]) == 2
    assert main(["review", "feeds", "-c", str(path)]) == 0
    assert capsys.readouterr().out.startswith("feed ")
