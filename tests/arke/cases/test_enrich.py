"""arke.cases.enrich: whom to write to, from RDAP or a CSV, one domain at a time."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
import trio

from arke.cases.enrich import CsvSource, RdapSource, assemble, read_contacts, usable
from panopticond.shared.errors import PanopticonError
from panopticond.shared.http import Http
from panopticond.shared.rdap.domain import RdapDomain, RdapProblem


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("a.person@isp.zz", ""),
        ("A.Person@ISP.zz", ""),
        ("REDACTED FOR PRIVACY", "placeholder"),
        ("redacted@isp.zz", "placeholder"),
        ("Please query the RDDS service", "placeholder"),
        ("someone@example.com", "placeholder"),
        ("someone@nowhere.invalid", "placeholder"),
        ("two@at@isp.zz", "malformed"),
        ("no-at.isp.zz", "malformed"),
        ("a b@isp.zz", "malformed"),
        ("a@isp.zz\r\nBcc: x@y.zz", "malformed"),
        ("", "malformed"),
        ("abuse@nic.zz", "own"),
    ],
)
def test_only_an_address_is_an_address(address: str, problem: str) -> None:
    """Placeholders, redacted texts, malformed ones and the registry's own sender are none, each for its reason."""
    assert usable(address, ["Abuse@nic.zz"]) == problem


def test_a_registrars_contact_alone_leaves_the_holder_without_one() -> None:
    """The problem speaks of the holder; the registrar's abuse desk is still there for its own rung."""
    found = assemble("bad.zz", [("abuse", "abuse@reg.zz")], ["redacted"], source="rdap", own=[])
    assert (found.problem, [contact.role for contact in found.contacts]) == ("redacted", ["abuse"])
    assert assemble("bad.zz", [], [], source="rdap", own=[]).problem == "no-address"


def test_the_address_that_was_judged_is_the_one_written_to() -> None:
    """A sign that lower-casing would make plain stays what it is; the domain is kept as A-labels."""
    kelvin = assemble(
        "bad.zz", [("registrant", "\u212aelvin@ISP.zz"), ("technical", " t@b\u00fccher.zz ")], [], source="csv", own=[]
    )
    assert [contact.address for contact in kelvin.contacts] == ["\u212aelvin@isp.zz", "t@xn--bcher-kva.zz"]
    assert usable("Abuse@NIC.zz.", ["abuse@nic.zz"]) == "own"


@pytest.mark.parametrize("text", ['bad.zz,registrant,"' + "x" * 200_000, "bad.zz,registrant,a@isp.zz\nbad\rzz,x"])
def test_a_contacts_file_that_is_no_csv_is_a_sentence(text: str) -> None:
    """What the CSV reader cannot read names file and line."""
    with pytest.raises(PanopticonError, match=r"c\.csv:\d+: "):
        read_contacts(text, "c.csv")


def card(role: str, email: str | None) -> dict[str, object]:
    fields: list[list[object]] = [["version", {}, "text", "4.0"]]
    if email is not None:
        fields.append(["email", {}, "text", email])
    return {"objectClassName": "entity", "roles": [role], "vcardArray": ["vcard", fields]}


