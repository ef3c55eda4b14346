"""arke.cases.follow: one pass, its ceilings and digests, and that a crash loses and doubles nothing."""
# ruff: noqa: ARG002 - fakes have the rooms' signatures

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from arke.cases.follow import Follower
from arke.cases.ledger import Ledger, reopen
from arke.cases.match import Matched, match
from arke.cases.recheck import Looked
from arke.cases.settings import Limits
from arke.config import Config, RecheckSettings, Smtp
from arke.mail import template
from arke.mail.outbox import Outbox
from arke.mail.smtp import Reply
from arke.model import Case, CaseIndicator, Contact, Contacts, Notice, Recheck
from panopticond.shared.clock import Clock, rfc3339
from panopticond.shared.errors import PanopticonError
from tests.arke.made import NOW, tables


class Still(Clock):
    """A clock that stands where it is put."""

    at = NOW

    def now(self) -> dt.datetime:
        return self.at


class Book:
    """Contacts by domain; every other domain has one holder of its own."""

    def __init__(self, **known: Contacts) -> None:
        self.known = known
        self.asked: list[str] = []

    async def contacts(self, domain: str) -> Contacts:
        self.asked.append(domain)
        return self.known.get(
            domain.removesuffix(".zz"), Contacts(domain, (Contact("registrant", f"holder@{domain}.isp.zz", "rdap"),))
        )


class Look:
    """A re-check that decides what it is told to."""

    def __init__(self, decision: str = "go") -> None:
        self.decision = decision

    async def look(self, case: Case, indicators: Sequence[CaseIndicator], now: dt.datetime) -> Looked:
        kept = tuple(indicators) if self.decision in ("go", "unchecked") else ()
        return Looked(Recheck(self.decision, "because", now), kept)


class Room:
    """A follower with everything it needs; ``again`` makes it anew, as a restart does."""

    def __init__(self, ledger: Ledger, drafts: Path | None = None) -> None:
        self.ledger, self.drafts = ledger, drafts
        self.clock, self.book, self.look = Still(), Book(), Look()
        self.limits, self.suppressed = Limits(), (frozenset[str](), frozenset[str]())
        self.sent: list[Notice] = []
        self.contacts, self.trace = True, True
        self.again()

    def again(self) -> None:
        config = Config(
            tld="zz", keys=["x"], records="x", smtp=Smtp(host="localhost", sender="abuse@nic.zz"), limits=self.limits,
            recheck=RecheckSettings(concurrency=2),
        )  # fmt: skip
        self.follower = Follower(
            config, self.ledger, self.clock, rechecker=self.look,  # type: ignore[arg-type]
            source=self.book if self.contacts else None, trace=self.trace,
            templates=template.load(), suppressed=lambda: self.suppressed, host_id="h.zz", drafts=self.drafts,
        )  # fmt: skip

    async def through(self, *names: str, serial: int = 1, **domain: Any) -> dict[str, tuple[str, str]]:
        found = match(tables(names=names or ("bad",), **domain), None)
        return await self.follow(found, serial)

    async def follow(self, found: list[Matched], serial: int = 1) -> dict[str, tuple[str, str]]:
        outcomes = await self.follower.work_through(found, serial)
        return {outcome.case.domain: (outcome.what, outcome.reason) for outcome in outcomes}

    async def deliver(self) -> list[str]:
        async def send(notice: Notice) -> Reply:
            self.sent.append(notice)
            return Reply(250, "2.0.0 kept for <holder@isp.zz>", "sent")

        await Outbox(self.ledger.run).send_due(send, self.clock)
        return [notice.recipient for notice in self.sent]


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with Ledger.open(tmp_path) as ledger:
        yield Room(ledger)


async def test_a_due_case_is_told_once_and_never_again(room: Room) -> None:
    """One mail to the holder; later passes, snapshots and restarts add none."""
    assert await room.through() == {"bad.zz": ("sent", "because")}
    assert await room.deliver() == ["holder@bad.zz.isp.zz"]
    assert await room.through() == {}
    room.again()
    assert await room.through(serial=2) == {}
    assert len(await room.deliver()) == 1
    counts = await room.ledger.counts()
    assert counts["outbox"] == {"accepted": 1}


