"""The agent's tables as rows for people and for ``skytrail trace``: names beside every number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_network
from itertools import chain

from skytrail.agent.interface import ActivePort
from skytrail.agent.label import Numbers
from skytrail.agent.lookup import Tables
from skytrail.agent.outcome import Desired, RouteSource, TableRows
from skytrail.agent.passage import passage
from skytrail.agent.policy_rows import PolicyCompiler
from skytrail.agent.tables import (
    FLOOD_RELAYED,
    BridgeRow,
    FloodRow,
    GroupRow,
    InetRouteRow,
    InterfaceRow,
    LabelRow,
    MirrorRow,
    NextHopRow,
    PortMirrorRow,
    RuleId,
    VerdictRow,
    VifId,
    VniRow,
    interface_key,
)
from skytrail.agent.trace import (
    DELIVERED,
    NATIVE,
    NOBODYS_MAC,
    Names,
    Trace,
    TracePacket,
    TraceStep,
    explain,
    explain_arrival,
)
from skytrail.net import GATEWAY_MAC, IpAddress, Mac
from skytrail.net.decimal_text import SHOWN_LENGTH, decimal
from skytrail.wire.xmpp import EnetKey

Row = Mapping[str, object]
_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmp6": 58, "sctp": 132}


DIRECTIONS = ("egress", "ingress")


class RuleBook:
    """Turns rule numbers into names and texts."""

    def __init__(self, numbers: Numbers, policies: PolicyCompiler) -> None:
        self._numbers = numbers
        self._policies = policies

    def name(self, rule_id: RuleId) -> str:
        """``<access list>#<rule uuid>``, joined by " & " when two stages decided together."""
        return self._numbers.rule.name(rule_id) or ""

    def describe(self, rule_id: RuleId, directions: Iterable[str] = DIRECTIONS) -> Row:
        """Names and texts; of both directions' halves unless one is asked for."""
        name = self.name(rule_id)
        parts = [part.rpartition("#") for part in name.split(" & ") if part]
        halves = [(direction, part) for part in name.split(" & ") for direction in directions]
        texts = dict.fromkeys(self._policies.rule_text(*half) for half in halves)
        return {
            "rule_id": rule_id,
            "name": name,
            "access_lists": [part[0] for part in parts],
            "rule_uuids": [part[2] for part in parts],
            "text": "; ".join(text for text in texts if text),
        }


def interface_rows(desired: Desired) -> Iterator[Row]:
    """Every plugged port, active or not, and why."""
    numbers = {uuid: vif_id for vif_id, uuid in desired.vifs.items()}
    by_ifindex = desired.rows[InterfaceRow]
    for uuid, state in sorted(desired.ports.items()):
        plugged = state.plugged
        row = by_ifindex.get(interface_key(plugged.ifindex, plugged.tag))
        shown: dict[str, object] = {
            "vif_id": numbers.get(uuid),
            "vmi_uuid": uuid,
            "vm_uuid": plugged.vm_uuid,
            "ifname": plugged.ifname,
            "ifindex": plugged.ifindex,
            "vlan": plugged.tag.vlan if plugged.tag else 0,
            "kind": plugged.kind.name,
            "active": isinstance(state, ActivePort),
        }
        if isinstance(state, ActivePort):
            port = state.port
            shown |= {
                "name": port.name,
                "host_name": port.host_name,
                "mac": str(port.mac),
                "addresses": [str(address) for address in port.addresses],
                "floating_addresses": [str(each.outside) for each, _ in port.floating],
                "virtual_network": port.network.name,
                "vrf": port.network.vrf,
                "mtu_bytes": state.mtu_bytes,
                "security_groups": [group.name for group in port.groups],
                "missing_security_groups": list(port.missing_groups),
                "port_security": port.port_security,
                "policy_disabled": port.policy_disabled,
                "learns_macs": port.learning is not None,
                "learnt_macs": len(state.macs.sequences),
                "learns_addresses": port.address_learning is not None,
                "learnt_addresses": [str(each.address) for each in state.macs.addresses],
                "reason": "; ".join(_reasons(state)),
            }
        else:
            shown["reason"] = state.reason
        if isinstance(row, InterfaceRow):
            shown |= {
                "vrf_id": row.vrf_id,
                "identity": row.identity,
                "flow_count_max": row.flow_count_max,
                "policy_egress": row.policy_egress,
                "policy_ingress": row.policy_ingress,
            }
        yield shown


def _reasons(state: ActivePort) -> Iterator[str]:
    yield from state.failing.reasons
    yield from state.port.floating_problems
    if state.macs.trouble:
        yield state.macs.trouble


