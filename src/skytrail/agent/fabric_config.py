"""What leads workloads to the host's own network, as configured: link-local services, port pools."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, IPv6Address, IPv6Network

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import (
    bounded_of,
    flag_of,
    list_of,
    mapping_of,
    text_of,
    usable_address_of,
)
from skytrail.agent.tables import LINK_SERVICE_TARGETS_COUNT_MAX, PORT_RANGES_COUNT_MAX
from skytrail.net import IpAddress
from skytrail.wire.xmpp import ConfigKey, ConfigNode, ConfigValue

METADATA = ("metadata", "metadata6")
"""Services of these names, one for each IP version, are Nova's: the agent asks it for the workload."""
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17}
PortRange = tuple[int, int]
LinkServicePlace = tuple[IpAddress, int]
"""Address and port at which workloads find a service."""
PORT_RANGE_DEFAULT: PortRange = (61000, 65535)
"""Beyond the ports that the kernel gives to the host's own connections."""
PORT_FIRST = 1024
_PORT_LAST = 65535
_LINK_LOCAL = (IPv4Network("169.254.0.0/16"), IPv6Network("fe80::/10"))
_TUNNEL_PORTS = (4789, 6635)


@dataclass(frozen=True, slots=True)
class LinkService:
    """A service that workloads of every network find at a link-local address."""

    name: str
    address: IpAddress
    port: int
    targets: tuple[IpAddress, ...]
    """Those of the address's version first. Loopback: the host itself."""
    dns_name: str
    """Where it is, when no address is given."""
    to_port: int

    @property
    def is_metadata(self) -> bool:
        return self.name.lower() in METADATA

    @property
    def place(self) -> LinkServicePlace:
        return self.address, self.port


@dataclass(frozen=True, slots=True)
class FabricConfig:
    """Services in the order of their names, and the ports of the host by protocol."""

    services: tuple[LinkService, ...] = ()
    pools: tuple[tuple[int, tuple[PortRange, ...]], ...] = ()
    leaves: bool = False
    """Some network's workloads reach the underlay by their host's address."""
    is_apart: bool = False
    """Nobody reaches the underlay, which is IPv6: the host alone asks there."""

    @property
    def takes_ports(self) -> bool:
        """Whether workloads may leave by ports of the host at all."""
        return not self.is_apart and (bool(self.services) or self.leaves)

    def apart(self) -> FabricConfig:
        """Return what it is to a host that has no IPv4 address in the underlay."""
        return replace(self, leaves=False, is_apart=True)

    @property
    def dns_names(self) -> frozenset[str]:
        return frozenset(each.dns_name for each in self.services if each.dns_name)

    @property
    def metadata(self) -> LinkService | None:
        return next((each for each in self.services if each.is_metadata), None)

    @property
    def has_ipv6(self) -> bool:
        """Whether some service is at an IPv6 address."""
        return any(isinstance(each.address, IPv6Address) for each in self.services)


def fabric_config(graph: ConfigGraph, *, leaves: bool) -> FabricConfig:
    """Read the global settings; what cannot be read is left out."""
    for node in graph.nodes("global-vrouter-config"):
        services = mapping_of(node.properties.get("linklocal_services"))
        pools = mapping_of(node.properties.get("port_translation_pools"))
        entries = list_of(services.get("linklocal_service_entry"))
        found = {each.name: each for each in map(_service, entries) if each is not None}
        return FabricConfig(
            services=tuple(_distinct([found[name] for name in sorted(found)])),
            pools=_pools(list_of(pools.get("port_translation_pool"))),
            leaves=leaves,
        )
    return replace(NOTHING_SET, leaves=leaves)


def leaves_by_host(graph: ConfigGraph, network: ConfigNode, instance: str) -> bool:
    """Tell whether a network asks for the underlay, or a router of it has that as its gateway."""
    node = graph.node(ConfigKey("routing-instance", instance))
    asked = [network.properties.get("fabric_snat")]
    if node is not None:
        asked.append(node.properties.get("routing_instance_fabric_snat"))
    return any(flag_of(each) for each in asked)


