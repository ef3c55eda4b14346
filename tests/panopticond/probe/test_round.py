"""A round asks what is due, once for all of a host, and puts what still stands into the round again."""

import datetime as dt
from collections.abc import Sequence

import pytest
import trio

from panopticond.model import DomainRecord, Observation, Round, Subject
from panopticond.probe.owner import regrouped
from panopticond.probe.round import Every, Extras, Prober, Probes, TldPlan, domain_after
from panopticond.shared.clock import rfc3339

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = 24 * HOUR


class World:
    """Every probe at once: answers what it is told to and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.outcomes = {"delegation": "delegated", "registration": "registered"}
        self.now = NOW
        self.hang: str | None = None

    def clock(self) -> dt.datetime:
        return self.now

    async def answer(
        self, kind: str, target: str, outcome: str, at: dt.datetime, vantage: str = "direct"
    ) -> Observation:
        self.asked.append((kind, target))
        await trio.lowlevel.checkpoint()
        if self.hang == kind:
            await trio.sleep_forever()
        return Observation(kind, target, vantage, at, self.outcomes.get(kind, outcome))  # type: ignore[arg-type]

    def count(self, kind: str) -> int:
        return sum(asked == kind for asked, _ in self.asked)


class Names:
    def __init__(self, world: World) -> None:
        self.world = world

    async def check(self, host: str, tld: str, now: dt.datetime) -> Observation:
        assert tld == "zz"
        return await self.world.answer("delegation", host, "delegated", now)

    async def address(self, host: str, tld: str, now: dt.datetime) -> Observation:
        assert tld == "zz"
        return await self.world.answer("address", host, "resolves", now)

    async def blocked(self, host: str, now: dt.datetime) -> Observation:
        return await self.world.answer("quad9", host, "not-blocked", now)


class Web:
    def __init__(self, world: World) -> None:
        self.world = world

    async def check(
        self, uri: str, domain: str, vantage: str, now: dt.datetime, *, hold_pages: Sequence[str]
    ) -> tuple[Observation, ...]:
        assert tuple(hold_pages) == ("held by the registry",)
        assert domain == "d.zz"
        seen = await self.world.answer("web", uri, "live", now, vantage)
        if self.world.hang == "twin":
            return (seen,)
        return (Observation("web", "https" + uri[4:], vantage, now, "failed", {"twin": "1"}), seen)

    async def apex(self, domain: str, vantage: str, now: dt.datetime, *, hold_pages: Sequence[str]) -> Observation:
        assert tuple(hold_pages) == ("held by the registry",)
        return await self.world.answer("apex", domain, "live", now, vantage)


class Lookups:
    def __init__(self, world: World) -> None:
        self.world = world

    async def check(self, uri: str, now: dt.datetime) -> Observation:
        return await self.world.answer("webrisk", uri, "not-listed", now)


class Registry:
    def __init__(self, world: World) -> None:
        self.world = world

    async def check(self, domain: str, tld: str, now: dt.datetime) -> Observation:
        assert tld == "zz"
        return await self.world.answer("registration", domain, "registered", now)


class Ranks:
    def check(self, domain: str, now: dt.datetime) -> Observation:
        return Observation("tranco", domain, "direct", now, "unranked")


def prober(world: World, *, deadline_seconds: float = 5.0, bare: bool = False) -> Prober:
    names = Names(world)
    probes = Probes(names, names, names, Web(world), Lookups(world), Ranks(), Registry(world))
    if bare:
        probes = Probes(names, names, None, Web(world))
    return Prober(
        probes,
        {"zz": TldPlan(("one", "two"), ("held by the registry",))},
        must_not_fetch=lambda uri: "unsubscribe" if "unsubscribe" in uri else None,
        every=Every(),
        deadline_seconds=deadline_seconds,
    )


def subject(path: str = "a", **changes: object) -> Subject:
    given = {
        "id": 1,
        "uri": f"http://www.d.zz/{path}",
        "host": "www.d.zz",
        "domain": "d.zz",
        "tld": "zz",
        "scope": "registered",
        "threats": ("phishing",),
    }
    return Subject(**(given | changes))  # type: ignore[arg-type]


def kinds(round_: Round) -> list[str]:
    return [observation.kind for observation in round_.observations]


async def test_a_first_round_asks_everything_in_a_fixed_order() -> None:
    """Names, the URI and its twin at each vantage, and what is known for longer; the URI stands before its twin."""
    world = World()
    round_, domain = await prober(world).check(subject(), None, Extras(), world.clock)
    assert round_.at == NOW
    assert kinds(round_) == [
        *("delegation", "address", "quad9", "quad9", "web", "web", "web", "web"),
        *("apex", "webrisk", "tranco", "registration"),
    ]
    assert [one.target for one in round_.of("quad9")] == ["www.d.zz", "d.zz"]
    web = round_.of("web")
    assert [one.vantage for one in web] == ["one", "one", "two", "two"]
    assert [one.detail.get("twin", "") for one in web] == ["", "1", "", "1"]
    assert domain.delegation == round_.of("delegation")[0]
    assert domain.registration == round_.of("registration")[0]
    assert domain.apex == round_.of("apex")[0]
    assert domain.tranco == round_.of("tranco")[0]
    assert world.asked[-1] != ("delegation", "www.d.zz")


async def test_what_still_stands_is_not_asked_again_but_put_into_the_round() -> None:
    """Six hours later registration, front page, rank and Web Risk are there with the time they were seen."""
    world = World()
    made = prober(world)
    first, domain = await made.check(subject(), None, Extras(), world.clock)
    world.now, world.asked = NOW + 6 * HOUR, []
    second, after = await made.check(subject(), domain, Extras(first.of("webrisk")[0]), world.clock)
    assert kinds(second) == kinds(first)
    assert {one.at for kind in ("apex", "webrisk", "tranco", "registration") for one in second.of(kind)} == {NOW}
    assert {kind for kind, _ in world.asked} == {"delegation", "address", "quad9", "web"}
    assert after.registration == domain.registration
    world.now, world.asked = NOW + 25 * HOUR, []
    await made.check(subject(), after, Extras(first.of("webrisk")[0]), world.clock)
    assert {"apex", "webrisk", "registration"} <= {kind for kind, _ in world.asked}


async def test_a_web_risk_match_is_not_used_past_its_expiry() -> None:
    """Asked once a day all the same; in between an expired match is left out of the round."""
    world = World()
    for expires, kept in ((rfc3339(NOW + HOUR), False), (rfc3339(NOW + 7 * HOUR), True)):
        detail = {"threats": "MALWARE", "expires": expires}
        match = Observation("webrisk", "http://www.d.zz/a", "direct", NOW, "listed", detail)
        round_, _ = await prober(world).check(subject(), None, Extras(webrisk=match), lambda: NOW + 6 * HOUR)
        assert (match in round_.observations) is kept
    assert [asked for asked in world.asked if asked[0] == "webrisk"] == []


async def test_ten_uris_of_a_host_are_one_question_each() -> None:
    """At once or within 15 minutes; afterwards it is asked anew. Every URI is fetched all the same."""
    world = World()
    made = prober(world)
    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(made.check, subject(str(number)), None, Extras(), world.clock)
    for kind in ("delegation", "address", "registration", "apex"):
        assert world.count(kind) == 1, kind
    assert world.count("quad9") == 2  # the host, and its domain
    assert world.count("web") == 20
    world.now = NOW + dt.timedelta(minutes=14)
    await made.check(subject(), None, Extras(), world.clock)
    assert world.count("delegation") == 1
    world.now = NOW + dt.timedelta(minutes=15)
    await made.check(subject(), None, Extras(), world.clock)
    assert world.count("delegation") == 2


async def test_a_name_out_of_the_zone_is_not_fetched_and_its_registration_asked_hourly() -> None:
    """Address once more, no web and no front page; registration again after an hour instead of a day."""
    world = World()
    made = prober(world)
    known = DomainRecord("d.zz", "zz", registration=Observation("registration", "d.zz", "direct", NOW, "registered"))
    known = DomainRecord(
        "d.zz", "zz", registration=known.registration, apex=Observation("apex", "d.zz", "one", NOW, "live")
    )
    world.outcomes |= {"delegation": "not-in-zone", "registration": "nonexistent"}
    world.now = NOW + HOUR / 2
    round_, after = await made.check(subject(), known, Extras(), world.clock)
    assert kinds(round_) == ["delegation", "address", "quad9", "quad9", "webrisk", "tranco", "registration"]
    assert round_.of("registration")[0].outcome == "registered"
    assert after.absent_since == world.now
    world.now = NOW + HOUR
    round_, after = await made.check(subject(), after, Extras(), world.clock)
    assert round_.of("registration")[0].outcome == "nonexistent"
    assert after.registration is not None
    assert after.registration.outcome == "nonexistent"
    assert after.apex == known.apex


async def test_a_uri_nobody_may_fetch_is_not_fetched_and_its_host_looked_at() -> None:
    """One not-probed answer a vantage with the word that forbids it, and the host's root as context."""
    world = World()
    round_, domain = await prober(world).check(subject("unsubscribe?u=1"), None, Extras(), world.clock)
    assert world.count("web") == 0
    assert [(one.vantage, one.outcome, dict(one.detail)) for one in round_.of("web")] == [
        ("one", "not-probed", {"reason": "unsubscribe"}),
        ("two", "not-probed", {"reason": "unsubscribe"}),
    ]
    assert [one.target for one in round_.of("apex")] == ["www.d.zz"]
    assert domain.apex is None


@pytest.mark.parametrize("changes", [{"uri": None}, {"threats": ("botnetCc",)}])
async def test_host_level_entries_are_not_fetched(changes: dict[str, object]) -> None:
    """For hosts and botnetCc web answers count for nothing, so nobody is asked; names and front page are."""
    world = World()
    round_, _ = await prober(world).check(subject(**changes), None, Extras(), world.clock)
    assert round_.of("web") == ()
    assert {"delegation", "address", "quad9", "apex", "tranco", "registration"} <= set(kinds(round_))


async def test_a_shared_services_front_page_is_nobodys_context() -> None:
    """Scope shared: the domain's own front page is not fetched."""
    world = World()
    round_, _ = await prober(world).check(subject(scope="shared"), None, Extras(), world.clock)
    assert round_.of("apex") == ()
    assert world.count("apex") == 0


async def test_probes_that_are_off_leave_no_observation() -> None:
    """Without Quad9, Web Risk, Tranco and RDAP a round has the rest."""
    world = World()
    made = prober(world, bare=True)
    assert made.serves("zz")
    assert not made.serves("yy")
    round_, _ = await made.check(subject(), None, Extras(), world.clock)
    assert set(kinds(round_)) == {"delegation", "address", "web", "apex"}


@pytest.mark.parametrize(
    ("hang", "reason"), [("delegation", "deadline"), ("web", "deadline"), ("registration", "deadline")]
)
async def test_a_probe_that_hangs_could_not_check(hang: str, reason: str, autojump_clock: object) -> None:
    """Its deadline makes it indeterminate with a reason; the other probes' answers are kept."""
    del autojump_clock
    world = World()
    world.hang = hang
    round_, _ = await prober(world).check(subject(), None, Extras(), world.clock)
    for observation in round_.of(hang):  # type: ignore[arg-type]
        assert (observation.outcome, observation.detail["reason"]) == ("indeterminate", reason)
    assert round_.of("address")[0].outcome == "resolves"
    assert len(round_.of("web")) == (2 if hang == "web" else 4)


