"""RDAP objects as registries really send them: read tolerantly, never a contact unless asked, problems have words."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
import trio

from panopticond.shared.http import Http
from panopticond.shared.rdap.domain import RdapContact, RdapDomain, RdapProblem, fetch_domain, parse_domain, parse_time
from tests.panopticond.webservers import answer, listen, site

HTTP = Http("panopticon-test/1")


def entity(*roles: str, properties: list[Any] | None = None, **members: Any) -> dict[str, Any]:
    card = ["vcard", [["version", {}, "text", "4.0"], ["fn", {}, "text", "A Person"], *(properties or [])]]
    return {"objectClassName": "entity", "roles": list(roles), "vcardArray": card} | members


def email(address: str, **parameters: Any) -> list[Any]:
    return ["email", parameters, "text", address]


REGISTRAR = entity(
    "registrar",
    publicIds=[{"type": "IANA Registrar ID", "identifier": "9999"}],
    entities=[entity("abuse", properties=[email("abuse@registrar.zz")])],
)


def domain(**members: Any) -> bytes:
    found = {
        "objectClassName": "domain",
        "ldhName": "Login-Bank.CO.zz.",
        "status": ["active", "Client Transfer Prohibited", "active"],
        "events": [
            {"eventAction": "expiration", "eventDate": "2027-11-19T03:12:00Z"},
            {"eventAction": "registration", "eventDate": "2026-11-19T03:12:00.123456789+02:00"},
        ],
        "entities": [entity("registrant", "administrative", properties=[email("owner@isp.zz", pref="1")]), REGISTRAR],
    }
    return json.dumps(found | members).encode()


def read(body: bytes, *, contacts: bool = True) -> RdapDomain:
    found = parse_domain(body, "login-bank.co.zz", with_contacts=contacts)
    assert isinstance(found, RdapDomain), found
    return found


def test_a_whole_object() -> None:
    """Date, statuses, registrar and every role's contact, the nested abuse contact included."""
    found = read(domain())
    assert found.registered == dt.datetime(2026, 11, 19, 1, 12, 0, 123456, tzinfo=dt.UTC)
    assert found.statuses == ("active", "client transfer prohibited")
    assert (found.registrar, found.registrar_id) == ("A Person", "9999")
    assert found.contacts == (
        RdapContact("registrant", "owner@isp.zz"),
        RdapContact("administrative", "owner@isp.zz"),
        RdapContact("registrar", None, "missing"),
        RdapContact("abuse", "abuse@registrar.zz"),
    )


def test_without_contacts_there_are_none() -> None:
    """Unasked, nothing of a contact is in the result."""
    found = read(domain(), contacts=False)
    assert found.contacts == ()
    assert "owner" not in repr(found)


@pytest.mark.parametrize(
    ("one", "email_or_none", "problem"),
    [
        (entity("registrant", properties=[email("b@b.zz"), email("a@a.zz", pref="1")]), "a@a.zz", ""),
        (entity("registrant", properties=[email("mailto:a@a.zz", type=["work"])]), "a@a.zz", ""),
        (entity("registrant", properties=[["email", {}, "text"], email("a@a.zz")]), "a@a.zz", ""),
        (entity("registrant", properties=[["contact-uri", {}, "uri", "mailto:a@a.zz?subject=x"]]), "a@a.zz", ""),
        (entity("registrant", properties=[["contact-uri", {}, "uri", "https://r.zz/c"]]), None, "contact-uri"),
        (entity("registrant", properties=[email("REDACTED FOR PRIVACY")]), None, "redacted"),
        (entity("registrant", properties=[email("redacted@registry.zz")]), None, "redacted"),
        (entity("registrant", properties=[email("Please query the RDDS")]), None, "placeholder"),
        (entity("registrant", properties=[email("noreply@example.com")]), None, "placeholder"),
        (entity("registrant", properties=[email("x@y.invalid")]), None, "placeholder"),
        (entity("registrant", properties=[email("a@b@c.zz")]), None, "placeholder"),
        (entity("registrant", properties=[email("a@b.zz\r\nBcc: c@d.zz")]), None, "placeholder"),
        (entity("registrant", properties=[email("")]), None, "missing"),
        (entity("registrant"), None, "missing"),
        (entity("registrant", status=["private"]), None, "redacted"),
        (entity("registrant", remarks=[{"title": "EMAIL REDACTED FOR PRIVACY"}]), None, "redacted"),
        (entity("registrant", remarks=[{"type": "object redacted due to authorization"}]), None, "redacted"),
        (entity("registrant", vcardArray=None), None, "missing"),
        (entity("registrant", vcardArray=[["email", {}, "text", "a@a.zz"]]), "a@a.zz", ""),
        ({"roles": ["registrant"], "vcards": ["vcard", [email("a@a.zz")]]}, "a@a.zz", ""),
        ({"roles": "registrant", "vcardArray": ["vcard", [email("a@a.zz")]]}, "a@a.zz", ""),
        ({"vcardArray": ["vcard", [["role", {}, "text", "Registrant"], email("a@a.zz")]]}, "a@a.zz", ""),
        ({"roles": ["registrant"], "jscard": {"emails": {"e": {"address": "a@a.zz"}}}}, "a@a.zz", ""),
        (
            {"roles": ["registrant"], "jscontact_card": {"links": {"l": {"kind": "contact", "uri": "https://r.zz"}}}},
            None,
            "contact-uri",
        ),
    ],
)
def test_contacts(one: dict[str, Any], email_or_none: str | None, problem: str) -> None:
    """An address, or the reason there is none; never a placeholder."""
    assert read(domain(entities=[one])).contacts == (RdapContact("registrant", email_or_none, problem),)


