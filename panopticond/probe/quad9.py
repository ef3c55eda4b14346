"""Does the host resolve, and does the filtering resolver block it? Two resolvers asked directly, told from each other.

Second and third probe of a round. Never asked through a local resolver: that rebuilds the RA bit and the authority
section by which a block is told from a real NXDOMAIN. Signals and rule: docs/reference; RFC 8914 for extended errors.
"""

from __future__ import annotations

import csv
import datetime as dt
import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from importlib import resources
from urllib.parse import urlsplit

import trio

from panopticond.model import Observation
from panopticond.probe.dnsclient import Answer, NoAnswer
from panopticond.probe.dnsstream import Asker

_BLOCK_ERRORS = frozenset({15, 16, 17})
"""Blocked, Censored, Filtered (RFC 8914 4.16 to 4.18)."""
_QUAD9 = tuple(ipaddress.ip_network(text) for text in ("9.9.9.0/24", "149.112.112.0/24", "2620:fe::/48"))
_IDENTITY, _NODES = "id.server", ".rrdns.pch.net"
"""What Quad9's nodes answer to ``id.server`` in class CH by its documentation: ``resNNN.SITE.rrdns.pch.net``."""
_RCODES = {0: "noerror", 1: "formerr", 2: "servfail", 3: "nxdomain", 4: "notimp", 5: "refused"}
_ADDRESSES_SHOWN = 16

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def is_quad9(server: str) -> bool:
    """Whether a configured resolver is one of Quad9's own, by its published addresses and names."""
    if server.startswith("https://"):
        host = urlsplit(server).hostname or ""
        return host.startswith("dns") and host.endswith(".quad9.net")
    address = server.rpartition("//")[2].partition("#")[0].rpartition(":")[0].strip("[]")
    try:
        return any(ipaddress.ip_address(address) in network for network in _QUAD9)
    except ValueError:
        return False


def shipped_sinkholes() -> tuple[str, ...]:
    """The networks of known sinkholes as shipped, with the null addresses."""
    text = resources.files("panopticond.probe").joinpath("data/sinkholes.csv").read_text(encoding="utf-8")
    return tuple(row["network"] for row in csv.DictReader(_rows(text)))


