"""Rows by which workloads reach the host's own network: services, ports, and the host's own side.

The host's side is a pair of links: one end is an interface of the datapath like a workload's, the
other the host's stack. Who uses a service of the host comes there from an address that tells the
interface, and answers go back by it. It opens nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from skytrail.agent.fabric_config import FabricConfig, LinkService, LinkServicePlace
from skytrail.agent.identity import IdentityTable
from skytrail.agent.network_config import UNDERLAY_NETWORK, VirtualNetwork
from skytrail.agent.nexthop import NextHopTable, Underlay
from skytrail.agent.tables import (
    IdentityId,
    InetRouteRow,
    InterfaceKind,
    InterfaceRow,
    LinkServiceRow,
    NextHopId,
    PolicyId,
    PortPoolRow,
    Row,
    VifId,
    VrfId,
)
from skytrail.net import GATEWAY_MAC, IpAddress

UNDERLAY_VIF_NAME = "underlay"
HOST_VIF_NAME = "host"
HOST_VRF_NAME = "host"
"""No routing instance is called so: their names have colons."""
HOST_SIDE = IPv4Network("169.254.0.0/17")
"""As ``HOST_SIDE`` in ``bpf/include/fabric.h``: this and an interface's number."""
HOST_ADDRESS = IPv4Address("169.254.128.1")
"""What a host without IPv4 address in the underlay is called on that link."""
HOST_SIDE6 = IPv6Network("fd73:6b79:7472::/113")
"""As ``HOST_SIDE6_0`` there. Unique local (RFC 4193), and never on any wire."""
HOST_ADDRESS6 = IPv6Address("fd73:6b79:7472::a9fe:a9fe")
"""What the host itself is called on that link."""
_EVERYWHERE = IPv4Network("0.0.0.0/0")
NOBODY_MAY = PolicyId(0xFFFFFFFF)
"""A policy without rows: nothing is allowed."""
Names = Mapping[str, tuple[IpAddress, ...]]
"""What services' names are known to mean."""
InUse = tuple[NextHopTable, IdentityTable, Callable[[str, str], int]]
"""Where next hops, identities and numbers come from."""


@dataclass(frozen=True, slots=True)
class FabricInputs:
    """Everything these rows are a function of, beside the underlay."""

    config: FabricConfig
    names: Names
    translates_sources: bool = False
    """Workloads leave by addresses of external networks."""


@dataclass(frozen=True, slots=True)
class Outlet:
    """An address of an external network by which a network's workloads leave."""

    nexthop: NextHopId
    inside: tuple[IPv4Network, ...]
    """Where nobody is looked for outside."""


def host_side_address(vif_id: VifId) -> IPv4Address:
    """Return what the host sees an interface as."""
    return HOST_SIDE.network_address + vif_id


def host_side_address6(vif_id: VifId) -> IPv6Address:
    """Return what the host sees it as over IPv6."""
    return HOST_SIDE6.network_address + vif_id


def vif_of_host_side(address: IpAddress) -> VifId | None:
    """Return whose such an address is; None: nobody's."""
    side = HOST_SIDE if isinstance(address, IPv4Address) else HOST_SIDE6
    number = int(address) - int(side.network_address)
    return VifId(number) if address in side and number else None


def routes_out(
    network: VirtualNetwork,
    config: FabricConfig,
    vrf_id: VrfId,
    tables: InUse,
    outlet: Outlet | None = None,
) -> Iterator[InetRouteRow]:
    """Yield what leads from a network's VRF to services and, if it may, out of it."""
    nexthops, identities, number = tables
    vif_id = VifId(number("vif", UNDERLAY_VIF_NAME))
    for address in sorted({service.address for service in config.services}, key=_order):
        nexthop = nexthops.fabric(vif_id)
        prefix = ip_network(address)
        yield InetRouteRow(vrf_id, prefix, nexthop, 0, IdentityId(0), GATEWAY_MAC)
    if outlet is not None:
        # Who is out there is known where the packet goes on.
        yield InetRouteRow(vrf_id, _EVERYWHERE, outlet.nexthop, 0, IdentityId(0))
    elif network.leaves_by_host:
        # Also where nobody gets out that way: packets are then dropped by a reason of its own.
        identity = identities.of([UNDERLAY_NETWORK], (), ())
        yield InetRouteRow(vrf_id, _EVERYWHERE, nexthops.fabric(vif_id), 0, identity)
    else:
        return
    own = [each.prefix for each in network.subnets if isinstance(each.prefix, IPv4Network)]
    # Whom nobody has here must not be looked for out there.
    for prefix in sorted({*own, *(() if outlet is None else outlet.inside)}):
        yield InetRouteRow(vrf_id, prefix, nexthops.discard(), 0, IdentityId(0))