def vrf_rows(desired: Desired) -> Iterator[Row]:
    routes: dict[int, int] = {}
    macs: dict[int, int] = {}
    for row in desired.rows[InetRouteRow].values():
        if isinstance(row, InetRouteRow):
            routes[row.vrf_id] = routes.get(row.vrf_id, 0) + 1
    for row in desired.rows[BridgeRow].values():
        if isinstance(row, BridgeRow):
            macs[row.vrf_id] = macs.get(row.vrf_id, 0) + 1
    for name, vrf_id in sorted(desired.vrfs.items()):
        active = [
            state
            for state in desired.ports.values()
            if isinstance(state, ActivePort) and state.port.network.vrf == name
        ]
        modes = [state.port.network.forwarding.value for state in active]
        flood = desired.rows[FloodRow].get(vrf_id)
        yield {
            "vrf_id": vrf_id,
            "name": name,
            "interfaces": [state.plugged.ifname for state in active],
            "flood_members": len(flood.members) if isinstance(flood, FloodRow) else 0,
            "on_tree": isinstance(flood, FloodRow)
            and any(label & FLOOD_RELAYED for _, label in flood.members),
            "snoops": isinstance(flood, FloodRow) and flood.snoops,
            "forwarding": modes[-1] if modes else "",
            "floods_unknown": isinstance(flood, FloodRow) and flood.floods_unknown,
            "flood_beyond": flood.beyond_count if isinstance(flood, FloodRow) else 0,
            "routes": routes.get(vrf_id, 0),
            "macs": macs.get(vrf_id, 0),
        }


def group_rows(desired: Desired) -> Iterator[Row]:
    """Multicast groups with their members: ports here, and other hosts' tunnel ends."""
    names = {vrf_id: name for name, vrf_id in desired.vrfs.items()}
    nexthops = desired.rows[NextHopRow]
    for row in desired.rows[GroupRow].values():
        if not isinstance(row, GroupRow):
            continue
        members: list[str] = []
        for nexthop_id, _ in row.members:
            nexthop = nexthops.get(nexthop_id)
            if isinstance(nexthop, NextHopRow):
                members.append(str(nexthop.remote or desired.vifs.get(nexthop.vif_id, "")))
        yield {
            "vrf": names.get(row.vrf_id, ""),
            "group": str(row.group or "any other"),
            "source": str(row.source or "any"),
            "members": members,
            "beyond": row.beyond_count,
        }


def route_rows(desired: Desired, numbers: Numbers, only: str | None = None) -> Iterator[Row]:
    """Inet, inet6 and MAC routes with where they come from; of the VRF of a name, or of all."""
    sources: dict[tuple[str, str], list[RouteSource]] = {}
    for source in desired.sources:
        if only in (None, source.vrf):
            key = str(getattr(source.key, "mac", source.key))
            sources.setdefault((source.vrf, key), []).append(source)
    names = {vrf_id: name for name, vrf_id in desired.vrfs.items()}
    rows = [*desired.rows[InetRouteRow].values(), *desired.rows[BridgeRow].values()]
    only_id = None if only is None else desired.vrfs.get(only)
    for row in rows:
        if not isinstance(row, InetRouteRow | BridgeRow) or (
            only is not None and row.vrf_id != only_id
        ):
            continue
        vrf = names.get(row.vrf_id, "")
        target = str(row.prefix) if isinstance(row, InetRouteRow) else str(row.mac)
        identity = desired.identities.get(row.identity)
        yield {
            "vrf_id": row.vrf_id,
            "vrf": vrf,
            "family": "bridge" if isinstance(row, BridgeRow) else f"inet{row.prefix.version}",
            "prefix": target,
            "nexthop_id": row.nexthop_id,
            "nexthop": numbers.nexthop.name(row.nexthop_id) or "",
            "label": row.label,
            "identity": row.identity,
            "networks": sorted(identity.networks) if identity else [],
            "security_groups": sorted(identity.groups) if identity else [],
            "mac": str(row.mac) if row.mac else "",
            "sources": [_source_row(source) for source in sources.get((vrf, target), ())],
        }


def _source_row(source: RouteSource) -> Row:
    learnt = source.origin
    if isinstance(learnt, str):
        return {"origin": learnt, "stale": False, "next_hops": list(source.ifnames)}
    hops = [
        f"{hop.address} label {hop.label} vni {hop.vni} {'/'.join(hop.encapsulations)}"
        f" {hop.virtual_network}"
        for hop in learnt.next_hops
    ]
    return {"origin": ", ".join(learnt.sources), "stale": learnt.stale, "next_hops": hops}


