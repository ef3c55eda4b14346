"""A MoSAPI client written from the reference alone: Basic login, one cookie kept to its path, JSON read by its own eyes."""

from __future__ import annotations

import base64
import gzip
import json
import re
from typing import Any

import h11
import msgspec
import trio

SET_COOKIE = re.compile(
    r"id=(?P<value>[^;]+); Expires=(?P<expires>\w{3}, \d{2}-\w{3}-\d{4} \d{2}:\d{2}:\d{2} GMT); Path=(?P<path>[^;]+); Secure; HttpOnly"
)


class Reply(msgspec.Struct):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        body = gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body
        return json.loads(body)


class MosapiClient:
    """``/<entity>/<id>`` of a server on loopback; each request over a connection of its own."""

    def __init__(self, port: int, tld: str = "zz", user: str = "zz-manager:right") -> None:
        self.port, self.base, self.user = port, f"/ry/{tld}", user
        self.cookie: str | None = None
        self.cookie_path = ""

    async def login(self, method: str = "GET", body: bytes = b"") -> Reply:
        basic = "Basic " + base64.b64encode(self.user.encode()).decode()
        reply = await self.ask(f"{self.base}/login", method, {"authorization": basic}, body)
        if reply.status == 200:
            found = SET_COOKIE.fullmatch(reply.headers["set-cookie"])
            assert found is not None, reply.headers
            self.cookie, self.cookie_path = found["value"], found["path"]
        return reply

    async def logout(self, method: str = "GET") -> Reply:
        return await self.ask(f"{self.base}/logout", method)

    async def get(self, resource: str, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask(f"{self.base}/v2/{resource}", "GET", named)

    async def ask(
        self, target: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Reply:
        sent = {"host": "localhost", "connection": "close", **(headers or {})}
        if body:
            sent["content-length"] = str(len(body))
        if self.cookie and (target == self.cookie_path or target.startswith(self.cookie_path + "/")):
            sent.setdefault("cookie", f"id={self.cookie}")
        wire = h11.Connection(h11.CLIENT)
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        async with stream:
            await stream.send_all(
                wire.send(h11.Request(method=method, target=target, headers=list(sent.items()))) or b""
            )
            if body:
                await stream.send_all(wire.send(h11.Data(data=body)) or b"")
            await stream.send_all(wire.send(h11.EndOfMessage()) or b"")
            return await self._reply(wire, stream)

    @staticmethod
    async def _reply(wire: h11.Connection, stream: trio.SocketStream) -> Reply:
        reply, pieces = Reply(0, {}, b""), []
        while True:
            event = wire.next_event()
            if event is h11.NEED_DATA:
                wire.receive_data(await stream.receive_some())
            elif isinstance(event, h11.Response):
                reply = Reply(event.status_code, {name.decode(): value.decode() for name, value in event.headers}, b"")
            elif isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                reply.body = b"".join(pieces)
                return reply
