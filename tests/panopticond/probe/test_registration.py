"""The registration probe against a loopback RDAP server."""

from __future__ import annotations

import datetime as dt
import json

import trio

from panopticond.model import DETAILS
from panopticond.probe.registration import RdapServer, Registrations
from panopticond.shared.http import Http
from tests.panopticond.webservers import answer, listen, site

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
BODY = {
    "objectClassName": "domain",
    "ldhName": "shop.zz",
    "status": ["active", "server hold"],
    "events": [{"eventAction": "registration", "eventDate": "2020-05-06T07:08:09Z"}],
    "entities": [
        {
            "roles": ["registrar"],
            "vcardArray": ["vcard", [["fn", {}, "text", "Example Registrar"]]],
            "publicIds": [{"type": "IANA Registrar ID", "identifier": "9999"}],
        },
        {"roles": ["registrant"], "vcardArray": ["vcard", [["email", {}, "text", "owner@isp.zz"]]]},
    ],
}


async def test_outcomes(nursery: trio.Nursery) -> None:
    """Registered with its facts and no contact, nonexistent, and everything else indeterminate with a reason."""
    asked: list[str] = []

    def serve(path: str, _headers: dict[str, str]) -> bytes:
        asked.append(path)
        return {
            "/domain/shop.zz": answer(200, json.dumps(BODY).encode()),
            "/domain/none.zz": answer(404),
            "/domain/other.zz": answer(200, json.dumps(BODY).encode()),
            "/domain/html.zz": answer(200, b"<html>"),
            "/domain/broken.zz": answer(500),
        }.get(path, answer(429, retry_after="600"))

    url = f"http://127.0.0.1:{await listen(nursery, site(serve))}/"
    servers = {"zz": RdapServer(url), "yy": RdapServer(url, authoritative=False)}
    probe = Registrations(Http("panopticon-test/1"), servers, rate_per_second=1000)
    found = await probe.check("shop.zz", "zz", NOW)
    assert found.outcome == "registered"
    assert found.detail == {
        "server": url.split("/")[2],
        "registered": "2020-05-06T07:08:09Z",
        "status": "active,server hold",
        "registrar": "Example Registrar",
        "registrar_id": "9999",
    }
    assert set(found.detail) <= set(DETAILS["registration"])
    assert (await probe.check("none.zz", "zz", NOW)).outcome == "nonexistent"
    for name, tld, reason in (
        ("other.zz", "zz", "other-object"),
        ("html.zz", "zz", "not-json"),
        ("broken.zz", "zz", "server-error"),
        ("none.zz", "yy", "not-authoritative"),
        ("shop.xx", "xx", "no-rdap"),
        ("busy.zz", "zz", "rate-limited"),
    ):
        found = await probe.check(name, tld, NOW)
        assert (found.outcome, found.detail["reason"]) == ("indeterminate", reason)
    before = len(asked)
    assert (await probe.check("shop.zz", "zz", NOW)).detail["reason"] == "rate-limited"
    assert len(asked) == before
