"""Forward proxies that add their country: CONNECT with Basic credentials, then straight into the simulated sites."""

from __future__ import annotations

import base64

import trio

from tests.lab.internet.http import read_request
from tests.lab.internet.state import CONTROL_HOST, Internet
from tests.lab.internet.web import Sites

TIMEOUT_SECONDS = 0.3


async def serve_proxy(
    state: Internet,
    sites: Sites,
    name: str,
    country: str,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """One vantage's proxy on a free port of 127.0.0.1; reports the port."""
    expected = "Basic " + base64.b64encode(f"lab:lab-{name}".encode()).decode()

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            with trio.move_on_after(60):
                try:
                    await converse(stream)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass

    async def refuse(stream: trio.SocketStream, status: int, reason: str) -> None:
        await stream.send_all(f"HTTP/1.1 {status} {reason}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    async def converse(stream: trio.SocketStream) -> None:
        request = await read_request(stream)
        state.requests[f"proxy-{name}"] += 1
        if request is None:
            return
        method, target, headers = request
        if headers.get("proxy-authorization") != expected:
            await refuse(stream, 407, "Proxy Authentication Required")
            return
        host, _, port = target.rpartition(":")
        if method != "CONNECT" or port not in ("80", "443", "8080", "8443"):
            await refuse(stream, 405, "CONNECT only")
            return
        status = await _reach(state, host.lower(), int(port))
        if status != 200:
            await refuse(stream, status, "Bad Gateway" if status == 502 else "Gateway Timeout")
            return
        await stream.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await sites.converse(stream, host.lower(), int(port), country)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=512)
    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(handle, listeners)


async def _reach(state: Internet, host: str, port: int) -> int:
    """The status a proxy gives to CONNECT: 200, or 502 and 504 for a site that cannot be reached."""
    if host == CONTROL_HOST:
        return 200
    domain = state.domain_of(host)
    if domain is None or state.delegation(domain) not in ("delegated", "in-zone"):
        return 502
    if state.addresses(host) in ((), ("nxdomain",)):
        return 502
    behaviour = state.behaviour(host)
    if behaviour is None or behaviour.link == "refused":
        return 502
    if behaviour.link == "timeout":
        await trio.sleep(TIMEOUT_SECONDS)
        return 504
    if (port in (443, 8443) and behaviour.tls == "none") or (port in (80, 8080) and not behaviour.http):
        return 502
    return 200
