"""A small world on documentation addresses, real ports and no ``allow_networks``: run inside a network namespace.

``unshare -rn python -m tests.lab.namespace [SEED]`` prints one JSON line. A root, two TLD servers, a resolver and web
hosts stand on addresses of RFC 5737; the seed says of each host whether it lives, is dead, or leads by address, alias or
redirect to where no probe may go. Traps listen there; exit 1 when an outcome is not the seed's or a trap was touched.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path

import trio

from panopticond.config import Config, Dns, Quad9, Registration, StoreSettings, Tld, Tranco, Validation, Vantage
from panopticond.config import check as problems
from panopticond.judge.verdict import Listing, judge
from panopticond.model import Round, Subject
from panopticond.probe.round import Extras
from panopticond.wiring import assemble
from tests.panopticond.probe.standin import Asked, serve
from tests.panopticond.webservers import answer, site

HOSTS = 60
ROOT, TLD, RESOLVER = "192.0.2.1", ("192.0.2.2", "192.0.2.3"), "192.0.2.53"
WEB, CONTROL, SILENT = "198.51.100.10", "198.51.100.250", "203.0.113.77"
TRAPS = {
    "127.0.0.1": "loopback",
    "10.0.0.1": "private",
    "169.254.169.254": "metadata",
    "100.64.0.1": "shared-address-space",
    "192.168.7.7": "private",
    "::1": "loopback",
    "fd00:ec2::254": "metadata",
    "fd12:3456::7": "private",
}
"""Where no probe may go, and the guard's word for it."""
CARRIED = {"::ffff:127.0.0.1": "mapped-loopback", "64:ff9b::a00:1": "nat64-private"}
"""Other spellings of such an address: nothing can listen there, the refusal is all there is to see."""
KINDS: dict[str, tuple[str, str, str]] = {
    # kind: (what each vantage sees of the URI, the reason, the state after one round); the guard's word is the trap's
    "live": ("live", "", "active"),
    "gone": ("gone", "status-404", "unreachable"),
    "refusing": ("failed", "refused", "unreachable"),
    "address": ("indeterminate", "guard", "indeterminate"),
    "alias": ("indeterminate", "guard", "indeterminate"),
    "redirect": ("gone", "redirect-forbidden", "unreachable"),
    "redirect-by-name": ("gone", "redirect-forbidden", "unreachable"),
    "unregistered": ("", "", "mitigated-dns"),
}
PAGE = b"<html><head><title>Sign in</title></head><body><form><input type=password></form></body></html>"


