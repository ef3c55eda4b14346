"""When the names of the review list were registered: asked over RDAP, a few a day, and remembered without contacts.

Beside the flow, after :mod:`.review` has written a list: what is learnt weighs in the list, which is then written
again. The ledger keeps a name, what the registry said and when; nobody's contact is ever decoded for it. "Not asked"
is told apart from "none" (the registry knows no such registration) and from "could not check".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import apsw
import trio

from arke.cases.ledger import Ledger
from panopticond.shared.clock import rfc3339
from panopticond.shared.rdap.domain import RdapDomain, RdapProblem

AT_ONCE = 2  # of the four questions that the notices' look-ups may have under way
LONGEST_SECONDS = 300.0  # real time all look-ups of a list may take
FAILURES = 3  # in a row, after which the server is left alone until the next list
ASK_AGAIN = dt.timedelta(days=1)  # after no answer
KEPT = dt.timedelta(days=30)
NONE, NO_DATE = "none", "no date"
COULD_NOT = "could not check: "

Ask = Callable[[str], Awaitable[RdapDomain | RdapProblem]]


def said_of(answer: RdapDomain | RdapProblem) -> str:
    """What an answer says of a registration: its day, ``none``, ``no date``, or why it could not be learnt (pure)."""
    if isinstance(answer, RdapDomain):
        return answer.registered.date().isoformat() if answer.registered is not None else NO_DATE
    return NONE if answer.reason == "not-found" else COULD_NOT + answer.reason


def days_of(said: Mapping[str, str]) -> dict[str, dt.date]:
    """The days of registration among what is known (pure)."""
    return {name: dt.date.fromisoformat(text) for name, text in said.items() if text[:1].isdigit()}


async def remembered(ledger: Ledger, names: Iterable[str], now: dt.datetime) -> dict[str, str]:
    """What was said of these names in the last thirty days, by name; those never asked about are not in it."""
    wanted = frozenset(names)
    return {name: said for name, (said, _) in (await _known(ledger, now)).items() if name in wanted}


async def learn(ledger: Ledger, ask: Ask, tld: str, names: Sequence[str], budget: int, now: dt.datetime) -> int:
    """Ask about the first ``names`` nothing is known of, at most ``budget`` a day and TLD; how many answers there were.

    Stops at a 429, after :data:`FAILURES` in a row, or when it has taken long enough: the next list goes on from there.
    """
    known, since = await _known(ledger, now), rfc3339(now - ASK_AGAIN)
    left = budget - sum(at > since and name.endswith(f".{tld}") for name, (_, at) in known.items())
    due = [name for name in names if _due(known.get(name), since)]
    answers = await _ask_all(ask, due[: max(0, left)])

    def write(connection: apsw.Connection) -> None:
        rows = [(name, said, rfc3339(now)) for name, said in answers.items()]
        connection.executemany("INSERT OR REPLACE INTO registrations VALUES (?, ?, ?)", rows)

    if answers:
        await ledger.run(write)
    return len(answers)


async def forget(ledger: Ledger, name: str) -> None:
    """Erase what was said of one name."""

    def erase(connection: apsw.Connection) -> None:
        connection.execute("DELETE FROM registrations WHERE name = ?", (name,))

    await ledger.run(erase)


def _due(known: tuple[str, str] | None, since: str) -> bool:
    """Never asked about, or without an answer and not since then."""
    return known is None or (known[0].startswith(COULD_NOT) and known[1] <= since)


async def _known(ledger: Ledger, now: dt.datetime) -> dict[str, tuple[str, str]]:
    """By name what was said and when; what is older than :data:`KEPT` is erased."""

    def read(connection: apsw.Connection) -> dict[str, tuple[str, str]]:
        connection.execute("DELETE FROM registrations WHERE at < ?", (rfc3339(now - KEPT),))
        rows = connection.execute("SELECT name, said, at FROM registrations")
        return {str(name): (str(said), str(at)) for name, said, at in rows}

    return await ledger.run(read)


async def _ask_all(ask: Ask, names: Sequence[str]) -> dict[str, str]:
    answers: dict[str, str] = {}
    waiting, failed = iter(names), 0

    async def work() -> None:
        nonlocal failed
        for name in waiting:
            if scope.cancel_called:  # an answer at hand is no checkpoint
                return
            answer = await ask(name)
            answers[name] = said = said_of(answer)
            failed = failed + 1 if said.startswith(COULD_NOT) else 0
            if failed >= FAILURES or (isinstance(answer, RdapProblem) and answer.reason == "rate-limited"):
                scope.cancel()

    with trio.move_on_after(LONGEST_SECONDS) as scope:
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(work)
    return answers
