"""Inclusive multicast: who gets copies of what members of a network send to everybody.

To agents it is a layer 2 route of the broadcast MAC with the address of the vRouter that wants the
copies; to BGP peers an EVPN route of type 3 with ingress replication (RFC 7432 sections 7.3, 11.2),
or with assisted replication where it leads to somebody who copies for others (RFC 9574).
"""

from __future__ import annotations

from ipaddress import ip_network

from skytrail.control.bgp_values import UNNAMED_ENCAPSULATION, label_of_raw, raw_label
from skytrail.control.path import Path, is_martian
from skytrail.control.vrf import InstanceConfig
from skytrail.net import BROADCAST_MAC, IpAddress, RouteDistinguisher, RouteTarget, Vni
from skytrail.wire.bgp import InclusiveMulticast, PmsiTunnel
from skytrail.wire.bgp.attributes import PmsiFlag, TunnelType
from skytrail.wire.xmpp import EnetKey, NextHop, RouteAttributes, RouteKey

_LABEL_USABLE_MIN = 16
_ROLE = PmsiFlag.REPLICATOR | PmsiFlag.LEAF
_SELECTIVE = _ROLE | PmsiFlag.LEAF_INFORMATION_REQUIRED


def is_inclusive(key: RouteKey) -> bool:
    """Tell whether a route asks for copies of broadcasts."""
    return (
        isinstance(key, EnetKey)
        and key.mac == BROADCAST_MAC
        and key.address is not None
        and key.group is None
    )


def nlri_of(distinguisher: RouteDistinguisher, key: EnetKey) -> InclusiveMulticast:
    """Return the EVPN route of type 3; ``ValueError`` for a key that is not inclusive."""
    if key.address is None:
        raise ValueError("an inclusive multicast route names who wants copies")
    return InclusiveMulticast(distinguisher, key.ethernet_tag, key.address.network_address)


def key_of_inclusive(nlri: InclusiveMulticast) -> EnetKey:
    return EnetKey(BROADCAST_MAC, ip_network(nlri.originator), nlri.ethernet_tag)


def tunnel_of(hop: NextHop, attributes: RouteAttributes, *, is_vxlan: bool) -> PmsiTunnel:
    """Return the attribute that says how copies reach a vRouter, and its part in making them."""
    label = hop.vni if is_vxlan else raw_label(hop.label)
    kind, role = TunnelType.INGRESS_REPLICATION, 0
    if attributes.replicates:
        kind, role = TunnelType.ASSISTED_REPLICATION, PmsiFlag.REPLICATOR
    elif attributes.replication_leaf:
        role = PmsiFlag.LEAF
    return PmsiTunnel(int(role), kind, label, hop.address.packed)


def replicates(tunnel: PmsiTunnel | None) -> bool:
    """Tell whether what is sent to the tunnel's end is copied to everybody else (RFC 9574)."""
    return tunnel is not None and tunnel.tunnel_type == TunnelType.ASSISTED_REPLICATION


def is_leaf(tunnel: PmsiTunnel | None) -> bool:
    """Tell whether who wants copies has its own made by a replicator."""
    if tunnel is None or tunnel.tunnel_type != TunnelType.INGRESS_REPLICATION:
        return False
    return tunnel.flags & _ROLE == PmsiFlag.LEAF


def hop_of(
    tunnel: PmsiTunnel | None, next_hop: IpAddress, encapsulations: tuple[str, ...]
) -> NextHop | None:
    """Return how to send copies; None when they are not wanted, or in a way that is not known.

    A replicator that copies only to leaves that told it so (selective replication) is one too.
    """
    if tunnel is None:
        return None
    if tunnel.tunnel_type == TunnelType.INGRESS_REPLICATION:
        is_usable = not tunnel.flags & PmsiFlag.PRUNE_BROADCAST
    else:
        is_usable = replicates(tunnel) and tunnel.flags & _SELECTIVE == PmsiFlag.REPLICATOR
    if not is_usable:
        return None
    end = tunnel.address
    address = end if end is not None and int(end) else next_hop
    if is_martian(address):
        # Copies to a broadcast of the underlay would come back from everybody.
        return None
    names = encapsulations or UNNAMED_ENCAPSULATION
    if "vxlan" in names and tunnel.label:
        return NextHop(address, vni=Vni(tunnel.label), encapsulations=("vxlan",))
    label = label_of_raw(tunnel.label)
    if label < _LABEL_USABLE_MIN:
        return None
    return NextHop(address, label=label, encapsulations=names)


def may_import(path: Path, config: InstanceConfig) -> bool:
    """Tell whether an instance may take a path that its route targets let in.

    Networks that may talk to each other import each other's routes, but what one of them sends to
    everybody or to a group stays its own. A route that names no network belongs to who exports its
    target.
    """
    key = path.key
    if not isinstance(key, EnetKey) or key.mac != BROADCAST_MAC or key.address is None:
        return True
    return stays_in(path.virtual_network, path.targets, config)


def stays_in(virtual_network: str, targets: frozenset[RouteTarget], config: InstanceConfig) -> bool:
    """Tell whether what is sent to everybody in a network may be heard in an instance."""
    if virtual_network:
        return virtual_network == config.virtual_network
    return not config.exports.isdisjoint(targets)
