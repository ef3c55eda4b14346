"""The hoster in a pass over the cases: told with its own hosts, once, beside or after the others, or still due."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from arke.cases.follow import Follower
from arke.cases.hoster import Hosting
from arke.cases.ledger import Ledger
from arke.cases.match import Matched, match
from arke.cases.settings import Ladder, Limits
from arke.config import Config, RecheckSettings, Smtp
from arke.mail import template
from arke.model import Case, Contact, Contacts, Place
from panopticond.shared.clock import rfc3339
from tests.arke.cases.test_follow import Room
from tests.arke.made import NOW, tables

DAY = dt.timedelta(days=1)


class Networks:
    """Hosters by host: a desk's address, or the reason why there is none now or at all."""

    def __init__(self) -> None:
        self.desks: dict[str, str] = {}
        self.problem = self.waits = ""
        self.asked: list[tuple[str, ...]] = []

    async def of(self, hosts: Iterable[str]) -> Hosting:
        wanted = tuple(sorted(set(hosts)))
        self.asked.append(wanted)
        held: dict[str, list[Place]] = {}
        for host in wanted:
            if host in self.desks:
                held.setdefault(self.desks[host], []).append(Place(host, "203.0.113.7", NOW))
        contacts = tuple(Contact("hoster", desk, "rdap", tuple(places)) for desk, places in held.items())
        return Hosting(contacts, self.problem, self.waits)


class Hosted(Room):
    """A follower whose ladder has the hoster where ``ladder`` says."""

    def __init__(self, ledger: Ledger, drafts: Path | None = None) -> None:
        self.networks = Networks()
        self.ladder = Ladder(first=("registrant", "hoster"))
        super().__init__(ledger, drafts)

    def again(self) -> None:
        config = Config(
            tld="zz", keys=["x"], records="x", smtp=Smtp(host="localhost", sender="abuse@nic.zz"), limits=self.limits,
            recheck=RecheckSettings(concurrency=2), ladder=self.ladder,
        )  # fmt: skip
        self.follower = Follower(
            config, self.ledger, self.clock, rechecker=self.look,  # type: ignore[arg-type]
            source=self.book if self.contacts else None, trace=self.trace, hosters=self.networks,  # type: ignore[arg-type]
            templates=template.load(), suppressed=lambda: self.suppressed, host_id="h.zz", drafts=self.drafts,
        )  # fmt: skip

    def set(self, **ladder: Any) -> None:
        self.ladder = Ladder(**ladder)
        self.again()

    async def told(self) -> list[tuple[str, str]]:
        await self.deliver()
        return [(notice.recipient, notice.template) for notice in self.sent]


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Hosted]:
    async with Ledger.open(tmp_path) as ledger:
        yield Hosted(ledger)


def two_hosts() -> list[Matched]:
    """One case with a URI on bad.zz and one on x.bad.zz."""
    rows = tables()
    rows["uri"].append(
        msgspec.structs.replace(rows["uri"][0], indicator="i9", host="x.bad.zz", uri="http://x.bad.zz/drop/")
    )
    return match(rows, None)


def text_of(room: Hosted, recipient: str) -> str:
    (notice,) = (notice for notice in room.sent if notice.recipient == recipient)
    body = email.message_from_bytes(notice.message, policy=email.policy.default).get_body(("plain",))
    assert body is not None
    return str(body.get_content())


async def test_each_hoster_is_told_of_its_own_hosts_beside_the_holder(room: Hosted) -> None:
    """The holder hears of both hosts, each desk of the one in its network; nobody twice, restarts or not."""
    room.networks.desks = {"bad.zz": "desk@one.zz", "x.bad.zz": "desk@two.zz"}
    assert await room.follow(two_hosts()) == {"bad.zz": ("sent", "because")}
    told = [("desk@one.zz", "hoster"), ("desk@two.zz", "hoster"), ("holder@bad.zz.isp.zz", "new")]
    assert sorted(await room.told()) == told
    assert "hxxp://bad[.]zz/kit/" in text_of(room, "desk@one.zz")
    assert "x[.]bad" not in text_of(room, "desk@one.zz")
    assert "x[.]bad" in text_of(room, "desk@two.zz")
    assert "isp.zz" not in text_of(room, "desk@two.zz")
    room.again()
    assert await room.follow(two_hosts(), 2) == {}
    assert len(await room.told()) == 3


