"""What befalls a daemon on a real host, each as a process: said in one sentence, retried or fatal at the start."""

from __future__ import annotations

import datetime as dt
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from panopticond.shared.control import ask
from panopticond.shared.errors import ControlError
from panopticond.shared.minisign import SecretKey
from tests.integration.made import publish

NOBODY = "127.0.0.1:9"
PATIENCE_SECONDS = 30.0
TOML = """
lab = true
drain = "1s"

[[tld]]
name = "zz"
suffixes = ["zz"]
servers = ["{nobody}"]

[[feed]]
name = "own"
url = "{feed}"
format = "url-list"
threat = "phishing"
every = "60s"

[[vantage]]
name = "near"
country = "NZ"

[[vantage]]
name = "far"
country = "DE"
proxy = "http://{nobody}"

[validation]
checks_per_window = 96

[quad9]
filtered = ["{nobody}"]
unfiltered = ["{nobody}"]

[tranco]
url = "http://{nobody}/list.zip"

[store]
path = "{root}/state/store.db"

[publish]
root = "{root}/repository"
secret_key_file = "{root}/key"

[serve]
bind = "127.0.0.1:0"

[status]
socket = "{root}/pd.sock"
{more}
"""


def toml(root: Path, *, feed: str = "", scale: float = 1, more: str = "") -> Path:
    """A configuration whose every server is nobody; its key is made."""
    if not (root / "key").exists():
        SecretKey.generate().write(root / "key")
    (root / "feed.txt").write_text("http://bad.zz/kit/\n")
    if scale != 1:
        epoch = dt.datetime.now(dt.UTC).isoformat()
        more += f"\n[clock]\nepoch = {epoch}\nscale = {scale}\n"
    path = root / "panopticond.toml"
    path.write_text(TOML.format(root=root, nobody=NOBODY, feed=feed or root / "feed.txt", more=more))
    return path


class Daemon:
    """A daemon as a process, its log in a file; ends with the test."""

    def __init__(self, root: Path, program: str, config: Path, before: list[str] | None = None) -> None:
        self.root, self.program = root, program
        self.log = root / f"{program}-{time.monotonic_ns()}.log"
        command = [*(before or []), sys.executable, "-m", program, "run", "-c", str(config)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=Path(__file__).parent.parent.parent)

    def said(self) -> str:
        return self.log.read_text()

    def ended(self) -> tuple[int, list[str]]:
        """Exit status and the sentences of its own; a traceback is no sentence."""
        status = self.process.wait(PATIENCE_SECONDS)
        assert "Traceback" not in self.said()
        mark = f"{self.program.removesuffix('d') if self.program == 'arke' else self.program}: "
        return status, [line.removeprefix(mark) for line in self.said().splitlines() if line.startswith(mark)]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    running: list[Daemon] = []

    def begin(program: str, config: Path, before: list[str] | None = None) -> Daemon:
        running.append(Daemon(tmp_path, program, config, before))
        return running[-1]

    yield begin
    for daemon in running:
        daemon.process.kill()
        daemon.process.wait()


async def until(socket_path: str, right: Callable[[dict[str, Any]], object], daemon: Daemon) -> dict[str, Any]:
    """The first status answer that is right; fails with the last one and the log after half a minute."""
    answer: dict[str, Any] = {}
    with trio.move_on_after(PATIENCE_SECONDS):
        while daemon.process.poll() is None:
            try:
                answer = await ask(socket_path, {"do": "status"})
                if right(answer):
                    return answer
            except ControlError:
                pass
            await trio.sleep(0.05)
    raise AssertionError(f"{answer}\n{daemon.said()[-2000:]}")


def bound_like_a_user() -> list[str]:
    """What makes root ask for permission like everybody else: without it a directory's mode means nothing to it."""
    return ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"] if os.geteuid() == 0 else []


def limited(process: subprocess.Popen[bytes], size_bytes: int) -> None:
    """How large the files a process writes may become: a disk that is full, and has room again."""
    _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size_bytes if size_bytes >= 0 else hard, hard))


async def arke_site(root: Path, *, ahead: dt.timedelta = dt.timedelta(0)) -> tuple[Path, dict[str, Any]]:
    """A published snapshot, issued ahead of our time, and an arke.json on it."""
    key = SecretKey.generate()
    await publish(root, key, dt.datetime.now(dt.UTC).replace(microsecond=0) + ahead)
    settings = {
        "tld": "zz",
        "keys": [key.public.text],
        "records": str(root / "repository" / "zz" / "latest" / "records.sql"),
        "state": str(root / "arke"),
        "status": {"socket": str(root / "ar.sock")},
        "recheck": {"servers": [NOBODY], "resolver": [NOBODY]},
        "poll": "1s",
        "drain": "1s",
    }
    path = root / "arke.json"
    path.write_text(json.dumps(settings))
    return path, settings


