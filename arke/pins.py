"""Signing keys learnt from ``keys_next``: announced under a key believed already, and believed from then on.

Beside ``watch``, which asks before it verifies and tells after (design sections 7 and 9). Only a verified, accepted
snapshot can announce. A key that is no longer announced is forgotten unless it signs, so that a publisher can take an
announcement back; the keys of arke.json are the operator's and stay until he removes them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import apsw

from arke.cases.ledger import Ledger
from panopticond.shared.errors import ConfigurationError, RefusedError
from panopticond.shared.minisign import PublicKey, verify
from panopticond.shared.snapshot import Manifest, canonical

log = logging.getLogger(__name__)


async def pinned(ledger: Ledger, tld: str) -> tuple[PublicKey, ...]:
    """The keys announced for a TLD, beside those of the configuration."""

    def read(connection: apsw.Connection) -> list[str]:
        return [str(key) for (key,) in connection.execute("SELECT key FROM pins WHERE tld = ? ORDER BY key", (tld,))]

    return tuple(PublicKey.parse(key) for key in await ledger.run(read))


async def pin(ledger: Ledger, manifest: Manifest, signature: str, before: Sequence[PublicKey]) -> None:
    """Keep what a verified manifest announces, and of ``before``, the keys pinned until now, the one that signed it."""
    now = {key.text for key in _announced(manifest)} | {key.text for key in before if _signed(manifest, signature, key)}
    known = {key.text for key in before}
    if now == known:
        return

    def write(connection: apsw.Connection) -> None:
        connection.execute("DELETE FROM pins WHERE tld = ?", (manifest.tld,))
        connection.executemany("INSERT INTO pins VALUES (?, ?)", [(manifest.tld, key) for key in sorted(now)])

    await ledger.run(write)
    for key in sorted(now - known):
        log.warning(
            ".%s: snapshot %d announces signing key %s; it is believed from now on: if its publisher knows nothing of "
            "it, stop arke and ask",
            manifest.tld,
            manifest.serial,
            key,
        )
    for key in sorted(known - now):
        log.warning(".%s: signing key %s is no longer announced; it is not believed any more", manifest.tld, key)


def _announced(manifest: Manifest) -> list[PublicKey]:
    """The keys in ``keys_next``; what is none is said and left out."""
    found = []
    for text in manifest.keys_next:
        try:
            found.append(PublicKey.parse(text))
        except ConfigurationError:
            log.warning(".%s: snapshot %d announces something that is no public key", manifest.tld, manifest.serial)
    return found


def _signed(manifest: Manifest, signature: str, key: PublicKey) -> bool:
    try:
        verify(canonical(manifest), signature, [key])
    except RefusedError:
        return False
    return True
