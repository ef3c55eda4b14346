"""The SQL of feeds -> store: listings, the end of listings, and the feed-health ledger. Synchronous, in a transaction.

A body of 200,000 rows is compared with what is stored by row number (``rows.identity``), so only what is new or changed
is written to the indicators; sightings are upserted in the order of their tree. A body that did not change is one
UPDATE of its feed: an unended sighting was last seen when its feed was last touched.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import msgspec

from panopticond.model import Indicator, Scope
from panopticond.shared.errors import StoreError
from panopticond.store import lookup
from panopticond.store.interface import FeedHealth, Watch
from panopticond.store.rows import identity, micros, to_json, watch_of
from panopticond.store.sql import Row, Sql, first

_HEALTH = msgspec.json.Decoder(FeedHealth)


def record_listing(sql: Sql, secret: bytes, feed: str, seen: dt.datetime, batch: Sequence[Indicator]) -> list[Watch]:
    """Upsert a batch of a feed's indicators; returns the watches of those that are new or watched again."""
    at, feed_id = micros(seen), feed_number(sql, feed)
    numbered = [(identity(secret, item.uri or item.host), item) for item in batch]
    named = dict(numbered)
    numbers = sorted(named)
    known = {
        row[0]: row
        for row in sql.each(
            "SELECT id, key, domain, tld, scope, altered, watched FROM indicator WHERE id = ?",
            [(number,) for number in numbers],
        )
    }
    fresh = [number for number in numbers if number not in known]
    sql.change_each(
        "INSERT INTO indicator (id, key, is_uri, host, domain, tld, scope, altered, recorded) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",  # another host's feed may list it just now
        [
            (number, it.key, it.uri is not None, it.host, it.domain, it.tld, it.scope, it.altered, at)
            for number in fresh
            for it in (named[number],)
        ],
    )
    again = _update_changed(sql, named, known)
    sightings = (
        [(number, named[number].threat, named[number].source_id) for number in numbers]
        if len(named) == len(batch)  # else a URI is listed twice, for two threats perhaps
        else [
            (*where, source_id)
            for where, source_id in sorted({(n, it.threat): it.source_id for n, it in numbered}.items())
        ]
    )
    sql.change_each(
        "INSERT INTO sighting (feed_id, indicator_id, threat, first, last, source_id) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (feed_id, indicator_id, threat) DO UPDATE SET ended = NULL, "
        "last = CASE WHEN sighting.last < excluded.last THEN excluded.last ELSE sighting.last END, "
        "source_id = coalesce(excluded.source_id, sighting.source_id)",
        [(feed_id, number, threat, at, at, source_id) for number, threat, source_id in sightings],
    )
    return [Watch(number, seen, None, check=True) for number in fresh] + [
        watch_of(row)
        for row in sql.each(
            "UPDATE indicator SET watched = 1 WHERE id = ? RETURNING id, recorded, last_round, watched",
            [(number,) for number in again],
        )
    ]


def _update_changed(sql: Sql, named: dict[int, Indicator], known: dict[int, Row]) -> list[int]:
    """Carry a changed suffix policy or a mask into stored rows; returns the numbers nobody was asking any more."""
    again = []
    for number, (_, key, domain, tld, scope, altered, watched) in known.items():
        item = named[number]
        if key != (item.uri or item.host):  # 2^-63 a pair: never by accident, and nobody outside has the secret
            raise StoreError(f"two indicators have the number {number}; restore the newest backup and report this")
        if domain != item.domain and _proven(sql, str(domain), item.domain):
            item = msgspec.structs.replace(item, domain=str(domain), scope=scope)
        if domain != item.domain or scope != item.scope or tld != item.tld or (item.altered and not altered):
            sql.change(
                "UPDATE indicator SET domain = ?, tld = ?, scope = ?, altered = altered | ? WHERE id = ?",
                (item.domain, item.tld, item.scope, item.altered, number),
            )
        if not watched:
            again.append(number)
    return again


def _proven(sql: Sql, domain: str, policy: str) -> bool:
    """Whether a stored domain below the policy's is a referral's owner: then a record of its own is kept."""
    return domain.endswith(f".{policy}") and lookup.domain(sql, domain) is not None


def regroup(sql: Sql, number: int, domain: str, scope: Scope) -> None:
    """Keep an indicator under another registered domain."""
    sql.change("UPDATE indicator SET domain = ?, scope = ? WHERE id = ?", (domain, scope, number))


def end_listing(sql: Sql, feed: str, seen: dt.datetime) -> int:
    """After a whole body seen at ``seen``: end this feed's sightings that were not in it; returns how many."""
    number = feed_number(sql, feed)
    touched = first(sql, "SELECT coalesce(touched, 0) FROM feed WHERE id = ?", (number,))
    return sql.change(
        "UPDATE sighting SET ended = ?1, last = CASE WHEN last < ?3 THEN ?3 ELSE last END "
        "WHERE feed_id = ?2 AND ended IS NULL AND last < ?1",
        (micros(seen), number, touched),
    )


def touch_listing(sql: Sql, feed: str, seen: dt.datetime) -> None:
    """The same body again: every unended sighting of the feed was seen at ``seen``."""
    sql.change(
        "UPDATE feed SET touched = ?1 WHERE id = ?2 AND coalesce(touched, 0) < ?1",
        (micros(seen), feed_number(sql, feed)),
    )


def feed_number(sql: Sql, feed: str) -> int:
    """The row number of a feed, made on first use."""
    statement = "SELECT id FROM feed WHERE name = ?"
    number = first(sql, statement, (feed,))
    if number is None:
        sql.change("INSERT INTO feed (name) VALUES (?) ON CONFLICT DO NOTHING", (feed,))
        number = first(sql, statement, (feed,))
    return int(number)


def feed_health(sql: Sql, feed: str) -> FeedHealth:
    """The ledger line, a NEW one when there is none."""
    text = first(sql, "SELECT health FROM feed WHERE name = ?", (feed,))
    return FeedHealth(feed) if text is None else _HEALTH.decode(text)


def record_feed_health(sql: Sql, health: FeedHealth) -> None:
    """Replace the ledger line; a change of state goes to the history, dated by the attempt that showed it."""
    number = feed_number(sql, health.feed)
    if feed_health(sql, health.feed).state != health.state:
        at = health.since or health.last_attempt
        sql.change(
            "INSERT INTO feed_history VALUES (?, ?, ?, ?)",
            (number, 0 if at is None else micros(at), health.state, health.reason),
        )
    sql.change("UPDATE feed SET health = ? WHERE id = ?", (to_json(health), number))


def all_feed_health(sql: Sql) -> list[FeedHealth]:
    """Every ledger line, by name."""
    rows = sql.rows("SELECT health FROM feed WHERE health IS NOT NULL ORDER BY name")
    return [_HEALTH.decode(text) for (text,) in rows]
