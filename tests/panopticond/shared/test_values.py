"""What one value of a configuration may be: the faults that other tests do not meet."""

from __future__ import annotations

import pytest

from panopticond.shared.values import tld_fault


@pytest.mark.parametrize("name", ["com.zz", "z", "z_z", "zz.", "12", "", "z z", "z\nz", "../zz", "z" * 64])
def test_what_no_snapshot_can_be_of_is_no_tld(name: str) -> None:
    """One label of two characters or more, as manifest, repository and MoSAPI have it: found before anything starts."""
    fault = tld_fault(name)
    assert fault is not None
    assert repr(name) in fault


@pytest.mark.parametrize("name", ["zz", "xn--p1ai", "рф", "museum"])
def test_top_level_domains(name: str) -> None:
    """A-labels and, where a person writes them, U-labels."""
    assert tld_fault(name) is None
