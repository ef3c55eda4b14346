"""Where panopticond serves: what ``[serve]`` must be, and the port, open before the server behind it is loaded.

Beside the flow, before ``app``, which is loaded with the first connection: it waits a moment in the kernel's queue,
the daemon is ready sooner, and one that nobody asks stays small.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl

import trio

from panopticond.config import Config, tlds
from panopticond.serve.accounts import Accounts
from panopticond.shared.errors import ConfigurationError, PanopticonError

BACKLOG = 128


async def serve(config: Config, *, task_status: trio.TaskStatus[list[str]] = trio.TASK_STATUS_IGNORED) -> None:
    """Serve the published tree until cancelled; ``started`` gives the URLs once bound.

    Raises ConfigurationError for an account's password file, a bind address off loopback without TLS, or no usable TLS;
    PanopticonError when the address cannot be bound.
    """
    problems = check(config)
    if problems:
        raise ConfigurationError(problems)
    accounts = await trio.to_thread.run_sync(Accounts.of, tlds(config))
    with _listen(config.serve.bind) as bound:
        host, port = bound.getsockname()[:2]
        scheme = "https" if config.serve.certificate_file is not None else "http"
        task_status.started([f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"])
        await trio.lowlevel.wait_readable(bound)
        from panopticond.serve.app import answer  # noqa: PLC0415 - hypercorn and starlette: a fifth of the start

        await answer(config, accounts, bound.detach())


def _listen(bind: str) -> socket.socket:
    """A listening socket as hypercorn takes it over; bound here, because hypercorn leaks one it cannot bind."""
    host, _, port = bind.rpartition(":")
    host = host.strip("[]")
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, int(port)))
        bound.listen(BACKLOG)
    except (OSError, ValueError, OverflowError) as error:
        bound.close()
        reason = error.strerror if isinstance(error, OSError) else "it must read address:port"
        raise PanopticonError(f"serve.bind: cannot listen on {bind}: {reason}") from error
    return bound


def check(config: Config) -> list[str]:
    """What is wrong with ``[serve]``, each with its path."""
    serve_ = config.serve
    problems = []
    if (serve_.certificate_file is None) != (serve_.key_file is None):
        problems.append("serve.certificate_file, serve.key_file: give both or neither")
    elif serve_.certificate_file is not None:
        problems += _certificate(serve_.certificate_file, serve_.key_file)
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


def _certificate(certificate: str, key: str | None) -> list[str]:
    """Files that make no TLS server: the server behind the port is loaded too late to refuse the start."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = error.strerror or error if isinstance(error, OSError) else error
        return [f"serve.certificate_file: {certificate} and its key are not usable: {reason}"]
    return []
