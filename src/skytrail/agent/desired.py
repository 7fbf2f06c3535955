"""The whole desired state as one function of the current inputs.

```
 plugged + view -> ports -> VRFs -> local routes --+
 learnt routes ------------------------------------+-> merged routes -> next hops, labels
 policies + identities -> policy rows              +-> routes to publish, instances to subscribe
```
Nothing here remembers anything but numbers (``label``) and caches keyed by content.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_network

from skytrail.agent.fib import LearntRoute, LearntRoutes
from skytrail.agent.identity import Identity, IdentityTable
from skytrail.agent.interface import (
    ActivePort,
    PluggedPort,
    PortState,
    link_local,
    resolve_port,
    source_rows,
)
from skytrail.agent.label import Numbers
from skytrail.agent.nexthop import NextHopTable, Underlay
from skytrail.agent.policy import Policy, PolicyCompiler, port_policies
from skytrail.agent.tables import (
    ROW_TYPES,
    BridgeRow,
    Encapsulation,
    IdentityId,
    InetRouteRow,
    InterfaceKind,
    InterfaceRow,
    IpNetwork,
    LabelRow,
    NextHopId,
    PolicyId,
    Row,
    VifId,
    VniRow,
    VrfId,
)
from skytrail.agent.view import View, VirtualNetwork
from skytrail.net import GATEWAY_MAC, Label, Mac, Vni
from skytrail.wire.xmpp import EnetKey, Family, NextHop, Route, RouteAttributes, RouteKey

UNDERLAY_VIF_NAME = "underlay"
_NO_MAC = Mac(bytes(6))
_MPLS_LABEL_FIRST = 16
_MPLS_LABEL_LAST = (1 << 20) - 1
LOCAL_PREFERENCE_ACTIVE = 200
ENCAPSULATION_TEXTS = {
    Encapsulation.MPLS_UDP: "udp",
    Encapsulation.MPLS_GRE: "gre",
    Encapsulation.VXLAN: "vxlan",
}
_ENCAPSULATIONS_UNSAID = ("gre",)
"""What a route without a list means on the wire."""
TableRows = dict[type[Row], dict[object, Row]]
PublishKey = tuple[str, RouteKey]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything the desired state depends on."""

    plugged: Mapping[str, PluggedPort]
    view: View
    learnt: LearntRoutes
    underlay: Underlay


@dataclass(frozen=True, slots=True)
class RouteSource:
    """Why a route is in the table, for people."""

    vrf: str
    key: RouteKey
    origin: str | LearntRoute
    """``local``, ``vrouter``, or the route learnt from control nodes."""
    ifnames: tuple[str, ...]


@dataclass(slots=True)
class Desired:
    """One recompute's result."""

    rows: TableRows = field(default_factory=lambda: {kind: {} for kind in ROW_TYPES})
    ports: dict[str, PortState] = field(default_factory=dict[str, PortState])
    vifs: dict[VifId, str] = field(default_factory=dict[VifId, str])
    """Number -> port uuid."""
    vrfs: dict[str, VrfId] = field(default_factory=dict[str, VrfId])
    """Instances to subscribe to, with their numbers."""
    published: dict[PublishKey, Route] = field(default_factory=dict[PublishKey, Route])
    remotes: frozenset[IPv4Address] = frozenset()
    identities: Mapping[IdentityId, Identity] = field(default_factory=dict[IdentityId, Identity])
    policies: Mapping[PolicyId, Policy] = field(default_factory=dict[PolicyId, Policy])
    sources: list[RouteSource] = field(default_factory=list[RouteSource])

    def put(self, row: Row) -> None:
        self.rows[type(row)][row.key] = row


class Planner:
    """Computes the desired state; what it keeps between runs are numbers and caches."""

    def __init__(self, numbers: Numbers) -> None:
        self.numbers = numbers
        self.policies = PolicyCompiler(numbers)
        self.ports: dict[str, _PortPlan] = {}

    def compute(self, inputs: Inputs) -> Desired:
        """Return the desired state. O(ports + routes + policy rows)."""
        desired = _compute(inputs, self)
        for uuid in self.ports.keys() - desired.ports.keys():
            del self.ports[uuid]
        return desired


def _compute(inputs: Inputs, planner: Planner) -> Desired:
    run = _Run(inputs, planner)
    run.underlay_interface()
    run.ports()
    run.local_routes()
    run.learnt_routes()
    run.finish()
    return run.desired


@dataclass(frozen=True, slots=True)
class _PortNumbers:
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


