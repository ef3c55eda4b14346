"""Accounts: guesses are throttled where they come from, and lock nobody else out."""

from __future__ import annotations

import base64

import pytest
import trio

from panopticond.serve.accounts import FAILURES_ALLOWED, FAILURES_AN_ADDRESS, Accounts, Login


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@pytest.fixture
def accounts() -> Accounts:
    return Accounts({"reader": ("right", frozenset({"zz"})), "other": ("fine", frozenset({"yy"}))})


async def test_wrong_guesses_do_not_lock_out_who_is_known_good(accounts: Accounts) -> None:
    """A login that was good stays good from the very address of the guesses; a new right one elsewhere too."""
    assert (await accounts.login(basic("reader", "right"), "192.0.2.1")).account == "reader"
    for _ in range(FAILURES_ALLOWED):
        assert (await accounts.login(basic("reader", "wrong"), "192.0.2.1")).account is None
    assert (await accounts.login(basic("reader", "wrong"), "192.0.2.1")).retry_after > 0
    assert (await accounts.login(basic("reader", "right"), "192.0.2.1")).account == "reader"
    assert (await accounts.login(basic("other", "fine"), "192.0.2.1")).account == "other"


async def test_guesses_from_one_address_lock_no_other(accounts: Accounts) -> None:
    """The account may still log in from elsewhere for the first time."""
    for _ in range(FAILURES_ALLOWED):
        await accounts.login(basic("reader", "wrong"), "192.0.2.1")
    assert (await accounts.login(basic("reader", "right"), "192.0.2.1")).retry_after > 0
    assert (await accounts.login(basic("reader", "right"), "192.0.2.2")).account == "reader"


async def test_many_names_from_one_address_end_too(accounts: Accounts) -> None:
    """Whoever tries name after name is stopped by the address."""
    for number in range(FAILURES_AN_ADDRESS):
        assert (await accounts.login(basic(f"n{number}", "x"), "192.0.2.1")).retry_after == 0
    assert (await accounts.login(basic("another", "x"), "192.0.2.1")).retry_after > 0


async def test_a_hundred_guesses_at_once_are_no_more_than_one_after_another(accounts: Accounts) -> None:
    """The throttle is asked in each guess's turn: those that came before the first failure was known wait like all."""
    answers: list[Login] = []

    async def guess(number: int) -> None:
        answers.append(await accounts.login(basic("reader", f"guess{number}"), "192.0.2.1"))

    async with trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(guess, number)
    looked_at = [answer for answer in answers if not answer.retry_after]
    assert FAILURES_ALLOWED <= len(looked_at) <= FAILURES_ALLOWED + 1