def nexthop_rows(desired: Desired, numbers: Numbers) -> Iterator[Row]:
    for row in list(desired.rows[NextHopRow].values()):
        if not isinstance(row, NextHopRow):
            continue
        yield {
            "nexthop_id": row.nexthop_id,
            "name": numbers.nexthop.name(row.nexthop_id) or "",
            "kind": row.kind.name,
            "vif_id": row.vif_id,
            "vmi_uuid": desired.vifs.get(row.vif_id, ""),
            "vrf_id": row.vrf_id,
            "layer2": row.layer2,
            "encapsulation": row.encapsulation.name if row.encapsulation else "",
            "local": str(row.local or ""),
            "remote": str(row.remote or ""),
            "out_ifindex": row.out_ifindex,
            "out_destination_mac": str(row.out_destination_mac or ""),
            "members": [list(member) for member in row.members],
        }


def label_rows(desired: Desired, numbers: Numbers) -> Iterator[Row]:
    for row in desired.rows[LabelRow].values():
        if isinstance(row, LabelRow):
            yield _incoming("mpls", row.label, row.nexthop_id, numbers)
    for row in desired.rows[VniRow].values():
        if isinstance(row, VniRow):
            yield _incoming("vxlan", row.vni, row.nexthop_id, numbers)


def _incoming(kind: str, number: int, nexthop_id: int, numbers: Numbers) -> Row:
    name = numbers.nexthop.name(nexthop_id) or ""
    return {"kind": kind, "label": number, "nexthop_id": nexthop_id, "nexthop": name}


def policy_rows(desired: Desired) -> Iterator[Row]:
    """The rules as understood, one row per rule and policy."""
    used: dict[int, list[str]] = {}
    for row in desired.rows[InterfaceRow].values():
        if isinstance(row, InterfaceRow):
            vmi_uuid = desired.vifs.get(row.vif_id, "")
            used.setdefault(row.policy_egress, []).append(vmi_uuid)
            used.setdefault(row.policy_ingress, []).append(vmi_uuid)
    for policy_id, policy in sorted(desired.policies.items()):
        for stage in policy.stages:
            for rule in stage.rules:
                yield {
                    "policy_id": policy_id,
                    "direction": policy.direction,
                    "ports": sorted(set(used.get(policy_id, []))),
                    "stage": stage.name,
                    "first_match": stage.first_match,
                    "rule": rule.name,
                    "rule_uuid": rule.name.rpartition("#")[2],
                    "text": rule.text,
                }


def mirror_rows(desired: Desired, counts: Mapping[int, tuple[int, int, int]]) -> Iterator[Row]:
    """Where copies of packets go, by whose frames or by rules, and what became of them."""
    names = {vrf_id: name for name, vrf_id in desired.vrfs.items()}
    users: dict[int, list[str]] = {}
    for port in desired.rows[PortMirrorRow].values():
        if isinstance(port, PortMirrorRow):
            uuid = desired.vifs.get(port.vif_id, "")
            users.setdefault(port.sent, []).append(f"sent by {uuid}")
            users.setdefault(port.delivered, []).append(f"delivered to {uuid}")
    for row in desired.rows[MirrorRow].values():
        if isinstance(row, MirrorRow):
            copies, truncated, lost = counts.get(row.mirror_id, (0, 0, 0))
            yield {
                "mirror_id": row.mirror_id,
                "way": row.kind.name.lower(),
                "analyzer": str(row.analyzer or row.mac or ""),
                "vrf": names.get(row.vrf_id, "") if row.vrf_id else "underlay",
                "has_record": row.has_record,
                "ports": sorted(users.get(row.mirror_id, [])),
                "rules": any(
                    isinstance(each, VerdictRow) and each.mirror_id == row.mirror_id
                    for each in desired.rows[VerdictRow].values()
                ),
                "copies": copies,
                "truncated": truncated,
                "lost": lost,
            }


def rule_rows(desired: Desired, book: RuleBook) -> Iterator[Row]:
    """Every rule number a kernel row uses."""
    numbers = {
        row.rule_id for row in desired.rows[VerdictRow].values() if isinstance(row, VerdictRow)
    }
    for rule_id in sorted(numbers):
        if rule_id:
            yield book.describe(rule_id)


def identity_rows(desired: Desired) -> Iterator[Row]:
    for identity_id, identity in sorted(desired.identities.items()):
        yield {
            "identity": identity_id,
            "networks": sorted(identity.networks),
            "security_groups": sorted(identity.groups),
            "tags": sorted(identity.tags),
        }


