"""Reads the agents of a lab through their introspection: ports, flows, drops, labels, traces."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from ipaddress import ip_address

import msgspec

from skytrail.lab import health, packet_probe
from skytrail.lab import trace as tracing
from skytrail.lab.io import packet_probe as probes
from skytrail.lab.packet_probe import ProbeResult
from skytrail.lab.plan import ROUTER
from skytrail.lab.reachability import Denial, IpAddress
from skytrail.lab.service import Lab
from skytrail.lab.topology import Router
from skytrail.lab.trace import Endpoint, Explanation, Packet, PortRow, Query, TraceResult
from skytrail.net import GATEWAY_MAC, Mac
from skytrail.runtime.introspection import read_table

WORKLOAD_IFNAME = "eth0"
NOISE = frozenset({"MULTICAST", "ARP_IGNORED", "ND_IGNORED", "LINK_LOCAL", "NONE", "FLOOD_POLICY"})
"""Drops that an idle workload causes by itself; never the answer to a probe."""


class FlowRow(msgspec.Struct, frozen=True, kw_only=True):
    """One direction of a flow; further columns are ignored."""

    vif_id: int
    source: str
    destination: str
    protocol: int
    source_port: int
    destination_port: int
    allowed: bool
    is_reverse: bool = False
    drop_reason: str | None = None
    rule_id: int = 0
    rule: str = ""
    vmi_uuid: str = ""
    packets: int = 0
    bytes: int = 0
    leaves_as: str = ""
    """Addresses and ports its packets leave with; empty: those they came with."""
    age_s: float = 0.0


def ports(lab: Lab, host: str) -> list[PortRow]:
    """Ports plugged on a host, active or not."""
    return tracing.port_rows(read_table(lab.paths.introspect_socket(host), "interfaces"))


def flows(lab: Lab, host: str) -> list[FlowRow]:
    """Flows the host's kernel holds."""
    rows = read_table(lab.paths.introspect_socket(host), "flows")
    return [msgspec.convert(row, FlowRow) for row in rows]


def labels(lab: Lab, host: str) -> Mapping[int, str]:
    """Incoming MPLS labels of a host and the next hop each leads to."""
    rows = read_table(lab.paths.introspect_socket(host), "labels")
    return {int(str(row["label"])): str(row["nexthop"]) for row in rows if row["kind"] == "mpls"}


def drops(lab: Lab, host: str) -> dict[str, int]:
    """Packets dropped on a host since its programs were loaded, by reason."""
    return _drops(lab, host, {"vif_id": "0"})


def port_drops(lab: Lab, host: str, vmi_uuid: str) -> dict[str, int]:
    """Packets dropped on one port, by reason."""
    return _drops(lab, host, {"vmi_uuid": vmi_uuid})


def _drops(lab: Lab, host: str, where: Mapping[str, str]) -> dict[str, int]:
    rows = read_table(lab.paths.introspect_socket(host), "drops", where=where)
    return {str(row["reason"]): int(str(row["packets"])) for row in rows}


