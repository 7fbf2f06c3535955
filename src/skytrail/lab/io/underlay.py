"""The underlay: one router namespace, and every node behind it in a subnet of its own."""

from __future__ import annotations

from skytrail.lab.io import netns
from skytrail.lab.plan import UNDERLAY_IFNAME, Node, Plan


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
