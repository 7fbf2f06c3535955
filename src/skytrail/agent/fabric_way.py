"""Where a flow to the host's own network goes, over plain rows; ``bpf/include/fabric.h``. Pure.

Which port it gets is the kernel's to say: it depends on the flows there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from skytrail.agent.fabric import host_side_address, host_side_address6
from skytrail.agent.lookup import IpAddress, Tables
from skytrail.agent.tables import InterfaceKind, InterfaceRow, NextHopKind, VifId

_LINK_LOCAL = (IPv4Network("169.254.0.0/16"), IPv6Network("fe80::/10"))
_NOBODY = (IPv4Network("0.0.0.0/8"), IPv4Network("127.0.0.0/8"), IPv4Network("224.0.0.0/3"))
_WITH_PORTS = (6, 17)
_ICMP, _ECHO_REQUEST = 1, 8


@dataclass(frozen=True, slots=True)
class FabricWay:
    """What a packet leaves as, or why it does not."""

    source: IpAddress | None = None
    destination: IpAddress | None = None
    destination_port: int = 0
    text: str = ""
    drop_reason: str = ""


def is_link_service(address: IpAddress) -> bool:
    """No policy keeps a workload from a service of the operator's."""
    return any(address in prefix for prefix in _LINK_LOCAL)


def fabric_way(
    tables: Tables, vif_id: VifId, destination: IpAddress, transport: tuple[int, int]
) -> FabricWay:
    """``transport``: protocol and destination port, for ICMP the type."""
    protocol, port = transport
    own = _tunnel_address(tables)
    if not is_link_service(destination) and not isinstance(destination, IPv4Address):
        return FabricWay(text="over IPv4 alone", drop_reason="FABRIC_ADDRESS")
    if (
        destination.version == 4
        and protocol not in _WITH_PORTS
        and transport != (_ICMP, _ECHO_REQUEST)
    ):
        return FabricWay(drop_reason="FABRIC_PROTOCOL")
    if not is_link_service(destination):
        return _checked(tables, own, FabricWay(own, destination, port), protocol)
    is_ipv4 = isinstance(destination, IPv4Address)
    has_ports = protocol in _WITH_PORTS
    service = tables.link_services.get((destination, port)) if has_ports else None
    if service is None or not service.targets:
        reason = "LINK_SERVICE" if is_ipv4 else "LINK_LOCAL"
        return FabricWay(text="no service at this port", drop_reason=reason)
    if not service.nexthop_id:
        # Of several the flow's hash chooses one.
        way = FabricWay(own, service.targets[0], service.to_port)
        return _checked(tables, own, way, protocol)
    hop = tables.nexthops.get(service.nexthop_id)
    if hop is None or hop.kind is not NextHopKind.INTERFACE or hop.vif_id not in tables.vifs:
        return FabricWay(drop_reason="LINK_SERVICE")
    source = host_side_address(vif_id) if is_ipv4 else host_side_address6(vif_id)
    text = f"at this host: {source} to {service.targets[0]} port {service.to_port}"
    return FabricWay(source, service.targets[0], service.to_port, text)


def snat_way(
    tables: Tables, by: InterfaceRow, destination: IpAddress, protocol: int, port: int
) -> FabricWay:
    """Return the same of a packet that an address of an external network stands for.

    ``port`` of ICMP is the type; ``bpf/include/snat.h``.
    """
    if is_link_service(destination):
        return FabricWay(drop_reason="LINK_SERVICE")
    if any(destination in prefix for prefix in _NOBODY) or destination.version != 4:
        return FabricWay(text=str(destination), drop_reason="FABRIC_ADDRESS")
    if protocol not in _WITH_PORTS and (protocol, port) != (_ICMP, _ECHO_REQUEST):
        return FabricWay(drop_reason="FABRIC_PROTOCOL")
    return _by_pool(tables, FabricWay(by.tunnel_address, destination, port), protocol)


def _checked(tables: Tables, own: IPv4Address | None, way: FabricWay, protocol: int) -> FabricWay:
    at = way.destination
    if own is None:
        return FabricWay(text="the host's address is IPv6", drop_reason="FABRIC_FAMILY")
    if at is None or at == own or any(at in prefix for prefix in _NOBODY):
        return FabricWay(text=str(at), drop_reason="FABRIC_ADDRESS")
    return _by_pool(tables, way, protocol)


def _by_pool(tables: Tables, way: FabricWay, protocol: int) -> FabricWay:
    pool = tables.port_pools.get(protocol)
    if pool is None or not pool.ranges:
        return FabricWay(text="no ports to leave by", drop_reason="PORTS_EXHAUSTED")
    ranges = ", ".join(f"{first} to {last}" for first, last in pool.ranges)
    kind = "an identifier" if protocol == _ICMP else "a port"
    return FabricWay(
        way.source,
        way.destination,
        way.destination_port,
        f"by {way.source} and {kind} of {ranges}, to {way.destination}",
    )


def _tunnel_address(tables: Tables) -> IPv4Address | None:
    rows = tables.vifs.values()
    return next((r.tunnel_address for r in rows if r.kind is InterfaceKind.UNDERLAY), None)
