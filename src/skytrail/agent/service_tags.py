"""The service a port is a side of, as configured: its mode, and a transparent one's VLANs by chain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import bounded_of, mapping_of, text_of
from skytrail.net import IpAddress, Mac
from skytrail.wire.xmpp import ConfigKey

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


def _addresses(texts: Iterator[str]) -> Iterator[IpAddress]:
    for text in texts:
        try:
            yield ip_address(text)
        except ValueError:
            # A chain of the other family has none.
            continue