async def test_a_crash_between_two_recipients_tells_each_once(room: Room) -> None:
    """The step was not complete: the restart tells the second, and not the first again."""
    room.book.known["bad"] = Contacts(
        "bad.zz", (Contact("registrant", "a@isp.zz", "rdap"), Contact("technical", "b@isp.zz", "rdap"))
    )
    await room.through()
    await room.ledger.run(
        lambda c: [
            c.execute("DELETE FROM cases"),
            c.execute("DELETE FROM outbox WHERE recipient = 'b@isp.zz'"),
            c.execute("DELETE FROM notices WHERE role = 'technical'"),
        ]
    )
    room.again()
    await room.through(serial=2)
    assert sorted(await room.deliver()) == ["a@isp.zz", "b@isp.zz"]


async def test_two_passes_at_the_same_moment_make_the_same_message_id(room: Room) -> None:
    """The Message-ID is a function of what is said to whom: the outbox knows it again even when the ledger was cut."""
    await room.through()
    await room.deliver()
    await room.ledger.run(lambda c: [c.execute("DELETE FROM cases"), c.execute("DELETE FROM notices")])
    room.again()
    await room.through(serial=2)
    assert len(await room.deliver()) == 1


@pytest.mark.parametrize(
    ("decision", "outcome", "queued"), [("cancel", "cancelled", 0), ("review", "review", 1), ("unchecked", "sent", 0)]
)
async def test_the_recheck_decides(room: Room, decision: str, outcome: str, queued: int) -> None:
    """Cancelled sends nothing, review waits for a person, unchecked goes and says so."""
    room.look.decision = decision
    assert (await room.through())["bad.zz"][0] == outcome
    assert len(await room.ledger.queue()) == queued
    assert len(await room.deliver()) == (outcome == "sent")


async def test_a_person_may_overrule_the_recheck(room: Room) -> None:
    """Approved, the notice goes; nothing is looked up meanwhile in the same snapshot."""
    room.look.decision = "review"
    await room.through()
    await room.through()
    assert room.book.asked == ["bad.zz"]
    (entry,) = await room.ledger.queue()
    assert (entry.reason, entry.state) == ("recheck", "waiting")
    await room.ledger.decide(str(entry.id), "approve", NOW)
    assert (await room.through())["bad.zz"][0] == "sent"


async def test_no_usable_contact_is_no_mail_but_a_reason(room: Room) -> None:
    """The source's reason goes to the manager's list; a passing failure is tried again later, not before."""
    room.book.known["bad"] = Contacts("bad.zz", (), "redacted")
    room.book.known["slow"] = Contacts("slow.zz", (), "rdap-server-error")
    room.book.known["own"] = Contacts("own.zz", (Contact("registrant", "me@own.zz", "rdap"),))
    assert await room.through("bad", "slow", "own") == {
        "bad.zz": ("no-contact", "redacted"),
        "slow.zz": ("waiting", "rdap-server-error"),
        "own.zz": ("no-contact", "inside-domain"),
    }
    room.book.known.clear()
    assert await room.through("bad", "slow", "own") == {}
    room.clock.at = NOW + dt.timedelta(minutes=20)
    assert await room.through("bad", "slow", "own") == {"slow.zz": ("sent", "because")}
    assert await room.deliver() == ["holder@slow.zz.isp.zz"]


@pytest.mark.parametrize("problem", ["not-json", "other-object", "too-large", "too-deep", "unexpected-status"])
async def test_a_registry_that_answers_rubbish_leaves_the_notice_due(room: Room, problem: str) -> None:
    """HTML, an error with status 200, another domain's object, a loop: none says that there is nobody to be told."""
    room.book.known["bad"] = Contacts("bad.zz", (), f"rdap-{problem}")
    assert await room.through() == {"bad.zz": ("waiting", f"rdap-{problem}")}
    room.book.known.clear()
    room.clock.at = NOW + dt.timedelta(minutes=20)
    assert await room.through() == {"bad.zz": ("sent", "because")}