class World:
    """The truth: what each host of ``d<n>.zz`` is, and where its trap is."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(seed)
        kinds = [*KINDS, *dice.choices(list(KINDS), k=HOSTS - len(KINDS))]
        self.kinds = {f"d{at}.zz": kind for at, kind in enumerate(kinds)}
        self.traps = {name: dice.choice([*TRAPS, *CARRIED]) for name in self.kinds}
        self.touched: Counter[str] = Counter()

    def root(self, asked: Asked) -> bytes:
        """The root knows zz and nothing else."""
        if not asked.name.endswith("zz"):
            return asked.reply(rcode=3, aa=True, authority=[". 300 SOA a. b. 1 1 1 1 300"])
        glue = [f"ns{at}.zz. 300 A {address}" for at, address in enumerate(TLD)]
        names = [f"zz. 300 NS ns{at}.zz." for at in range(len(TLD))]
        return asked.reply(authority=names, additional=glue)

    def registry(self, asked: Asked) -> bytes:
        """A referral for every registered name."""
        domain = ".".join(asked.name.split(".")[-2:])
        if self.kinds.get(domain, "unregistered") != "unregistered":
            return asked.reply(authority=[f"{domain}. 300 NS ns1.host.example."])
        return asked.reply(rcode=3, aa=True, authority=["zz. 300 SOA ns.zz. x.zz. 7 1 1 1 300"])

    def resolver(self, asked: Asked) -> bytes:
        """Addresses by kind; ``trap.d<n>.zz`` is where an alias or a redirect leads."""
        domain = ".".join(asked.name.split(".")[-2:])
        kind = self.kinds.get(domain)
        if kind in (None, "unregistered"):
            return asked.reply(rcode=3, ra=True, authority=["zz. 300 SOA ns.zz. x.zz. 7 1 1 1 300"])
        trap, trapped = self.traps[domain], asked.name.startswith("trap.") or kind in ("address", "alias")
        if asked.kind != ("AAAA" if trapped and ":" in trap else "A"):
            return asked.reply(ra=True, authority=["zz. 300 SOA ns.zz. x.zz. 7 1 1 1 300"])
        if kind == "alias" and not asked.name.startswith("trap."):
            chain = [f"{asked.name}. 300 CNAME trap.{domain}.", f"trap.{domain}. 300 {asked.kind} {trap}"]
            return asked.reply(ra=True, answer=chain)
        if trapped:
            return asked.reply(ra=True, answer=[f"{asked.name}. 300 {asked.kind} {trap}"])
        return asked.reply(ra=True, answer=[f"{asked.name}. 300 A {SILENT if kind == 'refusing' else WEB}"])

    def page(self, path: str, headers: dict[str, str]) -> bytes:
        """The web host of every name."""
        domain = ".".join(headers["host"].split(".")[-2:])
        kind = self.kinds.get(domain, "")
        if kind.startswith("redirect"):
            trap = self.traps[domain]
            literal = f"[{trap}]" if ":" in trap else trap
            where = literal if kind == "redirect" else f"trap.{domain}"
            return answer(302, location=f"http://{where}/latest/meta-data/")
        return answer(200, PAGE) if kind == "live" and path == "/kit/" else answer(404, b"<title>404</title>")

    async def trap(self, address: str, stream: trio.abc.Stream) -> None:
        """Somebody came."""
        self.touched[address] += 1
        await stream.aclose()


def configuration(folder: Path) -> Config:
    """As in production: nothing of a lab in it."""
    vantages = tuple(
        Vantage(name, country, control_uri=f"http://{CONTROL}/") for name, country in (("near", "NZ"), ("far", "DE"))
    )
    config = Config(
        tld=(Tld(name="zz", suffixes=("zz",)),),
        vantage=vantages,
        validation=Validation(per_host_seconds=0.01, connect_timeout="1s", probe_deadline="3s"),
        dns=Dns(roots=(f"{ROOT}:53",), rate_per_server=1000.0, timeout="500ms"),
        quad9=Quad9(filtered=(f"{RESOLVER}:53",), unfiltered=(f"{RESOLVER}:53",), rate=1000.0),
        tranco=Tranco(enabled=False),
        registration=Registration(enabled=False),
        store=StoreSettings(str(folder / "p.db")),
    )  # fmt: skip
    assert problems(config) == []
    assert not config.lab
    return config


async def run(seed: int) -> dict[str, object]:
    """Start the world, check every host once, and compare with the seed."""
    world, wrong = World(seed), list[str]()
    async with trio.open_nursery() as nursery:
        await serve(nursery, world.root, address=ROOT, port=53)
        for address in TLD:
            await serve(nursery, world.registry, address=address, port=53)
        await serve(nursery, world.resolver, address=RESOLVER, port=53)
        await nursery.start(partial(trio.serve_tcp, site(world.page), 80, host=WEB))
        good = site(lambda _path, _headers: answer(200, b"ok"))
        await nursery.start(partial(trio.serve_tcp, good, 80, host=CONTROL))
        for address in TRAPS:
            for port in (80, 443):
                await nursery.start(partial(trio.serve_tcp, partial(world.trap, address), port, host=address))
        with tempfile.TemporaryDirectory(prefix="namespace-") as folder:
            async with assemble(configuration(Path(folder))) as parts:
                for at, (domain, kind) in enumerate(world.kinds.items()):
                    subject = Subject(
                        at, f"http://www.{domain}/kit/", f"www.{domain}", domain, "zz", "registered", ("phishing",)
                    )
                    round_, _ = await parts.prober.check(subject, None, Extras(), parts.clock.now)
                    wrong += _compare(kind, world.traps[domain], subject, round_)
        nursery.cancel_scope.cancel()
    kinds = Counter(world.kinds.values())
    words = TRAPS | CARRIED
    refused = Counter(words[world.traps[name]] for name, kind in world.kinds.items() if kind in ("address", "alias"))
    return {
        "seed": seed,
        "hosts": HOSTS,
        "kinds": dict(kinds),
        "refused": dict(refused),
        "wrong": wrong,
        "touched": dict(world.touched),
    }


def _compare(kind: str, trap: str, subject: Subject, round_: Round) -> list[str]:
    outcome, reason, state = KINDS[kind]
    if reason == "guard":
        reason = f"guard-{(TRAPS | CARRIED)[trap]}"
    found = judge(subject, [round_], Listing()).state
    own = [seen for seen in round_.of("web") if "twin" not in seen.detail]
    wrong = [] if found == state else [f"{subject.domain} ({kind}): {found}, not {state}"]
    wrong += [
        f"{subject.domain} ({kind}): {seen.vantage} {seen.outcome} {seen.detail.get('reason', '')}"
        for seen in (own if outcome else ())
        if seen.outcome != outcome or seen.detail.get("reason", "") != reason
    ]
    return wrong if len(own) == (2 if outcome else 0) else [*wrong, f"{subject.domain} ({kind}): {len(own)} answers"]


def main(arguments: list[str]) -> int:
    """Bring the addresses up and run; only ever inside a namespace of its own."""
    if (
        any(name.name != "lo" for name in Path("/sys/class/net").iterdir())
        and Path("/proc/net/route").read_text().count("\n") > 1
    ):
        print("namespace: this host has a network; say unshare -rn python -m tests.lab.namespace", file=sys.stderr)
        return 2
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in (ROOT, *TLD, RESOLVER, WEB, CONTROL, SILENT, *TRAPS):
        if address not in (
            "127.0.0.1",
            "::1",
        ):  # there already; an IPv6 address is good at once without a search for twins
            width = ["/128", "nodad"] if ":" in address else ["/32"]
            subprocess.run(["ip", "address", "add", address + width[0], "dev", "lo", *width[1:]], check=True)
    found = trio.run(run, int(arguments[0]) if arguments else 1)
    print(json.dumps(found))
    return 1 if found["wrong"] or found["touched"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
