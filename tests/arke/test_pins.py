"""arke.pins: a signing key announced under a believed one is believed; no other is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from arke.cases.ledger import Ledger
from arke.pins import pinned
from arke.watch import SnapshotWatch
from panopticond.shared.errors import RefusedError
from panopticond.shared.http import Http
from panopticond.shared.minisign import SecretKey
from tests.arke.made import NOW, publish, tables

OLD, NEW, NEWER = SecretKey.generate(), SecretKey.generate(), SecretKey.generate()


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with Ledger.open(tmp_path / "state") as opened:
        yield opened


class Publisher:
    """One snapshot after the other under one root, and a reader that knows the old key alone."""

    def __init__(self, root: Path, ledger: Ledger) -> None:
        self.root, self.ledger, self.serial = root, ledger, 2026030501

    def publish(self, key: SecretKey, *announced: SecretKey) -> None:
        rows = tables()
        rows["snapshot"] = [msgspec.structs.replace(rows["snapshot"][0], serial=self.serial)]
        publish(self.root, key, rows, keys_next=tuple(one.public.text for one in announced))
        self.serial += 1

    async def look(self, *, accept: bool = True) -> int:
        """The serial accepted by a reader that has just started."""
        path = self.root / "zz" / "latest" / "records.sql"
        watch = SnapshotWatch("zz", str(path), [OLD.public.text], self.ledger, Http("x"), auth=None, spool=self.root)
        found = await watch.look(NOW, accept=accept)
        assert found is not None
        return found.manifest.serial

    async def pins(self) -> list[str]:
        return [key.text for key in await pinned(self.ledger, "zz")]


@pytest.fixture
def publisher(tmp_path: Path, ledger: Ledger) -> Publisher:
    return Publisher(tmp_path / "r", ledger)


async def test_an_announced_key_is_pinned_used_and_passed_on(publisher: Publisher) -> None:
    """Announced under the old key, it signs later; it announces the next one; each goes when the one after it signs."""
    publisher.publish(OLD, NEW)
    await publisher.look()
    assert await publisher.pins() == [NEW.public.text]
    publisher.publish(NEW)
    assert await publisher.look() == 2026030502
    assert await publisher.pins() == [NEW.public.text]
    publisher.publish(NEW, NEWER)
    await publisher.look()
    assert set(await publisher.pins()) == {NEW.public.text, NEWER.public.text}
    publisher.publish(NEWER)
    assert await publisher.look() == 2026030504
    assert await publisher.pins() == [NEWER.public.text]
    publisher.publish(NEW)
    with pytest.raises(RefusedError, match="none of the keys"):
        await publisher.look()


async def test_a_key_nobody_announced_is_refused(publisher: Publisher) -> None:
    """Nor does a snapshot signed by a stranger announce anything."""
    publisher.publish(OLD)
    await publisher.look()
    publisher.publish(NEW, NEW)
    with pytest.raises(RefusedError, match="none of the keys"):
        await publisher.look()
    assert await publisher.pins() == []


async def test_an_announcement_can_be_taken_back(publisher: Publisher) -> None:
    """A key that the next snapshot does not announce any more, and that never signed, is not believed."""
    publisher.publish(OLD, NEW)
    await publisher.look()
    publisher.publish(OLD)
    await publisher.look()
    publisher.publish(NEW)
    with pytest.raises(RefusedError, match="none of the keys"):
        await publisher.look()


async def test_a_preview_pins_nothing(publisher: Publisher) -> None:
    """What leaves no trace in the ledger leaves no key either."""
    publisher.publish(OLD, NEW)
    await publisher.look(accept=False)
    assert await publisher.pins() == []


async def test_what_is_no_key_is_left_out(publisher: Publisher) -> None:
    """The snapshot is still good, signed as it is; only its announcement is not."""
    rows = tables()
    publish(publisher.root, OLD, rows, keys_next=("RWnonsense", NEW.public.text))
    await publisher.look()
    assert await publisher.pins() == [NEW.public.text]
