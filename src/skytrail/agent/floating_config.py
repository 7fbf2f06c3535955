"""Floating and alias addresses of a port as the configuration has them.

What cannot be served is not guessed at: it is told as a problem, by the address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import (
    bounded_of,
    flag_of,
    list_of,
    mapping_of,
    text_of,
    usable_address_of,
)
from skytrail.agent.tables import FLOATING_PLACES_COUNT_MAX
from skytrail.wire.xmpp import ConfigKey, ConfigNode, ConfigValue

IpAddress = IPv4Address | IPv6Address
PortPair = tuple[int, int, int]
"""Protocol, outside port, the workload's port."""
_PROTOCOLS = {"tcp": 6, "udp": 17}
_PORT_MAX = 65535


@dataclass(frozen=True, slots=True)
class Binding:
    """An address of a network that a port has beside its own."""

    outside: IpAddress
    inside: IpAddress
    """Which of the port's addresses it stands for; itself: an alias."""
    network: str
    """The network it is from, by name."""
    is_inward: bool = True
    is_outward: bool = True
    ports: tuple[PortPair, ...] | None = None
    """None: it stands for the whole address."""

    @property
    def is_alias(self) -> bool:
        return self.outside == self.inside


class Unusable(Exception):
    """An object that cannot be served; the text says why."""


def bindings(
    graph: ConfigGraph, port: ConfigKey, own: Iterable[IpAddress]
) -> tuple[tuple[Binding, ...], tuple[str, ...]]:
    """Return the floating and alias addresses of a port, in a stable order, and the problems."""
    addresses = list(own)
    found: dict[IpAddress, Binding] = {}
    problems: list[str] = []
    floating = [(node, False) for node in graph.linked_nodes(port, "floating-ip")]
    aliases = [(node, True) for node in graph.linked_nodes(port, "alias-ip")]
    for node, is_alias in (*floating, *aliases):
        try:
            read = _alias(graph, node) if is_alias else _floating(graph, node, addresses)
            if found.setdefault(read.outside, read) is not read:
                raise Unusable(f"{read.outside} is bound to the interface twice")
        except Unusable as problem:
            problems.append(f"{node.key.type_name} {node.key.name}: {problem}")
    ordered = sorted(found.values(), key=lambda each: (each.outside.version, int(each.outside)))
    problems += [
        f"{each.outside}: an interface has at most {FLOATING_PLACES_COUNT_MAX} such addresses"
        for each in ordered[FLOATING_PLACES_COUNT_MAX:]
    ]
    return tuple(ordered[:FLOATING_PLACES_COUNT_MAX]), tuple(problems)


def _floating(graph: ConfigGraph, node: ConfigNode, own: list[IpAddress]) -> Binding:
    properties = node.properties
    outside = _address(properties.get("floating_ip_address"), graph, node)
    wanted = text_of(properties.get("floating_ip_fixed_ip_address"))
    inside = _inside(outside, usable_address_of(wanted) if wanted else None, wanted, own)
    direction = text_of(properties.get("floating_ip_traffic_direction")) or "both"
    ports = None
    if flag_of(properties.get("floating_ip_port_mappings_enable")):
        mappings = mapping_of(properties.get("floating_ip_port_mappings"))
        ports = tuple(sorted(set(_port_pairs(list_of(mappings.get("port_mappings"))))))
    return Binding(
        outside=outside,
        inside=inside,
        network=_network(graph, node, "floating-ip-pool"),
        is_inward=direction != "egress",
        is_outward=direction != "ingress",
        ports=ports,
    )


def _inside(
    outside: IpAddress, fixed: IpAddress | None, wanted: str, own: list[IpAddress]
) -> IpAddress:
    """Return which of the port's own addresses it stands for."""
    if fixed is not None and fixed.version != outside.version:
        raise Unusable(f"{outside} cannot stand for {fixed}, an address of IPv{fixed.version}")
    for address in own:
        if address.version == outside.version and (address == fixed or not wanted):
            return address
    missing = wanted or f"of IPv{outside.version}"
    raise Unusable(f"the interface has no address {missing} to stand for")


def _alias(graph: ConfigGraph, node: ConfigNode) -> Binding:
    address = _address(node.properties.get("alias_ip_address"), graph, node)
    return Binding(address, address, _network(graph, node, "alias-ip-pool"))


def _address(value: ConfigValue | None, graph: ConfigGraph, node: ConfigNode) -> IpAddress:
    """Return its own address; one below an instance IP has that one's."""
    if not value:
        for parent in graph.linked_nodes(node.key, "instance-ip"):
            value = value or parent.properties.get("instance_ip_address")
    address = usable_address_of(value)
    if address is None:
        raise Unusable("it has no address yet")
    return address


def _network(graph: ConfigGraph, node: ConfigNode, pool_type: str) -> str:
    for pool in graph.neighbours(node.key, pool_type):
        # A pool is below its network: the link may be later than the name.
        return pool.name.rpartition(":")[0]
    for parent in graph.neighbours(node.key, "instance-ip"):
        for network in graph.neighbours(parent, "virtual-network"):
            return network.name
    raise Unusable("its pool has not arrived")


def _port_pairs(entries: Iterable[ConfigValue]) -> Iterable[PortPair]:
    for entry in entries:
        parts: Mapping[str, ConfigValue] = mapping_of(entry)
        protocol = _PROTOCOLS.get(text_of(parts.get("protocol")).lower())
        outside = bounded_of(parts.get("src_port"), _PORT_MAX)
        inside = bounded_of(parts.get("dst_port"), _PORT_MAX)
        if protocol and outside and inside:
            yield protocol, outside, inside
