"""What one active port contributes: its rows, and the routes that are published for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from skytrail.agent.bgp_relay import bgp_places
from skytrail.agent.fabric import host_side_address, host_side_address6
from skytrail.agent.fib import LearntRoute
from skytrail.agent.floating_config import Binding
from skytrail.agent.flow_config import fat_rows
from skytrail.agent.identity import Identity
from skytrail.agent.interface import ActivePort, LearntAddress, PluggedPort, source_rows
from skytrail.agent.ledger import PublishKey
from skytrail.agent.mac_config import LEARNT_PREFERENCE
from skytrail.agent.network_config import VirtualNetwork
from skytrail.agent.nexthop import Underlay
from skytrail.agent.qos import rate_rows
from skytrail.agent.share import FIELD_HASH, fields_of, share_of
from skytrail.agent.tables import (
    BgpServiceRow,
    BridgeRow,
    Encapsulation,
    FloatingPortRow,
    FloatingRow,
    IdentityId,
    InetRouteRow,
    InterfaceKind,
    InterfaceRow,
    IpNetwork,
    LabelRow,
    MirrorRow,
    NextHopId,
    PolicyId,
    PortMirrorRow,
    QosId,
    Row,
    SeenMacRow,
    SourceRow,
    VifId,
    VrfId,
)
from skytrail.agent.workload_bgp import gates, is_relayed
from skytrail.net import GATEWAY_MAC, IpAddress, Label, Mac, Vni, router_mac
from skytrail.wire.xmpp import EnetKey, NextHop, Route, RouteAttributes, RouteKey

ENCAPSULATION_TEXTS = {
    Encapsulation.MPLS_UDP: "udp",
    Encapsulation.MPLS_GRE: "gre",
    Encapsulation.VXLAN: "vxlan",
}
ENCAPSULATIONS_UNSAID = ("gre",)
"""What a route without a list means on the wire."""
_MPLS_LABELS = range(16, 1 << 20)
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
    qos_id: QosId
    """Of what it sends, where no rule says."""


@dataclass(frozen=True, slots=True)
class FloatingPlan:
    """A floating or alias address of a port, and who the port is under it."""

    binding: Binding
    network: VirtualNetwork
    vrf_id: VrfId
    identity: IdentityId
    policy_egress: PolicyId
    policy_ingress: PolicyId
    ways: tuple[str, ...]
    """VRFs that what has to do with it goes through."""

    @property
    def prefix(self) -> IpNetwork:
        return ip_network(self.binding.outside)


@dataclass(frozen=True, slots=True)
class PortPlan:
    """One active port as its own rows and the units around it see it."""

    active: ActivePort
    offer: tuple[IpAddress, tuple[Encapsulation, ...]]
    """Our tunnel address and encapsulations, which published routes carry."""
    identity: Identity
    prefixes: tuple[IpNetwork, ...]
    numbers: PortNumbers
    ways: tuple[tuple[str, VrfId], ...] = ()
    """Other VRFs that rules of its policies lead to."""
    controls: tuple[IpAddress, ...] = ()
    underlay_ifindex: int = 0
    floating: tuple[FloatingPlan, ...] = ()
    mirrors: tuple[MirrorRow, ...] = ()
    """Of its frames, and of its policies' rules."""
    port_mirror: PortMirrorRow | None = None
    host_vrf: VrfId | None = None
    """Where answers of the host's own services are led back to it; None: there are none."""
    behind: Mapping[IpNetwork, LearntAddress] = field(
        default_factory=dict[IpNetwork, LearntAddress]
    )
    """Addresses that were learnt behind it."""

    @property
    def vrf(self) -> str:
        return self.active.port.network.vrf

    @property
    def led_out(self) -> tuple[str, ...]:
        """VRFs whose workloads leave by its address: never its own."""
        told = self.active.port.source_nat
        return () if told is None else tuple([each for each in told.instances if each != self.vrf])

    @property
    def offered(self) -> tuple[IpNetwork, ...]:
        """What others may be led to it for: not what a health check fails for."""
        failing = self.active.failing
        return tuple([prefix for prefix in self.prefixes if not failing.takes(prefix)])

    @property
    def visits(self) -> tuple[FloatingPlan, ...]:
        """Its floating and alias addresses that others may be led to it for, likewise."""
        failing = self.active.failing
        if not self.active.port.network.forwarding.routes:
            return ()
        return tuple(
            [each for each in self.floating if not failing.takes(ip_network(each.binding.inside))]
        )

    @property
    def places(self) -> dict[tuple[str, IpNetwork], tuple[VrfId, IdentityId]]:
        """Where routes lead to the port: instance and prefix, and what the route's row says."""
        numbers = self.numbers
        found: dict[tuple[str, IpNetwork], tuple[VrfId, IdentityId]] = {
            (each.network.vrf, each.prefix): (each.vrf_id, each.identity) for each in self.visits
        }
        own = (numbers.vrf_id, numbers.identity)
        if not self.active.port.network.forwarding.routes:
            return found
        return found | {(self.vrf, prefix): own for prefix in (*self.offered, *self.behind)}

    @property
    def is_bridged(self) -> bool:
        """Whether frames are led to it by its MAC."""
        active = self.active
        if active.port.source_nat is not None:
            return False
        return active.port.network.forwarding.bridges and not active.failing.port

    @property
    def learnt(self) -> tuple[tuple[Mac, int], ...]:
        """MACs that are behind it, with their sequence numbers."""
        if not self.is_bridged:
            return ()
        if not self.behind:
            return self.active.macs.sequences
        found = dict(self.active.macs.sequences)
        for each in self.behind.values():
            if each.mac != self.active.port.mac:
                found[each.mac] = max(found.get(each.mac, 0), each.sequence)
        return tuple(found.items())

    def is_own(self, place: tuple[str, IpNetwork]) -> bool:
        """Whether one of its ``places`` is configured, not learnt."""
        vrf, prefix = place
        return vrf != self.vrf or prefix not in self.behind

    @property
    def has_mac(self) -> bool:
        """Whether its MAC is known to others, so that frames may be for it."""
        port = self.active.port
        return port.network.forwarding.bridges and port.source_nat is None

    def mac_of(self, place: tuple[str, IpNetwork]) -> Mac:
        """Return whom frames for one of its ``places`` are sent to."""
        if self.active.port.source_nat is not None:
            return GATEWAY_MAC
        return self.active.port.mac if self.is_own(place) else self.behind[place[1]].mac

    @property
    def underlay_prefixes(self) -> tuple[IPv4Network, ...]:
        """What of it the underlay routes to: an IPv6 underlay, nothing."""
        if self.offer[0].version != 4:
            return ()
        found = [each.prefix for each in self.visits if each.network.is_underlay]
        network = self.active.port.network
        if network.is_underlay and network.forwarding.routes:
            found += self.offered
        return tuple([prefix for prefix in found if isinstance(prefix, IPv4Network)])

    @property
    def preference(self) -> int:
        return self.active.port.local_preference

    def preference_of(self, place: tuple[str, IpNetwork]) -> int:
        """Return the preference of the route to one of its ``places``."""
        return self.preference if self.is_own(place) else LEARNT_PREFERENCE

    @property
    def share(self) -> int:
        """What stands for it among those that share an address."""
        return share_of(self.offer[0], self.numbers.label)

    @property
    def sequence(self) -> int:
        """Of its MAC: the highest of its own addresses."""
        own = {str(address) for address in self.active.port.addresses}
        numbers = [number for text, number in self.active.plugged.sequences if text in own]
        return max(numbers, default=0)

    def sequence_of(self, prefix: IpNetwork) -> int:
        """Return the mobility sequence number of one of its addresses; 0: it never moved."""
        if prefix in self.behind:
            return self.behind[prefix].sequence
        return dict(self.active.plugged.sequences).get(str(prefix.network_address), 0)


