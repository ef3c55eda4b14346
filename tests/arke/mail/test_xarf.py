"""Every report we attach against the published XARF v4 schemas, as the package of the standard's own project has them."""

import functools
import importlib.util
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from referencing import Registry, Resource

from arke.mail.assemble import usable_address
from arke.mail.xarf import encode, reports
from arke.model import Place
from panopticond.model import THREATS
from tests.arke.mail.cases import NOW, SIGHT, case, indicator

MASTER = "https://xarf.org/schemas/v4/xarf-v4-master.json"
HOSTS = ["evil.zz", "login.evil.com.zz", "xn--evl-rma.zz", "a--b.zz", "_dmarc.evil.zz", "xn--90ae.xn--p1ai", "1.zz"]
URIS = [
    "https://evil.zz/",
    "http://evil.zz:8080/a b",
    "https://evil.zz/ü?q={x}|y#",
    "http://evil.zz/%zz",
    "http://evil.zz:0/",
    "https://evil.zz/[1]\\^`",
]


@functools.cache
def validator() -> jsonschema.Draft202012Validator:
    """The master schema with all it refers to; formats (uri, email, date-time, uuid) are checked as far as known."""
    spec = importlib.util.find_spec("xarf")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "schemas"
    documents = [json.loads(path.read_text()) for path in folder.rglob("*.json")]
    registry: Registry[Any] = Registry().with_resources(
        [(document["$id"], Resource.from_contents(document)) for document in documents]
    )
    master = next(document for document in documents if document["$id"] == MASTER)
    return jsonschema.Draft202012Validator(
        master, registry=registry, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


def faults(report: dict[str, Any]) -> list[str]:
    """What the schema says against a report, read back from the very bytes that are attached."""
    return [error.message for error in validator().iter_errors(json.loads(encode(report)))]


@given(
    threats=st.lists(st.sampled_from(THREATS), min_size=1, max_size=4, unique=True),
    uri=st.none() | st.sampled_from(URIS),
    host=st.sampled_from(HOSTS),
    registrar=st.none() | st.text(min_size=1, max_size=300),
    organisation=st.text(min_size=1, max_size=300),
    sights=st.integers(0, 3),
    looked=st.booleans(),
    address=st.none() | st.sampled_from(["203.0.113.7", "2001:db8::7"]),
)
def test_every_report_is_valid(
    threats: list[Any],
    uri: str | None,
    host: str,
    registrar: str | None,
    organisation: str,
    sights: int,
    looked: bool,
    address: str | None,
) -> None:
    """Whatever threat, host, URI, registrar, evidence and address a case has, its reports validate.

    To a hoster the source is the address in its network, to everybody else the host.
    """
    item = indicator(
        uri, host=host, threats=tuple(threats), evidence=(SIGHT,) * sights, last_active=NOW if looked else None
    )
    places = (Place(host, address, NOW),) if address is not None else ()
    about = case(indicators=(item,), registrar=registrar)
    made = reports(about, organisation=organisation, contact="abuse@nic.zz", now=NOW, places=places)
    assert len(made) == 1
    assert made[0]["source_identifier"] == (address or host)
    assert faults(made[0]) == []


@pytest.mark.parametrize("address", ["abuse@nic.zz", "abuse+zz@xn--nc-rka.zz"])
def test_the_reporter_is_an_address(address: str) -> None:
    """The sender's address stands in the report as a schema's e-mail."""
    assert usable_address(address) == address
    assert [faults(report) for report in reports(case(), organisation="x", contact=address, now=NOW)] == [[]]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("xarf_version", "3"),
        ("report_id", "zz"),
        ("category", "weather"),
        ("type", "rain"),
        ("url", None),
        ("reporter", {"org": "x"}),
        ("domain", "xn--evl-rma.zz"),
        ("evidence", [{"payload": "x"}]),
    ],
)
def test_the_schemas_refuse_what_is_wrong(key: str, value: object) -> None:
    """The check can fail: a report made wrong in one place is refused."""
    report = reports(case(), organisation="x", contact="abuse@nic.zz", now=NOW)[0]
    assert faults(report) == []
    report = report | {key: value}
    if value is None:
        del report[key]
    assert faults(report)
