"""What translation costs established traffic: floating address and source translation to the underlay.

Interleaved: two hosts without translation and with a floating address at the far one; a workload to
the other host itself by its host's address and a port (no tunnel), and to a member of an external
network behind a tunnel by the address that stands for it there (a router's source translation); and
what the kernel does for each: a routed hop with nf_tables masquerade, with the same number of veth
pairs, and one that leads into a bridge with VXLAN.

``NAT_ROUNDS`` sets the number of rounds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from ipaddress import IPv4Address, ip_network

from bench.datapath import build_tool, flood_pps, tcp_gbits
from bench.datapath_paths import (
    POLICY,
    WORKLOAD_IDENTITY,
    Namespaces,
    Ours,
    TrafficPath,
    bridge_and_vxlan,
)
from bench.figures import Figures, interleaved
from rig import TUNNEL_NEXTHOP_BASE, UNDERLAY_VIF
from rig import run as shell

from skytrail.agent.tables import (
    FloatingRow,
    IdentityId,
    InetRouteRow,
    InterfaceKind,
    InterfaceRow,
    LabelRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    PolicyPrefixRow,
    PortPoolRow,
    VifId,
)
from skytrail.lab.io.masquerade import hide_behind
from skytrail.net import Mac

ROUNDS = int(os.environ.get("NAT_ROUNDS", "3"))
FABRIC = NextHopId(400)
OUTSIDE = IPv4Address("10.1.1.200")
FAR_HOST = "10.200.2.1"
EXTERNAL = 6
"""The external network's VRF."""
ROUTER, ANSWERS = NextHopId(401), NextHopId(402)
SNAT_VIF, SNAT_IFINDEX, SNAT_LABEL = VifId(90), 7090, 1400
STAND_IN = IPv4Address("198.18.0.50")


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


def by_the_router(ours: Ours) -> TrafficPath:
    """A member of an external network at the far host, by the near host's address there."""
    first, second = ours.rig.hosts
    member = ours.rig.add_workload(second, vrf=EXTERNAL, subnet=9)
    member.policy_egress = member.policy_ingress = POLICY
    member.identity = WORKLOAD_IDENTITY
    ours.rig.program()
    who, external = IdentityId(WORKLOAD_IDENTITY), member.vrf
    there, back = (NextHopId(TUNNEL_NEXTHOP_BASE + each.number) for each in (second, first))
    stand_in = InterfaceRow(
        ifindex=SNAT_IFINDEX,
        vif_id=SNAT_VIF,
        kind=InterfaceKind.SNAT,
        vrf_id=external,
        mac=Mac.parse("02:00:00:00:00:50"),
        mtu_bytes=1500,
        policy_egress=PolicyId(0),
        policy_ingress=PolicyId(0),
        identity=who,
        antispoof=False,
        tunnel_address=STAND_IN,
    )
    known = [
        PolicyPrefixRow(PolicyId(POLICY), ip_network(each), 1) for each in ("10.1.9.0/24", STAND_IN)
    ]
    first.datapath.apply(
        [
            stand_in,
            *known,
            NextHopRow(ROUTER, NextHopKind.FABRIC, vif_id=SNAT_VIF),
            NextHopRow(ANSWERS, NextHopKind.INTERFACE, vif_id=SNAT_VIF),
            LabelRow(SNAT_LABEL, ANSWERS),
            InetRouteRow(ours.client.vrf, ip_network("10.1.9.0/24"), ROUTER, 0, who),
            InetRouteRow(external, ip_network(STAND_IN), ANSWERS, 0, who),
            InetRouteRow(
                external, ip_network(member.address4), there, member.label, who, member.mac
            ),
        ],
        [],
    )
    second.datapath.apply(
        [*known, InetRouteRow(external, ip_network(STAND_IN), back, SNAT_LABEL, who)], []
    )
    return TrafficPath("router_snat", ours.client.namespace, member.namespace, str(member.address4))


def kernel_router(space: Namespaces) -> TrafficPath:
    """A host that routes and masquerades into its end of the kernel's own overlay."""
    path = bridge_and_vxlan(space)
    host, client = f"{space.prefix}xh1", space.add("xrc")
    space.link(host, client, names=("inner", "eth0"), mtu=1500)
    shell(f"nsenter --net=/run/netns/{host} sysctl -qw net.ipv4.ip_forward=1")
    space.address(host, "inner", "10.9.42.1/24")
    space.address(client, "eth0", "10.9.42.2/24")
    space.address(host, "br0", "10.9.3.254/24")
    shell(f"ip -n {client} route add default via 10.9.42.1")
    hide_behind(host, "br0")
    return TrafficPath("router_masquerade", client, path.server, path.address)


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
        for name in ("across", "routed", "masquerade", "router_masquerade"):
            figures.add(f"{kind}_{name}", found[name], unit)
        for name, yardstick in (
            ("floating", "across"), ("snat", "masquerade"), ("snat", "routed"),
            ("router_snat", "across"), ("router_snat", "router_masquerade"),
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
                # Programs all rows anew: before those that change some.
                by_the_router(ours),
                floating(ours),
                by_the_host(ours),
                kernel(space, "routed", masquerades=False),
                kernel(space, "masquerade", masquerades=True),
                kernel_router(space),
            ],
        )
    finally:
        ours.close()
        space.close()
    figures.write()
