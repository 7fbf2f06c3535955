"""The underlay: one router namespace, and every node behind it in a subnet of its own."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Final
from zlib import crc32

from skytrail.lab.io import netns
from skytrail.lab.plan import UNDERLAY_IFNAME, Node, Plan

JOINT_MTU_BYTES: Final = 9200
"""Between data centers the smaller of the two underlays' MTU holds."""


def create(plan: Plan) -> None:
    """Create the router and the nodes with their links and routes."""
    netns.create(plan.router_namespace)
    netns.set_sysctls(plan.router_namespace, {"net/ipv4/ip_forward": 1})
    for node in (*plan.nodes, *plan.gateways):
        _attach(plan, node)


def _attach(plan: Plan, node: Node) -> None:
    netns.create(node.namespace)
    # The host's ends of workload links must not speak IPv6 of their own to the workloads.
    netns.set_sysctls(node.namespace, {"net/ipv6/conf/default/disable_ipv6": 1})
    netns.connect(
        (node.namespace, UNDERLAY_IFNAME),
        (plan.router_namespace, node.router_ifname),
        mtu_bytes=plan.mtu_bytes,
    )
    length = node.network.prefixlen
    netns.configure(
        node.namespace,
        [
            f"address add {node.address}/{length} dev {UNDERLAY_IFNAME}",
            f"link set dev {UNDERLAY_IFNAME} up",
            f"route add default via {node.gateway}",
        ],
    )
    netns.configure(
        plan.router_namespace,
        [
            f"address add {node.gateway}/{length} dev {node.router_ifname}",
            f"link set dev {node.router_ifname} up",
        ],
    )


def add_outside(plan: Plan, namespace: str, outside: IPv4Network) -> None:
    """Put a host behind the router, in a range of its own."""
    netns.create(namespace)
    netns.connect((plan.router_namespace, "out0"), (namespace, "eth0"), mtu_bytes=1500)
    length, first, tenth = outside.prefixlen, outside[1], outside[10]
    netns.configure(
        plan.router_namespace, [f"address add {first}/{length} dev out0", "link set out0 up"]
    )
    netns.configure(
        namespace,
        [
            f"address add {tenth}/{length} dev eth0",
            "link set eth0 up",
            f"route add default via {first}",
        ],
    )


def join(one: tuple[str, IPv4Network], other: tuple[str, IPv4Network]) -> None:
    """Link two underlay routers, each given with the range behind it, unless they are linked.

    The link has no addresses, which could clash with those of a router's other links: each end
    answers ARP for what is behind it.
    """
    routers = sorted((one[0], other[0]))
    ifname = f"dc{crc32('/'.join(routers).encode()):08x}"
    if netns.has_link(one[0], ifname):
        return
    netns.connect((one[0], ifname), (other[0], ifname), mtu_bytes=JOINT_MTU_BYTES)
    for here, there in ((one, other), (other, one)):
        netns.set_sysctls(here[0], {f"net/ipv4/conf/{ifname}/proxy_arp": 1})
        netns.configure(
            here[0], [f"link set dev {ifname} up", f"route add {there[1]} dev {ifname}"]
        )
