"""A collector that follows feeds for many TLDs and reaches nobody: every server it knows is a closed port of this host.

For tests with captured feeds, whose names are or were malicious and are neither resolved nor fetched.
"""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from panopticond.shared.minisign import SecretKey
from tests.lab.configure import toml

CLOSED = "127.0.0.1:9"


def configure(
    root: Path,
    tlds: Sequence[str],
    feeds: Sequence[Mapping[str, str]],
    *,
    clock: tuple[dt.datetime, float],
    publish_at: str = "06:00",
) -> None:
    """Its configuration in ``root``, where its state, status socket and snapshots will be too; ``clock``: epoch, scale."""
    key = root / "panopticon.key"
    key.touch(mode=0o600)
    key.write_text(SecretKey.generate().file_text)
    (root / "panopticond.toml").write_text(
        toml(
            {
                "lab": True,
                "clock": {"epoch": clock[0], "scale": clock[1]},
                "tld": [
                    {"name": tld, "suffixes": [tld], "servers": [CLOSED], "publish_at": publish_at} for tld in tlds
                ],
                "feed": list(feeds),
                "vantage": [
                    {"name": name, "country": country, "proxy": f"http://{CLOSED}"}
                    for name, country in (("near", "NZ"), ("far", "DE"))
                ],
                "validation": {"concurrency": 4, "probe_deadline": "500ms"},
                "dns": {"timeout": "50ms", "attempts": 1},
                "quad9": {"filtered": [CLOSED], "unfiltered": [CLOSED]},
                "tranco": {"enabled": False},
                "registration": {"enabled": False},
                "store": {"path": str(root / "panopticon.db")},
                "publish": {"root": str(root / "published"), "secret_key_file": str(key)},
                "serve": {"enabled": False},
                "status": {"socket": str(root / "s")},
            }
        )
    )


def start(root: Path) -> subprocess.Popen[bytes]:
    """The daemon on the configuration in ``root``; what it says goes to ``log`` there."""
    with (root / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "panopticond", "run", "-c", str(root / "panopticond.toml")], stdout=log, stderr=log
        )