async def test_a_slow_registry_holds_up_only_so_many_rounds(autojump_clock: object) -> None:
    """With 16 look-ups waiting, further rounds go on without, say that it was busy, and ask again the next time."""
    del autojump_clock
    world = World()
    world.hang = "registration"
    made = prober(world)
    rounds: list[Round] = []

    async def check(number: int) -> None:
        about = subject(domain=f"d{number}.zz", host=f"d{number}.zz", uri=None)
        rounds.append((await made.check(about, None, Extras(), world.clock))[0])

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(check, number)
    reasons = sorted(one.detail["reason"] for round_ in rounds for one in round_.of("registration"))
    assert reasons == ["busy"] * 4 + ["deadline"] * 16
    world.hang = ""
    world.now += dt.timedelta(hours=6)
    await check(19)
    assert rounds[-1].of("registration")[0].outcome == "registered"


async def test_a_defect_in_a_probe_is_could_not_check(caplog: pytest.LogCaptureFixture) -> None:
    """A bug that a hostile answer found is indeterminate, never clean, and is logged whole, once a kind."""
    world = World()
    del world.outcomes
    made = prober(world)
    for path in "ab":
        round_, _ = await made.check(subject(path, host=f"{path}.d.zz"), None, Extras(), world.clock)
        assert {one.outcome for one in round_.observations if one.kind != "tranco"} == {"indeterminate"}
        assert {one.detail["reason"] for one in round_.observations if one.kind != "tranco"} == {"defect"}
        assert len(round_.of("web")) == 2
    assert caplog.text.count("Traceback") == len({one.kind for one in round_.observations} - {"tranco"})


async def test_an_answer_that_was_none_is_asked_again_next_round_and_replaces_nothing() -> None:
    """An indeterminate registration leaves the known date alone and is due at once."""
    world = World()
    made = prober(world)
    _, domain = await made.check(subject(), None, Extras(), world.clock)
    world.now += 25 * HOUR
    world.outcomes["registration"] = "indeterminate"
    round_, after = await made.check(subject(), domain, Extras(), world.clock)
    assert round_.of("registration")[0].outcome == "indeterminate"
    assert after.registration == domain.registration
    world.now += 6 * HOUR
    await made.check(subject(), after, Extras(), world.clock)
    assert world.count("registration") == 3


def delegation(outcome: str, at: dt.datetime) -> Observation:
    return Observation("delegation", "d.zz", "direct", at, outcome)


