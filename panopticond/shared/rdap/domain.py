"""RDAP domain objects (RFC 9082, 9083): what a registry says of a name, read tolerantly from hostile JSON.

panopticond's registration probe asks the public service and wants no contacts: they are skipped by the decoder, so no
object ever holds them. arke asks with credentials and wants them; then :mod:`panopticond.shared.rdap.contacts` reads
them. Every malformation seen in the wild costs the property it sits in, not the answer.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

import can_ada
import msgspec

from panopticond.shared.errors import FetchError
from panopticond.shared.http import Http
from panopticond.shared.rdap.contacts import ENTITIES, RdapContact, contacts_of, jcard_text, jscontact, roles_of

__all__ = [
    "RdapContact", "RdapDomain", "RdapProblem", "fetch_domain", "nesting", "parse_domain", "parse_time", "plain",
    "status_problem",
]  # fmt: skip

BODY_BYTES = 1 << 20
NESTING = 32
REDIRECTS = 3
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_FRACTION = re.compile(r"(\.[0-9]{6})[0-9]+")
_SPACES = re.compile(r"[\s\x00-\x1f\x7f]+")


class RdapDomain(msgspec.Struct, frozen=True):
    """A domain as its registry describes it; ``contacts`` is empty unless they were asked for."""

    name: str
    registered: dt.datetime | None
    statuses: tuple[str, ...]
    """Lower-case RDAP words (RFC 8056), as ``active`` or ``server hold``."""
    registrar: str | None
    registrar_id: str | None
    """The IANA Registrar ID, or None."""
    contacts: tuple[RdapContact, ...] = ()


class RdapProblem(msgspec.Struct, frozen=True):
    """Why there is no domain.

    ``reason`` is ``not-found``, ``not-authoritative``, ``unauthorised``, ``rate-limited``, ``refused``,
    ``server-error``, ``unexpected-status``, ``not-json``, ``too-deep``, ``other-object``, or a FetchError's reason.
    """

    reason: str
    status: int | None = None
    retry_after_seconds: int | None = None


class _Domain(msgspec.Struct):
    """The members read; every other one is skipped without becoming an object."""

    objectClassName: msgspec.Raw = msgspec.Raw()  # noqa: N815 - RFC 9083's spelling
    ldhName: msgspec.Raw = msgspec.Raw()  # noqa: N815
    unicodeName: msgspec.Raw = msgspec.Raw()  # noqa: N815
    status: msgspec.Raw = msgspec.Raw()
    events: msgspec.Raw = msgspec.Raw()
    entities: msgspec.Raw = msgspec.Raw()
    redacted: msgspec.Raw = msgspec.Raw()


class _Head(msgspec.Struct):
    """An entity with everything personal still unread."""

    roles: msgspec.Raw = msgspec.Raw()
    publicIds: msgspec.Raw = msgspec.Raw()  # noqa: N815
    vcardArray: msgspec.Raw = msgspec.Raw()  # noqa: N815


async def fetch_domain(
    http: Http,
    base_url: str,
    domain: str,
    *,
    auth: tuple[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    deadline_seconds: float = 20.0,
    with_contacts: bool = False,
    authoritative: bool = True,
) -> RdapDomain | RdapProblem:
    """Ask ``<base_url>domain/<domain>`` (an A-label name) and read the answer.

    ``auth`` and ``headers`` (a token, say) go to the base URL's origin only. ``not-found`` is an answer only of an
    ``authoritative`` server; from another it reads ``not-authoritative``. Nothing is raised for what a server does.
    """
    url = f"{base_url.rstrip('/')}/domain/{domain}"
    try:
        reply = await http.get(
            url,
            headers={**(headers or {}), "accept": "application/rdap+json, application/json;q=0.8"},
            auth=auth,
            limit_bytes=BODY_BYTES,
            deadline_seconds=deadline_seconds,
            redirects=REDIRECTS,
            same_origin=auth is not None or bool(headers),
        )
    except FetchError as error:
        return RdapProblem(error.reason)
    if reply.status == 200:
        return parse_domain(reply.body, domain, with_contacts=with_contacts)
    return status_problem(reply.status, reply.headers, authoritative=authoritative)


def parse_domain(body: bytes, domain: str, *, with_contacts: bool = False) -> RdapDomain | RdapProblem:
    """The domain object in a 200 answer's body, if it is the one asked for."""
    if len(body) > BODY_BYTES:
        return RdapProblem("too-large", 200)
    if nesting(body) > NESTING:
        return RdapProblem("too-deep", 200)
    try:
        members = msgspec.json.decode(body, type=_Domain)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return RdapProblem("not-json", 200)
    kind = plain(members.objectClassName)
    if kind is not None and kind != "domain":
        return RdapProblem("other-object", 200)
    wanted = domain.lower().rstrip(".")
    if _name(members) != wanted:
        return RdapProblem("other-object", 200)
    registrar, registrar_id = _registrar(members.entities)
    contacts: tuple[RdapContact, ...] = ()
    if with_contacts:
        contacts = contacts_of(plain(members.entities), plain(members.redacted))
    statuses = plain(members.status)
    return RdapDomain(
        name=wanted,
        registered=_registered(plain(members.events)),
        statuses=_words(statuses if isinstance(statuses, list) else [statuses]),
        registrar=registrar,
        registrar_id=registrar_id,
        contacts=contacts,
    )


