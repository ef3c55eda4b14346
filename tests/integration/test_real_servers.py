"""Our probes, mailer, signatures and data against the servers and tools the world runs, not against stand-ins of ours."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from arke.config import Smtp
from arke.mail.intake import forwarded
from arke.mail.smtp import Mailer
from arke.mail.template import KINDS, SHIPPED_LANGUAGES
from arke.zone import transfer
from arke.zone.zonecopy import Copy
from panopticond.model import DETAILS, OUTCOMES, Observation
from panopticond.probe.delegation import Delegations, ZonePolicy
from panopticond.probe.dnsclient import DnsClient
from panopticond.probe.guard import Guard
from panopticond.probe.web import WebLimits, WebProber, WebVantage, web_vantage
from panopticond.shared import minisign
from panopticond.shared.errors import FetchError
from panopticond.shared.records import read_tables
from panopticond.shared.snapshot import MANIFEST, RECORDS, SIGNATURE
from panopticond.shared.tables import TABLES
from tests.arke.mail.cases import case, compose, contact
from tests.arke.mail.mailserver import Server as Receiver
from tests.integration.made import Published, flip
from tests.lab import real

NOW = dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC)
HEAD = "$ORIGIN {0}.\n$TTL 60\n@ IN SOA ns1.nic.zz. hostmaster.nic.zz. 7 1800 900 1209600 60\n@ IN NS ns1.nic.zz.\n@ IN NS ns2.nic.zz.\n"
ZONES = {
    "zz": HEAD.format("zz")
    + "ns1.nic IN A 127.0.0.1\nns2.nic IN A 127.0.0.2\ncom IN NS ns1.nic\ncom IN NS ns2.nic\n"
    + "shop IN NS ns1.host.example.\nshop IN NS ns2.host.example.\nheld IN NS hold.nic.zz.\nhold.nic IN A 192.0.2.1\n"
    + "own IN A 192.0.2.7\nmail IN MX 10 mx.host.example.\nparked IN A 192.0.2.66\n",
    "com.zz": HEAD.format("com.zz") + "third IN NS ns1.host.example.\n",
    "ww": HEAD.format("ww") + "* IN A 192.0.2.9\nshop IN NS ns1.host.example.\n",
}
KIT = '<html><head><title>Sign in</title></head><body><form action="/go"><input type="text"><input type="password"></form></body></html>'


@pytest.fixture
def root() -> Iterator[Path]:
    with real.own_directory() as made:
        yield made


def need(*programs: str) -> None:
    """Skip, naming the package, unless these programs are installed; CI installs them all."""
    for program in programs:
        try:
            real.find(program)
        except real.MissingError as missing:
            pytest.skip(str(missing))


def known(observation: Observation) -> Observation:
    assert observation.outcome in OUTCOMES[observation.kind]
    assert set(observation.detail) <= set(DETAILS[observation.kind])
    assert observation.outcome != "indeterminate" or observation.detail["reason"]
    return observation


@pytest.fixture
async def delegations(root: Path) -> AsyncIterator[Delegations]:
    """Our probe on two addresses of an NSD that serves zz, its registry zone com.zz, and ww with a wildcard."""
    need("nsd")
    async with (
        real.nsd(root, ZONES) as servers,
        DnsClient(rate_per_server=float("inf"), timeout_seconds=2.0, attempts=2) as client,
    ):
        policies = {
            tld: ZonePolicy(
                tld,
                servers,
                frozenset({"com.zz"}) if tld == "zz" else frozenset(),
                frozenset({"hold.nic.zz"}),
                frozenset({"192.0.2.66"}),
            )
            for tld in ("zz", "ww")
        }
        yield Delegations(client, policies)


@pytest.mark.parametrize(
    ("host", "outcome", "owner"),
    [
        ("login.shop.zz", "delegated", "shop.zz"),
        ("shop.zz", "delegated", "shop.zz"),
        ("nobody.zz", "not-in-zone", "nobody.zz"),
        ("www.nobody.zz", "not-in-zone", None),
        ("held.zz", "held", "held.zz"),
        ("parked.zz", "held", "parked.zz"),
        ("own.zz", "delegated", "own.zz"),
        ("mail.zz", "not-in-zone", None),
        ("www.third.com.zz", "delegated", "third.com.zz"),
        ("gone.com.zz", "not-in-zone", None),
        ("shop.ww", "delegated", "shop.ww"),
        ("anything.ww", "not-in-zone", None),
    ],
)
async def test_delegations_of_a_real_nsd(delegations: Delegations, host: str, outcome: str, owner: str | None) -> None:
    """Referral, denial by two addresses, hold by server and by address, own records, third level, wildcard."""
    got = known(await delegations.check(host, host.rpartition(".")[2], NOW))
    assert got.outcome == outcome, got
    if owner is not None:
        assert got.detail["owner"] == owner
    if outcome == "not-in-zone":
        assert got.detail["agreeing"] == "2"
        assert got.detail["serial"] == "7"
    assert (got.detail.get("wildcard") == "1") == host.endswith(".ww")


def zone_at(serial: int) -> str:
    """A zone that loses a name, gains one, moves one and drops one of two servers with every serial."""
    names = "".join(f"name{at} IN NS ns1.host.example.\n" for at in range(serial, serial + 40))
    return (
        HEAD.format("zz").replace(" 7 ", f" {serial} ")
        + names
        + f"moving IN NS ns{serial}.host.example.\ntwo IN NS ns1.host.example.\n"
        + ("" if serial % 2 else "two IN NS ns2.host.example.\nown IN A 192.0.2.7\n")
        + f"own IN A 192.0.2.8\nnew{serial} IN A 192.0.2.9\n"
    )


async def reached(where: transfer.Server, serial: int, held: Copy | None = None) -> Copy:
    """The zone once the server gives this serial: while it takes a new one it resets connections or gives the old."""
    with trio.fail_after(20):
        while True:
            with contextlib.suppress(FetchError):
                if (found := await transfer.transfer(where, "zz", held)).serial == serial:
                    return found
            await trio.sleep(0.05)


async def test_a_zone_brought_forward_by_the_differences_of_a_real_nsd(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Signed IXFR, over one serial and over two, gives what AXFR gives."""
    need("nsd")
    caplog.set_level("INFO", "arke.zone.transfer")
    secret = base64.b64encode(b"k" * 32).decode()
    (root / "key").write_text(f"hmac-sha256:arke.:{secret}\n")
    (root / "key").chmod(0o600)
    async with real.nsd(root, {"zz": zone_at(10)}, secret) as servers:
        where = transfer.server(servers[0], str(root / "key"), 5.0)
        held = await transfer.transfer(where, "zz")
        for serials in ((11,), (12, 13)):
            for serial in serials:
                (root / "zone0").write_text(zone_at(serial))
                os.kill(int((root / "nsd.pidfile").read_text()), signal.SIGHUP)
                whole = await reached(where, serial)
            caplog.clear()
            held = await reached(where, serials[-1], held)
            assert caplog.records[-1].message.endswith("differences")
            assert held.zone().addresses == whole.zone().addresses
            assert {name: set(found) for name, found in held.servers.items()} == {
                name: set(found) for name, found in whole.servers.items()
            }


