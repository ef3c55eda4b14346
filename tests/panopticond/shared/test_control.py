"""The status socket: a JSON line in, a JSON line out, curl too, and only one daemon at a time."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import trio

from panopticond.shared.control import CONNECTIONS, ask, notify, serve_control, serve_metrics
from panopticond.shared.errors import ControlError


async def _answer(request: dict[str, Any]) -> Mapping[str, Any]:
    if request["do"] == "stumble":
        raise OverflowError("out of range")
    return {"error": "unknown"} if request["do"] == "nothing" else {"did": request["do"]}


@pytest.fixture
async def path(nursery: trio.Nursery, tmp_path: Path) -> str:
    name = str(tmp_path / "s.sock")

    async def serve(task_status: trio.TaskStatus[None]) -> None:
        await serve_control(name, 0o660, _answer, writers=frozenset({"change"}), task_status=task_status)

    await nursery.start(serve)
    return name


async def _raw(path: str, data: bytes) -> bytes:
    stream = await trio.open_unix_socket(path)
    async with stream:
        await stream.send_all(data)
        await stream.send_eof()
        return b"".join([chunk async for chunk in stream])


async def test_a_line_in_a_line_out(path: str) -> None:
    """Several requests may follow each other on one connection."""
    assert await ask(path, {"do": "status"}) == {"did": "status"}
    answers = (await _raw(path, b'{"do":"a"}\n{"do":"b"}\n')).splitlines()
    assert [json.loads(line) for line in answers] == [{"did": "a"}, {"did": "b"}]


async def test_the_socket_is_for_its_group(path: str) -> None:
    """0660 from the moment it exists."""
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660  # noqa: PTH116 - a path in a str


async def test_curl_gets_http(path: str) -> None:
    """GET answers JSON; what changes state is not to be had by GET; unknown is 404."""
    head, body = (await _raw(path, b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n")).split(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert json.loads(body) == {"did": "status"}
    assert (await _raw(path, b"GET /change HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 404")
    assert (await _raw(path, b"GET /nothing HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1]\n", b'{"do":3}\n', b"[" * 5000 + b"\n"])
async def test_nonsense_gets_an_error_line(path: str, line: bytes) -> None:
    """And the next client is served."""
    assert b"error" in await _raw(path, line)
    assert await ask(path, {"do": "x"}) == {"did": "x"}


async def test_a_fault_in_an_answer_ends_nothing(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with its traceback and told as an error; the daemon goes on, by line and by HTTP."""
    assert "out of range" in (await ask(path, {"do": "stumble"}))["error"]
    assert (await _raw(path, b"GET /stumble HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 404")
    assert "OverflowError" in caplog.text
    assert await ask(path, {"do": "x"}) == {"did": "x"}


async def test_an_endless_line_is_cut_off(path: str) -> None:
    """Nothing is buffered without bound."""
    try:
        assert await _raw(path, b"x" * 200_000) == b""
    except trio.BrokenResourceError:
        pass


async def test_the_owner_may_change_state(path: str) -> None:
    """The kernel says who asks."""
    assert await ask(path, {"do": "change"}) == {"did": "change"}


async def test_a_second_instance_is_refused_and_a_stale_socket_replaced(path: str, tmp_path: Path) -> None:
    """Running: refused in one sentence. Left over by a crash: taken over. A plain file: not touched."""
    with pytest.raises(ControlError, match="already running"):
        await serve_control(path, 0o660, _answer)
    stale = tmp_path / "stale.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(stale))
    left.close()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_control, str(stale), 0o600, _answer)
        assert await ask(str(stale), {"do": "x"}) == {"did": "x"}
        nursery.cancel_scope.cancel()
    assert not stale.exists()
    stale.write_text("mine")
    with pytest.raises(ControlError, match="a file where"):
        await serve_control(str(stale), 0o600, _answer)


async def test_nobody_there_is_one_sentence(tmp_path: Path) -> None:
    """ControlError asks whether the daemon runs."""
    with pytest.raises(ControlError, match="is it running"):
        await ask(str(tmp_path / "none.sock"), {"do": "status"})


def test_notify_reaches_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One datagram to $NOTIFY_SOCKET; nothing without it, and a dead socket is no failure."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    path = tmp_path / "n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        notify("READY=1")
        assert listener.recv(100) == b"READY=1"
    notify("STOPPING=1")


async def _scraped(request: dict[str, Any]) -> Mapping[str, Any]:
    return {"text": "up 1\n"} if request["do"] == "metrics" else {"secret": True}


