"""Turns an active port into its plan: every number it needs, asked for by name. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_network

from skytrail.agent.fabric import HOST_VRF_NAME
from skytrail.agent.identity import IdentityTable
from skytrail.agent.interface import ActivePort
from skytrail.agent.label import NumbersExhausted
from skytrail.agent.mirror import Copied, copies_of_port, mirror_row
from skytrail.agent.nexthop import NextHopTable, Underlay
from skytrail.agent.policy import Policy, port_identity, port_policies
from skytrail.agent.port_config import Port
from skytrail.agent.port_rows import (
    FABRIC_INSTANCE,
    FloatingPlan,
    PortNumbers,
    PortPlan,
    addresses_behind,
)
from skytrail.agent.share import COPY_SIDES
from skytrail.agent.tables import (
    Encapsulation,
    IpNetwork,
    MirrorId,
    MirrorRow,
    NextHopId,
    PolicyId,
    PortMirrorRow,
    QosId,
    VifId,
    VrfId,
)


@dataclass(frozen=True, slots=True)
class PortPlanner:
    """Where a plan's numbers come from."""

    number: Callable[[str, str], int]
    policy: Callable[[Policy], PolicyId]
    identities: IdentityTable
    nexthops: NextHopTable

    def plan(
        self,
        active: ActivePort,
        vif_id: VifId,
        *,
        underlay: Underlay,
        encapsulations: tuple[Encapsulation, ...],
    ) -> PortPlan:
        """Return the plan of one port."""
        port = active.port
        identity = port_identity(port)
        egress, ingress = port_policies(port)
        floating = tuple(self._floating(port))
        ways = {*egress.instances, *ingress.instances}
        ways.update(name for each in floating for name in each.ways)
        if port.network.is_underlay or any(each.network.is_underlay for each in floating):
            ways.add(FABRIC_INSTANCE)
        copies, port_mirror = self._copies(port, vif_id, (egress, ingress))
        ways.update(each.to.instance for each in copies if each.to.instance)
        ways.discard(port.network.vrf)
        for name in (*egress.markings, *ingress.markings):
            self.number("qos", name)
        marked_by = port.network.qos or port.qos
        numbers = PortNumbers(
            vif_id=vif_id,
            vrf_id=VrfId(self.number("vrf", port.network.vrf)),
            identity=self.identities.intern(identity),
            label=self._label(port),
            layer2_label=self.number("label", f"l2:{port.uuid}"),
            policy_egress=self.policy(egress),
            policy_ingress=self.policy(ingress),
            layer3=self.nexthops.interface(port.uuid, vif_id, layer2=False),
            layer2=self.nexthops.interface(port.uuid, vif_id, layer2=True),
            qos_id=QosId(self.number("qos", marked_by) if marked_by else 0),
        )
        prefixes = tuple(dict.fromkeys(_prefixes(active)))
        return PortPlan(
            active=active,
            offer=(underlay.address, encapsulations),
            identity=identity,
            prefixes=prefixes,
            behind=addresses_behind(active, prefixes),
            numbers=numbers,
            ways=tuple([(name, VrfId(self.number("vrf", name))) for name in sorted(ways)]),
            controls=underlay.controls,
            underlay_ifindex=0 if underlay.is_routed else underlay.ifindex,
            floating=floating,
            mirrors=tuple(self._mirror_rows(copies, underlay)),
            port_mirror=port_mirror,
            host_vrf=VrfId(self.number("vrf", HOST_VRF_NAME)) if underlay.host else None,
        )

    def _label(self, port: Port) -> int:
        """Sides of one copy of a service have neighbouring labels: they share their flows."""
        if port.copy and port.chains and port.side in COPY_SIDES:
            return 2 * self.number("copy", port.copy) + COPY_SIDES.index(port.side)
        return self.number("label", f"l3:{port.uuid}")

    def _copies(
        self, port: Port, vif_id: VifId, policies: tuple[Policy, Policy]
    ) -> tuple[list[Copied], PortMirrorRow | None]:
        """Return every mirror the port has to do with, and those of all its frames."""
        copies = [each for policy in policies for each in policy.copies]
        if port.mirror is None or port.mirror.to.analyzer in port.addresses:
            return copies, None  # An analyzer does not get copies of copies.
        own = copies_of_port(port.mirror, port.network.name)
        sent, delivered = (self._mirror(each) if each else MirrorId(0) for each in own)
        copies += [each for each in own if each is not None]
        return copies, PortMirrorRow(vif_id, sent, delivered)

    def _mirror(self, copied: Copied) -> MirrorId:
        """Return the number of a mirror; 0 when all are in use."""
        try:
            return MirrorId(self.number("mirror", copied.name))
        except NumbersExhausted:
            return MirrorId(0)

    def _mirror_rows(self, copies: list[Copied], underlay: Underlay) -> Iterator[MirrorRow]:
        for copied in {each.name: each for each in copies}.values():
            mirror_id, to = self._mirror(copied), copied.to
            vrf_id, nexthop_id = VrfId(0), NextHopId(0)
            if to.instance:
                vrf_id = VrfId(self.number("vrf", to.instance))
            elif to.analyzer is not None:
                if not self.nexthops.reaches(to.analyzer):
                    continue  # Which is noted there, for the agent's health.
                native = Encapsulation.NATIVE
                nexthop_id = self.nexthops.tunnel(to.analyzer, native, layer2=False)
            if mirror_id:
                yield mirror_row(copied, mirror_id, underlay.address, (vrf_id, nexthop_id))

    def _floating(self, port: Port) -> Iterator[FloatingPlan]:
        """Under such an address the port is one of the address's network, with its own groups."""
        for binding, network in port.floating:
            there = replace(port, network=network, addresses=(binding.outside,))
            egress, ingress = port_policies(there)
            yield FloatingPlan(
                binding=binding,
                network=network,
                vrf_id=VrfId(self.number("vrf", network.vrf)),
                identity=self.identities.intern(port_identity(there)),
                policy_egress=self.policy(egress),
                policy_ingress=self.policy(ingress),
                ways=(network.vrf, *egress.instances, *ingress.instances),
            )


def _prefixes(active: ActivePort) -> Iterator[IpNetwork]:
    """Yield what others reach the port by in its own network."""
    port, announced = active.port, dict(active.plugged.sequences)
    yield from map(ip_network, port.addresses)
    yield from (route.prefix for route in port.routes)
    for pair in port.address_pairs:
        if pair.is_shared or (pair.is_host and str(pair.prefix.network_address) in announced):
            yield pair.prefix
