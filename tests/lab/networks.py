"""Who holds the world's addresses: networks with an abuse desk, and every way in which one has none.

Between ``make_world``, which hands them to every plot, and ``internet/networks.py``, which acts them out as RDAP services
of address registries. A world without networks is one whose arke does not tell hosters.
"""

from __future__ import annotations

import ipaddress
from typing import get_args

from tests.lab.model import Network, NetworkStyle

STYLES: tuple[NetworkStyle, ...] = (*get_args(NetworkStyle), *("plain", "nested", "plain", "elsewhere") * 2)
"""In the order of the blocks: each once, then those that are common."""
TOLD = frozenset({"plain", "nested", "elsewhere"})
"""Styles whose abuse desk can be found."""
ABROAD = "198.51.100.0/24"
ILL = frozenset({"silent"})
"""Styles that stand at a service of their own, which is ill."""


def networks_of(tld: str) -> tuple[Network, ...]:
    """The hosts' /24 in networks of eight addresses, every style in turn; all of IPv6 is one plain network.

    The registry that questions are sent on to has a network of its own, or no bootstrap would name it.
    """
    blocks = ipaddress.ip_network("203.0.113.0/24").subnets(new_prefix=29)
    found = [
        Network(str(block), f"abuse@hoster-{number}.{tld}", STYLES[number % len(STYLES)])
        for number, block in enumerate(blocks)
    ]
    abroad = Network(ABROAD, f"abuse@hoster-abroad.{tld}", "plain")
    return (*found, abroad, Network("2001:db8::/32", f"abuse@hoster-six.{tld}", "plain"))


def network_of(networks: tuple[Network, ...], address: str) -> Network | None:
    """The network that holds an address."""
    parsed = ipaddress.ip_address(address)
    return next((network for network in networks if parsed in ipaddress.ip_network(network.block)), None)


def desk_of(networks: tuple[Network, ...], address: str) -> str | None:
    """The abuse desk that can be found for an address, or None."""
    network = network_of(networks, address)
    return network.abuse if network is not None and network.style in TOLD else None


def service_of(network: Network) -> int:
    """Which of the address registries the bootstrap names for it: 0; 1, to which 0 sends on; 2, which is ill."""
    return 2 if network.style in ILL else int(network.block == ABROAD)