def test_a_secret_others_can_read_is_fatal(tmp_path: Path, start: Callable[..., Daemon]) -> None:
    """Each one is named with the command that mends it; exit 2, nothing is made."""
    config = toml(tmp_path)
    (tmp_path / "key").chmod(0o644)
    status, sentences = start("panopticond", config).ended()
    assert status == 2
    assert sentences == [
        f"publish.secret_key_file: {tmp_path}/key is open to others (mode 0644); do: chmod 600 {tmp_path}/key"
    ]
    assert not (tmp_path / "state").exists()


async def test_a_secret_of_arke_others_can_read_is_fatal(tmp_path: Path, start: Callable[..., Daemon]) -> None:
    """As panopticond's."""
    path, settings = await arke_site(tmp_path)
    (tmp_path / "password").write_text("secret\n")
    (tmp_path / "password").chmod(0o640)
    settings["account"] = {"username": "arke", "password_file": str(tmp_path / "password")}
    path.write_text(json.dumps(settings))
    status, sentences = start("arke", path).ended()
    assert status == 2
    assert len(sentences) == 1
    assert sentences[0].startswith("account.password_file: ")
    assert sentences[0].endswith(f"do: chmod 600 {tmp_path}/password")


def test_a_read_only_state_directory_is_fatal(tmp_path: Path, start: Callable[..., Daemon]) -> None:
    """Before anything is opened: the key of the configuration and the directory, exit 2."""
    config = toml(tmp_path)
    (tmp_path / "state").mkdir(mode=0o555)
    status, sentences = start("panopticond", config, bound_like_a_user()).ended()
    assert status == 2
    assert sentences == [f"store.path: {tmp_path}/state: this user may not write there"]


async def test_a_read_only_state_directory_of_arke_is_fatal(tmp_path: Path, start: Callable[..., Daemon]) -> None:
    """As panopticond's."""
    path, _ = await arke_site(tmp_path)
    (tmp_path / "arke").mkdir(mode=0o555)
    status, sentences = start("arke", path, bound_like_a_user()).ended()
    assert status == 2
    assert sentences == [f"state: {tmp_path}/arke: this user may not write there"]


async def test_a_second_instance_and_a_socket_that_is_there(tmp_path: Path, start: Callable[..., Daemon]) -> None:
    """A second panopticond ends with 1 and the first goes on; a stale socket is taken over, a file is not."""
    config, path = toml(tmp_path), str(tmp_path / "pd.sock")
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(path)
    first = start("panopticond", config)
    await until(path, lambda answer: answer["version"], first)
    status, sentences = start("panopticond", config).ended()
    assert status == 1
    assert len(sentences) == 1
    assert "another panopticond runs on this store; stop it first" in sentences[0]
    elsewhere = config.with_name("other.toml")
    elsewhere.write_text(config.read_text().replace("/state/store.db", "/other/store.db"))
    status, sentences = start("panopticond", elsewhere).ended()
    assert (status, sentences) == (1, [f"{path}: another instance is already running; stop it first"])
    await until(path, lambda answer: answer["version"], first)
    assert first.stop() == 0
    Path(path).write_text("a file")
    status, sentences = start("panopticond", config).ended()
    assert (status, sentences) == (1, [f"{path}: there is a file where the status socket should be; remove it"])


async def test_a_second_arke(tmp_path: Path, start: Callable[..., Daemon]) -> None:
    """The state directory is one arke's: the second ends with 1, the first goes on."""
    config, _ = await arke_site(tmp_path)
    first = start("arke", config)
    await until(str(tmp_path / "ar.sock"), lambda answer: answer["snapshots"], first)
    status, sentences = start("arke", config).ended()
    assert status == 1
    assert len(sentences) == 1
    assert "another arke is at work" in sentences[0]
    assert first.stop() == 0


