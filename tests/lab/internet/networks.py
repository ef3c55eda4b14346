"""RDAP of the address registries: three services, of which one sends on to another and one is ill.

Anonymous, as the real ones are: whoever shows a credential here is answered with a desk that nobody should write to.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.lab.internet.http import FAULT, Handler, Reply
from tests.lab.internet.rdap import JSON, email, problem, with_card
from tests.lab.internet.state import Internet
from tests.lab.model import Network
from tests.lab.networks import network_of

LEAKED = "whoever-shows-an-account@hoster-none.zz"


def registry(state: Internet, number: int, ports: Callable[[], Sequence[int]]) -> Handler:
    """``/rdap/ip/<address>`` at the registry of this number; ``ports`` tells where all of them are."""

    def answer(method: str, target: str, headers: Mapping[str, str]) -> Reply:
        state.requests[f"rdap-ip-{number}"] += 1
        base, _, address = target.rpartition("/")
        if method != "GET" or base != "/rdap/ip":
            return problem(404, "no such path")
        network = network_of(state.world.networks, address)
        if network is None or network.style == "not-found":
            return problem(404, "not found")
        if network.style == "silent":
            return 200, {FAULT: "silent"}, b""
        if network.style == "html":
            return 200, {"Content-Type": "text/html"}, b"<html>welcome</html>"
        if network.style == "elsewhere" and number == 0:
            return 302, {"Location": f"http://127.0.0.1:{ports()[1]}{target}"}, b""
        body = _object(network)
        if "authorization" in headers:
            body["entities"] = [_abuse(LEAKED)]
        if network.style == "other-object":
            body |= {"startAddress": "198.51.100.0", "endAddress": "198.51.100.255"}
        return 200, JSON, json.dumps(body).encode()

    return answer


def _object(network: Network) -> dict[str, Any]:
    block = ipaddress.ip_network(network.block)
    holder = {
        "objectClassName": "entity",
        "handle": "ORG-1",
        "roles": ["registrant"],
        "vcardArray": with_card("Hosting"),
    }
    entities: list[dict[str, Any]] = [holder]
    match network.style:
        case "nested":
            holder["entities"] = [_abuse(network.abuse)]
        case "no-abuse":
            entities.append(_abuse(network.abuse) | {"roles": ["technical"]})
        case "redacted":
            text = "EMAIL REDACTED FOR PRIVACY"
            remark = {"title": text, "type": "object redacted due to authorization", "description": [text]}
            entities.append(_abuse(None) | {"remarks": [remark]})
        case _:
            entities.append(_abuse(network.abuse))
    return {
        "rdapConformance": ["rdap_level_0", "cidr0"],
        "objectClassName": "ip network",
        "handle": f"NET-{block.network_address}",
        "startAddress": str(block.network_address),
        "endAddress": str(block.broadcast_address),
        "ipVersion": f"v{block.version}",
        "entities": entities,
    }


def _abuse(address: str | None) -> dict[str, Any]:
    card = with_card("Abuse desk", *([email(address)] if address else []))
    return {"objectClassName": "entity", "handle": "ABUSE-1", "roles": ["abuse"], "vcardArray": card}
