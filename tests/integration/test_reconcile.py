"""`arke reconcile` from end to end over real HTTP: beside panopticond's own MoSAPI server, and beside one that misbehaves.

Whatever the server does, the figures equal set arithmetic or nothing is written and the sentence says what to do.
"""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from arke.commands.icann import reconcile
from arke.config import Config
from arke.config import Mosapi as Settings
from arke.reconcile import Ours, compare, figures
from panopticond.config import Account, Publish, Serve, Tld
from panopticond.config import Config as Panopticond
from panopticond.serve.door import serve
from panopticond.shared import minisign
from panopticond.shared.clock import ClockSettings
from panopticond.shared.errors import FetchError
from panopticond.shared.mosapi import DomainList, ThreatList, encode
from panopticond.snapshot.publish import publish_tld
from tests.arke import made
from tests.arke.commands.test_icann import LIST, Answer, Server, served
from tests.panopticond.snapshot import ledger

__all__ = ["served"]
THREATS = ("phishing", "malware", "botnetCc", "spam")


def configure(root: Path, url: str, names: tuple[str, ...], user: str = "zz_ry", word: str = "secret") -> Config:
    """Arke's configuration: a signed snapshot of its own with these names, and the account at ``url``."""
    key = minisign.SecretKey.generate()
    records = made.publish(root / "own", key, made.tables(names=names))
    (root / "password").write_text(f"{word}\n")
    (root / "password").chmod(0o600)
    return Config(
        tld="zz", keys=[key.public.text], records=str(records), state=str(root / "state"), lab=True,
        clock=ClockSettings(epoch=made.NOW, scale=1e-9),
        mosapi=Settings(url=url, username=user, password_file=str(root / "password"), timeout="5s"),
    )  # fmt: skip


def result(root: Path) -> tuple[dict[str, str], dict[str, Any]]:
    """Where each name stands by the CSV, and the figures."""
    rows = csv.DictReader((root / "state" / "reconcile-zz.csv").read_text().splitlines())
    return {row["name"]: row["where"] for row in rows}, json.loads((root / "state" / "reconcile-zz.json").read_text())


async def test_beside_our_own_server(nursery: trio.Nursery, tmp_path: Path) -> None:
    """The daemon's server hands out its published list to arke's client, and every name falls where the sets say."""
    book = ledger.Ledger()
    theirs = {f"name{at}.zz" for at in range(30)}
    for name in sorted(theirs):
        book.add(f"http://{name}/", name, name, rounds=ledger.day(f"http://{name}/", name, name))
    await publish_tld(ledger.press(tmp_path / "tree"), book, ledger.TLD, ledger.TODAY, ledger.NOW)  # type: ignore[arg-type]
    (tmp_path / "account").write_text("right\n")
    (tmp_path / "account").chmod(0o600)
    urls = await nursery.start(
        serve,
        Panopticond(
            tld=(Tld(name="zz", accounts=(Account("manager", str(tmp_path / "account")),)),),
            publish=Publish(root=str(tmp_path / "tree")),
            serve=Serve(bind="127.0.0.1:0"),
        ),
    )
    names = (*(f"name{at}" for at in range(20, 40)), "bad")
    mine = {f"{name}.zz" for name in names}
    config = configure(tmp_path, urls[0].rstrip("/"), names, user="manager", word="right")
    await reconcile(config, None, as_json=True, dns=False)
    where, found = result(tmp_path)
    assert where == (
        dict.fromkeys(theirs & mine, "both")
        | dict.fromkeys(theirs - mine, "only-theirs")
        | dict.fromkeys(mine - theirs, "only-ours")
    )
    assert (found["both"], found["only_theirs"], found["only_ours"]) == (10, 20, 11)
    assert (found["their_unique"], found["unnamed"]) == (30, 0)
    nursery.cancel_scope.cancel()


BOMB = gzip.compress(b" " * (80 << 20))