def growth(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """What was counted between two readings, without noise."""
    return {
        reason: count - before.get(reason, 0)
        for reason, count in after.items()
        if reason not in NOISE and count > before.get(reason, 0)
    }


def trace(
    lab: Lab, source: str, destination: str, packet: Packet, *, network: str | None = None
) -> TraceResult:
    """Trace between two ends given as people give them; :class:`tracing.TraceError`."""
    dead = [node.name for node in lab.plan.hosts if lab.processes.identity(node.name) is None]
    found = {node.name: ports(lab, node.name) for node in lab.plan.hosts if node.name not in dead}
    known = {
        item.name: lab.attached(item.name).uuid
        for item in lab.topology.endpoints
        if (lab.paths.endpoint(item.name) / "port.json").exists()
    }

    outside = lab.topology.outside_hosts
    if source in outside:
        place = lab.outside_place(source)
        raise tracing.TraceError(
            f"{source} is behind {place.router}, which is no vRouter; trace the way towards it, and"
            f" see what {place.router} knows: skytrail lab exec {place.router_exec} -- ip route"
        )

    def read(host: str, table: str, where: Query) -> list[dict[str, object]]:
        return read_table(lab.paths.introspect_socket(host), table, where=where)

    def end(
        text: str, network: str | None, find: Callable[..., Endpoint] = tracing.find
    ) -> Endpoint:
        if text in outside:
            place = lab.outside_place(text)
            # What is behind a router on a port is delivered when that port has it.
            router = outside[text]
            port = lab.attached(router.name).uuid if isinstance(router, Router) else ""
            return Endpoint(text, "", port, "", "", (place.address,))
        try:
            return find(text, found, known=known, network=network, read=read)
        except tracing.TraceError as error:
            hints = [f"\n{name} is {_dead(lab, name)}" for name in dead]
            raise tracing.TraceError(f"{error}{''.join(hints)}") from error

    def ask(host: str, query: Query) -> Explanation:
        if host in dead:
            raise tracing.TraceError(f"the packet goes to {host}, which is {_dead(lab, host)}")
        return explain(lab, host, query)

    first = end(source, network)
    tracing.check_source(first)
    result = tracing.trace(
        first,
        end(
            destination,
            tracing.network_of_destination(destination, first, network),
            tracing.find_destination,
        ),
        packet,
        ask=ask,
        host_of={str(node.place): node.name for node in lab.plan.hosts},
        gateway_of={str(node.address): node.name for node in lab.plan.gateways}
        | {str(node.way_out): ROUTER for node in lab.plan.nodes},
    )
    names = {row.vmi_uuid: row.name for rows in found.values() for row in rows}
    return replace(result, names=names | {uuid: name for name, uuid in known.items()})


def probe(lab: Lab, name: str, result: TraceResult) -> ProbeResult:
    """Send the packet of a trace from workload ``name``, and tell where it was seen.

    :class:`probes.ProbeFailed` when it cannot be sent or a host does not capture.
    """
    source, destination, packet = result.source, result.destination, result.packet
    if packet.protocol not in packet_probe.PROTOCOLS:
        raise probes.ProbeFailed(f"probes are {', '.join(packet_probe.PROTOCOLS)}")
    if name not in {item.name for item in lab.topology.workloads}:
        raise probes.ProbeFailed(f"{name} is no workload of the lab: a probe is sent from one")
    target = result.asked_address
    token = probes.make_token()
    is_one = destination.mac and not destination.sharers
    on_link = is_one and destination.network == source.network
    macs = (Mac.parse(source.mac), Mac.parse(destination.mac) if on_link else GATEWAY_MAC)
    ends = (source.address(target.version), target)
    frame = packet_probe.frame((macs[0].packed, macs[1].packed), ends, packet, token)
    namespace = lab.plan.namespace_of(name)
    alive = [node.name for node in lab.plan.hosts if lab.processes.identity(node.name) is not None]
    seen = probes.observe(
        {host: lab.paths.introspect_socket(host) for host in alive},
        packet_probe.capture_query(packet, target.version),
        lambda: probes.send_from(namespace, WORKLOAD_IFNAME, frame),
        lambda found: token in found.frame,
    )
    return ProbeResult(packet_probe.hops(seen, token), result)


def _dead(lab: Lab, host: str) -> str:
    return f"dead; {health.restart_command(lab, host)}"


def explain(lab: Lab, host: str, query: Query) -> Explanation:
    """Ask a host's agent to explain a packet from its installed tables."""
    rows = read_table(lab.paths.introspect_socket(host), "explain", where=query)
    return msgspec.convert(rows[0], Explanation)


def flow_denial(
    lab: Lab, hosts: Iterable[str], ends: Collection[str], five_tuple: FiveTuple
) -> Denial | None:
    """Find the deny flow of a probe on one of the hosts; ``ends`` are the ports' uuids."""
    for host in dict.fromkeys(hosts):
        for flow in flows(lab, host):
            if (
                not flow.allowed
                and flow.drop_reason
                and flow.vmi_uuid in ends
                and five_tuple.matches(flow)
            ):
                return Denial(flow.drop_reason, host, flow.rule)
    return None


class FiveTuple(msgspec.Struct, frozen=True):
    """What identifies a probe's flow; the source port is not known."""

    source: IpAddress
    destination: IpAddress
    protocol: int
    destination_port: int

    def matches(self, flow: FlowRow) -> bool:
        return (
            ip_address(flow.source) == self.source
            and ip_address(flow.destination) == self.destination
            and flow.protocol == self.protocol
            and (not self.destination_port or flow.destination_port == self.destination_port)
        )