class Registry:
    """An RDAP server: bodies by name, each request's credentials and name, 429 the first time for names that say so."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.authorised: list[bool] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            request = b""
            while b"\r\n\r\n" not in request:
                request += await stream.receive_some(4096)
            name = request.split(b" ")[1].decode().rpartition("/")[2]
            self.asked.append(name)
            self.authorised.append(b"uthorization: Basic" in request)
            status, body = self._answer(name)
            head = f"HTTP/1.1 {status}\r\nretry-after: 0\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
            await stream.send_all(head.encode() + body)

    def _answer(self, name: str) -> tuple[str, bytes]:
        if name == "absent.zz":
            return "404 Not Found", b"{}"
        if name == "broken.zz" or (name == "busy.zz" and self.asked.count(name) == 1):
            return ("500 Oops", b"<html>") if name == "broken.zz" else ("429 Too many", b"<html>")
        if name == "html.zz":
            return "200 OK", b"<html>"
        email = {"bare.zz": None, "secret.zz": "REDACTED FOR PRIVACY"}.get(name, f"holder@{name}.isp.zz")
        answer = {
            "objectClassName": "domain", "ldhName": "other.zz" if name == "mixed.zz" else name,
            "events": [{"eventAction": "registration", "eventDate": "2020-01-02T03:04:05Z"}],
            "entities": [card("registrant", email)],
        }  # fmt: skip
        return "200 OK", json.dumps(answer).encode()


async def test_each_answer_is_for_the_name_asked_and_carries_nothing_over(nursery: trio.Nursery) -> None:
    """Good, empty, redacted, absent, busy, broken, HTML and another's object, asked together: each has its own answer."""
    registry = Registry()
    listeners = await nursery.start(functools.partial(trio.serve_tcp, registry.serve, 0, host="127.0.0.1"))
    url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/"
    source = RdapSource(Http("x"), url, auth=("arke", "p"), rate_per_second=1000, timeout_seconds=5, own=[])
    found = {}

    async def ask(name: str) -> None:
        found[name] = await source.contacts(name)

    names = ["good", "bare", "secret", "absent", "busy", "broken", "html", "mixed"]
    async with trio.open_nursery() as asking:
        for name in names:
            asking.start_soon(ask, f"{name}.zz")
    told = {name: (found[f"{name}.zz"].problem, [c.address for c in found[f"{name}.zz"].contacts]) for name in names}
    assert told == {
        "good": ("", ["holder@good.zz.isp.zz"]),
        "bare": ("missing", []),
        "secret": (told["secret"][0], []),
        "absent": ("rdap-not-found", []),
        "busy": ("", ["holder@busy.zz.isp.zz"]),
        "broken": ("rdap-server-error", []),
        "html": ("rdap-not-json", []),
        "mixed": ("rdap-other-object", []),
    }
    assert told["secret"][0] in ("redacted", "placeholder")
    assert found["good.zz"].registered_at is not None
    assert all(registry.authorised)
    assert await source.canary("good.zz") == ""
    assert "bare.zz" in await source.canary("bare.zz")
    assert "holder" not in repr(found["good.zz"])
    nursery.cancel_scope.cancel()


async def test_a_registration_is_asked_for_once_and_a_429_is_heeded(nursery: trio.Nursery) -> None:
    """No contact is decoded; after a 429 the server is not asked at all until the pause is over."""
    registry = Registry()
    listeners = await nursery.start(functools.partial(trio.serve_tcp, registry.serve, 0, host="127.0.0.1"))
    url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/"
    source = RdapSource(Http("x"), url, auth=None, rate_per_second=1000, timeout_seconds=5, own=[])
    good = await source.registration("good.zz")
    assert isinstance(good, RdapDomain)
    assert good.registered is not None
    assert good.contacts == ()
    busy = await source.registration("busy.zz")
    assert isinstance(busy, RdapProblem)
    assert busy.reason == "rate-limited"
    assert await source.registration("good.zz") == RdapProblem("rate-limited")
    assert registry.asked == ["good.zz", "busy.zz"]
    nursery.cancel_scope.cancel()


async def test_a_csv_serves_where_there_is_no_rdap(tmp_path: Path) -> None:
    """Rows by domain, a header skipped, a changed file read again; a bad row is named with its line."""
    path = tmp_path / "contacts.csv"
    path.write_text("domain,role,email\nbad.zz,registrant,a@isp.zz\nBAD.zz.,technical,b@isp.zz\n")
    source = CsvSource(path, [])
    assert [contact.address for contact in (await source.contacts("bad.zz")).contacts] == ["a@isp.zz", "b@isp.zz"]
    assert (await source.contacts("other.zz")).problem == "no-address"
    path.write_text("other.zz,registrant,longer@isp.zz\n")
    assert len((await source.contacts("other.zz")).contacts) == 1
    for word in ("chief", "manager", "hoster"):
        with pytest.raises(PanopticonError, match=":2:"):
            read_contacts(f"a.zz,registrant,a@b.zz\na.zz,{word},a@b.zz\n", "f")