@pytest.mark.parametrize(
    ("bent", "words"),
    [
        ({"list": (401, {}, b"no")}, "does not accept the account"),
        ({"login": (401, {}, b"no")}, "does not accept the account"),
        ({"list": (429, {"Retry-After": "60"}, b"")}, "wait 60 s"),
        ({"login": (429, {"Retry-After": "60"}, b"")}, "wait 60 s"),
        ({"list": (200, {"Content-Encoding": "gzip"}, BOMB)}, "bytes|inflates|larger|limit"),
        ({"list": (200, {"Content-Encoding": "gzip"}, gzip.compress(encode(LIST))[:-9])}, "."),
        ({"list": (200, {"Content-Encoding": "gzip"}, b"no gzip at all")}, "."),
        ({"list": (200, {}, b"[]")}, "cannot be read"),
        ({"list": (200, {}, b'{"version":2}')}, "cannot be read"),
        ({"list": (200, {}, b'{"version":2,"tld":["zz"]}')}, "cannot be read"),
        ({"list": (200, {}, b"[" * 100_000)}, "cannot be read"),
        ({"list": (200, {}, b"")}, "cannot be read"),
        ({"login": (302, {"Location": "/ry/zz/login"}, b"")}, "302"),
        ({"list": (302, {"Location": "/ry/zz/login"}, b"")}, "302"),
        ({"login": (200, {"Set-Cookie": "id=id; Path=/ry/zz"}, b"Login successful")}, "no session cookie"),
        ({"login": (200, {"Set-Cookie": "id=" + "x" * 5000}, b"Login successful")}, "no session cookie"),
    ],
)
async def test_beside_a_server_that_misbehaves(
    served: tuple[Server, str], tmp_path: Path, bent: dict[str, Answer], words: str
) -> None:
    """401 after a login, 429, bombs, broken gzip, wrong JSON, login loops: at most two logins, and yesterday's files stand."""
    server, url = served
    config = configure(tmp_path, url, ("bad",))
    await reconcile(config, None, as_json=True, dns=False)
    before, asked = result(tmp_path), len(server.asked)
    server.bend = lambda target: bent.get("login" if target.endswith("login") else "list" if "List" in target else "")
    with pytest.raises(FetchError, match=words):
        await reconcile(config, None, as_json=True, dns=False)
    assert sum(target.endswith("login") for target in server.asked[asked:]) <= 2
    assert len(server.asked) - asked <= 4
    assert result(tmp_path) == before


async def test_a_session_that_ends_on_the_way(served: tuple[Server, str], tmp_path: Path) -> None:
    """A cookie that expired between login and question costs one more login and nothing else."""
    server, url = served
    config = configure(tmp_path, url, ("bad", "mine"))
    lists = 0

    def forget(target: str) -> None:
        nonlocal lists
        if "List" in target:
            lists += 1
            if lists == 1:
                server.sessions.clear()

    server.bend = forget
    await reconcile(config, None, as_json=True, dns=False)
    assert server.logins == 2
    assert result(tmp_path)[0] == {"bad.zz": "both", "mine.zz": "only-ours", "theirs.zz": "only-theirs"}


NAMES = st.sets(st.sampled_from([f"n{at}.zz" for at in range(12)]))


@given(theirs=st.lists(NAMES, min_size=4, max_size=4), ours=st.lists(NAMES, min_size=4, max_size=4), hidden=NAMES)
def test_the_figures_are_set_arithmetic(theirs: list[set[str]], ours: list[set[str]], hidden: set[str]) -> None:
    """For any lists: both, only theirs and only ours, in all and by threat; a name not validated is none of ours."""
    unique = len(set().union(*theirs))
    report = DomainList(
        2, "zz", "2026-03-04", unique + 3,
        tuple(ThreatList(t, len(names), tuple(sorted(names))) for t, names in zip(THREATS, theirs, strict=True)),
    )  # fmt: skip
    known = {
        name: Ours(frozenset(t for t, names in zip(THREATS, ours, strict=True) if name in names), name not in hidden)
        for name in set().union(*ours)
    }
    found = figures(report, compare(report, known, None, {}), 1)
    all_theirs, all_ours = set().union(*theirs), set().union(*ours) - hidden
    assert (found["both"], found["only_theirs"], found["only_ours"], found["unnamed"]) == (
        len(all_theirs & all_ours), len(all_theirs - all_ours), len(all_ours - all_theirs), 3,
    )  # fmt: skip
    for threat, listed, mine in zip(THREATS, theirs, ours, strict=True):
        named = mine - hidden
        assert found["by_threat"][threat] == {
            "their_count": len(listed), "named": len(listed), "both": len(listed & named),
            "only_theirs": len(listed - named), "only_ours": len(named - listed),
        }  # fmt: skip