async def test_many_incidents_of_one_recipient_are_one_digest(room: Room) -> None:
    """More than five are one mail; each of the cases counts as told."""
    names = [f"d{number}" for number in range(6)]
    for name in names:
        room.book.known[name] = Contacts(f"{name}.zz", (Contact("registrant", "one@isp.zz", "rdap"),))
    outcomes = await room.through(*names)
    assert {what for what, _ in outcomes.values()} == {"sent"}
    assert await room.deliver() == ["one@isp.zz"]
    assert len(room.sent[0].case_ids) == 6
    room.again()
    assert await room.through(*names, serial=2) == {}


async def test_many_resolved_cases_of_one_recipient_are_one_digest(room: Room) -> None:
    """Who was told of six and is rid of six hears so once, in a mail that asks for nothing."""
    names = [f"d{number}" for number in range(6)]
    for name in names:
        room.book.known[name] = Contacts(f"{name}.zz", (Contact("registrant", "one@isp.zz", "rdap"),))
    await room.through(*names)
    await room.deliver()
    found = match(tables(names=names), None)
    gone = [
        msgspec.structs.replace(item, case=msgspec.structs.replace(item.case, state="mitigated", gone=NOW))
        for item in found
    ]
    await room.follow(gone, 2)
    assert await room.deliver() == ["one@isp.zz"] * 2
    assert (room.sent[1].template, len(room.sent[1].case_ids)) == ("resolved", 6)
    assert b"6 cases are closed" in b" ".join(room.sent[1].message.split())
    room.again()
    assert await room.follow(gone, 3) == {}


async def test_ceilings_keep_the_rest_due(room: Room) -> None:
    """Over the hour's ceiling a case waits, and goes when there is room."""
    room.limits = Limits(per_hour=1)
    room.again()
    outcomes = await room.through("a", "b")
    assert sorted(what for what, _ in outcomes.values()) == ["sent", "waiting"]
    assert len(await room.deliver()) == 1
    room.clock.at = NOW + dt.timedelta(hours=2)
    await room.through("a", "b")
    assert len(await room.deliver()) == 2


async def test_the_suppression_list_is_obeyed(room: Room) -> None:
    """An address or its domain on the list is never written to."""
    room.suppressed = (frozenset({"holder@a.zz.isp.zz"}), frozenset({"b.zz.isp.zz"}))
    outcomes = await room.through("a", "b", "c")
    assert [outcomes[name][0] for name in ("a.zz", "b.zz", "c.zz")] == ["suppressed", "suppressed", "sent"]


async def test_a_popular_case_waits_and_goes_when_approved(room: Room) -> None:
    """It stands in the queue once, with its reason; withheld it never goes."""
    await room.through(flags="popular")
    await room.through(serial=2, flags="popular")
    (entry,) = await room.ledger.queue()
    assert entry.reason == "popular"
    assert await room.deliver() == []
    await room.ledger.decide(entry.case_id, "approve", NOW)
    assert (await room.through(serial=2, flags="popular"))["bad.zz"][0] == "sent"


async def test_malicious_stands_in_the_registrys_review_beside_its_first_rung(room: Room) -> None:
    """Registrant and registrar are told with their own templates, and the case is in the queue at once."""
    room.book.known["bad"] = Contacts(
        "bad.zz", (Contact("registrant", "a@isp.zz", "rdap"), Contact("abuse", "abuse@reg.zz", "rdap"))
    )
    (found,) = match(tables(), None)
    malicious = msgspec.structs.replace(found, case=msgspec.structs.replace(found.case, abuse_class="malicious"))
    await room.follow([malicious])
    await room.deliver()
    assert {notice.recipient: notice.template for notice in room.sent} == {
        "a@isp.zz": "malicious",
        "abuse@reg.zz": "registrar",
    }
    assert [entry.reason for entry in await room.ledger.queue()] == ["registry-review"]