async def test_pages_of_a_real_nginx_through_a_real_squid(root: Path) -> None:
    """Live, gone and failed beside a good control; a refused password (407) says nothing of the site."""
    need("squid", "nginx")
    hosts = dict.fromkeys(("login.shop.zz", "control.zz", "dead.zz"), "127.0.0.1")
    (root / "good").write_text("lab:secret\n")
    (root / "bad").write_text("lab:wrong\n")
    async with (
        real.nginx(root, {"/": "<p>up</p>", "/kit/login.html": KIT}) as web,
        real.squid(root, user="lab", password="secret", hosts=hosts) as proxy,
    ):

        async def resolve(host: str) -> tuple[str, ...] | None:
            return (hosts[host],) if host in hosts else ()

        def vantage(name: str) -> WebVantage:
            address, control = f"http://127.0.0.1:{proxy}", f"http://control.zz:{web}/"
            return web_vantage(
                name=name, country="NZ", proxy=address, credentials_file=str(root / name), control_uri=control
            )

        probe = WebProber(
            [vantage(name) for name in ("good", "bad")],
            guard=Guard(("127.0.0.0/8",)),
            resolve=resolve,
            registered_domain=lambda host: ".".join(host.split(".")[-2:]),
            limits=WebLimits(connect_seconds=3.0, deadline_seconds=6.0, per_host_seconds=0.0),
        )

        async def look(uri: str, vantage: str = "good") -> Observation:
            (found,) = await probe.check(uri, "shop.zz", vantage, NOW, hold_pages=())
            return known(found)

        page = await look(f"http://login.shop.zz:{web}/kit/login.html")
        assert (page.outcome, page.detail["title"], page.detail["domain"]) == ("live", "Sign in", "shop.zz")
        gone = await look(f"http://login.shop.zz:{web}/kit/other.html")
        assert (gone.outcome, gone.detail["reason"]) == ("gone", "status-404")
        dead = await look(f"http://dead.zz:{real.free_port()}/kit/")
        assert (dead.outcome, dead.detail["control"]) == ("failed", "good")
        unknown = await look(f"http://nowhere.zz:{web}/kit/")
        assert unknown.outcome == "failed"
        refused = await look(f"http://login.shop.zz:{web}/kit/login.html", "bad")
        assert (refused.outcome, refused.detail["reason"]) == ("indeterminate", "proxy-407")


