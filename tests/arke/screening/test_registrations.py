"""arke.screening.registrations: days of registration for the review list, a few questions a day, remembered without contacts."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from arke.cases.ledger import Ledger
from arke.screening import registrations
from panopticond.shared.rdap.domain import RdapDomain, RdapProblem

NOW = dt.datetime(2026, 8, 20, 6, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


class Registry:
    """Answers by name: a day, a problem's reason, or a domain without a date."""

    def __init__(self, **answers: str) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def ask(self, name: str) -> RdapDomain | RdapProblem:
        self.asked.append(name)
        said = self.answers.get(name.partition(".")[0], "2026-08-19")
        if said[:1].isdigit():
            return RdapDomain(name, dt.datetime.fromisoformat(said).replace(tzinfo=dt.UTC), (), None, None)
        return RdapDomain(name, None, (), None, None) if said == "undated" else RdapProblem(said)


async def test_what_is_learnt_is_remembered(tmp_path: Path) -> None:
    """A day, no date and no registration are told apart from not asked; nothing known is asked again for a month."""
    registry = Registry(gone="not-found", old="2001-01-01", bare="undated")
    names = [f"{label}.zz" for label in ("fresh", "gone", "old", "bare")]
    async with Ledger.open(tmp_path) as ledger:
        assert await registrations.learn(ledger, registry.ask, "zz", names, 50, NOW) == 4
        said = await registrations.remembered(ledger, [*names, "other.zz"], NOW)
        assert said == {"fresh.zz": "2026-08-19", "gone.zz": "none", "old.zz": "2001-01-01", "bare.zz": "no date"}
        assert registrations.days_of(said).keys() == {"fresh.zz", "old.zz"}
        assert await registrations.learn(ledger, registry.ask, "zz", names, 50, NOW + 20 * DAY) == 0
        assert await registrations.learn(ledger, registry.ask, "zz", names, 50, NOW + 40 * DAY) == 4
        await registrations.forget(ledger, "fresh.zz")
        assert "fresh.zz" not in await registrations.remembered(ledger, names, NOW + 40 * DAY)


async def test_the_budget_is_of_a_day_and_a_tld(tmp_path: Path) -> None:
    """The first names are asked about; the others on another day; another TLD has its own budget."""
    registry = Registry()
    names = [f"n{at}.zz" for at in range(5)]
    async with Ledger.open(tmp_path) as ledger:
        for hours in (0, 6):
            await registrations.learn(ledger, registry.ask, "zz", names, 2, NOW + dt.timedelta(hours=hours))
        assert registry.asked == names[:2]
        await registrations.learn(ledger, registry.ask, "yy", ["m.yy"], 2, NOW)
        await registrations.learn(ledger, registry.ask, "zz", names, 2, NOW + 2 * DAY)
        assert registry.asked == [*names[:2], "m.yy", *names[2:4]]


async def test_a_server_that_will_not_answer_is_left_alone(tmp_path: Path) -> None:
    """A 429 or three failures in a row end the list; who had no answer is asked again, but not on the same day."""
    names = [f"{label}.zz" for label in "abcdefgh"]
    busy, down = Registry(a="rate-limited"), Registry(**dict.fromkeys("abcdefgh", "timeout"))
    async with Ledger.open(tmp_path) as ledger:
        await registrations.learn(ledger, busy.ask, "zz", names, 50, NOW)
        assert busy.asked == ["a.zz"]
        assert await registrations.remembered(ledger, names, NOW) == {"a.zz": "could not check: rate-limited"}
        await registrations.learn(ledger, down.ask, "zz", names, 50, NOW)
        assert down.asked == ["b.zz", "c.zz", "d.zz"]
        again = Registry()
        await registrations.learn(ledger, again.ask, "zz", names, 50, NOW + 2 * DAY)
        assert again.asked == names
