"""Why a packet goes where it goes: the kernel's walk, step by step, over installed rows.

``explain`` follows a packet out of one interface up to the tunnel or the local delivery, and
``explain_arrival`` follows it in from a label or VNI. Both name the row that decided each step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import IPv6Address, ip_address
from typing import Final

from skytrail.agent.fabric_way import fabric_way, is_link_service, snat_way
from skytrail.agent.floating import by_outside, leaves_by, mapped_port
from skytrail.agent.lookup import IpAddress, Tables, Verdict
from skytrail.agent.membership import is_of_link
from skytrail.agent.share import choose, flow_hash
from skytrail.agent.tables import (
    BridgeRow,
    FloatingRow,
    FloodRow,
    GroupRow,
    IdentityId,
    InetRouteRow,
    InterfaceKind,
    InterfaceRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    RuleId,
    VifId,
    VrfId,
)
from skytrail.agent.trace_quality import received_steps, sent_steps
from skytrail.agent.uplink import entropy_of
from skytrail.net import GATEWAY_MAC, Mac

NATIVE = "native"
"""How a packet comes in that has no tunnel."""
FORWARDED = "forwarded"
DELIVERED = "delivered"
RECEIVED = "received by the vRouter"
LEFT = "leaves for the host's own network"
COPIED = "copied to the members of the network"
"""Each of them may still refuse its copy by policy."""
_EVERYBODY = ip_address("255.255.255.255")
DROPPED = "dropped"
NO_VIF = VifId(0)
NOBODYS_MAC = Mac(bytes(6))
"""Stands for the MAC a workload uses for an address of its subnet that nobody is known to have."""


@dataclass(frozen=True, slots=True)
class TracePacket:
    """``source`` None = the interface's first allowed address is not checked.

    An unspecified ``destination`` is one nobody has a route to: the MAC alone decides.
    """

    source: IpAddress | None
    destination: IpAddress
    protocol: int
    source_port: int = 0
    destination_port: int = 0
    """For ICMP the type, with source port 0."""
    destination_mac: Mac = GATEWAY_MAC
    source_macs: Mapping[VrfId, Mac] = field(default_factory=dict[VrfId, Mac])
    """Who has the source address, in VRFs that only bridge."""
    came_from: IpAddress | None = None
    """The host whose tunnel it came by; None: it is not asked for."""


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One table looked at: what was asked, what was found."""

    stage: str
    question: str
    answer: str
    rule_id: int = 0
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """``outcome`` is one of this module's words; ``drop_reason`` a ``drop_reasons.h`` name."""

    steps: tuple[TraceStep, ...]
    outcome: str
    drop_reason: str = ""
    vif_id: VifId = NO_VIF
    """Where it is delivered on this host."""
    remote: str = ""
    """Tunnel end point it is sent to."""
    encapsulation: str = ""
    label: int = 0
    leaves_as: TracePacket | None = None
    """What the packet is from here on, when it is translated."""
    outer_source_port: int = 0
    """By which the kernel chooses among several links into the underlay; 0: there is one."""


def _no_rule(_: RuleId) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Names:
    """What people call the numbers of rules, VRFs and ports; those that are not known stay numbers."""

    rule: Callable[[RuleId], str] = _no_rule
    vrfs: Mapping[VrfId, str] = field(default_factory=dict[VrfId, str])
    ports: Mapping[VifId, str] = field(default_factory=dict[VifId, str])

    def vrf(self, vrf_id: VrfId) -> str:
        name = self.vrfs.get(vrf_id)
        return f"VRF {name}" if name else f"vrf {vrf_id}"

    def vif(self, vif_id: VifId) -> str:
        name = self.ports.get(vif_id)
        return f"vif {vif_id} {name}" if name else f"vif {vif_id}"


NO_NAMES: Final = Names()


def explain(tables: Tables, vif_id: VifId, packet: TracePacket, names: Names = NO_NAMES) -> Trace:
    """Follow the first packet of a flow sent by the workload of ``vif_id``."""
    return _Walk(tables, packet, names).from_workload(vif_id)


def explain_arrival(
    tables: Tables,
    incoming: tuple[str, int],
    packet: TracePacket,
    names: Names = NO_NAMES,
) -> Trace:
    """Follow the first packet of a flow that came in with ("mpls" | "vxlan" | NATIVE, label or VNI)."""
    return _Walk(tables, packet, names).from_underlay(*incoming)


