"""Which vRouters get copies of what a network's members send to everybody. Pure.

Each vRouter with members publishes an inclusive multicast route (RFC 7432 section 7.3): a layer 2
route of the broadcast MAC with its own tunnel address, whose label leads into the VRF.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Network, ip_network

from skytrail.agent.fib import LearntRoute
from skytrail.agent.interface import link_local
from skytrail.agent.network_config import VirtualNetwork
from skytrail.agent.port_config import LOCAL_PREFERENCE_ACTIVE
from skytrail.agent.port_rows import ENCAPSULATION_TEXTS
from skytrail.agent.tables import (
    FLOOD_MEMBERS_COUNT_MAX,
    FLOOD_RELAYED,
    Encapsulation,
    FloodRow,
    IpNetwork,
    NextHopId,
    VrfId,
)
from skytrail.net import BROADCAST_MAC, GATEWAY_MAC, IpAddress, Label, Vni
from skytrail.wire.xmpp import (
    BROADCAST_TREE,
    EnetKey,
    JoinTree,
    NextHop,
    Route,
    RouteAttributes,
    TreeBranch,
)

OUTER_BYTES = {Encapsulation.MPLS_GRE: 42, Encapsulation.MPLS_UDP: 46, Encapsulation.VXLAN: 50}
"""Outer header with its Ethernet header."""
ON_TREE = "overlay-tree"
"""Community of an inclusive multicast route whose vRouter gets copies by the network's tree too."""
_BROADCAST_BITS_MAX = 30


def inclusive_key(address: IpAddress) -> EnetKey:
    """Return the key of a vRouter's inclusive multicast route."""
    return EnetKey(BROADCAST_MAC, ip_network(address))


Offer = tuple[IpAddress, tuple[Encapsulation, ...]]
"""Our tunnel address and encapsulations."""


def inclusive_routes(
    network: VirtualNetwork,
    label: int,
    offer: Offer,
    replicator: IpAddress | None,
    *,
    is_on_tree: bool = False,
) -> dict[EnetKey, Route]:
    """Return the routes that ask for copies; ``offer``: our tunnel address and encapsulations.

    Who is on the network's tree says so, for others on it send it nothing else. A replicator is no
    leaf, and offers by a second route to copy what comes to its other address.
    """
    address = offer[0]
    next_hop = copies_hop(network, label, offer)
    attributes = RouteAttributes(
        local_preference=LOCAL_PREFERENCE_ACTIVE,
        communities=(ON_TREE,) if is_on_tree else (),
        replication_leaf=has_replicators(network) and replicator is None,
    )
    asking = Route(inclusive_key(address), (next_hop,), attributes)
    routes = {inclusive_key(address): asking}
    if replicator is not None and has_replicators(network):
        key, hop = inclusive_key(replicator), replace(next_hop, address=replicator)
        routes[key] = Route(key, (hop,), replace(attributes, replicates=True))
    return routes


def copies_hop(network: VirtualNetwork, label: int, offer: Offer) -> NextHop:
    """Return where copies for our members of a network go."""
    address, kinds = offer
    return NextHop(
        address=address,
        label=Label(label),
        vni=Vni(network.vni),
        encapsulations=tuple(ENCAPSULATION_TEXTS[kind] for kind in kinds),
        virtual_network=network.name,
    )


def has_replicators(network: VirtualNetwork) -> bool:
    """Tell whether leaves of the network have copies made for them.

    Of what is for an unknown MAC a replicator makes no copies (RFC 9574 section 5.2).
    """
    return network.floods_assisted and not network.floods_unknown


def relayed(ways: Iterable[Way]) -> list[Way]:
    """Return the same ways for a replicator, which copies between all of them."""
    return [(hop, far, mark | FLOOD_RELAYED) for hop, far, mark in ways]


def tree_join(instance: str, label: int, offer: Offer) -> JoinTree | None:
    """Return our membership of a network's tree; None: there is no MPLS to be one by."""
    address, kinds = offer
    names = tuple(ENCAPSULATION_TEXTS[kind] for kind in kinds if kind is not Encapsulation.VXLAN)
    if not names:
        return None
    return JoinTree(instance, BROADCAST_TREE, address, Label(label), Label(label), names)


Way = tuple[NextHop, IpAddress, int]
"""How a copy goes to another host or router, to which address, and a mark for the label."""


def ways_out(
    offers: Iterable[LearntRoute],
    network: VirtualNetwork,
    own: IpAddress,
    branch: TreeBranch | None,
) -> list[Way]:
    """Return the way of each copy: to neighbours in a tree, and to all whom that does not reach."""
    ways = [
        (hop, far, 0)
        for learnt, hop, far in members_of(offers, network, own)
        if not learnt.replicates and (branch is None or ON_TREE not in learnt.communities)
    ]
    for edge in branch.edges if branch is not None else ():
        hop = NextHop(edge.address, edge.label, encapsulations=edge.encapsulations)
        ways.append((hop, edge.address, FLOOD_RELAYED))
    return ways


def flood_row(
    vrf_id: VrfId,
    members: Sequence[tuple[NextHopId, int]],
    network: VirtualNetwork,
    *,
    snoops: bool = False,
) -> FloodRow:
    """Return the row for members in order; those beyond the bound are left out, and counted."""
    kept = tuple(members[:FLOOD_MEMBERS_COUNT_MAX])
    beyond = len(members) - len(kept)
    return FloodRow(vrf_id, kept, beyond, network.floods_unknown, snoops)


def replicators(
    offers: Iterable[LearntRoute], network: VirtualNetwork, own: IpAddress
) -> list[Way]:
    """Return who copies for others (RFC 9574), in the order in which this host prefers them.

    Each host has an order of its own, so that they share the work.
    """
    found = [
        (hop, far, 0) for learnt, hop, far in members_of(offers, network, own) if learnt.replicates
    ]
    return sorted(found, key=lambda way: hashlib.blake2b(own.packed + way[1].packed).digest())


def members_of(
    offers: Iterable[LearntRoute], network: VirtualNetwork, own: IpAddress
) -> Iterator[tuple[LearntRoute, NextHop, IpAddress]]:
    """Yield the way to each vRouter or router that has members of this very network.

    Networks that may talk to each other import each other's routes; none floods the other.
    """
    for learnt in offers:
        for hop in learnt.next_hops:
            address = hop.address
            if hop.virtual_network == network.name and address.version == own.version:
                if address != own:
                    yield learnt, hop, address
                break


def out_of_reach(
    offers: Iterable[LearntRoute], network: VirtualNetwork, own: IpAddress
) -> Iterator[IpAddress]:
    """Yield the vRouters and routers that ask for copies at an address of the other IP version."""
    for learnt in offers:
        for hop in learnt.next_hops:
            if hop.virtual_network == network.name and hop.address.version != own.version:
                yield hop.address


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
