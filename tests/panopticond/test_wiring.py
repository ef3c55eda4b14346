"""What a configuration asks for is what is asked: resolvers over TLS and HTTPS, proven by the authority it names."""

from __future__ import annotations

import base64
import datetime as dt
import struct
from pathlib import Path

import pytest
import trio
from cryptography.hazmat.primitives.serialization import Encoding

from panopticond.config import Config, Dns, Quad9, StoreSettings, Tld, Vantage
from panopticond.model import Observation, Round, Subject
from panopticond.status.components import Components
from panopticond.wiring import assemble
from tests.panopticond.probe.standin import Asked
from tests.panopticond.webservers import answer, certificate, listen, over_tls, site

NOW = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
SUBJECT = Subject(1, None, "www.bad.zz", "bad.zz", "zz", "registered", ("phishing",))


def unfiltered(asked: Asked) -> bytes:
    return asked.reply(ra=True, answer=[f"{asked.name}. 300 A 192.0.2.7"] if asked.kind == "A" else [])


def filtered(asked: Asked) -> bytes:
    return asked.reply(rcode=3, ede=15)


async def dot(stream: trio.abc.Stream) -> None:
    """The filtering resolver, as RFC 7858 has it: a length before every message, many on one connection."""
    async with stream:
        while True:
            head = await stream.receive_some(2)
            if len(head) < 2:
                return
            wire = filtered(Asked(bytes(await stream.receive_some(struct.unpack("!H", head)[0])), "tls"))
            await stream.send_all(struct.pack("!H", len(wire)) + wire)


def doh(path: str, headers: dict[str, str]) -> bytes:
    """The unfiltered one, as RFC 8484 has it."""
    assert headers["accept"] == "application/dns-message"
    packet = base64.urlsafe_b64decode(path.partition("?dns=")[2] + "==")
    return answer(200, unfiltered(Asked(packet, "https")), content_type="application/dns-message")


async def asked(nursery: trio.Nursery, folder: Path, *, trusted: str) -> list[Observation]:
    """Both questions of a round about a host, with resolvers certified as ``good`` and the authority trusted."""
    context, known, _ = certificate("localhost", folder)
    _, other, _ = certificate("localhost", folder)
    authority = folder / "authority.pem"
    authority.write_bytes({"good": known, "other": other}[trusted].public_bytes(Encoding.PEM))
    over_https = await listen(nursery, over_tls(site(doh), context))
    over_stream = await listen(nursery, over_tls(dot, context))
    config = Config(
        tld=(Tld(name="zz", suffixes=("zz",)),),
        vantage=(Vantage("near", "NZ"), Vantage("far", "DE")),
        quad9=Quad9(
            filtered=(f"tls://127.0.0.1:{over_stream}#localhost",),
            unfiltered=(f"https://localhost:{over_https}/dns-query",),
            ca_file=str(authority),
            rate=1e6,
        ),
        dns=Dns(timeout="2s", attempts=1),
        store=StoreSettings(str(folder / "p.db")),
    )
    async with assemble(config) as parts:
        resolvers = parts.resolvers
        return [
            await resolvers.address(SUBJECT.host, "zz", NOW),
            await resolvers.blocked(SUBJECT.host, NOW),
        ]


async def test_resolvers_over_tls_and_https_by_configuration(nursery: trio.Nursery, tmp_path: Path) -> None:
    """Proven by the authority that the configuration names, both say what they say over UDP."""
    address, quad9 = await asked(nursery, tmp_path, trusted="good")
    assert (address.outcome, address.detail["addresses"]) == ("resolves", "192.0.2.7")
    assert (quad9.outcome, quad9.detail["signals"]) == ("blocked", "ede ra0 no-authority")


async def test_a_resolver_that_cannot_prove_itself_is_not_believed(nursery: trio.Nursery, tmp_path: Path) -> None:
    """A certificate of another authority: could not check, with the reason, and status names both resolvers."""
    seen = await asked(nursery, tmp_path, trusted="other")
    assert [(one.kind, one.outcome, one.detail) for one in seen] == [
        ("address", "indeterminate", {"reason": "tls"}),
        ("quad9", "indeterminate", {"reason": "tls"}),
    ]
    components = Components()
    for _ in range(5):
        components.hear(SUBJECT, Round(NOW, tuple(seen)))
    told = " ".join(components.wrong())
    assert "Quad9: 5 of the last 5 checks had no answer (tls)" in told
    assert "unfiltered resolver: 5 of the last 5 checks had no answer (tls)" in told


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
def test_an_authority_that_is_none_is_told_by_the_configuration(text: str, tmp_path: Path) -> None:
    """Before anything runs, by its path; a missing file too."""
    from panopticond.config import check

    file = tmp_path / "ca.pem"
    file.write_text(text)
    for path, what in ((file, "holds no certificate"), (tmp_path / "none", "No such file or directory")):
        config = Config(
            tld=(Tld(name="zz"),),
            vantage=(Vantage("near", "NZ"), Vantage("far", "DE")),
            quad9=Quad9(ca_file=str(path)),
        )
        assert check(config) == [f"quad9.ca_file: {path}: {what}"]