def _service(entry: ConfigValue) -> LinkService | None:
    parts = mapping_of(entry)
    address = usable_address_of(parts.get("linklocal_service_ip"))
    port = bounded_of(parts.get("linklocal_service_port"), _PORT_LAST)
    to_port = bounded_of(parts.get("ip_fabric_service_port"), _PORT_LAST)
    if address is None or not any(address in prefix for prefix in _LINK_LOCAL) or not port:
        return None
    name = text_of(parts.get("linklocal_service_name"))
    read = [usable_address_of(each) for each in list_of(parts.get("ip_fabric_service_ip"))]
    targets = sorted(
        [each for each in read if each is not None],
        key=lambda each: each.version != address.version,
    )
    dns_name = "" if targets else text_of(parts.get("ip_fabric_DNS_service_name")).strip()
    if not to_port or not (targets or dns_name):
        return None
    return LinkService(
        name=name,
        address=address,
        port=port,
        targets=tuple(targets[:LINK_SERVICE_TARGETS_COUNT_MAX]),
        dns_name=dns_name,
        to_port=to_port,
    )


def _distinct(services: Iterable[LinkService]) -> Iterator[LinkService]:
    """Yield the first service of each address and port."""
    taken: set[tuple[IpAddress, int]] = set()
    for service in services:
        if (service.address, service.port) not in taken:
            taken.add((service.address, service.port))
            yield service


def _pools(entries: Iterable[ConfigValue]) -> tuple[tuple[int, tuple[PortRange, ...]], ...]:
    """Return the ranges of every protocol: its own pools, or the default."""
    found: dict[int, list[PortRange]] = {}
    for entry in entries:
        parts = mapping_of(entry)
        text = text_of(parts.get("protocol")).strip().lower()
        protocol = PROTOCOLS.get(text) or bounded_of(text, 255)
        wanted = _range_of(parts)
        if wanted is not None and protocol in PROTOCOLS.values():
            found.setdefault(protocol, []).append(wanted)
    return tuple(
        [
            (protocol, tuple(_usable(found.get(protocol) or [PORT_RANGE_DEFAULT], protocol)))
            for protocol in sorted(PROTOCOLS.values())
        ]
    )


def _range_of(pool: Mapping[str, ConfigValue]) -> PortRange | None:
    ports = mapping_of(pool.get("port_range"))
    if ports:
        first = bounded_of(ports.get("start_port"), _PORT_LAST)
        last = bounded_of(ports.get("end_port"), _PORT_LAST)
        return (max(first, PORT_FIRST), last) if last >= PORT_FIRST and first <= last else None
    count = bounded_of(pool.get("port_count"), _PORT_LAST)
    return (max(_PORT_LAST - count + 1, PORT_FIRST), _PORT_LAST) if count else None


def _usable(ranges: Iterable[PortRange], protocol: int) -> list[PortRange]:
    """Return the ranges in order, joined where they touch, without tunnels' ports."""
    ports: list[PortRange] = []
    for first, last in sorted(ranges):
        if ports and first <= ports[-1][1] + 1:
            ports[-1] = (ports[-1][0], max(last, ports[-1][1]))
        else:
            ports.append((first, last))
    for taken in _TUNNEL_PORTS if protocol == PROTOCOLS["udp"] else ():
        parts = [
            part
            for first, last in ports
            for part in (
                ((first, taken - 1), (taken + 1, last))
                if first <= taken <= last
                else ((first, last),)
            )
        ]
        ports = [(first, last) for first, last in parts if first <= last]
    return ports[:PORT_RANGES_COUNT_MAX]


NOTHING_SET = FabricConfig(pools=_pools(()))
"""No services, and the default ports."""