class ExplainRefused(Exception):
    """The question cannot be understood; the text says what is missing or wrong."""


def explain_query(
    tables: Tables, desired: Desired, book: RuleBook, query: Mapping[str, str]
) -> Row:
    """Answer ``vif|vmi|label|vni|native, dst, [src, proto, port, sport, dmac]``.

    ``dst`` 0.0.0.0 or :: asks by ``dmac`` alone. ``native``: it comes from the underlay without tunnel; ``from``: of a tunnel, where it begins.
    Raises ``ExplainRefused``.
    """
    packet = _packet(query)
    names = _names(desired, book)
    if "native" in query:
        trace = explain_arrival(tables, (NATIVE, 0), packet, names)
        return _trace_row(trace, packet, desired, book)
    if "label" in query or "vni" in query:
        packet = _with_source_macs(desired, packet)
        kind = "mpls" if "label" in query else "vxlan"
        number = _number(query.get("label") or query.get("vni", ""), "label")
        trace = explain_arrival(tables, (kind, number), packet, names)
        return _trace_row(trace, packet, desired, book)
    vif_id = _vif(desired, query)
    if packet.source is None:
        row = tables.vifs.get(vif_id)
        packet = _with_own_source(desired, vif_id, packet) if row else packet
    if "dmac" not in query:
        bridged = _bridged_mac(desired, vif_id, packet)
        if bridged is not None:
            packet = replace(packet, destination_mac=bridged)
        elif _is_on_link(desired, vif_id, packet):
            packet = replace(packet, destination_mac=NOBODYS_MAC)
    return _trace_row(explain(tables, vif_id, packet, names), packet, desired, book)


def _names(desired: Desired, book: RuleBook) -> Names:
    ports = {
        vif_id: state.port.name
        for vif_id, uuid in desired.vifs.items()
        if isinstance(state := desired.ports.get(uuid), ActivePort)
    }
    vrfs = {vrf_id: name for name, vrf_id in desired.vrfs.items()}
    return Names(book.name, vrfs, ports)


def _bridged_mac(desired: Desired, vif_id: VifId, packet: TracePacket) -> Mac | None:
    """Return who has the destination, where the sender's network only bridges.

    ``ExplainRefused`` when configuration does not tell: whoever answers the sender may be any MAC.
    """
    state = desired.ports.get(desired.vifs.get(vif_id, ""))
    if not isinstance(state, ActivePort) or state.port.network.forwarding.routes:
        return None
    mac = dict(_macs_of(desired, packet.destination)).get(state.port.network.vrf)
    if mac is None:
        raise ExplainRefused(
            f"no port of {state.port.network.vrf.rpartition(':')[0]} is configured with "
            f"{packet.destination}, and the network only bridges: name the MAC that the sender's "
            "neighbour table (ip neigh) has for it"
        )
    return mac


def _macs_of(desired: Desired, address: IpAddress) -> Iterator[tuple[str, Mac]]:
    """Yield the MAC that has an address, by instance."""
    prefix = ip_network(address)
    learnt = (source for sources in desired.explained.values() for source in sources)
    places = chain(desired.published, ((source.vrf, source.key) for source in learnt))
    for name, key in places:
        if isinstance(key, EnetKey) and key.address == prefix:
            yield name, key.mac


def _with_source_macs(desired: Desired, packet: TracePacket) -> TracePacket:
    if packet.source is None:
        return packet
    found = {
        desired.vrfs[name]: mac
        for name, mac in _macs_of(desired, packet.source)
        if name in desired.vrfs
    }
    return replace(packet, source_macs=found)


def _vif(desired: Desired, query: Mapping[str, str]) -> VifId:
    if "vmi" in query:
        for vif_id, uuid in desired.vifs.items():
            if uuid == query["vmi"].lower():
                return vif_id
        raise ExplainRefused(f"port {query['vmi']} is not plugged here")
    if "vif" not in query:
        raise ExplainRefused("one of vif, vmi, label, vni, native is needed")
    return VifId(_number(query["vif"], "vif"))