@dataclass(slots=True)
class _PortPlan:
    """What follows from one active port alone; kept as long as nothing it came from changes."""

    active: ActivePort
    offer: tuple[IPv4Address, tuple[Encapsulation, ...]]
    """Our tunnel address and encapsulations, which published routes carry."""
    policies: tuple[tuple[Policy, str], tuple[Policy, str]]
    """Egress and ingress, each with its digest."""
    identity: Identity
    prefixes: tuple[IpNetwork, ...]
    numbers: _PortNumbers | None = None
    rows: tuple[Row, ...] = ()
    published: dict[PublishKey, Route] = field(default_factory=dict[PublishKey, Route])


class _Run:
    """The stages of one recompute share these collections."""

    def __init__(self, inputs: Inputs, planner: Planner) -> None:
        self.desired = Desired()
        self._inputs = inputs
        self._planner = planner
        self._numbers = planner.numbers
        self._policies = planner.policies
        self._policies.begin()
        self._identities = IdentityTable(planner.numbers.identity)
        self._nexthops = NextHopTable(planner.numbers.nexthop, inputs.underlay)
        self._encapsulations = [
            (kind, ENCAPSULATION_TEXTS[kind]) for kind in inputs.view.encapsulations
        ]
        self._local: list[tuple[_PortPlan, _PortNumbers]] = []
        self._networks: dict[str, VirtualNetwork] = {}
        self._own_labels: dict[int, _PortNumbers] = {}
        self._own_addresses: set[tuple[VrfId, IpNetwork]] = set()
        self._local_offers: dict[tuple[VrfId, IpNetwork], list[tuple[_PortPlan, _PortNumbers]]] = {}

    def underlay_interface(self) -> None:
        underlay = self._inputs.underlay
        self.desired.put(
            InterfaceRow(
                ifindex=underlay.ifindex,
                vif_id=VifId(self._numbers.vif.number(UNDERLAY_VIF_NAME)),
                kind=InterfaceKind.UNDERLAY,
                vrf_id=VrfId(0),
                mac=underlay.mac,
                mtu_bytes=underlay.mtu_bytes,
                policy_egress=PolicyId(0),
                policy_ingress=PolicyId(0),
                identity=IdentityId(0),
                antispoof=False,
                tunnel_address=underlay.address,
            )
        )

    def ports(self) -> None:
        mtu_bytes = self._inputs.underlay.mtu_bytes
        for uuid, plugged in sorted(self._inputs.plugged.items()):
            state = resolve_port(plugged, self._inputs.view, underlay_mtu_bytes=mtu_bytes)
            self.desired.ports[uuid] = state
            vif_id = VifId(self._numbers.vif.number(uuid))
            self.desired.vifs[vif_id] = uuid
            if isinstance(state, ActivePort):
                self._active(state, vif_id)
            elif plugged.ifindex:
                self.desired.put(quarantine_row(plugged, vif_id))

    def _active(self, active: ActivePort, vif_id: VifId) -> None:
        plan = self._plan(active)
        vrf = active.port.network.vrf
        self._networks[vrf] = active.port.network
        numbers = self._port_numbers(plan, vif_id)
        self.desired.vrfs[vrf] = numbers.vrf_id
        if numbers != plan.numbers:
            plan.numbers = numbers
            plan.rows = _port_rows(plan, numbers)
            plan.published = _published(plan, numbers)
        for row in plan.rows:
            self.desired.put(row)
        self.desired.published |= plan.published
        self._local.append((plan, numbers))
        self._own_labels[numbers.label] = self._own_labels[numbers.layer2_label] = numbers
        for prefix in plan.prefixes:
            key = (numbers.vrf_id, prefix)
            self._local_offers.setdefault(key, []).append((plan, numbers))

    def _plan(self, active: ActivePort) -> _PortPlan:
        """Return the port's plan, a new one when its inputs are not the very same."""
        offer = (self._inputs.underlay.address, self._inputs.view.encapsulations)
        port = active.port
        plan = self._planner.ports.get(port.uuid)
        if plan is not None and plan.active.port is port:
            same = plan.active.plugged == active.plugged
            if same and plan.active.mtu_bytes == active.mtu_bytes and plan.offer == offer:
                return plan
        egress, ingress = port_policies(port)
        groups = [group.group_id for group in port.groups if group.group_id and port.port_security]
        plan = _PortPlan(
            active=active,
            offer=offer,
            policies=((egress, egress.digest), (ingress, ingress.digest)),
            identity=Identity(frozenset((port.network.name,)), frozenset(groups)),
            prefixes=tuple(ip_network(address) for address in port.addresses),
        )
        self._planner.ports[port.uuid] = plan
        return plan

    def _port_numbers(self, plan: _PortPlan, vif_id: VifId) -> _PortNumbers:
        """Ask for every number, which also keeps them from being retired."""
        port = plan.active.port
        egress, ingress = plan.policies
        return _PortNumbers(
            vif_id=vif_id,
            vrf_id=VrfId(self._numbers.vrf.number(port.network.vrf)),
            identity=self._identities.intern(plan.identity),
            label=self._label(port.uuid, layer2=False),
            layer2_label=self._label(port.uuid, layer2=True),
            policy_egress=self._policies.intern(*egress),
            policy_ingress=self._policies.intern(*ingress),
            layer3=self._nexthops.interface(port.uuid, vif_id, layer2=False),
            layer2=self._nexthops.interface(port.uuid, vif_id, layer2=True),
        )

    def _label(self, uuid: str, *, layer2: bool) -> int:
        return self._numbers.label.number(f"{'l2' if layer2 else 'l3'}:{uuid}")

    def local_routes(self) -> None:
        for vrf, network in self._networks.items():
            self._service_routes(vrf, network)
        for (vrf_id, prefix), offers in self._local_offers.items():
            self._local_route(vrf_id, prefix, offers)

    def _service_routes(self, vrf: str, network: VirtualNetwork) -> None:
        """The vRouter's own addresses, and the VNI that leads into the VRF."""
        vrf_id = self.desired.vrfs[vrf]
        receive = self._nexthops.receive()
        addresses = {
            address
            for subnet in network.subnets
            for address in (subnet.gateway, subnet.service_address)
            if address is not None
        }
        if any(subnet.prefix.version == 6 for subnet in network.subnets):
            addresses.add(link_local(GATEWAY_MAC))
        for address in sorted(addresses, key=lambda a: (a.version, int(a))):
            prefix = ip_network(address)
            self._own_addresses.add((vrf_id, prefix))
            self.desired.put(InetRouteRow(vrf_id, prefix, receive, 0, IdentityId(0)))
            self._explain(vrf, prefix, "vrouter", ("receive",))
        if network.vni:
            bridge = self._nexthops.bridge(vrf, vrf_id)
            self.desired.put(VniRow(network.vni, bridge))

    def _local_route(
        self, vrf_id: VrfId, prefix: IpNetwork, offers: list[tuple[_PortPlan, _PortNumbers]]
    ) -> None:
        """An address of one port has its row already; shared by several, it is load-shared."""
        plan, numbers = offers[0]
        key = (vrf_id, prefix)
        if len(offers) > 1 and key not in self._own_addresses:
            nexthop = self._nexthops.ecmp((n.layer3, 0) for _, n in offers)
            mac = plan.active.port.mac
            self.desired.put(InetRouteRow(vrf_id, prefix, nexthop, 0, numbers.identity, mac))
        ifnames = tuple(p.active.plugged.ifname for p, _ in offers)
        self._explain(plan.active.port.network.vrf, prefix, "local", ifnames)

    def learnt_routes(self) -> None:
        for vrf, vrf_id in self.desired.vrfs.items():
            for family in (Family.INET, Family.INET6):
                for learnt in self._inputs.learnt.best(vrf, family):
                    if not isinstance(learnt.key, EnetKey):
                        self._learnt_inet(vrf, vrf_id, learnt.key, learnt)
            self._learnt_bridge(vrf, vrf_id)

    def _learnt_inet(self, vrf: str, vrf_id: VrfId, prefix: IpNetwork, learnt: LearntRoute) -> None:
        local = self._local_offers.get((vrf_id, prefix), [])
        if (vrf_id, prefix) in self._own_addresses:
            return  # Nobody may take over an address of the vRouter.
        if local and (learnt.local_preference, learnt.sequence_number) < (
            LOCAL_PREFERENCE_ACTIVE,
            0,
        ):
            return
        targets = [(hop, self._target(hop, layer2=False)) for hop in learnt.next_hops]
        usable = [(hop, target) for hop, target in targets if target is not None]
        members = list(dict.fromkeys(target for _, target in usable))
        if not members:
            return
        if local and not learnt.sequence_number:
            members = list(dict.fromkeys([*((n.layer3, 0) for _, n in local), *members]))
        # Do not share load with a tunnel that leads nowhere yet, unless there is nothing better.
        members = [m for m in members if self._nexthops.is_resolved(m[0])] or members
        identity = self._identities.of(
            [hop.virtual_network for hop, _ in usable if hop.virtual_network],
            learnt.security_groups,
            [tag for hop, _ in usable for tag in hop.tags],
        )
        nexthop, label = members[0]
        if len(members) > 1:
            nexthop, label = self._nexthops.ecmp(members), 0
        mac = next((hop.mac for hop, _ in usable if hop.mac), None)
        self.desired.put(InetRouteRow(vrf_id, prefix, nexthop, label, identity, mac))
        self._explain_learnt(vrf, learnt)

    def _learnt_bridge(self, vrf: str, vrf_id: VrfId) -> None:
        winners: dict[Mac, LearntRoute] = {}
        for learnt in self._inputs.learnt.best(vrf, Family.ENET):
            if not isinstance(learnt.key, EnetKey):
                continue
            mac, rank = learnt.key.mac, _enet_rank(learnt)
            if mac not in winners or rank > _enet_rank(winners[mac]):
                winners[mac] = learnt
        for mac, learnt in winners.items():
            if (vrf_id, mac) in self.desired.rows[BridgeRow] and not learnt.sequence_number:
                continue
            for hop in learnt.next_hops:
                target = self._target(hop, layer2=True)
                if target is not None:
                    identity = self._identities.of(
                        [hop.virtual_network] if hop.virtual_network else [],
                        learnt.security_groups,
                        hop.tags,
                    )
                    self.desired.put(BridgeRow(vrf_id, mac, target[0], target[1], identity))
                    self._explain_learnt(vrf, learnt)
                    break

    def _target(self, hop: NextHop, *, layer2: bool) -> tuple[NextHopId, int] | None:
        """Return (next hop, label) for an offer, or None when it cannot be used."""
        address = hop.address
        if not isinstance(address, IPv4Address):
            return None
        if address == self._inputs.underlay.address:
            # Our own workload, imported from another instance.
            own = self._own_labels.get(hop.label)
            if own is None:
                return None
            return (own.layer2 if layer2 else own.layer3), 0
        offered = hop.encapsulations or _ENCAPSULATIONS_UNSAID
        for kind, text in self._encapsulations:
            if text not in offered:
                continue
            if kind is Encapsulation.VXLAN:
                # VXLAN carries frames: routed packets need the far end's MAC to be put in.
                label = hop.vni or (hop.label if layer2 else 0)
                if not label or (not layer2 and hop.mac is None):
                    continue
            else:
                label = hop.label
                if not _MPLS_LABEL_FIRST <= label <= _MPLS_LABEL_LAST:
                    continue
            return self._nexthops.tunnel(address, kind, layer2=layer2), label
        return None

    def finish(self) -> None:
        desired = self.desired
        desired.identities = dict(self._identities.used())
        desired.policies = dict(self._policies.used())
        rows = self._policies.compile(desired.identities)
        for group in (rows.identities, rows.prefixes, rows.verdicts, rows.source_ports):
            for row in group:
                desired.put(row)
        for row in self._nexthops.rows():
            desired.put(row)
        desired.remotes = self._nexthops.remotes()
        self._numbers.finish_cycle()

    def _explain(self, vrf: str, key: RouteKey, origin: str, ifnames: tuple[str, ...]) -> None:
        self.desired.sources.append(RouteSource(vrf, key, origin, ifnames))

    def _explain_learnt(self, vrf: str, learnt: LearntRoute) -> None:
        self.desired.sources.append(RouteSource(vrf, learnt.key, learnt, ()))