async def test_drafts_are_written_and_nothing_is_remembered_as_sent(tmp_path: Path) -> None:
    """A dry run writes .eml files; the outbox stays empty and the case stays due."""
    async with Ledger.open(tmp_path / "state") as ledger:
        room = Room(ledger, drafts=tmp_path / "drafts")
        assert (await room.through())["bad.zz"][0] == "draft"
        assert (await ledger.counts())["outbox"] == {}
    (draft,) = (tmp_path / "drafts").iterdir()
    assert b"To: holder@bad.zz.isp.zz" in draft.read_bytes()


@pytest.mark.parametrize(("decision", "what"), [("review", "review"), ("cancel", "cancelled")])
async def test_a_preview_shows_what_a_look_holds_back(tmp_path: Path, decision: str, what: str) -> None:
    """What the snapshot alone would have sent is written too, marked in name and header; nobody waits for a person."""
    async with Ledger.open(tmp_path / "state") as ledger:
        room = Room(ledger, drafts=tmp_path / "drafts")
        room.look.decision, room.trace = decision, False
        room.again()
        assert (await room.through())["bad.zz"] == (what, "because")
        assert await ledger.queue() == []
    (draft,) = (tmp_path / "drafts").iterdir()
    assert draft.name.endswith(".held-back.eml")
    assert draft.read_bytes().startswith(b"X-Arke-Preview: held back, by the look just now: because\r\nFrom:")
    assert b"We looked again" not in draft.read_bytes()


async def test_without_contacts_every_notice_is_a_draft_to_pass_on(tmp_path: Path) -> None:
    """Six cases are six notices as their holders would get them, addressed to the manager; no digest of them."""
    async with Ledger.open(tmp_path / "state") as ledger:
        room = Room(ledger, drafts=tmp_path / "drafts")
        room.contacts, room.limits = False, Limits(per_recipient_day=2)
        room.again()
        names = [f"bad{at}" for at in range(6)]
        assert {what for what, _ in (await room.through(*names)).values()} == {"draft"}
    drafts = [path.read_bytes() for path in (tmp_path / "drafts").iterdir()]
    assert len(drafts) == 6
    assert all(b"To: abuse@nic.zz" in draft and b"Dear domain holder or contact" in draft for draft in drafts)


async def test_no_address_stands_in_the_ledger_once_a_mail_is_settled(room: Room, tmp_path: Path) -> None:
    """After delivery and tidying, no byte of the contact is in any file of the state directory."""
    await room.through()
    await room.deliver()
    await room.ledger.tidy()
    for path in tmp_path.iterdir():
        assert b"holder@" not in path.read_bytes(), path.name


async def test_a_waiting_notice_is_right_only_while_its_case_is_open(room: Room) -> None:
    """Asked again before a late attempt: gone from the snapshot or found clean, it is withdrawn."""
    (found,) = match(tables(), None)
    await room.follow([found])

    async def send(notice: Notice) -> Reply:
        room.sent.append(notice)
        return Reply(451, "4.7.1 later", "rcpt")

    await Outbox(room.ledger.run).send_due(send, room.clock)
    (notice,) = room.sent
    room.again()
    assert await room.follower.still_right(notice, {found.case.id: found}.get)
    assert not await room.follower.still_right(notice, lambda _: None)
    room.again()
    room.look.decision = "cancel"
    assert not await room.follower.still_right(notice, {found.case.id: found}.get)


async def test_mitigated_is_told_once_to_those_who_were_told(room: Room) -> None:
    """The snapshot says mitigated: one more mail to the same holder, without a look, and then silence; reopening begins anew."""
    await room.through()
    assert await room.deliver() == ["holder@bad.zz.isp.zz"]
    room.look.decision = "cancel"
    over = tables()
    row = over["incident"][0]
    over["incident"] = [msgspec.structs.replace(row, state="mitigated", closed=rfc3339(NOW), how="content")]
    assert (await room.follow(match(over, None), 2))["bad.zz"][0] == "sent"
    assert await room.follow(match(over, None), 3) == {}
    assert len(await room.deliver()) == 2
    assert room.sent[1].template == "resolved"
    room.look.decision = "go"
    back = tables()
    back["incident"] = [msgspec.structs.replace(row, reopened=rfc3339(NOW))]
    assert (await room.follow(match(back, None), 4))["bad.zz"][0] == "sent"
    await room.deliver()
    assert [notice.template for notice in room.sent] == ["new", "resolved", "reopened"]
    assert len({notice.message_id for notice in room.sent}) == 3