async def test_without_the_rung_nobody_looks_for_a_hoster(room: Hosted) -> None:
    """The ladder as shipped asks no registry anything."""
    room.networks.desks = {"bad.zz": "desk@one.zz"}
    room.set()
    await room.through()
    assert (room.networks.asked, await room.told()) == ([], [("holder@bad.zz.isp.zz", "new")])


async def test_a_hoster_that_cannot_be_known_now_holds_up_nobody_and_is_told_later(room: Hosted) -> None:
    """The holder is told at once, the step is done; a quarter of an hour later the desk, and nobody else again."""
    room.networks.waits = "hoster-timeout"
    assert (await room.through())["bad.zz"] == ("waiting", "hoster-timeout")
    assert await room.told() == [("holder@bad.zz.isp.zz", "new")]
    room.networks.waits, room.networks.desks = "", {"bad.zz": "desk@one.zz"}
    assert await room.through() == {}
    room.clock.at = NOW + dt.timedelta(minutes=16)
    assert await room.through() == {"bad.zz": ("sent", "because")}
    assert (await room.told())[1:] == [("desk@one.zz", "hoster")]
    assert await room.through(serial=2) == {}
    room.clock.at = NOW + dt.timedelta(hours=25)
    assert (await room.through(serial=3))["bad.zz"] == ("hold", "registrar-rung")


async def test_a_hoster_that_is_never_known_does_not_hold_up_the_registrar(room: Hosted) -> None:
    """Its look-up fails for days: the registrar's rung comes all the same, and the hoster stays on the list."""
    room.book.known["bad"] = Contacts(
        "bad.zz", (Contact("registrant", "a@isp.zz", "rdap"), Contact("abuse", "desk@reg.zz", "rdap"))
    )
    room.networks.waits = "hoster-timeout"
    room.set(first=("registrant", "hoster"), approve_later_rungs=False)
    await room.through()
    await room.deliver()
    room.clock.at = NOW + dt.timedelta(hours=25)
    found = await room.follower.work_through(match(tables(), None), 2)
    assert [(item.what, item.reason) for item in found] == [("waiting", "hoster-timeout"), ("sent", "because")]
    assert await room.told() == [("a@isp.zz", "new"), ("desk@reg.zz", "registrar")]


async def test_a_hoster_passed_over_is_asked_again_though_the_registrar_was_told(room: Hosted) -> None:
    """The pass in which another rung went before it settles nothing: a quarter of an hour later it is looked up."""
    room.book.known["bad"] = Contacts(
        "bad.zz", (Contact("registrant", "a@isp.zz", "rdap"), Contact("abuse", "desk@reg.zz", "rdap"))
    )
    room.networks.waits = "hoster-timeout"
    room.set(first=("registrant", "hoster"), approve_later_rungs=False)
    await room.through()
    await room.deliver()
    room.clock.at = NOW + dt.timedelta(hours=25)
    await room.through(serial=2)
    room.networks.waits, room.networks.desks = "", {"bad.zz": "desk@one.zz"}
    assert await room.through(serial=2) == {}
    room.clock.at += dt.timedelta(minutes=16)
    assert await room.through(serial=2) == {"bad.zz": ("sent", "because")}
    assert await room.told() == [("a@isp.zz", "new"), ("desk@reg.zz", "registrar"), ("desk@one.zz", "hoster")]


async def test_who_was_told_before_is_said_of_the_contacts_alone(room: Hosted) -> None:
    """Where the hoster alone was told the registrar is not made to believe that the name's contacts were."""
    holder = Contact("registrant", "a@isp.zz", "rdap")
    room.book.known["bad"] = Contacts("bad.zz", (Contact("abuse", "desk@reg.zz", "rdap"),), "redacted")
    room.book.known["own"] = Contacts("own.zz", (holder, Contact("abuse", "desk@other.zz", "rdap")))
    room.networks.desks = {"bad.zz": "desk@one.zz", "own.zz": "desk@one.zz"}
    room.set(first=("registrant", "hoster"), approve_later_rungs=False)
    await room.through("bad", "own")
    await room.deliver()
    room.clock.at = NOW + dt.timedelta(hours=25)
    await room.through("bad", "own", serial=2)
    await room.deliver()
    assert "were told on" not in text_of(room, "desk@reg.zz")
    assert "were told on" in text_of(room, "desk@other.zz")