def _port_rows(plan: _PortPlan, numbers: _PortNumbers) -> tuple[Row, ...]:
    port, plugged = plan.active.port, plan.active.plugged
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
        flow_count_max=port.flow_count_max,
    )
    routes = (
        InetRouteRow(numbers.vrf_id, prefix, numbers.layer3, 0, numbers.identity, port.mac)
        for prefix in plan.prefixes
    )
    return (
        interface,
        *source_rows(plan.active, numbers.vif_id),
        LabelRow(numbers.label, numbers.layer3),
        LabelRow(numbers.layer2_label, numbers.layer2),
        BridgeRow(numbers.vrf_id, port.mac, numbers.layer2, 0, numbers.identity),
        *routes,
    )


def _published(plan: _PortPlan, numbers: _PortNumbers) -> dict[PublishKey, Route]:
    """Each address as a host route and, with the MAC, as a layer 2 route."""
    port = plan.active.port
    address, kinds = plan.offer
    attributes = RouteAttributes(
        local_preference=LOCAL_PREFERENCE_ACTIVE,
        security_groups=tuple(sorted(plan.identity.groups)),
        sub_protocol="interface",
    )

    def route(key: RouteKey, label: int, l3_label: int) -> Route:
        next_hop = NextHop(
            address=address,
            label=Label(label),
            l3_label=Label(l3_label),
            vni=Vni(port.network.vni),
            mac=port.mac,
            encapsulations=tuple(ENCAPSULATION_TEXTS[kind] for kind in kinds),
            virtual_network=port.network.name,
        )
        return Route(key, (next_hop,), attributes)

    found: dict[PublishKey, Route] = {}
    for prefix in plan.prefixes:
        found[port.network.vrf, prefix] = route(prefix, numbers.label, 0)
        key = EnetKey(port.mac, prefix)
        found[port.network.vrf, key] = route(key, numbers.layer2_label, numbers.label)
    return found


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


def _enet_rank(learnt: LearntRoute) -> tuple[bool, int, int, bool]:
    has_address = isinstance(learnt.key, EnetKey) and learnt.key.address is not None
    return not learnt.stale, learnt.local_preference, learnt.sequence_number, has_address