async def test_the_registrar_is_told_once_a_person_approves(room: Room) -> None:
    """A day after the first accepted mail the registrar rung waits; approved, the registrar's desk gets its own mail; withheld ends it."""
    room.book.known["bad"] = Contacts(
        "bad.zz", (Contact("registrant", "a@isp.zz", "rdap"), Contact("abuse", "desk@reg.zz", "rdap"))
    )
    await room.through()
    await room.deliver()
    room.clock.at = NOW + dt.timedelta(hours=25)
    assert (await room.through(serial=2))["bad.zz"] == ("hold", "registrar-rung")
    (entry,) = await room.ledger.queue(waiting_only=True)
    await room.ledger.decide(str(entry.id), "approve", room.clock.at)
    assert (await room.through(serial=2))["bad.zz"][0] == "sent"
    assert await room.deliver() == ["a@isp.zz", "desk@reg.zz"]
    assert room.sent[1].template == "registrar"
    await room.ledger.decide(str(entry.id), "withhold", room.clock.at)
    room.clock.at = NOW + dt.timedelta(hours=80)
    assert await room.through(serial=3) == {}


def always(_: str) -> bool:
    return True


async def test_a_waiting_notice_is_judged_before_every_attempt(room: Room) -> None:
    """By what is known here alone: objection, refusal, review, a name out of the zone; stale knowledge makes it wait."""
    (found,) = match(tables(), None)
    await room.follow([found])
    room.look.decision = "cancel"  # nobody looks at the network here

    async def send(notice: Notice) -> Reply:
        room.sent.append(notice)
        return Reply(451, "4.7.1 later", "rcpt")

    await Outbox(room.ledger.run).send_due(send, room.clock)
    (notice,) = room.sent

    async def stands(item: Matched | None = found, *, current: bool = True) -> str:
        return await room.follower.stands(notice, lambda _: item, lambda _: current)

    assert await stands() == "go"
    assert await stands(current=False) == "wait"
    assert await stands(None) == "withdraw"
    gone = msgspec.structs.replace(found, case=msgspec.structs.replace(found.case, in_zone=False))
    assert await stands(gone) == "withdraw"
    room.suppressed = (frozenset[str](), frozenset({"isp.zz"}))
    assert await stands() == "withdraw"
    room.suppressed = (frozenset[str](), frozenset[str]())
    await room.ledger.wait_for_person(found.case.id, found.case.opening, "recheck", NOW)
    await room.ledger.decide("1", "withhold", NOW)
    assert await stands() == "withdraw"


async def test_a_digest_is_held_back_by_one_refused_case(room: Room) -> None:
    """Withheld for the police: the digest that speaks of it is withdrawn, and the others come back without it."""
    names = [f"d{number}" for number in range(7)]
    for name in names:
        room.book.known[name] = Contacts(f"{name}.zz", (Contact("registrant", "one@isp.zz", "rdap"),))
    found = match(tables(names=names), None)
    await room.follow(found)
    cases = {item.case.id: item for item in found}
    await room.ledger.wait_for_person(found[0].case.id, found[0].case.opening, "registry-review", NOW)
    await room.ledger.decide("1", "withhold", NOW)
    box = Outbox(room.ledger.run, withdrawn=reopen)

    async def send(notice: Notice) -> Reply:
        room.sent.append(notice)
        return Reply(250, "2.0.0 ok", "sent")

    async def stands(notice: Notice) -> Any:
        return await room.follower.stands(notice, cases.get, always)

    (withdrawn,) = await box.send_due(send, room.clock, stands=stands)
    assert (withdrawn.state, room.sent) == ("withdrawn", [])
    await room.follow(found, 2)
    await box.send_due(send, room.clock, stands=stands)
    assert [len(notice.case_ids) for notice in room.sent] == [6]


