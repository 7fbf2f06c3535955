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
    expected_mac,
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
LOCAL_PREFERENCE_ACTIVE = 200
ENCAPSULATION_TEXTS = {
    Encapsulation.MPLS_UDP: "udp",
    Encapsulation.MPLS_GRE: "gre",
    Encapsulation.VXLAN: "vxlan",
}
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
    origin: str
    """``local``, or the control nodes it was learnt from."""
    stale: bool
    next_hops: tuple[str, ...]


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


def compute(inputs: Inputs, numbers: Numbers, policies: PolicyCompiler) -> Desired:
    """Return the desired state. O(ports + routes + policy rows)."""
    run = _Run(inputs, numbers, policies)
    run.underlay_interface()
    run.ports()
    run.local_routes()
    run.learnt_routes()
    run.finish()
    return run.desired


@dataclass(slots=True)
class _LocalPort:
    active: ActivePort
    vif_id: VifId
    vrf_id: VrfId
    identity: IdentityId
    label: int
    layer2_label: int


class _Run:
    """The stages of one recompute share these collections."""

    def __init__(self, inputs: Inputs, numbers: Numbers, policies: PolicyCompiler) -> None:
        self.desired = Desired()
        self._inputs = inputs
        self._numbers = numbers
        self._policies = policies
        self._policies.begin()
        self._identities = IdentityTable(numbers.identity)
        self._nexthops = NextHopTable(numbers.nexthop, inputs.underlay)
        self._local: list[_LocalPort] = []
        self._networks: dict[str, VirtualNetwork] = {}
        self._own_labels: dict[int, _LocalPort] = {}
        self._local_offers: dict[tuple[VrfId, IpNetwork], list[_LocalPort]] = {}

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
        port, plugged = active.port, active.plugged
        vrf = port.network.vrf
        vrf_id = VrfId(self._numbers.vrf.number(vrf))
        self.desired.vrfs[vrf] = vrf_id
        self._networks[vrf] = port.network
        groups = [group.group_id for group in port.groups] if port.port_security else []
        identity = self._identities.of([port.network.name], groups, [])
        egress, ingress = port_policies(port)
        self.desired.put(
            InterfaceRow(
                ifindex=plugged.ifindex,
                vif_id=vif_id,
                kind=plugged.kind,
                vrf_id=vrf_id,
                mac=port.mac,
                mtu_bytes=active.mtu_bytes,
                policy_egress=self._policies.intern(egress),
                policy_ingress=self._policies.intern(ingress),
                identity=identity,
                antispoof=port.port_security,
                flow_count_max=port.flow_count_max,
            )
        )
        for row in source_rows(active, vif_id):
            self.desired.put(row)
        local = _LocalPort(
            active=active,
            vif_id=vif_id,
            vrf_id=vrf_id,
            identity=identity,
            label=self._label(port.uuid, layer2=False),
            layer2_label=self._label(port.uuid, layer2=True),
        )
        self._local.append(local)
        self._own_labels[local.label] = local
        self._own_labels[local.layer2_label] = local

    def _label(self, uuid: str, *, layer2: bool) -> int:
        return self._numbers.label.number(f"{'l2' if layer2 else 'l3'}:{uuid}")

    def local_routes(self) -> None:
        for vrf, network in self._networks.items():
            self._service_routes(vrf, network)
        for local in self._local:
            self._port_routes(local)
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
            self.desired.put(InetRouteRow(vrf_id, prefix, receive, 0, IdentityId(0)))
            self._explain(vrf, prefix, "vrouter", "receive")
        if network.vni:
            bridge = self._nexthops.bridge(vrf, vrf_id)
            self.desired.put(VniRow(network.vni, bridge))

    def _port_routes(self, local: _LocalPort) -> None:
        port = local.active.port
        layer3 = self._nexthops.interface(port.uuid, local.vif_id, layer2=False)
        layer2 = self._nexthops.interface(port.uuid, local.vif_id, layer2=True)
        self.desired.put(LabelRow(local.label, layer3))
        self.desired.put(LabelRow(local.layer2_label, layer2))
        self.desired.put(BridgeRow(local.vrf_id, port.mac, layer2, 0, local.identity))
        for address in port.addresses:
            key = (local.vrf_id, ip_network(address))
            self._local_offers.setdefault(key, []).append(local)
            self._publish(local, ip_network(address))

    def _local_route(self, vrf_id: VrfId, prefix: IpNetwork, offers: list[_LocalPort]) -> None:
        members = [
            (self._nexthops.interface(o.active.port.uuid, o.vif_id, layer2=False), 0)
            for o in offers
        ]
        nexthop = members[0][0] if len(members) == 1 else self._nexthops.ecmp(members)
        mac = offers[0].active.port.mac
        row = InetRouteRow(vrf_id, prefix, nexthop, 0, offers[0].identity, mac)
        existing = self.desired.rows[InetRouteRow].get(row.key)
        if existing is None:
            self.desired.put(row)
        vrf = offers[0].active.port.network.vrf
        self._explain(vrf, prefix, "local", *(o.active.plugged.ifname for o in offers))

    def _publish(self, local: _LocalPort, prefix: IpNetwork) -> None:
        port = local.active.port
        encapsulations = tuple(
            ENCAPSULATION_TEXTS[kind] for kind in self._inputs.view.encapsulations
        )
        groups = [group.group_id for group in port.groups] if port.port_security else []
        attributes = RouteAttributes(
            local_preference=LOCAL_PREFERENCE_ACTIVE,
            security_groups=tuple(sorted(groups)),
            sub_protocol="interface",
        )

        def route(key: RouteKey, label: int, l3_label: int) -> Route:
            next_hop = NextHop(
                address=self._inputs.underlay.address,
                label=Label(label),
                l3_label=Label(l3_label),
                vni=Vni(port.network.vni),
                mac=port.mac,
                encapsulations=encapsulations,
                virtual_network=port.network.name,
            )
            return Route(key, (next_hop,), attributes)

        vrf = port.network.vrf
        self.desired.published[(vrf, prefix)] = route(prefix, local.label, 0)
        key = EnetKey(port.mac, prefix)
        self.desired.published[(vrf, key)] = route(key, local.layer2_label, local.label)

    def learnt_routes(self) -> None:
        for vrf, vrf_id in self.desired.vrfs.items():
            for family in (Family.INET, Family.INET6):
                for learnt in self._inputs.learnt.best(vrf, family):
                    if not isinstance(learnt.key, EnetKey):
                        self._learnt_inet(vrf, vrf_id, learnt.key, learnt)
            self._learnt_bridge(vrf, vrf_id)

    def _learnt_inet(self, vrf: str, vrf_id: VrfId, prefix: IpNetwork, learnt: LearntRoute) -> None:
        local = self._local_offers.get((vrf_id, prefix), [])
        existing = self.desired.rows[InetRouteRow].get((vrf_id, prefix))
        if existing is not None and not local:
            return  # The vRouter's own address: nobody may take it over.
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
        better = learnt.sequence_number > 0
        if local and not better:
            members = self._local_members(local) + [
                m for m in members if m not in self._local_members(local)
            ]
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

    def _local_members(self, local: list[_LocalPort]) -> list[tuple[NextHopId, int]]:
        return [
            (self._nexthops.interface(o.active.port.uuid, o.vif_id, layer2=False), 0) for o in local
        ]

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
            uuid = own.active.port.uuid
            return self._nexthops.interface(uuid, own.vif_id, layer2=layer2), 0
        for kind in self._inputs.view.encapsulations:
            if ENCAPSULATION_TEXTS[kind] not in (hop.encapsulations or ("gre",)):
                continue
            if kind is Encapsulation.VXLAN:
                # VXLAN carries frames: routed packets need the far end's MAC to be put in.
                label = hop.vni or (hop.label if layer2 else 0)
                if not label or (not layer2 and hop.mac is None):
                    continue
            else:
                label = hop.label
                if not label:
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

    def _explain(self, vrf: str, key: RouteKey, origin: str, *next_hops: str) -> None:
        self.desired.sources.append(RouteSource(vrf, key, origin, False, next_hops))

    def _explain_learnt(self, vrf: str, learnt: LearntRoute) -> None:
        hops = tuple(
            f"{hop.address} label {hop.label} vni {hop.vni} {'/'.join(hop.encapsulations)}"
            f" {hop.virtual_network}"
            for hop in learnt.next_hops
        )
        origin = ", ".join(learnt.sources)
        self.desired.sources.append(RouteSource(vrf, learnt.key, origin, learnt.stale, hops))


def quarantine_row(plugged: PluggedPort, vif_id: VifId) -> InterfaceRow:
    """The row of an interface that must not forward: in no VRF, no source allowed."""
    return InterfaceRow(
        ifindex=plugged.ifindex,
        vif_id=vif_id,
        kind=plugged.kind,
        vrf_id=VrfId(0),
        mac=expected_mac(plugged.vmi_uuid),
        mtu_bytes=plugged.link_mtu_bytes or 1500,
        policy_egress=PolicyId(0),
        policy_ingress=PolicyId(0),
        identity=IdentityId(0),
        antispoof=True,
    )


def _enet_rank(learnt: LearntRoute) -> tuple[bool, int, int, bool]:
    has_address = isinstance(learnt.key, EnetKey) and learnt.key.address is not None
    return not learnt.stale, learnt.local_preference, learnt.sequence_number, has_address