def test_minisign_verifies_ours_and_we_verify_its(published: Published, tmp_path: Path) -> None:
    """`minisign -V` accepts a published manifest and refuses a changed one; what it signs with our key, we accept."""
    need("minisign")
    program, key = real.find("minisign"), published.key
    manifest, signature = published.latest / MANIFEST, published.latest / SIGNATURE
    verify = [program, "-V", "-P", key.public.text, "-x", str(signature), "-m"]
    done = subprocess.run([*verify, str(manifest)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "serial" in done.stdout
    changed = tmp_path / MANIFEST
    changed.write_bytes(manifest.read_bytes())
    flip(changed)
    assert subprocess.run([*verify, str(changed)], capture_output=True, check=False).returncode != 0
    secret, theirs = tmp_path / "key", tmp_path / "theirs.minisig"
    secret.write_text(key.file_text)
    command = [program, "-S", "-s", str(secret), "-t", "a comment", "-x", str(theirs), "-m", str(changed)]
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    assert minisign.verify(changed.read_bytes(), theirs.read_text(), [key.public]) == "a comment"


def test_the_sqlite3_shell_loads_the_records(published: Published, tmp_path: Path) -> None:
    """`.read records.sql` gives a database with every table and as many rows as our own reader finds."""
    need("sqlite3")
    records, database = published.latest / RECORDS, tmp_path / "r.db"

    def shell(sql: str) -> str:
        command = [real.find("sqlite3"), "-bail", str(database), sql]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert shell(f".read {records}") == ""
    counts = " UNION ALL ".join(f"SELECT '{table}', count(*) FROM {table}" for table in TABLES)  # noqa: S608 - our names
    found = read_tables(records)
    assert shell(counts) == "".join(f"{table}|{len(found[table])}\n" for table in TABLES)
    joined = "SELECT u.uri, i.state FROM uri u JOIN incident i ON i.domain = u.domain WHERE u.validated = 1 ORDER BY 1"
    assert shell(joined) == "http://bad.zz/kit/|open\nhttp://worse.zz/kit/|open\n"


async def test_a_real_postfix_takes_our_mails(root: Path) -> None:
    """Two notices and a forwarded reply over one connection are queued and delivered under our Message-IDs."""
    need("postfix")
    if os.geteuid() != 0:
        pytest.skip("Postfix is started by root only")
    async with real.postfix(root) as server:
        settings = Smtp(host="127.0.0.1", sender="abuse@nic.zz", port=server.port, timeout="10s", helo="arke.nic.zz")
        notices = [compose(case(f"zz-2026-00000{number}"), contact(f"holder{number}@isp.example")) for number in (1, 2)]
        notices.append(forwarded(b"Subject: fixed\r\n\r\nDone.\r\n", "abuse@nic.zz", "manager@isp.example", NOW))
        async with Mailer(settings) as mailer:
            replies = [await mailer.send(notice) for notice in notices]
        assert [(reply.code, reply.phase) for reply in replies] == [(250, "sent")] * 3
        for notice in notices:
            await server.said("cleanup", f"message-id={notice.message_id}")
            await server.said(f"to=<{notice.recipient}>", "status=sent")


async def test_every_shipped_mail_comes_through_postfix_as_it_went_in(root: Path, nursery: trio.Nursery) -> None:
    """All kinds in all languages, digests too, handed on by Postfix: byte for byte the same below its own header."""
    need("postfix")
    if os.geteuid() != 0:
        pytest.skip("Postfix is started by root only")
    receiver = Receiver()
    made = [
        compose(about, kind=kind, language=language)
        for language in SHIPPED_LANGUAGES
        for kind in KINDS[:7]
        for about in (case(), [case("zz-2026-00000a"), case("zz-2026-00000b")])
    ]
    port = await receiver.start(nursery)
    async with real.postfix(root, relay=port) as server:
        async with Mailer(Smtp(host="127.0.0.1", port=server.port, sender="abuse@nic.zz", tls="none")) as mailer:
            for notice in made:
                assert (await mailer.send(notice)).phase == "sent"
        with trio.fail_after(60):
            while len(receiver.mails) < len(made):  # noqa: ASYNC110 - a list tells nobody
                await trio.sleep(0.05)
    came = sorted(re.sub(rb"\AReceived: .*\r\n(?:[ \t].*\r\n)*", b"", mail) for mail in receiver.mails)
    assert [re.sub(rb"(?m)^\.\.", b".", mail) for mail in came] == sorted(notice.message for notice in made)
    nursery.cancel_scope.cancel()
