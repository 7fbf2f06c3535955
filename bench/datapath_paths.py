"""Paths the datapath bench compares: yardsticks made of the kernel's own parts, and ours.

Each path is two namespaces that can talk. Ours and the kernel's overlay use the same underlay: two
hosts on one cable, a veth pair of MTU 1600. A router between them would add the same cost to both
and hide part of the difference.
"""

from __future__ import annotations

import secrets
import sys
from dataclasses import dataclass
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bpf/tests"))

import frames
from rig import Rig, Workload, run

from skytrail.agent.tables import (
    Action,
    IdentityId,
    InetRouteRow,
    NextHopId,
    PolicyId,
    PolicyIdentityRow,
    PolicyPrefixRow,
    RuleId,
    VerdictRow,
    VrfId,
)

UNDERLAY_MTU = 1600
POLICY = 1
WORKLOAD_IDENTITY = 9


@dataclass(frozen=True)
class TrafficPath:
    """Two namespaces and the address the client talks to."""

    name: str
    client: str
    server: str
    address: str


class Namespaces:
    """Namespaces under one random prefix, removed by ``close``."""

    def __init__(self) -> None:
        self.prefix = f"std{secrets.token_hex(3)}"
        self.names: list[str] = []

    def add(self, name: str, *, forwards: bool = False) -> str:
        full = f"{self.prefix}{name}"
        run(f"ip netns add {full}")
        self.names.append(full)
        run(f"ip -n {full} link set lo up")
        if forwards:
            run(f"nsenter --net=/run/netns/{full} sysctl -qw net.ipv4.ip_forward=1")
        return full

    def link(self, first: str, second: str, *, names: tuple[str, str], mtu: int) -> None:
        run(
            f"ip -n {first} link add {names[0]} mtu {mtu} type veth "
            f"peer name {names[1]} netns {second} mtu {mtu}"
        )
        run(f"ip -n {first} link set {names[0]} up")
        run(f"ip -n {second} link set {names[1]} up")

    def address(self, namespace: str, ifname: str, address: str) -> None:
        run(f"ip -n {namespace} addr add {address} dev {ifname}")

    def close(self) -> None:
        for name in reversed(self.names):
            run(f"ip netns del {name}", check=False)


def plain_veth(space: Namespaces) -> TrafficPath:
    client, server = space.add("vc"), space.add("vs")
    space.link(client, server, names=("eth0", "eth0"), mtu=1500)
    space.address(client, "eth0", "10.9.1.1/24")
    space.address(server, "eth0", "10.9.1.2/24")
    return TrafficPath("veth", client, server, "10.9.1.2")


def two_routed_hops(space: Namespaces) -> TrafficPath:
    client, server = space.add("oc"), space.add("os")
    hosts = [space.add(f"oh{n}", forwards=True) for n in (1, 2)]
    chain = [client, *hosts, server]
    for n, (left, right) in enumerate(pairwise(chain)):
        space.link(left, right, names=(f"r{n}", f"l{n}"), mtu=1500)
        space.address(left, f"r{n}", f"10.9.{10 + n}.1/24")
        space.address(right, f"l{n}", f"10.9.{10 + n}.2/24")
    run(f"ip -n {client} route add default via 10.9.10.2")
    run(f"ip -n {hosts[0]} route add 10.9.12.0/24 via 10.9.11.2")
    run(f"ip -n {hosts[1]} route add 10.9.10.0/24 via 10.9.11.1")
    run(f"ip -n {server} route add default via 10.9.12.1")
    return TrafficPath("routed", client, server, "10.9.12.2")