def addresses_behind(
    active: ActivePort, prefixes: Iterable[IpNetwork]
) -> dict[IpNetwork, LearntAddress]:
    """Return what was learnt behind a port, but for what it is configured with: ``prefixes``."""
    mode = active.port.network.forwarding
    if active.failing.port or not (mode.bridges and mode.routes):
        return {}
    found = {ip_network(each.address): each for each in active.macs.addresses}
    for prefix in prefixes if found else ():
        found.pop(prefix, None)
    return found


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
        antispoof=port.port_security and port.source_nat is None,
        tunnel_address=port.outward_address,
        transit=bool(port.chains),
        has_floating=bool(plan.floating),
        announces=any(not pair.is_shared for pair in port.address_pairs),
        is_watched=plan.port_mirror is not None or plan.active.is_captured,
        tag=plugged.tag,
        flow_count_max=port.flow_count_max,
        qos_id=numbers.qos_id,
        rated_sent=bool(port.rates.sent),
        rated_received=bool(port.rates.received),
        packet_mode=port.policy_disabled,
        merges_flows=bool(port.fat_flows.merged or port.network.fat_flows.merged),
        folds_flows=bool(port.fat_flows.folded or port.network.fat_flows.folded),
        is_layer2=not port.network.forwarding.routes,
        is_layer3=not port.network.forwarding.bridges,
        asks_members=port.network.floods_unknown and port.network.forwarding.bridges,
        lets_dhcp_by=port.network.lets_dhcp_by,
        learns=port.learning is not None,
        macs_full=plan.active.macs.is_full,
        learns_addresses=port.address_learning is not None,
    )
    routes = (
        InetRouteRow(vrf_id, place[1], numbers.layer3, 0, identity, plan.mac_of(place))
        for place, (vrf_id, identity) in plan.places.items()
    )
    bridge = BridgeRow(numbers.vrf_id, port.mac, numbers.layer2, 0, numbers.identity)
    fabric = dict(plan.ways).get(FABRIC_INSTANCE, VrfId(0))
    underlay = (
        InetRouteRow(fabric, prefix, numbers.layer3, 0, numbers.identity, port.mac)
        for prefix in plan.underlay_prefixes
    )
    if port.tag is not None:
        rates = rate_rows(numbers.vif_id, port.rates)
        return (interface, *rates, LabelRow(numbers.label, numbers.layer3), *plan.mirrors, *routes)
    return (
        interface,
        *rate_rows(numbers.vif_id, port.rates),
        *fat_rows(numbers.vif_id, port.fat_flows, port.network.fat_flows),
        *source_rows(plan.active, numbers.vif_id),
        *_bgp_rows(plan),
        *_floating_rows(plan),
        *plan.mirrors,
        *(() if plan.port_mirror is None else (plan.port_mirror,)),
        *_host_routes(plan),
        LabelRow(numbers.label, numbers.layer3),
        LabelRow(numbers.layer2_label, numbers.layer2),
        *((bridge,) if plan.is_bridged else ()),
        *(replace(bridge, mac=mac) for mac, _ in plan.learnt),
        *(
            SeenMacRow(numbers.vif_id, mac)
            for mac, _ in plan.active.macs.sequences
            if plan.is_bridged
        ),
        *routes,
        *underlay,
    )


