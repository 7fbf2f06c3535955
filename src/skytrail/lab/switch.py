"""FRR's configuration of the underlay's router, and which networks it has to do with. Pure.

It exchanges plain IPv4 routes with the control nodes: it is told workloads' addresses with their
hosts as next hops, and tells what lies behind it.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from skytrail.client.messages import JsonObject
from skytrail.lab.topology import Switch

FAMILIES = ["inet", "inet-vpn", "inet6-vpn", "e-vpn", "erm-vpn", "route-target"]
"""Of control nodes that exchange plain routes: what they speak anyway, and ``inet``."""

UNDERLAY = ["default-domain", "default-project", "ip-fabric"]
"""The network that stands for the underlay."""


def bgpd_config(
    switch: Switch, address: IPv4Address, peers: Iterable[IPv4Address], asn: int
) -> str:
    """Return bgpd's configuration; ``address`` is the router id."""
    controllers = list(peers)
    lines = [
        f"router bgp {switch.autonomous_system}",
        f" bgp router-id {address}",
        " no bgp ebgp-requires-policy",
        *(f" neighbor {peer} remote-as {asn}" for peer in controllers),
        *(f" neighbor {peer} timers connect 1" for peer in controllers),
        " address-family ipv4 unicast",
        f"  network {switch.outside}",
        # Two control nodes tell the same of a workload: one route, or two of equal cost.
        "  maximum-paths 4",
        " exit-address-family",
    ]
    return "\n".join(lines) + "\n"


def is_underlay(network: JsonObject) -> bool:
    """Tell whether the underlay routes a virtual network: it refers to ip-fabric."""
    references = network.get("virtual_network_refs")
    if not isinstance(references, list):
        return False
    return any(isinstance(each, dict) and each.get("to") == UNDERLAY for each in references)
