"""Selective multicast: who wants copies of what is sent to a group, and from whom (RFC 9251).

To agents it is a layer 2 route of the broadcast MAC with the vRouter's address, the group and the
source; to BGP peers an EVPN route of type 6. Who tells of its listeners says so by flags of its
inclusive multicast route; whoever does not gets copies of everything.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

from skytrail.control.path import is_martian
from skytrail.net import BROADCAST_MAC, IpAddress, RouteDistinguisher
from skytrail.wire.bgp import SelectiveMulticast
from skytrail.wire.xmpp import EnetKey, RouteKey, listening_problem

_FLAGS_MAX = 0xFF
_NO_ADDRESS = {4: IPv4Address(0), 6: IPv6Address(0)}


def is_selective(key: RouteKey) -> bool:
    """Tell whether a route asks for copies of a group."""
    return isinstance(key, EnetKey) and key.group is not None


def nlri_of_selective(
    distinguisher: RouteDistinguisher, key: EnetKey, flags: int = 0
) -> SelectiveMulticast:
    """Return the EVPN route of type 6; ``ValueError`` for a key that is of no group."""
    if key.address is None or key.group is None:
        raise ValueError("a selective multicast route names who wants copies of which group")
    originator, tag = key.address.network_address, key.ethernet_tag
    group = key.group if int(key.group) else None
    return SelectiveMulticast(distinguisher, tag, key.source, group, originator, flags & _FLAGS_MAX)


def key_of_selective(nlri: SelectiveMulticast) -> EnetKey | None:
    """Return the key of a route of type 6; None: nobody can listen to what it names.

    Without a group it is of every group of the originator's hosts, whatever their family.
    """
    group: IpAddress = _NO_ADDRESS[4] if nlri.group is None else nlri.group
    if is_martian(nlri.originator) or listening_problem(group, nlri.source):
        return None
    host = ip_network(nlri.originator)
    return EnetKey(BROADCAST_MAC, host, nlri.ethernet_tag, group, nlri.source)