async def test_no_network_at_boot(tmp_path: Path, start: Callable[..., Daemon]) -> None:
    """Nothing outside answers: the daemon is up, says what it cannot reach, and takes the feed once it is there."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    config, path = toml(tmp_path, feed=f"http://127.0.0.1:{port}/feed.txt", scale=600), str(tmp_path / "pd.sock")
    daemon = start("panopticond", config)
    wrong = await until(path, lambda answer: any("UNREACHABLE" in sentence for sentence in answer["wrong"]), daemon)
    assert any("own" in sentence for sentence in wrong["wrong"])
    body = b"http://bad.zz/kit/\n"
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(
        body
    )

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(65536)
            await stream.send_all(reply + body)

    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_tcp, answer, port)
        healed = await until(path, lambda answer: answer["feeds"][0]["state"] == "OK", daemon)
        nursery.cancel_scope.cancel()
    assert healed["indicators"] == 1
    assert not any("UNREACHABLE" in sentence for sentence in healed["wrong"])
    # checks that reach nobody are no check, and the cause is named
    await until(path, lambda answer: any("made without an answer" in sentence for sentence in answer["wrong"]), daemon)
    assert daemon.stop() == 0


async def test_a_full_disk_is_said_and_heals(tmp_path: Path, start: Callable[..., Daemon]) -> None:
    """While nothing can be written status says so and no round is counted; with room again all goes on by itself."""
    config, path = toml(tmp_path, scale=600), str(tmp_path / "pd.sock")
    daemon = start("panopticond", config)
    await until(path, lambda answer: answer["rounds"] > 0, daemon)
    limited(daemon.process, 1)
    full = await until(path, lambda answer: "store" in answer["problems"], daemon)
    assert any("store: " in sentence for sentence in full["wrong"])
    limited(daemon.process, -1)
    rounds = full["rounds"]
    await until(path, lambda answer: answer["rounds"] > rounds and "store" not in answer["problems"], daemon)
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.said()


async def test_a_full_disk_of_arke_is_said_and_heals(tmp_path: Path, start: Callable[..., Daemon]) -> None:
    """The ledger takes nothing: no snapshot is accepted on it, and status says why until there is room."""
    config, _ = await arke_site(tmp_path)
    path = str(tmp_path / "ar.sock")
    records = json.loads(config.read_text())["records"]
    Path(records).parent.parent.joinpath("latest").rename(tmp_path / "latest-later")
    daemon = start("arke", config)
    await until(path, lambda answer: answer["problems"] or answer["refused"], daemon)
    limited(daemon.process, 1)
    (tmp_path / "latest-later").rename(Path(records).parent)
    full = await until(path, lambda answer: any("disk" in text or "ledger" in text for text in answer["wrong"]), daemon)
    assert not full["snapshots"] or full["problems"]
    limited(daemon.process, -1)
    healed = await until(path, lambda answer: answer["snapshots"] and not answer["wrong"], daemon)
    assert healed["snapshots"]["zz"]["serial"]
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.said()


async def test_a_clock_an_hour_behind_is_said_by_arke(tmp_path: Path, start: Callable[..., Daemon]) -> None:
    """A snapshot of our future is refused with the clock as the reason, and no mail is sent on it."""
    config, _ = await arke_site(tmp_path, ahead=dt.timedelta(hours=1))
    daemon = start("arke", config)
    answer = await until(str(tmp_path / "ar.sock"), lambda answer: answer["refused"], daemon)
    assert answer["refused"]["zz"].endswith("check the clock")
    assert answer["snapshots"] == {}
    assert daemon.stop() == 0


async def test_a_clock_an_hour_off_is_said_by_panopticond(tmp_path: Path, start: Callable[..., Daemon]) -> None:
    """A feed's server tells the time with each answer; status says by how much ours is off, first of all."""
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() - 3600))
    body = b"http://bad.zz/kit/\n"

    async def answer(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(65536)
            head = f"HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            await stream.send_all(head.encode() + body)

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, answer, 0)
        port = listeners[0].socket.getsockname()[1]
        daemon = start("panopticond", toml(tmp_path, feed=f"http://127.0.0.1:{port}/feed.txt"))
        told = await until(str(tmp_path / "pd.sock"), lambda answer: "clock" in " ".join(answer["wrong"]), daemon)
        assert told["wrong"][0].startswith("this host's clock is 60 minutes ahead of the time of the one server")
        nursery.cancel_scope.cancel()
    assert daemon.stop() == 0


async def test_metrics_of_running_daemons(tmp_path: Path, start: Callable[..., Daemon]) -> None:
    """By curl's way on the socket and on the loopback port; another address than loopback is refused at the start."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    daemon = start("panopticond", toml(tmp_path, more=f'metrics = "127.0.0.1:{port}"'))
    await until(str(tmp_path / "pd.sock"), lambda answer: answer["feeds"][0]["state"] == "OK", daemon)
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        text = b"".join([chunk async for chunk in stream]).decode()
    assert 'panopticond_feed_state{feed="own",state="OK"} 1\n' in text
    assert "panopticond_indicators 1\n" in text
    assert "bad.zz" not in text
    assert (await ask(str(tmp_path / "pd.sock"), {"do": "metrics"}))["text"].startswith("# HELP panopticond_info")
    assert daemon.stop() == 0
    status, sentences = start("panopticond", toml(tmp_path, more='metrics = "192.0.2.1:9153"')).ended()
    assert status == 2
    assert sentences == ["status.metrics: '192.0.2.1:9153' is not loopback; let a proxy with accounts stand before it"]
