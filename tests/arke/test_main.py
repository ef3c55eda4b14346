"""arke as a process: one snapshot in, the right mails out, over real sockets to the lab's servers."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from panopticond.shared.clock import Clock
from panopticond.shared.control import ask
from panopticond.shared.errors import ControlError
from panopticond.shared.minisign import SecretKey
from tests.arke.made import publish, tables
from tests.lab.internet import serve_internet
from tests.lab.model import (
    Behaviour,
    Delegation,
    Domain,
    DomainTruth,
    Host,
    Mailbox,
    Party,
    Ports,
    Registration,
    World,
)

SCALE = 600.0
NAMES = ("live", "dead", "absent", "secret", "grey", "popular")


class Site:
    """A running world with arke's configuration for it."""

    def __init__(self, root: Path) -> None:
        self.root, self.key, self.epoch = root, SecretKey.generate(), dt.datetime.now(dt.UTC)
        self.clock = Clock(self.epoch, SCALE)
        self.mails, self.config, self.socket = root / "mails", root / "arke.json", root / "s"

    def world(self) -> World:
        start = self.epoch - dt.timedelta(days=9)

        def domain(name: str) -> Domain:
            full = f"{name}.zz"
            page = "not-found" if name == "dead" else "kit"
            host = Host(
                full,
                ((start, ("127.0.0.1",)),),
                ("/kit/",),
                (Behaviour(start, page=page, root="not-found" if name == "dead" else "ordinary"),),
            )
            style = "redacted-remark" if name == "secret" else "plain"
            return Domain(
                name=full,
                tld="zz",
                behaviour="alive",
                delegation=(Delegation(start, "absent" if name == "absent" else "delegated"),),
                registration=Registration(
                    registered=start, parties=(Party(("registrant",), f"holder@{name}.isp.zz", style),)
                ),
                hosts=(host,),
                listings=(),
                truth=DomainTruth(full, None),
                indicators=(),
            )

        return World(
            seed=1,
            tlds=("zz",),
            registry_zones=(),
            start=start,
            end=start + dt.timedelta(days=30),
            publications=(),
            domains=tuple(domain(name) for name in NAMES),
            feeds=(),
            mailboxes=(Mailbox("holder@grey.isp.zz", "greylist"),),
        )

    def publish(self, serial: int = 2026030501) -> Path:
        now = self.clock.now()
        rows = tables(serial, NAMES, to=now.replace(microsecond=0) - dt.timedelta(minutes=30))
        rows["domain"] = [
            row.__class__(*[("popular" if key == "flags" and row.name == "popular.zz" else getattr(row, key))
                            for key in row.__struct_fields__])
            for row in rows["domain"]
        ]  # fmt: skip
        return publish(self.root / "published", self.key, rows, issued=now)

    def configure(self, ports: Ports, **changes: Any) -> None:
        (self.root / "rdap").write_text("lab-rdap\n")
        (self.root / "rdap").chmod(0o600)
        proxies = []
        for name, port in ports.proxies.items():
            (self.root / name).write_text(f"lab:lab-{name}\n")
            (self.root / name).chmod(0o600)
            proxies.append({
                "name": name, "country": "NZ", "proxy": f"http://127.0.0.1:{port}",
                "credentials_file": str(self.root / name), "control_uri": "http://control.lab.test/",
            })  # fmt: skip
        settings = {
            "tld": "zz",
            "keys": [self.key.public.text],
            "records": str(self.root / "published/zz/latest/records.sql"),
            "rdap": {
                "url": f"http://127.0.0.1:{ports.rdap}/registry/", "username": "arke", "rate": 1000.0,
                "password_file": str(self.root / "rdap"), "canary": "live.zz",
            },
            "smtp": {"host": "127.0.0.1", "port": ports.smtp, "from": "abuse@nic.zz"},
            "state": str(self.root / "state"),
            "dry_run": False,
            "poll": "5m",
            "recheck": {
                "servers": [f"127.0.0.1:{port}" for port in ports.tld_dns],
                "resolver": [f"127.0.0.1:{ports.resolver}"],
                "vantages": proxies,
                "allow_networks": ["127.0.0.0/8"],
                "connect_timeout": "2s",
                "probe_deadline": "4s",
                "rate_per_server": 1000.0,
            },
            "status": {"socket": str(self.socket)},
            "clock": {"epoch": self.epoch.isoformat(), "scale": SCALE},
            "lab": True,
        }  # fmt: skip
        self.config.write_text(json.dumps(settings | changes))

    def arke(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "arke", words[0], "-c", str(self.config), *words[1:]]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    async def finished(self, *words: str) -> tuple[int, str, str]:
        process = self.arke(*words)
        out, err = await trio.to_thread.run_sync(process.communicate)
        return process.returncode, out, err

    async def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        with trio.fail_after(30):
            while True:
                try:
                    status = await ask(str(self.socket), {"do": "status"})
                    if holds(status):
                        return status
                except ControlError:
                    pass
                await trio.sleep(0.1)

    async def stop(self, process: subprocess.Popen[str]) -> str:
        process.send_signal(signal.SIGTERM)
        with trio.fail_after(10):
            out, err = await trio.to_thread.run_sync(process.communicate)
        assert process.returncode == 0, err
        return out + err

    def recipients(self) -> list[str]:
        lines = self.mails.read_text().splitlines() if self.mails.is_file() else []
        return sorted(json.loads(line)["recipient"] for line in lines)