def _host_routes(plan: PortPlan) -> Iterator[Row]:
    """Yield how what the host answers finds the port."""
    if plan.host_vrf:
        numbers = plan.numbers
        for prefix in (
            IPv4Network(host_side_address(numbers.vif_id)),
            IPv6Network(host_side_address6(numbers.vif_id)),
        ):
            yield InetRouteRow(plan.host_vrf, prefix, numbers.layer3, 0, numbers.identity)


def _floating_rows(plan: PortPlan) -> Iterator[Row]:
    vif_id = plan.numbers.vif_id
    for place, each in enumerate(plan.floating):
        binding = each.binding
        yield FloatingRow(
            vif_id=vif_id,
            place=place,
            outside=binding.outside,
            inside=binding.inside,
            vrf_id=each.vrf_id,
            identity=each.identity,
            policy_egress=each.policy_egress,
            policy_ingress=each.policy_ingress,
            is_inward=binding.is_inward,
            is_outward=binding.is_outward,
            has_ports=binding.ports is not None,
        )
        for protocol, outer, inner in binding.ports or ():
            at = binding.outside
            yield FloatingPortRow(vif_id, at, protocol, outer, is_inside=False, to_port=inner)
            yield FloatingPortRow(vif_id, at, protocol, inner, is_inside=True, to_port=outer)