def bridge_and_vxlan(space: Namespaces) -> TrafficPath:
    """The kernel's own overlay: bridge and VXLAN device with static entries on each host."""
    hosts = [space.add(f"xh{n}") for n in (1, 2)]
    space.link(hosts[0], hosts[1], names=("under", "under"), mtu=UNDERLAY_MTU)
    ends: list[str] = []
    for n, host in enumerate(hosts, start=1):
        end = space.add(f"xw{n}")
        space.address(host, "under", f"10.9.20.{n}/24")
        run(f"ip -n {host} link add br0 type bridge")
        run(f"ip -n {host} link set br0 up")
        run(
            f"ip -n {host} link add vx0 type vxlan id 7 dstport 4789 local 10.9.20.{n} "
            f"remote 10.9.20.{3 - n} nolearning"
        )
        run(f"ip -n {host} link set vx0 mtu 1500 master br0 up")
        space.link(host, end, names=("tap", "eth0"), mtu=1500)
        run(f"ip -n {host} link set tap master br0")
        space.address(end, "eth0", f"10.9.3.{n}/24")
        ends.append(end)
    return TrafficPath("bridge_vxlan", ends[0], ends[1], "10.9.3.2")


def policy_rows() -> list[PolicyIdentityRow | PolicyPrefixRow | VerdictRow]:
    """Policy both ends are subject to: a hundred blocks of ports, one of which decides."""
    rows: list[PolicyIdentityRow | PolicyPrefixRow | VerdictRow] = [
        PolicyIdentityRow(PolicyId(POLICY), IdentityId(WORKLOAD_IDENTITY), 1),
        PolicyPrefixRow(PolicyId(POLICY), ip_network("10.1.1.0/24"), 1),
    ]
    for protocol in (6, 17):
        rows.append(allow(protocol, 0, 0))
        rows += [allow(protocol, 256 * n, 8) for n in range(100)]
    rows.append(allow(1, 0, 0))
    return rows


def allow(protocol: int, port: int, bits: int) -> VerdictRow:
    return VerdictRow(PolicyId(POLICY), 1, 1, protocol, port, bits, Action.ALLOW, RuleId(1))


class Ours:
    """Two hosts with the datapath: a client, a server on the same host and one across."""

    def __init__(self, flow_pairs_max: int = 262144) -> None:
        self.rig = Rig(routed=False, flow_pairs_max=flow_pairs_max)
        try:
            self._build()
        except BaseException:
            self.rig.close()
            raise

    def _build(self) -> None:
        first, second = self.rig.hosts
        self.client = self.rig.add_workload(first)
        self.neighbour = self.rig.add_workload(first)
        self.remote = self.rig.add_workload(second)
        for workload in self.rig.workloads:
            workload.policy_egress = workload.policy_ingress = POLICY
            workload.identity = WORKLOAD_IDENTITY
        for host in self.rig.hosts:
            host.datapath.apply(policy_rows(), [])
        self.rig.program()
        for workload in self.rig.workloads:
            self._learn(workload)

    def _learn(self, workload: Workload) -> None:
        """One ping each, so that no round starts with neighbour discovery."""
        for other in self.rig.workloads:
            if other is not workload:
                workload.run(f"ping -c1 -W1 {other.address4}")

    def across(self) -> TrafficPath:
        return self._path("across", self.remote)

    def same_host(self) -> TrafficPath:
        return self._path("same_host", self.neighbour)

    def _path(self, name: str, server: Workload) -> TrafficPath:
        return TrafficPath(name, self.client.namespace, server.namespace, str(server.address4))

    def add_routes(self, count: int) -> None:
        """More routes in the client's VRF, none of them on the measured path."""
        rows = [
            InetRouteRow(
                vrf_id=VrfId(1),
                prefix=ip_network((0x0B000000 + (index << 8), 24)),
                nexthop_id=NextHopId(102),
                label=16,
                identity=IdentityId(1),
            )
            for index in range(count)
        ]
        for host in self.rig.hosts:
            host.datapath.apply(rows, [])

    def forget_flows(self) -> None:
        for host in self.rig.hosts:
            for workload in host.workloads:
                host.datapath._scan(purge_vif=workload.vif)

    def close(self) -> None:
        self.rig.close()


__all__ = [
    "Namespaces",
    "Ours",
    "TrafficPath",
    "bridge_and_vxlan",
    "frames",
    "plain_veth",
    "two_routed_hops",
]
