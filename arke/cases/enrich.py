"""Whom to write to: contacts looked up at send time, from credentialed RDAP or from the operator's CSV.

Between match and the re-check. Every look-up stands alone: the answer is for exactly the domain asked, and nothing
of it is kept for the next one. A placeholder, a redacted text or the registry's own address is not an address; why
there is none is part of the answer. Nothing personal is logged.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import itertools
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast, get_args

import trio

from arke.mail.assemble import usable_address
from arke.model import Contact, Contacts, Role
from panopticond.shared.errors import PanopticonError
from panopticond.shared.http import Http
from panopticond.shared.ratelimit import Buckets
from panopticond.shared.rdap.domain import RdapDomain, RdapProblem, fetch_domain

log = logging.getLogger(__name__)

CONCURRENCY = 4  # RedDog refuses more than 20 at once from one client, without a Retry-After
ATTEMPTS = 3
RETRY_AFTER_LIMIT_SECONDS = 30.0
QUIET_SECONDS = 60.0  # real, after a 429 that names no pause; for what can wait
CSV_LIMIT_BYTES = 64 << 20
_AGAIN = frozenset({"rate-limited", "server-error", "unreachable", "timeout", "tls", "cut-short", "protocol"})
_NO_ANSWER = ("not-json", "other-object", "too-large", "too-deep", "unexpected-status")  # a web page, a loop ...
TRANSIENT = frozenset(f"rdap-{word}" for word in (*_AGAIN, *_NO_ANSWER, "unauthorised", "refused", "redirect-refused"))
"""Problems that say nothing of the domain: the case stays due and is tried again."""
_ROLES = frozenset(get_args(Role)) - {"manager", "hoster"}
_NO_ADDRESS_WORDS = ("redacted", "please query", "data protected", "not disclosed", "withheld for privacy")
_NO_ADDRESS_LABELS = frozenset({"example", "invalid", "localhost", "redacted", "placeholder"})


class Source(Protocol):
    """Where contacts come from."""

    async def contacts(self, domain: str) -> Contacts:
        """The usable contacts of one domain, or why there are none."""


def usable(address: str, own: Iterable[str] = ()) -> str:
    """Why a text is no address to write to (``placeholder``, ``malformed``, ``own``), or nothing when it is one."""
    text = address.strip().lower()
    if any(word in text for word in _NO_ADDRESS_WORDS):
        return "placeholder"
    normal = usable_address(address)
    if normal is None:
        return "malformed"
    if _NO_ADDRESS_LABELS & set(normal.rpartition("@")[2].split(".")[-2:]):
        return "placeholder"
    return "own" if normal.lower() in {name.strip().lower() for name in own} else ""


def assemble(
    domain: str,
    found: Sequence[tuple[Role, str]],
    problems: Sequence[str],
    *,
    source: str,
    own: Sequence[str],
    registered: dt.datetime | None = None,
    statuses: tuple[str, ...] = (),
    registrar: str | None = None,
) -> Contacts:
    """The answer for one domain from what a source gave (pure); ``problems`` is why its other entries had none."""
    contacts: list[Contact] = []
    refused = list(problems)
    for role, address in found:
        problem = usable(address, own)
        if problem:
            refused.append(problem)
        elif (normal := usable_address(address)) is not None and (role, normal.lower()) not in {
            (contact.role, contact.address.lower()) for contact in contacts
        }:
            contacts.append(Contact(role, normal, source))  # the very text that was judged is the one written to
    holders = [contact for contact in contacts if contact.role not in ("registrar", "abuse")]
    problem = "" if holders else next(iter(refused), "no-address")
    return Contacts(domain, tuple(contacts), problem, registered, statuses, registrar)


class RdapSource:
    """The registry's own RDAP server, by an account that may see contacts; at most four questions at once."""

    def __init__(
        self,
        http: Http,
        url: str,
        *,
        auth: tuple[str, str] | None,
        headers: Mapping[str, str] | None = None,
        rate_per_second: float,
        timeout_seconds: float,
        own: Sequence[str],
    ) -> None:
        self._http = http
        self._url = url
        self._auth = auth
        self._headers = dict(headers or {})
        self._timeout_seconds = timeout_seconds
        self._own = tuple(own)
        self._slots = trio.CapacityLimiter(CONCURRENCY)
        self._buckets = Buckets(rate_per_second, burst=CONCURRENCY)
        self._quiet_until = 0.0

    async def contacts(self, domain: str) -> Contacts:
        """Ask for one domain now; 429 and 5xx are asked again after the pause the server names."""
        answer = await self._ask(domain)
        if isinstance(answer, RdapProblem):
            return Contacts(domain, (), f"rdap-{answer.reason}")
        found = [
            (cast("Role", contact.role), contact.email)
            for contact in answer.contacts
            if contact.email is not None and contact.role in _ROLES
        ]
        problems = [  # why a holder's contact has none; a registrar without one explains nothing
            contact.problem
            for contact in answer.contacts
            if contact.email is None and contact.problem and contact.role not in ("registrar", "abuse")
        ]
        return assemble(
            domain,
            found,
            problems,
            source="rdap",
            own=self._own,
            registered=answer.registered,
            statuses=tuple(answer.statuses),
            registrar=answer.registrar,
        )

    async def canary(self, name: str) -> str:
        """Why the account cannot be trusted to see contacts, or nothing: permissive servers redact in silence."""
        answer = await self._ask(name)
        if isinstance(answer, RdapProblem):
            return f"RDAP gives no answer for the canary {name} ({answer.reason}); check rdap.url"
        if not any(contact.email for contact in answer.contacts):
            return f"RDAP shows no contact of the canary {name}: check the account's name, password and rights"
        return ""

    async def registration(self, domain: str) -> RdapDomain | RdapProblem:
        """The domain without any contact, asked once: after a 429 nothing is asked until the pause it named is over."""
        if trio.current_time() < self._quiet_until:
            return RdapProblem("rate-limited")
        answer = await self._fetch(domain, with_contacts=False)
        if isinstance(answer, RdapProblem) and answer.reason == "rate-limited":
            self._quiet_until = trio.current_time() + (answer.retry_after_seconds or QUIET_SECONDS)
        return answer

    async def _fetch(self, domain: str, *, with_contacts: bool) -> RdapDomain | RdapProblem:
        async with self._slots:
            await self._buckets.take("rdap")
            return await fetch_domain(
                self._http,
                self._url,
                domain,
                auth=self._auth,
                headers=self._headers,
                deadline_seconds=self._timeout_seconds,
                with_contacts=with_contacts,
            )

    async def _ask(self, domain: str) -> RdapDomain | RdapProblem:
        answer: RdapDomain | RdapProblem | None = None
        for attempt in range(ATTEMPTS):
            answer = await self._fetch(domain, with_contacts=True)
            if not isinstance(answer, RdapProblem) or answer.reason not in _AGAIN:
                return answer
            pause_seconds = 0.5 * 2**attempt if answer.retry_after_seconds is None else answer.retry_after_seconds
            await trio.sleep(min(RETRY_AFTER_LIMIT_SECONDS, pause_seconds))
        assert answer is not None  # noqa: S101 - ATTEMPTS is above 0
        return answer