def _order(address: IpAddress) -> tuple[int, int]:
    return address.version, int(address)


def fabric_rows(inputs: FabricInputs, underlay: Underlay, tables: InUse) -> Iterator[Row]:
    """Yield what is the same for all VRFs."""
    nexthops, _, number = tables
    takes_ports = inputs.config.takes_ports or inputs.translates_sources
    for protocol, ranges in inputs.config.pools if takes_ports else ():
        yield PortPoolRow(protocol, ranges)
    to_host: NextHopId | None = None
    if underlay.host is not None:
        vif_id = VifId(number("vif", HOST_VIF_NAME))
        yield InterfaceRow(
            ifindex=underlay.host.ifindex,
            vif_id=vif_id,
            kind=InterfaceKind.WORKLOAD_TAP,
            vrf_id=VrfId(number("vrf", HOST_VRF_NAME)),
            mac=GATEWAY_MAC,
            mtu_bytes=underlay.host.mtu_bytes,
            policy_egress=NOBODY_MAY,
            policy_ingress=NOBODY_MAY,
            identity=IdentityId(0),
            antispoof=False,
            is_host_side=True,
        )
        to_host = nexthops.interface(HOST_VIF_NAME, vif_id, layer2=False)
    for service in inputs.config.services:
        row = _service_row(service, inputs.names, underlay, to_host)
        if row is not None:
            yield row


def own_address(by: IpAddress, address4: IPv4Address | None) -> IpAddress:
    """Return what the host is called on its side over a service's IP version."""
    return HOST_ADDRESS6 if isinstance(by, IPv6Address) else address4 or HOST_ADDRESS


def relayed(
    config: FabricConfig, names: Names, address4: IPv4Address | None
) -> dict[LinkServicePlace, tuple[tuple[IpAddress, int], ...]]:
    """Return the servers of every service that no translation leads to.

    ``address4``: the host's in the underlay. Translated are IPv4 packets to servers over IPv4, in an
    IPv4 underlay.
    """
    found = {service.place: _relay_targets(service, names, address4) for service in config.services}
    ports = {service.place: service.to_port for service in config.services}
    return {
        place: tuple([(target, ports[place]) for target in targets])
        for place, targets in found.items()
        if targets
    }


def _relay_targets(
    service: LinkService, names: Names, address4: IPv4Address | None
) -> tuple[IpAddress, ...]:
    if service.is_metadata:
        return ()
    targets = service.targets or names.get(service.dns_name, ())
    is_ipv4 = isinstance(service.address, IPv4Address) and address4 is not None
    if is_ipv4 and any(isinstance(each, IPv4Address) for each in targets):
        return ()
    return tuple([each for each in targets if not each.is_loopback])


def _service_row(
    service: LinkService, names: Names, underlay: Underlay, to_host: NextHopId | None
) -> LinkServiceRow | None:
    """Return where a service is; None while that is not known, or the host cannot serve it."""
    host, own4 = underlay.host, underlay.address4
    targets = service.targets or names.get(service.dns_name, ())
    is_relayed = bool(_relay_targets(service, names, own4))
    if not service.is_metadata and not is_relayed and isinstance(service.address, IPv4Address):
        remote = remote_of(targets, own4 or HOST_ADDRESS)
        if remote:
            return LinkServiceRow(*service.place, remote, service.to_port)
    if host is None or to_host is None:
        return None
    port = service.to_port if targets else 0
    if service.is_metadata:
        port = host.metadata_port
    if is_relayed:
        port = host.relay_ports.get(service.place, 0)
    if isinstance(service.address, IPv6Address):
        if not host.has_ipv6:
            return None
        port = host.metadata_port6 if service.is_metadata else port
    own = own_address(service.address, own4)
    is_agents = service.is_metadata or is_relayed
    return LinkServiceRow(*service.place, (own,), port, to_host, is_agents) if port else None


def remote_of(targets: Iterable[IpAddress], own: IPv4Address) -> tuple[IPv4Address, ...]:
    """Return those over IPv4 that are not this host."""
    return tuple(
        [
            each
            for each in targets
            if isinstance(each, IPv4Address) and each != own and not each.is_loopback
        ]
    )
