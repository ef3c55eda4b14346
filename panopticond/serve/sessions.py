"""MoSAPI sessions: 160 random bits in a cookie, 15 minutes after login and no longer, few at a time.

Between login and every other MoSAPI request. Sessions are security and not policy: their time is real (monotonic)
seconds. Only a hash of the cookie is kept, and what is kept is bounded by the accounts there are.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable

import msgspec


class Session(msgspec.Struct, frozen=True):
    """Who is signed in, for which TLD, and until when (real seconds of the clock given)."""

    account: str
    tld: str
    ends: float


class Sessions:
    """Every open session. One account has at most ``per_account`` a TLD; one login more ends the oldest."""

    def __init__(self, *, lifetime_seconds: float, per_account: int, seconds: Callable[[], float]) -> None:
        self._lifetime_seconds = lifetime_seconds
        self._per_account = per_account
        self._seconds = seconds
        self._open: dict[bytes, Session] = {}
        self._of: dict[tuple[str, str], list[bytes]] = {}

    def open(self, account: str, tld: str) -> str:
        """A new session's cookie value: 40 hexadecimal digits."""
        value = secrets.token_hex(20)
        mine = self._of.setdefault((account, tld), [])
        while len(mine) >= self._per_account:
            self._open.pop(mine.pop(0), None)
        digest = _digest(value)
        mine.append(digest)
        self._open[digest] = Session(account, tld, self._seconds() + self._lifetime_seconds)
        return value

    def find(self, value: str, tld: str) -> Session | None:
        """The session a cookie value stands for, if it is open and for this TLD."""
        session = self._open.get(_digest(value))
        if session is None or session.tld != tld:
            return None
        if self._seconds() >= session.ends:
            self._end(_digest(value), session)
            return None
        return session

    def close(self, value: str, tld: str) -> Session | None:
        """End a session; the session it was, or None when there was none."""
        session = self.find(value, tld)
        if session is not None:
            self._end(_digest(value), session)
        return session

    def _end(self, digest: bytes, session: Session) -> None:
        del self._open[digest]
        self._of[session.account, session.tld].remove(digest)


def _digest(value: str) -> bytes:
    """Of a cookie value: what is looked up does not tell, by its timing, what is kept."""
    return hashlib.sha256(value.encode()).digest()
