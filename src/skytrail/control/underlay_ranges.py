"""Which addresses hosts may have told to switches: those of networks that the underlay routes.

A host in strange hands could publish any prefix, and the underlay's own routers would believe it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

from skytrail.control.config_graph import Change
from skytrail.control.path import FABRIC_INSTANCE
from skytrail.model.generated.objects import InterfaceRouteTable, NetworkIpam, VirtualNetwork
from skytrail.model.generated.types import IpamSubnetType
from skytrail.model.graph import ObjectGraph

_FABRIC_NETWORK = FABRIC_INSTANCE.split(":")[:-1]
_KINDS = VirtualNetwork | NetworkIpam | InterfaceRouteTable


@dataclass(frozen=True, slots=True)
class Ranges:
    subnets: frozenset[IPv4Network] = frozenset()
    """Of networks that the underlay routes."""
    behind: frozenset[IPv4Network] = frozenset()
    """What interface route tables say is behind ports, of whichever network."""

    def covers(self, prefix: IPv4Network) -> bool:
        """Tell whether a prefix may be told to switches."""
        return prefix in self.behind or any(prefix.subnet_of(each) for each in self.subnets)


def matters(changes: Iterable[Change]) -> bool:
    """Tell whether the ranges may be others after these changes."""
    return any(isinstance(version, _KINDS) for change in changes for version in change.versions)


def ranges(graph: ObjectGraph) -> Ranges:
    """Read the ranges from the configuration; O(networks the underlay routes + route tables)."""
    fabric = graph.by_name(VirtualNetwork.type_name, _FABRIC_NETWORK)
    networks = graph.back_refs(fabric.uuid, VirtualNetwork.type_name) if fabric else []
    subnets = frozenset(
        prefix
        for network in networks
        if isinstance(network, VirtualNetwork)
        for subnet in _subnets(graph, network)
        if (prefix := _prefix(subnet)) is not None
    )
    tables = graph.of_type(InterfaceRouteTable.type_name) if subnets else []
    return Ranges(subnets, frozenset(each for table in tables for each in _behind(table)))


def _subnets(graph: ObjectGraph, network: VirtualNetwork) -> Iterator[IpamSubnetType]:
    for reference in network.network_ipam_refs:
        if reference.attr is not None:
            yield from reference.attr.ipam_subnets
    for ipam in graph.refs(network.uuid, NetworkIpam.type_name):
        if isinstance(ipam, NetworkIpam) and ipam.ipam_subnets is not None:
            yield from ipam.ipam_subnets.subnets


def _prefix(subnet: IpamSubnetType) -> IPv4Network | None:
    found = subnet.subnet
    if found is None or found.ip_prefix is None or found.ip_prefix_len is None:
        return None
    return _network(f"{found.ip_prefix}/{found.ip_prefix_len}")


def _behind(table: object) -> Iterator[IPv4Network]:
    routes = table.interface_route_table_routes if isinstance(table, InterfaceRouteTable) else None
    for route in routes.route if routes is not None else ():
        prefix = _network(route.prefix or "")
        if prefix is not None:
            yield prefix


def _network(text: str) -> IPv4Network | None:
    try:
        return IPv4Network(text, strict=False)
    except ValueError:
        # IPv6, or what the API took for text: nothing the underlay routes.
        return None