@pytest.mark.parametrize(("days", "returns"), [(4, False), (5, True)])
def test_a_return_counts_after_five_days_of_absence(days: int, returns: bool) -> None:
    """Absence runs from the first not-in-zone through rounds that could not check, and ends with a delegation."""
    known = DomainRecord("d.zz", "zz")
    for day, outcome in ((0, "not-in-zone"), (1, "indeterminate"), (2, "not-in-zone")):
        known = domain_after(known, delegation(outcome, NOW + day * DAY), {})
    assert known.absent_since == NOW
    back = NOW + days * DAY
    known = domain_after(known, delegation("held", back), {})
    assert known.absent_since is None
    assert known.returned == (back if returns else None)
    known = domain_after(known, delegation("delegated", back + DAY), {})
    assert known.returned == (back if returns else None)


class Zone(Names):
    """Delegations whose owners, name servers and reasons a test gives by name; what is not given is not in the zone."""

    def __init__(self, world: World, owners: dict[str, tuple[str, str, str]]) -> None:
        super().__init__(world)
        self.owners = owners

    async def check(self, host: str, tld: str, now: dt.datetime) -> Observation:
        await trio.lowlevel.checkpoint()
        self.world.asked.append(("delegation", host))
        if host not in self.owners:
            return Observation("delegation", host, "direct", now, "not-in-zone", {"owner": host, "zone": tld})
        outcome, owner, reason = self.owners[host]
        detail = {"owner": owner, "zone": tld, "ns": "ns1.example", "reason": reason}
        return Observation(
            "delegation", host, "direct", now, outcome, {key: text for key, text in detail.items() if text}
        )


HOST = "www.shop.d.zz"
DEEPER = ("delegated", "shop.d.zz", "")


@pytest.mark.parametrize(
    ("owners", "domain", "scope"),
    [
        ({HOST: DEEPER}, "shop.d.zz", "registered"),
        ({HOST: ("held", "shop.d.zz", "")}, "shop.d.zz", "registered"),
        ({HOST: DEEPER, "d.zz": ("delegated", "d.zz", "co-hosted")}, "shop.d.zz", "registered"),
        ({HOST: DEEPER, "d.zz": ("delegated", "d.zz", "")}, "d.zz", "subordinate"),
        ({HOST: DEEPER, "d.zz": ("delegated", "d.zz", "in-zone")}, "d.zz", "subordinate"),
        ({HOST: DEEPER, "d.zz": ("indeterminate", "", "timeout")}, "d.zz", "subordinate"),
        ({HOST: ("delegated", "d.zz", "")}, "d.zz", "subordinate"),
        ({HOST: ("delegated", "zz", "")}, "d.zz", "subordinate"),
        ({HOST: ("delegated", "other.d.zz", "")}, "d.zz", "subordinate"),
        ({HOST: ("delegated", "shop.d.zz", "alias")}, "d.zz", "subordinate"),
        ({HOST: ("delegated", "shop.d.zz", "in-zone")}, "d.zz", "subordinate"),
        ({HOST: ("indeterminate", "", "timeout")}, "d.zz", "subordinate"),
        ({}, "d.zz", "subordinate"),
    ],
)
async def test_the_owner_of_the_referral_is_the_domain(
    owners: dict[str, tuple[str, str, str]], domain: str, scope: str
) -> None:
    """A delegation below the policy's domain wins, unless that one is itself delegated to a holder or was not seen."""
    world = World()
    zone = Zone(world, owners)
    made = Prober(
        Probes(zone, zone, None, Web(world), registration=Registry(world)),
        {"zz": TldPlan(("one",))},
        must_not_fetch=lambda _uri: None,
        registered_domain=lambda _host: "d.zz",
    )
    about = subject(uri=None, host=HOST, scope="subordinate")
    round_, after = await made.check(about, DomainRecord("d.zz", "zz"), Extras(), world.clock)
    assert after.domain == domain
    assert [one.target for one in round_.of("registration")] == [domain]
    assert [one.target for one in round_.of("delegation")] == [HOST]
    moved = regrouped(about, after.domain)
    assert (moved.domain, moved.scope) == (domain, scope)
    again, _ = await made.check(moved, after, Extras(), world.clock)
    assert [one.target for one in again.of("registration")] == [domain]


async def test_a_domain_no_referral_proves_any_more_is_the_policys_again() -> None:
    """What was delegated deeper and now is delegated where the policy says belongs there; a shared host never moves."""
    world = World()
    zone = Zone(world, {HOST: ("delegated", "d.zz", "")})
    made = Prober(
        Probes(zone, zone, None, Web(world)),
        {"zz": TldPlan(("one",))},
        must_not_fetch=lambda _uri: None,
        registered_domain=lambda _host: "d.zz",
    )
    about = subject(uri=None, host=HOST, domain="shop.d.zz", scope="registered")
    _, after = await made.check(about, None, Extras(), world.clock)
    assert after.domain == "d.zz"
    shared = subject(uri=None, host=HOST, domain="shop.d.zz", scope="shared")
    _, after = await made.check(shared, None, Extras(), world.clock)
    assert after.domain == "shop.d.zz"