class Resolvers:
    """The filtering resolver and its unfiltered twin, ``address:port`` (or tcp, tls, https) texts each, tried in order.

    ``sinkholes`` are addresses or networks beyond those shipped; ``hold_ip`` is, by TLD, where the registry sends held
    names; ``canary`` is a name the filter is known to block; ``known_nodes`` tells the filtering resolvers that must
    name a node of Quad9's when asked who they are.
    """

    def __init__(
        self,
        client: Asker,
        *,
        filtered: Sequence[str],
        unfiltered: Sequence[str],
        sinkholes: Iterable[str] = (),
        hold_ip: Mapping[str, frozenset[str]] | None = None,
        canary: str = "isitblocked.org",
        known_nodes: Callable[[str], bool] = is_quad9,
    ) -> None:
        self._client = client
        self._filtered, self._unfiltered = tuple(filtered), tuple(unfiltered)
        self._sinkholes: tuple[Network, ...] = tuple(
            ipaddress.ip_network(text) for text in (*shipped_sinkholes(), *sinkholes)
        )
        self._hold_ip = dict(hold_ip or {})
        self._canary = canary
        self._named = tuple(server for server in self._filtered if known_nodes(server))

    async def address(self, host: str, tld: str, now: dt.datetime) -> Observation:
        """Whether ``host`` resolves, unfiltered, and where to; at policy time ``now``; never raises."""
        answers: dict[str, Answer | NoAnswer] = {}

        async def ask(kind: str) -> None:
            answers[kind] = await self._first(self._unfiltered, host, kind)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "A", name=f"resolve {host} A")
            nursery.start_soon(ask, "AAAA", name=f"resolve {host} AAAA")
        pair = [answers["A"], answers["AAAA"]]
        good = [answer for answer in pair if isinstance(answer, Answer) and answer.rcode in (0, 3)]
        addresses = [record.data for answer in good for record in answer.answer if record.kind in ("A", "AAAA")]
        chain = list(dict.fromkeys(r.data for answer in good for r in answer.answer if r.kind == "CNAME"))
        detail = {"cname": " ".join(chain[:_ADDRESSES_SHOWN])} if chain else {}
        if good:
            detail["rcode"] = _RCODES[good[0].rcode]
        if addresses:
            return self._resolved(host, tld, now, list(dict.fromkeys(addresses)), detail)
        if len(good) == 2 or any(answer.rcode == 3 for answer in good):
            detail["reason"] = "nxdomain" if any(answer.rcode == 3 for answer in good) else "nodata"
            return Observation("address", host, "direct", now, "no-address", detail)
        detail["reason"] = next(_failure(answer) for answer in pair if answer not in good)
        return Observation("address", host, "direct", now, "indeterminate", detail)

    def resolving(self, now: Callable[[], dt.datetime]) -> Callable[[str], Awaitable[tuple[str, ...] | None]]:
        """From a host to its addresses: none where it has none, None where nobody could be asked. For other probes."""

        async def resolve(host: str) -> tuple[str, ...] | None:
            seen = await self.address(host, host.rpartition(".")[2], now())
            return None if seen.outcome == "indeterminate" else tuple(seen.detail.get("addresses", "").split())

        return resolve

    def _resolved(
        self, host: str, tld: str, now: dt.datetime, addresses: list[str], detail: dict[str, str]
    ) -> Observation:
        detail["addresses"] = " ".join(addresses[:_ADDRESSES_SHOWN])
        outcome = "resolves"
        if set(addresses) <= self._hold_ip.get(tld, frozenset()):
            detail["reason"] = "hold-ip"
        elif all(self._is_sinkhole(address) for address in addresses):
            outcome = "sinkhole"
        return Observation("address", host, "direct", now, outcome, detail)

    async def blocked(self, host: str, now: dt.datetime) -> Observation:
        """Whether the filtering resolver blocks ``host``, at policy time ``now``; never raises."""
        got = await self._first(self._filtered, host, "A")
        outcome, detail = await self._judge_block(got, host)
        return Observation("quad9", host, "direct", now, outcome, detail)

    async def _judge_block(self, got: Answer | NoAnswer, host: str) -> tuple[str, dict[str, str]]:
        if isinstance(got, NoAnswer):
            return "indeterminate", {"reason": got.reason}
        detail = {"rcode": _RCODES.get(got.rcode, str(got.rcode))}
        signals = _signals(got)
        if signals:
            detail["signals"] = " ".join(signals)
        if "ede" in signals:
            # The announced model of blocking, whatever the rcode: the resolver says so itself.
            return "blocked", detail
        if got.rcode == 0:
            return "not-blocked", detail
        if got.rcode != 3:
            # SERVFAIL of a validating resolver is a broken DNSSEC chain as often as an outage; it is no block.
            return "indeterminate", {**detail, "reason": _failure(got)}
        if got.aa:
            return "indeterminate", {**detail, "reason": "intercepted"}
        if not signals:
            return "absent", detail
        if len(signals) >= 2:
            return "blocked", detail
        twin = await self._first(self._unfiltered, host, "A")
        if isinstance(twin, NoAnswer) or twin.rcode not in (0, 3):
            return "indeterminate", {**detail, "reason": "unconfirmed"}
        if twin.rcode == 0:
            return "blocked", {**detail, "signals": f"{detail['signals']} unfiltered"}
        return "absent", detail

    async def self_test(self, now: dt.datetime) -> list[str]:
        """What no longer looks as documented, a sentence each; empty when blocks and denials can be told apart."""
        problems = []
        canary = await self.blocked(self._canary, now)
        if canary.outcome != "blocked":
            problems.append(
                f"The filtering resolver does not block its canary {self._canary} ({canary.outcome}"
                f"{_because(canary)}): blocks can no longer be told; check quad9.filtered and the path to it."
            )
        label = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(20))
        name = f"{label}.{self._canary.rpartition('.')[2]}"
        unused = await self.blocked(name, now)
        if unused.outcome != "absent":
            problems.append(
                f"The filtering resolver does not call a name nobody has absent ({unused.outcome}{_because(unused)}): "
                "its answers are rewritten on the way, or its behaviour has changed."
            )
        return problems + [problem for server in self._named if (problem := await self._identity(server)) is not None]

    async def _identity(self, server: str) -> str | None:
        """A sentence when something else than a node of Quad9's answers for it; silence is told elsewhere."""
        got = await self._client.query(server, _IDENTITY, "TXT", recursion=False, klass="CH")
        if isinstance(got, NoAnswer):
            return None
        said = [record.data for record in got.answer if record.kind == "TXT"]
        if any(name.rstrip(".").endswith(_NODES) for name in said):
            return None
        return (
            f"{server} does not say that it is a node of Quad9's ({(said or ['no answer'])[0][:60]}): "
            "something on the path answers in its place."
        )

    async def _first(self, servers: Sequence[str], host: str, kind: str) -> Answer | NoAnswer:
        """The first conclusive answer of the resolvers in order; else the last of what they said."""
        got: Answer | NoAnswer = NoAnswer("", "no-servers")
        for server in servers:
            got = await self._client.query(server, host, kind, recursion=True)
            if isinstance(got, Answer) and (got.rcode in (0, 3) or _BLOCK_ERRORS & set(got.ede)):
                break
        return got

    def _is_sinkhole(self, address: str) -> bool:
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self._sinkholes)


def _rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


def _failure(answer: Answer | NoAnswer) -> str:
    return answer.reason if isinstance(answer, NoAnswer) else _RCODES.get(answer.rcode, f"rcode-{answer.rcode}")


def _signals(got: Answer) -> list[str]:
    """The signs of a block in an answer of the filtering resolver."""
    signs = {
        "ede": bool(_BLOCK_ERRORS & set(got.ede)),
        "ra0": got.rcode == 3 and not got.ra,
        "no-authority": got.rcode == 3 and not got.authority,
    }
    return [word for word, seen in signs.items() if seen]


def _because(observation: Observation) -> str:
    reason = observation.detail.get("reason")
    return f", {reason}" if reason else ""
