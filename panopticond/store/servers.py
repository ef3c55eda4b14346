"""The PostgreSQL servers a URL names, and the one of them that takes writes now: connections to it, and to no other.

Under the store's pool and under ``session``, which share one :class:`Servers`. A promotion raises a cluster's timeline
by one, so the timeline tells a new primary from the old one that came back: at the start, and again whenever a
connection broke, every server of the URL is looked at and the one furthest on is taken; one that lies behind what this
process has seen is never written to, and connections to it are cut. Passwords come from a file or from libpq's own
places and stand in no sentence of ours. Blocking: called in worker threads, several at once.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakSet

import psycopg
from psycopg.adapt import Dumper
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.raw_cursor import RawCursor

from panopticond.shared.errors import StoreError
from panopticond.store.interface import AwayError

_SESSION = {
    # Nothing of ours takes a minute in one statement; a host that hangs in a transaction must not hold rows for ever.
    "statement_timeout": "60s",
    "idle_in_transaction_session_timeout": "60s",
    "lock_timeout": "20s",
    # Every statement of ours is by key: planning it anew for its values costs more than it could find.
    "plan_cache_mode": "force_generic_plan",
    # A host that vanished without a word holds its locks until the server misses it: half a minute, not two hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "25000",
}
_SETTLE = "SELECT " + ", ".join(f"set_config('{name}', '{value}', false)" for name, value in _SESSION.items())
_PARAMETERS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "panopticond",
    "target_session_attrs": "read-write",
}
_EACH = ("host", "hostaddr", "port")
"""What a URL may give for each of several servers, separated by commas."""
_HOPELESS = re.compile(
    r"authentication failed|no password supplied|(database|role) \".*\" does not exist|pg_hba\.conf|permission denied|"
    r"not permitted to log in|does not support SSL|certificate verify failed|root certificate|client certificate|"
    r"invalid (host|port|integer|connection option|\w+ value)|could not match|Servname not supported"
)
"""Answers that no waiting mends. What is not known here, another language's sentence too, is tried again."""
_SAY_AGAIN_SECONDS = 600.0
_log = logging.getLogger(__name__)


class NoServerError(AwayError):
    """No server of the URL takes writes; ``hopeless`` when none of them will by waiting."""

    def __init__(self, sentence: str, *, hopeless: bool) -> None:
        super().__init__(sentence)
        self.hopeless = hopeless


