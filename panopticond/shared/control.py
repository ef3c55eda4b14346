"""The status socket and sd_notify: how people and systemd see a running daemon.

Beside the flow: ``main`` serves it, ``status`` and ``curl --unix-socket`` ask it. One JSON line in, one JSON line out;
a request that begins ``GET /`` gets an HTTP answer. What changes state needs the right peer credentials (SO_PEERCRED,
unix(7)) and is logged. sd_notify follows sd_notify(3).
"""

from __future__ import annotations

import json
import logging
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import trio

from panopticond.shared.errors import ControlError, PanopticonError

log = logging.getLogger(__name__)

REQUEST_LIMIT_BYTES = 64 << 10
ANSWER_LIMIT_BYTES = 64 << 20
REQUEST_SECONDS = 10.0
CONNECTIONS = 64
"""At once on one socket: whoever may ask may not use up the file descriptors that probes need, nor keep others out."""
Answer = Callable[[dict[str, Any]], Awaitable[Mapping[str, Any]]]


class Peer:
    """Who is asking: the kernel's word, not the client's."""

    def __init__(self, stream: trio.SocketStream) -> None:
        packed = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        self.pid, self.uid, self.gid = struct.unpack("3i", packed)

    def may_write(self) -> bool:
        """Root and the daemon's own user may change state; members of the group may read."""
        return self.uid in (0, os.geteuid())


