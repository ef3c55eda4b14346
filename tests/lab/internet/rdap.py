"""RDAP twice: public without contacts, and the registry's own that shows them to the right credentials only.

Like permissive real servers (protocols.md 5.4), the registry's answers a bad or missing credential with a redacted 200.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from panopticond.shared.clock import rfc3339
from tests.lab.internet.http import Reply
from tests.lab.internet.state import Internet
from tests.lab.model import Party, Registration

CREDENTIALS = "arke:lab-rdap"
REGISTRY = ("registry", "reddog")
CROWDED = 10
"""Each so manieth question to RedDog comes while too many others are asked."""
JSON = {"Content-Type": "application/rdap+json"}
CANARY = "nic"
"""``nic.<tld>``: a name whose contact must come back."""


class Rdap:
    """``/public/domain/<name>``, ``/registry/domain/<name>`` and ``/reddog/domain/<name>``.

    ``reddog`` behaves as NICMx's server does: wrong credentials get a 200 whose private fields are gone, with a remark;
    no RFC 9537; names that are not lower case are refused; now and then a container's 429 page without Retry-After.
    """

    def __init__(self, state: Internet) -> None:
        self._state = state
        self._asked: Counter[str] = Counter()

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> Reply:
        parts = target.partition("?")[0].strip("/").split("/")
        self._state.requests[f"rdap-{parts[0]}"] += 1
        if method != "GET" or len(parts) != 3 or parts[0] not in ("public", *REGISTRY) or parts[1] != "domain":
            return problem(404, "no such path")
        reddog = parts[0] == "reddog"
        if reddog and parts[2] != parts[2].lower():
            return problem(400, "a mixture of labels")
        if reddog and self._state.requests["rdap-reddog"] % CROWDED == 0:
            return 429, {"Content-Type": "text/html"}, b"<html>Too many simultaneous requests!</html>"
        name = parts[2].lower()
        expected = "Basic " + base64.b64encode(CREDENTIALS.encode()).decode()
        private = parts[0] in REGISTRY and headers.get("authorization") == expected
        if name in (f"{CANARY}.{tld}" for tld in self._state.world.tlds):
            return self._object(name, _canary(name), private=private, reddog=reddog)
        domain = self._state.domains.get(name)
        registration = domain.registration if domain else None
        if registration is None:
            if name not in self._state.registered:
                return problem(404, "not found")
            registration = Registration(registered=self._state.world.start.replace(year=2019))
        if not registration.found:
            return problem(404, "not found")
        if parts[0] in REGISTRY:
            trouble = self._trouble(name, registration)
            if trouble is not None:
                return trouble
        return self._object(name, registration, private=private, reddog=reddog)

    def _trouble(self, name: str, registration: Registration) -> Reply | None:
        self._asked[name] += 1
        if registration.trouble == "429-once" and self._asked[name] == 1:
            return (
                429,
                {"Content-Type": "text/html", "Retry-After": "1"},
                b"<html>Too many simultaneous requests!</html>",
            )
        if registration.trouble == "500":
            return 500, {"Content-Type": "text/html"}, b"<html>error</html>"
        if registration.trouble == "html":
            return 200, {"Content-Type": "text/html"}, b"<html>welcome</html>"
        if registration.trouble == "other-object":
            other = Registration(
                parties=(Party(("registrant",), f"somebody-else@mail.other-{name.split('.', maxsplit=1)[0]}.example"),)
            )
            return self._object("other-" + name, other, private=True)
        return None

    def _object(self, name: str, registration: Registration, *, private: bool, reddog: bool = False) -> Reply:
        entities = [_registrar(registration)]
        redacted: list[dict[str, Any]] = []
        if private:
            for number, party in enumerate(registration.parties):
                entities.append(_entity(party, number))
                if party.style == "redacted-9537":
                    redacted.append({"name": {"description": f"{party.roles[0]} email"}, "method": "removal"})
        elif reddog:
            entities += [_without_privates(_entity(party, number)) for number, party in enumerate(registration.parties)]
        events = []
        if registration.registered is not None:
            events.append({"eventAction": "registration", "eventDate": rfc3339(registration.registered)})
        body = {
            "rdapConformance": ["rdap_level_0"] if reddog else ["rdap_level_0", "redacted"],
            "objectClassName": "domain",
            "handle": f"D-{name}",
            "ldhName": name,
            "status": list(registration.statuses),
            "events": events,
            "entities": entities,
        }
        if not reddog:
            body["redacted"] = redacted
        return 200, JSON, json.dumps(body).encode()


def _without_privates(entity: dict[str, Any]) -> dict[str, Any]:
    """What RedDog leaves of an entity for somebody it does not know."""
    text = "Some of the data in this object has been removed"
    remark = {"title": "Data Policy", "type": "object truncated due to authorization", "description": [text]}
    return {key: value for key, value in entity.items() if key != "vcardArray"} | {
        "vcardArray": with_card(""),
        "status": ["private"],
        "remarks": [remark],
    }


def _canary(name: str) -> Registration:
    return Registration(parties=(Party(("registrant",), f"canary@registry-{name.replace('.', '-')}.example"),))


def problem(status: int, title: str) -> Reply:
    """An error body (RFC 9083 section 6)."""
    return status, JSON, json.dumps({"errorCode": status, "title": title, "description": []}).encode()


def with_card(name: str, *properties: list[Any]) -> list[Any]:
    """A jCard with a name and further properties."""
    return ["vcard", [["version", {}, "text", "4.0"], ["fn", {}, "text", name], *properties]]


def email(address: str) -> list[Any]:
    """A jCard's e-mail property."""
    return ["email", {"type": "work", "pref": "1"}, "text", address]


def _registrar(registration: Registration) -> dict[str, Any]:
    entity: dict[str, Any] = {
        "objectClassName": "entity",
        "handle": "R-1",
        "roles": ["registrar"],
        "publicIds": [{"type": "IANA Registrar ID", "identifier": "9999"}],
        "vcardArray": with_card(registration.registrar),
    }
    if registration.registrar_abuse:
        abuse = with_card("Abuse desk", email(registration.registrar_abuse))
        entity["entities"] = [{"objectClassName": "entity", "roles": ["abuse"], "vcardArray": abuse}]
    return entity


def _entity(party: Party, number: int) -> dict[str, Any]:
    entity: dict[str, Any] = {"objectClassName": "entity", "handle": f"C-{number}", "roles": list(party.roles)}
    if party.style == "plain":
        entity["vcardArray"] = with_card("A Person", email(party.address))
    elif party.style == "placeholder":
        entity["vcardArray"] = with_card("A Person", email("REDACTED FOR PRIVACY"))
    elif party.style == "contact-uri":
        entity["vcardArray"] = with_card("A Person", ["contact-uri", {}, "uri", "https://registrar.example/contact"])
    else:
        entity["vcardArray"] = with_card("A Person")
    if party.style == "redacted-remark":
        text = "EMAIL REDACTED FOR PRIVACY"
        entity["remarks"] = [{"title": text, "type": "object redacted due to authorization", "description": [text]}]
    return entity
