"""The HTTP server of panopticond: hypercorn on trio with the repository and MoSAPI behind it.

Beside the flow: reads what publish wrote, writes nothing. Loopback by default; off loopback only with TLS, because
accounts sign in with passwords.
"""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Any

import hypercorn
import hypercorn.trio
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from panopticond.config import Config, tlds
from panopticond.serve.accounts import Accounts
from panopticond.serve.domainlists import Published
from panopticond.serve.mosapi import PREFIX, MosApi
from panopticond.serve.repository import Repository
from panopticond.shared.clock import Clock
from panopticond.shared.errors import ConfigurationError, PanopticonError

GRACEFUL_SECONDS = 2.0
HEADER_LIMIT_BYTES = 16 << 10


def application(root: Path, accounts: Accounts, mosapi: MosApi | None = None) -> Any:
    """The ASGI application: what is below ``/ry/`` goes to MoSAPI, everything else to the repository."""
    tree = Starlette(routes=[Route("/{path:path}", _Everything(Repository(root, accounts)))])
    if mosapi is None:
        return tree

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        ours = scope["type"] == "http" and scope["path"].startswith(PREFIX)
        await (mosapi if ours else tree)(scope, receive, send)

    return either


class _Everything:
    """Every path and every method to the repository, which asks who is there before it says what is.

    Starlette gives a function the methods of its route only, and names them to anybody; an object gets them all.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self._repository(Request(scope, receive))
        await response(scope, receive, send)


async def serve(config: Config, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED) -> None:
    """Serve the published tree until cancelled; ``started`` gives the URLs once bound.

    Raises ConfigurationError for an account's password file, a bind address off loopback without TLS, or half of TLS;
    PanopticonError when the address cannot be bound.
    """
    problems = check(config)
    if problems:
        raise ConfigurationError(problems)
    accounts = await trio.to_thread.run_sync(Accounts.of, tlds(config))
    settings = hypercorn.Config()
    settings.certfile, settings.keyfile = config.serve.certificate_file, config.serve.key_file
    settings.alpn_protocols = ["http/1.1"]
    settings.accesslog = settings.errorlog = None
    settings.include_server_header = False
    settings.graceful_timeout = GRACEFUL_SECONDS
    settings.h11_max_incomplete_size = HEADER_LIMIT_BYTES
    settings.keep_alive_timeout = 30.0
    app = application(Path(config.publish.root), accounts, _mosapi(config, accounts))
    settings.bind = [_listen(config.serve.bind)]
    await hypercorn.trio.serve(app, settings, shutdown_trigger=trio.sleep_forever, mode="asgi", task_status=task_status)


def _mosapi(config: Config, accounts: Accounts) -> MosApi | None:
    if not config.serve.mosapi.enabled:
        return None
    published = Published(Path(config.publish.root), counts=config.publish.mosapi_counts)
    clock = Clock.from_settings(config.clock, lab=config.lab)
    return MosApi(published, accounts, config.serve.mosapi, now=clock.now)


def _listen(bind: str) -> str:
    """A bound socket as hypercorn takes it over; bound here, because hypercorn leaks one it cannot bind."""
    host, _, port = bind.rpartition(":")
    host = host.strip("[]")
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, int(port)))
    except (OSError, ValueError, OverflowError) as error:
        bound.close()
        reason = error.strerror if isinstance(error, OSError) else "it must read address:port"
        raise PanopticonError(f"serve.bind: cannot listen on {bind}: {reason}") from error
    return f"fd://{bound.detach()}"


def check(config: Config) -> list[str]:
    """What is wrong with ``[serve]``, each with its path."""
    serve_ = config.serve
    problems = []
    if (serve_.certificate_file is None) != (serve_.key_file is None):
        problems.append("serve.certificate_file, serve.key_file: give both or neither")
    host, _, port = serve_.bind.rpartition(":")
    if not (port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536):
        problems.append(f"serve.bind: {serve_.bind!r} must read address:port, as 127.0.0.1:8053")
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = False
        problems.append(f"serve.bind: {host!r} is no address to bind, as 127.0.0.1 or [::1]")
    if not loopback and serve_.certificate_file is None:
        problems.append(
            "serve.bind: off loopback accounts need TLS; give certificate_file and key_file, or a proxy before it"
        )
    return problems
