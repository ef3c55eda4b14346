"""MoSAPI version 2 as messages: domain lists, monitoring state, extended error codes, report dates. Pure.

Between ``serve/mosapi``, which writes them, and a client, which reads them. Follows ICANN's MoSAPI sections 5.1, 8 and
9.1 to 9.3 as its public clients have them (docs/reference/mosapi.md says what is certain). A reader ignores keys it
does not know; ``count`` -1 means that nobody can say, never "none".
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

VERSION = 2
UNKNOWN = -1
"""The count of a threat type that is not being monitored."""
LOGIN_SUCCESSFUL = "Login successful"
LOGOUT_SUCCESSFUL = "Logout successful"
UNAUTHENTICATED = (
    "The client could not be authenticated using any of the available methods: "
    "TLS-Client-Authentication or Session Cookie."
)
COOKIE = "id"
COOKIE_VALUE = re.compile(r"[0-9a-f]{40}")
"""160 random bits in Base16."""
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_END_BEFORE_START, _START_SYNTAX, _END_SYNTAX = "2012", "2013", "2014"
ServiceStatus = Literal[
    "Up", "Down", "Disabled", "UP-inconclusive-no-data", "UP-inconclusive-no-probes", "UP-inconclusive-reconfig"
]
TldStatus = Literal["Up", "Down", "Up-inconclusive"]
T = TypeVar("T")


class ThreatList(msgspec.Struct, frozen=True, rename="camel"):
    """One threat type of a report: how many unique domains, and those that may be named (not always all)."""

    threat_type: str
    count: int
    domains: tuple[str, ...] = ()


class DomainList(msgspec.Struct, frozen=True, rename="camel"):
    """The report of one UTC day (9.1, 9.2). ``domains_in_zone`` is left out when the zone's size is not known."""

    version: int
    tld: str
    domain_list_date: str
    unique_abuse_domains: int
    domain_list_data: tuple[ThreatList, ...]
    domains_in_zone: int | UnsetType = UNSET


class DomainListEntry(msgspec.Struct, frozen=True, rename="camel"):
    """A report there is: its day, and when it was made (RFC 3339)."""

    domain_list_date: str
    domain_list_generation_date: str


class DomainLists(msgspec.Struct, frozen=True, rename="camel"):
    """The reports there are (9.3), oldest first."""

    version: int
    tld: str
    domain_lists: tuple[DomainListEntry, ...]


class DaarThreat(msgspec.Struct, frozen=True, rename="camel"):
    """One threat type of a DAAR-era report: the count alone."""

    threat_type: str
    count: int


class DaarReport(msgspec.Struct, frozen=True, rename="camel"):
    """The same report under DAAR-era names; its wire names are unverified."""

    version: int
    tld: str
    daar_report_date: str
    unique_abuse_domains: int
    daar_report_data: tuple[DaarThreat, ...]
    domains_in_zone: int | UnsetType = UNSET


class DaarEntry(msgspec.Struct, frozen=True, rename="camel"):
    """A DAAR-era report there is; unverified wire names."""

    daar_report_date: str
    daar_report_generation_date: str


class DaarReports(msgspec.Struct, frozen=True, rename="camel"):
    """The DAAR-era reports there are, oldest first; unverified wire names."""

    version: int
    tld: str
    daar_reports: tuple[DaarEntry, ...]


class Incident(msgspec.Struct, frozen=True):
    """An incident of a monitored service (5.1); times in Unix seconds, ``endTime`` null while it lasts."""

    incident_id: str = msgspec.field(name="incidentID")
    start_time: int = msgspec.field(name="startTime")
    end_time: int | None = msgspec.field(name="endTime")
    false_positive: bool = msgspec.field(name="falsePositive")
    state: Literal["Active", "Resolved"]


class Service(msgspec.Struct, frozen=True, rename="camel"):
    """How one service fares; ``emergency_threshold`` is in per cent of what makes an emergency."""

    status: ServiceStatus
    emergency_threshold: float | UnsetType = UNSET
    incidents: tuple[Incident, ...] | UnsetType = UNSET


class State(msgspec.Struct, frozen=True, rename="camel"):
    """``monitoring/state`` (5.1): ``last_update_api_database`` in Unix seconds."""

    version: int
    tld: str
    last_update_api_database: int
    status: TldStatus
    tested_services: dict[str, Service]


class Problem(msgspec.Struct, frozen=True, rename="camel"):
    """The body of an HTTP 400 (section 8). Written with a text ``result_code``; some servers send a number."""

    result_code: str | int
    message: str
    description: str = "Validation failed"

    @property
    def code(self) -> str:
        """The result code as text, whichever way it came."""
        return str(self.result_code)


def encode(message: msgspec.Struct) -> bytes:
    """A message as JSON (UTF-8)."""
    return msgspec.json.encode(message)


def decode_domain_list(body: bytes) -> DomainList:
    """The report in a body; ``ValueError`` (msgspec's) for anything else, a count below -1 or a wrong date included."""
    report = _decode(body, DomainList)
    if parse_day(report.domain_list_date) is None:
        raise ValueError(f"{report.domain_list_date[:40]!r} is no report date")
    if any(threat.count < UNKNOWN for threat in report.domain_list_data):
        raise ValueError("a count below -1 means nothing")
    return report


def decode_domain_lists(body: bytes) -> DomainLists:
    """The list of reports in a body; ``ValueError`` (msgspec's) for anything else."""
    return _decode(body, DomainLists)


def decode_state(body: bytes) -> State:
    """The monitoring state in a body; ``ValueError`` (msgspec's) for anything else."""
    return _decode(body, State)


def decode_problem(body: bytes) -> Problem:
    """The extended error in the body of an HTTP 400; ``ValueError`` (msgspec's) for anything else."""
    return _decode(body, Problem)


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def as_daar(report: DomainList) -> DaarReport:
    """The report under DAAR-era names: counts, no domains."""
    return DaarReport(
        report.version,
        report.tld,
        report.domain_list_date,
        report.unique_abuse_domains,
        tuple(DaarThreat(threat.threat_type, threat.count) for threat in report.domain_list_data),
        report.domains_in_zone,
    )


def parse_day(text: str) -> dt.date | None:
    """The day ``YYYY-MM-DD`` means; None for anything else, 30 February included."""
    if _DAY.fullmatch(text) is None:
        return None
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None


def parse_range(starts: Sequence[str], ends: Sequence[str]) -> tuple[dt.date, dt.date] | Problem:
    """The days of a query's ``startDate`` and ``endDate``, both included; either may be missing.

    A date given twice is as wrong as a malformed one. ``domainLists`` has no limit of 31 days (result code 2011 belongs
    to incidents).
    """
    start = _bound(starts, dt.date.min)
    if start is None:
        return Problem(_START_SYNTAX, "The startDate syntax is invalid.")
    end = _bound(ends, dt.date.max)
    if end is None:
        return Problem(_END_SYNTAX, "The endDate syntax is invalid.")
    if end < start:
        return Problem(_END_BEFORE_START, "The endDate is before the startDate.")
    return start, end


def _bound(values: Sequence[str], absent: dt.date) -> dt.date | None:
    if not values:
        return absent
    return parse_day(values[0]) if len(values) == 1 else None
