"""What the integration tests share: a snapshot published by the real store and publish code, and arke set up on it."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import trio

from panopticond.config import Tld
from panopticond.judge.listing import listing_of
from panopticond.judge.verdict import judge
from panopticond.model import DomainRecord, Indicator, Observation, Round
from panopticond.shared.minisign import SecretKey, sign
from panopticond.shared.snapshot import MANIFEST, SIGNATURE, Manifest, canonical, trusted_comment
from panopticond.snapshot.licences import FeedFacts, Veil
from panopticond.snapshot.press import Press
from panopticond.snapshot.publish import Today, publish_tld
from panopticond.store.interface import FeedHealth
from panopticond.store.sqlite import open_store
from tests.arke.mail.test_smtp import Server
from tests.panopticond.store.known import know

HOUR = dt.timedelta(hours=1)
NAMES = ("bad.zz", "worse.zz")
HOLDERS = tuple(f"holder@{name.split('.')[0]}.isp.zz" for name in NAMES)


class Published(msgspec.Struct, frozen=True):
    """A repository with two snapshots of .zz, the key they are signed with, and when the newer one was issued."""

    root: Path
    key: SecretKey
    issued: dt.datetime

    @property
    def latest(self) -> Path:
        """The newer snapshot's own directory."""
        return (self.root / "zz" / "latest").resolve()

    @property
    def serials(self) -> list[int]:
        """Both serials, the older first."""
        return sorted(int(path.name) for path in (self.root / "zz").iterdir() if path.name.isdigit())

    def copy(self, to: Path) -> Published:
        """The same tree elsewhere, to be damaged."""
        shutil.copytree(self.root, to, symlinks=True)
        return Published(to, self.key, self.issued)

    def sign_again(self, **changes: Any) -> None:
        """Change the latest manifest and sign it with the right key: what a publisher's own mistake looks like."""
        manifest = msgspec.json.decode((self.latest / MANIFEST).read_bytes(), type=Manifest)
        manifest = msgspec.structs.replace(manifest, **changes)
        text = canonical(manifest)
        (self.latest / MANIFEST).write_bytes(text)
        (self.latest / SIGNATURE).write_text(sign(text, self.key, trusted_comment(manifest)))


async def publish(root: Path, key: SecretKey, now: dt.datetime) -> None:
    """Two live phishing URIs with a day of rounds in the embedded store, published twice under ``root/repository``."""
    press = Press(
        root=root / "repository",
        key=key,
        veil=Veil(b"k" * 32),
        expires=36 * HOUR,
        keep=9,
        check_interval=6 * HOUR,
        popular_rank=100_000,
        vantages=(("near", "NZ"), ("far", "DE")),
    )
    health = FeedHealth("good", state="OK", last_success=now, rows=2, indicators=2)
    feeds = (FeedFacts("good", "url-list", "redistributable", "reputable", "aged-out", "phishing", health),)
    async with await open_store(root / "store.db") as store:
        batch = [Indicator(f"http://{name}/kit/", name, name, "zz", "registered", "phishing") for name in NAMES]
        watches = await store.record_listing("good", now - 25 * HOUR, batch)
        await store.touch_listing("good", now - HOUR)
        await store.record_feed_health(health)
        for watch in watches:
            standing = await store.standing(watch.id)
            host, rounds = standing.subject.host, []
            for hours in (19, 13, 7, 1):
                rounds.append(_round(now - hours * HOUR, host))
                listing = listing_of(standing.sightings, {"good": "aged-out"}, decision=None, critical=False)
                await store.record_round(watch.id, rounds[-1], judge(standing.subject, rounds, listing))
            await know(store, DomainRecord(host, "zz"))
        for at in (now - HOUR / 2, now):
            await publish_tld(press, store, Tld("zz"), Today(feeds), at)


def _round(at: dt.datetime, host: str) -> Round:
    page = {"fingerprint": f"{host};2xx;sign in;1;abc", "status": "200", "title": "Sign in"}
    seen = [
        Observation("delegation", host, "direct", at, "delegated"),
        Observation("address", host, "direct", at, "resolves", {"addresses": "192.0.2.7"}),
        *(Observation("web", f"http://{host}/kit/", name, at, "live", page) for name in ("near", "far")),
    ]
    return Round(at, tuple(seen))


class Arke:
    """Arke as a command on a published tree, with a contacts file and a mail server that counts what it takes."""

    def __init__(self, root: Path, tree: Published, smtp: Server, port: int) -> None:
        self.root, self.tree, self.smtp = root, tree, smtp
        self.config = root / "arke.json"
        contacts = root / "contacts.csv"
        contacts.write_text("".join(f"{n},registrant,{h}\n" for n, h in zip(NAMES, HOLDERS, strict=True)))
        nobody = "127.0.0.1:9"  # the re-check finds nobody to ask, so that each notice goes on the snapshot's evidence
        self.settings: dict[str, Any] = {
            "tld": "zz",
            "keys": [tree.key.public.text],
            "records": str(tree.root / "zz" / "latest" / "records.sql"),
            "contacts": str(contacts),
            "smtp": {"host": "127.0.0.1", "port": port, "from": "abuse@nic.zz", "timeout": "5s"},
            "state": str(root / "state"),
            "dry_run": False,
            "recheck": {"servers": [nobody], "resolver": [nobody], "allow_networks": ["127.0.0.0/8"]},
            "status": {"socket": str(root / "s")},
            "lab": True,
        }

    async def run(self, *words: str, **changes: Any) -> tuple[int, str]:
        """Run a command with the configuration changed so; its status and what it said."""
        self.config.write_text(json.dumps(self.settings | changes))
        done = await trio.run_process(
            [sys.executable, "-m", "arke", words[0], "-c", str(self.config), *words[1:]],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )
        return done.returncode, (done.stdout + done.stderr).decode()


async def ended(process: subprocess.Popen[bytes], *, within_seconds: float = 10.0) -> int:
    """SIGTERM, and the exit status, which must come in time."""
    process.send_signal(signal.SIGTERM)
    with trio.fail_after(within_seconds):
        return await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)


def flip(path: Path, at: int | None = None) -> None:
    """Change one byte of a file, in its middle unless told where."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 1
    path.write_bytes(bytes(data))
