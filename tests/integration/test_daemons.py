"""Both daemons without a lab: the least configuration starts, answers on its socket, and ends on SIGTERM with 0 in time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from panopticond.shared.control import ask
from panopticond.shared.errors import ControlError
from panopticond.shared.minisign import SecretKey
from tests.integration.made import ended
from tests.lab.real import free_port

MINIMAL_TOML = """
[[tld]]
name = "zz"
servers = ["127.0.0.1:9"]

[[vantage]]
name = "near"
country = "NZ"

[[vantage]]
name = "far"
country = "DE"
proxy = "http://127.0.0.1:9"

[quad9]
filtered = ["127.0.0.1:9"]
unfiltered = ["127.0.0.1:9"]

[tranco]
enabled = false

[store]
path = "{root}/panopticon.db"

[publish]
root = "{root}/repository"
secret_key_file = "{root}/panopticon.key"

[serve]
bind = "127.0.0.1:0"

[status]
socket = "{root}/s"
"""


async def answers(process: subprocess.Popen[bytes], path: Path, request: dict[str, Any]) -> dict[str, Any]:
    """The daemon's answer once its socket is there; AssertionError with what it said when it ended instead."""
    with trio.fail_after(30):
        while True:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            try:
                return await ask(str(path), request)
            except ControlError:
                await trio.sleep(0.05)


def start(*words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


async def shown(program: str, *words: str) -> bytes:
    """What a daemon's status command prints."""
    return (await trio.run_process([sys.executable, "-m", program, "status", *words], capture_stdout=True)).stdout


async def test_panopticond_starts_answers_and_ends(tmp_path: Path) -> None:
    """Status by our protocol and by HTTP; after SIGTERM exit 0, no socket left, and the same state starts again."""
    (tmp_path / "panopticon.key").write_text(SecretKey.generate().file_text)
    (tmp_path / "panopticon.key").chmod(0o600)
    config = tmp_path / "panopticond.toml"
    config.write_text(MINIMAL_TOML.format(root=tmp_path))
    for _ in range(2):
        process = start("panopticond", "run", "-c", str(config))
        try:
            status = await answers(process, tmp_path / "s", {"do": "status"})
            assert "zz" in json.dumps(status)
            for words in (("-c", str(config)), ("--socket", str(tmp_path / "s"))):
                assert b"panopticond " in await shown("panopticond", *words), "both find the daemon"
            stream = await trio.open_unix_socket(str(tmp_path / "s"))
            async with stream:
                await stream.send_all(b"GET /status HTTP/1.0\r\n\r\n")
                assert (await stream.receive_some(4096)).startswith(b"HTTP/1.")
            assert await ended(process) == 0
        finally:
            process.kill()
            said = process.communicate()[1].decode()
        assert "Traceback" not in said
        assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_panopticond_that_waits_for_its_database_ends_too(tmp_path: Path, number: signal.Signals) -> None:
    """With 0 and in time, without a word of ours about where it stood."""
    (tmp_path / "panopticon.key").write_text(SecretKey.generate().file_text)
    (tmp_path / "panopticon.key").chmod(0o600)
    config = tmp_path / "panopticond.toml"
    away = f'[store]\nurl = "postgresql://127.0.0.1:{free_port()}/panopticon"'
    config.write_text(MINIMAL_TOML.format(root=tmp_path).replace("[store]", away))
    process = start("panopticond", "run", "-c", str(config))
    try:
        assert process.stderr is not None
        with trio.fail_after(30):
            said = await trio.to_thread.run_sync(process.stderr.readline)
        assert b"Connection refused; trying again" in said
        process.send_signal(number)
        assert await trio.to_thread.run_sync(process.wait, 10) == 0
    finally:
        process.kill()
        rest = process.communicate()[1].decode()
    assert "Traceback" not in rest


async def test_arke_starts_answers_and_ends(tmp_path: Path) -> None:
    """Three keys and a state: it waits for a first snapshot, says so, and ends with 0; `arke status` reads it."""
    settings = {
        "tld": "zz",
        "keys": [SecretKey.generate().public.text],
        "records": str(tmp_path / "repository/zz/latest/records.sql"),
        "state": str(tmp_path / "state"),
        "status": {"socket": str(tmp_path / "s")},
    }
    config = tmp_path / "arke.json"
    config.write_text(json.dumps(settings))
    process = start("arke", "run", "-c", str(config))
    try:
        status = await answers(process, tmp_path / "s", {"do": "status"})
        assert (status["snapshots"], status["sending"]) == ({}, False)
        for words in (("-c", str(config)), ("--socket", str(tmp_path / "s"))):
            assert b"sends nothing" in await shown("arke", *words), "both find the daemon"
        assert await ended(process) == 0
    finally:
        process.kill()
        said = process.communicate()[1].decode()
    assert "Traceback" not in said
    assert not (tmp_path / "s").exists()
