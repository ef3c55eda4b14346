"""The SQL of feeds -> store: listings, the end of listings, and the feed-health ledger. Synchronous, in a transaction.

A body of 200,000 rows is compared with what is stored by row number (``rows.identity``), so only what is new or changed
is written to the indicators; sightings are upserted in the order of their tree. A body that did not change is one
UPDATE of its feed: an unended sighting was last seen when its feed was last touched.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import apsw
import msgspec

from panopticond.model import Indicator, Scope
from panopticond.shared.errors import StoreError
from panopticond.store import lookup
from panopticond.store.interface import FeedHealth, Watch
from panopticond.store.rows import identity, micros, to_json, watch_of

_HEALTH = msgspec.json.Decoder(FeedHealth)


def record_listing(
    connection: apsw.Connection, secret: bytes, feed: str, seen: dt.datetime, batch: Sequence[Indicator]
) -> list[Watch]:
    """Upsert a batch of a feed's indicators; returns the watches of those that are new or watched again."""
    at, feed_id = micros(seen), feed_number(connection, feed)
    numbered = [(identity(secret, item.uri or item.host), item) for item in batch]
    named = dict(numbered)
    numbers = sorted(named)
    known = {
        row[0]: row
        for row in connection.executemany(
            "SELECT id, key, domain, tld, scope, altered, watched FROM indicator WHERE id = ?",
            [(number,) for number in numbers],
        )
    }
    fresh = [number for number in numbers if number not in known]
    connection.executemany(
        "INSERT INTO indicator (id, key, is_uri, host, domain, tld, scope, altered, recorded) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (number, it.key, it.uri is not None, it.host, it.domain, it.tld, it.scope, it.altered, at)
            for number in fresh
            for it in (named[number],)
        ],
    )
    again = _update_changed(connection, named, known)
    sightings = (
        [(number, named[number].threat, named[number].source_id) for number in numbers]
        if len(named) == len(batch)  # else a URI is listed twice, for two threats perhaps
        else [
            (*where, source_id)
            for where, source_id in sorted({(n, it.threat): it.source_id for n, it in numbered}.items())
        ]
    )
    connection.executemany(
        "INSERT INTO sighting (feed_id, indicator_id, threat, first, last, source_id) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET last = max(last, excluded.last), ended = NULL, "
        "source_id = coalesce(excluded.source_id, source_id)",
        [(feed_id, number, threat, at, at, source_id) for number, threat, source_id in sightings],
    )
    return [Watch(number, seen, None, check=True) for number in fresh] + [
        watch_of(row)
        for row in connection.executemany(
            "UPDATE indicator SET watched = 1 WHERE id = ? RETURNING id, recorded, last_round, watched",
            [(number,) for number in again],
        )
    ]


def _update_changed(
    connection: apsw.Connection, named: dict[int, Indicator], known: dict[int, tuple[apsw.SQLiteValue, ...]]
) -> list[int]:
    """Carry a changed suffix policy or a mask into stored rows; returns the numbers nobody was asking any more."""
    again = []
    for number, (_, key, domain, tld, scope, altered, watched) in known.items():
        item = named[number]
        if key != (item.uri or item.host):  # 2^-63 a pair: never by accident, and nobody outside has the secret
            raise StoreError(f"two indicators have the number {number}; restore the newest backup and report this")
        if domain != item.domain and _proven(connection, str(domain), item.domain):
            item = msgspec.structs.replace(item, domain=str(domain), scope=scope)
        if domain != item.domain or scope != item.scope or tld != item.tld or (item.altered and not altered):
            connection.execute(
                "UPDATE indicator SET domain = ?, tld = ?, scope = ?, altered = max(altered, ?) WHERE id = ?",
                (item.domain, item.tld, item.scope, item.altered, number),
            )
        if not watched:
            again.append(number)
    return again


def _proven(connection: apsw.Connection, domain: str, policy: str) -> bool:
    """Whether a stored domain below the policy's is a referral's owner: then a record of its own is kept."""
    return domain.endswith(f".{policy}") and lookup.domain(connection, domain) is not None


def regroup(connection: apsw.Connection, number: int, domain: str, scope: Scope) -> None:
    """Keep an indicator under another registered domain."""
    connection.execute("UPDATE indicator SET domain = ?, scope = ? WHERE id = ?", (domain, scope, number))


def end_listing(connection: apsw.Connection, feed: str, seen: dt.datetime) -> int:
    """After a whole body seen at ``seen``: end this feed's sightings that were not in it; returns how many."""
    connection.execute(
        "UPDATE sighting SET ended = ?1, last = max(last, coalesce((SELECT touched FROM feed WHERE id = feed_id), "
        "last)) WHERE feed_id = ?2 AND ended IS NULL AND last < ?1",
        (micros(seen), feed_number(connection, feed)),
    )
    return connection.changes()


def touch_listing(connection: apsw.Connection, feed: str, seen: dt.datetime) -> None:
    """The same body again: every unended sighting of the feed was seen at ``seen``."""
    connection.execute(
        "UPDATE feed SET touched = max(coalesce(touched, 0), ?) WHERE id = ?",
        (micros(seen), feed_number(connection, feed)),
    )


def feed_number(connection: apsw.Connection, feed: str) -> int:
    """The row number of a feed, made on first use."""
    connection.execute("INSERT INTO feed (name) VALUES (?) ON CONFLICT DO NOTHING", (feed,))
    number: int = connection.execute("SELECT id FROM feed WHERE name = ?", (feed,)).get
    return number


def feed_health(connection: apsw.Connection, feed: str) -> FeedHealth:
    """The ledger line, a NEW one when there is none."""
    text = connection.execute("SELECT health FROM feed WHERE name = ?", (feed,)).get
    return FeedHealth(feed) if text is None else _HEALTH.decode(text)


def record_feed_health(connection: apsw.Connection, health: FeedHealth) -> None:
    """Replace the ledger line; a change of state goes to the history, dated by the attempt that showed it."""
    number = feed_number(connection, health.feed)
    if feed_health(connection, health.feed).state != health.state:
        at = health.since or health.last_attempt
        connection.execute(
            "INSERT INTO feed_history VALUES (?, ?, ?, ?)",
            (number, 0 if at is None else micros(at), health.state, health.reason),
        )
    connection.execute("UPDATE feed SET health = ? WHERE id = ?", (to_json(health), number))


def all_feed_health(connection: apsw.Connection) -> list[FeedHealth]:
    """Every ledger line, by name."""
    rows = connection.execute("SELECT health FROM feed WHERE health IS NOT NULL ORDER BY name")
    return [_HEALTH.decode(text) for (text,) in rows]
