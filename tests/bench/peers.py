"""Peers of the screening benchmarks, each in an environment of its own below ``.venv/peers``, installed on first use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PEERS = Path(".venv") / "peers"
INSTALL_SECONDS = 900


def installed(name: str, wanted: list[list[str]]) -> str | None:
    """The Python of a peer's environment, or None where it cannot be installed; ``wanted``: arguments of each install."""
    home = PEERS / name
    python, ready = home / "bin" / "python", home / "ready"
    try:
        if not ready.exists():
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, capture_output=True)
            pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            for arguments in wanted:
                subprocess.run([*pip, *arguments], check=True, capture_output=True, timeout=INSTALL_SECONDS)
        subprocess.run([str(python), "-c", f"import {name}"], check=True, capture_output=True, timeout=120)
        ready.touch()
    except (OSError, subprocess.SubprocessError):
        return None
    return str(python)


def asked(python: str, program: str, given: object) -> dict[str, Any]:
    """Run a program of one peer with JSON on its input; its last line of output is JSON too."""
    done = subprocess.run([python, "-c", program], input=json.dumps(given), check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer
