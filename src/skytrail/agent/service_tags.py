"""The service a port is a side of, as configured: its mode, and a transparent one's VLANs by chain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import (
    bounded_of,
    flag_of,
    mapping_of,
    object_uuid,
    text_of,
    usable_address_of,
)
from skytrail.agent.share import COPY_SIDES
from skytrail.net import IpAddress, Mac
from skytrail.wire.xmpp import ConfigKey, ConfigNode

_VLAN_MAX = 4094
_TRANSLATING = "in-network-nat"


@dataclass(frozen=True, slots=True)
class ServiceTag:
    """One chain at one port."""

    instance: str
    """Routing instance that tagged frames belong to."""
    vlan: int
    source: Mac
    """What frames carry towards the service, which passes them on as they are."""
    destination: Mac
    addresses: tuple[IpAddress, ...]
    """Of the service in the chain: the anchors of its routes, never on a wire."""


def service_tags(graph: ConfigGraph, port: ConfigKey) -> tuple[ServiceTag, ...]:
    """Return the chains through a port, by VLAN; what cannot be read leads nowhere."""
    found: dict[int, ServiceTag] = {}
    for key in graph.neighbours(port, "routing-instance"):
        value = mapping_of(graph.link_value(port, key))
        vlan = bounded_of(value.get("vlan_tag"), _VLAN_MAX)
        try:
            source, destination = (Mac.parse(text_of(value.get(n))) for n in ("src_mac", "dst_mac"))
        except ValueError:
            continue
        texts = (value.get("service_chain_address"), value.get("ipv6_service_chain_address"))
        addresses = tuple(_addresses(map(text_of, texts)))
        if vlan and addresses:
            found[vlan] = ServiceTag(key.name, vlan, source, destination, addresses)
    return tuple(found[vlan] for vlan in sorted(found))


def translates(graph: ConfigGraph, port: ConfigKey) -> bool:
    """Tell whether a port is of a service that sends on what it gets in its own name."""
    for copy in graph.neighbours(port, "port-tuple"):
        for service in graph.neighbours(copy, "service-instance"):
            for template in graph.linked_nodes(service, "service-template"):
                properties = mapping_of(template.properties.get("service_template_properties"))
                return text_of(properties.get("service_mode")) == _TRANSLATING
    return False


def is_analyzer(graph: ConfigGraph, port: ConfigKey) -> bool:
    """Whether the port belongs to a service that is sent copies of packets."""
    for copy in graph.neighbours(port, "port-tuple"):
        for service in graph.neighbours(copy, "service-instance"):
            for template in graph.linked_nodes(service, "service-template"):
                properties = mapping_of(template.properties.get("service_template_properties"))
                if text_of(properties.get("service_type")) == "analyzer":
                    return True
    return False


@dataclass(frozen=True, slots=True)
class OtherSide:
    """Another side of the same copy, as far as this host hears of it."""

    uuid: str
    name: str
    same_machine: bool
    """It is on this host as well, or ought to be."""


def side_of(port: ConfigNode) -> str:
    properties = mapping_of(port.properties.get("virtual_machine_interface_properties"))
    return text_of(properties.get("service_interface_type"))


def other_sides(graph: ConfigGraph, port: ConfigNode) -> tuple[OtherSide, ...]:
    """Return what traffic through the copy needs beside this port; management ports are not."""
    if side_of(port) not in COPY_SIDES:
        return ()
    machines = set(graph.neighbours(port.key, "virtual-machine"))
    found: dict[str, OtherSide] = {}
    for copy in graph.neighbours(port.key, "port-tuple"):
        for other in graph.linked_nodes(copy, "virtual-machine-interface"):
            if other.key == port.key or side_of(other) not in COPY_SIDES:
                continue
            uuid, name = object_uuid(other), other.key.name
            same = not machines.isdisjoint(graph.neighbours(other.key, "virtual-machine"))
            found[uuid] = OtherSide(uuid, name, same)
    return tuple(found[uuid] for uuid in sorted(found))


def shared_addresses(graph: ConfigGraph, port: ConfigKey) -> tuple[IpAddress, ...]:
    """Return the addresses that chains lead to, which the copies of a service share."""
    found: set[IpAddress] = set()
    for node in graph.linked_nodes(port, "instance-ip"):
        address = usable_address_of(node.properties.get("instance_ip_address"))
        if address and flag_of(node.properties.get("service_instance_ip")):
            found.add(address)
    return tuple(sorted(found, key=lambda each: (each.version, int(each))))


def _addresses(texts: Iterator[str]) -> Iterator[IpAddress]:
    for text in texts:
        try:
            yield ip_address(text)
        except ValueError:
            # A chain of the other family has none.
            continue