async def test_what_fails_for_one_case_is_its_own(room: Room) -> None:
    """A source, a draft or a look that raises leaves that case waiting with the sentence; the others go."""

    class Broken(Book):
        async def contacts(self, domain: str) -> Contacts:
            if domain == "a.zz":
                raise PanopticonError("contacts.csv:3: must read domain,role,email")
            return await super().contacts(domain)

    room.book = Broken()
    room.again()
    outcomes = await room.through("a", "b")
    assert outcomes == {"a.zz": ("waiting", "contacts.csv:3: must read domain,role,email"), "b.zz": ("sent", "because")}


async def test_a_look_that_raises_lets_the_mail_go_on_the_snapshots_evidence(room: Room) -> None:
    """Whatever a probe's nursery raises, bundled or not, is "could not re-check"."""

    class Broken(Look):
        async def look(self, case: Case, indicators: Sequence[CaseIndicator], now: dt.datetime) -> Looked:
            raise ExceptionGroup("nursery", [PanopticonError("the proxy is gone")])

    room.look = Broken()
    room.again()
    assert await room.through() == {"bad.zz": ("sent", "no-answer")}
    await room.deliver()
    assert b"could not be repeated" in room.sent[0].message or b"could not" in room.sent[0].message


async def test_an_address_that_makes_no_mail_is_no_contact(room: Room) -> None:
    """Nothing is sent and the reason is told; the case is not counted as told."""
    room.book.known["bad"] = Contacts("bad.zz", (Contact("registrant", "no address at all", "csv"),))
    assert await room.through("bad", "b") == {"bad.zz": ("no-contact", "malformed"), "b.zz": ("sent", "because")}
    room.book.known.clear()
    room.again()
    assert (await room.through("bad", "b", serial=2))["bad.zz"][0] == "sent"


async def test_what_suppression_leaves_inside_the_domain_does_not_suffice(room: Room) -> None:
    """The holder outside objected: the address inside the abused domain is not written to alone."""
    room.book.known["bad"] = Contacts(
        "bad.zz", (Contact("registrant", "a@isp.zz", "rdap"), Contact("technical", "t@bad.zz", "rdap"))
    )
    room.suppressed = (frozenset({"a@isp.zz"}), frozenset[str]())
    assert await room.through() == {"bad.zz": ("no-contact", "inside-domain")}


async def test_a_name_out_of_the_zone_is_cancelled_until_it_is_back(room: Room) -> None:
    """The outcome says so; the same snapshot with a newer zone takes the case up again."""
    out, back = match(tables(), {"other.zz": ()}), match(tables(), {"bad.zz": ()})
    assert await room.follow(out) == {"bad.zz": ("cancelled", "not in the registry's zone")}
    assert await room.follow(out) == {}
    assert (await room.follow(back))["bad.zz"][0] == "sent"


async def test_what_everybody_knows_moves_no_deadline_and_the_registrar_rung_comes(room: Room) -> None:
    """New by the snapshot, but nobody is to be told of it: the rung's time stands, and the later rung is looked at."""
    await room.through()
    await room.deliver()
    rows = tables()
    rows["uri"].append(msgspec.structs.replace(rows["uri"][0], indicator="i9", host="x.bad.zz", uri="http://x.bad.zz/"))
    found = match(rows, None)

    class First(Look):
        async def look(self, case: Case, indicators: Sequence[CaseIndicator], now: dt.datetime) -> Looked:
            return Looked(Recheck("go", "because", now), tuple(item for item in indicators if item.host == "bad.zz"))

    room.look = First()
    room.again()
    room.clock.at = NOW + dt.timedelta(hours=2)
    assert (await room.follow(found, 2))["bad.zz"] == ("told", "because")
    history = await room.ledger.history(found[0].case.id, found[0].case.opening)
    assert history.rung_at == NOW
    room.clock.at = NOW + dt.timedelta(hours=25)
    assert (await room.follow(found, 3))["bad.zz"] == ("hold", "registrar-rung")
    assert len(await room.deliver()) == 1
