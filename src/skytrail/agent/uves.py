"""What a host tells the analytics node: itself, its ports, networks and machines. Pure.

Everything is told each time; the sender finds out what changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from skytrail.agent.balancing.standing import CountedCopy, PartCounters
from skytrail.agent.interface import ActivePort
from skytrail.agent.outcome import Desired
from skytrail.agent.traffic_totals import NAMES, LinkCounters, TrafficTotals, statistic
from skytrail.model.load_balancer import Operating
from skytrail.wire.telemetry import Statistic, Uve

VROUTERS = "ObjectVRouter"
SUMS = dict.fromkeys(NAMES, "sum")


@dataclass(frozen=True, slots=True)
class HostState:
    """What of a host is not in its tables."""

    name: str
    address: str
    sessions: Sequence[Mapping[str, object]]
    """Rows of control node sessions: source, state."""
    counters: Mapping[str, LinkCounters]
    """By port's uuid."""
    drops: Mapping[str, int]
    tables_high: Sequence[str] = ()
    """Kernel tables that are nearly full, and those as good as full."""
    tables_full: Sequence[str] = ()
    flow_limited: Sequence[str] = ()
    """Ports (uuids) at which new flows were refused lately."""
    balancers: Sequence[CountedCopy] = ()
    """Copies of load balancers that run here."""
    out_of_ports: Sequence[str] = ()
    """Ports (uuids) for whose flows the host had no port of its own left lately."""
    traffic: TrafficTotals = field(default_factory=TrafficTotals)


def uves(host: HostState, desired: Desired) -> Iterator[Uve]:
    """Yield all UVEs of a host."""
    active = [state for state in desired.ports.values() if isinstance(state, ActivePort)]
    yield _vrouter(host, desired, active)
    yield _vrouter_statistics(host)
    networks: dict[str, list[ActivePort]] = {}
    machines: dict[str, list[ActivePort]] = {}
    for state in active:
        yield _port(host, state)
        networks.setdefault(state.port.network.name, []).append(state)
        if state.plugged.vm_uuid:
            machines.setdefault(state.plugged.vm_uuid, []).append(state)
    for name, states in networks.items():
        yield _network(host, name, states)
    for uuid, states in machines.items():
        yield _machine(host, uuid, states)
    for copy in host.balancers:
        yield _balancer(host, copy)


def _vrouter(host: HostState, desired: Desired, active: Sequence[ActivePort]) -> Uve:
    down = [state.plugged.ifname for state in desired.ports.values() if state not in active]
    return Uve(
        table=VROUTERS,
        key=host.name,
        struct="VrouterAgent",
        fields={
            "self_ip_list": [host.address],
            "control_ip": host.address,
            "total_interface_count": len(desired.ports),
            "down_interface_count": len(down),
            "error_intf_list": sorted(down),
            "interface_list": sorted(state.port.name for state in active),
            "virtual_machine_list": sorted(
                {state.plugged.vm_uuid for state in active if state.plugged.vm_uuid}
            ),
            "connected_networks": sorted({state.port.network.name for state in active}),
            "vn_count": len({state.port.network.name for state in active}),
            "res_limit": bool(host.tables_high),
            "res_table_limit": bool(host.tables_full),
            "tables_nearly_full": list(host.tables_high),
            "flow_limited_ports": sorted(
                state.port.name for state in active if state.port.uuid in host.flow_limited
            ),
            "translation_limited_ports": sorted(
                state.port.name for state in active if state.port.uuid in host.out_of_ports
            ),
            "xmpp_peer_list": [
                {"ip": row["source"], "status": row["state"] == "established", "primary": not index}
                for index, row in enumerate(host.sessions)
            ],
        },
    )


def _vrouter_statistics(host: HostState) -> Uve:
    return Uve(
        table=VROUTERS,
        key=host.name,
        struct="VrouterStatsAgent",
        fields={**host.traffic.host.fields(), "drop_stats": dict(host.drops)},
        statistics=[
            statistic("if_stats"),
            Statistic(name="drop_stats", counters=["drop_stats"]),
        ],
    )