async def test_a_new_snapshot_waits_for_no_hoster(room: Hosted) -> None:
    """What waits a quarter of an hour for a look-up is taken up at once when a snapshot says more: here, that it is over."""
    room.networks.waits = "hoster-timeout"
    await room.through()
    await room.deliver()
    over = tables()
    over["incident"] = [
        msgspec.structs.replace(over["incident"][0], state="mitigated", closed=rfc3339(NOW), how="content")
    ]
    assert (await room.follow(match(over, None), 2))["bad.zz"] == ("sent", "mitigated")
    assert await room.told() == [("holder@bad.zz.isp.zz", "new"), ("holder@bad.zz.isp.zz", "resolved")]


async def test_the_ledger_has_one_outcome_a_case_with_what_the_hoster_lacks(room: Hosted) -> None:
    """Told, or waiting for a person, and why its hoster could not be; the same words again are not written again."""
    room.networks.waits = "hoster-timeout"
    await room.through()
    (outcome,) = (await room.ledger.outcomes()).values()
    assert outcome == (1, "sent", "because hoster-timeout")
    await room.deliver()
    room.clock.at = NOW + dt.timedelta(hours=25)
    room.set(first=("registrant", "hoster"))
    await room.through(serial=2)
    (outcome,) = (await room.ledger.outcomes()).values()
    assert outcome == (2, "hold", "registrar-rung hoster-timeout")


async def test_a_network_without_an_abuse_desk_is_said_once_a_snapshot(room: Hosted) -> None:
    """The holder was told, the hoster could not be: the reason stands beside the outcome, for the manager's list."""
    room.networks.problem = "hoster-redacted"
    assert await room.through() == {"bad.zz": ("sent", "because hoster-redacted")}
    assert await room.told() == [("holder@bad.zz.isp.zz", "new")]
    assert await room.through(serial=2) == {}


async def test_where_no_holder_can_be_told_the_hoster_is(room: Hosted) -> None:
    """A redacted registration: the desk alone hears of it, and that no holder did is on the manager's list."""
    room.book.known["bad"] = Contacts("bad.zz", (), "redacted")
    room.book.known["own"] = Contacts("own.zz", (), "redacted")
    room.networks.desks = {"bad.zz": "desk@one.zz"}
    told = ("sent", "because holder-redacted")
    assert await room.through("bad", "own") == {"bad.zz": told, "own.zz": ("no-contact", "redacted")}
    assert await room.told() == [("desk@one.zz", "hoster")]


async def test_the_hosters_own_rung_waits_for_a_person_and_goes_once_approved(room: Hosted) -> None:
    """Half a day after the first accepted mail; rejected it concerns itself alone."""
    room.networks.desks = {"bad.zz": "desk@one.zz", "b.zz": "desk@one.zz"}
    room.set(hoster_after="24h", registrar_after="48h")
    await room.through("bad", "b")
    await room.deliver()
    room.clock.at = NOW + DAY
    assert set((await room.through("bad", "b", serial=2)).values()) == {("hold", "hoster-rung")}
    first, second = await room.ledger.queue(waiting_only=True)
    await room.ledger.decide(str(first.id), "approve", room.clock.at)
    await room.ledger.decide(str(second.id), "reject", room.clock.at)
    assert len(await room.through("bad", "b", serial=2)) == 1
    assert [template for _, template in await room.told()] == ["new", "new", "hoster"]
    assert (room.sent[2].rung, len(room.sent[2].case_ids)) == (4, 1)
    room.clock.at = NOW + 2 * DAY + dt.timedelta(hours=1)
    assert set((await room.through("bad", "b", serial=3)).values()) == {("hold", "registrar-rung")}


async def test_a_rung_without_anybody_to_be_told_gives_way_to_the_next(room: Hosted) -> None:
    """No abuse desk at the network: the registrar is told in the same pass, and the reason stands on the list."""
    room.book.known["bad"] = Contacts(
        "bad.zz", (Contact("registrant", "a@isp.zz", "rdap"), Contact("abuse", "desk@reg.zz", "rdap"))
    )
    room.networks.problem = "hoster-not-found"
    room.set(hoster_after="12h", approve_later_rungs=False)
    await room.through()
    await room.deliver()
    room.clock.at = NOW + dt.timedelta(hours=25)
    found = await room.follower.work_through(match(tables(), None), 2)
    assert [(item.what, item.reason) for item in found] == [("no-contact", "hoster-not-found"), ("sent", "because")]
    assert (await room.told())[1:] == [("desk@reg.zz", "registrar")]


