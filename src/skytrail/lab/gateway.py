"""FRR's configuration as a gateway of one virtual network. Pure.

EVPN prefix routes over VXLAN (RFC 9136): the gateway has the network's routes in a VRF of its own,
which is a network namespace, and tells the network what lies outside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

from skytrail.client.messages import JsonObject

VRF = "outside"
"""What FRR calls the namespace."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The virtual network as the gateway must know it."""

    asn: int
    vni: int
    target: str
    """Route target as ``<AS>:<number>``."""


def router_mac(address: IPv4Address) -> str:
    """Return the MAC of the gateway's bridge, by which it is a router to others."""
    return ":".join(f"{byte:02x}" for byte in b"\x02\x67" + address.packed)


def joined(network: JsonObject, instance: JsonObject) -> Joined | None:
    """Read a virtual network and its routing instance; None while the compiler is not done."""
    vni = network.get("virtual_network_network_id")
    targets = instance.get("route_target_refs")
    if not isinstance(vni, int) or not isinstance(targets, list) or not targets:
        return None
    match targets[0]:
        case {"to": [str(name)]}:
            target = name.removeprefix("target:")
            return Joined(int(target.partition(":")[0]), vni, target)
        case _:
            return None


def zebra_config(joined: Joined) -> str:
    # Tunnel end points are reached by the default route, which FRR does not believe by itself.
    return f"ip nht resolve-via-default\nvrf {VRF}\n vni {joined.vni}\nexit-vrf\n"


def bgpd_config(address: IPv4Address, controllers: Iterable[IPv4Address], joined: Joined) -> str:
    peers = list(controllers)
    lines = [
        f"router bgp {joined.asn}",
        f" bgp router-id {address}",
        " no bgp default ipv4-unicast",
        *(f" neighbor {peer} remote-as {joined.asn}" for peer in peers),
        *(f" neighbor {peer} timers connect 1" for peer in peers),
        " address-family l2vpn evpn",
        *(f"  neighbor {peer} activate" for peer in peers),
        "  advertise-all-vni",
        " exit-address-family",
        f"router bgp {joined.asn} vrf {VRF}",
        f" bgp router-id {address}",
        " address-family ipv4 unicast",
        "  redistribute connected",
        " exit-address-family",
        " address-family l2vpn evpn",
        "  advertise ipv4 unicast",
        f"  route-target import {joined.target}",
        f"  route-target export {joined.target}",
        " exit-address-family",
    ]
    return "\n".join(lines) + "\n"