async def _http(port: int, head: bytes) -> bytes:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        await stream.send_all(head)
        return b"".join([chunk async for chunk in stream])


async def test_the_metrics_port_gives_metrics_and_nothing_else(nursery: trio.Nursery) -> None:
    """Any user of the host may connect to a port: the status, which is for the socket's group, is not to be had there."""
    port = await nursery.start(serve_metrics, "127.0.0.1:0", _scraped)
    answer = await _http(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4")
    assert answer.endswith(b"\r\n\r\nup 1\n")
    for path in (b"/", b"/status", b"/screen"):
        answer = await _http(port, b"GET " + path + b" HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 404")
        assert b"secret" not in answer
    assert await _http(port, b"POST /metrics HTTP/1.1\r\n\r\n") == b""
    assert await _http(port, b'{"do": "status"}\n\n') == b""


async def test_a_metrics_port_that_is_taken_is_one_sentence(nursery: trio.Nursery) -> None:
    """The key is named with what the system said."""
    port = await nursery.start(serve_metrics, "127.0.0.1:0", _scraped)
    with pytest.raises(ControlError, match=r"^status\.metrics: cannot listen at 127\.0\.0\.1:\d+: "):
        await serve_metrics(f"127.0.0.1:{port}", _scraped)


async def test_a_hundred_idle_and_slow_connections_keep_nobody_out(path: str) -> None:
    """Never more are served than the limit; whoever has let the daemon wait longest is closed for whoever asks now."""
    async with contextlib.AsyncExitStack() as held:
        first = await held.enter_async_context(await trio.open_unix_socket(path))
        await first.send_all(b'{"do":"a"}\n')
        assert b"did" in await first.receive_some(100)
        for at in range(100):
            stream = await held.enter_async_context(await trio.open_unix_socket(path))
            if at % 2:
                await stream.send_all(b'{"do":')  # and no more
        with trio.fail_after(5):
            assert await ask(path, {"do": "status"}) == {"did": "status"}
            assert await first.receive_some(100) == b"", "the oldest is closed"
        await stream.send_all(b'"late"}\n')
        assert json.loads(await stream.receive_some(100)) == {"did": "late"}, "the newest is not"


async def test_who_does_not_read_goes_after_who_does_not_ask(nursery: trio.Nursery, tmp_path: Path) -> None:
    """With every place taken by clients that leave their answers lying, the next is served too."""
    name = str(tmp_path / "s.sock")

    async def long(_: dict[str, Any]) -> Mapping[str, Any]:
        return {"text": "x" * 4_000_000}

    await nursery.start(serve_control, name, 0o600, long)
    async with contextlib.AsyncExitStack() as held:
        for _ in range(CONNECTIONS):
            stream = await held.enter_async_context(await trio.open_unix_socket(name))
            await stream.send_all(b'{"do":"a"}\n')
            await stream.receive_some(100)  # some of it
        with trio.fail_after(8):
            assert len((await ask(name, {"do": "status"}))["text"]) == 4_000_000


async def test_a_flood_of_questions_leaves_descriptors_to_the_probes(nursery: trio.Nursery, tmp_path: Path) -> None:
    """Where every place is waiting for its answer, one more is told so and closed; afterwards there is room again."""
    name, asked, gate = str(tmp_path / "s.sock"), 0, trio.Event()

    async def slow(_: dict[str, Any]) -> Mapping[str, Any]:
        nonlocal asked
        asked += 1
        await gate.wait()
        return {"did": "wait"}

    await nursery.start(serve_control, name, 0o600, slow)
    async with trio.open_nursery() as flood:
        for _ in range(CONNECTIONS):
            flood.start_soon(ask, name, {"do": "a"})
        with trio.fail_after(8):
            while asked < CONNECTIONS:
                await trio.lowlevel.checkpoint()
        assert "too many connections" in (await ask(name, {"do": "status"}))["error"]
        gate.set()
    assert await ask(name, {"do": "status"}) == {"did": "wait"}


async def test_idle_connections_to_the_port_keep_no_scraper_out(nursery: trio.Nursery) -> None:
    """A hundred that say nothing: the scraper that comes after them is served."""
    port = await nursery.start(serve_metrics, "127.0.0.1:0", _scraped)
    idle = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(100)]
    with trio.fail_after(5):
        assert (await _http(port, b"GET /metrics HTTP/1.1\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    for stream in idle:
        await stream.aclose()
