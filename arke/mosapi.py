"""A client of ICANN's MoSAPI: sessions, domain lists and the state of the TLD, by name and password or certificate.

Beside the flow: ``arke mosapi`` and ``arke reconcile`` ask with it. One login at a time; a session is used for less
than its fifteen minutes; a 401 renews it once and never twice, for a fresh session that is refused is a fault of the
account.
Messages are :mod:`panopticond.shared.mosapi`; the servers' ways are in docs/reference/mosapi.md.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import TypeVar

import msgspec
import trio

from panopticond.shared import mosapi
from panopticond.shared.errors import FetchError
from panopticond.shared.http import Http, Response
from panopticond.shared.mosapi import DaarReport, DomainList, State, ThreatList

T = TypeVar("T")
SESSION_SECONDS = 14 * 60.0
"""A session ends fifteen minutes after its login, used or not; a minute is left for clocks and slow answers."""
LOGIN_LIMIT_BYTES = 64 << 10
REPORT_LIMIT_BYTES = 64 << 20
_COOKIE = re.compile(r"(?:^|[,;]\s*)" + mosapi.COOKIE + r"=([A-Za-z0-9._~+/=-]{1,256})(?![^;,\s])", re.IGNORECASE)
_CLEARED = "id"
"""The value a logout sets: no session."""


class Mosapi:
    """One account at one server for one TLD. ``auth`` None: the adapter shows a certificate, and nobody logs in."""

    def __init__(
        self,
        http: Http,
        url: str,
        tld: str,
        *,
        auth: tuple[str, str] | None,
        entity: str = "ry",
        reports: str = "metrica",
        timeout_seconds: float = 30.0,
        seconds: Callable[[], float] = trio.current_time,
    ) -> None:
        self.tld = tld
        self._http = http
        self._base = f"{url.rstrip('/')}/{entity}/{tld}"
        self._auth = auth
        self._reports = reports
        self._timeout_seconds = timeout_seconds
        self._seconds = seconds
        self._cookie: str | None = None
        self._since = 0.0
        self._door = trio.Lock()

    async def domain_list(self, day: dt.date | None = None) -> DomainList:
        """The report of a day, or the latest; FetchError when there is none or it cannot be read."""
        which = day.isoformat() if day is not None else "latest"
        if self._reports == "daar":
            body = await self._body(f"v2/daar/report/{which}", REPORT_LIMIT_BYTES)
            return self._ours(self._decoded(body, _of_daar))
        body = await self._body(f"v2/metrica/domainList/{which}", REPORT_LIMIT_BYTES)
        return self._ours(self._decoded(body, mosapi.decode_domain_list))

    async def state(self) -> State:
        """How ICANN's probes see the TLD's services now; FetchError as above."""
        state = self._decoded(await self._body("v2/monitoring/state", 1 << 20), mosapi.decode_state)
        if state.tld.lower() != self.tld:
            raise FetchError("protocol", f"MoSAPI answers for .{state.tld[:63]} in place of .{self.tld}")
        return state

    async def logout(self) -> None:
        """End the session if there is one; a server that no longer knows it is no fault."""
        cookie, self._cookie = self._cookie, None
        if cookie is not None:
            await self._get("logout", cookie, LOGIN_LIMIT_BYTES)

    def _ours(self, report: DomainList) -> DomainList:
        if report.tld.lower() != self.tld:
            raise FetchError("protocol", f"MoSAPI answers for .{report.tld[:63]} in place of .{self.tld}")
        return report

    @staticmethod
    def _decoded(body: bytes, decode: Callable[[bytes], T]) -> T:
        try:
            return decode(body)
        except (ValueError, msgspec.DecodeError) as error:
            raise FetchError("protocol", f"MoSAPI's answer cannot be read: {str(error)[:200]}") from error

    async def _body(self, path: str, limit_bytes: int) -> bytes:
        """The body of a 200, after at most one renewal of the session."""
        cookie = await self._session(None)
        response = await self._get(path, cookie, limit_bytes)
        if response.status == 401 and self._auth is not None:
            cookie = await self._session(cookie)
            response = await self._get(path, cookie, limit_bytes)
        if response.status == 200:
            return response.body
        raise FetchError("protocol", _sentence(response, path))

    async def _session(self, refused: str | None) -> str | None:
        """A session's cookie; ``refused`` is one that was not taken: it is renewed unless another task has done so."""
        if self._auth is None:
            return None
        async with self._door:
            fresh = self._cookie is not None and self._seconds() - self._since < SESSION_SECONDS
            if fresh and self._cookie != refused:
                return self._cookie
            self._cookie = None
            since = self._seconds()
            response = await self._get("login", None, LOGIN_LIMIT_BYTES, auth=self._auth)
            if response.status != 200:
                raise FetchError("protocol", _sentence(response, "login"))
            found = _COOKIE.search(response.headers.get("set-cookie", ""))
            if found is None or found[1] == _CLEARED:
                raise FetchError("protocol", "MoSAPI's login gives no session cookie")
            self._cookie, self._since = found[1], since
            return self._cookie

    async def _get(
        self, path: str, cookie: str | None, limit_bytes: int, *, auth: tuple[str, str] | None = None
    ) -> Response:
        headers = {"accept": "application/json"}
        if cookie is not None:
            headers["cookie"] = f"{mosapi.COOKIE}={cookie}"
        return await self._http.get(
            f"{self._base}/{path}",
            headers=headers,
            auth=auth,
            limit_bytes=limit_bytes,
            deadline_seconds=self._timeout_seconds,
        )


def _of_daar(body: bytes) -> DomainList:
    """A DAAR-era report as a domain list without names."""
    report = msgspec.json.decode(body, type=DaarReport)
    if mosapi.parse_day(report.daar_report_date) is None:
        raise ValueError(f"{report.daar_report_date[:40]!r} is no report date")
    return DomainList(
        report.version,
        report.tld,
        report.daar_report_date,
        report.unique_abuse_domains,
        tuple(ThreatList(threat.threat_type, threat.count) for threat in report.daar_report_data),
        report.domains_in_zone,
    )


def _sentence(response: Response, path: str) -> str:
    """What an answer other than 200 means, and what to do."""
    match response.status:
        case 400:
            try:
                problem = mosapi.decode_problem(response.body)
            except (ValueError, msgspec.DecodeError):
                return f"MoSAPI refuses {path} (400)"
            return f"MoSAPI refuses {path}: {problem.code} {problem.message[:200]}"
        case 401:
            return "MoSAPI does not accept the account: check mosapi.username, its password and its rights for the TLD"
        case 403:
            return "MoSAPI refuses this host's address: have it put on the account's list"
        case 404:
            return f"MoSAPI has no report at {path}"
        case 429:
            wait = response.headers.get("retry-after", "")
            return f"MoSAPI asks to wait{f' {wait} s' if wait.isdigit() else ''}: too many requests"
        case status:
            return f"MoSAPI answers {status} at {path}; try again later"