def _bgp_rows(plan: PortPlan) -> Iterator[BgpServiceRow]:
    """Yield where the workload may speak BGP; what is relayed goes to the relay, once it is there."""
    bgp, plugged = plan.active.port.bgp, plan.active.plugged
    if bgp is None:
        return
    vif_id, own = plan.numbers.vif_id, plan.offer[0]
    if is_relayed(bgp, own):
        if plugged.relay_ifindex:
            anything = IPv4Address(0)
            yield BgpServiceRow(vif_id, anything, anything, 0, plugged.relay_ifindex)
        return
    for place, control in gates(bgp, bgp_places(plan.active.port), plan.controls, own):
        if isinstance(place, IPv4Address) and isinstance(control, IPv4Address):
            yield BgpServiceRow(vif_id, place, control, bgp.source_port, plan.underlay_ifindex)


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
    attributes = _balanced(attributes, port.omitted)

    native = (NATIVE,) if plan.underlay_prefixes else ()
    mode = port.network.forwarding

    def route(key: RouteKey, label: int, l3_label: int) -> Route:
        without = native if isinstance(key, IPv4Network) else ()
        next_hop = NextHop(
            address=address,
            label=Label(label),
            l3_label=Label(l3_label),
            vni=Vni(port.network.vni),
            # Frames for who has no MAC to others are sent to the vRouter as a router.
            mac=port.mac if plan.has_mac else router_mac(address),
            encapsulations=(*without, *(ENCAPSULATION_TEXTS[kind] for kind in kinds)),
            virtual_network=port.network.name,
            tags=port.security.tags,
        )
        number = plan.sequence if isinstance(key, EnetKey) else plan.sequence_of(key)
        moved = replace(attributes, sequence_number=number) if number else attributes
        return Route(key, (next_hop,), moved)

    found: dict[PublishKey, Route] = {}
    own = {ip_network(address) for address in port.addresses}
    communities = {each.prefix: each.communities for each in port.routes}
    for prefix in plan.offered if mode.routes else ():
        found[port.network.vrf, prefix] = made = route(prefix, numbers.label, 0)
        if prefix not in own:
            behind = replace(
                made.attributes,
                sub_protocol="interface-static",
                sticky=False,
                communities=communities.get(prefix, ()),
            )
            found[port.network.vrf, prefix] = replace(made, attributes=behind)
            continue
    for key in _layer2_keys(plan):
        l3_label = numbers.label if mode.routes else 0
        found[port.network.vrf, key] = route(key, numbers.layer2_label, l3_label)
        if isinstance(key, EnetKey) and key.address is None and port.network.learning is not None:
            # What is learnt elsewhere has no address, too: it shall not take over the port's.
            made = found[port.network.vrf, key]
            sticky = replace(made.attributes, sticky=True)
            found[port.network.vrf, key] = replace(made, attributes=sticky)
    found.update(_learnt_routes(plan, attributes))
    for each in plan.visits:
        found[each.network.vrf, each.prefix] = _floating_route(plan, each, attributes)
    names = {
        each.prefix: (each.network.vrf, each.network.name)
        for each in plan.visits
        if each.network.is_underlay
    }
    for prefix in plan.underlay_prefixes:
        vrf, name = names.get(prefix, (port.network.vrf, port.network.name))
        tags = port.security.tags
        hop = NextHop(address, encapsulations=(NATIVE,), virtual_network=name, tags=tags)
        found[FABRIC_INSTANCE, prefix] = replace(found[vrf, prefix], next_hops=(hop,))
    return found


def _layer2_keys(plan: PortPlan) -> Iterator[EnetKey]:
    """Yield what the port's MAC is published under: with each address, or without if it has none."""
    port = plan.active.port
    if port.tag is not None or not plan.is_bridged:
        return
    own = {ip_network(address) for address in port.addresses}
    for prefix in plan.offered:
        if prefix in own:
            yield EnetKey(port.mac, prefix)
    if not port.addresses:
        yield EnetKey(port.mac, None)


def _learnt_routes(
    plan: PortPlan, attributes: RouteAttributes
) -> Iterator[tuple[PublishKey, Route]]:
    """Yield what is published of MACs behind the port, and of addresses with theirs.

    Addresses are told with a preference below any port's, so that others know them for learnt.
    """
    port, (address, kinds) = plan.active.port, plan.offer
    hop = NextHop(
        address=address,
        label=Label(plan.numbers.layer2_label),
        vni=Vni(port.network.vni),
        encapsulations=tuple([ENCAPSULATION_TEXTS[kind] for kind in kinds]),
        virtual_network=port.network.name,
        tags=port.security.tags,
    )
    for mac, number in plan.learnt:
        told = replace(attributes, sequence_number=number, sticky=False)
        route = Route(EnetKey(mac, None), (replace(hop, mac=mac),), told)
        yield (port.network.vrf, route.key), route
    layer3 = Label(plan.numbers.label)
    for prefix, each in plan.behind.items():
        told = replace(
            attributes,
            local_preference=LEARNT_PREFERENCE,
            sequence_number=each.sequence,
            sticky=False,
        )
        framed = replace(hop, mac=each.mac, l3_label=layer3)
        routed = replace(framed, label=layer3, l3_label=Label(0))
        for key, way in ((EnetKey(each.mac, prefix), framed), (prefix, routed)):
            yield (port.network.vrf, key), Route(key, (way,), told)


