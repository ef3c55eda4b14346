"""Small real servers on loopback for the web and HTTP tests: answers by path, and a CONNECT proxy that maps hosts."""

from __future__ import annotations

import base64
import datetime as dt
import functools
import ssl
from collections.abc import Awaitable, Callable

import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Handler = Callable[[str, dict[str, str]], bytes | Awaitable[bytes]]


def answer(status: int = 200, body: bytes = b"", **headers: str) -> bytes:
    """One whole HTTP/1.1 answer with a Content-Length unless one is given; underscores in names become hyphens."""
    fields = {"content-length": str(len(body)), "connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head.encode("latin-1") + b"\r\n" + body


async def read_head(stream: trio.abc.Stream) -> tuple[str, dict[str, str]]:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = await stream.receive_some(4096)
        if not chunk:
            return "", {}
        data += chunk
    first, *fields = data.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    return first, {f.partition(":")[0].lower(): f.partition(":")[2].strip() for f in fields}


def site(handler: Handler) -> Callable[[trio.abc.Stream], Awaitable[None]]:
    """A connection handler that answers one request with what ``handler(path, headers)`` gives, then closes."""

    async def serve(stream: trio.abc.Stream) -> None:
        async with stream:
            try:
                first, headers = await read_head(stream)
                if not first:
                    return
                result = handler(first.split(" ")[1], headers)
                await stream.send_all(result if isinstance(result, bytes) else await result)
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                return

    return serve


async def listen(nursery: trio.Nursery, serve: Callable[[trio.abc.Stream], Awaitable[None]]) -> int:
    """Serve on a free port of 127.0.0.1; the port."""
    listeners = await nursery.start(functools.partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
    return int(listeners[0].socket.getsockname()[1])


def over_tls(
    serve: Callable[[trio.abc.Stream], Awaitable[None]], context: ssl.SSLContext
) -> Callable[[trio.abc.Stream], Awaitable[None]]:
    async def inner(stream: trio.abc.Stream) -> None:
        tls = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        try:
            await tls.do_handshake()
        except (trio.BrokenResourceError, ssl.SSLError, OSError):
            await trio.aclose_forcefully(stream)
            return
        await serve(tls)

    return inner


class Proxy:
    """A CONNECT proxy: ``routes`` maps ``host:port`` to a local port or to a status it answers instead."""

    def __init__(self, routes: dict[str, int | bytes], credentials: str | None = None) -> None:
        self.routes = routes
        self.credentials = credentials
        self.asked: list[tuple[str, str]] = []

    async def serve(self, stream: trio.abc.Stream) -> None:
        async with stream:
            first, headers = await read_head(stream)
            if not first:
                return
            target = first.split(" ")[1]
            given = base64.b64decode(headers.get("proxy-authorization", "Basic ").split(" ")[1]).decode()
            self.asked.append((target, given))
            if self.credentials is not None and given.partition(":")[2] != self.credentials:
                await stream.send_all(answer(407))
                return
            route = self.routes.get(target, answer(502))
            if isinstance(route, bytes):
                await stream.send_all(route)
                return
            await stream.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            if route == 0:
                return
            far = await trio.open_tcp_stream("127.0.0.1", route)
            async with far, trio.open_nursery() as nursery:
                nursery.start_soon(_copy, far, stream, nursery.cancel_scope)
                await _copy(stream, far, None)
                nursery.cancel_scope.cancel()


async def _copy(source: trio.abc.Stream, sink: trio.abc.Stream, scope: trio.CancelScope | None) -> None:
    try:
        while data := await source.receive_some(65536):
            await sink.send_all(data)
    except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
        pass
    if scope is not None:
        scope.cancel()


def certificate(
    name: str,
    tmp_path: object,
    *,
    expired: bool = False,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None = None,
) -> tuple[ssl.SSLContext, x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A server context with a fresh EC certificate for ``name``, self-signed unless an issuer is given."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    end = now - dt.timedelta(days=1) if expired else now + dt.timedelta(days=10)
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=20))
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(issuer[1] if issuer else key, hashes.SHA256())
    )
    path = f"{tmp_path}/{name}-{built.serial_number}.pem"
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        file.write(built.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, built, key
