"""The published tree over HTTP: plain files, conditional and range requests, nothing but the files of the design.

After login. A path is not resolved but recognised: ``/<tld>/<serial, latest or month>/<known file name>``; everything
else does not exist, so there is nothing to traverse. ``latest`` is read once a request and must name a serial.
"""

from __future__ import annotations

import email.utils
import logging
import os
import re
import stat
from pathlib import Path

import trio
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from panopticond.serve.accounts import Accounts, Login
from panopticond.serve.clientcert import shown
from panopticond.shared import snapshot

_NAMES = (*snapshot.FILES, snapshot.MANIFEST, snapshot.SIGNATURE)
_PATH = re.compile(
    r"/(?P<tld>[a-z0-9-]{2,63})/(?:(?P<serial>latest|[0-9]{10})/(?P<name>"
    + "|".join(re.escape(name) for name in _NAMES)
    + ")|(?P<month>[0-9]{4}-[0-9]{2})/(?P<part>"
    + "|".join(re.escape(name) for name in snapshot.MONTH_FILES)
    + "))"
)
_TYPES = {
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".gz": "application/gzip",
}
_HEADERS = {
    "cache-control": "private, no-cache",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
_DIRECTORY = re.compile(r"[0-9]{10}|[0-9]{4}-[0-9]{2}")
_BYTES = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
PIECE_BYTES = 128 << 10
HEADERS_LIMIT_BYTES = 16 << 10
_audit = logging.getLogger("panopticond.audit")


class Repository:
    """Answers every request under the root, and writes one audit line for each."""

    def __init__(self, root: Path, accounts: Accounts) -> None:
        self._root = root
        self._accounts = accounts

    async def __call__(self, request: Request) -> Response:
        """The file or a part of it, 304, 401, 404, 405, 416, 429 or 431."""
        if sum(len(name) + len(value) for name, value in request.headers.raw) > HEADERS_LIMIT_BYTES:
            login, response = Login(None), _refuse(431, "The request's headers are too large.")
        else:
            login = await self._who(request)
            response = self._answer(request, login)
        found = _PATH.fullmatch(request.url.path)
        _audit.info(
            "access account=%s method=%s tld=%s serial=%s file=%s status=%d",
            login.account or "-",
            request.method if request.method in ("GET", "HEAD") else "other",
            *(_parts(found) if found else ("-", "-", "-")),
            response.status_code,
        )
        return response

    async def _who(self, request: Request) -> Login:
        login = self._accounts.holder(shown())
        if login.account is None or "authorization" in request.headers:
            address = request.client.host if request.client is not None else ""
            login = await self._accounts.login(request.headers.get("authorization"), address)
        return login

    def _answer(self, request: Request, login: Login) -> Response:
        if login.retry_after:
            return _refuse(429, "Too many failed logins; wait.", {"retry-after": str(login.retry_after)})
        found = _PATH.fullmatch(request.url.path) if b"%" not in request.scope.get("raw_path", b"") else None
        tld = found["tld"] if found is not None else request.url.path.split("/")[1:2][0]
        if login.account is None or tld not in login.tlds:
            return _refuse(401, "Not without an account of this TLD.", {"www-authenticate": 'Basic realm="panopticon"'})
        if request.method not in ("GET", "HEAD"):
            return _refuse(405, "Only GET and HEAD.", {"allow": "GET, HEAD"})
        if found is None:
            return _refuse(404, "No such file.")
        return self._file(request, *_parts(found))

    def _file(self, request: Request, tld: str, serial: str, name: str) -> Response:
        try:
            if serial == snapshot.LATEST:
                serial = str((self._root / tld / snapshot.LATEST).readlink())
            path = self._root / tld / serial / name
            directory, status = path.parent.lstat(), path.lstat()
        except OSError:
            return _refuse(404, "No such file.")
        if not _DIRECTORY.fullmatch(serial) or not stat.S_ISDIR(directory.st_mode) or not stat.S_ISREG(status.st_mode):
            return _refuse(404, "No such file.")
        etag = f'"{serial}-{status.st_size:x}-{status.st_mtime_ns:x}"'
        headers = {"etag": etag, "last-modified": email.utils.formatdate(status.st_mtime, usegmt=True), **_HEADERS}
        if _unchanged(request, etag, status):
            return Response(status_code=304, headers=headers)
        headers["accept-ranges"] = "bytes"
        media_type = _TYPES.get(path.suffix, "text/plain; charset=us-ascii")
        wanted = _range(request, etag, headers["last-modified"], status.st_size)
        if wanted is None:
            return _File(path, range(status.st_size), headers=headers, media_type=media_type)
        if not wanted:
            return _refuse(416, "No such bytes.", {"content-range": f"bytes */{status.st_size}"})
        headers["content-range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{status.st_size}"
        return _File(path, wanted, headers=headers, media_type=media_type, status_code=206)


class _File(Response):
    """A file sent in pieces.

    Starlette's own races the server over the end of the connection: it listens for a disconnect beside its last send,
    and under hypercorn on trio cancels that send half-way (ASGI before 2.4).
    """

    def __init__(
        self, path: Path, wanted: range, *, headers: dict[str, str], media_type: str, status_code: int = 200
    ) -> None:
        length = {"content-length": str(len(wanted))}
        super().__init__(headers=headers | length, media_type=media_type, status_code=status_code)
        self._path, self._start, self._left = path, wanted.start, len(wanted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the head and, unless only that was asked, exactly as many bytes as announced."""
        del receive  # GET and HEAD have no body
        async with await trio.open_file(self._path, "rb") as file:
            await file.seek(self._start)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            while self._left and scope["method"] != "HEAD":
                piece = await file.read(min(PIECE_BYTES, self._left))
                if not piece:
                    break  # cut since it was announced: the server sees the missing bytes and closes
                self._left -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def _parts(found: re.Match[str]) -> tuple[str, str, str]:
    """(TLD, directory, file name) of a path."""
    return found["tld"], found["serial"] or found["month"], found["name"] or found["part"]


def _unchanged(request: Request, etag: str, status: os.stat_result) -> bool:
    """Whether the client's copy is current (RFC 9110, 13.2.2: If-None-Match goes before If-Modified-Since)."""
    tags = request.headers.get("if-none-match")
    if tags is not None:
        return tags.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in tags.split(",")]
    since = request.headers.get("if-modified-since")
    try:
        return since is not None and int(status.st_mtime) <= email.utils.parsedate_to_datetime(since).timestamp()
    except (ValueError, OverflowError):
        return False


def _range(request: Request, etag: str, modified: str, size: int) -> range | None:
    """The bytes asked for (RFC 9110, 14.2): None for all of them, an empty range for none there are.

    Several ranges, another unit, or a condition on another version get the whole file, as the RFC allows; HEAD has no
    ranges.
    """
    found = _BYTES.fullmatch(", ".join(request.headers.getlist("range")))
    if found is None or request.method != "GET" or request.headers.get("if-range", etag) not in (etag, modified):
        return None
    first, last = found.groups()
    if not first:
        return range(max(0, size - int(last)), size) if last else None
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1 if last else size))


def _refuse(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(sentence + "\n", status_code=status, headers={**_HEADERS, **(headers or {})})