class CsvSource:
    """Contacts out of the operator's CSV ``domain,role,email``, read anew for every pass."""

    def __init__(self, path: Path, own: Sequence[str]) -> None:
        self._path = path
        self._own = tuple(own)
        self._mark: object = None
        self._rows: dict[str, list[tuple[Role, str]]] = {}

    async def contacts(self, domain: str) -> Contacts:
        """The file's rows for one domain; PanopticonError naming the line when the file cannot be used."""
        await trio.to_thread.run_sync(self._refresh)
        return assemble(domain, self._rows.get(domain, []), [], source="csv", own=self._own)

    def _refresh(self) -> None:
        try:
            status = self._path.stat()
            mark = (status.st_mtime_ns, status.st_size)
            if mark == self._mark:
                return
            if status.st_size > CSV_LIMIT_BYTES:
                raise PanopticonError(f"{self._path}: over {CSV_LIMIT_BYTES} bytes; this is no contacts file")
            text = self._path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise PanopticonError(f"{self._path}: cannot read the contacts: {error}") from error
        self._rows, self._mark = read_contacts(text, str(self._path)), mark


LONGEST_LINE = 10_000  # characters: a domain, a role and an address take a few hundred at most


def read_contacts(text: str, name: str) -> dict[str, list[tuple[Role, str]]]:
    """Rows of ``domain,role,email`` by domain; a first row that names the columns is skipped."""
    rows: dict[str, list[tuple[Role, str]]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > LONGEST_LINE:
            raise PanopticonError(f"{name}:{number}: a line of {len(line)} characters is no contact")
    lines = csv.reader(io.StringIO(text))
    for number in itertools.count(1):
        try:
            row = next(lines, None)
        except csv.Error as error:
            raise PanopticonError(f"{name}:{number}: no CSV: {error}") from error
        if row is None:
            break
        if not row or row[0].startswith("#") or [cell.strip().lower() for cell in row] == ["domain", "role", "email"]:
            continue
        if len(row) != 3 or row[1].strip().lower() not in _ROLES:
            raise PanopticonError(f"{name}:{number}: must read domain,role,email with a role of {sorted(_ROLES)}")
        domain = row[0].strip().lower().rstrip(".")
        rows.setdefault(domain, []).append((cast("Role", row[1].strip().lower()), row[2].strip()))
    return rows