def _packet(query: Mapping[str, str]) -> TracePacket:
    if "dst" not in query:
        raise ExplainRefused("dst is needed")
    protocol = query.get("proto", "icmp").lower()
    number = _PROTOCOLS.get(protocol)
    try:
        destination = ip_address(query["dst"])
        source = ip_address(query["src"]) if query.get("src") else None
        mac = Mac.parse(query["dmac"]) if query.get("dmac") else GATEWAY_MAC
        came_from = ip_address(query["from"]) if query.get("from") else None
    except ValueError as error:
        raise ExplainRefused(str(error)) from error
    if protocol == "icmp" and destination.version == 6:
        number = 58
    chosen = _number(protocol, "proto") if number is None else number
    # Policy sees an ICMP packet's type as its destination port: an echo request unless told.
    default_port = {1: "8", 58: "128"}.get(chosen, "0")
    return TracePacket(
        source=source,
        destination=destination,
        protocol=chosen,
        source_port=_number(query.get("sport") or "0", "sport"),
        destination_port=_number(query.get("port") or default_port, "port"),
        destination_mac=mac,
        came_from=came_from,
    )


def _with_own_source(desired: Desired, vif_id: VifId, packet: TracePacket) -> TracePacket:
    state = desired.ports.get(desired.vifs.get(vif_id, ""))
    if not isinstance(state, ActivePort):
        return packet
    for address in state.port.addresses:
        if address.version == packet.destination.version:
            return replace(packet, source=address)
    return packet


def _is_on_link(desired: Desired, vif_id: VifId, packet: TracePacket) -> bool:
    """Whether the workload takes the destination for a neighbour, and asks for its MAC."""
    state = desired.ports.get(desired.vifs.get(vif_id, ""))
    if not isinstance(state, ActivePort):
        return False
    return state.port.network.subnet_of(packet.destination) is not None


_NUMBER_MAX = (1 << 32) - 1


def _number(text: str, name: str) -> int:
    number = decimal(text, 0, _NUMBER_MAX)
    if number is None:
        raise ExplainRefused(f"{name}={text[:SHOWN_LENGTH]} is not a number up to {_NUMBER_MAX}")
    return number


def _trace_row(trace: Trace, packet: TracePacket, desired: Desired, book: RuleBook) -> Row:
    rules = [
        book.describe(RuleId(step.rule_id), [step.stage.partition(" ")[0]])
        for step in trace.steps
        if step.rule_id
    ]
    service = _service(trace, packet, desired)
    entered = (TraceStep("service", str(service["copy"]), str(service["text"])),) if service else ()
    return {
        "outcome": trace.outcome,
        "drop_reason": trace.drop_reason,
        "deciding_rule": rules[-1] if rules else None,
        "vif_id": trace.vif_id,
        "vmi_uuid": desired.vifs.get(trace.vif_id, ""),
        "remote": trace.remote,
        "encapsulation": trace.encapsulation,
        "label": trace.label,
        "outer_source_port": trace.outer_source_port,
        "leaves_as": _query_of(trace.leaves_as) if trace.leaves_as is not None else {},
        "service": service,
        "steps": (*trace.steps, *entered),
    }


def _service(trace: Trace, packet: TracePacket, desired: Desired) -> Row | None:
    """Tell which service a delivered packet enters, and where the service gives it back."""
    if trace.outcome != DELIVERED:
        return None
    packet = trace.leaves_as or packet
    uuid = desired.vifs.get(trace.vif_id, "")
    found = passage(desired.ports, uuid, packet.destination)
    if found is None:
        return None
    other, source = found.other, found.source(packet.destination.version)
    text = "its other side is not plugged on this host"
    if other is not None:
        text = f"goes on at {other.name.removeprefix('default-domain:')}"
    if source is not None:
        text += f" as sent by {source}: the service translates"
    return {
        "copy": found.copy,
        "onward": other.uuid if other else "",
        "source": str(source or ""),
        "text": text,
    }


def _query_of(packet: TracePacket) -> Row:
    """What asks another vRouter about the packet."""
    return {
        "src": str(packet.source),
        "dst": str(packet.destination),
        "sport": str(packet.source_port),
        "port": str(packet.destination_port),
    }


def comparison_rows(
    desired: TableRows, actual: Mapping[type, Mapping[object, object]]
) -> Iterable[Row]:
    """Desired against installed, one row per table, with the first differences in full."""
    for kind, wanted in desired.items():
        present = actual.get(kind, {})
        missing = [row for key, row in wanted.items() if present.get(key) != row]
        extra = [row for key, row in present.items() if key not in wanted]
        yield {
            "table": kind.__name__.removesuffix("Row"),
            "desired": len(wanted),
            "actual": len(present),
            "missing": len(missing),
            "extra": len(extra),
            "first_missing": [str(row) for row in missing[:5]],
            "first_extra": [str(row) for row in extra[:5]],
        }