async def test_many_cases_of_one_hoster_are_one_digest_with_every_address(room: Hosted) -> None:
    """Six incidents in one network: one mail to its desk, six to six holders, each case told once."""
    names = [f"d{number}" for number in range(6)]
    room.networks.desks = {f"{name}.zz": "desk@one.zz" for name in names}
    await room.through(*names)
    told = await room.told()
    assert sorted(template for _, template in told) == ["hoster", *["new"] * 6]
    text = text_of(room, "desk@one.zz")
    assert text.count("server address: 203.0.113.7") == 6
    assert "in your network" in text
    room.again()
    assert await room.through(*names, serial=2) == {}


async def test_suppression_ceilings_and_a_look_that_cancels_hold_for_the_hoster_too(room: Hosted) -> None:
    """A desk that objected is not written to; a look that cancels sends nothing to anybody."""
    room.networks.desks = {"bad.zz": "desk@one.zz", "b.zz": "desk@two.zz"}
    room.look.decision = "cancel"
    assert {what for what, _ in (await room.through("bad", "b")).values()} == {"cancelled"}
    assert await room.told() == []
    room.look.decision = "go"
    room.limits, room.suppressed = Limits(per_run=2), (frozenset[str](), frozenset({"one.zz"}))
    room.again()
    assert sorted(what for what, _ in (await room.through("bad", "b", serial=2)).values()) == ["sent", "waiting"]
    assert len(await room.told()) == 2
    room.clock.at = NOW + dt.timedelta(hours=1)
    await room.through("bad", "b", serial=2)
    assert sorted(await room.told()) == [
        ("desk@two.zz", "hoster"),
        ("holder@b.zz.isp.zz", "new"),
        ("holder@bad.zz.isp.zz", "new"),
    ]


async def test_resolved_and_reopened(room: Hosted) -> None:
    """That it is over is said to the holder; back again, both are told again, the desk with its own notice."""
    room.networks.desks = {"bad.zz": "desk@one.zz"}

    def as_is(**changes: Any) -> list[Matched]:
        def of(case: Case) -> Case:
            return msgspec.structs.replace(case, **changes)

        return [msgspec.structs.replace(item, case=of(item.case)) for item in match(tables(), None)]

    await room.follow(as_is())
    assert len(await room.told()) == 2
    gone = tuple(
        msgspec.structs.replace(item, validated=False, state="mitigated-content")
        for item in match(tables(), None)[0].case.indicators
    )
    await room.follow(as_is(state="mitigated", gone=NOW, indicators=gone), 2)
    assert (await room.told())[2:] == [("holder@bad.zz.isp.zz", "resolved")]
    room.clock.at = NOW + DAY
    await room.follow(as_is(reopened=(NOW + DAY,)), 3)
    assert sorted((await room.told())[3:]) == [("desk@one.zz", "hoster"), ("holder@bad.zz.isp.zz", "reopened")]
    assert len({notice.message_id for notice in room.sent}) == 5


async def test_a_dry_run_writes_the_hosters_draft_too(tmp_path: Path) -> None:
    """Beside the holder's, so that an operator sees what it would say before turning it on."""
    async with Ledger.open(tmp_path / "state") as ledger:
        room = Hosted(ledger, drafts=tmp_path / "drafts")
        room.networks.desks = {"bad.zz": "desk@one.zz"}
        assert (await room.through())["bad.zz"][0] == "draft"
    drafts = [path.read_bytes() for path in (tmp_path / "drafts").iterdir()]
    assert sorted(b"To: desk@one.zz" in draft for draft in drafts) == [False, True]


async def test_a_crash_between_holder_and_hoster_tells_each_once(room: Hosted) -> None:
    """The step was not complete: after the restart the desk is told, and the holder not again."""
    room.networks.desks = {"bad.zz": "desk@one.zz"}
    await room.through()
    await room.ledger.run(
        lambda c: [
            c.execute("DELETE FROM cases"),
            c.execute("DELETE FROM outbox WHERE recipient = 'desk@one.zz'"),
            c.execute("DELETE FROM notices WHERE role = 'hoster'"),
        ]
    )
    room.again()
    await room.through(serial=2)
    assert sorted(await room.told()) == [("desk@one.zz", "hoster"), ("holder@bad.zz.isp.zz", "new")]
