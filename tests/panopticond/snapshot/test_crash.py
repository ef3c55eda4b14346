"""kill -9 at fifty random points of publishing: never a torn or unsigned tree, never a lost interval."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_fifty_killed_publications_leave_a_whole_tree(tmp_path: Path) -> None:
    """After each the newest snapshot verifies; in the end the chain is unbroken and nothing half-made is left."""
    command = [sys.executable, "-m", "tests.panopticond.snapshot.crash", str(tmp_path), "20261121", "50"]
    done = subprocess.run(
        command,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["killed"] == 50
    assert found["left"] == ["latest"]
    assert found["lost"] == []
    assert found["published"] >= 2
