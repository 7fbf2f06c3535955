"""Which vRouters get copies of what a network's members send to everybody. Pure.

Each vRouter with members publishes an inclusive multicast route (RFC 7432 section 7.3): a layer 2
route of the broadcast MAC with its own tunnel address, whose label leads into the VRF.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, ip_network

from skytrail.agent.fib import LearntRoute
from skytrail.agent.interface import link_local
from skytrail.agent.port_rows import ENCAPSULATION_TEXTS
from skytrail.agent.tables import Encapsulation, IpNetwork
from skytrail.agent.view import LOCAL_PREFERENCE_ACTIVE, VirtualNetwork
from skytrail.net import BROADCAST_MAC, GATEWAY_MAC, Label, Vni
from skytrail.wire.xmpp import EnetKey, NextHop, Route, RouteAttributes

OUTER_BYTES = {Encapsulation.MPLS_GRE: 42, Encapsulation.MPLS_UDP: 46, Encapsulation.VXLAN: 50}
"""Outer header with its Ethernet header."""
_BROADCAST_BITS_MAX = 30


def inclusive_key(address: IPv4Address) -> EnetKey:
    """Return the key of a vRouter's inclusive multicast route."""
    return EnetKey(BROADCAST_MAC, ip_network(address))


def inclusive_route(
    network: VirtualNetwork, label: int, offer: tuple[IPv4Address, tuple[Encapsulation, ...]]
) -> Route:
    """Return the route that asks for copies; ``offer``: our tunnel address and encapsulations."""
    address, kinds = offer
    next_hop = NextHop(
        address=address,
        label=Label(label),
        vni=Vni(network.vni),
        encapsulations=tuple(ENCAPSULATION_TEXTS[kind] for kind in kinds),
        virtual_network=network.name,
    )
    attributes = RouteAttributes(local_preference=LOCAL_PREFERENCE_ACTIVE)
    return Route(inclusive_key(address), (next_hop,), attributes)


def flooded_hops(
    offers: Iterable[LearntRoute], network: str, own: IPv4Address
) -> Iterator[tuple[NextHop, IPv4Address]]:
    """Yield the way to each vRouter or router that has members of this very network.

    Networks that may talk to each other import each other's routes; none floods the other.
    """
    for learnt in offers:
        for hop in learnt.next_hops:
            address = hop.address
            if hop.virtual_network == network and isinstance(address, IPv4Address):
                if address != own:
                    yield hop, address
                break


def own_addresses(network: VirtualNetwork) -> set[IpNetwork]:
    """Gateways and service addresses, as host prefixes."""
    addresses = {
        address
        for subnet in network.subnets
        for address in (subnet.gateway, subnet.service_address)
        if address is not None
    }
    if any(subnet.prefix.version == 6 for subnet in network.subnets):
        addresses.add(link_local(GATEWAY_MAC))
    return {ip_network(address) for address in addresses}


def broadcast_addresses(network: VirtualNetwork) -> set[IPv4Network]:
    """Return what means everybody in a subnet; point-to-point ones (RFC 3021) have none."""
    return {
        IPv4Network(subnet.prefix.broadcast_address)
        for subnet in network.subnets
        if isinstance(subnet.prefix, IPv4Network) and subnet.prefix.prefixlen <= _BROADCAST_BITS_MAX
    }
