"""What one active port contributes: its rows, and the routes that are published for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network, ip_network
from itertools import zip_longest

from skytrail.agent.identity import Identity
from skytrail.agent.interface import ActivePort, PluggedPort, source_rows
from skytrail.agent.ledger import PublishKey
from skytrail.agent.share import share_of
from skytrail.agent.tables import (
    BgpServiceRow,
    BridgeRow,
    Encapsulation,
    IdentityId,
    InetRouteRow,
    InterfaceRow,
    IpNetwork,
    LabelRow,
    NextHopId,
    PolicyId,
    Row,
    VifId,
    VrfId,
)
from skytrail.net import Label, Mac, Vni
from skytrail.wire.xmpp import EnetKey, NextHop, Route, RouteAttributes, RouteKey

ENCAPSULATION_TEXTS = {
    Encapsulation.MPLS_UDP: "udp",
    Encapsulation.MPLS_GRE: "gre",
    Encapsulation.VXLAN: "vxlan",
}
NATIVE = "native"
FABRIC_INSTANCE = "default-domain:default-project:ip-fabric:__default__"
"""Where workloads are known that the underlay routes to."""
_NO_MAC = Mac(bytes(6))


@dataclass(frozen=True, slots=True)
class PortNumbers:
    vif_id: VifId
    vrf_id: VrfId
    identity: IdentityId
    label: int
    layer2_label: int
    policy_egress: PolicyId
    policy_ingress: PolicyId
    layer3: NextHopId
    """Next hop that delivers packets; ``layer2`` delivers whole frames."""
    layer2: NextHopId


@dataclass(frozen=True, slots=True)
class PortPlan:
    """One active port as its own rows and the units around it see it."""

    active: ActivePort
    offer: tuple[IPv4Address, tuple[Encapsulation, ...]]
    """Our tunnel address and encapsulations, which published routes carry."""
    identity: Identity
    prefixes: tuple[IpNetwork, ...]
    numbers: PortNumbers
    ways: tuple[tuple[str, VrfId], ...] = ()
    """Other VRFs that rules of its policies lead to."""
    controls: tuple[IPv4Address, ...] = ()
    underlay_ifindex: int = 0

    @property
    def vrf(self) -> str:
        return self.active.port.network.vrf

    @property
    def offered(self) -> tuple[IpNetwork, ...]:
        """What others may be led to it for: not what a health check fails for."""
        failing = self.active.failing
        return tuple([prefix for prefix in self.prefixes if not failing.takes(prefix)])

    @property
    def underlay_prefixes(self) -> tuple[IPv4Network, ...]:
        """What of it the underlay routes to."""
        if not self.active.port.network.is_underlay:
            return ()
        return tuple([prefix for prefix in self.offered if isinstance(prefix, IPv4Network)])

    @property
    def preference(self) -> int:
        return self.active.port.local_preference

    @property
    def share(self) -> int:
        """What stands for it among those that share an address."""
        return share_of(self.offer[0], self.numbers.label)

    @property
    def sequence(self) -> int:
        """Of its MAC: the highest of its addresses."""
        return max((number for _, number in self.active.plugged.sequences), default=0)

    def sequence_of(self, prefix: IpNetwork) -> int:
        """Return the mobility sequence number of one of its addresses; 0: it never moved."""
        return dict(self.active.plugged.sequences).get(str(prefix.network_address), 0)


def port_rows(plan: PortPlan) -> tuple[Row, ...]:
    port, plugged, numbers = plan.active.port, plan.active.plugged, plan.numbers
    interface = InterfaceRow(
        ifindex=plugged.ifindex,
        vif_id=numbers.vif_id,
        kind=plugged.kind,
        vrf_id=numbers.vrf_id,
        mac=port.mac,
        mtu_bytes=plan.active.mtu_bytes,
        policy_egress=numbers.policy_egress,
        policy_ingress=numbers.policy_ingress,
        identity=numbers.identity,
        antispoof=port.port_security,
        transit=bool(port.chains),
        flow_count_max=port.flow_count_max,
    )
    routes = (
        InetRouteRow(numbers.vrf_id, prefix, numbers.layer3, 0, numbers.identity, port.mac)
        for prefix in plan.offered
    )
    bridge = BridgeRow(numbers.vrf_id, port.mac, numbers.layer2, 0, numbers.identity)
    fabric = dict(plan.ways).get(FABRIC_INSTANCE, VrfId(0))
    underlay = (
        InetRouteRow(fabric, prefix, numbers.layer3, 0, numbers.identity, port.mac)
        for prefix in plan.underlay_prefixes
    )
    return (
        interface,
        *source_rows(plan.active, numbers.vif_id),
        *_bgp_rows(plan),
        LabelRow(numbers.label, numbers.layer3),
        LabelRow(numbers.layer2_label, numbers.layer2),
        *(() if plan.active.failing.port else (bridge,)),
        *routes,
        *underlay,
    )


def _bgp_rows(plan: PortPlan) -> Iterator[BgpServiceRow]:
    """Yield where the workload may speak BGP: the gateway for the first control node, the service
    address for the second. Control nodes of the service's zones come before the agent's own.
    """
    port = plan.active.port
    controls = [
        zoned or own
        for zoned, own in zip_longest(port.bgp_controls, plan.controls[: len(port.bgp_controls)])
    ]
    for address in port.addresses if port.bgp_port else ():
        subnet = port.network.subnet_of(address)
        if subnet is None:
            continue
        for place, control in zip((subnet.gateway, subnet.service_address), controls, strict=False):
            if isinstance(place, IPv4Address) and control is not None:
                yield BgpServiceRow(
                    plan.numbers.vif_id, place, control, port.bgp_port, plan.underlay_ifindex
                )


def published_routes(plan: PortPlan) -> dict[PublishKey, Route]:
    """Each address as a host route and, with the MAC, as a layer 2 route; prefixes behind it."""
    port, numbers = plan.active.port, plan.numbers
    address, kinds = plan.offer
    attributes = RouteAttributes(
        local_preference=plan.preference,
        security_groups=tuple(sorted(plan.identity.groups)),
        sub_protocol="service-interface" if port.chains else "interface",
        sticky=port.has_sticky_mac,
    )

    native = (NATIVE,) if plan.underlay_prefixes else ()

    def route(key: RouteKey, label: int, l3_label: int) -> Route:
        without = native if isinstance(key, IPv4Network) else ()
        next_hop = NextHop(
            address=address,
            label=Label(label),
            l3_label=Label(l3_label),
            vni=Vni(port.network.vni),
            mac=port.mac,
            encapsulations=(*without, *(ENCAPSULATION_TEXTS[kind] for kind in kinds)),
            virtual_network=port.network.name,
            tags=port.security.tags,
        )
        number = plan.sequence if isinstance(key, EnetKey) else plan.sequence_of(key)
        moved = replace(attributes, sequence_number=number) if number else attributes
        return Route(key, (next_hop,), moved)

    found: dict[PublishKey, Route] = {}
    own = {ip_network(address) for address in port.addresses}
    for prefix in plan.offered:
        found[port.network.vrf, prefix] = made = route(prefix, numbers.label, 0)
        if prefix not in own:
            behind = replace(attributes, sub_protocol="interface-static", sticky=False)
            found[port.network.vrf, prefix] = replace(made, attributes=behind)
            continue
        key = EnetKey(port.mac, prefix)
        found[port.network.vrf, key] = route(key, numbers.layer2_label, numbers.label)
    for prefix in plan.underlay_prefixes:
        own_route = found[port.network.vrf, prefix]
        hop = NextHop(
            address,
            encapsulations=native,
            virtual_network=port.network.name,
            tags=port.security.tags,
        )
        found[FABRIC_INSTANCE, prefix] = replace(own_route, next_hops=(hop,))
    return found


def preferred(plans: Iterable[PortPlan]) -> list[PortPlan]:
    """Return those of the ports with an address that are to be used: a stand-by one waits."""
    listed = list(plans)
    best = max((plan.preference for plan in listed), default=0)
    return [plan for plan in listed if plan.preference == best]


def shared_route(prefix: IpNetwork, plans: Iterable[PortPlan]) -> Route:
    """Return the route of an address that several ports have: their next hops together."""
    routes = [published_routes(plan)[plan.vrf, prefix] for plan in plans]
    hops = dict.fromkeys(hop for route in routes for hop in route.next_hops)
    return Route(prefix, tuple(hops), routes[0].attributes)


def quarantine_row(plugged: PluggedPort, vif_id: VifId) -> InterfaceRow:
    """The row of an interface that must not forward: VRF 0 has no route and no MAC.

    Anti-spoofing is off because the workload's MAC is not known yet: its first DHCP request must
    reach the agent, which checks the MAC when it answers.
    """
    return InterfaceRow(
        ifindex=plugged.ifindex,
        vif_id=vif_id,
        kind=plugged.kind,
        vrf_id=VrfId(0),
        mac=_NO_MAC,
        mtu_bytes=plugged.link_mtu_bytes or 1500,
        policy_egress=PolicyId(0),
        policy_ingress=PolicyId(0),
        identity=IdentityId(0),
        antispoof=False,
    )
