"""The HTTP server of panopticond: hypercorn on trio with the repository and MoSAPI behind it.

Beside the flow: reads what publish wrote, writes nothing. ``door`` opens the port and hands it over. Loopback by
default; off loopback only with TLS, because accounts sign in with passwords.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hypercorn
import hypercorn.trio
import trio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from panopticond.config import Config
from panopticond.serve.accounts import Accounts
from panopticond.serve.clientcert import ask_for
from panopticond.serve.domainlists import Published
from panopticond.serve.mosapi import PREFIX, MosApi
from panopticond.serve.repository import Repository
from panopticond.shared.clock import Clock

GRACEFUL_SECONDS = 2.0
HEADER_LIMIT_BYTES = 16 << 10
SILENT_SECONDS = 120
"""Real seconds after which a connection is given up whose client said nothing more; an answer under way is still sent.

Idle ones go after half a minute; this is for what never counts as idle, as HTTP/2 opened and left.
"""


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


class _Settings(hypercorn.Config):
    """hypercorn's settings, with TLS that also asks for the accounts' certificates."""

    def __init__(self, certificates: Sequence[bytes]) -> None:
        super().__init__()
        self._certificates = certificates

    def create_ssl_context(self) -> ssl.SSLContext | None:
        """As hypercorn makes it, and then ours."""
        context = super().create_ssl_context()
        if context is not None:
            ask_for(context, self._certificates)
        return context


async def answer(config: Config, accounts: Accounts, handle: int, *, silent_seconds: int = SILENT_SECONDS) -> None:
    """Serve the published tree on a listening socket, by its descriptor, until cancelled."""
    settings = _Settings(accounts.certificates)
    settings.certfile, settings.keyfile = config.serve.certificate_file, config.serve.key_file
    settings.alpn_protocols = ["http/1.1"]
    settings.accesslog = settings.errorlog = None
    settings.include_server_header = False
    settings.graceful_timeout = GRACEFUL_SECONDS
    settings.h11_max_incomplete_size = settings.h2_max_header_list_size = HEADER_LIMIT_BYTES
    settings.keep_alive_timeout = 30.0
    settings.read_timeout = silent_seconds
    settings.bind = [f"fd://{handle}"]
    app = application(Path(config.publish.root), accounts, _mosapi(config, accounts))
    await hypercorn.trio.serve(app, settings, shutdown_trigger=trio.sleep_forever, mode="asgi")


def _mosapi(config: Config, accounts: Accounts) -> MosApi | None:
    if not config.serve.mosapi.enabled:
        return None
    published = Published(Path(config.publish.root), counts=config.publish.mosapi_counts)
    clock = Clock.from_settings(config.clock, lab=config.lab)
    return MosApi(published, accounts, config.serve.mosapi, now=clock.now)