_NOT_FOR_STRANGERS = (NextHopKind.RECEIVE, NextHopKind.BRIDGE)
"""Next hops of an external network that who leaves by its address does not get to."""


class _Walk:
    def __init__(self, tables: Tables, packet: TracePacket, names: Names) -> None:
        self._tables = tables
        self._packet = packet
        self._leaves_as: TracePacket | None = None
        self._names = names
        self._steps: list[TraceStep] = []

    def from_workload(self, vif_id: VifId) -> Trace:
        row = self._tables.vifs.get(vif_id)
        if row is None:
            return self._drop("interface", self._names.vif(vif_id), "no row", "INTERFACE_UNKNOWN")
        text = f"ifindex {row.ifindex} {self._names.vrf(row.vrf_id)} identity {row.identity} mac {row.mac}"
        self._step("interface", self._names.vif(vif_id), text)
        if not self._source_allowed(row):
            return self._drop_last("SPOOFED_ADDRESS")
        if self._packet.destination.is_multicast or self._packet.destination == _EVERYBODY:
            return self._flood(row)
        found = self._destination(row.vrf_id)
        row, found = self._leave_by(row, found)
        if found is None:
            return self._flood(row) if self._is_flooded(row.vrf_id) else self._drop_last("NO_ROUTE")
        nexthop = self._nexthop(found.nexthop_id)
        if nexthop is None:
            return self._drop_last("NEXTHOP")
        if nexthop.kind is NextHopKind.RECEIVE:
            return self._end(RECEIVED)
        if nexthop.kind is NextHopKind.DISCARD:
            return self._drop_last("DISCARD")
        if nexthop.kind is NextHopKind.BRIDGE:
            return self._flood(row)
        by = self._tables.vifs.get(nexthop.vif_id) if nexthop.kind is NextHopKind.FABRIC else None
        if by is not None and by.kind is InterfaceKind.SNAT:
            return self._lead_out(row, by)
        if nexthop.kind is NextHopKind.FABRIC and is_link_service(self._packet.destination):
            return self._leave(row.vif_id)
        egress = self._policy("egress policy", row.policy_egress, found.identity, remote=None)
        if not egress.allow:
            return self._drop_last("POLICY")
        if egress.vrf_id:
            found = self._led_to(egress.vrf_id)
            nexthop = self._nexthop(found.nexthop_id) if found is not None else None
            if found is None or nexthop is None:
                return self._drop_last("NEXTHOP" if found is not None else "NO_ROUTE")
        stays = nexthop.kind is NextHopKind.INTERFACE
        self._steps += [
            TraceStep(*step) for step in sent_steps(self._tables, row, egress.qos_id, stays=stays)
        ]
        self._merged(row.vif_id, nexthop)
        match nexthop.kind:
            case NextHopKind.INTERFACE:
                source = self._packet.source
                if nexthop.vif_id == row.vif_id and not self._reaches_itself(row.vif_id):
                    return self._drop_last("SAME_INTERFACE")
                return self._deliver(nexthop.vif_id, self._sender(row, nexthop), source)
            case NextHopKind.ECMP:
                return self._ecmp(nexthop, row)
            case NextHopKind.TUNNEL:
                return self._tunnel(nexthop, found.label)
            case NextHopKind.FABRIC:
                return self._leave(row.vif_id)
            case _:
                return self._drop_last("NEXTHOP")

    def _reaches_itself(self, vif_id: VifId) -> bool:
        """Whether the packet comes back to its sender: from one floating address of it to one."""
        at = by_outside(self._tables, vif_id, self._packet.destination)
        return self._leaves_as is not None and at is not None and at.inside != at.outside

    def _merged(self, vif_id: VifId, nexthop: NextHopRow) -> None:
        """Tell with which connections a sent packet's shares a flow. What is translated, or for a
        workload of this host, shares its flow with no other address's.
        """
        packet = self._packet
        is_sent_on = nexthop.kind in {NextHopKind.TUNNEL, NextHopKind.ECMP}
        if packet.source is None or not is_sent_on or self._leaves_as:
            return
        ends = (packet.source, packet.destination)
        self._steps += [
            TraceStep(*step)
            for step in self._tables.folds.steps(
                vif_id, ends, packet.protocol, packet.destination_port
            )
        ]

    def _is_flooded(self, vrf_id: VrfId) -> bool:
        """Whether what is for a MAC that nobody is known to have goes to everybody."""
        flood = self._tables.floods.get(vrf_id)
        if self._packet.destination_mac == GATEWAY_MAC or flood is None:
            return False
        return flood.floods_unknown

    def _leave_by(
        self, row: InterfaceRow, found: InetRouteRow | BridgeRow | None
    ) -> tuple[InterfaceRow, InetRouteRow | BridgeRow | None]:
        """Return who the sender is and its way: under a floating address, where one is better."""
        packet, own = self._packet, found if isinstance(found, InetRouteRow) else None
        transport = (packet.protocol, packet.source_port)
        ends = (packet.source, packet.destination)
        by = leaves_by(self._tables, row.vif_id, ends, transport, own)
        if by is None:
            return row, found
        kind = "alias address" if by.inside == by.outside else "floating address"
        self._step(kind, f"{packet.source} to {packet.destination}", f"leaves by {by.outside}")
        port = mapped_port(self._tables, by, transport, is_inside=True)
        if by.inside != by.outside:
            self._leaves_as = replace(packet, source=by.outside, source_port=port or 0)
        sender = replace(
            row, vrf_id=by.vrf_id, policy_egress=by.policy_egress, identity=by.identity
        )
        return sender, self._destination(by.vrf_id)

    def _come_by(self, vif_id: VifId) -> FloatingRow | None:
        by = by_outside(self._tables, vif_id, self._packet.destination)
        if by is not None and by.inside != by.outside:
            self._step("floating address", str(by.outside), f"stands for {by.inside}")
        return by

    def _admitted(self, by: FloatingRow) -> str:
        """Return why nobody may open a connection to the address; empty: they may. What policy and
        the workload see of the packet is then in ``_leaves_as`` and ``_packet``.
        """
        if not by.is_inward:
            return "POLICY"
        transport = (self._packet.protocol, self._packet.destination_port)
        port = mapped_port(self._tables, by, transport, is_inside=False)
        if port is None:
            return "FLOATING_PORT"
        self._packet = replace(self._packet, destination_port=port)
        if by.inside != by.outside:
            sent = self._leaves_as or self._packet
            self._leaves_as = replace(sent, destination=by.inside, destination_port=port)
        return ""

    def _flood(self, row: InterfaceRow) -> Trace:
        """Tell who gets copies of what is for everybody; the sender's egress policy first."""
        egress = self._policy("egress policy", row.policy_egress, row.identity, remote=None)
        if not egress.allow or egress.vrf_id:
            return self._drop_last("FLOOD_POLICY")
        found, about = self._copied_by(row.vrf_id)
        members = found.members if found else ()
        hops = [self._tables.nexthops.get(nexthop_id) for nexthop_id, _ in members]
        texts = [
            self._names.vif(hop.vif_id) if hop.remote is None else str(hop.remote)
            for hop in hops
            if hop is not None and hop.vif_id != row.vif_id
        ]
        self._step(
            "flood", f"{self._names.vrf(row.vrf_id)}{about}", ", ".join(texts) or "nobody else"
        )
        if texts:
            return self._end(COPIED)
        return self._drop_last("GROUP_UNHEARD" if isinstance(found, GroupRow) else "MULTICAST")

    def _copied_by(self, vrf_id: VrfId) -> tuple[FloodRow | GroupRow | None, str]:
        """Return the list that decides who gets copies, and what it is of."""
        flood, packet = self._tables.floods.get(vrf_id), self._packet
        group = packet.destination
        if flood is None or not flood.snoops or not group.is_multicast or is_of_link(group):
            return flood, ""
        groups, asked = self._tables.groups, ((group, packet.source), (group, None), (None, None))
        for listed, source in asked:
            found = groups.get((vrf_id, listed, source))
            if found is not None:
                if listed is None:
                    return found, f", listeners of {group}: none"
                return found, f", listeners of {group} from {source or 'anybody'}"
        return flood, f", listeners of {group}: not known"

    def _leave(self, vif_id: VifId) -> Trace:
        """Out of all networks: translated, to the underlay or a service of the host itself."""
        packet = self._packet
        transport = (packet.protocol, packet.destination_port)
        way = fabric_way(self._tables, vif_id, packet.destination, transport)
        question = f"{packet.destination} protocol {packet.protocol} port {packet.destination_port}"
        self._step("host's network", question, way.text or way.drop_reason)
        if way.drop_reason or way.destination is None:
            return self._drop_last(way.drop_reason)
        self._leaves_as = replace(
            packet,
            source=way.source,
            destination=way.destination,
            destination_port=way.destination_port,
        )
        return self._end(LEFT)

    def _lead_out(self, row: InterfaceRow, by: InterfaceRow) -> Trace:
        """By an address of an external network: translated, and on by a route of that one."""
        packet = self._packet
        way = snat_way(
            self._tables, by, packet.destination, packet.protocol, packet.destination_port
        )
        self._step("source translation", f"{packet.destination}", way.text or way.drop_reason)
        if way.drop_reason:
            return self._drop_last(way.drop_reason)
        found = self._led_to(by.vrf_id)
        nexthop = self._nexthop(found.nexthop_id) if found is not None else None
        if found is None or nexthop is None or nexthop.kind in _NOT_FOR_STRANGERS:
            return self._drop_last("NO_ROUTE")
        egress = self._policy("egress policy", row.policy_egress, found.identity, remote=None)
        if nexthop.kind is NextHopKind.FABRIC:
            return self._drop_last("FABRIC_ROUTE")
        if nexthop.kind is NextHopKind.DISCARD:
            return self._drop_last("DISCARD")
        if not egress.allow:
            return self._drop_last("POLICY")
        self._leaves_as = replace(packet, source=way.source, source_port=0)
        if nexthop.kind is NextHopKind.ECMP:
            return self._ecmp(nexthop, by)
        if nexthop.kind is NextHopKind.INTERFACE:
            return self._deliver(nexthop.vif_id, by.identity, by.tunnel_address)
        return self._tunnel(nexthop, found.label)

    def _led_to(self, vrf_id: VrfId) -> InetRouteRow | None:
        """Look the destination up in another VRF, where a rule or a way out leads."""
        route = self._tables.route(vrf_id, self._packet.destination)
        answer = "no route" if route is None else f"{route.prefix}: {_target_text(route)}"
        self._step(
            "route the rule leads to",
            f"{self._names.vrf(vrf_id)} {self._packet.destination}",
            answer,
        )
        return route

    def _sender(self, row: InterfaceRow, nexthop: NextHopRow) -> IdentityId:
        """Who the receiver has to do with: behind a service, whoever has the source address."""
        target, source = self._tables.vifs.get(nexthop.vif_id), self._packet.source
        if not row.transit or target is None or source is None:
            return row.identity
        route = self._tables.route(target.vrf_id, source)
        return route.identity if route is not None else row.identity

    def _native(self) -> NextHopRow | None:
        """Find the workload of a packet without tunnel, in the VRF the underlay interface is in."""
        rows = self._tables.vifs.values()
        underlay = next((row for row in rows if row.kind is InterfaceKind.UNDERLAY), None)
        vrf_id = underlay.vrf_id if underlay else VrfId(0)
        route = self._tables.route(vrf_id, self._packet.destination) if vrf_id else None
        answer = "no route" if route is None else f"{route.prefix}: {_target_text(route)}"
        self._step(NATIVE, f"{self._names.vrf(vrf_id)} {self._packet.destination}", answer)
        return self._nexthop(route.nexthop_id) if route else None

    def from_underlay(self, kind: str, number: int) -> Trace:
        if kind == NATIVE:
            return self._arrived(self._native())
        if self._is_stranger():
            return self._drop("tunnel end", str(self._packet.came_from), "no row", "OUTER_SOURCE")
        table = self._tables.vnis if kind == "vxlan" else self._tables.labels
        row = table.get(number)
        if row is None:
            reason = "VNI_UNKNOWN" if kind == "vxlan" else "LABEL_UNKNOWN"
            return self._drop(kind, str(number), "no row", reason)
        self._step(kind, str(number), f"next hop {row.nexthop_id}")
        nexthop = self._nexthop(row.nexthop_id)
        if nexthop is not None and nexthop.kind is NextHopKind.BRIDGE:
            mac = self._packet.destination_mac
            entry = self._tables.bridge.get((nexthop.vrf_id, mac))
            self._step("bridge", f"{self._names.vrf(nexthop.vrf_id)} {mac}", _target_text(entry))
            if entry is None:
                return self._flooded_here(nexthop.vrf_id)
            nexthop = self._nexthop(entry.nexthop_id)
        return self._arrived(nexthop)

    def _is_stranger(self) -> bool:
        """Tell whether the packet's tunnel begins where none is known to."""
        came_from, rows = self._packet.came_from, self._tables.vifs.values()
        return (
            came_from is not None
            and any(row.checks_ends for row in rows)
            and came_from not in self._tables.tunnel_ends
        )

    def _flooded_here(self, vrf_id: VrfId) -> Trace:
        """A frame for a MAC nobody has: copies for this host's members, if the network floods."""
        if not self._is_flooded(vrf_id):
            return self._drop_last("UNKNOWN_MAC")
        members = self._tables.floods[vrf_id].members
        hops = [self._tables.nexthops.get(nexthop_id) for nexthop_id, _ in members]
        texts = [f"vif {hop.vif_id}" for hop in hops if hop is not None and hop.remote is None]
        self._step("flood", self._names.vrf(vrf_id), ", ".join(texts) or "nobody")
        return self._end(COPIED) if texts else self._drop_last("UNKNOWN_MAC")

    def _arrived(self, nexthop: NextHopRow | None) -> Trace:
        if nexthop is None or nexthop.kind is not NextHopKind.INTERFACE:
            return self._drop_last("NEXTHOP")
        source = self._packet.source
        target = self._tables.vifs.get(nexthop.vif_id)
        identity = IdentityId(0)
        if target is not None and source is not None:
            by = by_outside(self._tables, target.vif_id, self._packet.destination)
            vrf_id = by.vrf_id if by is not None else target.vrf_id
            route = self._tables.route(vrf_id, source)
            mac = self._packet.source_macs.get(vrf_id) if target.is_layer2 else None
            entry = self._tables.bridge.get((vrf_id, mac)) if mac else None
            text = "no route: identity 0"
            if route is not None:
                identity = route.identity
                text = f"{route.prefix} identity {identity}"
            elif entry is not None:
                identity = entry.identity
                text = f"{mac} identity {identity}"
            self._step("source identity", f"{self._names.vrf(vrf_id)} {source}", text)
        return self._deliver(nexthop.vif_id, identity, source)

    def _source_allowed(self, row: InterfaceRow) -> bool:
        source = self._packet.source
        if not row.antispoof:
            self._step("anti-spoofing", str(source or "any"), "off: port security is disabled")
            return True
        if source is None:
            return True
        if isinstance(source, IPv6Address) and source.is_link_local:
            self._step("anti-spoofing", str(source), f"link-local: from {row.mac} alone")
            return True
        entry = self._tables.source(row.vif_id, source)
        answer = f"allowed as {entry.prefix} from {entry.mac}" if entry else "not an own address"
        self._step("anti-spoofing", str(source), answer)
        return entry is not None

    def _destination(self, vrf_id: VrfId) -> InetRouteRow | BridgeRow | None:
        packet = self._packet
        if not packet.destination.is_unspecified:
            route = self._tables.route(vrf_id, packet.destination)
            question = f"{self._names.vrf(vrf_id)} {packet.destination}"
            if route is not None:
                self._step("route", question, f"{route.prefix}: {_target_text(route)}")
                return route
            self._step("route", question, "no route")
        if packet.destination_mac == GATEWAY_MAC:
            return None
        entry = self._tables.bridge.get((vrf_id, packet.destination_mac))
        self._step(
            "bridge", f"{self._names.vrf(vrf_id)} {packet.destination_mac}", _target_text(entry)
        )
        return entry

    def _nexthop(self, nexthop_id: NextHopId) -> NextHopRow | None:
        row = self._tables.nexthops.get(nexthop_id)
        self._step("next hop", str(nexthop_id), _nexthop_text(row, self._names))
        return row

    def _policy(
        self, stage: str, policy_id: PolicyId, identity: IdentityId, remote: IpAddress | None
    ) -> Verdict:
        packet = self._packet
        address = remote or packet.destination
        ports = (packet.source_port, packet.destination_port)
        verdict = self._tables.verdict(policy_id, (identity, address), packet.protocol, ports)
        answer = "disabled: allowed" if not policy_id else "allow" if verdict.allow else "deny"
        rule = self._names.rule(verdict.rule_id) if verdict.rule_id else ""
        question = (
            f"policy {policy_id} identity {identity} (class {verdict.identity_class}) "
            f"{address} (class {verdict.prefix_class}) protocol {packet.protocol} "
            f"ports {packet.source_port}->{packet.destination_port}"
        )
        self._steps.append(TraceStep(stage, question, answer, verdict.rule_id, rule))
        return verdict

    def _deliver(self, vif_id: VifId, identity: IdentityId, source: IpAddress | None) -> Trace:
        row = self._tables.vifs.get(vif_id)
        if row is None:
            return self._drop("interface", self._names.vif(vif_id), "no row", "INTERFACE_UNKNOWN")
        self._step("interface", self._names.vif(vif_id), f"ifindex {row.ifindex} mac {row.mac}")
        if row.kind is InterfaceKind.SNAT:
            text = "only answers to what left by it get through, to who asked"
            return self._drop("source translation", str(row.tunnel_address), text, "FABRIC_UNKNOWN")
        by, policy = self._come_by(vif_id), row.policy_ingress
        refused = self._admitted(by) if by is not None else ""
        if refused:
            return self._drop_last(refused)
        policy = by.policy_ingress if by is not None else policy
        if source is None:
            self._step("ingress policy", f"policy {policy}", "source is not known")
            return self._end(DELIVERED, vif_id=vif_id)
        verdict = self._policy("ingress policy", policy, identity, source)
        if not verdict.allow:
            return self._drop_last("POLICY")
        self._steps += [TraceStep(*step) for step in received_steps(self._tables, vif_id)]
        return self._end(DELIVERED, vif_id=vif_id)

    def _ecmp(self, nexthop: NextHopRow, row: InterfaceRow) -> Trace:
        if not nexthop.members:
            return self._drop_last("NEXTHOP")
        index, packet = 0, self._packet
        if packet.source is not None and nexthop.shares:
            ports = packet.source_port, packet.destination_port
            ends = ((packet.source, ports[0]), (packet.destination, ports[1]))
            index = choose(nexthop.shares, flow_hash(ends, packet.protocol, nexthop.omitted))
        member_id, label = nexthop.members[index]
        answer = f"the flow hash chooses number {index + 1}; a live flow keeps what it has"
        self._step("ecmp", f"{len(nexthop.members)} members", answer)
        member = self._nexthop(member_id)
        if member is None:
            return self._drop_last("NEXTHOP")
        if member.kind is NextHopKind.INTERFACE:
            return self._deliver(member.vif_id, self._sender(row, member), self._packet.source)
        return self._tunnel(member, label)

    def _tunnel(self, nexthop: NextHopRow, label: int) -> Trace:
        encapsulation = nexthop.encapsulation.name if nexthop.encapsulation else "none"
        answer = f"to {nexthop.remote} by {encapsulation} label {label}"
        self._step("tunnel", f"next hop {nexthop.nexthop_id}", answer)
        if nexthop.out_destination_mac is None and not nexthop.is_routed:
            return self._drop_last("UNDERLAY_UNRESOLVED")
        return Trace(
            steps=tuple(self._steps),
            outcome=FORWARDED,
            remote=str(nexthop.remote),
            encapsulation=encapsulation,
            label=label,
            leaves_as=self._leaves_as,
            outer_source_port=self._entropy() if nexthop.is_routed else 0,
        )

    def _entropy(self) -> int:
        packet = self._packet
        source = (packet.source or packet.destination, packet.source_port)
        return entropy_of(source, (packet.destination, packet.destination_port))

    def _step(self, stage: str, question: str, answer: str) -> None:
        self._steps.append(TraceStep(stage, question, answer))

    def _drop(self, stage: str, question: str, answer: str, reason: str) -> Trace:
        self._step(stage, question, answer)
        return self._drop_last(reason)

    def _drop_last(self, reason: str) -> Trace:
        return Trace(tuple(self._steps), DROPPED, drop_reason=reason)

    def _end(self, outcome: str, *, vif_id: VifId = NO_VIF) -> Trace:
        return Trace(tuple(self._steps), outcome, vif_id=vif_id, leaves_as=self._leaves_as)


def _target_text(row: InetRouteRow | BridgeRow | None) -> str:
    if row is None:
        return "no entry"
    return f"next hop {row.nexthop_id} label {row.label} identity {row.identity}"


def _nexthop_text(row: NextHopRow | None, names: Names) -> str:
    if row is None:
        return "no row"
    parts = [row.kind.name]
    if row.vif_id:
        parts.append(names.vif(row.vif_id))
    if row.vrf_id:
        parts.append(names.vrf(row.vrf_id))
    if row.remote:
        parts.append(
            f"{row.local} -> {row.remote} {row.encapsulation.name if row.encapsulation else ''}"
        )
        parts.append(f"mac {row.out_destination_mac or 'unresolved'}")
    return " ".join(parts)
