"""A disk that fills up at any file of a publication: the old snapshot stays whole, and the next run mends it.

The kernel's own limit on the size of a file stands in for the disk. An audit hook of the interpreter sees each file
being opened and lowers the limit at the chosen one, so that the real write of that very file is the one that fails.
"""

from __future__ import annotations

import datetime as dt
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from panopticond.shared.errors import StoreError
from panopticond.shared.snapshot import FILES, MANIFEST, SIGNATURE, parse_manifest, verify_tree
from panopticond.snapshot.publish import publish_tld
from tests.panopticond.snapshot.ledger import HOUR, NOW, TLD, TODAY, press, world

FROM_THE_START = "from the first byte on"


class _Disk:
    """Full from the moment a staged file of a certain name is opened; the hook stays for the process, idle without a name."""

    def __init__(self) -> None:
        self.full_at = ""
        sys.addaudithook(self._hear)

    def _hear(self, event: str, said: tuple[Any, ...]) -> None:
        if self.full_at and event == "open" and Path(str(said[0])).match(f".staging-*/{self.full_at}"):
            self._fill()

    def _fill(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    @contextmanager
    def full(self, at: str) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        if at == FROM_THE_START:
            self._fill()
        else:
            self.full_at = at
        try:
            yield
        finally:
            self.full_at = ""
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_disk_full_at_any_file_leaves_the_old_snapshot_and_the_next_run_mends_it(tmp_path: Path) -> None:
    """Whichever file does not fit, the error names the disk, ``latest`` verifies, and nothing half-made stays."""
    print_shop, ledger, disk = press(tmp_path), world(), _Disk()
    home, key = tmp_path / "zz", print_shop.key.public
    first = await publish_tld(print_shop, ledger, TLD, TODAY, NOW)  # type: ignore[arg-type]
    now = NOW + HOUR
    for name in (FROM_THE_START, *FILES, MANIFEST, SIGNATURE):
        with disk.full(name), pytest.raises(StoreError, match=r"cannot publish \.zz .* mend the disk"):
            await publish_tld(print_shop, ledger, TLD, TODAY, now)  # type: ignore[arg-type]
        staged = [entry for entry in home.iterdir() if entry.name.startswith(".staging-")]
        reached = [(entry / name).exists() for entry in staged]
        assert name == FROM_THE_START or reached == [True]
        assert verify_tree(home / "latest", [key], tld="zz").serial == first.serial
        assert ledger.publications == [first]
        now += dt.timedelta(minutes=1)
    second = await publish_tld(print_shop, ledger, TLD, TODAY, now)  # type: ignore[arg-type]
    manifest = parse_manifest((home / "latest" / "manifest.json").read_bytes())
    assert (manifest.serial, manifest.previous_serial) == (second.serial, first.serial)
    assert sorted(entry.name for entry in home.iterdir()) == [str(first.serial), str(second.serial), "latest"]
