"""A small HTTP/1.1 server for the lab: one request a connection, whole bodies, nothing clever."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio

Reply = tuple[int, Mapping[str, str], bytes]
Handler = Callable[[str, str, Mapping[str, str]], Reply]
FAULT = "x-lab-fault"
"""A header that is never sent: ``silent`` (no answer), ``cut`` (half of the body) or ``stalled`` (half, and no end)."""
REASONS = {200: "OK", 302: "Found", 304: "Not Modified", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found"}


async def read_request(
    stream: trio.abc.ReceiveStream, limit_bytes: int = 64 << 10
) -> tuple[str, str, dict[str, str]] | None:
    """(method, target, headers with lower-case keys), or None when the peer went away or sent nonsense."""
    head = b""
    while b"\r\n\r\n" not in head:
        chunk = await stream.receive_some(8192)
        if not chunk or len(head) > limit_bytes:
            return None
        head += chunk
    lines = head.split(b"\r\n\r\n", 1)[0].decode("latin-1").split("\r\n")
    try:
        method, target, _ = lines[0].split(" ", 2)
    except ValueError:
        return None
    headers = {}
    for line in lines[1:]:
        key, _, value = line.partition(":")
        headers[key.strip().lower()] = value.strip()
    return method, target, headers


def encode_reply(reply: Reply) -> bytes:
    """The whole response as bytes."""
    status, headers, body = reply
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}"]
    lines += [f"{key}: {value}" for key, value in headers.items() if key != FAULT]
    if status != 304:
        lines.append(f"Content-Length: {len(body)}")
    lines += ["Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + (b"" if status == 304 else body)


async def serve_http(handler: Handler, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    """Serve on a free port of 127.0.0.1; reports the port."""

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            with trio.move_on_after(30):
                try:
                    request = await read_request(stream)
                    if request is not None:
                        await _send(stream, handler(*request))
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=512)
    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(handle, listeners)


async def _send(stream: trio.SocketStream, reply: Reply) -> None:
    """The reply, or the part of it that its fault leaves; a peer that is kept waiting goes away by itself."""
    whole, fault = encode_reply(reply), reply[1].get(FAULT)
    if fault != "silent":
        await stream.send_all(whole if fault is None else whole[: len(whole) - len(reply[2]) // 2])
    if fault in (None, "cut"):
        await stream.send_eof()
    await stream.receive_some(1)