def parse_time(value: object) -> dt.datetime | None:
    """An RDAP ``eventDate`` as UTC: any fraction and offset; without a zone UTC is meant; None for anything else."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        when = dt.datetime.fromisoformat(_FRACTION.sub(r"\1", value.strip().upper().replace(" ", "T", 1)))
        return (when if when.tzinfo else when.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


def plain(raw: msgspec.Raw) -> Any:
    """The member as plain Python values, None when it was left out or is not JSON."""
    data = bytes(raw)
    if not data:
        return None
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def status_problem(status: int, headers: dict[str, str], *, authoritative: bool) -> RdapProblem:
    """What a status that is no 200 says (RFC 9083 section 6); a pause it asks for (RFC 7480 section 5.5) is kept."""
    after = headers.get("retry-after", "").strip()
    wait = min(int(after), 86_400) if after.isdigit() and len(after) < 9 else None
    if status == 404:
        return RdapProblem("not-found" if authoritative else "not-authoritative", status)
    if status in {401, 407}:
        return RdapProblem("unauthorised", status)
    if status == 429:
        return RdapProblem("rate-limited", status, wait)
    if status in {400, 403, 451}:
        return RdapProblem("refused", status)
    if status >= 500:
        return RdapProblem("server-error", status, wait)
    return RdapProblem("unexpected-status", status)


def nesting(body: bytes) -> int:
    """How deeply arrays and objects nest, found without building any; stops counting past the bound."""
    depth = deepest = 0
    for token in _TOKEN.finditer(body):
        mark = token.group()[:1]
        if mark in b"[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > NESTING:
                return deepest
        elif mark in b"]}":
            depth -= 1
    return deepest


def _name(members: _Domain) -> str | None:
    name = plain(members.ldhName)
    if not isinstance(name, str) or not name:
        name = plain(members.unicodeName)
    if not isinstance(name, str) or len(name) > 255:
        return None
    name = name.strip().rstrip(".").lower()
    if name.isascii():
        return name
    try:
        return str(can_ada.parse(f"http://{name}/").hostname)
    except ValueError:
        return None


def _registered(events: object) -> dt.datetime | None:
    for event in events[:100] if isinstance(events, list) else ():
        if isinstance(event, dict) and str(event.get("eventAction", "")).strip().lower() == "registration":
            when = parse_time(event.get("eventDate"))
            if when is not None:
                return when
    return None


def _registrar(entities: msgspec.Raw) -> tuple[str | None, str | None]:
    """(name, IANA id) of the entity whose role is registrar; no other entity's card is decoded."""
    try:
        heads = msgspec.json.decode(bytes(entities) or b"[]", type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None, None
    for raw in heads[:ENTITIES]:
        try:
            head = msgspec.json.decode(bytes(raw), type=_Head)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if "registrar" not in roles_of(plain(head.roles)):
            continue
        card = plain(head.vcardArray)
        name = jcard_text(card, "fn") or jcard_text(card, "org")
        if name is None:
            whole = plain(raw)
            name = jscontact(whole).name if isinstance(whole, dict) else None
        return _line(name), _iana_id(plain(head.publicIds))
    return None, None


def _iana_id(ids: object) -> str | None:
    for entry in ids[:20] if isinstance(ids, list) else ():
        if isinstance(entry, dict) and str(entry.get("type", "")).strip().lower() == "iana registrar id":
            return _line(entry.get("identifier"))
    return None


def _words(values: list[object]) -> tuple[str, ...]:
    found = [_line(value) for value in values[:32] if isinstance(value, str)]
    return tuple(dict.fromkeys(word.lower()[:64] for word in found if word))


def _line(value: object) -> str | None:
    """A value as one printable line of at most 200 characters, None when it is empty or no text."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return None
    return _SPACES.sub(" ", value[:400]).strip()[:200] or None