@pytest.fixture
async def site(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[Site]:
    made = Site(tmp_path)

    async def serve(task_status: trio.TaskStatus[Ports]) -> None:
        await serve_internet(
            made.world(), made.clock, certs=tmp_path / "certs", mails=made.mails, task_status=task_status
        )

    ports: Ports = await nursery.start(serve)
    made.publish()
    made.configure(ports)
    yield made
    nursery.cancel_scope.cancel()


def drained(status: dict[str, Any]) -> bool:
    return bool(status["snapshots"]) and not status["working"] and status["outbox"]["waiting"] == 0


async def test_the_daemon_tells_whom_it_must_and_stops_cleanly(site: Site) -> None:
    """The living are told, greylisted ones too; dead goes to review, absent is cancelled, popular waits, secret is listed."""
    process = site.arke("run")
    status = await site.until(drained)
    assert status["queue"] == {"waiting": 2}
    log = await site.stop(process)
    assert site.recipients() == ["holder@grey.isp.zz", "holder@live.isp.zz"]
    assert "holder@" not in log
    today = json.loads((site.root / "state/today.json").read_text())
    assert {entry["reason"] for entry in today["waiting_for_a_person"]} == {"popular", "recheck"}
    assert today["cancelled_by_recheck"][0]["reason"] == "delegation-not-in-zone"
    assert "secret.zz,undetermined," in (site.root / "state/no-contact.csv").read_text()
    for path in (site.root / "state").iterdir():
        assert b"holder@" not in path.read_bytes(), path.name
    code, out, _ = await site.finished("queue", "list", "--json")
    entries = json.loads(out)
    assert (code, len(entries)) == (0, 2)
    popular = next(entry for entry in entries if entry["reason"] == "popular")
    assert (await site.finished("queue", "approve", str(popular["id"])))[0] == 0
    assert (await site.finished("queue", "approve", "999"))[0] == 1
    assert (await site.finished("once"))[0] == 0
    assert site.recipients() == ["holder@grey.isp.zz", "holder@live.isp.zz", "holder@popular.isp.zz"]


async def test_a_second_arke_in_the_same_state_is_refused(site: Site) -> None:
    """While the daemon runs `once` ends with 1 and a sentence; a preview may look on."""
    process = site.arke("run")
    await site.until(drained)
    code, _, err = await site.finished("once")
    assert (code, "another arke is at work" in err) == (1, True)
    assert (await site.finished("preview", "--out", str(site.root / "drafts")))[0] == 0
    await site.stop(process)
    assert site.recipients() == ["holder@grey.isp.zz", "holder@live.isp.zz"]


async def test_a_due_notice_that_may_not_go_costs_no_cycles(site: Site) -> None:
    """The stop file is there: the notice stays due, and the daemon sleeps between its polls."""
    (site.root / "state").mkdir()
    (site.root / "state" / "stop").write_text("")
    process = site.arke("run")
    await site.until(
        lambda status: bool(status["snapshots"]) and not status["working"] and status["outbox"]["waiting"] == 2
    )
    before = cpu_seconds(process.pid)
    await trio.sleep(2.0)
    assert cpu_seconds(process.pid) - before < 0.6
    (site.root / "state" / "stop").unlink()
    await site.until(drained)
    await site.stop(process)
    assert site.recipients() == ["holder@grey.isp.zz", "holder@live.isp.zz"]


def cpu_seconds(pid: int) -> float:
    """User and system time a process has used (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def test_kill_9_at_any_moment_tells_nobody_twice_and_loses_nobody(site: Site) -> None:
    """Killed at several moments and started again: the same mails, each once."""
    for seconds in (0.6, 0.9, 1.2, 1.6):
        process = site.arke("run")
        await trio.sleep(seconds)
        process.kill()
        await trio.to_thread.run_sync(process.communicate)
    process = site.arke("run")
    await site.until(drained)
    await site.stop(process)
    assert site.recipients() == ["holder@grey.isp.zz", "holder@live.isp.zz"]


async def test_preview_writes_what_is_due_and_sends_nothing(site: Site) -> None:
    """A draft for each due case, marked where a look holds it back; no mail, no trace: everything is still due."""
    code, out, err = await site.finished("preview", "--out", str(site.root / "drafts"))
    assert code == 0, err
    drafts = list((site.root / "drafts").glob("*.eml"))
    held = [path for path in drafts if path.name.endswith(".held-back.eml")]
    assert len(drafts) - len(held) == 2
    assert f"{len(held)} cases are held back by a look just now" in out
    assert "nothing was sent" in out
    assert site.recipients() == []
    assert (await site.finished("queue", "list"))[1] == ""


async def test_what_is_refused_sends_nothing_and_exits_3(site: Site) -> None:
    """A changed byte: `once` and `verify` exit 3 with a sentence; a good one verifies; no key is a usage error."""
    records = site.root / "published/zz/latest/records.sql"
    folder, key = str(records.parent), site.key.public.text
    run = [sys.executable, "-m", "arke", "verify", folder]
    good = await trio.run_process(
        [*run, "--key", key, "--tld", "zz"], check=False, capture_stdout=True, capture_stderr=True
    )
    assert (good.returncode, good.stdout[:5]) == (0, b"good:")
    assert (await trio.run_process(run, check=False, capture_stderr=True)).returncode == 2
    other = await trio.run_process([*run, "--key", key, "--tld", "yy"], check=False, capture_stderr=True)
    assert other.returncode == 3
    data = bytearray(records.read_bytes())
    data[len(data) // 2] ^= 1
    records.write_bytes(bytes(data))
    assert (await trio.run_process([*run, "--key", key], check=False, capture_stderr=True)).returncode == 3
    code, _, err = await site.finished("once")
    assert code == 3
    assert "records.sql" in err
    assert site.recipients() == []