async def serve_control(
    path: str,
    mode: int,
    answer: Answer,
    *,
    writers: frozenset[str] = frozenset(),
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve requests ``{"do": name, ...}`` on a Unix socket until cancelled; ``writers`` need write credentials.

    Raises ControlError when another instance answers at ``path`` or the directory cannot be written.
    """
    listener = await _listen(path, mode)

    async def handle(stream: trio.SocketStream, caller: _Caller) -> None:
        await _converse(stream, answer, writers, caller)

    try:
        few = _few(handle, b'{"error":"too many connections; ask again in a moment"}\n')
        await trio.serve_listeners(few, [listener], task_status=_Started(task_status))
    finally:
        Path(path).unlink(missing_ok=True)


async def serve_metrics(
    bind: str, answer: Answer, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve ``GET /metrics`` and nothing else at ``address:port`` until cancelled; starts with the port.

    ControlError when it cannot listen there.
    """
    host, _, port = bind.rpartition(":")
    try:
        listeners = await trio.open_tcp_listeners(int(port), host=host.strip("[]"))
    except OSError as error:
        raise ControlError(f"status.metrics: cannot listen at {bind}: {error.strerror or error}") from error

    async def only_metrics(request: dict[str, Any]) -> Mapping[str, Any]:
        return await answer(request) if request["do"] == "metrics" else {"error": "no such page"}

    async def handle(stream: trio.SocketStream, caller: _Caller) -> None:
        line = b""
        with trio.move_on_after(REQUEST_SECONDS):
            line = await _first_line(stream)
        if line.startswith((b"GET /", b"HEAD /")):
            await caller.reply(stream, _http_answer(line, only_metrics, frozenset()))

    task_status.started(listeners[0].socket.getsockname()[1])
    busy = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    await trio.serve_listeners(_few(handle, busy), listeners)


class _Caller:
    """One connection: whether we wait for its client or its client for us."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.turn: Literal["theirs", "ours", "sending"] = "theirs"
        """Who is waited for; who does not take in an answer is waited for too."""
        self.since = trio.current_time()

    async def reply(self, stream: trio.SocketStream, answer: Awaitable[bytes]) -> bool:
        """Find an answer and send it; False when that took too long."""
        self.turn = "ours"
        with trio.move_on_after(REQUEST_SECONDS) as patience:
            found = await answer
            self.turn, self.since = "sending", trio.current_time()
            await stream.send_all(found)
            self.turn, self.since = "theirs", trio.current_time()
        return not patience.cancelled_caught


def _few(
    handle: Callable[[trio.SocketStream, _Caller], Awaitable[None]], busy: bytes
) -> Callable[[trio.SocketStream], Awaitable[None]]:
    """``handle`` for CONNECTIONS at once; for one more, whoever lets us wait longest has to go.

    Those that ask nothing go first, then those that do not read their answer; where every connection waits for us, the
    new one hears ``busy``.
    """
    callers: dict[_Caller, None] = {}

    def room() -> bool:
        if len(callers) < CONNECTIONS:
            return True
        idle = [caller for caller in callers if caller.turn != "ours"]
        if not idle:
            return False
        longest = min(idle, key=lambda caller: (caller.turn == "sending", caller.since))
        longest.scope.cancel()
        del callers[longest]
        return True

    async def bounded(stream: trio.SocketStream) -> None:
        async with stream:
            try:
                if not room():
                    with trio.move_on_after(1.0):
                        await stream.send_all(busy)
                    return
                caller = _Caller()
                callers[caller] = None
                try:
                    with caller.scope:
                        await handle(stream, caller)
                finally:
                    callers.pop(caller, None)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                log.debug("a client of the status socket went away")

    return bounded


async def _first_line(stream: trio.SocketStream) -> bytes:
    """The request line, once the whole head is there; empty when it never comes."""
    head = b""
    while b"\r\n\r\n" not in head and b"\n\n" not in head:
        chunk = await stream.receive_some(4096)
        if not chunk or len(head) + len(chunk) > REQUEST_LIMIT_BYTES:
            return b""
        head += chunk
    return head.split(b"\n", 1)[0].rstrip(b"\r")


class _Started(trio.TaskStatus[Any]):
    """serve_listeners reports its listeners; our callers want nothing back."""

    def __init__(self, inner: trio.TaskStatus[None]) -> None:
        self._inner = inner

    def started(self, value: Any = None) -> None:  # noqa: ARG002 - the signature is trio's
        self._inner.started()


async def _listen(path: str, mode: int) -> trio.SocketListener:
    target = Path(path)
    if target.exists():
        await _remove_stale(target)
    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        previous = os.umask(0o777 & ~mode)
        try:
            await sock.bind(str(target))
        finally:
            os.umask(previous)
        sock.listen(64)
    except OSError as error:
        sock.close()
        raise ControlError(f"{path}: cannot open the status socket: {error.strerror or error}") from error
    return trio.SocketListener(sock)


async def _remove_stale(target: Path) -> None:
    if not stat.S_ISSOCK(target.stat().st_mode):
        raise ControlError(f"{target}: there is a file where the status socket should be; remove it")
    try:
        stream = await trio.open_unix_socket(target)
    except OSError:
        target.unlink(missing_ok=True)
        return
    await stream.aclose()
    raise ControlError(f"{target}: another instance is already running; stop it first")


async def _converse(stream: trio.SocketStream, answer: Answer, writers: frozenset[str], caller: _Caller) -> None:
    """Request after request, each of which has to come within REQUEST_SECONDS of the answer before it."""
    buffer = b""
    while True:
        with trio.move_on_after(REQUEST_SECONDS) as patience:
            while b"\n" not in buffer:
                chunk = await stream.receive_some(4096)
                if not chunk or len(buffer) + len(chunk) > REQUEST_LIMIT_BYTES:
                    return
                buffer += chunk
        if patience.cancelled_caught:
            return
        line, buffer = buffer.split(b"\n", 1)
        if line.startswith((b"GET /", b"HEAD /")):
            await caller.reply(stream, _http_answer(line, answer, writers))
            return
        if not await caller.reply(stream, _line_answer(stream, line, answer, writers)):
            return


async def _line_answer(stream: trio.SocketStream, line: bytes, answer: Answer, writers: frozenset[str]) -> bytes:
    return _encode(await _answer_line(stream, line, answer, writers)) + b"\n"


async def _answer_line(
    stream: trio.SocketStream, line: bytes, answer: Answer, writers: frozenset[str]
) -> Mapping[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        return {"error": "not a JSON line"}
    if not isinstance(request, dict) or not isinstance(request.get("do"), str):
        return {"error": 'say {"do": "status"}'}
    if request["do"] in writers:
        peer = Peer(stream)
        if not peer.may_write():
            log.warning("refused %s from uid %d: not allowed to change state", request["do"], peer.uid)
            return {"error": "not allowed; ask as root or as the daemon's own user"}
        log.info("%s by uid %d", request["do"], peer.uid)
    return await _answered(answer, request)


async def _answered(answer: Answer, request: dict[str, Any]) -> Mapping[str, Any]:
    """The answer; a fault in finding it is logged and told, for one bad question must not end the daemon."""
    try:
        return await answer(request)
    except PanopticonError as error:
        log.warning("cannot answer %r: %s", str(request["do"])[:40], error)
        return {"error": str(error)}
    except Exception as error:
        log.exception("cannot answer %r", str(request["do"])[:40])
        return {"error": f"internal error: {error!r}"[:500]}


async def _http_answer(line: bytes, answer: Answer, writers: frozenset[str]) -> bytes:
    path = line.split(b" ")[1].decode("ascii", "replace")
    name = path.partition("?")[0].strip("/") or "status"
    result: Mapping[str, Any] = {"error": "no such page"} if name in writers else await _answered(answer, {"do": name})
    text = result.get("text")
    body = text.encode() if isinstance(text, str) and len(result) == 1 else _encode(result) + b"\n"
    kind = "text/plain; version=0.0.4" if isinstance(text, str) and len(result) == 1 else "application/json"
    status = "404 Not Found" if "error" in result else "200 OK"
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + (b"" if line.startswith(b"HEAD") else body)


def _encode(answer: Mapping[str, Any]) -> bytes:
    return json.dumps(answer, separators=(",", ":"), default=str).encode()


async def ask(path: str, request: Mapping[str, Any], timeout_seconds: float = REQUEST_SECONDS) -> dict[str, Any]:
    """One request to a running daemon; ControlError says what to do when nobody answers."""
    try:
        with trio.fail_after(timeout_seconds):
            async with await trio.open_unix_socket(path) as stream:
                await stream.send_all(_encode(request) + b"\n")
                buffer = b""
                while not buffer.endswith(b"\n"):
                    chunk = await stream.receive_some(65536)
                    if not chunk or len(buffer) > ANSWER_LIMIT_BYTES:
                        break
                    buffer += chunk
        answer = json.loads(buffer)
    except (OSError, trio.TooSlowError, trio.BrokenResourceError, ValueError) as error:
        raise ControlError(f"{path}: no daemon answers here ({type(error).__name__}); is it running?") from error
    if not isinstance(answer, dict):
        raise ControlError(f"{path}: the answer is no JSON object")
    return answer


def notify(state: str) -> None:
    """Send a line such as ``READY=1`` to systemd; does nothing where ``$NOTIFY_SOCKET`` is unset."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(state.encode(), name)
        except OSError as error:
            log.warning("cannot notify systemd: %s", error.strerror)