class Link:
    """A connection outside any transaction, which server it is to, and a way for other threads to cut it."""

    def __init__(self, connection: psycopg.Connection[Any], place: int, timeline: int) -> None:
        self.connection, self.place, self.timeline = connection, place, timeline
        self._handle = socket.socket(fileno=os.dup(connection.fileno()))

    def cut(self) -> None:
        """End what the connection waits for: whoever uses it finds it broken. Never waits itself."""
        with contextlib.suppress(OSError):  # closed by now, or by the other side
            self._handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it; only the thread that uses it may."""
        self.connection.close()
        self._handle.close()


class Servers:
    """The servers of one URL, as this process knows them. Raises StoreError for a URL libpq cannot read."""

    def __init__(self, url: str, password_file: str | None = None) -> None:
        self.url = url
        self._password_file = password_file
        try:
            given = conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:  # its sentence ends with what was given
            raise StoreError(f"store.url: {one_line(error).partition(': ')[0]}; mend [store] url") from error
        self._places = _places({**{name: _PARAMETERS[name] for name in _PARAMETERS if name not in given}, **given})
        host = given.get("host") or given.get("hostaddr") or given.get("service") or "the local socket"
        self.where = f"PostgreSQL database {given.get('dbname') or given.get('user') or 'of this user'} at {host}"
        """Which database it is, for a sentence: no user, no password, no parameter."""
        self._lock = threading.Lock()
        self._links = WeakSet[Link]()
        self._timeline = 0
        self._last = 0
        """The place that was the primary when last asked."""
        self._sure = False
        """Whether that is still believed: not at the start, and not once a connection broke."""
        self._end: threading.Timer | None = None
        self._over = False
        self._said: dict[str, float] = {}
        """When each former primary was last logged."""

    def connect(self) -> Link:
        """A connection to the primary; NoServerError, or StoreError for a password that cannot be read."""
        if self._over:
            raise NoServerError(f"{self.where}: not waited for any longer at the end", hopeless=True)
        password, sure = self._password(), self._sure
        best: Link | None = None
        refused: list[tuple[str, str]] = []
        for at in [self._last, *(at for at in range(len(self._places)) if at != self._last)]:
            try:
                link = _opened(self._places[at], at, password)
            except (psycopg.Error, ValueError) as error:
                refused.append((_name(self._places[at]), _why(error)))
                sure = False
                continue
            best, other = (link, best) if best is None or link.timeline > best.timeline else (best, link)
            if other is not None:
                self._put_back(other, best.timeline, refused)
            if best.timeline < self._timeline:
                self._put_back(best, self._timeline, refused)
                best = None
            elif sure:
                break
        if best is None:
            raise NoServerError(self._sentence(refused), hopeless=all(_HOPELESS.search(why) for _, why in refused))
        self._found(best)
        return best

    def said(self, error: psycopg.Error) -> str:
        """What the database answered, as a sentence."""
        return f"{self.where}: {one_line(error)}"

    def doubt(self) -> None:
        """A connection broke: the next one is looked for anew."""
        self._sure = False

    def cut(self) -> None:
        """Cut every connection; whoever uses one finds it broken and tries another."""
        for link in list(self._links):
            link.cut()

    def give_up_after(self, seconds: float) -> None:
        """The process ends: cut what is not done in time, and open nothing more."""
        self._end = threading.Timer(seconds, self._give_up)
        self._end.daemon = True
        self._end.start()

    def close(self) -> None:
        """Everything was done in time; every connection is its owner's to close."""
        if self._end is not None:
            self._end.cancel()

    def _give_up(self) -> None:
        self._over = True
        self.cut()

    def _found(self, link: Link) -> None:
        with self._lock:
            self._links.add(link)
            if self._over or link.timeline < self._timeline:  # meanwhile it ended, or another thread found a newer one
                link.cut()
                return
            self._last, self._sure = link.place, True
            if link.timeline == self._timeline:
                return
            if self._timeline:
                _log.warning("%s: %s is the primary now", self.where, _name(self._places[link.place]))
            self._timeline = link.timeline
            for other in list(self._links):
                if other.timeline < link.timeline:
                    other.cut()

    def _put_back(self, link: Link, timeline: int, refused: list[tuple[str, str]]) -> None:
        """Not this one: a former primary that takes writes again, or another name of the same server."""
        link.close()
        if link.timeline < timeline:
            name = _name(self._places[link.place])
            behind = f"timeline {link.timeline}, the primary's is {timeline}"
            why = f"is a former primary that takes writes ({behind}): stop it"
            refused.append((name, why))
            if time.monotonic() - self._said.get(name, -_SAY_AGAIN_SECONDS) >= _SAY_AGAIN_SECONDS:
                self._said[name] = time.monotonic()
                _log.error("%s: %s %s", self.where, name, why)

    def _password(self) -> str | None:
        if self._password_file is None:
            return None
        try:
            return Path(self._password_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(f"store.password_file: {self._password_file} cannot be read as text") from error

    def _sentence(self, refused: list[tuple[str, str]]) -> str:
        if len(refused) == 1:
            return f"{self.where}: {refused[0][1]}"
        return f"{self.where}: no server takes writes: " + "; ".join(f"{name}: {why}" for name, why in refused)


def one_line(error: Exception) -> str:
    """What went wrong, in one bounded line; libpq says the whole story in several."""
    return re.sub(r"\s+", " ", str(error)).strip()[:300] or type(error).__name__


def _places(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each server of a URL by itself; one place, for libpq to make sense of, where the lists do not fit."""
    lists = {name: str(given[name]).split(",") for name in _EACH if given.get(name)}
    count = max((len(values) for values in lists.values()), default=1)
    if any(len(values) not in (1, count) or (len(values) < count and name != "port") for name, values in lists.items()):
        return [dict(given)]
    spread = {name: values * count if len(values) < count else values for name, values in lists.items()}
    return [{**given, **{name: values[at] for name, values in spread.items()}} for at in range(count)]


def _opened(place: Mapping[str, Any], at: int, password: str | None) -> Link:
    conninfo = make_conninfo("", **(dict(place) if password is None else {**place, "password": password}))
    connection: psycopg.Connection[Any] = psycopg.connect(conninfo, autocommit=True, cursor_factory=RawCursor)
    try:
        connection.adapters.register_dumper(int, _Whole)
        connection.adapters.register_dumper(bool, _Whole)
        connection.adapters.register_dumper(str, _Text)
        connection.execute(_SETTLE.encode())
        return Link(connection, at, _timeline(connection))
    except BaseException:
        connection.close()
        raise


def _timeline(connection: psycopg.Connection[Any]) -> int:
    """Which one this server writes on; 0 where it does not say (a service that is PostgreSQL in its protocol only)."""
    try:
        row = connection.execute("SELECT pg_walfile_name(pg_current_wal_lsn())").fetchone()
    except psycopg.errors.ObjectNotInPrerequisiteState:  # a standby since a moment ago
        raise
    except psycopg.Error:
        if connection.closed:
            raise
        return 0
    return int(row[0][:8], 16) if row is not None else 0


def _name(place: Mapping[str, Any]) -> str:
    host = str(place.get("host") or place.get("hostaddr") or "the local socket")
    return f"{host}:{place['port']}" if place.get("port") and not host.startswith("/") else host


def _why(error: Exception) -> str:
    """The answer without what it says of the place, which we name ourselves."""
    if isinstance(error, ValueError):
        return f"invalid host or port: {one_line(error)}"
    first = (str(error).splitlines() or [""])[0]
    told = one_line(psycopg.Error(re.sub(r"^(?:.*\bfailed: |connection is bad: )?(?:FATAL: +)?", "", first) or first))
    return "is a standby and takes no writes" if told == "session is read-only" else told


class _Whole(Dumper):
    """Integers and truth values as bigint: every column of ours is one."""

    oid = 20

    def dump(self, obj: int) -> bytes:
        return b"%d" % obj


class _Text(Dumper):
    """Text of unstated type, without the one character PostgreSQL has no place for."""

    def dump(self, obj: str) -> bytes:
        return obj.replace("\0", "").encode()
