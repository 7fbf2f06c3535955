"""What translation costs established traffic: floating address and source translation to the underlay.

Interleaved: two hosts without translation and with a floating address at the far one; a workload to
the other host itself by its host's address and a port (no tunnel); and what the kernel does for the
latter, a routed hop with nf_tables masquerade, with the same number of veth pairs.

``NAT_ROUNDS`` sets the number of rounds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, ip_network

from bench.datapath import build_tool, flood_pps, tcp_gbits
from bench.datapath_paths import POLICY, WORKLOAD_IDENTITY, Namespaces, Ours, TrafficPath
from bench.figures import Figures, interleaved
from rig import TUNNEL_NEXTHOP_BASE, UNDERLAY_VIF
from rig import run as shell

from skytrail.agent.tables import (
    FloatingRow,
    IdentityId,
    InetRouteRow,
    InterfaceRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    PolicyPrefixRow,
    PortPoolRow,
)
from skytrail.lab.io.masquerade import hide_behind

ROUNDS = int(os.environ.get("NAT_ROUNDS", "3"))
FABRIC = NextHopId(400)
OUTSIDE = IPv4Address("10.1.1.200")
FAR_HOST = "10.200.2.1"


def floating(ours: Ours) -> TrafficPath:
    """The far workload by an address that stands for its own."""
    remote, (first, second) = ours.remote, ours.rig.hosts
    rows = {row.vif_id: row for row in ours.rig.rows(second) if isinstance(row, InterfaceRow)}
    second.datapath.apply(
        [
            FloatingRow(
                vif_id=remote.vif,
                place=0,
                outside=OUTSIDE,
                inside=remote.address4,
                vrf_id=remote.vrf,
                identity=IdentityId(WORKLOAD_IDENTITY),
                policy_egress=PolicyId(POLICY),
                policy_ingress=PolicyId(POLICY),
            ),
            replace(rows[remote.vif], has_floating=True),
        ],
        [],
    )
    tunnel = NextHopId(TUNNEL_NEXTHOP_BASE + second.number)
    who = IdentityId(WORKLOAD_IDENTITY)
    route = InetRouteRow(remote.vrf, ip_network(OUTSIDE), tunnel, remote.label, who, remote.mac)
    first.datapath.apply([route], [])
    return TrafficPath("floating", ours.client.namespace, remote.namespace, str(OUTSIDE))


def by_the_host(ours: Ours) -> TrafficPath:
    """The far host itself, by the near one's address."""
    first, second = ours.rig.hosts
    for host, other in ((first, 2), (second, 1)):
        shell(f"ip -n {host.namespace} route add 10.200.{other}.0/24 dev under")
    rows = {row.vif_id: row for row in ours.rig.rows(first) if isinstance(row, InterfaceRow)}
    who = IdentityId(WORKLOAD_IDENTITY)
    first.datapath.apply(
        [
            replace(rows[UNDERLAY_VIF], translates=True),
            NextHopRow(FABRIC, NextHopKind.FABRIC, vif_id=UNDERLAY_VIF, out_ifindex=first.ifindex),
            InetRouteRow(ours.client.vrf, ip_network("0.0.0.0/0"), FABRIC, 0, who),
            PolicyPrefixRow(PolicyId(POLICY), ip_network("10.200.2.0/24"), 1),
            *(PortPoolRow(protocol, ((61000, 65535),)) for protocol in (1, 6, 17)),
        ],
        [],
    )
    return TrafficPath("snat", ours.client.namespace, second.namespace, FAR_HOST)


def kernel(space: Namespaces, name: str, *, masquerades: bool) -> TrafficPath:
    """A workload, its host as a router, and the far host."""
    client, server = space.add(f"{name}c"), space.add(f"{name}s")
    host = space.add(f"{name}h", forwards=True)
    space.link(host, client, names=("tap", "eth0"), mtu=1500)
    space.link(host, server, names=("under", "under"), mtu=1500)
    space.address(host, "tap", "10.9.40.1/24")
    space.address(client, "eth0", "10.9.40.2/24")
    space.address(host, "under", "10.9.41.1/24")
    space.address(server, "under", "10.9.41.2/24")
    shell(f"ip -n {client} route add default via 10.9.40.1")
    if masquerades:
        hide_behind(host, "under")
    else:
        shell(f"ip -n {server} route add default via 10.9.41.1")
    return TrafficPath(name, client, server, "10.9.41.2")


def compare(figures: Figures, paths: list[TrafficPath]) -> None:
    kinds: dict[str, tuple[Callable[[TrafficPath], float], str]] = {
        "tcp_1": (partial(tcp_gbits, streams=1), "Gbit/s"),
        "udp64": (flood_pps, "packets/s"),
    }
    for kind, (measure, unit) in kinds.items():
        cases = {path.name: partial(measure, path) for path in paths}
        found = interleaved(ROUNDS, cases, warm_up=1)
        for name in ("across", "routed", "masquerade"):
            figures.add(f"{kind}_{name}", found[name], unit)
        for name, yardstick in (
            ("floating", "across"), ("snat", "masquerade"), ("snat", "routed"),
        ):  # fmt: skip
            figures.add(
                f"{kind}_{name}_beside_{yardstick}", found[name], unit,
                yardstick=found[yardstick], yardstick_name=yardstick,
            )  # fmt: skip


def run() -> None:
    """Print throughput and packets per second, each beside what it is compared with."""
    build_tool()
    figures = Figures("nat")
    space, ours = Namespaces(), Ours()
    try:
        compare(
            figures,
            [
                ours.across(),
                floating(ours),
                by_the_host(ours),
                kernel(space, "routed", masquerades=False),
                kernel(space, "masquerade", masquerades=True),
            ],
        )
    finally:
        ours.close()
        space.close()
    figures.write()