def _port(host: HostState, state: ActivePort) -> Uve:
    port = state.port
    addresses = [str(each) for each in port.addresses if each.version == 4]
    addresses6 = [str(each) for each in port.addresses if each.version == 6]
    counters = host.counters.get(port.uuid, LinkCounters())
    return Uve(
        table="ObjectVMITable",
        key=port.name,
        struct="UveVMInterfaceAgent",
        fields={
            "uuid": port.uuid,
            "vm_uuid": state.plugged.vm_uuid,
            "vm_name": port.host_name,
            "vrouter": host.name,
            "virtual_network": port.network.name,
            "ip_address": addresses[0] if addresses else "",
            "ip6_address": addresses6[0] if addresses6 else "",
            "mac_address": str(port.mac),
            "active": True,
            "ip4_active": bool(addresses),
            "ip6_active": bool(addresses6),
            "is_health_check_active": not state.failing.reasons,
            "floating_ips": [{"ip_address": str(each.outside)} for each, _ in port.floating],
            "security_groups": sorted(group.name for group in port.groups),
            "mtu_bytes": state.mtu_bytes,
            **counters.fields(),
        },
        statistics=[statistic("if_stats")],
    )


def _network(host: HostState, name: str, states: Sequence[ActivePort]) -> Uve:
    total = host.traffic.networks.get(name, LinkCounters())
    return Uve(
        table="ObjectVNTable",
        key=name,
        struct="UveVirtualNetworkAgent",
        fields={
            "interface_list": sorted(state.port.name for state in states),
            "virtualmachine_list": sorted(
                {state.plugged.vm_uuid for state in states if state.plugged.vm_uuid}
            ),
            "vrf_name": [states[0].port.network.vrf],
            **total.fields(),
        },
        rules={
            **SUMS,
            "interface_list": "union",
            "virtualmachine_list": "union",
            "vrf_name": "union",
        },
        statistics=[statistic("vn_stats")],
    )


def _machine(host: HostState, uuid: str, states: Sequence[ActivePort]) -> Uve:
    return Uve(
        table="ObjectVMTable",
        key=uuid,
        struct="UveVirtualMachineAgent",
        fields={
            "uuid": uuid,
            "vm_name": states[0].port.host_name,
            "vrouter": host.name,
            "interface_list": sorted(state.port.name for state in states),
        },
        rules={"interface_list": "union"},
    )


def _balancer(host: HostState, copy: CountedCopy) -> Uve:
    """Both copies say the same of one balancer, each of what it carried: totals are added up."""
    listeners = [part for part in copy.parts if part.kind == "listener"]
    return Uve(
        table="ObjectLBTable",
        key=copy.balancer.uuid,
        struct="UveLoadbalancerStats",
        fields={
            "vip_address": copy.balancer.vip,
            "vrouter_list": [host.name],
            "operating_status": copy.standings[copy.balancer.uuid].value,
            **{
                kind: {
                    part.uuid: _counted(host, copy, part)
                    for part in copy.parts
                    if part.kind == kind
                }
                for kind in ("listener", "pool", "member")
            },
            "current_sessions": sum(part.current_sessions for part in listeners),
            "total_sessions": sum(part.total_sessions for part in listeners),
            "bytes_in": sum(part.bytes_in for part in listeners),
            "bytes_out": sum(part.bytes_out for part in listeners),
        },
        rules={
            "vrouter_list": "union",
            "current_sessions": "sum",
            "total_sessions": "sum",
            "bytes_in": "sum",
            "bytes_out": "sum",
        },
    )


def _counted(host: HostState, copy: CountedCopy, part: PartCounters) -> dict[str, object]:
    standing = copy.standings.get(part.uuid, Operating.OFFLINE)
    is_down = standing in {Operating.ERROR, Operating.OFFLINE}
    return {
        "obj_name": part.uuid,
        "uuid": part.uuid,
        "vrouter": host.name,
        "status": "INACTIVE" if is_down else "ACTIVE",
        "operating_status": standing.value,
        "status_description": part.detail,
        "active_connections": part.current_sessions,
        "max_connections": part.max_sessions,
        "current_sessions": part.current_sessions,
        "max_sessions": part.max_sessions,
        "total_sessions": part.total_sessions,
        "bytes_in": part.bytes_in,
        "bytes_out": part.bytes_out,
        "connection_errors": part.connection_errors,
        # As the compatible system writes it.
        "reponse_errors": part.response_errors,
    }