def test_rfc9537_redaction_is_seen() -> None:
    """An entry of ``redacted`` that names the role explains the missing address; another role's does not."""
    entry = {"name": {"description": "Technical Email"}, "prePath": "$.entities[?(@.roles[0]=='technical')]"}
    found = read(domain(entities=[entity("technical"), entity("billing")], redacted=[entry]))
    assert [contact.problem for contact in found.contacts] == ["redacted", "missing"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>oops</html>", "not-json"),
        (b"", "not-json"),
        (b"[]", "not-json"),
        (b"{}", "other-object"),
        (domain(ldhName="other.zz"), "other-object"),
        (domain(objectClassName="entity"), "other-object"),
        (domain(x=json.loads("[" * 40 + "]" * 40)), "too-deep"),
        (b'{"a":' * 200_000, "too-deep"),
        (b" " * ((1 << 20) + 1), "too-large"),
    ],
)
def test_no_domain(body: bytes, reason: str) -> None:
    """What is not the domain asked for has a reason, however it is malformed."""
    assert parse_domain(body, "login-bank.co.zz") == RdapProblem(reason, 200)


@pytest.mark.parametrize(
    "members",
    [
        {"events": None, "entities": None, "status": None},
        {"events": [1, {"eventAction": 5}], "entities": [1, None, {}], "status": [None, 7]},
        {"events": {"x": 1}, "entities": {"x": 1}, "status": "active"},
        {"entities": [entity("registrant")] * 5000},
        {"entities": [entity("registrar", publicIds="x", vcardArray=["vcard"])]},
    ],
)
def test_malformed_members_cost_themselves_only(members: dict[str, Any]) -> None:
    """Wrong types in a member leave the rest of the object readable, and entities are bounded."""
    found = read(domain(**members))
    assert found.name == "login-bank.co.zz"
    assert len(found.contacts) <= 100


def test_names_may_be_unicode() -> None:
    """A server that gives the U-label only is still recognised."""
    body = json.dumps({"objectClassName": "domain", "unicodeName": "M\u00fcmlat.zz"}).encode()
    assert isinstance(parse_domain(body, "xn--mmlat-kva.zz"), RdapDomain)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05+00:00"),
        ("2026-01-02 03:04:05.5+01:00", "2026-01-02T02:04:05.500000+00:00"),
        ("2026-01-02", "2026-01-02T00:00:00+00:00"),
        ("yesterday", None),
        ("0001-01-01T00:00:00+14:00", None),
        (17, None),
    ],
)
def test_times(text: object, wanted: str | None) -> None:
    """Every form seen becomes UTC; anything else is no time."""
    when = parse_time(text)
    assert (when.isoformat() if when else None) == wanted


async def test_fetch(nursery: trio.Nursery) -> None:
    """Statuses become words, Retry-After is kept, credentials are sent at once, and not to another origin."""
    seen: list[dict[str, str]] = []
    table = {
        "a": answer(200, domain(ldhName="a.zz")),
        "b": answer(404, b"<html>"),
        "c": answer(429, retry_after="120"),
        "d": answer(500, b"<html>"),
        "e": answer(401),
        "f": answer(302, location="http://127.0.0.1:1/domain/f.zz"),
        "g": answer(403),
        "h": answer(200, b"x" * (2 << 20)),
    }

    def serve(path: str, headers: dict[str, str]) -> bytes:
        seen.append(headers)
        return table[path.removeprefix("/rdap/domain/").removesuffix(".zz")]

    base = f"http://127.0.0.1:{await listen(nursery, site(serve))}/rdap/"
    reasons = {}
    for name in table:
        found = await fetch_domain(HTTP, base, f"{name}.zz", auth=("arke", "x"), deadline_seconds=5)
        reasons[name] = found.reason if isinstance(found, RdapProblem) else found.name
        if name == "c":
            assert found == RdapProblem("rate-limited", 429, 120)
    assert reasons == {
        "a": "a.zz",
        "b": "not-found",
        "c": "rate-limited",
        "d": "server-error",
        "e": "unauthorised",
        "f": "redirect-refused",
        "g": "refused",
        "h": "too-large",
    }
    assert all(headers["authorization"] == "Basic YXJrZTp4" for headers in seen)
    found = await fetch_domain(HTTP, base, "b.zz", authoritative=False)
    assert found == RdapProblem("not-authoritative", 404)
