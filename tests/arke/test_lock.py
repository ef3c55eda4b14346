"""arke.lock: one sender a state directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from arke import lock
from panopticond.shared.errors import StoreError


def test_the_second_is_refused_with_a_sentence_and_the_lock_ends_with_its_holder(tmp_path: Path) -> None:
    """One at a time; afterwards the next may; exit status 1; a directory that cannot be made is said."""
    state = tmp_path / "state"
    with lock.held(state):
        with pytest.raises(StoreError, match="another arke is at work") as refused, lock.held(state):
            pass
        assert refused.value.exit_status == 1
    with lock.held(state):
        pass
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"), lock.held(tmp_path / "file" / "state"):
        pass