def _floating_route(plan: PortPlan, each: FloatingPlan, attributes: RouteAttributes) -> Route:
    """A route of the address's network with the label of the port.

    Whoever sends frames (VXLAN) sends them to the vRouter as a router: the port's MAC is not known
    in that network.
    """
    address, kinds = plan.offer
    is_underlay = each.network.is_underlay and address.version == 4
    is_native = is_underlay and isinstance(each.prefix, IPv4Network)
    native = (NATIVE,) if is_native else ()
    hop = NextHop(
        address=address,
        label=Label(plan.numbers.label),
        vni=Vni(each.network.vni),
        mac=router_mac(address),
        encapsulations=(*native, *(ENCAPSULATION_TEXTS[kind] for kind in kinds)),
        virtual_network=each.network.name,
        tags=plan.active.port.security.tags,
    )
    return Route(each.prefix, (hop,), attributes)


def receive_rows(
    vrf_id: VrfId, receive: NextHopId, addresses: Iterable[IpNetwork]
) -> list[InetRouteRow]:
    """What the vRouter takes for itself in a VRF."""
    return [InetRouteRow(vrf_id, each, receive, 0, IdentityId(0)) for each in addresses]


def is_mpls_label(label: int) -> bool:
    return label in _MPLS_LABELS


def preferred(plans: Iterable[PortPlan], place: tuple[str, IpNetwork]) -> list[PortPlan]:
    """Return those of the ports with an address that are to be used: a stand-by one waits."""
    listed = list(plans)
    best = max((plan.preference_of(place) for plan in listed), default=0)
    return [plan for plan in listed if plan.preference_of(place) == best]


def _balanced(attributes: RouteAttributes, omitted: int) -> RouteAttributes:
    if not omitted:
        return attributes
    return replace(
        attributes,
        load_balance_fields=fields_of(omitted),
        load_balance_decision=FIELD_HASH,
    )


def omitted_by(plans: Iterable[PortPlan]) -> int:
    """Return the fields of flows that one of the ports wants left out when a member is chosen."""
    omitted = 0
    for plan in plans:
        omitted |= plan.active.port.omitted
    return omitted


def shared_route(vrf: str, prefix: IpNetwork, plans: Iterable[PortPlan]) -> Route:
    """Return the route of an address that several ports have: their next hops together."""
    listed = list(plans)
    routes = [published_routes(plan)[vrf, prefix] for plan in listed]
    hops = dict.fromkeys(hop for route in routes for hop in route.next_hops)
    return Route(prefix, tuple(hops), _balanced(routes[0].attributes, omitted_by(listed)))


def led_back(
    place: tuple[str, IpNetwork],
    learnt: LearntRoute,
    own: tuple[IpAddress, Mapping[int, PortPlan]],
) -> Iterator[SourceRow]:
    """Yield what ports of this very VRF may send from because a route leads to them.

    ``own``: our tunnel address, and the ports by label.
    """
    vrf, prefix = place
    address, labels = own
    for hop in learnt.next_hops:
        plan = labels.get(hop.label)
        if hop.address == address and plan is not None and plan.vrf == vrf:
            port = plan.active.port
            allowed = {*plan.prefixes, *(pair.prefix for pair in port.address_pairs)}
            if port.port_security and prefix not in allowed:
                yield SourceRow(plan.numbers.vif_id, prefix, port.mac)


def quarantine_row(plugged: PluggedPort, vif_id: VifId, *, is_captured: bool) -> InterfaceRow:
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
        is_watched=is_captured,
    )


def underlay_row(
    underlay: Underlay,
    vif_id: VifId,
    vrf_id: VrfId,
    *,
    qos_id: QosId,
    replicator: IpAddress | None,
    translates: bool,
    checks_ends: bool,
) -> InterfaceRow:
    return InterfaceRow(
        ifindex=underlay.ifindex,
        vif_id=vif_id,
        kind=InterfaceKind.UNDERLAY,
        vrf_id=vrf_id,
        mac=underlay.mac,
        mtu_bytes=underlay.mtu_bytes,
        policy_egress=PolicyId(0),
        policy_ingress=PolicyId(0),
        identity=IdentityId(0),
        antispoof=False,
        tunnel_address=underlay.address4,
        tunnel_address6=underlay.address if isinstance(underlay.address, IPv6Address) else None,
        replicator_address=replicator,
        qos_id=qos_id,
        priority_tags=underlay.priority_tags,
        translates=translates,
        checks_ends=checks_ends,
        # In order: what the datapath reads back has none of its own.
        further_links=tuple(sorted(underlay.further_links)),
    )
