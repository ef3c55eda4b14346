"""A key of our own is whole or not there, whoever asks first."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest

from panopticond.shared.keyfile import KEY_BYTES, own_key


def test_made_once(tmp_path: Path) -> None:
    """The first use makes it, private and with nothing left beside it; every later one reads the same."""
    path = tmp_path / "own.key"
    key = own_key(path)
    assert len(key) == KEY_BYTES
    assert own_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_all_who_ask_at_once_get_the_same(tmp_path: Path) -> None:
    """However many start together, one key is made."""
    found: list[bytes] = []
    askers = [Thread(target=lambda: found.append(own_key(tmp_path / "own.key"))) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(found) == 8
    assert len(set(found)) == 1


def test_another_length_is_no_key(tmp_path: Path) -> None:
    """What was cut short by another program is refused, never replaced: it may be in a backup."""
    path = tmp_path / "own.key"
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="not a key"):
        own_key(path)
    assert path.read_bytes() == b""
