"""The MoSAPI server: login and logout, the daily domain lists and the state of our own service, over ASGI.

Below ``/ry/<tld>/`` of the repository's server; everything else of it is not ours. Bare ASGI, because a request has
nothing to parse but its path: a day's report is ready in memory (``serve/domainlists``), plain and packed. Order of the
checks: the size of the headers (431), the client's address (403), its login, session or certificate (401, 429), then
the method (405), the path (404) and the query (400). docs/reference/mosapi.md describes it for clients.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import gzip
import ipaddress
import logging
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from panopticond.config import MosApiSettings
from panopticond.serve import monitoring
from panopticond.serve.accounts import Accounts
from panopticond.serve.clientcert import shown
from panopticond.serve.domainlists import Dated, Page, Published, Report
from panopticond.serve.mosapiwire import (
    JSON,
    Answer,
    Headers,
    cookies,
    header,
    query_of,
    set_cookie,
    takes_gzip,
    unchanged,
    wrong_method,
)
from panopticond.serve.sessions import Sessions
from panopticond.shared import mosapi
from panopticond.shared.clock import rfc3339
from panopticond.shared.errors import PanopticonError

PREFIX = "/ry/"
_PATH = re.compile(r"/ry/([a-z0-9-]{2,63})/(.*)", re.DOTALL)
_METRICA = ("v2/metrica/domainList/", "v2/metrica/domainLists")
_DAAR = ("v2/daar/report/", "v2/daar/reports")
_STATE = "v2/monitoring/state"
_PACK_FROM_BYTES = 512
HEADERS_LIMIT_BYTES = 16 << 10
"""The server stops reading an endless head by itself; this is for one that came whole."""
_ALWAYS = [(b"cache-control", b"private, no-cache"), (b"x-content-type-options", b"nosniff")]
_audit = logging.getLogger("panopticond.audit")
_log = logging.getLogger(__name__)


class MosApi:
    """The ASGI application of everything below ``/ry/``. ``seconds`` is a monotonic clock, ``now`` policy time.

    ``shown`` gives the client certificate of the connection whose request is being answered.
    """

    def __init__(
        self,
        published: Published,
        accounts: Accounts,
        settings: MosApiSettings,
        *,
        now: Callable[[], dt.datetime],
        seconds: Callable[[], float] = time.monotonic,
        shown: Callable[[], bytes | None] = shown,
    ) -> None:
        self._published = published
        self._accounts = accounts
        self._now = now
        self._daar_alias = settings.daar_alias
        self._networks = [ipaddress.ip_network(network) for network in settings.allow_networks]
        self._shown = shown
        self._per_certificate = settings.requests_per_certificate
        self._answering: Counter[str] = Counter()
        self._lifetime_seconds = settings.session_minutes * 60
        self._sessions = Sessions(
            lifetime_seconds=self._lifetime_seconds, per_account=settings.sessions_per_account, seconds=seconds
        )

    async def __call__(
        self, scope: Mapping[str, Any], receive: object, send: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        """Answer one request and write its audit line."""
        del receive  # no request has a body that means anything
        address = scope["client"][0] if scope.get("client") else ""
        found = _PATH.fullmatch(scope["path"])
        tld, rest = (found[1], found[2]) if found else ("", "")
        if b"%" in scope.get("raw_path", b""):
            rest = ""  # nothing of ours needs encoding
        try:
            account, answer = await self._answer(scope, tld, rest, address)
        except PanopticonError as error:
            _log.error("mosapi: %s", error)
            account, answer = None, Answer(503, b"The report cannot be read at the moment.\n")
        method = scope["method"] if scope["method"] in ("GET", "HEAD", "POST") else "other"
        known = tld if account else "-"
        _audit.info("mosapi account=%s method=%s tld=%s status=%d", account or "-", method, known, answer.status)
        headers = [
            *_ALWAYS,
            *answer.headers,
            (b"content-type", answer.media_type),
            (b"content-length", str(len(answer.body)).encode()),
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    async def _answer(self, scope: Mapping[str, Any], tld: str, rest: str, address: str) -> tuple[str | None, Answer]:
        """The account concerned, if any, and the answer."""
        if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADERS_LIMIT_BYTES:
            return None, Answer(431, b"The request's headers are too large.\n")
        if not self._allowed(address):
            return None, Answer(403, b"The client's address is not among those allowed to connect.\n")
        if rest == "login":
            return await self._login(scope, tld, address)
        values = cookies(scope["headers"])
        session = next((found for value in values if (found := self._sessions.find(value, tld))), None)
        if session is not None and rest == "logout":
            return session.account, self._logout(scope, tld, values)
        if session is not None:
            return session.account, await self._for(scope, tld, rest)
        holder = self._accounts.holder(self._shown())
        if holder.account is None or tld not in holder.tlds or rest == "logout":
            return None, Answer(401, mosapi.UNAUTHENTICATED.encode() + b"\n")
        return holder.account, await self._by_certificate(holder.account, scope, tld, rest)

    async def _by_certificate(self, account: str, scope: Mapping[str, Any], tld: str, rest: str) -> Answer:
        """A certificate has no session to end: what is limited is how many of its requests are answered at a time."""
        if self._answering[account] >= self._per_certificate:
            return Answer(429, b"Too many requests at a time with this certificate.\n", ((b"retry-after", b"1"),))
        self._answering[account] += 1
        try:
            return await self._for(scope, tld, rest)
        finally:
            self._answering[account] -= 1

    async def _for(self, scope: Mapping[str, Any], tld: str, rest: str) -> Answer:
        if scope["method"] not in ("GET", "HEAD"):
            return wrong_method("GET, HEAD")
        return await self._resource(scope, tld, rest)

    def _allowed(self, address: str) -> bool:
        if not self._networks:
            return True
        try:
            client = ipaddress.ip_address(address)
        except ValueError:
            return False
        mapped = getattr(client, "ipv4_mapped", None) or client
        return any(mapped.version == network.version and mapped in network for network in self._networks)

    async def _login(self, scope: Mapping[str, Any], tld: str, address: str) -> tuple[str | None, Answer]:
        authorization = header(scope["headers"], b"authorization")
        login = await self._accounts.login(authorization, address)
        if login.retry_after:
            wait = str(login.retry_after).encode()
            return None, Answer(429, b"Too many failed logins; wait.\n", ((b"retry-after", wait),))
        if login.account is None or tld not in login.tlds:
            challenge = (b"www-authenticate", b'Basic realm="mosapi"')
            return None, Answer(401, b"The username or password is wrong for this TLD.\n", (challenge,))
        if scope["method"] not in ("GET", "POST"):
            return login.account, wrong_method("GET, POST")
        value = self._sessions.open(login.account, tld)
        cookie = set_cookie(value, time.time() + self._lifetime_seconds, tld)
        return login.account, Answer(200, mosapi.LOGIN_SUCCESSFUL.encode(), (cookie,))

    def _logout(self, scope: Mapping[str, Any], tld: str, values: Sequence[str]) -> Answer:
        if scope["method"] not in ("GET", "POST"):
            return wrong_method("GET, POST")
        for value in values:
            self._sessions.close(value, tld)
        return Answer(200, mosapi.LOGOUT_SUCCESSFUL.encode(), (set_cookie(mosapi.COOKIE, 10.0, tld),))

    async def _resource(self, scope: Mapping[str, Any], tld: str, rest: str) -> Answer:
        headers = scope["headers"]
        if rest == _STATE:
            report = await self._published.latest(tld)
            said = monitoring.state(tld, report.figures if report else None, self._now())
            return _json(headers, mosapi.encode(said))
        for daar, (one, many) in ((False, _METRICA), (True, _DAAR)):
            if daar and not self._daar_alias:
                break
            if rest == many:
                return await self._lists(scope, tld, daar=daar)
            if rest.startswith(one):
                report = await self._find(tld, rest.removeprefix(one))
                if report is None:
                    return Answer(404, b"There is no report of that date for this TLD.\n")
                return _page(headers, report, report.daar if daar else report.metrica)
        return Answer(404, b"There is no such resource.\n")

    async def _find(self, tld: str, text: str) -> Report | None:
        if text == "latest":
            return await self._published.latest(tld)
        day = mosapi.parse_day(text)
        return None if day is None else await self._published.on(tld, day)

    async def _lists(self, scope: Mapping[str, Any], tld: str, *, daar: bool) -> Answer:
        query = query_of(scope["query_string"])
        asked = mosapi.parse_range(query.get("startDate", ()), query.get("endDate", ()))
        if isinstance(asked, mosapi.Problem):
            return Answer(400, mosapi.encode(asked), media_type=JSON)
        start, end = asked
        days = await self._published.days(tld)
        return _json(scope["headers"], _listing(tld, [days[day] for day in days if start <= day <= end], daar=daar))


def _listing(tld: str, dated: Sequence[Dated], *, daar: bool) -> bytes:
    days = [(one.to.date().isoformat(), rfc3339(one.issued)) for one in dated]
    if daar:
        return mosapi.encode(mosapi.DaarReports(mosapi.VERSION, tld, tuple(mosapi.DaarEntry(*day) for day in days)))
    return mosapi.encode(mosapi.DomainLists(mosapi.VERSION, tld, tuple(mosapi.DomainListEntry(*day) for day in days)))


def _page(headers: Headers, report: Report, page: Page) -> Answer:
    """A report, packed where the client takes gzip; 304 when the client has it."""
    modified = email.utils.format_datetime(report.issued, usegmt=True).encode()
    validators = ((b"last-modified", modified), (b"vary", b"accept-encoding"))
    if unchanged(header(headers, b"if-modified-since"), report.issued):
        return Answer(304, b"", validators)
    if takes_gzip(header(headers, b"accept-encoding")):
        return Answer(200, page.packed, (*validators, (b"content-encoding", b"gzip")), JSON)
    return Answer(200, page.body, validators, JSON)


def _json(headers: Headers, body: bytes) -> Answer:
    vary = (b"vary", b"accept-encoding")
    if len(body) >= _PACK_FROM_BYTES and takes_gzip(header(headers, b"accept-encoding")):
        return Answer(200, gzip.compress(body, 6, mtime=0), (vary, (b"content-encoding", b"gzip")), JSON)
    return Answer(200, body, (vary,), JSON)
