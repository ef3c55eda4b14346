"""The guard as in production: a small world on documentation addresses, in a network namespace of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.lab
def test_a_world_on_documentation_addresses_needs_no_allowance() -> None:
    """Every outcome and refusal is the seed's, and nothing ever came to a forbidden address."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("unshare and ip are not installed")
    if subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine gives no user and network namespace")
    command = ["unshare", "-rn", sys.executable, "-m", "tests.lab.namespace", "7"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert (found["wrong"], found["touched"]) == ([], {})
    assert set(found["kinds"]) >= {"live", "address", "alias", "redirect"}
    assert {"loopback", "private", "metadata", "mapped-loopback"} <= set(found["refused"])
